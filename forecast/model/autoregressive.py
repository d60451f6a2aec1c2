"""One network over context and horizon: each step forecasts the next from the values before, seen or drawn.

With a head that is a distribution this is DeepAR: quantiles come from sample paths, so that the steps of a forecast
depend on each other as they do in the data.

Source: D. Salinas et al., "DeepAR: probabilistic forecasting with autoregressive recurrent networks", 2020.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from forecast.contract import Backbone, Batch, Shape, joined
from forecast.error import Refusal
from forecast.model._beside import Constants, stepwise
from forecast.model.base import Model, Parts

State = tuple[Tensor, ...]


class Autoregressive(Model):
    """The values before (one, and `lags` steps), known and static covariates -> the head's numbers of the next step.

    Training judges every step of the window from true values; where a gap hides some, those of the context. A forecast
    rolls over gap and horizon and drops the gap: by its point if the head has no quantiles, else on `paths` paths,
    whose draws are spread evenly over the levels, and the same for every window.
    """

    def __init__(
        self,
        shape: Shape,
        make_backbone: Callable[[int], Backbone],
        parts: Parts,
        *,
        lags: Sequence[int] | None,
        paths: int,
        dropout: float,
        embedding: int,
    ):
        super().__init__(shape, parts)
        if shape.past:
            raise Refusal(
                "model=autoregressive goes on over the horizon, where the covariates of data.past are not known: move "
                "them to data.future if they are, or use model=direct",
                "config",
            )
        usual = [shape.season] if 1 < shape.season < shape.context else []
        self.lags = [1, *(x for x in (usual if lags is None else lags) if x != 1)]
        if min(self.lags) < 1 or max(self.lags) >= shape.context:
            raise Refusal(
                f"model.lags={self.lags[1:]}: expected numbers of steps from 1 to below context={shape.context}",
                "config",
            )
        if shape.gap and not parts.emphasis.even:
            raise Refusal(
                "model=autoregressive with a gap learns from the context alone: loss.horizon and loss.spike, which are "
                "about the horizon, need gap=0",
                "config",
            )
        if paths < 2:
            raise Refusal(f"model.paths={paths}: expected 2 at least", "config")
        self.paths, self.constants = paths, Constants(shape, embedding)
        self.backbone = make_backbone(shape.channels * len(self.lags) + shape.future + self.constants.size)
        stepwise("autoregressive", self.backbone, self.normalizers)
        self.out = nn.Sequential(nn.Dropout(dropout), self.reading(self.backbone.size, shape.channels))

    def read(self, values: Float[Tensor, "b t c"], batch: Batch) -> tuple[Float[Tensor, "b s c w"], State]:
        """The head's numbers of the steps from the longest lag on, and the state after the last."""
        steps, first = values.shape[1], max(self.lags)
        lagged = [values[:, first - lag : steps - lag] for lag in self.lags]
        constants = self.constants(batch)[:, None].expand(-1, steps - first, -1)
        x = joined(*lagged, batch.future[:, first:steps], constants)
        out, state = self.backbone(x, self.backbone.initial(x.shape[0]))
        return self.numbers(out), state

    def numbers(self, out: Float[Tensor, "*b d"]) -> Float[Tensor, "*b c w"]:
        return self.out(out).unflatten(-1, (self.shape.channels, self.shape.width)).float()

    def objective(self, batch: Batch) -> Float[Tensor, "b s c"]:
        z, loc, scale = self.normalized(batch)
        values, observed = z, batch.y_observed
        if not self.shape.gap:
            target = ((self.scaling.apply(batch.target, batch.series) - loc) / scale).float()
            values, observed = torch.cat((z, target), 1), torch.cat((observed, batch.target_observed), 1)
        params, _ = self.read(self.seen(values), batch)
        first = max(self.lags)
        return self.head.loss(params, values[:, first:]) * observed[:, first:]

    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        """The numbers along the path of point forecasts."""
        return self.rolled(z, batch, 1, lambda params: self.head.point(params[:, None])[:, 0])[0]

    def rolled(
        self, z: Tensor, batch: Batch, paths: int, draw: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "n horizon c w"], Float[Tensor, "n horizon c"]]:
        """Numbers and values of the horizon on `paths` paths a window, side by side; `draw` makes values of numbers."""
        _, state = self.read(z, batch)
        rows = torch.arange(z.shape[0], device=z.device).repeat_interleave(paths)
        state = tuple(each[rows] for each in state)
        inputs = list(z[rows].unbind(1))
        future, constants, found, values = batch.future[rows], self.constants(batch)[rows], [], []
        for step in range(self.shape.context, future.shape[1]):
            x = joined(*(inputs[step - lag] for lag in self.lags), future[:, step], constants)
            out, state = self.backbone.step(x, state)
            found.append(self.numbers(out))
            values.append(draw(found[-1]))
            inputs.append(self.seen(values[-1]))
        return torch.stack(found[-self.shape.horizon :], 1), torch.stack(values[-self.shape.horizon :], 1)

    @cached_property
    def chances(self) -> list[Float64[Tensor, "paths c"]]:
        """The level of each path, shuffled anew at every step and channel, for all windows the same."""
        places = (torch.arange(self.paths, dtype=torch.float64) + 0.5) / self.paths
        chance, channels = torch.Generator().manual_seed(self.seed), range(self.shape.channels)
        steps = range(self.shape.gap + self.shape.horizon)
        return [torch.stack([places[torch.randperm(self.paths, generator=chance)] for _ in channels], 1) for _ in steps]

    def forecast(
        self, batch: Batch, levels: Sequence[float]
    ) -> tuple[Float64[Tensor, "b horizon c"], Float64[Tensor, "b horizon c q"]]:
        if self.head.span is None:
            return super().forecast(batch, levels)
        z, loc, scale = self.normalized(batch)
        chances = iter(self.chances)

        def draw(params: Tensor) -> Tensor:
            """A value a path."""
            rows = params.unflatten(0, (-1, self.paths))  # [b n c w]
            return self.head.quantiles(rows, next(chances)[..., None])[..., 0].flatten(0, 1)

        _, values = self.rolled(self.seen(z), batch, self.paths, draw)
        values = values.unflatten(0, (-1, self.paths)).movedim(1, -1).double() * scale[..., None] + loc[..., None]
        values = self.scaling.invert(values, batch.series).sort(-1).values
        wanted = torch.tensor([*levels, 0.5], dtype=torch.float64, device=values.device) * (self.paths - 1)
        below = wanted.floor().long().clamp(max=self.paths - 2)
        quantiles = torch.lerp(values[..., below], values[..., below + 1], wanted - below)
        return quantiles[..., -1], quantiles[..., :-1].cummax(-1).values
