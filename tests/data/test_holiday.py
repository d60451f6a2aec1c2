"""Holidays: of each local date, against dates that this file computes or knows by heart."""

import logging
import sys
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecast.data.clock import Clock, fitted
from forecast.data.holiday import FAR, NAMES, features
from forecast.error import Refusal

STEPS = {"2D": pd.DateOffset(days=2), "W-WED": pd.DateOffset(days=7), "QE": pd.DateOffset(months=3)}
STEPS |= dict.fromkeys(("MS", "ME"), pd.DateOffset(months=1))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (J. M. Oudin, "Étude sur la date de Pâques", 1940)."""
    century, golden = year // 100, year % 19
    k = (century - 17) // 25
    moon = (century - century // 4 - (century - k) // 3 + 19 * golden + 15) % 30
    moon -= (moon // 28) * (1 - (moon // 28) * (29 // (moon + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + moon + 2 - century + century // 4) % 7
    turn = moon - weekday
    month = 3 + (turn + 40) // 44
    return date(year, month, turn + 28 - 31 * (month // 4))


def german(year: int, region: str = "") -> set[date]:
    """Holidays of all of Germany (since 1995), and of Bavaria or Saxony."""
    fixed = {(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)}
    fixed |= {(10, 31)} if year == 2017 else set()  # 500 years of Reformation
    moving = [-2, 1, 39, 50]  # Good Friday, Easter Monday, Ascension, Whit Monday
    if region == "BY":
        fixed, moving = fixed | {(1, 6), (11, 1)}, [*moving, 60]  # Epiphany, All Saints, Corpus Christi
    if region == "SN":
        fixed |= {(10, 31)}
        eve = date(year, 11, 22)  # Repentance: the Wednesday before 23 November
        fixed |= {(11, (eve - timedelta(days=(eve.weekday() - 2) % 7)).day)}
    return {date(year, *day) for day in fixed} | {easter(year) + timedelta(days=days) for days in moving}


def check(found: np.ndarray, begins: list[date], ends: list[date], there: set[date]) -> None:
    """Counts the holidays of each step, and the days from its first day, one by one."""
    assert found.dtype == np.float32 and found.shape == (len(begins), len(NAMES))
    for row, begin, end in zip(found, begins, ends, strict=True):
        count = sum(begin + timedelta(days=i) in there for i in range((end - begin).days))
        until = next((i for i in range(FAR) if begin + timedelta(days=i) in there), FAR)
        since = next((i for i in range(FAR) if begin - timedelta(days=i) in there), FAR)
        np.testing.assert_array_equal(row, np.array([count, until / FAR, since / FAR], "float32"), err_msg=f"{begin}")


def test_easter_is_on_the_days_known_by_heart():
    known = [date(1961, 4, 2), date(2008, 3, 23), date(2024, 3, 31), date(2025, 4, 20), date(2038, 4, 25)]
    assert [easter(day.year) for day in known] == known


@pytest.mark.parametrize("region", ["", "BY", "SN"])
@pytest.mark.parametrize(
    ("freq", "begin", "rows", "tz"),
    [
        ("D", "1995-01-01", 11_000, None),
        ("D", "2090-01-01", 3_600, None),
        ("D 06:00", "2023-12-20", 500, "Europe/Berlin"),
        ("h", "2024-03-25", 24 * 20, "Europe/Berlin"),  # over the night of Easter
        ("h", "2024-12-20", 24 * 20, "Australia/Adelaide"),
        ("15min", "2024-05-25", 96 * 10, None),
        ("B", "2024-01-01", 500, None),
        ("2D", "2023-12-24", 300, None),
        ("W-WED", "2019-12-25", 300, "Europe/Berlin"),
        ("MS", "2017-01-01", 60, None),
        ("ME", "2017-01-31", 60, "Europe/Berlin"),
        ("QE", "2017-03-31", 20, None),
    ],
)
def test_holidays_of_each_step_are_those_counted_day_by_day(freq, begin, rows, tz, region):
    alias, _, time = freq.partition(" ")
    stamps = pd.date_range(f"{begin} {time}", periods=rows, freq=alias, tz=tz).as_unit("ns")
    clock = fitted(stamps, None)
    days = stamps.tz_localize(None).normalize()
    length = STEPS.get(alias, pd.DateOffset(days=1))
    ends = days + (pd.DateOffset(days=1) if alias in ("ME", "QE") else length)
    there = {day for year in range(1994, 2101) for day in german(year, region)}
    found = features(clock, clock.ordinals(stamps), f"DE-{region}" if region else "DE")
    check(found, list((ends - length).date), list(ends.date), there)


@pytest.mark.parametrize("fault", [0, 1, 2])
def test_the_check_of_holidays_catches(fault):
    stamps = pd.date_range("2024-12-20", periods=20, freq="D")
    clock = Clock("D")
    found = features(clock, clock.ordinals(stamps), "DE")
    days = list(stamps.date)
    ends = [day + timedelta(days=1) for day in days]
    check(found, days, ends, german(2024) | german(2025))
    found[5:, fault] = found[4:-1, fault]  # a day late
    with pytest.raises(AssertionError, match="2024-12-2"):
        check(found, days, ends, german(2024) | german(2025))


def test_ten_million_rows_are_computed_by_their_days():
    """A row of each hour is that of its local date, in any order and as often as it is asked for."""
    clock, day = Clock("h", "Europe/Berlin"), Clock("D")
    ordinals = np.random.default_rng(0).integers(450_000, 500_000, 100_000)
    dates = clock.local(ordinals).normalize()
    np.testing.assert_array_equal(
        features(clock, ordinals, "DE-BY"), features(day, day.ordinals(dates), "DE-BY"), strict=True
    )
    assert features(clock, ordinals[:0], "DE").shape == (0, 3)


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("de", "'DE'"),
        ("Germany", "'DE'"),
        ("United States", "'US'"),
        ("DE-by", "'BY'"),
        ("DE-Bavern", "'Bayern'"),
        ("US-Californa", "'California'"),
        ("DE-", "BB, BE, BW"),
        ("MC-XX", "MC alone"),
        ("", "such as DE"),
        (False, "in quotes"),  # NO, in a yaml file
    ],
)
def test_an_unknown_place_is_refused_with_the_nearest_one(place, hint):
    with pytest.raises(Refusal, match=rf"data.holidays={place}: .*{hint}") as refusal:
        features(Clock("D"), np.arange(20_000, 20_010), place)
    assert refusal.value.code == "config"


def test_without_the_library_the_refusal_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(Refusal, match=r"pip install 'forecast\[holidays\]'") as refusal:
        features(Clock("D"), np.arange(10), "DE")
    assert refusal.value.code == "extra"


@pytest.mark.parametrize(("place", "says"), [("DE", "known from 1991 to 2100"), ("IN", "2001 to 2035")])
def test_years_that_the_library_does_not_know_are_said_in_the_log(place, says, caplog):
    clock = Clock("D")
    with caplog.at_level(logging.WARNING):
        features(clock, clock.ordinals(pd.date_range("2020-01-01", periods=100)), place)
        assert not caplog.records
        features(clock, clock.ordinals(pd.date_range("1980-01-01", periods=100)), place)
    assert says in caplog.text
