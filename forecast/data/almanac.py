"""Calendar features: hour, weekday, month and day of the year of the local wall clock, as points on circles."""

from collections.abc import Sequence

import numpy as np

from forecast.data.clock import DAY, Clock
from forecast.error import Refusal

NAMES = ("hour", "weekday", "month", "dayofyear")


def chosen(clock: Clock, names: Sequence[str] | None, steps: float = np.inf) -> tuple[str, ...]:
    """The features that say something at the clock's frequency.

    `names` None means all of those whose cycle comes twice in so many steps: one that came once is no cycle, only dates
    that a network can remember. Raises Refusal for an unknown name.
    """
    kind, length, _ = clock.unit
    fits = {
        "hour": not clock.daily,
        "weekday": kind == "B" or (kind == "ns" and length % (7 * DAY) > 0),
        "month": kind != "M" or length < 12,
        "dayofyear": kind != "M",
    }
    unknown = [name for name in names or () if name not in fits]
    if unknown:
        raise Refusal(f"data.calendar: unknown feature {unknown[0]!r}; known are {', '.join(NAMES)}", "config")
    if names is not None:
        return tuple(name for name in NAMES if fits[name] and name in names)
    year = {"ns": 365 * DAY, "B": 260, "M": 12}[kind]
    cycles = {"hour": DAY, "weekday": 5 if kind == "B" else 7 * DAY, "month": year, "dayofyear": year}
    return tuple(name for name in NAMES if fits[name] and 2 * cycles[name] <= steps * length)


def features(clock: Clock, ordinals: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The features of each step as cyclic pairs: float32 [row, 2 x names], sine before cosine."""
    stamps = clock.local(ordinals)
    turn = {
        "hour": lambda: (stamps.asi8 % DAY) / DAY,
        "weekday": lambda: stamps.day_of_week.to_numpy() / 7,
        "month": lambda: (stamps.month.to_numpy() - 1) / 12,
        "dayofyear": lambda: (stamps.day_of_year.to_numpy() - 1) / 365.25,
    }
    angles = [2 * np.pi * turn[name]() for name in names]
    columns = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(columns, 1).astype("float32") if columns else np.empty((len(stamps), 0), "float32")
