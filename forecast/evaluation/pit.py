"""Probability integral transform: where y fell within its forecast law, 0 at its lower end and 1 at its upper end.

Of a law that is true the values are spread evenly (A. Dawid, "The prequential approach", 1984). Between two quantiles a
value is interpolated linearly. Where only a span is known, the value is spread evenly over it (C. Czado, T. Gneiting,
L. Held, "Predictive model assessment for count data", 2009): below the lowest level it is from 0 to that level, above
the highest from that level to 1, and where y equals several quantiles from the lowest of their levels to the highest,
or to the end, if the outermost is among them. So nothing is said about the shape of tails that no level describes.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.table import checked, levels_of, numbers


def pit(table: pd.DataFrame) -> np.ndarray:
    """The value of each row, in the middle of its span [row]; NaN where y is not observed.

    Raises Refusal for a table without quantiles, or one that can't be scored.
    """
    return np.mean(spans(checked(table)), 0)


def histogram(table: pd.DataFrame, bins: int | Sequence[float] = 10) -> pd.DataFrame:
    """The `share` of the values in each of `bins` from `lower` to `upper`; under a true law as large as it is wide.

    `bins` are so many of the same width, or their edges from 0 to 1. Raises Refusal as `pit` does.
    """
    low, high = spans(checked(table))
    low, high = low[~np.isnan(low)], high[~np.isnan(high)]
    edges = np.linspace(0, 1, bins + 1).round(12) if isinstance(bins, int) else np.array(bins)  # 0.3 is the level 0.3
    wide, level = high > low, np.zeros(len(edges))
    for i, edge in enumerate(edges[1:-1], 1):
        inside = np.divide(edge - low, high - low, out=np.sign(edge - low) / 2 + 0.5, where=wide)
        level[i] = np.clip(inside, 0, 1).mean()  # a value that is known and lies on an edge counts half
    level[-1] = 1
    return pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "share": np.diff(level)})


def spans(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """From where to where the value of each row may be [row]; quantiles that cross are put in order."""
    found = levels_of(table)
    if not found:
        raise Refusal("the forecast table has no quantiles (q0.1 ... q0.9), which PIT values are made of", "levels")
    y, quantiles = numbers(table, "y"), np.sort([numbers(table, name) for name in found.values()], 0)
    levels = np.array([0, *found, 1])
    below, reached = (quantiles < y).sum(0), (quantiles <= y).sum(0)
    equal = reached > below
    low = levels[np.where(equal & (below > 0), below + 1, below)]
    high = levels[np.where(equal & (reached < len(found)), reached, reached + 1)]
    for k, (lower, upper) in enumerate(pairwise(quantiles), 1):
        within = (below == k) & ~equal
        part = np.divide(y - lower, upper - lower, out=np.zeros_like(y), where=within)
        low[within] = high[within] = (levels[k] + part * (levels[k + 1] - levels[k]))[within]
    empty = np.isnan(y)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
