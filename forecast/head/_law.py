"""What laws share: their levels, positive numbers out of any, and quantiles that keep their order."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from forecast.error import Refusal
from forecast.head.base import Levels


def ascending(levels: Sequence[float], key: str = "head.levels") -> tuple[float, ...]:
    """The levels of a configuration, refused unless they ascend (in float32, too) between 0 and 1."""
    known = torch.tensor(list(levels), device="cpu")  # whatever device a model is made on
    if not len(levels) or not (known.diff() > 0).all() or not 0 < levels[0] <= levels[-1] < 1:
        raise Refusal(f"{key}={list(levels)}: expected ascending levels between 0 and 1", "config")
    return tuple(levels)


def inside(levels: Levels, params: Tensor) -> Float64[Tensor, "*b q"]:
    """The levels asked of a law, beside its numbers; refused where it has no quantile."""
    if isinstance(levels, Tensor):
        return levels.double().to(params.device)
    outside = [level for level in levels if not 0 < level < 1]
    if outside:
        raise Refusal(f"levels {outside} are outside the law: a quantile has a level between 0 and 1", "levels")
    return torch.tensor(list(levels), dtype=torch.float64, device=params.device)


def ordered(quantiles: Float64[Tensor, "b h c q"], params: Tensor) -> Float[Tensor, "b h c q"]:
    """Quantiles at ascending levels as the head gives them: finite, and in order after all rounding."""
    largest = torch.finfo(params.dtype).max
    return quantiles.clamp(-largest, largest).to(params.dtype).cummax(-1).values


def positive(x: Tensor, power: int = 6, floor: float = 1e-4) -> Tensor:
    """A number above the floor from any: exp(x) near 0 and a power of x far away.

    Unlike exp it overflows nowhere in reach (6: float32 holds it up to x = 1e6), and unlike softplus its gradient dies
    nowhere: that of its log is 1 / sqrt(1 + (x / power)^2). A power of 1 is linear, and close to softplus in shape.
    """
    return floor + torch.exp(power * torch.asinh(x / power))
