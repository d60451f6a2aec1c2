"""A mixture of normal laws for each step, trained by its likelihood: outcomes that fall into several groups.

Source: C. Bishop, "Mixture density networks", 1994.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import ndtri

from forecast.error import Refusal
from forecast.head._law import ascending, inside, ordered, positive
from forecast.head.base import Head, Levels

STEPS = 128  # at most; a step halves the bracket or the error, and Newton's mostly end after a dozen


class Mixture(Head):
    """Shares, means and deviations of `components` normal laws; the means start apart, so that they can part ways."""

    def __init__(self, *, components: int, levels: Sequence[float]):
        if components < 1:
            raise Refusal(f"head.components={components}: expected a whole number of at least 1", "config")
        self.levels = ascending(levels)
        self.width = 3 * components
        self.apart = ndtri((torch.arange(components, dtype=torch.float64) + 0.5) / components)

    def law(self, params: Float[Tensor, "*n w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logs of the shares, means and deviations, each [*n components]."""
        shares, means, deviations = params.chunk(3, -1)
        return shares.log_softmax(-1), means + self.apart.to(params), positive(deviations)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        shares, means, deviations = self.law(params)
        z = (target[..., None] - means) / deviations
        return math.log(2 * math.pi) / 2 - (shares - deviations.log() - z.square() / 2).logsumexp(-1)

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        return self.quantiles(params, (0.5,))[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        """Where the distribution function meets each level: Newton's steps inside a bracket, else its middle.

        The bracket is that of the components' own quantiles.
        """
        at = inside(levels, params)
        shares, means, deviations = (x[..., None, :] for x in self.law(params.double()))
        each = means + deviations * ndtri(at)[..., None]
        shares, low, high = shares.exp(), each.amin(-1), each.amax(-1)
        x, last = (shares * each).sum(-1).clamp(low, high), torch.full_like(low, torch.inf)
        near = 1e-10 * torch.minimum(at, 1 - at)
        for _ in range(STEPS):
            z = (x[..., None] - means) / deviations
            error = at - (shares * torch.special.ndtr(z)).sum(-1)
            if (found := error.abs() <= near).all():
                break
            low, high = torch.where(error > 0, x, low), torch.where(error > 0, high, x)
            density = (shares / deviations * torch.exp(-z.square() / 2)).sum(-1) / math.sqrt(2 * math.pi)
            newton = x + error / density
            good = (newton >= low) & (newton <= high) & (error.abs() < last / 2)
            x, last = torch.where(found, x, torch.where(good, newton, (low + high) / 2)), error.abs()
        return ordered(x, params)

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        shares, means, deviations = self.law(params)
        chosen = torch.distributions.Categorical(logits=shares, validate_args=False).sample(torch.Size([n]))[..., None]
        mean, deviation = (x.expand(n, *x.shape).gather(-1, chosen)[..., 0] for x in (means, deviations))
        return mean + deviation * torch.randn_like(mean)
