"""table -> Panel: every series end to end in one tensor, on a complete grid, with room for the future after each."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecast.data.table import Layout, Table
from forecast.error import Refusal

if TYPE_CHECKING:
    from forecast.data.scaler import Statistics

log = logging.getLogger(__name__)

SPARSE = 4  # a grid with more than this many steps a row was meant otherwise


Edge = int | np.ndarray  # a number of the clock: one for all series, or one each
Borders = tuple[Edge, Edge, Edge | None]


@dataclass(frozen=True)
class Grid:
    """A table laid on its grid, in numpy and in data units: what statistics are learnt from. NaN is missing.

    Series i has the rows `offsets[i]` to `offsets[i + 1]`; the last `ahead` of them are room for the future. `first`
    is the clock's number of each series' first row. A covariate of categories holds places in its `labels`.
    Vintages of `future` [vintage column] belong to rows and were issued by a number of the clock.
    """

    y: np.ndarray
    past: np.ndarray
    future: np.ndarray
    static: pd.DataFrame
    offsets: np.ndarray
    first: np.ndarray
    names: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]
    vintages: np.ndarray
    vintage_rows: np.ndarray
    vintage_issued: np.ndarray
    layout: Layout
    ahead: int
    source: str

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each series, without the room after it."""
        return np.diff(self.offsets) - self.ahead

    @property
    def ordinals(self) -> np.ndarray:
        """The clock's number of each row."""
        return np.arange(self.offsets[-1]) + np.repeat(self.first - self.offsets[:-1], np.diff(self.offsets))

    def borders(self, split: Sequence[float | int | str], each: bool = False) -> Borders:
        """Where train, val and test end, as numbers of the clock: one date for all series. None: with the data.

        `split` has fractions of the whole span (`[0.7, 0.1, 0.2]`), rows (`[8640, 2880, 2880]`), or the dates at
        which val and test begin and, if wanted, test ends (`["2024-01-01", "2024-07-01"]`). With `each`, fractions and
        rows are those of each series, and the borders arrays [series].
        """
        each = each and not any(isinstance(x, str) for x in split)
        start, end = self.first, self.first + self.lengths
        if not each:
            start, end = start.min(keepdims=True), end.max(keepdims=True)
        ends = [start] * 3
        if all(isinstance(x, str) for x in split) and len(split) in (2, 3):
            ends = [np.full_like(start, self.number(str(x))) for x in split] + [end] * (3 - len(split))
        elif len(split) == 3 and all(isinstance(x, int | float) for x in split):
            sizes = np.array(split, dtype="float64")[:, None] + np.zeros(len(start))
            whole = sizes[:, 0].sum()
            if sizes.max() <= 1:
                sizes = np.floor(sizes * (end - start) + 1e-9) if whole < 1 + 1e-9 else np.zeros_like(sizes)
                if 1 - 1e-9 < whole < 1 + 1e-9:  # all rows: val has what rounding leaves over
                    sizes[1] = end - start - sizes[0] - sizes[2]
            ends = [start + x for x in np.cumsum(sizes, 0).astype("int64")]
        whole = (start < ends[0]) & (ends[0] < ends[1]) & (ends[1] < ends[2]) & (ends[1] < end)
        if not whole.any() or not (each or whole.all()):
            span = self.layout.clock.stamps(np.array([start.min(), end.max() - 1]))
            raise Refusal(
                f"data.split={list(split)} leaves no rows for train, val or test between {span[0]} and {span[1]}; "
                "expected three fractions, three numbers of rows, or the dates at which val and test begin",
                "split",
            )
        last = None if (ends[2] >= end).all() else ends[2]
        if each:
            return ends[0], ends[1], last
        return int(ends[0][0]), int(ends[1][0]), None if last is None else int(last[0])

    @property
    def digest(self) -> str:
        """sha256 of the data themselves: values, covariates, stamps and names."""
        found = sha256(repr((self.names, self.layout, self.labels)).encode())
        vintages = (self.vintages, self.vintage_rows, self.vintage_issued)
        for array in (self.y, self.past, self.future, self.offsets, self.first, *vintages):
            found.update(array.tobytes())
        found.update(self.static.to_csv().encode())
        return found.hexdigest()

    def number(self, date: str) -> int:
        """The first step of the grid at or after a date."""
        clock = self.layout.clock
        try:
            stamp = pd.DatetimeIndex([pd.Timestamp(date)])
        except ValueError:
            raise Refusal(f"data.split: '{date}' is not a date", "split") from None
        if clock.tz is not None and stamp.tz is None and not clock.daily:  # days are laid by their local dates
            stamp = stamp.tz_localize(clock.tz, nonexistent="shift_forward", ambiguous=np.ones(1, bool))
        ordinal = clock.ordinals(stamp)
        return int(ordinal[0] + (clock.naive(ordinal) < clock.grid(stamp))[0])


