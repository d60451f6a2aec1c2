"""A normal law for each step, trained by its likelihood: `mean` and `deviation`."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from forecast.head._law import ascending, inside, ordered, positive
from forecast.head.base import Head, Levels


class Normal(Head):
    width = 2

    def __init__(self, *, levels: Sequence[float]):
        self.levels = ascending(levels)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        deviation = positive(params[..., 1])
        z = (target - params[..., 0]) / deviation
        return z.square() / 2 + deviation.log() + math.log(2 * math.pi) / 2

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return params[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        mean, deviation = params[..., :1].double(), positive(params[..., 1:].double())
        return ordered(mean + deviation * torch.special.ndtri(inside(levels, params)), params)

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        mean, deviation = params[..., 0], positive(params[..., 1])
        return mean + deviation * torch.randn(n, *mean.shape, dtype=mean.dtype, device=mean.device)
