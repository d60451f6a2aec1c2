"""Layout: which column of a data set plays which part, when it is known, and the grid of its stamps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forecast.data.clock import Clock
from forecast.error import Refusal


@dataclass(frozen=True)
class Layout:
    """Which column plays which part, when it is known, and the grid of the stamps: what a forecaster knows of its data.

    A value is known `lag` steps after the end of its own step (negative: before); without one a past covariate is
    known at once, a future one always. `oracle` names future covariates that are measurements, `issued` the column
    that says when a vintage was issued.
    """

    time: str
    id: str | None
    target: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    static: tuple[str, ...]
    categorical: tuple[str, ...]
    joint: bool
    lag: dict[str, int]
    oracle: tuple[str, ...]
    issued: str | None
    clock: Clock

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Layout":
        """The layout that `dataclasses.asdict` and JSON made plain."""
        tuples = {key: tuple(x) for key, x in plain.items() if isinstance(x, list)}
        return cls(**{**plain, **tuples, "clock": Clock(**plain["clock"])})

    def check(self) -> None:
        """Refuses options that name columns of another part."""
        may = {
            "lag": (*self.target, *self.past, *self.future),
            "oracle": self.future,
            "categorical": (*self.past, *self.future, *self.static),
        }
        for key, names in may.items():
            wrong = sorted(set(getattr(self, key)) - set(names))
            if wrong:
                there = f"it is for {', '.join(names)}" if names else "there are no columns that it is for"
                raise Refusal(f"data.{key}: '{wrong[0]}' can't be named here, {there}", "config")

    @property
    def channels(self) -> tuple[str, ...]:
        return self.target if self.joint else ("y",)

    def label(self, series: str, channel: str) -> str:
        """The `unique_id` of one channel of a series in a forecast table."""
        return series if not self.joint else channel if self.id is None else f"{series}/{channel}"
