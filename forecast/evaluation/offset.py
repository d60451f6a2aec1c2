"""How calibration moves quantiles, in numpy alone, so that a predictor without pandas can do it as well."""

from functools import cache

import numpy as np


@cache
def plan(levels: tuple[float, ...], symmetric: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How levels move: their sign [level] (0: not at all), their score [level], and how often each holds [score]."""
    known = np.array(levels)
    sign = np.where(known < 0.5, -1.0, 1.0)
    outer = np.maximum(known, 1 - known)
    if not symmetric:
        return sign, np.arange(len(known)), outer
    sign[known == 0.5] = 0
    _, place = np.unique(np.round(outer, 9), return_inverse=True)
    pair = np.bincount(place)[place] == 2
    coverage = np.empty(place.max() + 1)
    coverage[place] = np.where(pair | (known == 0.5), 2 * outer - 1, outer)
    return sign, place, coverage


def moved(
    values: np.ndarray, point: np.ndarray, levels: tuple[float, ...], symmetric: bool, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Point [row] and quantiles [row level] after `values` moved by `offsets` [row score], in data units.

    Outwards from the middle none crosses another. Symmetric offsets leave the point where it is; else it follows the
    median.
    """
    sign, place, _ = plan(levels, symmetric)
    values, known = values + sign * offsets[:, place], np.array(levels)
    middle = values[:, known == 0.5] if 0.5 in levels else point[:, None]
    if 0.5 in levels and not symmetric:
        point = middle[:, 0]
    upper, lower = known > 0.5, known < 0.5  # outwards from the middle: no level holds less often by that
    values[:, upper] = np.maximum.accumulate(np.maximum(values[:, upper], middle), 1)
    values[:, lower] = np.minimum.accumulate(np.minimum(values[:, lower], middle)[:, ::-1], 1)[:, ::-1]
    return point, values
