"""No recurrence: a linear map of the context, the control that every recurrent network must beat.

NLinear is normalizer=[last], DLinear kernel=25, CycleNet-Linear normalizer=[standard,cycle].

Sources: A. Zeng et al., "Are transformers effective for time series forecasting?", 2023; S. Lin et al., "CycleNet:
enhancing time series forecasting through modeling periodic patterns", 2024.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from forecast.contract import Backbone, Batch, Shape, joined
from forecast.error import Refusal
from forecast.model._beside import Constants
from forecast.model.base import Model, Parts


class Linear(Model):
    """Context, covariates of context and horizon -> every step of a channel; one map for all channels, or one each.

    With a `kernel`, the moving average over so many steps and what is left of it have maps of their own. `embedding`
    is the width of each static category.
    """

    recurrent = False

    def __init__(
        self,
        shape: Shape,
        make_backbone: Callable[[int], Backbone],
        parts: Parts,
        *,
        kernel: int | None,
        individual: bool,
        embedding: int,
    ):
        super().__init__(shape, parts)
        if kernel is not None and (kernel < 3 or kernel % 2 == 0):
            raise Refusal(f"model.kernel={kernel}: expected an odd number of steps, 3 at least", "config")
        self.constants, self.kernel = Constants(shape, embedding), kernel
        known = shape.context * (shape.past + shape.future) + shape.horizon * shape.future + self.constants.size
        copies, trends = shape.channels if individual else 1, shape.horizon * shape.width
        self.maps = nn.ModuleList(self.reading(shape.context + known, shape.horizon) for _ in range(copies))
        self.trends = nn.ModuleList(nn.Linear(shape.context, trends) for _ in range(copies if kernel else 0))

    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        horizon, channels = self.shape.horizon, self.shape.channels
        ends = batch.future[:, : self.shape.context], batch.future[:, -horizon:]
        known = joined(batch.past.flatten(1), *(x.flatten(1) for x in ends), self.constants(batch))
        trend = averaged(z, self.kernel) if self.kernel else torch.zeros_like(z)
        rows = joined((z - trend).mT, known[:, None].expand(-1, channels, -1))
        out = applied(self.maps, rows)
        if self.kernel:
            out = out + applied(self.trends, trend.mT)
        return out.unflatten(-1, (horizon, self.shape.width)).transpose(1, 2)


def applied(maps: nn.ModuleList, rows: Float[Tensor, "b c n"]) -> Float[Tensor, "b c m"]:
    """One map for all channels, or each its own."""
    if len(maps) == 1:
        return maps[0](rows)
    return torch.stack([one(row) for one, row in zip(maps, rows.unbind(1), strict=True)], 1)


def averaged(z: Float[Tensor, "b t c"], kernel: int) -> Float[Tensor, "b t c"]:
    """The moving average around each step; the ends are repeated outwards."""
    half = kernel // 2
    padded = functional.pad(z.mT, (half, half), mode="replicate")
    return functional.avg_pool1d(padded, kernel, 1).mT
