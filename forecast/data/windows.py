"""Panel + Window -> batches: a window is a row number, and a whole batch is one gather from a strided view."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Bool, Float32, Int, Int64
from torch import Tensor

from forecast.contract import Batch, Window, integer
from forecast.data.interpolation import NEVER, lined
from forecast.data.known import conceal, lead_of, unknown
from forecast.data.panel import Panel
from forecast.data.vintage import keys, newest
from forecast.error import Refusal

log = logging.getLogger(__name__)

WHOLE = ("y", "observed", "future", "future_observed")  # what spans a window,
SEEN = ("past", "past_observed")  # only its context,
FACTS = ("static", "codes")  # or is one row a series


class Windows:
    """Windows of a panel, by the rows at which their contexts start [window]; some may weigh more than others.

    What is not known when a forecast is issued is hidden: the value known last stands in its place.
    """

    def __init__(
        self,
        panel: Panel,
        window: Window,
        starts: Int[Tensor, " window"],
        weights: Float32[Tensor, " window"] | None = None,
    ):
        self.panel, self.window, self.weights = panel, window, weights
        self.starts = starts.to(integer(len(panel.y)))
        self.series = (torch.searchsorted(panel.offsets, starts, right=True) - 1).to(self.starts.dtype)
        self.begins = panel.begins
        self.shift = strided(panel.shift, window.length) if len(panel.shift) else None
        views = {name: strided(getattr(panel, name), window.length) for name in WHOLE}
        views |= {name: strided(getattr(panel, name), window.context) for name in SEEN}
        facts = {name: getattr(panel, name) for name in FACTS}
        self.views = {name: view for name, view in views.items() if view.shape[-1]}
        self.facts = {name: fact for name, fact in facts.items() if fact.shape[-1]}
        self.absent = {name: x[:0] for name, x in {**views, **facts}.items() if not x.shape[-1]}
        self.constants: dict[int, dict[str, Tensor]] = {}
        self.lead, self.hidden, self.vintages = lead_of(panel, window), unknown(panel, window), keys(panel)
        self.day = panel.layout.clock.at(window.anchor) if window.anchor else None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def cutoffs(self) -> Int[Tensor, " window"]:
        """The rows seen last."""
        return self.starts + self.window.context - 1

    @classmethod
    def between(cls, panel: Panel, window: Window, begin: int | Tensor, end: int | Tensor) -> "Windows":
        """All windows whose targets lie in [begin, end), numbers of the clock (one, or one a series).

        Contexts may reach back before.

        They follow each other by the window's stride, or, with an anchor, by the whole days in it (each, if it is
        shorter than one); then of the last day only the steps that count have to be there.
        """
        stride = 1 if window.anchor else window.stride
        phase, period = panel.layout.clock.at(window.anchor) if window.anchor else (0, 1)
        spare = window.horizon % period if window.horizon >= period else 0
        low = (begin - panel.first).clamp(min=window.context + window.gap)
        high = torch.minimum(end - panel.first, panel.lengths)
        count = ((high + spare - window.horizon - low).div(stride, rounding_mode="floor") + 1).clamp(min=0)
        opening = panel.offsets[:-1] + low - window.gap - window.context - stride * (count.cumsum(0) - count)
        starts = opening.repeat_interleave(count) + stride * torch.arange(int(count.sum()))
        if not window.anchor:
            return cls(panel, window, starts)
        series = torch.arange(len(count)).repeat_interleave(count)
        there = panel.clock(starts + window.context + window.gap, series) % period == phase
        starts, series = starts[there], series[there]
        if spare:  # what counts of the last day has to be there
            steps = starts[:, None] + torch.arange(window.length)
            counts = cls(panel, window, starts).counts(panel.clock(steps, series[:, None])).sum(1)
            last = starts + window.context + window.gap + counts
            there = last <= (panel.offsets[:-1] + high)[series]
            starts, series = starts[there], series[there]
        turn = torch.arange(len(series)) - torch.searchsorted(series, series)  # of each series' days
        return cls(panel, window, starts[turn % max(1, window.stride // period) == 0])

    @classmethod
    def latest(cls, panel: Panel, window: Window) -> "Windows":
        """One window a series: its targets follow the last observed row. Series without enough rows are left out.

        Raises Refusal if none is left, or the targets don't begin at the anchor.
        """
        short = panel.lengths < window.context
        names = [panel.names[i] for i in torch.nonzero(short).flatten().tolist()]
        if len(names) == len(panel.names):
            raise Refusal(
                f"{panel.source}: series '{names[0]}' has {int(panel.lengths[0])} rows up to its last value; a "
                f"forecast needs {window.context} (the context)",
                "too-short",
            )
        left_out(names, panel, f"{window.context} rows up to their last value")
        found = cls(panel, window, (panel.offsets[:-1] + panel.lengths - window.context)[~short])
        off = found.off
        if off.all():
            raise found.off_anchor(0, f"end the data {window.gap + 1} steps before the anchor")
        late = [panel.names[i] for i in found.series[off].tolist()]
        left_out(late, panel, f"their last value {window.gap + 1} steps before the anchor")
        return cls(panel, window, found.starts[~off])

    @property
    def off(self) -> Bool[Tensor, " window"]:
        """Which windows have targets that don't begin at the anchor."""
        if self.day is None:
            return torch.zeros_like(self.starts, dtype=torch.bool)
        phase, period = self.day
        return self.panel.clock(self.cutoffs + self.window.gap + 1, self.series) % period != phase

    def off_anchor(self, number: int, remedy: str) -> Refusal:
        """Why a window is refused that does not begin at the anchor."""
        panel, series, gap = self.panel, self.series[number], self.window.gap
        first = self.begins[series] + self.cutoffs[number] + gap + 1
        stamp = panel.layout.clock.stamps(first[None].numpy())[0]
        return Refusal(
            f"{panel.source}: with a gap of {gap} the forecast of series '{panel.names[series]}' would begin at "
            f"{stamp}, but the anchor is {self.window.anchor}: {remedy}",
            "anchor",
        )

    @classmethod
    def at(cls, panel: Panel, window: Window, cutoffs: Int64[Tensor, " n"]) -> "Windows":
        """The windows of all series at cutoffs, numbers of the clock, up to each series' last observed row.

        Raises Refusal for a cutoff at which no series has a whole context, or after which the anchor is not.
        """
        place = cutoffs - panel.first[:, None]
        there = (place + 1 >= window.context) & (place < panel.lengths[:, None])
        if not there.any(0).all():
            stamp = panel.layout.clock.stamps(cutoffs[~there.any(0)][:1].numpy())[0]
            raise Refusal(
                f"{panel.source}: no series can be forecast from the cutoff {stamp}: expected {window.context} rows up "
                "to it (the context), and a value at it or later",
                "cutoff",
            )
        found = cls(panel, window, (panel.offsets[:-1, None] + place + 1 - window.context)[there])
        if found.off.any():
            wrong = int(found.off.nonzero()[0])
            raise found.off_anchor(wrong, f"expected cutoffs {window.gap + 1} steps before the anchor")
        return found

    def seeing(self, context: int) -> "Windows":
        """The same targets after contexts of another length, which have to be there."""
        window, starts = replace(self.window, context=context), self.starts + self.window.context - context
        assert (starts >= self.panel.offsets[self.series]).all()
        return Windows(self.panel, window, starts, self.weights)

    def lacking(self) -> Int64[Tensor, "lack 3"]:
        """Where a known covariate is unknown after the cutoff: window, step after the cutoff and column."""
        named = sum(map(bool, self.panel.future_names))
        found = [torch.empty((0, 3), dtype=torch.int64)]
        for numbers in torch.arange(len(self)).split(256) if named else ():
            batch = self.batch(numbers)
            missing = ~batch.future_observed[:, self.window.context :, :named]
            missing[:, self.window.gap :] &= self.counts(batch.clock)[..., None]
            for field, column, steps in self.hidden:
                if field == "future":
                    missing[:, max(0, self.window.ahead - steps) :, column] = False
            lacks = missing.nonzero()
            lacks[:, 0] = numbers[lacks[:, 0]]
            found.append(lacks)
        return torch.cat(found)

    def check_future(self) -> None:
        """Refuses a window in which a known covariate is unknown after the cutoff, by its name and stamp."""
        panel, lacks = self.panel, self.lacking()
        if not len(lacks):
            return
        i, step, column = lacks[0].tolist()
        series = int(self.series[i])
        number = self.begins[series] + self.starts[i] + self.window.context + step
        stamp = panel.layout.clock.stamps(number[None].numpy())[0]
        raise Refusal(
            f"{panel.source}: '{panel.future_names[column]}' is not known at {stamp} (series "
            f"'{panel.names[series]}'), but the forecast needs it for {self.window.ahead} steps after the last value: "
            f"append rows with {', '.join(panel.layout.future)}, or fill the empty cell",
            "no-future",
        )

    def batch(self, numbers: Int[Tensor, " b"], weight: Tensor | None = None) -> Batch:
        """The windows of these numbers, gathered on the device of the panel."""
        window, series = self.window, self.series.index_select(0, numbers)
        start = self.starts.index_select(0, numbers).long()
        taken = self.constant(len(start)) | {name: view.index_select(0, start) for name, view in self.views.items()}
        taken["clock"] = taken["clock"] + (self.begins.index_select(0, series) + start)[:, None]
        if self.shift is not None:
            taken["clock"] += self.shift.index_select(0, start)
        taken |= {name: fact.index_select(0, series) for name, fact in self.facts.items()}
        if len(self.panel.vintages):
            self.renew(start, series, taken)
        if self.day is not None:
            self.end_with_day(taken)
        for field, column, steps in self.hidden:
            conceal(taken[field][..., column], taken[f"{field}_observed"][..., column], steps)
        if self.weights is not None:
            taken["weight"] = self.weights.index_select(0, numbers)
        if weight is not None:
            taken["weight"] = weight if self.weights is None else weight * taken["weight"]
        parts = (window.context, window.gap, window.horizon)
        y, _, target = taken.pop("y").split_with_sizes(parts, 1)
        y_observed, _, target_observed = taken.pop("observed").split_with_sizes(parts, 1)
        if self.panel.fill == "linear":
            seen = self.panel.seen.index_select(0, start)
            y = lined(y, y_observed, torch.where(seen < 0, NEVER, seen - start[:, None]))
        if self.day is not None:
            target_observed = target_observed & self.counts(taken["clock"])[..., None]
        return Batch(
            y=y,
            y_observed=y_observed,
            target=target,
            target_observed=target_observed,
            series=self.panel.slots.index_select(0, series),
            cutoff=start + (window.context - 1),
            **taken,
        )

    def renew(self, start: Tensor, series: Tensor, taken: dict[str, Tensor]) -> None:
        """Puts the vintages that were newest at the issue in the place of known covariates."""
        panel, window = self.panel, self.window
        issue = self.begins[series] + start + window.context + window.gap - self.lead
        rows = start[:, None] + torch.arange(window.length, device=start.device)
        values, observed = newest(panel, self.vintages, rows, issue)
        taken["future"][..., : values.shape[-1]] = values
        taken["future_observed"][..., : values.shape[-1]] = observed

    def end_with_day(self, taken: dict[str, Tensor]) -> None:
        """Hides known covariates of steps after the last day that counts."""
        beyond, named = ~self.counts(taken["clock"]), sum(map(bool, self.panel.future_names))
        if not named or not beyond.any():
            return
        future = taken["future"][:, -self.window.horizon :, :named]
        last = (~beyond).sum(1).sub(1)[:, None, None].expand(-1, 1, named)
        future.copy_(torch.where(beyond[..., None], future.gather(1, last), future))
        taken["future_observed"][:, -self.window.horizon :, :named] &= ~beyond[..., None]

    def counts(self, clock: Int64[Tensor, "b length"]) -> Bool[Tensor, "b horizon"]:
        """The steps of the horizon that lie in the local days which it is to cover: without an anchor, all."""
        first = clock[:, -self.window.horizon :]
        if self.day is None or self.window.horizon < self.day[1]:
            return torch.ones_like(first, dtype=torch.bool)
        phase, period = self.day
        days = (first - phase).div(period, rounding_mode="floor")
        return days - days[:, :1] < self.window.horizon // period

    def constant(self, b: int) -> dict[str, Tensor]:
        """What all batches of b windows share, made once: empty tensors for what is absent, weights of one, steps."""
        if b not in self.constants:
            ones = torch.ones(b, dtype=torch.float32, device=self.starts.device)
            absent = {name: x.new_empty((b, *x.shape[1:])) for name, x in self.absent.items()}
            steps = torch.arange(self.window.length, device=self.starts.device).repeat(b, 1)
            self.constants[b] = {**absent, "weight": ones, "clock": steps}
        return self.constants[b]

    def recent(self, count: int) -> "Windows":
        """About `count` of them: of each series the newest whose targets don't overlap, of too many series some."""
        apart = 1 if self.window.anchor else -(-self.window.horizon // self.window.stride)
        back = torch.searchsorted(self.series, self.series, right=True) - 1
        back -= torch.arange(len(self), device=back.device)
        each = max(1, count // len(self.series.unique()))
        chosen = ((back % apart == 0) & (back < each * apart)).nonzero().flatten()
        chosen = chosen[:: -(-len(chosen) // max(count, 1))] if each == 1 else chosen
        return Windows(self.panel, self.window, self.starts[chosen])

    def to(self, device: torch.device) -> "Windows":
        return self if self.starts.device == device else self.on(self.panel.to(device))

    def on(self, panel: Panel) -> "Windows":
        """The same windows of the same panel on another device."""
        weights = None if self.weights is None else self.weights.to(panel.y.device)
        return Windows(panel, self.window, self.starts.to(panel.y.device), weights)

    def batches(self, size: int) -> Iterator[Batch]:
        """All windows in order, the last batch kept."""
        for numbers in torch.arange(len(self), device=self.starts.device).split(size):
            yield self.batch(numbers)


def strided(rows: Tensor, length: int) -> Tensor:
    """A view [start length column] (without columns: [start length]) whose entry i is the window from row i."""
    return rows.as_strided((max(0, len(rows) - length + 1), length, *rows.shape[1:]), (rows.stride(0), *rows.stride()))


def left_out(names: list[str], panel: Panel, why: str) -> None:
    """Says which series are too short."""
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        log.info(
            "%s: %d of %d series left out, they don't have %s: %s%s",
            panel.source, len(names), len(panel.names), why, ", ".join(names[:5]), more,
        )  # fmt: skip
