"""The words that modules share: Window, Shape, Batch, Scaling, and what a backbone and a normalizer promise.

Axes: b windows of a batch, t steps, c channels, p past covariates, f future covariates, s static numbers, k static
categories, d features of a backbone, w numbers of a head per step and channel, q quantile levels.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

State = tuple[Tensor, ...]
CONSTANT = 1e-12  # a deviation below this share of the level is rounding, not movement: it is taken as 1


def mix(*numbers: int) -> int:
    """A seed from several numbers: a fixed hash of 63 bits (splitmix64: G. L. Steele et al., 2014)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state >> 1


def integer(largest: int) -> torch.dtype:
    """The type of numbers up to the largest, of which there are many."""
    return torch.int32 if largest < 1 << 31 else torch.int64


def joined(*parts: Float[Tensor, "*axes _"]) -> Float[Tensor, "*axes _"]:
    """Tensors side by side on their last axis; those without columns, which may be all but one, cost no copy."""
    wide = [x for x in parts if x.shape[-1]] or list(parts[:1])
    return torch.cat(wide, -1) if len(wide) > 1 else wide[0]


@dataclass(frozen=True)
class Window:
    """Which steps a window spans: `context` steps seen, `gap` steps skipped, `horizon` steps forecast.

    `stride` is the distance between windows. `anchor` (a local time of day such as "00:00", or None) keeps only the
    windows whose first target step is at that time; steps after the last whole local day that the horizon covers
    don't count. `lead` is the number of steps between the issue and the first target step (None: the gap, as a forecast
    is issued at its cutoff).
    """

    context: int
    horizon: int
    stride: int = 1
    gap: int = 0
    anchor: str | None = None
    lead: int | None = None

    @property
    def length(self) -> int:
        return self.context + self.gap + self.horizon

    @property
    def ahead(self) -> int:
        """Steps after the cutoff that a window needs."""
        return self.gap + self.horizon


@dataclass(frozen=True)
class Shape:
    """The facts that flow from data, window and head to a model; computed once."""

    context: int
    horizon: int
    gap: int
    channels: int
    past: int
    future: int
    static: int
    cardinalities: tuple[int, ...]
    season: int
    series: int
    width: int

    @property
    def features(self) -> int:
        """Columns that a backbone sees at each step of the context."""
        return self.channels + self.past + self.future


class Batch(NamedTuple):
    """Windows as tensors; what is absent has zero columns.

    `y` and `target` are float64 in data units, filled with the value last seen where not observed. `clock` counts the
    steps of the local wall clock, so that `clock % season` is the phase. `series` is a slot of Scaling (0: a series
    not seen in training), `cutoff` the panel's row that was seen last. `weight` is 0 for a window that only fills up
    a batch; the others carry what makes the mean over ranks of the batch mean the mean over the global batch.
    """

    y: Float64[Tensor, "b context c"]
    y_observed: Bool[Tensor, "b context c"]
    past: Float32[Tensor, "b context p"]
    past_observed: Bool[Tensor, "b context p"]
    future: Float32[Tensor, "b length f"]
    future_observed: Bool[Tensor, "b length f"]
    target: Float64[Tensor, "b horizon c"]
    target_observed: Bool[Tensor, "b horizon c"]
    clock: Int64[Tensor, "b length"]
    static: Float32[Tensor, "b s"]
    codes: Int64[Tensor, "b k"]
    series: Int64[Tensor, " b"]
    cutoff: Int64[Tensor, " b"]
    weight: Float32[Tensor, " b"]

    def check(self) -> None:
        """Asserts what annotations of a NamedTuple can't: dtypes, sizes that agree, and finite numbers."""
        b, context, c = self.y.shape
        length, horizon = self.clock.shape[1], self.target.shape[1]
        assert self.y.dtype == self.target.dtype == torch.float64
        assert self.past.dtype == self.future.dtype == self.static.dtype == self.weight.dtype == torch.float32
        assert self.clock.dtype == self.codes.dtype == self.series.dtype == self.cutoff.dtype == torch.int64
        masks = (self.y_observed, self.past_observed, self.future_observed, self.target_observed)
        assert all(mask.dtype == torch.bool for mask in masks)
        assert self.y_observed.shape == (b, context, c) and self.target.shape == (b, horizon, c)
        assert self.past.shape[:2] == (b, context) and self.past_observed.shape == self.past.shape
        assert self.future.shape[:2] == (b, length) and self.future_observed.shape == self.future.shape
        assert self.target_observed.shape == self.target.shape and length >= context + horizon
        assert all(x.shape[0] == b for x in self)
        assert all(bool(x.isfinite().all()) for x in self if x.is_floating_point())


