"""Quantiles at fixed levels, trained by the pinball loss; crossing is impossible by construction.

The network gives the middle level itself and, for each other level, a positive step away from its neighbour.

Source: R. Koenker, G. Bassett, "Regression quantiles", 1978; increments instead of levels: Y. Park et al., "Learning
quantile functions without quantile crossing for distribution-free time series forecasting", 2022.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from forecast.error import Refusal
from forecast.head._law import ascending
from forecast.head.base import Head, Levels


class Quantile(Head):
    def __init__(self, *, levels: Sequence[float]):
        self.levels = ascending(levels)
        if not levels[0] <= 0.5 <= levels[-1]:
            raise Refusal(
                f"head.levels={list(levels)}: the point forecast is the median, so they must span 0.5", "config"
            )
        self.width, self.span = len(levels), (levels[0], levels[-1])
        self.middle = min(range(self.width), key=lambda i: abs(levels[i] - 0.5))

    @property
    def begin(self) -> tuple[float, ...]:
        """Those of the standard normal law, as other laws begin: from equal steps of softplus(0) a map takes epochs."""
        law = torch.special.ndtri(torch.tensor(self.levels, dtype=torch.float64, device="cpu"))
        steps = law.diff().expm1().log().tolist()
        return (*steps[: self.middle], float(law[self.middle]), *steps[self.middle :])

    def known(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c w"]:
        """The quantiles at the trained levels."""
        middle = params[..., self.middle : self.middle + 1]
        below = functional.softplus(params[..., : self.middle]).flip(-1).cumsum(-1).flip(-1)
        above = functional.softplus(params[..., self.middle + 1 :]).cumsum(-1)
        return torch.cat((middle - below, middle, middle + above), -1)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        error = target[..., None] - self.known(params)
        levels = torch.tensor(self.levels, dtype=error.dtype, device=error.device)
        return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)  # twice the pinball: at 0.5 the MAE

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        if 0.5 in self.levels:
            return params[..., self.middle]  # given itself
        return self.quantiles(params, (0.5,))[..., 0]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        """Trained levels as they are, levels between them by linear interpolation.

        Levels of their own are for draws: they may lie outside the trained ones, where tails are exponential.
        """
        if isinstance(levels, Tensor):
            return self.drawn(self.known(params), levels.to(params))
        if tuple(levels) == self.levels:
            return self.known(params)
        outside = [level for level in levels if not self.levels[0] <= level <= self.levels[-1]]
        if outside:
            raise Refusal(
                f"levels {outside} lie outside the trained {self.levels[0]} ... {self.levels[-1]}: "
                "train with a wider head.levels",
                "levels",
            )
        at = torch.tensor(list(levels), dtype=params.dtype, device=params.device)
        return self.between(self.known(params), at).cummax(-1).values  # interpolation may round out of order

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        """Draws by the inverse distribution function, with exponential tails outside the outermost levels."""
        known = self.known(params)
        uniform = torch.rand(*known.shape[:-1], n, dtype=known.dtype, device=known.device)
        return self.drawn(known, uniform.clamp(min=torch.finfo(known.dtype).tiny)).movedim(-1, 0)

    def drawn(self, known: Tensor, at: Tensor) -> Tensor:
        """The quantile function of a whole law, at levels within 0 and 1 (last axis).

        Each tail is exponential through the two levels that are its nearest (Park et al. 2022, I(S)QF). Flat tails
        would take a third of the variance off every draw, and make paths of many steps far too narrow.
        """
        first, last = self.levels[0], self.levels[-1]
        found = self.between(known, at.clamp(first, last))
        if self.width == 1:
            return found
        below = (first / at).log().clamp(min=0) / math.log(self.levels[1] / first)
        above = ((1 - last) / (1 - at)).log().clamp(min=0) / math.log((1 - self.levels[-2]) / (1 - last))
        return found + above * (known[..., -1:] - known[..., -2:-1]) - below * (known[..., 1:2] - known[..., :1])

    def between(self, known: Tensor, at: Tensor) -> Tensor:
        """The quantile function through `known`, at levels inside the trained ones (last axis)."""
        levels = torch.tensor(self.levels, dtype=known.dtype, device=known.device)
        if self.width == 1:
            return known.expand(*known.shape[:-1], at.shape[-1])
        right = torch.searchsorted(levels, at).clamp(1, self.width - 1)
        share = (at - levels[right - 1]) / (levels[right] - levels[right - 1])
        right = right.expand(*known.shape[:-1], at.shape[-1])
        low, high = known.gather(-1, right - 1), known.gather(-1, right)
        return torch.lerp(low, high, share.expand_as(low))
