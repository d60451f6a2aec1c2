"""What a request may ask for, and what all of them together may hold: sizes, rows, times."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import inf

from forecast.error import ForecastError, Refusal
from forecast.setting import fits


class Answered(ForecastError):
    """A request that gets no forecast: the HTTP status, a code for programs, and one sentence with the remedy."""

    def __init__(self, status: int, message: str, code: str):
        super().__init__(message, code)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """The numbers of conf/serve.yaml; sizes in MiB, times in seconds."""

    body: float
    rows: int
    kept: int
    held: float
    requests: int
    reading: float
    seconds: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = asdict(self)[field.name]
            if not fits(value, field.type) or not 0 < value < inf:
                kind = "whole number" if field.type is int else "number"
                raise Refusal(f"limits.{field.name}={value}: expected a {kind} above 0", "config")

    @property
    def bytes(self) -> int:
        """The size of one body."""
        return int(self.body * 2**20)


class Room:
    """What requests and their answers hold in memory while they wait, and how many of them there are."""

    def __init__(self, limits: Limits):
        self.limits, self.held, self.requests = limits, 0, 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request more; turned away if there are as many as may be."""
        if self.requests >= self.limits.requests:
            raise busy(f"{self.requests} requests are at work")
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def take(self, size: int) -> None:
        """So many bytes more; turned away if there is no room for them. What is taken has to be given back."""
        if self.held + size > self.limits.held * 2**20:
            raise busy(f"requests hold {self.held >> 20} MiB")
        self.held += size

    def give(self, size: int) -> None:
        self.held -= size


def busy(why: str) -> Answered:
    return Answered(429, f"{why}: ask again in a second", "busy")
