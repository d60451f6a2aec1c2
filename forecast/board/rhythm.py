"""The rhythm of a forecast table: how long its step is, and how many steps make what people count in."""

from typing import NamedTuple

import numpy as np
import pandas as pd

DAY, WEEK, MONTH = (pd.Timedelta(days=n) for n in (1, 7, 30))


class Rhythm(NamedTuple):
    """`pace` is the length of a step; so many steps make one `unit`, which is a day, a week or a year."""

    pace: pd.Timedelta
    steps: int
    unit: str


def rhythm(table: pd.DataFrame) -> Rhythm:
    """Days of shorter steps, weeks of days (five of business days), years of weeks, months and quarters."""
    pace, local = pace_of(table), wall(table["ds"])
    if pace < DAY:
        return Rhythm(pace, round(DAY / pace), "day")
    if pace < WEEK:
        return Rhythm(pace, 7 if (local.day_of_week > 4).any() else 5, "week")
    return Rhythm(pace, 52 * WEEK // pace if round(pace / MONTH) == 0 else max(1, 12 // round(pace / MONTH)), "year")


def places(stamps: pd.Series, found: Rhythm) -> np.ndarray:
    """The number of each stamp in steps from the first one: missing ones count, weekends of five-day weeks don't."""
    if (found.steps, found.unit) == (5, "week"):
        days = wall(stamps).to_numpy().astype("M8[D]")
        return np.busday_count(days.min(), days)
    index = pd.DatetimeIndex(stamps)
    every, number = np.unique((index if index.tz is None else index.tz_convert("UTC")).asi8, return_inverse=True)
    jumps = np.rint(np.diff(every) / (found.pace / pd.Timedelta(1, index.unit))).astype("int64")
    return np.concatenate([[0], np.cumsum(np.maximum(jumps, 1))])[number]


def pace_of(table: pd.DataFrame) -> pd.Timedelta:
    """The shortest distance of two stamps on the local wall clock, of those forecast and their cutoffs."""
    stamps = wall(table["ds"]).unique().sort_values()
    ahead = wall(table["ds"]) - wall(table["cutoff"])
    every = np.concatenate([np.diff(stamps.asi8), ahead[ahead > pd.Timedelta(0)].as_unit(stamps.unit).asi8])
    return pd.Timedelta(int(every[every > 0].min()), stamps.unit) if (every > 0).any() else DAY


def wall(stamps: pd.Series) -> pd.DatetimeIndex:
    """Stamps on the local wall clock, without zone."""
    index = pd.DatetimeIndex(stamps)
    return index if index.tz is None else index.tz_localize(None)
