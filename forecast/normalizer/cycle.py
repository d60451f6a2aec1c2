"""Takes a learnt cycle out of the context and gives it back to the forecast, so that a network forecasts the rest.

Source: S. Lin et al., "CycleNet: enhancing time series forecasting through modeling periodic patterns", 2024.
"""

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from forecast.contract import Shape
from forecast.error import Refusal


class Cycle(nn.Module):
    """A table of `length` steps (null: the season) for each channel, from zeros; the clock says which step it is."""

    keeps = ("real",)
    alike = True

    def __init__(self, shape: Shape, *, length: int | None):
        super().__init__()
        length = shape.season if length is None else length
        if length < 1:
            raise Refusal(f"normalizer.cycle.length={length}: expected a whole number of at least 1, or null", "config")
        self.horizon = shape.horizon
        self.table = nn.Parameter(torch.zeros(length, shape.channels))

    def forward(
        self, y: Float64[Tensor, "b context c"], observed: Bool[Tensor, "b context c"], clock: Int64[Tensor, "b length"]
    ) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b horizon c"], Float64[Tensor, "b 1 c"]]:
        cycle = self.table.double()[clock % len(self.table)]
        return y - cycle[:, : y.shape[1]], cycle[:, -self.horizon :], torch.ones_like(y[:, :1])
