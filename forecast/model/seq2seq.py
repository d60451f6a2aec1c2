"""Encoder and decoder: one network reads the context, another, step by step, goes on from its state over the horizon.

Sources: I. Sutskever et al., "Sequence to sequence learning with neural networks", 2014; attention by an additive score
(D. Bahdanau et al., "Neural machine translation by jointly learning to align and translate", 2015) or a multiplicative
one (M.-T. Luong et al., "Effective approaches to attention-based neural machine translation", 2015); a falling share
of true values (S. Bengio et al., "Scheduled sampling for sequence prediction with recurrent neural networks", 2015).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from forecast.contract import Backbone, Batch, Shape, joined
from forecast.error import Refusal
from forecast.model._beside import Constants, stepwise
from forecast.model.base import Mapped, Model, Parts


class Seq2seq(Model):
    """Each step of the decoder sees the value before, known covariates, static ones and what attention picks out.

    The value before is the true one for a share `forcing` of the windows in training, which falls to 0 until the last
    epoch by the `schedule`; else it is the decoder's own point forecast. `weights` [b horizon context] are those of
    the last batch that was not trained on.
    """

    def __init__(
        self,
        shape: Shape,
        make_backbone: Callable[[int], Backbone],
        parts: Parts,
        *,
        attention: Literal["none", "additive", "multiplicative"],
        forcing: float,
        schedule: Literal["constant", "linear", "sigmoid"],
        dropout: float,
        embedding: int,
        skip: Literal["none", "last", "linear"],
    ):
        super().__init__(shape, parts, skip)
        if not 0 <= forcing <= 1:
            raise Refusal(f"model.forcing={forcing}: expected a share between 0 and 1", "config")
        self.forcing, self.schedule, self.constants = forcing, schedule, Constants(shape, embedding)
        self.encoder = make_backbone(shape.features)
        stepwise("seq2seq", self.encoder, self.normalizers)
        self.attend = ATTENTIONS[attention](self.encoder.size)
        seen = shape.channels + shape.future + self.constants.size
        self.decoder = make_backbone(seen + self.attend.size)
        self.out = nn.Sequential(
            nn.Dropout(dropout), self.reading(self.decoder.size + self.attend.size, shape.channels)
        )
        self.attends = attention != "none"

    def forward(self, batch: Batch) -> Mapped:
        z, loc, scale = self.normalized(batch)
        start = self.skip(z).expand(-1, self.shape.horizon, -1)
        true = None
        if self.training and self.share():
            true = self.seen(((self.scaling.apply(batch.target, batch.series) - loc) / scale).float())
        return Mapped(self.decoded(self.seen(z), start, true, batch).float(), loc + start * scale, scale)

    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        return self.decoded(z, self.skip(z).expand(-1, self.shape.horizon, -1), None, batch)

    def decoded(self, z: Tensor, start: Tensor, true: Tensor | None, batch: Batch) -> Float[Tensor, "b horizon c w"]:
        """The head's numbers step by step, to be added to `start`; where chance wants it after the `true` values."""
        read, state = self.encoder(self.features(z, batch), self.encoder.initial(z.shape[0]))
        keys, constants = self.attend.keys(read), self.constants(batch)
        value, out, found, weights = z[:, -1], read[:, -1], [], []
        for step, known in enumerate(batch.future[:, -self.shape.horizon :].unbind(1)):
            picked, weight = self.attend(out, keys, read)
            out, state = self.decoder.step(joined(value, known, constants, picked), state)
            found.append(self.out(joined(out, picked)).unflatten(-1, (self.shape.channels, -1)).float())
            weights.append(weight)
            value = self.seen(self.head.point(found[-1][:, None])[:, 0] + start[:, step])
            value = value.detach() if self.training else value  # the gradient of a forecast goes along its own path
            if true is not None:
                chosen = torch.rand(len(value), 1, device=value.device) < self.share()
                value = torch.where(chosen, true[:, step], value)
        if not self.training:
            self.weights = torch.stack(weights, 1).detach()
        return torch.stack(found, 1)

    def share(self) -> float:
        """The share of true values in this epoch."""
        if self.schedule == "constant" or self._trainer is None:
            return self.forcing
        epochs = self.trainer.max_epochs
        if not epochs or epochs < 1:
            raise Refusal(
                f"model.schedule={self.schedule} needs a last epoch: set trainer.max_epochs, or schedule=constant",
                "config",
            )
        done = self.current_epoch / epochs
        return self.forcing * (1 - done if self.schedule == "linear" else 1 / (1 + math.exp(10 * (done - 0.5))))


class Nowhere(nn.Module):
    """No attention: nothing is picked out."""

    size = 0

    def __init__(self, size: int):
        super().__init__()

    def keys(self, read: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        return read

    def forward(self, out: Float[Tensor, "b d"], keys: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        return out[:, :0], out[:, :0]


class Additive(nn.Module):
    """An average of what the encoder gave, by v tanh(W out + U read)."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.ask, self.keys = nn.Linear(size, size), nn.Linear(size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, out: Float[Tensor, "b d"], keys: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.score((self.ask(out)[:, None] + keys).tanh())[..., 0].softmax(-1)
        return (weight[..., None] * read).sum(1), weight


class Multiplicative(nn.Module):
    """An average of what the encoder gave, by out W read."""

    def __init__(self, size: int):
        super().__init__()
        self.size, self.keys = size, nn.Linear(size, size, bias=False)

    def forward(self, out: Float[Tensor, "b d"], keys: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        weight = (keys * out[:, None]).sum(-1).softmax(-1)
        return (weight[..., None] * read).sum(1), weight


ATTENTIONS = {"none": Nowhere, "additive": Additive, "multiplicative": Multiplicative}
