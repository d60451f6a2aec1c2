"""The stamps of a table: from text or not, at the begin of their interval, in their time zone.

Also: which of the two equal hours of an autumn night a local time means.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import DAY, Clock, fitted
from forecast.data.period import counted, refuse_gas_day
from forecast.data.stamp import MARK, Stamps, opening
from forecast.error import Refusal


def instants(
    frame: pd.DataFrame,
    time: Sequence[str],
    series: str | None,
    data: Mapping[str, Any],
    clock: Clock | None,
    source: str,
) -> pd.DatetimeIndex:
    """The stamps of a frame: read from text where they are text, at the begin of their interval, in their zone."""
    zone, counts = data["tz"], data["stamp"] == "count"
    if zone is not None:
        try:
            pd.Timestamp(0).tz_localize(zone)
        except (KeyError, ValueError, OSError):
            raise Refusal(
                f"data.tz={zone}: no such time zone; expected a name such as Europe/Berlin", "config"
            ) from None
    if counts and len(time) < 2:
        raise Refusal("data.stamp=count needs the columns of dates and of numbers, data.time=[date,period]", "config")
    stamps, marks = as_written(frame, time[:1] if counts else time, data, source)
    groups = np.zeros(len(stamps), "int64")
    keys = [x for x in (series, data["issued"]) if x]
    if keys and stamps.tz is None:  # the order of a series' rows says what a local time means
        groups = frame.groupby(keys, sort=False).ngroup().to_numpy()
    if counts:
        return counted(stamps, frame[time[1]], groups, data, clock, source)
    if data["day"] is None:
        refuse_gas_day(stamps, groups, source)
    elif begin := opening(data):
        if stamps.tz is not None or not (stamps.asi8 % DAY).any():
            raise Refusal(f"{source}: data.day is for local times of day, {stamps[0]} has none", "config")
        stamps = stamps + ((stamps.asi8 % DAY < begin) * DAY).view("m8[ns]")
    if data["stamp"] == "end":
        if clock is None or stamps.tz is None:
            freq = clock.freq if clock else data["freq"]
            clock = fitted(rising(stamps), None if data["resample"] else freq)
        if clock.unit[0] != "ns":
            raise Refusal(f"{source}: data.stamp=end needs steps of equal length", "config")
        ends, stamps = stamps, clock.stamps(clock.ordinals(stamps) - 1)
        if zone is not None and ends.tz is None:
            try:  # hours of a day by their number, 1 to 24: those before are of the clock before, too
                return localized(stamps, zone, groups, marks, source)
            except Refusal:  # times of a clock, as meters show it: a step before in truth
                return localized(ends, zone, groups, marks, source) - pd.Timedelta(clock.unit[1], "ns")
    if zone is None:
        if marks is not None and marks.any():
            raise Refusal(f"{source}: times such as 2A and 2B belong to a time zone; name it by data.tz", "dst")
        return stamps
    if stamps.tz is not None:
        return stamps.tz_convert(zone)
    return localized(stamps, zone, groups, marks, source)


def as_written(
    frame: pd.DataFrame, time: Sequence[str], data: Mapping[str, Any], source: str
) -> tuple[pd.DatetimeIndex, np.ndarray | None]:
    """The stamps of one column, or of those of date and time of day; and which of two equal hours they say."""
    name = " ".join(time)
    if name not in frame.columns or not pd.api.types.is_datetime64_any_dtype(frame[name]):
        reading = Stamps(name, source, data)
        reading.add([frame[name]] if name in frame.columns else [frame[x] for x in time], 1)
        return reading.done()
    column = frame[name]
    if column.isna().any():
        raise Refusal(f"{source}, row {column.isna().argmax() + 1}, column '{name}': the time is missing", "bad-time")
    stamps = pd.DatetimeIndex(column, copy=False)
    marks = frame[f"{name} {MARK}"].to_numpy() if f"{name} {MARK}" in frame.columns else None
    return stamps if stamps.unit == "ns" else stamps.as_unit("ns"), marks


def localized(
    stamps: pd.DatetimeIndex, zone: str, series: np.ndarray, marks: np.ndarray | None, source: str
) -> pd.DatetimeIndex:
    """Local times as stamps of a zone.

    Of an hour that a night has twice, the first is summer time: by its mark, else by the order of each series' rows.
    Raises Refusal for a time that the clocks leave out, or an hour that is there once and has no mark.
    """
    days = Clock("D", zone)
    if (stamps == stamps.normalize()).all():  # the first moment of each, also where a night has no midnight or two
        return days.stamps(days.ordinals(stamps))
    there = stamps.tz_localize(zone, ambiguous=np.ones(len(stamps), bool), nonexistent="NaT")
    if there.isna().any():
        row = int(there.isna().argmax())
        raise Refusal(
            f"{source}: {stamps[row]} does not exist in {zone}, where clocks go forward over it; are these stamps "
            "really local (data.tz), do they mark the end of an interval (data.stamp=end), or count the periods of a "
            "day (data.stamp=count)?",
            "dst",
        )
    double = np.flatnonzero(stamps.tz_localize(zone, ambiguous="NaT").isna())
    if not len(double):
        return there
    rows = pd.DataFrame({"series": series[double], "stamp": stamps[double]})
    turn = rows.groupby(["series", "stamp"]).cumcount().to_numpy() + 1
    count = rows.groupby(["series", "stamp"])["stamp"].transform("size").to_numpy()
    mark = np.zeros(len(double), "int8") if marks is None else marks[double]
    unsaid = (mark == 0) & (count != 2)
    if unsaid.any():
        row = int(unsaid.argmax())
        raise Refusal(
            f"{source}: {rows['stamp'][row]} occurs {count[row]} times in a night that has it twice in {zone}, so that "
            "its place is not known; leave data.tz out (then the stamps are taken as they are) or give both hours; if "
            "numbers count the periods of a day, data.stamp=count",
            "dst",
        )
    falling = len(stamps) > 1 and stamps[0] > stamps[-1]
    first = np.where(mark > 0, mark == 1, (turn == 1) != falling)
    summer = np.ones(len(stamps), bool)
    summer[double] = first
    return stamps.tz_localize(zone, ambiguous=summer)


def rising(stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Each stamp once, in order."""
    values = stamps.asi8
    return stamps if (values[1:] > values[:-1]).all() else stamps.unique().sort_values()


def zone(stamps: pd.DatetimeIndex) -> str | None:
    return None if stamps.tz is None else str(stamps.tz)
