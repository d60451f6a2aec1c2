"""The time grid of a data set: stamps <-> whole numbers of steps, local wall-clock steps.

A grid is of one of three kinds: steps of fixed length (from nanoseconds to weeks), business days, or months (one or
several at a time, named by their first or last day). Stamps with a time zone are put on the grid in UTC when a step is
shorter than a day, and as local dates at one time of day (a gas day begins at 06:00) from a day upward.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from forecast.error import Refusal

DAY = 86_400_000_000_000  # nanoseconds
MONTHS = {"MS": (1, 0), "ME": (1, 1), "QS": (3, 0), "QE": (3, 1), "YS": (12, 0), "YE": (12, 1)}  # length, at its end?
YEAR = np.arange(20_000, 20_365, 30) * DAY  # days on which zones have their present offsets, from 2024-10-04
HALF = pd.Timedelta(DAY // 2, "ns")
EPOCH = np.datetime64("1970-01-01", "D")
BLOCK = 1 << 20  # stamps that are looked at once
ENOUGH = 0.5  # share of the grid's steps that must be there before a frequency is believed


@dataclass(frozen=True)
class Clock:
    """A frequency (a pandas alias), a time zone (or None), and where the grid lies between two whole steps.

    `phase` is in nanoseconds, or in months where steps are months; `time` is the time of day, in nanoseconds, at which
    business days and months are stamped.
    """

    freq: str
    tz: str | None = None
    phase: int = 0
    time: int = 0

    @staticmethod
    def of_step(nanoseconds: int) -> str:
        """The frequency whose steps have this length."""
        days, rest = divmod(nanoseconds, DAY)
        if rest == 0:
            return f"{days // 7}W" if days % 7 == 0 else f"{days}D"
        return pd.tseries.frequencies.to_offset(pd.Timedelta(nanoseconds, "ns")).freqstr  # type: ignore[union-attr]

    @cached_property
    def unit(self) -> tuple[str, int, int]:
        """("ns", length, 0), ("B", 1, 0) or ("M", length, 1 if stamps are last days)."""
        try:
            offset = pd.tseries.frequencies.to_offset(self.freq) if isinstance(self.freq, str) else None
        except ValueError:
            offset = None
        if offset is None or offset.n < 1:
            raise Refusal(
                f"data.freq={self.freq}: unknown frequency; use a pandas alias such as h, 15min, D, B, W, MS or ME",
                "freq",
            )
        code = offset.rule_code.split("-")[0]
        if code in MONTHS:
            return "M", MONTHS[code][0] * offset.n, MONTHS[code][1]
        if code == "B" and offset.n == 1:
            return "B", 1, 0
        if code in ("D", "W"):
            return "ns", offset.n * DAY * (7 if code == "W" else 1), 0
        if not isinstance(offset, pd.offsets.Tick):
            raise Refusal(
                f"data.freq={self.freq} is not supported; use h, 15min, D, B, W, MS, ME, QS, QE, YS or YE", "freq"
            )
        return "ns", offset.nanos, 0

    @property
    def daily(self) -> bool:
        """Whether a step is a day or longer."""
        kind, length, _ = self.unit
        return kind != "ns" or length >= DAY

    @property
    def opening(self) -> "Clock":
        """The clock of the same steps, each stamped where it begins: months by their first day."""
        _, length, at_end = self.unit
        return replace(self, freq=f"{length}MS", phase=self.phase + 1 - length) if at_end else self

    @property
    def season(self) -> int:
        """The usual seasonal period: a day for shorter steps, a week of days, a year of weeks, months or quarters."""
        kind, length, _ = self.unit
        if kind == "B":
            return 5
        if kind == "M":
            return max(1, 12 // length)
        if length < DAY:
            return round(DAY / length)
        return max(1, 7 * DAY // length) if length < 7 * DAY else max(1, 52 * 7 * DAY // length)

    def grid(self, stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Stamps without zone, as they lie on the grid: UTC below a day, local dates from a day upward."""
        if stamps.tz is not None:
            stamps = stamps.tz_localize(None) if self.daily else stamps.tz_convert("UTC").tz_localize(None)
        return stamps if stamps.unit == "ns" else stamps.as_unit("ns")

    def ordinals(self, stamps: pd.DatetimeIndex) -> np.ndarray:
        """The number of each stamp on the grid (int64).

        Stamps between two steps get the earlier one, those before the last day that names a month (ME) their month.
        """
        kind, length, at_end = self.unit
        stamps = self.grid(stamps)
        if kind == "ns":
            return (stamps.asi8 - self.phase) // length
        days = (stamps.asi8 - self.time).view("M8[ns]").astype("M8[D]")
        if kind == "B":
            return np.busday_count(EPOCH, np.busday_offset(days, 0, roll="backward")).astype("int64")
        return (days.astype("M8[M]").astype("int64") - self.phase + at_end * (length - 1)) // length

    def naive(self, ordinals: np.ndarray) -> pd.DatetimeIndex:
        """The stamps of the grid, without zone (UTC where the zone matters)."""
        kind, length, at_end = self.unit
        if kind == "ns":
            return pd.DatetimeIndex((ordinals * length + self.phase).view("M8[ns]"))
        if kind == "B":
            days = np.busday_offset(EPOCH, ordinals, roll="forward")
        else:
            days = (ordinals * length + self.phase + at_end).astype("M8[M]").astype("M8[D]") - at_end
        return pd.DatetimeIndex(days).as_unit("ns") + pd.Timedelta(self.time, "ns")

    def stamps(self, ordinals: np.ndarray) -> pd.DatetimeIndex:
        """The stamps as users know them: with the zone that the data came with."""
        stamps = self.naive(ordinals)
        if self.tz is None:
            return stamps
        if not self.daily:
            return stamps.tz_localize("UTC").tz_convert(self.tz)
        first = np.ones(len(stamps), bool)  # of a time that a night has twice
        there = stamps.tz_localize(self.tz, nonexistent="NaT", ambiguous=first)
        if there.hasnans:  # a time that a night leaves out is as long after the noon before as on any day
            noon = (stamps - HALF).tz_localize(self.tz, nonexistent="shift_forward", ambiguous=first)
            there = there.where(there.notna(), noon + HALF)
        return there

    def numbers(self, stamps: Sequence[Any]) -> np.ndarray:
        """The numbers of stamps (or what pandas takes for some), local ones where there is a zone.

        Raises Refusal for one that is none, or not on the grid.
        """
        try:
            found = pd.DatetimeIndex(pd.to_datetime(list(stamps), format="ISO8601"))
            if self.tz is not None:
                found = found.tz_localize(self.tz) if found.tz is None else found.tz_convert(self.tz)
            off = ~self.holds(found)
        except (ValueError, TypeError) as error:
            raise Refusal(f"{list(stamps)[:3]} are not stamps of a clock in zone {self.tz}: {error}", "stamp") from None
        if off.any():
            raise Refusal(f"{found[off][0]} is not on the grid of the data ({self.freq})", "wrong-frequency")
        return self.ordinals(found)

    def holds(self, stamps: pd.DatetimeIndex) -> np.ndarray:
        """Whether each stamp lies on the grid."""
        return np.concatenate([self.stamps(self.ordinals(part)) == part for part in blocks(stamps)])

    def local(self, ordinals: np.ndarray) -> pd.DatetimeIndex:
        """The local wall clock, without zone."""
        stamps = self.stamps(ordinals)
        return stamps if stamps.tz is None else stamps.tz_localize(None)

    def steps(self, ordinals: np.ndarray) -> np.ndarray:
        """Steps of the local wall clock (int64): for hours, `steps % 24` is the hour of the local day."""
        if self.tz is None or self.daily:
            return ordinals
        return self.local(ordinals).asi8 // self.unit[1]

    def between(self, issue: str, anchor: str) -> int:
        """The most steps from a local time of day to the one that follows it, over the changes of clocks in a year."""
        (made, period), (first, _) = self.at(issue, "issue"), self.at(anchor)
        wall = (first - made) % period
        if wall == 0:
            raise Refusal(f"issue={issue}: expected a time of day before the anchor, {anchor}", "anchor")
        steps = self.steps(np.arange(YEAR[0] // self.unit[1], YEAR[-1] // self.unit[1]))
        firsts = np.flatnonzero(steps % period == first)
        firsts = firsts[firsts >= wall]
        return int((2 * wall - (steps[firsts] - steps[firsts - wall])).max())

    def at(self, time: str, key: str = "anchor") -> tuple[int, int]:
        """(phase, period) of a local time of day such as "00:00": it is there when steps % period == phase.

        Of steps that a change of clock moves off that time (2h at 00:00 in winter, at 01:00 in summer), the one that
        follows it less than a step later is meant. Raises Refusal for a time that is at no season on the grid.
        """
        try:
            since = pd.Timedelta(f"{time}:00" if time.count(":") == 1 else time).value
        except ValueError:
            since = -1
        length = self.unit[1]
        phases = self.local(YEAR // length).asi8 % length if not self.daily else ()
        if not 0 <= since < DAY or self.daily or DAY % length or since % length not in phases:
            raise Refusal(f"{key}={time}: expected a time of day on the grid of {self.freq}, such as '00:00'", "anchor")
        return since // length, DAY // length


def fitted(stamps: pd.DatetimeIndex, freq: str | None) -> Clock:
    """The clock on whose grid all `stamps` lie; found by itself if `freq` is None.

    Raises Refusal if a stamp lies off the declared grid, or if no frequency covers half of its steps.
    """
    tz = None if stamps.tz is None else str(stamps.tz)
    elsewhere = "" if tz is None else f"; if these are days of another time zone, name it by data.tz (now {tz})"
    if freq is not None:
        clock = phased(Clock(freq, tz), stamps)
        off = stamps[~clock.holds(stamps)]
        if len(off):
            raise Refusal(
                f"data.freq={freq}: {off[0]} is not on that grid (the first stamp is {stamps[0]}); "
                f"name the frequency of the data, or leave data.freq out to have it found{elsewhere}",
                "wrong-frequency",
            )
        return clock
    if len(stamps) < 3:
        raise Refusal(f"{len(stamps)} stamps are too few to find a frequency; name it by data.freq", "too-short")
    best, coverage = Clock("D", tz), 0.0
    for candidate in candidates(stamps):
        clock = phased(Clock(candidate, tz), stamps)
        first, last = clock.ordinals(stamps[[0, -1]])
        share = len(stamps) / (last - first + 1)
        if share > coverage and clock.holds(stamps).all():
            best, coverage = clock, share
    if coverage < ENOUGH:
        raise Refusal(
            f"no frequency fits: steps of {best.freq} would leave {1 - coverage:.0%} of the rows empty between "
            f"{stamps[0]} and {stamps[-1]}; name the frequency by data.freq if that is right{elsewhere}",
            "mixed-frequency",
        )
    return best


def blocks(stamps: pd.DatetimeIndex, more: int = 0) -> Iterator[pd.DatetimeIndex]:
    """Stamps so many at a time, with the first `more` of the next."""
    for start in range(0, max(1, len(stamps) - more), BLOCK):
        yield stamps[start : start + BLOCK + more]


def phased(clock: Clock, stamps: pd.DatetimeIndex) -> Clock:
    """The clock with its grid laid through the first stamp."""
    kind, length, _ = clock.unit
    first = clock.grid(stamps[:2]).asi8
    first = int(first[(first % DAY).argmin()] if clock.daily else first[0])  # clocks put forward only delay a day
    if kind == "ns":
        return replace(clock, phase=first % length)
    month = int(np.datetime64(first, "ns").astype("M8[M]").astype("int64"))
    return replace(clock, phase=month % length if kind == "M" else 0, time=first % DAY)


def anchored(clock: Clock, stamps: pd.DatetimeIndex) -> Clock:
    """The clock with its grid laid by its name: from a midnight, and by the weekday or the month of W-MON or YE-JUN."""
    day = stamps[:1].tz_localize(None).normalize()
    if not clock.daily:
        return phased(clock, day.tz_localize(stamps.tz, nonexistent="shift_forward", ambiguous=np.ones(1, bool)))
    return phased(clock, pd.DatetimeIndex([pd.tseries.frequencies.to_offset(clock.freq).rollback(day[0])]))


def candidates(stamps: pd.DatetimeIndex) -> list[str]:
    """Frequencies that might fit: the largest common step, and for days business days and the largest common month."""
    step = int(np.gcd.reduce([np.gcd.reduce(np.diff(part.as_unit("ns").asi8)) for part in blocks(stamps, 1)]))
    local = (part.tz_localize(None).to_numpy() for part in blocks(stamps, 1))
    if not all(np.diff(part.astype("M8[D]")).all() for part in local):  # several stamps a day
        return [Clock.of_step(step)]
    local = stamps.tz_localize(None).to_numpy()
    days = np.diff(local.astype("M8[D]").astype("int64"))
    month = int(np.gcd.reduce(np.diff(local.astype("M8[M]").astype("int64")))) or 1
    name = {1: "M", 3: "Q", 12: "Y"}.get(month, f"{month}M")
    return [Clock.of_step(int(np.gcd.reduce(days)) * DAY), Clock.of_step(step), "B", f"{name}S", f"{name}E"]
