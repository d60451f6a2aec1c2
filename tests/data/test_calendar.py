"""Proof of the stamps: forecast stamps equal a calendar written here with datetime, zoneinfo and calendar alone."""

import calendar
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, pairwise, product
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data.clock import Clock, fitted
from forecast.data.forecasts import tabulate
from forecast.data.grid import grid
from forecast.data.panel import panel
from forecast.data.scaler import learn
from forecast.data.table import table

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
MINUTES = {"min": 1, "5min": 5, "10min": 10, "15min": 15, "30min": 30, "h": 60, "2h": 120, "3h": 180}
MINUTES |= {"6h": 360, "12h": 720}
WEEKS = {f"W-{name}": (1, day) for day, name in enumerate(["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"])}
WEEKS |= {"2W-FRI": (2, 4), "4W-WED": (4, 2), "13W-MON": (13, 0)}
MONTHS = {"MS": (1, 1), "2MS": (2, 1), "QS": (3, 1), "QS-FEB": (3, 2), "6MS": (6, 1), "YS": (12, 1), "YS-APR": (12, 4)}
ENDS = {"ME": (1, 1), "2ME": (2, 2), "QE": (3, 3), "6ME": (6, 6), "YE": (12, 12), "YE-JUN": (12, 6)}  # length, a month
DAYS = ["D", "D 06:00", "B", "B 16:00", "MS 06:00", *WEEKS, *MONTHS, *ENDS]
ZONES = ["Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Kolkata"]
ZONES = [None, "UTC", *ZONES, "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia"]
TURNS = ["1970-01-01", "2024-02-29", "2025-01-01", "2096-02-29", "2100-03-01"]  # 2100 is no leap year
SEEN = 40  # stamps of history


# --- the calendar ---


def instants(begin: datetime, minutes: int, zone: ZoneInfo | None) -> Iterator[datetime]:
    """Below a day: instants a fixed step apart, shown by the local clock."""
    step = timedelta(minutes=minutes)
    now = begin if zone is None else begin.replace(tzinfo=zone).astimezone(UTC)
    while True:
        yield now if zone is None else now.astimezone(zone)
        now += step


def days(freq: str, begin: date) -> Iterator[date]:
    """From a day upward: the dates of a frequency, from the first one at or after `begin`."""
    if freq in MONTHS or freq in ENDS:
        length, first = (MONTHS | ENDS)[freq]
        every = (
            divmod(number, 12) for number in range(begin.year * 12, 12 * 2250) if (number + 1 - first) % length == 0
        )
        found = (date(y, m + 1, 1 if freq in MONTHS else calendar.monthrange(y, m + 1)[1]) for y, m in every)
        return (day for day in found if day >= begin)
    weeks, weekday = WEEKS.get(freq, (1, None))
    found = (begin + timedelta(days=i) for i in range(10_000))
    if freq == "B":
        return (day for day in found if day.weekday() < 5)
    return islice((day for day in found if weekday in (None, day.weekday())), None, None, weeks)


def midnight(day: date, hour: int, zone: ZoneInfo | None) -> datetime:
    """A local time of a day; one that a change of clock leaves out is the moment at which it is put forward."""
    there = datetime(day.year, day.month, day.day, hour, tzinfo=zone)
    return there if zone is None else there.astimezone(UTC).astimezone(zone)


@cache
def changes(name: str | None) -> list[datetime]:
    """The local times (by the hour) before which the offset of a zone changes, in years with and without its rules."""
    if name is None:
        return []
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=i) for year in (2018, 2024) for i in range(8784)]
    local = [hour.astimezone(ZoneInfo(name)) for hour in hours]
    return [a.replace(tzinfo=None) for a, b in pairwise(local) if a.utcoffset() != b.utcoffset()]


