"""Takes out mean and standard deviation of the observed context and gives them back to the forecast.

Source: T. Kim et al., "Reversible instance normalization for accurate time-series forecasting against distribution
shift" (RevIN), 2022.
"""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from forecast.contract import CONSTANT, Shape


class Standard(nn.Module):
    """With `affine` each channel learns a weight, as its log so that it stays positive, and a bias."""

    keeps = ("real",)
    alike = True

    def __init__(self, shape: Shape, *, affine: bool):
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.zeros(shape.channels)) if affine else None for _ in range(2))

    def forward(
        self, y: Float64[Tensor, "b context c"], observed: Bool[Tensor, "b context c"], clock: Int64[Tensor, "b length"]
    ) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b 1 c"], Float64[Tensor, "b 1 c"]]:
        count = observed.sum(1, keepdim=True).clamp(min=1)
        mean = (y * observed).sum(1, keepdim=True) / count
        spread = (((y - mean) * observed).square().sum(1, keepdim=True) / count).sqrt()
        level = (y * observed).abs().amax(1, keepdim=True)
        scale = torch.where(spread > CONSTANT * level, spread, 1.0)
        if self.weight is None or self.bias is None:
            return (y - mean) / scale, mean, scale
        weight, bias = self.weight.double().exp(), self.bias.double()
        return (y - mean) / scale * weight + bias, mean - bias * scale / weight, scale / weight
