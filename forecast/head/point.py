"""One number a step: the mean (mse), the median (mae) or a robust middle (huber)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from forecast.error import Refusal
from forecast.head.base import Head

LOSSES = {"mse": functional.mse_loss, "mae": functional.l1_loss, "huber": functional.huber_loss}


class Point(Head):
    width = 1

    def __init__(self, *, loss: str):
        if loss not in LOSSES:
            raise Refusal(f"head.loss={loss}: expected one of {', '.join(LOSSES)}", "config")
        self.error = LOSSES[loss]

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        return self.error(params[..., 0], target, reduction="none")

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return params[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Sequence[float]) -> Float[Tensor, "b h c q"]:
        if len(levels):
            raise Refusal("a point forecast has no quantiles: train with head=quantile", "levels")
        return params[..., :0]

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        raise Refusal("a point forecast has no spread to sample from: train with head=quantile", "levels")