@dataclass(frozen=True)
class Panel:
    """The series as tensors: values in data units (float64), covariates scaled once (float32), masks, a clock.

    Missing values are filled with the value last seen (before the first one: the middle learnt on train rows), one
    season earlier, or zero, as `fill` says, and marked in the masks; "linear" is for a window to do, which knows what
    was seen at its cutoff, from the rows last `seen`. `past_names` and `future_names` say which column each tensor's
    column comes from (those of masks and calendar have no name). `lengths` are each series' rows up to its last
    observed one (rows after it are the known future), `slots` its row in Scaling. Rows, offsets and first as in Grid.
    """

    y: Tensor
    observed: Tensor
    seen: Tensor
    past: Tensor
    past_observed: Tensor
    future: Tensor
    future_observed: Tensor
    static: Tensor
    codes: Tensor
    offsets: Tensor
    first: Tensor
    lengths: Tensor
    slots: Tensor
    clock: Tensor
    vintages: Tensor
    vintage_rows: Tensor
    vintage_issued: Tensor
    names: tuple[str, ...]
    past_names: tuple[str, ...]
    future_names: tuple[str, ...]
    fill: str
    layout: Layout
    ahead: int
    source: str

    @property
    def labels(self) -> list[str]:
        """The `unique_id` of each series and channel, channels fastest."""
        return [self.layout.label(name, channel) for name in self.names for channel in self.layout.channels]

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(x.nbytes for x in vars(self).values() if isinstance(x, Tensor))

    def to(self, device: torch.device) -> "Panel":
        return replace(self, **{name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)})


