"""Student's law for each step, trained by its likelihood: location, scale and degrees of freedom above 2.

Its tails are heavier than the normal law's, so that a rare large error does not widen all the forecasts.

Source: K. Lange, R. Little, J. Taylor, "Robust statistical modeling using the t distribution", 1989.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import StudentT

from forecast.head._beta import beta
from forecast.head._law import ascending, inside, ordered, positive
from forecast.head.base import Head, Levels

NODES = 48  # of the polynomial in 1 / degrees of freedom


class Student(Head):
    width = 3

    def __init__(self, *, levels: Sequence[float]):
        self.levels = ascending(levels)

    def law(self, params: Float[Tensor, "b h c w"]) -> StudentT:
        """In float64: the log gamma functions of its density cancel where the degrees of freedom are many."""
        mean, scale, freedom = params.double().unbind(-1)
        return StudentT(2 + positive(freedom, power=1), mean, positive(scale), validate_args=False)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        return -self.law(params).log_prob(target.double()).to(params.dtype)

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return params[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        law, at = self.law(params), inside(levels, params)
        x = 4 / law.df - 1
        basis = [torch.ones_like(x), x]
        while len(basis) < NODES:  # the polynomials one after the other: acos and cos would do, but not in ONNX Runtime
            basis.append(2 * x * basis[-1] - basis[-2])
        known, place = at.unique(return_inverse=True)
        tail = torch.exp(
            (torch.stack(basis, -1)[..., None, :] * logs(tuple(known.tolist())).to(params.device).mT[place]).sum(-1)
        )
        return ordered(law.loc[..., None] + law.scale[..., None] * (at - 0.5).sign() * tail, params)

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        return self.law(params).sample(torch.Size([n])).to(params.dtype)


@lru_cache
def logs(levels: tuple[float, ...]) -> Float64[Tensor, "nodes q"]:
    """Chebyshev coefficients of log |t| at each level, as a function of 1 / degrees of freedom from 0 to 1/2.

    At the nodes, t solves the incomplete beta function for the two tails beyond it, by bisection of log(df / t^2).
    """
    angle = math.pi * (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
    freedom = 4 / (1 + angle.cos())[:, None].expand(-1, len(levels))
    tails = torch.tensor([2 * min(level, 1 - level) for level in levels], dtype=torch.float64).expand_as(freedom)
    low, high = torch.full_like(freedom, -2000.0), torch.full_like(freedom, 2000.0)
    for _ in range(64):
        middle = (low + high) / 2
        below = beta(freedom / 2, torch.full_like(freedom, 0.5), middle) < tails
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    t = (freedom.log() - high) / 2
    share = torch.full((NODES, 1), 2.0 / NODES, dtype=torch.float64)
    share[0] /= 2
    return share * (torch.cos(torch.arange(NODES)[:, None] * angle) @ t)
