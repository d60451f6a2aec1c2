"""The regularised incomplete beta function, which torch lacks: the distribution function of two laws."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import logsigmoid

WIDE = 20  # both parameters above it: the integral; else the fraction
TERMS = 48  # of the fraction, whose error is then below 1e-10 whatever the larger parameter
REACH = 10  # deviations on each side of the integral
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def beta(a: Float64[Tensor, "*n"], b: Float64[Tensor, "*n"], u: Float64[Tensor, "*n"]) -> Float64[Tensor, "*n"]:
    """I_x(a, b) at x = sigmoid(u), to 1e-9, for a and b above 0; `u` keeps what x rounds away close to 0 and to 1."""
    wide = torch.minimum(a, b) > WIDE
    out = torch.empty_like(u)
    for method, where in ((integral, wide), (fraction, ~wide)):
        if where.any():
            out[where] = method(a[where], b[where], u[where])
    return out


def fraction(a: Float64[Tensor, " n"], b: Float64[Tensor, " n"], u: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """The continued fraction of DLMF 8.17.22, on the side of the mean where it converges, from its last term up.

    The ratio of two gamma functions of huge arguments: F. Tricomi, A. Erdélyi, "The asymptotic expansion of a ratio of
    gamma functions", 1951.
    """
    flip = u > (a + 1).log() - (b + 1).log()
    a, b, u = torch.where(flip, b, a), torch.where(flip, a, b), torch.where(flip, -u, u)
    x, value = u.sigmoid(), torch.ones_like(u)
    for n in range(TERMS, 0, -1):
        m = n // 2
        over = (m * (b - m) if n % 2 == 0 else -(a + m) * (a + b + m)) * x
        value = 1 + over / (a + n - 1) / (a + n) / value
    small, large = torch.minimum(a, b), torch.maximum(a, b)
    ratio = torch.where(
        large > 1e6, small * (large + (small - 1) / 2).log(), torch.lgamma(small + large) - torch.lgamma(large)
    )
    log = a * logsigmoid(u) + b * logsigmoid(-u) - a.log() - torch.lgamma(small) + ratio
    return torch.where(flip, 1 - log.exp() / value, log.exp() / value)


def integral(a: Float64[Tensor, " n"], b: Float64[Tensor, " n"], u: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """The share of the density of the logit that lies below `u`, both sides by Gauss-Legendre quadrature.

    The density of the logit, x^a (1 - x)^b, is near normal here, and its scale cancels in the share.
    """
    reach = REACH * (1 / a + 1 / b).sqrt()
    at = (u - a.log() + b.log()).clamp(-reach, reach)  # measured from the mode

    def area(low: Tensor, high: Tensor) -> Tensor:
        total = torch.zeros_like(low)
        for node, weight in zip(NODES.tolist(), WEIGHTS.tolist(), strict=True):
            t = low + (high - low) * (node + 1) / 2
            total += weight * torch.exp(a * t - (a + b) * torch.log1p(a / (a + b) * torch.expm1(t)))
        return total * (high - low)

    below = area(-reach, at)
    return below / (below + area(at, reach))