def scenes(freq: str, name: str | None) -> list[tuple[list[datetime], int]]:
    """Calendars over changes of clock, leap days, years and far ahead, and how much of each is history."""
    alias, _, time = freq.partition(" ")
    zone = None if name is None else ZoneInfo(name)
    nights = [change.replace(hour=0, minute=0) for change in changes(name)]
    if alias in MINUTES:
        step = timedelta(minutes=MINUTES[alias])
        length = SEEN + max(60, timedelta(hours=8) // step)
        begins = [day - (SEEN + 10) * step for day in map(datetime.fromisoformat, TURNS)]
        begins += [night - count * step for night in nights for count in (SEEN - 5, SEEN + 10)]  # seen, and ahead
        return [(list(islice(instants(begin, MINUTES[alias], zone), length)), SEEN) for begin in begins]
    seen, length = (12, 40) if alias in MONTHS or alias in ENDS else (SEEN, 120)
    begins = [date.fromisoformat(turn) - timedelta(days=60) for turn in TURNS]
    begins += [night.date() - timedelta(days=count) for night in nights for count in (60, 3, 0, -1)]
    hour = int(time[:2] or 0)
    return [([midnight(day, hour, zone) for day in islice(days(alias, begin), length)], seen) for begin in begins]


def spelt(stamps: Iterable[datetime]) -> list[str]:
    return [stamp.isoformat() for stamp in stamps]


# --- the proof ---


def check_pair(freq: str, zone: str | None, clock_of: Callable[[pd.DatetimeIndex, str | None], Clock]) -> int:
    """How many stamps a clock fitted to those before them, by a name or none, puts where the calendar does: all."""
    count = 0
    for whole, seen in scenes(freq, zone):
        history, future = pd.DatetimeIndex(whole[:seen]).as_unit("ns"), spelt(whole[seen:])
        for named in (None, freq.partition(" ")[0]):
            clock = clock_of(history, named)
            numbers = clock.ordinals(history)[-1] + 1 + np.arange(len(future))
            stamps = clock.stamps(numbers)
            assert spelt(stamps.to_pydatetime()) == future, f"{freq} {zone} {clock}"
            assert (clock.ordinals(stamps) == numbers).all() and clock.holds(stamps).all()
            count += len(future)
    return count


PAIRS = list(product([*MINUTES, *DAYS], ZONES))


@pytest.mark.parametrize(
    ("freq", "zone"), [pytest.param(*pair, marks=[pytest.mark.slow] * (i % 7 > 0)) for i, pair in enumerate(PAIRS)]
)
def test_forecast_stamps_are_those_of_the_calendar(freq, zone):
    assert check_pair(freq, zone, fitted) >= 280


@pytest.mark.parametrize(("freq", "zone"), PAIRS[::37])
def test_the_stamps_of_a_forecast_table_are_those_of_the_calendar(freq, zone):
    """The whole road: text of a file, table, panel, forecast table."""
    whole, seen = scenes(freq, zone)[-1]
    frame = pd.DataFrame({"ds": spelt(whole[:seen]), "y": np.arange(float(seen))})
    laid = grid(table(frame, DATA | {"tz": zone}, "my.csv"), len(whole) - seen)
    made = panel(laid, learn(laid, int(laid.first[0]) + seen, DATA))
    parts = np.zeros((1, len(whole) - seen, 1)), np.zeros((1, len(whole) - seen, 1, 0))
    found = tabulate(made, 0, np.array([seen - 1]), parts[0], *parts, [])
    assert spelt(found["ds"]) == spelt(whole[seen:]) and spelt(found["cutoff"][:1]) == spelt(whole[seen - 1 : seen])


@pytest.mark.parametrize(
    ("freq", "zone", "fault"),
    [
        ("D", "Europe/Berlin", "absolute"),  # days of 24 hours
        ("D 06:00", "Europe/Berlin", "midnight"),
        ("h", "Europe/Berlin", "wall"),  # hours of the wall clock
        ("ME", None, "late"),  # one day after the end
        ("D", "Africa/Cairo", "strict"),  # history without the night that has no midnight
    ],
)
def test_the_check_of_stamps_catches(freq, zone, fault):
    class Wrong(Clock):
        def stamps(self, ordinals):
            right = super().stamps(ordinals)
            if fault == "absolute":
                return right[0] + pd.to_timedelta((ordinals - ordinals[0]) * 24, unit="h")
            if fault == "wall":
                local = right[0].tz_localize(None) + pd.to_timedelta(ordinals - ordinals[0], unit="h")
                return pd.DatetimeIndex(local).tz_localize(zone, nonexistent="shift_forward", ambiguous=local.hour > 0)
            if fault == "strict":
                return super().naive(ordinals).tz_localize(zone, nonexistent="NaT")
            return right.normalize() if fault == "midnight" else right + pd.Timedelta("1D")

    with pytest.raises(AssertionError, match=freq[:1]):
        check_pair(freq, zone, lambda stamps, named: Wrong(**vars_of(fitted(stamps, named))))


def vars_of(clock: Clock) -> dict:
    return {name: getattr(clock, name) for name in ("freq", "tz", "phase", "time")}
