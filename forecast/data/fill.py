"""What stands in the place of missing values: something that was seen before them."""

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
        values = np.take_along_axis(values, earlier(~np.isnan(values), offsets, season), 0)
    seen = last_seen(~np.isnan(values), offsets)
    return np.where(seen >= 0, np.take_along_axis(values, np.maximum(seen, 0), 0), before), observed


def last_seen(observed: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The row of the last observed value of the same series and column, at each row; -1 where there is none yet."""
    seen = np.maximum.accumulate(np.where(observed, np.arange(len(observed))[:, None], -1), 0)
    return np.where(seen >= np.repeat(offsets[:-1], np.diff(offsets))[:, None], seen, -1)


def earlier(observed: np.ndarray, offsets: np.ndarray, season: int) -> np.ndarray:
    """The row itself where observed, else whole seasons before it in the same series, up to one that is (or the first).

    Each round doubles the way back.
    """
    rows = np.arange(len(observed))[:, None]
    first = rows < np.repeat(offsets[:-1] + season, np.diff(offsets))[:, None]
    back = np.where(observed | first, rows, rows - season)
    while not np.array_equal(further := np.take_along_axis(back, back, 0), back):
        back = further
    return back