def grid(table: Table, ahead: int) -> Grid:
    """Lays a table on its grid: gaps become rows of missing values, and `ahead` rows follow each series."""
    frame, layout = table.frame, table.layout
    codes = frame["unique_id"].cat.codes.to_numpy()
    ordinals = layout.clock.ordinals(pd.DatetimeIndex(frame["ds"]))
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes)) - 1
    first, lengths = ordinals[starts], ordinals[ends] - ordinals[starts] + 1
    gaps = int(lengths.sum() - len(frame))
    if lengths.sum() > SPARSE * len(frame) + 1000:
        raise Refusal(
            f"{table.source}: on a grid of {layout.clock.freq} {gaps} of {lengths.sum()} rows would be empty; "
            "is data.freq right?",
            "gap",
        )
    if gaps:
        log.info("%s: %d stamps were missing; their values count as missing", table.source, gaps)
    offsets = np.concatenate(([0], np.cumsum(lengths + ahead)))
    rows = offsets[codes] + ordinals - first[codes]

    for name in (*layout.past, *layout.future):
        if empty := int(frame[name].isna().sum()):
            log.info("%s: '%s' is missing in %d rows", table.source, name, empty)
    labels: dict[str, tuple[str, ...]] = {}

    def laid(names: Sequence[str], frame: pd.DataFrame = frame, rows: np.ndarray | None = rows) -> np.ndarray:
        values = np.full((offsets[-1] if rows is not None else len(frame), len(names)), np.nan)
        rows = np.arange(len(frame)) if rows is None else rows
        for i, name in enumerate(names):
            column = frame[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                labels[name] = tuple(map(str, column.cat.categories))
                column = column.cat.codes.where(column.notna())
            values[rows, i] = column.to_numpy()
        return values

    issues = frame[:0] if table.vintages is None else table.vintages
    belongs, since = np.empty(0, "int64"), np.empty(0, "int64")
    if table.vintages is not None:
        place = frame["unique_id"].cat.categories.get_indexer(pd.Index(issues["unique_id"]))
        belongs = offsets[place] + layout.clock.ordinals(pd.DatetimeIndex(issues["ds"])) - first[place]
        stamps = pd.DatetimeIndex(issues["issued"])
        since = layout.clock.ordinals(stamps)
        since = since + (layout.clock.naive(since) < layout.clock.grid(stamps))  # known from the next step on
    return Grid(
        y=laid(layout.channels),
        past=laid(layout.past),
        future=laid(layout.future),
        static=constant(frame, layout.static),
        offsets=offsets,
        first=first,
        names=tuple(map(str, frame["unique_id"].cat.categories)),
        labels=labels,
        vintages=laid(layout.future, issues, None),
        vintage_rows=belongs,
        vintage_issued=since,
        layout=layout,
        ahead=ahead,
        source=table.source,
    )


def constant(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The static values of each series: the first that is given; text that is missing everywhere is a category, ''."""
    found = frame.groupby("unique_id", observed=True)[list(names)].first().reset_index(drop=True)
    return found.fillna({name: "" for name in names if found[name].dtype.kind != "f"})


def panel(grid: Grid, statistics: "Statistics") -> Panel:
    """The panel of a grid, scaled and filled by what was learnt on train rows."""
    inside(grid, statistics.kind)
    layout, ordinals = grid.layout, grid.ordinals
    slots = statistics.slots(grid.names)
    if not slots.all():
        new = [grid.names[i] for i in np.flatnonzero(slots == 0)]
        log.info("%s: %d series that training had not: %s", grid.source, len(new), ", ".join(new[:5]))
    before = np.repeat(statistics.middle[slots], np.diff(grid.offsets), 0)
    y, observed = filled(grid.y, grid.offsets, before, statistics.fill, statistics.season)
    ends = np.maximum.reduceat(np.where(observed.any(1), np.arange(1, len(y) + 1), 0), grid.offsets[:-1])
    past, past_names = encoded(grid, grid.past, layout.past, statistics)
    future, future_names = encoded(grid, grid.future, layout.future, statistics)
    past, past_observed = filled(past, grid.offsets, 0.0)
    future, future_observed = filled(future, grid.offsets, 0.0)
    masks = observed[:, : observed.shape[1] if statistics.masks else 0]
    steps, place = shared(ordinals)
    days = statistics.days(layout.clock, steps)[place]
    numeric = [name for name in layout.static if name not in statistics.categories]
    static = np.nan_to_num(statistics.scaled(grid.static[numeric].to_numpy("float64"), numeric))
    texts = [name for name in layout.static if name in statistics.categories]
    codes = [known(grid.static[name], statistics.categories[name], name, grid.source) for name in texts]
    tensors = {
        "y": y,
        "observed": observed,
        "seen": last_seen(observed, grid.offsets) if statistics.fill == "linear" else np.empty((0, 0), "int64"),
        "past": np.concatenate((past, masks), 1, dtype="float32"),
        "past_observed": always(past_observed, masks.shape[1]),
        "future": np.concatenate((future, days), 1, dtype="float32"),
        "future_observed": always(future_observed, days.shape[1]),
        "static": static.astype("float32"),
        "codes": np.stack(codes, 1) if codes else np.empty((len(slots), 0), "int64"),
        "offsets": grid.offsets,
        "first": grid.first,
        "lengths": np.maximum(ends - grid.offsets[:-1], 0),
        "slots": slots,
        "clock": layout.clock.steps(steps)[place],
        "vintages": encoded(grid, grid.vintages, layout.future, statistics)[0].astype("float32"),
        "vintage_rows": grid.vintage_rows,
        "vintage_issued": grid.vintage_issued,
    }
    return Panel(
        **{name: torch.from_numpy(array) for name, array in tensors.items()},
        names=grid.names,
        past_names=past_names + ("",) * masks.shape[1],
        future_names=future_names + ("",) * days.shape[1],
        fill=statistics.fill,
        layout=layout,
        ahead=grid.ahead,
        source=grid.source,
    )


def shared(ordinals: np.ndarray) -> tuple[np.ndarray, np.ndarray | slice]:
    """The steps that rows lie on, each once where series share them, and which of them each row is."""
    low, high = int(ordinals.min()), int(ordinals.max())
    if high - low >= len(ordinals):
        return ordinals, slice(None)
    return np.arange(low, high + 1), ordinals - low


def inside(grid: Grid, kind: str) -> None:
    """Refuses values that a scaler has no number for."""
    low = grid.y <= -1 if kind == "log1p" else np.zeros(0, bool)
    if low.any():
        row = int(low.any(1).argmax())
        series = int(np.searchsorted(grid.offsets, row, side="right") - 1)
        stamp = grid.layout.clock.stamps(grid.ordinals[row : row + 1])[0]
        raise Refusal(
            f"{grid.source}: data.scaler=log1p takes values above -1, but series '{grid.names[series]}' has "
            f"{np.nanmin(grid.y[row])} at {stamp}; data.scaler=asinh takes any",
            "scaler",
        )


def encoded(
    grid: Grid, values: np.ndarray, names: Sequence[str], statistics: "Statistics"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Covariates in units of their deviation; one of categories becomes a column of 0 and 1 for each known one.

    Returns them and the name that each column comes from.
    """
    columns, sources = [np.empty((len(values), 0))], []
    for i, name in enumerate(names):
        if name not in grid.labels:
            columns.append(statistics.scaled(values[:, i : i + 1], [name]))
            sources.append(name)
            continue
        seen = np.isfinite(values[:, i])
        labels = np.array([*grid.labels[name], ""], dtype=object)
        codes = known(pd.Series(labels), statistics.categories[name], name, grid.source)[:-1]
        place = np.append(codes, 0)[np.where(seen, values[:, i], -1).astype("int64")]
        one = (place[:, None] == np.arange(1, len(statistics.categories[name]) + 1)).astype("float64")
        columns.append(np.where(seen[:, None], one, np.nan))
        sources += [name] * one.shape[1]
    return np.concatenate(columns, 1), tuple(sources)


def known(labels: pd.Series, categories: Sequence[str], name: str, source: str) -> np.ndarray:
    """The place of each label among the categories of training, from 1; 0 for one not seen there, which is logged."""
    found = pd.Index(categories).get_indexer(pd.Index(labels)).astype("int64") + 1
    unseen = sorted(set(labels[found == 0].astype(str)) - {""})
    if unseen:
        said = log.info if found.any() else log.warning
        said("%s: '%s' has categories that training had not: %s", source, name, ", ".join(unseen[:5]))
    return found


def always(observed: np.ndarray, more: int) -> np.ndarray:
    """Masks with more columns that are never missing."""
    return np.pad(observed, ((0, 0), (0, more)), constant_values=True)


def filled(
    values: np.ndarray, offsets: np.ndarray, before: np.ndarray | float, fill: str = "last", season: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Values with something seen earlier in the place of missing ones (`before` where nothing was), and the masks."""
    observed = ~np.isnan(values)
    if observed.all() or not values.size:
        return values, observed
    if fill == "zero":
        return np.where(observed, values, 0.0), observed
    if fill == "season":
        values = np.concatenate([by_phase(values[a:b], season) for a, b in pairwise(offsets)])
    seen = last_seen(~np.isnan(values), offsets)
    return np.where(seen >= 0, np.take_along_axis(values, np.maximum(seen, 0), 0), before), observed


def last_seen(observed: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The row of the last observed value of the same series and column, at each row; -1 where there is none yet."""
    seen = np.maximum.accumulate(np.where(observed, np.arange(len(observed))[:, None], -1), 0)
    return np.where(seen >= np.repeat(offsets[:-1], np.diff(offsets))[:, None], seen, -1)


def by_phase(values: np.ndarray, season: int) -> np.ndarray:
    """One series with the last value of the same phase of the season in the place of missing ones."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % season), (0, 0)), constant_values=np.nan)
    where = np.where(np.isnan(padded), -1, np.arange(len(padded))[:, None]).reshape(-1, season, columns)
    seen = np.maximum.accumulate(where, 0).reshape(len(padded), columns)[:rows]
    return np.where(seen >= 0, np.take_along_axis(values, np.maximum(seen, 0), 0), np.nan)
