"""The stamps of a table: from text or not, at the begin of their interval, in their time zone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import Clock, fitted
from forecast.data.stamp import MARK, Stamps, joined, localized
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
    name, marks = " ".join(time), None
    column = frame[name] if name in frame.columns else joined(frame[time[0]], frame[time[1]])
    if pd.api.types.is_datetime64_any_dtype(column):
        if column.isna().any():
            raise Refusal(
                f"{source}, row {column.isna().argmax() + 1}, column '{name}': the time is missing", "bad-time"
            )
        stamps = pd.DatetimeIndex(column, copy=False)
        stamps = stamps if stamps.unit == "ns" else stamps.as_unit("ns")
        marks = frame[f"{name} {MARK}"].to_numpy() if f"{name} {MARK}" in frame.columns else None
    else:
        reading = Stamps(name, source, data["dates"], data["tz"] is not None)
        reading.add(column, 1)
        stamps, marks = reading.done()
    groups = np.zeros(len(stamps), "int64")
    if keys := [x for x in (series, data["issued"]) if x]:
        groups = frame.groupby(keys, sort=False).ngroup().to_numpy()
    if data["stamp"] == "end":
        if clock is None or stamps.tz is None:
            freq = clock.freq if clock else data["freq"]
            clock = fitted(rising(stamps), None if data["resample"] else freq)
        if clock.unit[0] != "ns":
            raise Refusal(f"{source}: data.stamp=end needs steps of equal length", "config")
        ends, stamps = stamps, clock.stamps(clock.ordinals(stamps) - 1)
        if data["tz"] is not None and ends.tz is None:
            try:  # hours of a day that are counted, as exchanges do: those before are of the clock before, too
                return localized(stamps, data["tz"], groups, marks, source)
            except Refusal:  # times of a clock, as meters show it: a step before in truth
                return localized(ends, data["tz"], groups, marks, source) - pd.Timedelta(clock.unit[1], "ns")
    if data["tz"] is None:
        if marks is not None and marks.any():
            raise Refusal(f"{source}: times such as 2A and 2B belong to a time zone; name it by data.tz", "dst")
        return stamps
    if stamps.tz is not None:
        return stamps.tz_convert(data["tz"])
    return localized(stamps, data["tz"], groups, marks, source)


def rising(stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Each stamp once, in order."""
    values = stamps.asi8
    return stamps if (values[1:] > values[:-1]).all() else stamps.unique().sort_values()


def zone(stamps: pd.DatetimeIndex) -> str | None:
    return None if stamps.tz is None else str(stamps.tz)
