"""How strong the day, the week and the year are in the train rows of a grid."""

from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import DAY, Clock
from forecast.data.grid import Edge, Grid

SAMPLE, ROWS = 100, 200_000  # seasons are measured on so many series, evenly spread, and the last rows of each


def seasons(clock: Clock) -> dict[str, int]:
    """The steps of a day, a week and a year, where they are whole (a year: about) and two at least."""
    kind, length, _ = clock.unit
    if kind == "B":
        return {"week": 5, "year": 261}
    if kind == "M":
        return {"year": 12 // length} if length < 12 and 12 % length == 0 else {}
    periods = {"day": DAY, "week": 7 * DAY, "year": 365 * DAY + DAY // 4}
    return {
        name: round(period / length)
        for name, period in periods.items()
        if period >= 2 * length and (name == "year" or period % length == 0)
    }


def trained(grid: Grid, until: Edge) -> list[tuple[np.ndarray, np.ndarray]]:
    """Values before the number `until` of the clock, and steps of their local clock, of a sample of the series."""
    channels = grid.y.shape[1]
    every = len(grid.names) * channels
    counts = np.clip(until - grid.first, 0, grid.lengths)
    result = []
    for number in np.unique(np.linspace(0, every - 1, min(every, SAMPLE)).astype("int64")).tolist():
        series, channel = divmod(number, channels)
        begin, first, count = int(grid.offsets[series]), int(grid.first[series]), int(counts[series])
        left = max(0, count - ROWS)
        steps = grid.layout.clock.steps(np.arange(first + left, first + count))
        result.append((grid.y[begin + left : begin + count, channel], steps))
    return result


def strengths(grid: Grid, until: Edge) -> dict[str, dict[str, Any]]:
    """Steps and strength of the day, the week and the year: the mean of the series that have three of them.

    Where a step is shorter than a day, the week and the year are those of the daily means, so that each says
    something of its own.
    """
    known, sample = seasons(grid.layout.clock), trained(grid, until)
    result = {}
    for name, steps in known.items():
        day = known.get("day", 1) if name != "day" else 1
        found = [strength(*averaged(y, clock, day), round(steps / day)) for y, clock in sample]
        found = [x for x in found if not np.isnan(x)]
        result[name] = {"steps": steps, "strength": float(np.mean(found)) if found else None}
    return result


def averaged(y: np.ndarray, clock: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of so many steps, and their number."""
    if steps == 1:
        return y, clock
    means = pd.Series(y).groupby(clock // steps).mean()
    return means.to_numpy(), means.index.to_numpy()


def strength(y: np.ndarray, clock: np.ndarray, season: int) -> float:
    """Strength of a season, 0 to 1: 1 - Var(R) / Var(S + R), each by its degrees of freedom, so that noise has 0.

    S is the mean of each phase after the trend, a centred moving average of a season, is taken off; R is what is
    left (X. Wang, K. Smith, R. Hyndman, Characteristic-based clustering for time series data, 2006). NaN for less
    than three seasons.
    """
    half, rows = season // 2, len(y)
    if rows < 3 * season:
        return np.nan
    there = ~np.isnan(y)
    level = y[there].mean() if there.any() else 0.0

    def windowed(x: np.ndarray) -> np.ndarray:
        """Sums of the season around each row; of an even one both ends count half."""
        sums = np.concatenate(([0.0], np.cumsum(x)))
        around = sums[2 * half + 1 :] - sums[: -2 * half - 1]
        return around if season % 2 else around - (x[: rows - 2 * half] + x[2 * half :]) / 2

    total, count = windowed(np.where(there, y - level, 0.0)), windowed(there.astype("float64"))
    inner = slice(half, rows - half)
    used = there[inner] & (count >= season / 2)
    rest = (y[inner] - level)[used] - total[used] / count[used]
    phase = clock[inner][used] % season
    sizes = np.bincount(phase, minlength=season)
    profile = np.bincount(phase, rest, minlength=season) / np.maximum(sizes, 1)
    free = len(rest) - np.count_nonzero(sizes)
    if free < 1:
        return np.nan
    whole = rest.var(ddof=1)
    if whole <= 1e-24 * level**2:
        return 0.0
    return max(0.0, 1 - float(np.square(rest - profile[phase]).sum() / free / whole))
