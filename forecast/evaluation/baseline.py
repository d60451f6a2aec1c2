"""Forecasts that any model must beat: functions of a Batch that need no training."""

import torch
from jaxtyping import Float64
from torch import Tensor

from forecast.contract import Batch


def seasonal_naive(batch: Batch, season: int) -> Float64[Tensor, "b horizon c"]:
    """The value of the same phase in the last season seen; needs `season` steps of context. In data units.

    Season 1 repeats the last value.
    """
    context, horizon = batch.y.shape[1], batch.target.shape[1]
    gap = batch.clock.shape[1] - context - horizon
    assert season <= context
    steps = torch.arange(gap, gap + horizon, device=batch.y.device)
    return batch.y[:, context - season + steps % season]
