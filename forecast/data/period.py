"""The periods of a delivery day: counted from its begin, and days that begin in the morning, as those of gas do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import DAY, Clock
from forecast.data.stamp import MINUTE, opening
from forecast.error import Refusal

PERIODS = (60, 30, 20, 15, 10, 5)  # minutes of periods that are known by how many a day has
WHOLE = [hours * 60 // minutes for minutes in PERIODS for hours in (23, 24, 25)]  # periods of a whole day


def counted(
    dates: pd.DatetimeIndex,
    numbers: pd.Series,
    groups: np.ndarray,
    data: Mapping[str, Any],
    clock: Clock | None,
    source: str,
) -> pd.DatetimeIndex:
    """The begins of periods that are numbered within their day, from 1 or 0: also on days of 23 and 25 hours.

    Raises Refusal where the numbers of a day end elsewhere than that day does.
    """
    text, column = numbers.astype("str").str.strip(), numbers.name
    wrong = ~text.str.fullmatch(r"\d{1,4}(\.0)?").to_numpy(bool)
    if wrong.any() or dates.tz is not None or (dates.asi8 % DAY).any():
        row = int(wrong.argmax() if wrong.any() else (dates.asi8 % DAY > 0).argmax())
        raise Refusal(
            f"{source}, row {row + 1}: '{dates[row]}' and '{text.iloc[row]}' are not a date without time of day and a "
            f"whole number that counts periods from 1 or 0 (data.stamp=count, columns '{numbers.name}')",
            "bad-time",
        )
    count = text.astype("float64").to_numpy().astype("int64")
    count -= min(1, count.min()) - 1  # from 1
    step = period(int(count.max()), clock.freq if clock else data["freq"], bool(data["resample"]), source)
    days, place = np.unique(dates.asi8 // DAY, return_inverse=True)
    daily = Clock("D", data["tz"], phase=opening(data))
    begins = daily.stamps(days).as_unit("ns").asi8
    whole = (daily.stamps(days + 1).as_unit("ns").asi8 - begins) // step
    rows = pd.DataFrame({"group": groups, "place": place, "count": count})
    last = rows.loc[rows.groupby(["group", "place"])["count"].idxmax()]
    there, length = last["count"].to_numpy(), whole[last["place"]]
    open_end = (last["place"] == last.groupby("group")["place"].transform("max")).to_numpy()
    off = (there > length) | (there < length) & ((np.isin(there, WHOLE) & ~open_end) | (there == DAY // step))
    if off.any():
        first = int(off.argmax())
        row = int(last.index[first])
        zone = f"in {data['tz']}" if data["tz"] else "without a time zone; name it by data.tz"
        raise Refusal(
            f"{source}, row {row + 1}, column '{column}': the periods of {dates[row]:%Y-%m-%d} end at {there[first]}, "
            f"but that day has {length[first]} of {pd.Timedelta(step, 'ns')} {zone}. If they are hours of the clock, "
            "one of them missing or there twice when clocks change: data.stamp=end; if the length of periods changes: "
            "cut the file there; if the last of that day are missing: give them rows of empty cells",
            "periods",
        )
    stamps = pd.DatetimeIndex((begins[place] + (count - 1) * step).view("M8[ns]"))
    return stamps if data["tz"] is None else stamps.tz_localize("UTC").tz_convert(data["tz"])


def period(most: int, freq: str | None, resampled: bool, source: str) -> int:
    """The length of periods in nanoseconds: as named, else that of which a day has so many, an hour more or less."""
    if freq is not None and not resampled:
        kind, length, _ = Clock(freq).unit
        if kind != "ns" or length >= DAY:
            raise Refusal(f"data.freq={freq}: expected the length of the periods that are counted in a day", "config")
        return length
    for minutes in PERIODS:
        if abs(most * minutes - 24 * 60) <= 60:
            return minutes * MINUTE
    raise Refusal(
        f"{source}: how long periods are is not known, the largest number is {most}, where a day has 24 hours, 48 half "
        "hours or 96 quarter hours; name it by data.freq=15min",
        "periods",
    )


def refuse_gas_day(stamps: pd.DatetimeIndex, groups: np.ndarray, source: str) -> None:
    """Refuses times of day that pass midnight while their date stays, so that the hours after it lie a day early.

    In the order of the file such stamps fall by a day less a step at midnight and, where the date changes, rise by a
    day and a step.
    """
    if stamps.tz is not None:
        return
    values, same = stamps.asi8, groups[1:] == groups[:-1]
    if not ((values[1:] < values[:-1]) & same).any() or not ((values[1:] > values[:-1]) & same).any():
        return  # one direction, as in most files
    if groups.any():
        order = np.argsort(groups, kind="stable")
        values, groups = values[order], groups[order]
    steps = np.where(groups[1:] == groups[:-1], np.diff(values), 0)
    falling = (steps < 0).sum() > (steps > 0).sum()
    steps = -steps if falling else steps
    if not (steps < 0).any() or not (steps > 0).any():
        return
    usual = int(np.median(steps[steps > 0]))
    back, ahead = steps == usual - DAY, steps == usual + DAY
    firsts = values[:-1][ahead] if falling else values[1:][ahead]
    first = int(firsts[0] if len(firsts) else values[-1] if falling else values[0]) % DAY
    if usual < DAY and first and 2 * back.sum() > (steps < 0).sum():
        row = int(back.argmax())
        begin = str(pd.Timestamp(first))[11:16]
        raise Refusal(
            f"{source}: times of day pass midnight under one date ({stamps[row]}, then {stamps[row + 1]}), as in a gas "
            f"day: data.day='{begin}' if times before {begin} are of the next day, data.day='00:00' if they are not",
            "gas-day",
        )
