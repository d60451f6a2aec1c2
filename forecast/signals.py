"""The signals that end a run, and who handles them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from forecast.error import Interrupted

Handler = Callable[[int, FrameType | None], None]


def signals() -> list[signal.Signals]:
    """What ends a run: Ctrl-C, a polite kill, and what SLURM is told to send before the time is up."""
    asked = [signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else []
    return [signal.SIGINT, signal.SIGTERM, *asked]


def handle(handler: Handler) -> None:
    """Has signals handled from now on."""
    for each in signals() if main() else []:
        signal.signal(each, handler)


@contextmanager
def handled(handler: Handler | None = None) -> Iterator[None]:
    """Has signals handled meanwhile, or leaves that to what runs here; afterwards they are handled as before."""
    before = {each: signal.getsignal(each) for each in (signals() if main() else [])}
    if handler is not None:
        handle(handler)
    try:
        yield
    finally:
        for each, was in before.items():
            signal.signal(each, was)


@contextmanager
def interruptible() -> Iterator[None]:
    """Signals raise Interrupted meanwhile."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name}")

    with handled(interrupt):
        yield


def main() -> bool:
    """Whether this is the main thread, which alone may say how signals are handled."""
    return threading.current_thread() is threading.main_thread()
