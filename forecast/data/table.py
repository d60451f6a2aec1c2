"""CSV or DataFrame -> table: one long, sorted, typed and checked DataFrame. The border where people's data are refused.

A table has the columns `unique_id`, `ds`, then the channels (`y`, or the targets' names when they are forecast
jointly), then past, future and static covariates. Further in, nothing has to be checked again.
"""

import gzip
import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import Clock, fitted
from forecast.data.column import looks_numeric, names_of, numbers, static, times
from forecast.error import Refusal, nearest

log = logging.getLogger(__name__)

TIMES = ("ds", "time", "date", "datetime", "timestamp", "utc_timestamp", "date_time")
MISSING = ["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A", "n/a", "#N/A"]
EXACT: dict[str, Any] = (
    {"float_precision": "round_trip"} if pd.__version__ < "3.1" else {}
)  # 3.1 reads every double exactly
HERE = Path(__file__).resolve().parents[1]
BUNDLED = HERE / "datasets" if (HERE / "datasets").is_dir() else HERE.parent / "datasets"


@dataclass(frozen=True)
class Layout:
    """Which column plays which part, and the grid that the stamps lie on: what a forecaster remembers of its data."""

    time: str
    id: str | None
    target: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    static: tuple[str, ...]
    joint: bool
    clock: Clock

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Layout":
        """The layout that `dataclasses.asdict` and JSON made plain."""
        tuples = {key: tuple(x) for key, x in plain.items() if isinstance(x, list)}
        return cls(**{**plain, **tuples, "clock": Clock(**plain["clock"])})

    @property
    def channels(self) -> tuple[str, ...]:
        return self.target if self.joint else ("y",)

    def label(self, series: str, channel: str) -> str:
        """The `unique_id` of one channel of a series in a forecast table."""
        return series if not self.joint else channel if self.id is None else f"{series}/{channel}"


@dataclass(frozen=True)
class Table:
    frame: pd.DataFrame
    layout: Layout
    source: str


def find(path: str, key: str = "data.path") -> Path:
    """The file that a key means: as given, else in the folder FORECAST_DATA, else among the bundled sets."""
    folders = [Path(), Path(os.environ.get("FORECAST_DATA", "datasets")), BUNDLED]
    for folder in folders:
        for name in (path, f"{path}.gz"):
            if (folder / name).is_file():
                return folder / name
    there = [p.name for folder in [Path(path).parent, *folders[1:]] if folder.is_dir() for p in folder.glob("*.csv*")]
    raise Refusal(
        f"{key}={path}: no such file here, in FORECAST_DATA ({folders[1]}) or among the bundled sets"
        f"{nearest(Path(path).name, there)}",
        "missing-file",
    )