@dataclass(frozen=True)
class Scaling:
    """What was learnt on train rows to bring each series and channel to a common scale: z = (y - loc) / scale.

    `kind` names the scaler; "asinh" bends z, and "log1p" bends y first. Slot 0 pools all series and serves those not
    seen in training. float64 throughout.
    """

    kind: str
    loc: Float64[Tensor, "slots c"]
    scale: Float64[Tensor, "slots c"]

    def of(self, series: Int64[Tensor, " b"]) -> tuple[Float64[Tensor, "b 1 c"], Float64[Tensor, "b 1 c"]]:
        """What was learnt of these series: loc and scale."""
        return self.loc.index_select(0, series)[:, None], self.scale.index_select(0, series)[:, None]

    def apply(self, y: Float64[Tensor, "b t c"], series: Int64[Tensor, " b"]) -> Float64[Tensor, "b t c"]:
        y = y.log1p() if self.kind == "log1p" else y
        loc, scale = self.of(series)
        z = (y - loc) / scale
        return z.asinh() if self.kind == "asinh" else z

    def invert(self, z: Float64[Tensor, "b t c *q"], series: Int64[Tensor, " b"]) -> Float64[Tensor, "b t c *q"]:
        """Back to data units; `z` may carry a last axis of quantiles."""
        loc, scale = self.of(series)
        if z.ndim == 4:
            loc, scale = loc[..., None], scale[..., None]
        z = z.sinh() if self.kind == "asinh" else z
        y = z * scale + loc
        return y.expm1() if self.kind == "log1p" else y


@runtime_checkable
class Layer(Protocol):
    """One layer of a backbone in one direction: an nn.Module built as `Layer(features, *, ...)`.

    `size` is the number d of its outputs. A state is a tuple of tensors whose first axis is b (so that it can be
    expanded, say for sample paths); its first tensor is the output just given. A loop of `step` equals `forward`.
    """

    size: int

    def __call__(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]: ...

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]: ...

    def initial(self, b: int) -> State: ...


class Backbone(Layer, Protocol):
    """What reads a sequence: layers stacked (`forecast.backbone.base.Stack`), called as one of them is.

    With two `directions` the first half of its outputs reads forward, the second backward, and it has no `step`. Its
    state is to be handed on as it is: which of its tensors means what is the layers' own business.
    """

    directions: int


class Normalizer(Protocol):
    """What takes a window's own level and spread out: an nn.Module built as `Normalizer(shape, *, ...)`.

    Returns z for the context, and loc and scale of the horizon: forecast = network's output * scale + loc. Always
    affine with a positive scale, so several compose and quantiles keep their order. `keeps` names the kinds of targets
    (`support` of a head) that it leaves such: "real" alone if it shifts, "positive", too, if it only scales, and
    "count" if it does neither. `alike` says whether the horizon's values are normalised as the context's are.
    """

    keeps: tuple[str, ...]
    alike: bool

    def __call__(
        self, y: Float64[Tensor, "b context c"], observed: Bool[Tensor, "b context c"], clock: Int64[Tensor, "b length"]
    ) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b steps c"], Float64[Tensor, "b 1 c"]]: ...
