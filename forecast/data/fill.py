"""What stands in the place of missing values: something that was seen before them."""

from itertools import pairwise

import numpy as np


def filled(
    values: np.ndarray, offsets: np.ndarray, before: np.ndarray | float, fill: str = "last", season: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Values with something seen earlier in the place of missing ones (`before` where nothing was), and the masks."""
    observed = ~np.isnan(values)
    if observed.all() or not values.size:
        return values, observed
    if fill == "zero":
        return np.where(observed, values, 0.0), observed
    if fill == "season":
        values = np.concatenate([by_phase(values[a:b], season) for a, b in pairwise(offsets)])
    seen = last_seen(~np.isnan(values), offsets)
    return np.where(seen >= 0, np.take_along_axis(values, np.maximum(seen, 0), 0), before), observed


def last_seen(observed: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The row of the last observed value of the same series and column, at each row; -1 where there is none yet."""
    seen = np.maximum.accumulate(np.where(observed, np.arange(len(observed))[:, None], -1), 0)
    return np.where(seen >= np.repeat(offsets[:-1], np.diff(offsets))[:, None], seen, -1)


def by_phase(values: np.ndarray, season: int) -> np.ndarray:
    """One series with the last value of the same phase of the season in the place of missing ones."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % season), (0, 0)), constant_values=np.nan)
    where = np.where(np.isnan(padded), -1, np.arange(len(padded))[:, None]).reshape(-1, season, columns)
    seen = np.maximum.accumulate(where, 0).reshape(len(padded), columns)[:rows]
    return np.where(seen >= 0, np.take_along_axis(values, np.maximum(seen, 0), 0), np.nan)