def read(path: str | Path, data: Mapping[str, Any]) -> pd.DataFrame:
    """A CSV file as written: stamps and ids as text, numbers typed and exact.

    Raises Refusal if the file is missing, empty, not UTF-8, or not a table of comma-separated cells.
    """
    try:
        head = pd.read_csv(path, nrows=5, dtype=str, keep_default_na=False)
        text = {name for name in (time_column(head, data["time"], str(path)), id_column(head, data["id"])) if name}
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,
            na_values={name: MISSING for name in head.columns if name not in text},
            **EXACT,
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        raise Refusal(f"{path} is empty: expected a header line and rows", "empty-file") from None
    except (pd.errors.ParserError, UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Refusal(f"{path} can't be read as comma-separated UTF-8 text: {error}", "unreadable") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise Refusal(f"{path}: rows have more cells than the header has names ({len(head.columns)})", "unreadable")
    return frame


def time_column(frame: pd.DataFrame, named: str | None, source: str) -> str:
    """The column of stamps: the one that is named, else one with a usual name, else the first that reads as dates."""
    columns = list(frame.columns)
    if named is not None:
        if named not in columns:
            raise Refusal(f"{source} has no column '{named}' (data.time){nearest(named, columns)}", "no-time")
        return named
    usual = [name for name in columns if str(name).lower() in TIMES]
    if usual:
        return min(usual, key=lambda name: TIMES.index(str(name).lower()))
    for name in columns:
        cells = frame[name].head()
        if pd.api.types.is_datetime64_any_dtype(cells):
            return name
        dates = cells.astype(str).str.fullmatch(r"\d{4}-\d\d?-\d\d?([T ].*)?")
        if len(dates) and dates.all():
            return name
    raise Refusal(
        f"{source} has no column of times among {', '.join(map(repr, columns[:8]))}"
        f"{' (is the delimiter a comma?)' if len(columns) == 1 else ''}: name it by data.time",
        "no-time",
    )


def id_column(frame: pd.DataFrame, named: str | None) -> str | None:
    """The column of series names: the one that is named, else `unique_id`, else none (each target is a series)."""
    return named if named is not None else "unique_id" if "unique_id" in frame.columns else None


def table(frame: pd.DataFrame, data: Mapping[str, Any], source: str) -> Table:
    """The checked table of a DataFrame whose columns are described by `data` (conf/data/csv.yaml has the keys)."""
    frame = indexed(frame, source)
    time, series = time_column(frame, data["time"], source), id_column(frame, data["id"])
    roles = {kind: tuple(data[kind]) for kind in ("past", "future", "static")}
    taken = {time, series, *roles["past"], *roles["future"], *roles["static"]}
    target = tuple(data["target"] or targets(frame, series, taken, source))
    if set(target) & taken:
        raise Refusal(
            f"{source}: column {(set(target) & taken).pop()!r} has two roles; a target can't be another", "config"
        )
    require(frame, [*target, *(name for name in taken if name)], source)
    own = {"unique_id", "ds", *(target if data["joint"] else ["y"])}
    for name in (*roles["past"], *roles["future"], *roles["static"]):
        if name in own:
            raise Refusal(
                f"{source}: '{name}' can't be a covariate, the table calls another column so: rename it", "config"
            )
    stamps = times(frame[time], time, source)
    try:
        clock = fitted(stamps.unique().sort_values(), data["freq"])
    except Refusal as error:
        raise Refusal(f"{source}: {error}", error.code) from None
    layout = Layout(time, series, target, joint=bool(data["joint"]), clock=clock, **roles)
    return arranged(frame, layout, stamps, source)


def again(frame: pd.DataFrame, layout: Layout, source: str) -> Table:
    """The table of new rows for a forecaster that was fitted on data of this layout.

    Raises Refusal if a column is missing or the stamps lie off the grid of the training data.
    """
    frame = indexed(frame, source)
    names = [layout.time, layout.id, *layout.target, *layout.past, *layout.future, *layout.static]
    require(frame, [name for name in names if name], source)
    stamps = times(frame[layout.time], layout.time, source)
    if (stamps.tz is None) != (layout.clock.tz is None):
        raise Refusal(
            f"{source}: stamps with and without a time zone (training data: {layout.clock.tz})", "wrong-frequency"
        )
    stamps = stamps if stamps.tz is None else stamps.tz_convert(layout.clock.tz)
    off = layout.clock.naive(layout.clock.ordinals(stamps)) != layout.clock.grid(stamps)
    if off.any():
        raise Refusal(
            f"{source}: {stamps[off][0]} is not on the grid of the training data ({layout.clock.freq})",
            "wrong-frequency",
        )
    return arranged(frame, layout, stamps, source)


def indexed(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame, which has rows, with stamps that lie in its index as a column."""
    if not len(frame):
        raise Refusal(f"{source} has a header but no rows", "empty-file")
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame.rename_axis(str(frame.index.name or "ds")).reset_index()
    return frame


def require(frame: pd.DataFrame, names: Sequence[str], source: str) -> None:
    for name in names:
        if name not in frame.columns:
            near = nearest(str(name), map(str, frame.columns))
            raise Refusal(f"{source} has no column '{name}'{near or f'; it has {list(frame.columns)}'}", "no-column")


def targets(frame: pd.DataFrame, series: str | None, taken: set[str | None], source: str) -> list[str]:
    """The columns to forecast when none is named: `y`, else every column of numbers that has no other role."""
    free = [name for name in frame.columns if name not in taken and looks_numeric(frame[name])]
    if "y" in free:
        return ["y"]
    if not free:
        raise Refusal(f"{source} has no column of numbers to forecast; name one by data.target", "no-column")
    if series is not None and len(free) > 1:
        raise Refusal(
            f"{source} has several columns of numbers ({', '.join(free)}); name the target by data.target", "config"
        )
    return free


def arranged(frame: pd.DataFrame, layout: Layout, stamps: pd.DatetimeIndex, source: str) -> Table:
    """Names, types, order: the table itself."""
    values = {name: numbers(frame, name, source) for name in (*layout.target, *layout.past, *layout.future)}
    ids = None if layout.id is None else names_of(frame[layout.id], source)
    covariates = {name: values[name] for name in (*layout.past, *layout.future)}
    covariates |= {name: static(frame, name, source) for name in layout.static}
    if layout.joint:
        pieces = [(ids, {name: values[name] for name in layout.target})]
    else:
        several = len(layout.target) > 1
        names = [name if ids is None else ids + f"/{name}" if several else ids for name in layout.target]
        pieces = [(name, {"y": values[target]}) for name, target in zip(names, layout.target, strict=True)]
    blocks = []
    for names, channels in pieces:
        block = pd.DataFrame({"ds": stamps, **channels, **covariates})
        block.insert(0, "unique_id", "series" if names is None else names)
        blocks.append(block)
    long = pd.concat(blocks, ignore_index=True) if len(blocks) > 1 else blocks[0]
    codes, order = pd.factorize(long["unique_id"], sort=layout.id is not None)  # wide: in the order of the targets
    long["unique_id"] = pd.Categorical.from_codes(codes, order)
    return Table(sorted_once(long, layout, source), layout, source)


def sorted_once(long: pd.DataFrame, layout: Layout, source: str) -> pd.DataFrame:
    """Rows by series, then time; a stamp that occurs twice in a series is refused."""
    codes, ordinals = long["unique_id"].cat.codes.to_numpy(), layout.clock.ordinals(pd.DatetimeIndex(long["ds"]))
    order = np.lexsort((ordinals, codes))
    if (np.diff(order) != 1).any():
        log.info("%s: rows were not in time order and have been sorted", source)
        long, codes, ordinals = long.iloc[order].reset_index(drop=True), codes[order], ordinals[order]
    twice = (np.diff(codes) == 0) & (np.diff(ordinals) == 0)
    if twice.any():
        row = long.iloc[int(twice.argmax())]
        count = twice.sum() // (1 if layout.joint else len(layout.target))  # in a wide file each target has it
        raise Refusal(
            f"{source}: {count} duplicate stamps; the first is {row['ds']} of series '{row['unique_id']}'. "
            + (
                "Remove one of each pair"
                if layout.id
                else "If the file holds several series, name their column by data.id"
            ),
            "duplicate",
        )
    for name in layout.static:
        values = long.groupby("unique_id", observed=True)[name].nunique()
        if (values > 1).any():
            raise Refusal(f"{source}: static column '{name}' changes within series '{values.idxmax()}'", "static")
    return long
