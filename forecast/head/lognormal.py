"""A law for positive targets whose log is normal, trained by its likelihood: mean and deviation of the log.

Quantities that multiply (prices, loads, waiting times) have it. Source: J. Aitchison, J. Brown, "The lognormal
distribution", 1957.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from forecast.head._law import ascending, inside, ordered, positive
from forecast.head.base import Head, Levels


class Lognormal(Head):
    width = 2
    support = "positive"

    def __init__(self, *, levels: Sequence[float]):
        self.levels = ascending(levels)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        """Minus the log density of the target itself; one of 0 or less is judged as the smallest number above 0."""
        log, deviation = target.clamp(min=torch.finfo(target.dtype).tiny).log(), positive(params[..., 1])
        z = (log - params[..., 0]) / deviation
        return z.square() / 2 + deviation.log() + log + math.log(2 * math.pi) / 2

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return self.quantiles(params, (0.5,))[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        mean, deviation = params[..., :1].double(), positive(params[..., 1:].double())
        return ordered((mean + deviation * torch.special.ndtri(inside(levels, params))).exp(), params)

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        mean, deviation = params[..., 0], positive(params[..., 1])
        return (mean + deviation * torch.randn(n, *mean.shape, dtype=mean.dtype, device=mean.device)).exp()
