"""CSV or DataFrame -> table: one long, sorted, typed and checked DataFrame. The border where people's data are refused.

A table has the columns `unique_id`, `ds`, then the channels (`y`, or the targets' names when they are forecast
jointly), then past, future and static covariates. Further in, nothing has to be checked again.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import Clock, anchored, fitted, phased
from forecast.data.column import categories, id_column, names_of, numbers, require, static, targets, time_columns
from forecast.data.instant import instants, rising, zone
from forecast.data.layout import Layout
from forecast.data.repair import deduplicated, frequencies, gaps, refuse_change, resampled
from forecast.data.stamp import MARK
from forecast.data.vintage import parted
from forecast.error import Refusal, nearest

log = logging.getLogger(__name__)

ISSUED = {"stamp": None, "tz": None, "day": "00:00"}  # how the times of issue are read beside those of the data


@dataclass(frozen=True)
class Table:
    """Rows by series and time, each stamp once; and, where known covariates have several vintages, all of these."""

    frame: pd.DataFrame
    layout: Layout
    source: str
    vintages: pd.DataFrame | None = None


def table(frame: pd.DataFrame, data: Mapping[str, Any], source: str) -> Table:
    """The checked table of a DataFrame whose columns are described by `data` (conf/data/csv.yaml has the keys)."""
    frame = indexed(frame, source)
    time, series = time_columns(frame, data["time"], source), id_column(frame, data["id"])
    roles = {kind: tuple(data[kind]) for kind in ("past", "future", "static")}
    frame = without(chosen(frame, series, data["series"], source), data["missing"])
    taken = {
        *time,
        f"{' '.join(time)} {MARK}",
        series,
        data["issued"],
        *roles["past"],
        *roles["future"],
        *roles["static"],
    }
    target = tuple(data["target"] or targets(frame, series, taken, source))
    if set(target) & taken:
        raise Refusal(
            f"{source}: column {(set(target) & taken).pop()!r} has two roles; a target can't be another", "config"
        )
    require(
        frame,
        [*target, *roles["past"], *roles["future"], *roles["static"], *(x for x in (series, data["issued"]) if x)],
        source,
    )
    own = {"unique_id", "ds", *(target if data["joint"] else ["y"])}
    for name in (*roles["past"], *roles["future"], *roles["static"]):
        if name in own:
            raise Refusal(
                f"{source}: '{name}' can't be a covariate, the table calls another column so: rename it", "config"
            )
    stamps = instants(frame, time, series, data, None, source)
    layout = Layout(
        time=" ".join(time),
        id=series,
        target=target,
        **roles,
        categorical=tuple(
            dict.fromkeys(
                [*data["categorical"], *(x for x in roles["static"] if not pd.api.types.is_numeric_dtype(frame[x]))]
            )
        ),
        joint=bool(data["joint"]),
        lag=dict(data["lag"] or {}),
        oracle=tuple(data["oracle"]),
        issued=data["issued"],
        clock=Clock("h"),
    )
    layout.check()
    long, vintages = once(frame, layout, stamps, data, source)
    steps = frequencies(long)
    try:
        if data["resample"]:
            if not data["freq"] and not steps:
                raise Refusal("too few rows to find a frequency; name that of the result by data.freq", "too-short")
            freq = data["freq"] or Clock.of_step(min(steps) if data["resample"] == "repeat" else max(steps))
            if data["stamp"] == "end" and len(steps) > 1:
                raise Refusal("data.stamp=end can't be told where the frequency changes: cut the file there", "config")
            grid = phased if data["resample"] == "repeat" else anchored
            layout = replace(layout, clock=grid(Clock(freq, zone(stamps)), stamps.sort_values()))
            long = resampled(long, layout.clock, data["resample"], layout.channels, source)
        else:
            layout = replace(layout, clock=fitted(rising(stamps), data["freq"]))
            if layout.clock.unit[0] == "ns":
                refuse_change(steps, source)
    except Refusal as error:
        raise Refusal(f"{source}: {error}" if source not in str(error) else str(error), error.code) from None
    gaps(long, layout, data["max_gap"], source)
    return Table(long, layout, source, vintages)


def again(frame: pd.DataFrame, layout: Layout, data: Mapping[str, Any], source: str) -> Table:
    """The table of new rows for a forecaster that was fitted on data of this layout, described by `data`.

    Raises Refusal if a column is missing or the stamps lie off the grid of the training data.
    """
    frame = without(chosen(indexed(frame, source), layout.id, data["series"], source), data["missing"])
    names = [layout.id, layout.issued, *layout.target, *layout.past, *layout.future, *layout.static]
    time = [layout.time] if isinstance(data["time"], str | None) else time_columns(frame, data["time"], source)
    require(frame, [name for name in (*time, *names) if name], source)
    stamps = instants(frame, time, layout.id, data, layout.clock, source)
    if (stamps.tz is None) != (layout.clock.tz is None):
        raise Refusal(
            f"{source}: stamps with and without a time zone (training data: {layout.clock.tz})", "wrong-frequency"
        )
    stamps = stamps if stamps.tz is None else stamps.tz_convert(layout.clock.tz)
    long, vintages = once(frame, layout, stamps, data, source)
    for name in sorted(set(layout.static) - set(layout.categorical)):
        numbers(frame, name, source)
    if data["resample"]:
        long = resampled(long, layout.clock, data["resample"], layout.channels, source)
        gaps(long, layout, data["max_gap"], source)
        return Table(long, layout, source)
    off = ~layout.clock.holds(stamps)
    if off.any():
        raise Refusal(
            f"{source}: {stamps[off][0]} is not on the grid of the training data ({layout.clock.freq})",
            "wrong-frequency",
        )
    gaps(long, layout, data["max_gap"], source)
    return Table(long, layout, source, vintages)


def once(
    frame: pd.DataFrame, layout: Layout, stamps: pd.DatetimeIndex, data: Mapping[str, Any], source: str
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows of the table, each stamp once, and the vintages of known covariates if they have any."""
    long, vintages = arranged(frame, layout, stamps, source), None
    if layout.issued is not None:
        if data["resample"] or not layout.future:
            raise Refusal("data.issued is for the vintages of data.future, without data.resample", "config")
        issued = instants(frame, [layout.issued], layout.id, {**data, **ISSUED}, None, source)
        if data["tz"] and issued.tz is None:  # of an hour that a night has twice the second, so that nothing is early
            issued = issued.tz_localize(data["tz"], ambiguous=np.zeros(len(issued), bool), nonexistent="shift_forward")
        if (issued.tz is None) != (stamps.tz is None):
            raise Refusal(
                f"{source}: '{layout.time}' and '{layout.issued}' have to be both in a time zone, or neither",
                "mixed-offsets",
            )
        issued = issued if issued.tz is None else issued.tz_convert(stamps.tz)
        rows = np.tile(np.arange(len(frame)), len(long) // len(frame))
        long, vintages = parted(long.assign(issued=issued[rows]), layout, source)
    return sorted_once(long, layout, data["duplicates"], source), vintages


def chosen(frame: pd.DataFrame, series: str | None, wanted: Sequence[str] | None, source: str) -> pd.DataFrame:
    """The rows of the series that `data.series` names."""
    if wanted is None:
        return frame
    if series is None:
        raise Refusal(
            "data.series needs a column of series names (data.id); of a wide file choose data.target", "config"
        )
    require(frame, [series], source)
    found = frame[frame[series].astype(str).isin(list(map(str, wanted)))]
    there = list(map(str, pd.unique(frame[series])))
    absent = [str(x) for x in wanted if str(x) not in there]
    if absent:
        log.warning("%s: no row is of series '%s'%s", source, absent[0], nearest(absent[0], there))
    if not len(found):
        raise Refusal(f"{source}: no row is of data.series={list(wanted)}{nearest(absent[0], there)}", "no-rows")
    return found.reset_index(drop=True)


def without(frame: pd.DataFrame, missing: Sequence[str | float]) -> pd.DataFrame:
    """The frame with empty cells for what `data.missing` means by them."""
    if not missing:
        return frame
    words = [*map(str, missing)]
    values = [float(x) for x in words if re.fullmatch(r"[+-]?\d+(\.\d*)?", x)]
    cells = {
        name: column.mask(column.isin(values if pd.api.types.is_numeric_dtype(column) else words))
        for name, column in frame.items()
        if not pd.api.types.is_datetime64_any_dtype(column)
    }
    return frame.assign(**{str(name): column for name, column in cells.items()})


def indexed(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame, which has rows, with stamps that lie in its index as a column."""
    if not len(frame):
        raise Refusal(f"{source} has a header but no rows", "empty-file")
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name not in frame.columns:
        return frame.rename_axis(str(frame.index.name or "ds")).reset_index()
    return frame


def arranged(frame: pd.DataFrame, layout: Layout, stamps: pd.DatetimeIndex, source: str) -> pd.DataFrame:
    """Names and types: the rows of the table, in the order of the file."""
    values = {name: numbers(frame, name, source) for name in layout.target}
    covariates = {
        name: categories(frame, name) if name in layout.categorical else numbers(frame, name, source)
        for name in (*layout.past, *layout.future)
    }
    covariates |= {name: static(frame, name, source, name in layout.categorical) for name in layout.static}
    times = 1 if layout.joint else len(layout.target)  # in a wide file each target has all rows
    if layout.joint:
        channels = values
    else:
        channels = {"y": values[layout.target[0]] if times == 1 else np.concatenate([*values.values()])}
    if layout.id is None:
        codes, labels = np.zeros(len(frame), "int32"), ["series"] if layout.joint else list(layout.target)
    else:
        column = frame[layout.id]
        if column.dtype == object or column.isna().any() or (column == "").any():
            column = pd.Series(names_of(column, source))  # 7 and 7.0 are one key, but two names
        codes, ids = pd.factorize(column)
        labels = [f"{x}/{name}" for name in layout.target for x in ids] if times > 1 else [str(x) for x in ids]
    known, order = pd.factorize(pd.Series(labels, dtype="str"), sort=layout.id is not None)  # wide: as the targets are
    known = known.astype(np.min_scalar_type(-len(known)))
    codes = known[codes if times == 1 else np.concatenate([codes + i * (len(known) // times) for i in range(times)])]
    rows = slice(None) if times == 1 else np.tile(np.arange(len(frame)), times)
    return pd.DataFrame(
        {
            "unique_id": pd.Categorical.from_codes(codes, order),
            "ds": stamps[rows],
            **channels,
            **{name: column[rows] for name, column in covariates.items()},
        },
        copy=False,
    )


def sorted_once(long: pd.DataFrame, layout: Layout, repair: str | None, source: str) -> pd.DataFrame:
    """Rows by series, then time; a stamp that occurs twice in a series is refused, unless a repair is named."""
    codes, instants = long["unique_id"].cat.codes.to_numpy(), pd.DatetimeIndex(long["ds"], copy=False).asi8
    same = codes[1:] == codes[:-1]
    if ((codes[1:] < codes[:-1]) | (same & (instants[1:] < instants[:-1]))).any():
        order = np.argsort(codes, kind="stable")  # quick, and enough where only the series are mixed
        if ((np.diff(codes[order]) == 0) & (np.diff(instants[order]) < 0)).any():
            log.info("%s: rows were not in time order and have been sorted", source)
            order = np.lexsort((instants, codes))
        long, codes, instants = long.iloc[order].reset_index(drop=True), codes[order], instants[order]
        same = codes[1:] == codes[:-1]
    twice = same & (instants[1:] == instants[:-1])
    if twice.any() and repair:
        long = deduplicated(long, twice, repair, source)
    elif twice.any():
        row = long.iloc[int(twice.argmax())]
        count = twice.sum() // (1 if layout.joint else len(layout.target))  # in a wide file each target has it
        raise Refusal(
            f"{source}: {count} duplicate stamps; the first is {row['ds']} of series '{row['unique_id']}'. "
            "Choose by data.duplicates=first, last or mean"
            + ("" if layout.id else "; if the file holds several series, name their column by data.id")
            + ("" if row["ds"].tz else "; if it is a night in which clocks go back, name the zone by data.tz")
            + "; if times of day have a column of their own, name both by data.time=[date,time]",
            "duplicate",
        )
    for name in layout.static:
        values = long.groupby("unique_id", observed=True)[name].nunique()
        if (values > 1).any():
            raise Refusal(f"{source}: static column '{name}' changes within series '{values.idxmax()}'", "static")
    return long
