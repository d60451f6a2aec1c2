"""Divides by the mean absolute value of the observed context: a scale without a shift, for targets with a true zero.

Source: D. Salinas et al., "DeepAR: probabilistic forecasting with autoregressive recurrent networks", 2020.
"""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from forecast.contract import Shape


class Mean(nn.Module):
    """A window of zeros has scale 1; in any other the mean is no rounding, as all that it adds up is positive."""

    keeps = ("real", "positive")
    alike = True

    def __init__(self, shape: Shape):
        super().__init__()

    def forward(
        self, y: Float64[Tensor, "b context c"], observed: Bool[Tensor, "b context c"], clock: Int64[Tensor, "b length"]
    ) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b 1 c"], Float64[Tensor, "b 1 c"]]:
        mean = (y.abs() * observed).sum(1, keepdim=True) / observed.sum(1, keepdim=True).clamp(min=1)
        scale = torch.where(mean > 0, mean, 1.0)
        return y / scale, torch.zeros_like(scale), scale
