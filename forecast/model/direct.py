"""Direct decoding: the state after the context and what is known of the horizon give all steps at once.

Source of the strategy: S. Ben Taieb et al., "A review and comparison of strategies for multi-step ahead time series
forecasting based on the NN5 forecasting competition", 2012.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from forecast.contract import Backbone, Batch, Shape, joined
from forecast.model._beside import Constants
from forecast.model.base import Model, Parts


class Direct(Model):
    """What is left of the context, static covariates and the horizon's known ones -> every step and channel.

    `pooling` takes the last state, or an average of all by learnt weights (attention: D. Bahdanau et al., 2015, with a
    learnt query; the same for all steps of the horizon); `hidden` is the width of the layer between (0: none),
    `embedding` that of each static category.
    """

    def __init__(
        self,
        shape: Shape,
        make_backbone: Callable[[int], Backbone],
        parts: Parts,
        *,
        pooling: Literal["last", "attention"],
        hidden: int,
        dropout: float,
        embedding: int,
        skip: Literal["none", "last", "linear"],
    ):
        super().__init__(shape, parts, skip)
        self.backbone = make_backbone(shape.features)
        self.constants = Constants(shape, embedding)
        self.pool, self.attends = POOLINGS[pooling](self.backbone), pooling == "attention"
        seen = self.backbone.size + self.constants.size + shape.horizon * shape.future
        layers = [nn.Linear(seen, hidden), nn.ReLU()] if hidden else []
        self.decode = nn.Sequential(
            nn.Dropout(dropout), *layers, self.reading(hidden or seen, shape.horizon * shape.channels)
        )

    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        out, _ = self.backbone(self.features(z, batch), self.backbone.initial(z.shape[0]))
        known = batch.future[:, -self.shape.horizon :].flatten(1)
        if self.attends and not self.training:
            self.weights = self.pool.weigh(out).mT.expand(-1, self.shape.horizon, -1).detach()
        seen = joined(self.pool(out), self.constants(batch), known)
        return self.decode(seen).unflatten(-1, (self.shape.horizon, self.shape.channels, self.shape.width))


class Last(nn.Module):
    """The last output; of two directions the last of each, which the backward one has at the first step."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.directions = backbone.directions

    def forward(self, out: Float[Tensor, "b t d"]) -> Float[Tensor, "b d"]:
        if self.directions == 1:
            return out[:, -1]
        forward, backward = out.chunk(2, -1)
        return torch.cat((forward[:, -1], backward[:, 0]), -1)


class Attention(nn.Module):
    """The outputs of all steps, averaged by learnt weights."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.keys, self.query = nn.Linear(backbone.size, backbone.size), nn.Linear(backbone.size, 1, bias=False)

    def weigh(self, out: Float[Tensor, "b t d"]) -> Float[Tensor, "b t 1"]:
        return self.query(self.keys(out).tanh()).softmax(1)

    def forward(self, out: Float[Tensor, "b t d"]) -> Float[Tensor, "b d"]:
        return (self.weigh(out) * out).sum(1)


POOLINGS = {"last": Last, "attention": Attention}
