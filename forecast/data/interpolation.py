"""Missing values within a window, on a line from what was seen before them to what comes after."""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

NEVER = -(1 << 40)  # a step before all


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
