"""Direct decoding: the state after the context and what is known of the horizon give all steps at once.

Source of the strategy: S. Ben Taieb et al., "A review and comparison of strategies for multi-step ahead time series
forecasting based on the NN5 forecasting competition", 2012.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from forecast.contract import Backbone, Batch, Shape
from forecast.model.base import Model, Parts


class Direct(Model):
    """Last state, static covariates and the horizon's known covariates -> one layer or two -> every step and channel.

    `hidden` is the width of the layer between (0: none), `embedding` that of each static category.
    """

    def __init__(
        self,
        shape: Shape,
        make_backbone: Callable[[int], Backbone],
        parts: Parts,
        *,
        hidden: int,
        dropout: float,
        embedding: int,
    ):
        super().__init__(shape, parts)
        self.backbone = make_backbone(shape.features)
        self.embed = nn.ModuleList(nn.Embedding(known, embedding) for known in shape.cardinalities)
        seen = self.backbone.size + shape.static + len(self.embed) * embedding + shape.horizon * shape.future
        out = shape.horizon * shape.channels * shape.width
        layers = [nn.Linear(seen, hidden), nn.ReLU()] if hidden else []
        self.decode = nn.Sequential(nn.Dropout(dropout), *layers, nn.Linear(hidden or seen, out))

    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        out, _ = self.backbone(self.features(z, batch), self.backbone.initial(len(z)))
        known = batch.future[:, -self.shape.horizon :].flatten(1)
        codes = [embed(code) for embed, code in zip(self.embed, batch.codes.T, strict=True)]
        seen = torch.cat((last(out, self.backbone.directions), batch.static, *codes, known), -1)
        return self.decode(seen).unflatten(-1, (self.shape.horizon, self.shape.channels, self.shape.width))


def last(out: Float[Tensor, "b t d"], directions: int) -> Float[Tensor, "b d"]:
    """The last output; of two directions the last of each, which the backward one has at the first step."""
    if directions == 1:
        return out[:, -1]
    forward, backward = out.chunk(2, -1)
    return torch.cat((forward[:, -1], backward[:, 0]), -1)
