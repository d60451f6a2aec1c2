"""Starts a forecast from the last season seen, so that a network forecasts the change from seasonal naive.

The context is left as it is. Source of seasonal differences: G. Box, G. Jenkins, "Time series analysis", 1970.
"""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from forecast.contract import Shape
from forecast.error import Refusal


class Season(nn.Module):
    keeps = ("real",)
    alike = False

    def __init__(self, shape: Shape):
        super().__init__()
        if shape.season > shape.context:
            raise Refusal(
                f"normalizer=season needs a context of a season ({shape.season}); it is {shape.context}", "config"
            )
        self.season, self.gap, self.horizon = shape.season, shape.gap, shape.horizon

    def forward(
        self, y: Float64[Tensor, "b context c"], observed: Bool[Tensor, "b context c"], clock: Int64[Tensor, "b length"]
    ) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b horizon c"], Float64[Tensor, "b 1 c"]]:
        steps = torch.arange(self.gap, self.gap + self.horizon, device=y.device) % self.season
        return y, y[:, y.shape[1] - self.season + steps], torch.ones_like(y[:, :1])
