"""The refusals: errors that a user can act on. Each carries a code for programs and one sentence with the remedy.

Refusal (exit code 2)      bad input or configuration; nothing was written
Diverged (exit code 3)     the loss became NaN or infinite
CannotWrite (exit code 4)  a result could not be saved; what was there before is intact
Differs (exit code 5)      what was made again is not what it was
Interrupted (exit code 75) a signal ended the run, which can go on
Pruned (exit code 6)       a trial of a sweep was stopped early, as others do better
"""

import difflib
from collections.abc import Iterable


class ForecastError(Exception):
    """What all errors raised on purpose share: a short `code` for programs and the `exit` code of the command line."""

    exit = 1

    def __init__(self, message: str, code: str = "error"):
        super().__init__(message, code)  # both in args, so that the error survives a trip between processes
        self.message, self.code = message, code

    def __str__(self) -> str:
        return self.message


class Refusal(ForecastError, ValueError):
    """The input or the configuration can't be used: says what was found, where, what was expected, what to do."""

    exit = 2


class Diverged(ForecastError):
    """Training produced a loss that is not finite."""

    exit = 3


class CannotWrite(ForecastError, OSError):
    """A file could not be written."""

    exit = 4


class Differs(ForecastError):
    """Something that was made again is not what it was before."""

    exit = 5


class Interrupted(KeyboardInterrupt):
    """A signal ended the run; it can go on from its last checkpoint. As any interruption, it is no Exception."""

    exit = 75


class Pruned(ForecastError):
    """A trial of a sweep that does worse than others did was stopped early."""

    exit = 6


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint such as `; did you mean 'load'?`, or an empty string if no choice is near."""
    near = difflib.get_close_matches(word, list(choices), 1, 0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
