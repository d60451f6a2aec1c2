"""Subtracts the last value seen, so that a network forecasts the change from it.

Source: A. Zeng et al., "Are transformers effective for time series forecasting?", 2023 (NLinear).
"""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from forecast.contract import Shape


class Last(nn.Module):
    keeps = ("real",)
    alike = True

    def __init__(self, shape: Shape):
        super().__init__()

    def forward(
        self, y: Float64[Tensor, "b context c"], observed: Bool[Tensor, "b context c"], clock: Int64[Tensor, "b length"]
    ) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b 1 c"], Float64[Tensor, "b 1 c"]]:
        last = y[:, -1:]
        return y - last, last, torch.ones_like(last)
