"""One number a step: the mean (mse), the median (mae), a robust middle (huber) or what smape rewards.

`under` is what a forecast below the target costs where one above costs 1 (on average they cost 1): with mae the
forecast is the quantile at level under / (1 + under), with mse the expectile (W. Newey, J. Powell, "Asymmetric least
squares estimation and testing", 1987).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from forecast.error import Refusal
from forecast.head._law import positive
from forecast.head.base import Head, Levels


def smape(point: Tensor, target: Tensor, reduction: str) -> Tensor:
    """2 |target - point| / (|target| + point), from 0 to 2, for a point above 0; its gradient outlives float32.

    Source: S. Makridakis, M. Hibon, "The M3-competition: results, conclusions and implications", 2000.
    """
    return 2 - 4 * torch.minimum(target.abs(), point) / (target.abs() + point)


LOSSES = {"mse": functional.mse_loss, "mae": functional.l1_loss, "huber": functional.huber_loss, "smape": smape}


class Point(Head):
    """smape is a ratio: it needs targets on a scale with a true zero, in any unit, and its forecasts are above 0."""

    width = 1
    span = None

    def __init__(self, *, loss: str, under: float):
        if loss not in LOSSES:
            raise Refusal(f"head.loss={loss}: expected one of {', '.join(LOSSES)}", "config")
        if not 0 < under < math.inf:
            raise Refusal(f"head.under={under}: expected a number above 0", "config")
        self.error, self.under = LOSSES[loss], under
        self.support = "positive" if loss == "smape" else "real"

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        point = self.point(params)
        error = self.error(point, target, reduction="none")
        if self.under == 1:
            return error
        return torch.where(point < target, self.under, 1.0) * (2 / (1 + self.under)) * error

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return positive(params[..., 0]) if self.support == "positive" else params[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        if len(levels):
            raise Refusal("a point forecast has no quantiles: train with head=quantile", "levels")
        return params[..., :0]

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        raise Refusal("a point forecast has no spread to sample from: train with head=quantile", "levels")
