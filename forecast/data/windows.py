"""Panel + Window -> batches: a window is a row number, and a whole batch is one gather from a strided view."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from forecast.contract import Batch, Window, mix
from forecast.data.panel import Panel
from forecast.error import Refusal

WHOLE = ("y", "observed", "clock", "future", "future_observed")  # what spans a window,
SEEN = ("past", "past_observed")  # only its context,
FACTS = ("static", "codes")  # or is one row a series


class Windows:
    """Windows of a panel, by the rows at which their contexts start [window]."""

    def __init__(self, panel: Panel, window: Window, starts: Int64[Tensor, " window"]):
        self.panel, self.window, self.starts = panel, window, starts
        self.series = torch.searchsorted(panel.offsets, starts, right=True) - 1
        self.slots, self.cutoffs = panel.slots[self.series], starts + window.context - 1
        views = {name: strided(getattr(panel, name), window.length) for name in WHOLE}
        views |= {name: strided(getattr(panel, name), window.context) for name in SEEN}
        facts = {name: getattr(panel, name) for name in FACTS}
        self.views = {name: view for name, view in views.items() if view.shape[-1]}
        self.facts = {name: fact for name, fact in facts.items() if fact.shape[-1]}
        self.absent = {name: x[:0] for name, x in {**views, **facts}.items() if not x.shape[-1]}
        self.constants: dict[int, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def between(cls, panel: Panel, window: Window, begin: int, end: int) -> "Windows":
        """All windows whose targets lie in [begin, end), numbers of the clock; contexts may reach back before.

        They follow each other by the window's stride, or, with an anchor, start at that time of each day.
        """
        stride = 1 if window.anchor else window.stride
        low = (begin - panel.first).clamp(min=window.context + window.gap)
        high = torch.minimum(end - panel.first, panel.lengths)
        count = ((high - window.horizon - low).div(stride, rounding_mode="floor") + 1).clamp(min=0)
        opening = panel.offsets[:-1] + low - window.gap - window.context - stride * (count.cumsum(0) - count)
        starts = opening.repeat_interleave(count) + stride * torch.arange(int(count.sum()))
        if window.anchor:
            phase, period = panel.layout.clock.at(window.anchor)
            starts = starts[panel.clock[starts + window.context + window.gap] % period == phase]
        return cls(panel, window, starts)

    @classmethod
    def latest(cls, panel: Panel, window: Window) -> "Windows":
        """One window a series: its targets follow the last observed row. Series without enough rows are refused."""
        for i in torch.nonzero(panel.lengths < window.context).flatten().tolist():
            raise Refusal(
                f"{panel.source}: series '{panel.names[i]}' has {int(panel.lengths[i])} rows up to its last value; a "
                f"forecast needs {window.context} (the context)",
                "too-short",
            )
        return cls(panel, window, panel.offsets[:-1] + panel.lengths - window.context)

    def check_future(self) -> None:
        """Refuses a window in which a known covariate is unknown after the cutoff, by its name and stamp."""
        panel, window, names = self.panel, self.window, self.panel.layout.future
        for start, series in zip(self.starts.tolist(), self.series.tolist(), strict=True) if names else ():
            missing = ~panel.future_observed[start + window.context : start + window.length, : len(names)]
            if not missing.any():
                continue
            step, column = missing.nonzero()[0].tolist()
            number = panel.first[series] + start + window.context + step - panel.offsets[series]
            stamp = panel.layout.clock.stamps(number[None].numpy())[0]
            raise Refusal(
                f"{panel.source}: '{names[column]}' is not known at {stamp} (series '{panel.names[series]}'), but the "
                f"forecast needs it for {window.ahead} steps after the last value: append rows with {', '.join(names)}",
                "no-future",
            )

    def batch(self, numbers: Int64[Tensor, " b"], weight: Tensor | None = None) -> Batch:
        """The windows of these numbers, gathered on the device of the panel."""
        start, window = self.starts.index_select(0, numbers), self.window
        taken = self.constant(len(start)) | {name: view.index_select(0, start) for name, view in self.views.items()}
        if self.facts:
            series = self.series.index_select(0, numbers)
            taken |= {name: fact.index_select(0, series) for name, fact in self.facts.items()}
        if weight is not None:
            taken["weight"] = weight
        parts = (window.context, window.gap, window.horizon)
        y, _, target = taken.pop("y").split_with_sizes(parts, 1)
        y_observed, _, target_observed = taken.pop("observed").split_with_sizes(parts, 1)
        return Batch(
            y=y,
            y_observed=y_observed,
            target=target,
            target_observed=target_observed,
            series=self.slots.index_select(0, numbers),
            cutoff=self.cutoffs.index_select(0, numbers),
            **taken,
        )

    def constant(self, b: int) -> dict[str, Tensor]:
        """What all batches of b windows share: empty tensors for what is absent, weights of one. Made once."""
        if b not in self.constants:
            ones = torch.ones(b, device=self.starts.device)
            absent = {name: x.new_empty((b, *x.shape[1:])) for name, x in self.absent.items()}
            self.constants[b] = {**absent, "weight": ones}
        return self.constants[b]

    def to(self, device: torch.device) -> "Windows":
        return Windows(self.panel.to(device), self.window, self.starts.to(device))

    def batches(self, size: int) -> Iterator[Batch]:
        """All windows in order, the last batch kept."""
        for numbers in torch.arange(len(self), device=self.starts.device).split(size):
            yield self.batch(numbers)


def strided(rows: Tensor, length: int) -> Tensor:
    """A view [start length column] (without columns: [start length]) whose entry i is the window from row i."""
    return rows.as_strided((max(0, len(rows) - length + 1), length, *rows.shape[1:]), (rows.stride(0), *rows.stride()))


class Order:
    """Batches of window numbers for one rank: a plain iterable whose order is a pure function of (seed, epoch).

    Yields (numbers, weight). Global batch k is cut into `world` slices of equal length; a short slice is filled up
    with window 0 at weight 0, and the weights of the others make the mean over ranks that of the global batch.
    `position` gives epoch and first batch (0, or where a checkpoint stopped); without `seed` the order is as it lies.
    """

    def __init__(
        self,
        windows: int,
        batch: int,
        *,
        seed: int | None = None,
        rank: int = 0,
        world: int = 1,
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ):
        self.windows, self.batch, self.seed = windows, batch, seed
        self.rank, self.world, self.position = rank, world, position

    def __len__(self) -> int:
        return -(-self.windows // (self.batch * self.world))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, first = self.position()
        if self.seed is None:
            order = torch.arange(self.windows)
        else:
            order = torch.randperm(self.windows, generator=torch.Generator().manual_seed(mix(self.seed, epoch)))
        for group in order.split(self.batch * self.world)[first:]:
            each = -(-len(group) // self.world)
            mine = group[self.rank :: self.world]
            weight = torch.full((each,), self.world * each / len(group))
            if len(mine) < each:
                mine, weight[-1] = torch.cat((mine, mine.new_zeros(1))), 0.0
            yield mine, weight

    def state_dict(self) -> dict[str, int]:
        """Nothing: the position follows from the trainer. (Present, so that Lightning knows that it may resume.)"""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore."""
