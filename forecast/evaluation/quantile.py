"""Quantile functions: what stands between the levels of a forecast table, and beyond the outermost ones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.table import levels_of


def at_levels(table: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
    """A forecast table at other levels, linear between its own; Refusal for levels outside of these."""
    known = levels_of(table)
    outside = [level for level in levels if not min(known) <= level <= max(known)]
    if outside:
        raise Refusal(
            f"levels {outside} lie outside the {min(known)} ... {max(known)} of the forecasts: train with wider ones",
            "levels",
        )
    at, own = np.array(sorted(levels)), np.array(list(known))
    values = inverse(table[list(known.values())].to_numpy("float64"), own, at)
    found = dict(zip((f"q{level:g}" for level in at), values.T, strict=True))
    return table.drop(columns=list(known.values())).assign(**found)


def inverse(quantiles: np.ndarray, levels: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The quantile function [row at] through `quantiles` [row level] at levels strictly between 0 and 1, ascending.

    Linear between levels. Beyond the outermost ones its tails are exponential, with the density that the table has
    next to them: Q(p) = Q(a) + slope (1 - a) log((1 - a) / (1 - p)) above level a, its mirror image below the lowest
    (as the tails of Y. Park et al., "Learning quantile functions without quantile crossing for distribution-free time
    series forecasting", 2022).
    """
    if len(levels) == 1:
        return np.repeat(quantiles, len(at), 1)
    right = np.searchsorted(levels, at).clip(1, len(levels) - 1)
    width = levels[right] - levels[right - 1]
    share = (at - levels[right - 1]) / width
    below, above, rest = at < levels[0], at > levels[-1], 1 - levels[-1]
    share[below] = levels[0] * np.log(at[below] / levels[0]) / width[below]
    share[above] = 1 + rest * np.log(rest / (1 - at[above])) / width[above]
    values = quantiles[:, right - 1] * (1 - share) + quantiles[:, right] * share
    return np.maximum.accumulate(values, 1)  # interpolation may round out of order
