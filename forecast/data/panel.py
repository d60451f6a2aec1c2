"""table -> Panel: every series end to end in one tensor, on a complete grid, with room for the future after each."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
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


@dataclass(frozen=True)
class Grid:
    """A table laid on its grid, in numpy and in data units: what statistics are learnt from. NaN is missing.

    Series i has the rows `offsets[i]` to `offsets[i + 1]`; the last `ahead` of them are room for the future. `first`
    is the clock's number of each series' first row.
    """

    y: np.ndarray
    past: np.ndarray
    future: np.ndarray
    static: pd.DataFrame
    offsets: np.ndarray
    first: np.ndarray
    names: tuple[str, ...]
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

    def borders(self, split: Sequence[float | int | str]) -> tuple[int, int, int | None]:
        """Where train, val and test end, as numbers of the clock: one date for all series. None: with the data.

        `split` has fractions of the whole span (`[0.7, 0.1, 0.2]`), rows (`[8640, 2880, 2880]`), or the dates at
        which val and test begin and, if wanted, test ends (`["2024-01-01", "2024-07-01"]`).
        """
        start, end = int(self.first.min()), int((self.first + self.lengths).max())
        if all(isinstance(x, str) for x in split) and len(split) in (2, 3):
            ends = [self.number(str(x)) for x in split] + [end] * (3 - len(split))
        elif len(split) == 3 and all(isinstance(x, int | float) for x in split):
            sizes = np.array(split, dtype="float64")
            if sizes.max() <= 1:
                left = end - start if sizes.sum() > 1 - 1e-9 else None  # all rows: val has what rounding leaves over
                sizes = np.floor(sizes * (end - start) + 1e-9) if sizes.sum() < 1 + 1e-9 else np.zeros(3)
                sizes[1] = sizes[1] if left is None else left - sizes[0] - sizes[2]
            ends = [start + int(x) for x in np.cumsum(sizes)]
        else:
            ends = [start] * 3
        if not start < ends[0] < ends[1] < ends[2] or ends[1] >= end:
            span = self.layout.clock.stamps(np.array([start, end - 1]))
            raise Refusal(
                f"data.split={list(split)} leaves no rows for train, val or test between {span[0]} and {span[1]}; "
                "expected three fractions, three numbers of rows, or the dates at which val and test begin",
                "split",
            )
        return ends[0], ends[1], ends[2] if ends[2] < end else None

    @property
    def digest(self) -> str:
        """sha256 of the data themselves: values, covariates, stamps and names."""
        found = sha256(repr((self.names, self.layout)).encode())
        for array in (self.y, self.past, self.future, self.offsets, self.first):
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
        if clock.tz is not None and stamp.tz is None:
            stamp = stamp.tz_localize(clock.tz)
        ordinal = clock.ordinals(stamp)
        return int(ordinal[0] + (clock.naive(ordinal) < clock.grid(stamp))[0])


@dataclass(frozen=True)
class Panel:
    """The series as tensors: values in data units (float64), covariates scaled once (float32), masks, a clock.

    Missing values are filled with the value last seen (before the first one: the mean learnt on train rows) and
    marked in the masks. `lengths` are each series' rows up to its last observed one (rows after it are the known
    future), `slots` its row in Scaling. Rows, offsets and first as in Grid.
    """

    y: Tensor
    observed: Tensor
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
    names: tuple[str, ...]
    layout: Layout
    ahead: int
    source: str

    @property
    def labels(self) -> list[str]:
        """The `unique_id` of each series and channel, channels fastest."""
        return [self.layout.label(name, channel) for name in self.names for channel in self.layout.channels]

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

    def laid(names: Sequence[str]) -> np.ndarray:
        values = np.full((offsets[-1], len(names)), np.nan)
        for i, name in enumerate(names):
            values[rows, i] = frame[name].to_numpy()
        return values

    return Grid(
        y=laid(layout.channels),
        past=laid(layout.past),
        future=laid(layout.future),
        static=constant(frame, layout.static),
        offsets=offsets,
        first=first,
        names=tuple(map(str, frame["unique_id"].cat.categories)),
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
    layout, ordinals = grid.layout, grid.ordinals
    slots = np.array([statistics.slot(name) for name in grid.names], dtype="int64")
    rows_of = np.diff(grid.offsets)
    y, observed = filled(grid.y, grid.offsets, np.repeat(statistics.loc[slots], rows_of, 0))
    ends = np.maximum.reduceat(np.where(observed.any(1), np.arange(1, len(y) + 1), 0), grid.offsets[:-1])
    past, past_observed = filled(statistics.scaled(grid.past, layout.past), grid.offsets, 0.0)
    future, future_observed = filled(statistics.scaled(grid.future, layout.future), grid.offsets, 0.0)
    calendar = layout.clock.features(ordinals, statistics.calendar)
    numeric = [name for name in layout.static if name not in statistics.categories]
    static = np.nan_to_num(statistics.scaled(grid.static[numeric].to_numpy("float64"), numeric))
    codes = [
        pd.Index(known).get_indexer(pd.Index(grid.static[name])).astype("int64")
        + 1  # 0: a category not seen in training
        for name, known in statistics.categories.items()
    ]
    return Panel(
        y=torch.from_numpy(y),
        observed=torch.from_numpy(observed),
        past=torch.from_numpy(past.astype("float32")),
        past_observed=torch.from_numpy(past_observed),
        future=torch.from_numpy(np.concatenate((future.astype("float32"), calendar), 1)),
        future_observed=torch.from_numpy(
            np.pad(future_observed, ((0, 0), (0, calendar.shape[1])), constant_values=True)
        ),
        static=torch.from_numpy(static.astype("float32")),
        codes=torch.from_numpy(np.stack(codes, 1) if codes else np.empty((len(slots), 0), "int64")),
        offsets=torch.from_numpy(grid.offsets),
        first=torch.from_numpy(grid.first),
        lengths=torch.from_numpy(np.maximum(ends - grid.offsets[:-1], 0)),
        slots=torch.from_numpy(slots),
        clock=torch.from_numpy(layout.clock.steps(ordinals)),
        names=grid.names,
        layout=layout,
        ahead=grid.ahead,
        source=grid.source,
    )


def filled(values: np.ndarray, offsets: np.ndarray, before: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Values with the last one seen in the place of missing ones (`before` where none was), and what was observed."""
    observed = ~np.isnan(values)
    if observed.all() or not values.size:
        return values, observed
    seen = np.maximum.accumulate(np.where(observed, np.arange(len(values))[:, None], -1), 0)
    start = np.repeat(offsets[:-1], np.diff(offsets))[:, None]
    return np.where(seen >= start, np.take_along_axis(values, seen, 0), before), observed
