"""What stands beside the network of a model: static covariates, what a forecast starts from, what can't go together."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from forecast.contract import Backbone, Batch, Shape, joined
from forecast.error import Refusal


class Constants(nn.Module):
    """Static covariates as one row of numbers: categories by embeddings; `size` may be 0."""

    def __init__(self, shape: Shape, embedding: int):
        super().__init__()
        self.embed = nn.ModuleList(nn.Embedding(known, embedding) for known in shape.cardinalities)
        self.size = shape.static + len(self.embed) * embedding

    def forward(self, batch: Batch) -> Float[Tensor, "b s"]:
        codes = [embed(code) for embed, code in zip(self.embed, batch.codes.T, strict=True)]
        return joined(batch.static, *codes)


class Nothing(nn.Module):
    """A forecast that starts from 0."""

    def __init__(self, shape: Shape):
        super().__init__()

    def forward(self, z: Float32[Tensor, "b context c"]) -> Float32[Tensor, "b 1 c"]:
        return torch.zeros_like(z[:, :1])


class LastValue(nn.Module):
    """A forecast that starts from the last value of the context, which the network still sees (unlike normalizer=last).

    Source: A. Zeng et al., "Are transformers effective for time series forecasting?", 2023 (NLinear).
    """

    def __init__(self, shape: Shape):
        super().__init__()

    def forward(self, z: Float32[Tensor, "b context c"]) -> Float32[Tensor, "b 1 c"]:
        return z[:, -1:]


class Highway(nn.Module):
    """A forecast that starts from a linear map of the context, the same for all channels; 0 before training.

    Source: G. Lai et al., "Modeling long- and short-term temporal patterns with deep neural networks" (LSTNet), 2018.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.map = nn.Linear(shape.context, shape.horizon)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, z: Float32[Tensor, "b context c"]) -> Float32[Tensor, "b horizon c"]:
        return self.map(z.mT).mT.float()


STARTS = {"none": Nothing, "last": LastValue, "linear": Highway}


def stepwise(model: str, backbone: Backbone, normalizers: Iterable[Any]) -> None:
    """Refuses what a model that goes step by step, on its own forecasts, can't go with."""
    if backbone.directions > 1:
        raise Refusal(
            f"model={model} goes step by step: it needs backbone.bidirectional=false, or model=direct", "config"
        )
    if any(not normalizer.alike for normalizer in normalizers):
        raise Refusal(
            f"model={model} goes on from its own forecasts: normalizer=season, which treats them otherwise than the "
            "context, is not for it; use last, standard or cycle",
            "config",
        )
