"""table -> Grid: every series on a complete grid, end to end, in numpy and data units; and where its parts end."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pandas as pd

from forecast.data.layout import Layout
from forecast.data.table import Table
from forecast.error import Refusal

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
    def seen(self) -> np.ndarray:
        """Rows of each series up to its last value."""
        some = np.where((~np.isnan(self.y)).any(1), np.arange(1, len(self.y) + 1), 0)
        return np.maximum(np.maximum.reduceat(some, self.offsets[:-1]) - self.offsets[:-1], 0)

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
            stamp = pd.to_datetime([date], format="ISO8601")
        except ValueError:
            raise Refusal(f"data.split: '{date}' is not a date such as 2024-03-31", "split") from None
        if clock.tz is not None and stamp.tz is None and not clock.daily:  # days are laid by their local dates
            stamp = stamp.tz_localize(clock.tz, nonexistent="shift_forward", ambiguous=np.ones(1, bool))
        ordinal = clock.ordinals(stamp)
        return int(ordinal[0] + (clock.naive(ordinal) < clock.grid(stamp))[0])


def grid(table: Table, ahead: int) -> Grid:
    """Lays a table on its grid: gaps become rows of missing values, and `ahead` rows follow each series."""
    frame, layout = table.frame, table.layout
    codes = frame["unique_id"].cat.codes.to_numpy()
    ordinals = layout.clock.ordinals(pd.DatetimeIndex(frame["ds"]))
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes)) - 1
    first, lengths = ordinals[starts], ordinals[ends] - ordinals[starts] + 1
    if lengths.sum() > SPARSE * len(frame) + 1000:
        raise Refusal(
            f"{table.source}: on a grid of {layout.clock.freq} {lengths.sum() - len(frame)} of {lengths.sum()} rows "
            "would be empty; is data.freq right?",
            "gap",
        )
    offsets = np.concatenate(([0], np.cumsum(lengths + ahead)))
    rows = offsets[codes] + ordinals - first[codes]

    seen = frame[list(layout.channels)].notna().any(axis=1)
    for name in (*layout.past, *layout.future):
        if empty := int((frame[name].isna() & seen).sum()):
            log.info("%s: '%s' is missing in %d rows that have a target", table.source, name, empty)
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
    if not names:  # pandas would still sort millions of rows into their series
        return pd.DataFrame(index=range(frame["unique_id"].cat.categories.size))
    found = frame.groupby("unique_id", observed=True)[list(names)].first().reset_index(drop=True)
    return found.fillna({name: "" for name in names if found[name].dtype.kind != "f"})
