"""A law for counts, trained by its likelihood: the mean m, and the dispersion a in the variance m + a m^2.

Source: D. Salinas et al., "DeepAR: probabilistic forecasting with autoregressive recurrent networks", 2020.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import NegativeBinomial as Law

from forecast.head._beta import beta
from forecast.head._law import ascending, inside, ordered, positive
from forecast.head.base import Head, Levels

WHOLE = 2.0**53  # float64 holds every whole number below


class NegativeBinomial(Head):
    """Counts are never scaled, so the mean must get from 1 to thousands by itself: it is nearly the exp of its number.

    7 is 800 and 30 a million, where a softplus would have to reach the count itself in steps of the learning rate.
    """

    width = 2
    support = "count"

    def __init__(self, *, levels: Sequence[float]):
        self.levels = ascending(levels)

    def law(self, params: Float[Tensor, "b h c w"]) -> tuple[Float64[Tensor, "b h c"], Float64[Tensor, "b h c"]]:
        """Mean and dispersion; as small a dispersion as float64 tells from a Poisson law."""
        mean, dispersion = params.double().unbind(-1)
        return positive(mean), positive(dispersion, floor=1e-8)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        """Minus the log probability, continued between whole numbers; a target below 0 is judged as 0."""
        mean, dispersion = self.law(params)
        law = Law(1 / dispersion, logits=(mean * dispersion).log(), validate_args=False)
        return -law.log_prob(target.double().clamp(min=0)).to(params.dtype)

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return self.quantiles(params, (0.5,))[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        """The smallest whole number whose distribution function reaches the level (above 1e9, to 9 digits).

        Bisection halves the ratio of the ends rather than the distance, as laws of counts are skew. Its bracket is
        Cantelli's inequality: F. Cantelli, "Sui confini della probabilità", 1928.
        """
        at = inside(levels, params)
        mean, dispersion = (x[..., None].expand(*x.shape, at.shape[-1]) for x in self.law(params))
        deviation = (mean + dispersion * mean.square()).sqrt()
        low = (mean - deviation * ((1 - at) / at).sqrt()).floor().clamp(min=0) - 1
        high = (mean + deviation * (at / (1 - at)).sqrt()).ceil()
        while (wide := high - low > (1e-9 * high).clamp(min=1)).any():
            middle = torch.minimum(((low + 1).sqrt() * (high + 1).sqrt()).floor(), high - 1)  # against rounding
            below = beta(1 / dispersion, middle + 1, -(mean * dispersion).log()) < at
            low, high = torch.where(wide & below, middle, low), torch.where(wide & ~below, middle, high)
        return ordered(high, params)

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        """Draws a Poisson count whose mean is drawn from a gamma law."""
        mean, dispersion = self.law(params)
        rate = torch.distributions.Gamma(1 / dispersion, 1 / (mean * dispersion), validate_args=False)
        return torch.poisson(rate.sample(torch.Size([n])).clamp(max=WHOLE)).to(params.dtype)
