"""Segments instead of steps: a few of them make recurrence short, and all of the horizon's are decoded in parallel.

Source: S. Lin et al., "SegRNN: segment recurrent neural network for long-term time series forecasting", 2023.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from forecast.contract import Backbone, Batch, Shape, joined
from forecast.error import Refusal
from forecast.model._beside import Constants, stepwise
from forecast.model.base import Model, Parts

USUAL = 24  # steps of a segment at most, if they are not named: a day of hours


class Segment(Model):
    """Each channel by itself: segments of `length` steps -> tokens of `hidden` numbers -> a step of the backbone each.

    Decoding `parallel`: the backbone takes one more step from its last state for each segment of the horizon, told
    which one, and with `identity` which channel (of one channel: which series). `recurrent`: it goes on from segment to
    segment of its own forecast. Known covariates of a segment, and static ones, stand beside its token: as they are, or
    as the `covariates` numbers that a layer makes of them.
    """

    def __init__(
        self,
        shape: Shape,
        make_backbone: Callable[[int], Backbone],
        parts: Parts,
        *,
        length: int | None,
        hidden: int,
        dropout: float,
        decoding: Literal["parallel", "recurrent"],
        identity: bool,
        embedding: int,
        covariates: int | None,
        skip: Literal["none", "last", "linear"],
    ):
        super().__init__(shape, parts, skip)
        context, horizon = shape.context, shape.horizon
        fit = [x for x in range(1, min(context, horizon) + 1) if context % x == 0 == horizon % x]
        length = max(x for x in fit if x <= USUAL) if length is None else length
        if length not in fit:
            near = sorted(sorted(fit, key=lambda x: abs(x - length))[:3])
            raise Refusal(
                f"model.length={length} does not divide context={context} and horizon={horizon}: of those that do the "
                f"nearest are {', '.join(map(str, near))}",
                "config",
            )
        if hidden < 2 or hidden % 2:
            raise Refusal(f"model.hidden={hidden}: expected an even number, half for the place of a segment", "config")
        if covariates is not None and covariates < 1:
            raise Refusal(f"model.covariates={covariates}: expected a whole number of at least 1, or null", "config")
        self.length, self.decoding, self.constants = length, decoding, Constants(shape, embedding)
        beside = length * shape.future + self.constants.size
        self.known = nn.Identity()
        if covariates is not None and beside:
            self.known, beside = nn.Sequential(nn.Linear(beside, covariates), nn.ReLU()), covariates
        self.token = nn.Sequential(nn.Linear(length * (1 + shape.past), hidden), nn.ReLU())
        self.backbone = make_backbone(hidden + beside)
        stepwise("segment", self.backbone, [])
        if decoding == "recurrent":
            if shape.past:
                raise Refusal(
                    "model.decoding=recurrent needs the covariates of data.past over the horizon, where they are not "
                    "known; use decoding=parallel",
                    "config",
                )
            if skip != "none":
                raise Refusal(
                    f"model.decoding=recurrent goes on from its own forecasts, which model.skip={skip} would shift: "
                    "use model.skip=none or decoding=parallel",
                    "config",
                )
            stepwise("segment", self.backbone, self.normalizers)
        else:
            several = shape.channels if shape.channels > 1 else shape.series
            self.who = nn.Embedding(several, hidden // 2) if identity else None
            self.where = nn.Parameter(torch.randn(horizon // length, hidden // 2 if identity else hidden))
        self.out = nn.Sequential(nn.Dropout(dropout), self.reading(self.backbone.size, length))

    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        own = joined(z.mT[..., None], batch.past[:, None].expand(-1, z.shape[-1], -1, -1))
        tokens = self.token(own.unflatten(2, (-1, self.length)).flatten(3))  # [b c n hidden]
        before = self.beside(batch.future[:, : self.shape.context], batch)
        ahead = self.beside(batch.future[:, -self.shape.horizon :], batch)
        decode = self.parallel if self.decoding == "parallel" else self.recurrent
        params = decode(tokens, before, ahead, batch).unflatten(0, tokens.shape[:2])
        return params.unflatten(-1, (self.length, self.shape.width)).flatten(2, 3).transpose(1, 2)

    def beside(self, known: Float[Tensor, "b t f"], batch: Batch) -> Float[Tensor, "b c m k"]:
        """What stands beside the token of each segment, the same for all channels."""
        segments = known.unflatten(1, (-1, self.length)).flatten(2)
        constants = self.constants(batch)[:, None].expand(-1, segments.shape[1], -1)
        return self.known(joined(segments, constants))[:, None].expand(-1, self.shape.channels, -1, -1)

    def parallel(self, tokens: Tensor, before: Tensor, ahead: Tensor, batch: Batch) -> Tensor:
        """One step from the state after the context for each segment of the horizon [b*c m length*w]."""
        x = joined(tokens, before).flatten(0, 1)
        _, state = self.backbone(x, self.backbone.initial(x.shape[0]))
        b, c, m = ahead.shape[:3]
        slots = [self.where.expand(b, c, -1, -1)]
        if self.who is not None:
            number = torch.arange(c, device=x.device).expand(b, c) if c > 1 else batch.series[:, None]
            slots.append(self.who(number)[:, :, None].expand(-1, -1, m, -1))
        x = joined(*slots, ahead).flatten(0, 2)
        out, _ = self.backbone.step(x, tuple(each.repeat_interleave(m, 0) for each in state))
        return self.out(out).unflatten(0, (b * c, m))

    def recurrent(self, tokens: Tensor, before: Tensor, ahead: Tensor, batch: Batch) -> Tensor:
        """Step by step, each from the segment before the one that it forecasts, seen or forecast [b*c m length*w]."""
        x = joined(tokens, before)[:, :, :-1].flatten(0, 1)
        state = self.backbone.initial(x.shape[0])
        if x.shape[1]:
            _, state = self.backbone(x, state)
        token, found = tokens[:, :, -1].flatten(0, 1), []
        for beside in ahead.flatten(0, 1).unbind(1):
            out, state = self.backbone.step(joined(token, beside), state)
            found.append(self.out(out))
            params = found[-1].unflatten(-1, (self.length, 1, self.shape.width))
            token = self.token(self.seen(self.head.point(params))[..., 0])
        return torch.stack(found, 1)
