"""What stands in the place of missing values: something that was seen before them, or a line to what comes after."""

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

NEVER = -(1 << 40)  # a step before all


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


def lined(
    y: Float64[Tensor, "b t c"], observed: Bool[Tensor, "b t c"], seen: Int64[Tensor, "b c"]
) -> Float64[Tensor, "b t c"]:
    """Missing values on the line between the ones seen before and after; those at a series' ends stay as they are.

    `seen` is the step of the last value seen at the first one of the window: 0, one before it, or NEVER.
    """
    length = y.shape[1]
    steps = torch.arange(length, device=y.device)[None, :, None].expand_as(y)
    before = torch.where(observed, steps, seen[:, None]).cummax(1).values
    after = torch.where(observed, steps, length).flip(1).cummin(1).values.flip(1)
    share = (steps - before).double() / (after - before).clamp(min=1)
    line = y + share * (y.gather(1, after.clamp(max=length - 1)) - y)
    return torch.where(observed | (after == length) | (before == NEVER), y, line)
