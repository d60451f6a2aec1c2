"""The clock: stamps and numbers of steps, frequencies found and refused, the local wall clock."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.data.clock import Clock, anchored, fitted, phased
from forecast.error import Refusal

FINE = ["min", "5min", "15min", "30min", "h", "2h", "12h"]
DAYS = ["D", "2D"]
WEEKS = ["W-SUN", "W-MON", "W-WED", "2W-FRI"]
DATES = ["B", "MS", "ME", "QS", "QE", "QS-FEB", "QE-JAN", "YS", "YE", "YS-APR", "YE-JUN"]
ZONES = ["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kolkata", "Asia/Kathmandu"]
ZONES += ["UTC", "Australia/Lord_Howe", "America/Havana"]
SEASONS = {"min": 1440, "15min": 96, "h": 24, "2h": 12, "D": 7, "W-MON": 52, "B": 5, "MS": 12, "ME": 12}
SEASONS |= {"QS": 4, "QE": 4, "YS": 1, "YE": 1}
BEGINS = ["1950-01-01", "1969-12-20", "2023-12-29", "2024-02-27"]  # before the epoch, across it, leap year


def made(freq: str, begin: str = "2024-01-01", rows: int = 60, tz: str | None = None) -> pd.DatetimeIndex:
    return pd.date_range(begin, periods=rows, freq=freq, tz=tz).as_unit("ns")


def check_clock(clock: Clock, stamps: pd.DatetimeIndex) -> None:
    """Numbers are consecutive and lead back to the stamps, past the end as well."""
    numbers = clock.ordinals(stamps)
    assert numbers.dtype == np.int64 and (np.diff(numbers) == 1).all()
    assert clock.stamps(numbers).equals(stamps)
    assert clock.naive(numbers).equals(stamps.tz_localize(None) if clock.daily else naive_utc(stamps))
    assert clock.naive(numbers).tz is None
    assert clock.local(numbers).equals(stamps.tz_localize(None))


def naive_utc(stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)


@pytest.mark.parametrize("begin", BEGINS)
@pytest.mark.parametrize("freq", [*FINE, *DAYS, *WEEKS, *DATES, "2MS", "6ME"])
def test_numbers_are_consecutive_and_lead_back_to_the_stamps(freq, begin):
    stamps = made(freq, begin)
    check_clock(fitted(stamps, freq), stamps)
    assert fitted(stamps, freq).freq == freq


@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("begin", ["2024-03-08", "2024-10-25"])  # both nights of both zones follow within 26 days
@pytest.mark.parametrize("freq", ["15min", "h", "2h", *DAYS, "W-MON", "B", "MS"])
def test_stamps_with_a_zone_lead_back_to_themselves_over_both_nights(freq, begin, tz):
    days = {"15min": 96, "h": 24, "2h": 12}.get(freq, 2)
    stamps = made(freq, begin, 26 * days, tz)
    for clock in (fitted(stamps, freq), fitted(stamps, None)):
        check_clock(clock, stamps)


@pytest.mark.parametrize("freq", [*FINE, "D", "W-MON", *DATES])
def test_the_grid_goes_on_after_the_data_as_pandas_would(freq):
    stamps = made(freq, rows=90)
    clock = fitted(stamps[:40], None)
    assert clock.stamps(np.arange(90) + clock.ordinals(stamps[:1])[0]).equals(stamps)


@pytest.mark.parametrize("freq", [*FINE, "D", "2D", "W-WED", "B", "MS", "QS-FEB", "YS"])
def test_a_stamp_between_two_steps_has_the_number_of_the_earlier(freq):
    stamps = made(freq, "1969-12-05")
    clock = fitted(stamps, freq)
    for late in (pd.Timedelta("1ns"), (stamps[1:] - stamps[:-1]).min() - pd.Timedelta("1ns")):
        assert (clock.ordinals(stamps + late) == clock.ordinals(stamps)).all()


@pytest.mark.parametrize("begin", ["1969-12-22", "2024-02-26"])  # Mondays
def test_a_weekend_has_the_number_of_the_friday_before(begin):
    days = made("D", begin, 28)
    friday = days - pd.to_timedelta(np.maximum(days.day_of_week - 4, 0), unit="D")
    clock = Clock("B")
    assert (clock.ordinals(days) == clock.ordinals(friday)).all()
    assert clock.stamps(clock.ordinals(days)).equals(friday)


@pytest.mark.parametrize("freq", ["h", "D", "W-WED", "B", "MS", "ME", "2ME", "QS-FEB", "QE", "QE-JAN", "YE-JUN"])
def test_each_day_lies_between_the_opening_of_its_step_and_of_the_next(freq):
    clock, days = fitted(made(freq, "1965-01-01"), freq), made("D", "1965-03-30", 4000)
    numbers = clock.ordinals(days)
    assert (clock.opening.stamps(numbers) <= days).all() and (days < clock.opening.stamps(numbers + 1)).all()
    assert (clock.opening.stamps(numbers) <= clock.stamps(numbers)).all()


@pytest.mark.parametrize("tz", [None, "Europe/Berlin", "Asia/Kolkata"])
@pytest.mark.parametrize("freq", [*FINE, "6h", *DAYS, *WEEKS, *DATES])
def test_a_grid_that_is_laid_by_its_name_begins_where_pandas_has_it(freq, tz):
    stamps = made("15min", "2024-01-03 05:15", tz=tz)
    clock = anchored(Clock(freq, tz), stamps)
    local = clock.local(clock.ordinals(stamps[:1]) + np.arange(20))
    assert local.isin(made(freq, str(local[0].normalize()), 20 if clock.daily else 2000)).all()


@settings(max_examples=150, deadline=None)
@given(
    freq=st.sampled_from([*FINE, "3h", "6h", *DAYS, *WEEKS, *DATES, "2MS", "6ME"]),
    zone=st.sampled_from([None, *ZONES]),
    through=st.datetimes(datetime(1950, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)),
)
def test_a_grid_through_any_stamp_has_one_stamp_a_number_and_tells_the_local_time(freq, zone, through):
    first = pd.DatetimeIndex([through]).as_unit("ns").tz_convert(zone)
    clock = phased(Clock(freq, zone), first)
    numbers = clock.ordinals(first)[0] + np.arange(-150, 150)
    stamps, steps = clock.stamps(numbers), clock.steps(numbers)
    assert (clock.ordinals(stamps) == numbers).all() and clock.holds(stamps).all()
    assert stamps.is_monotonic_increasing and stamps.is_unique
    assert (None if stamps.tz is None else str(stamps.tz)) == zone
    at_random = stamps + pd.to_timedelta((through.microsecond * np.arange(300)) % 10**7, unit="s")
    assert clock.ordinals(at_random.sort_values()).tolist() == sorted(clock.ordinals(at_random))
    if not clock.daily:
        length = clock.unit[1]
        local = [datetime.fromtimestamp(s.timestamp() // 60 * 60, ZoneInfo(zone or "UTC")) for s in stamps]
        minutes = np.array([60 * s.hour + s.minute for s in local])
        assert (steps % (86_400 * 10**9 // length) == minutes * 60 * 10**9 // length).all()


@settings(max_examples=80, deadline=None)
@given(
    freq=st.sampled_from([*FINE, *DAYS, *WEEKS, *DATES]),
    begin=st.datetimes(pd.Timestamp("1950-01-01"), pd.Timestamp("2049-12-31")),
    holes=st.sets(st.integers(1, 58), max_size=12),
)
def test_the_frequency_is_found_with_stamps_missing(freq, begin, holes):
    """Found is the grid of pandas itself: a full one leads back to the same stamps as the one with holes."""
    whole = made(freq, str(begin.replace(second=0, microsecond=0) if freq in FINE else begin.date()))
    clock = fitted(whole.delete(sorted(holes)), None)
    check_clock(clock, whole)


@pytest.mark.parametrize("faulty", ["numbers", "stamps", "naive"])
def test_the_check_of_clocks_catches(faulty):
    class Wrong(Clock):
        def ordinals(self, stamps):
            return super().ordinals(stamps) * (2 if faulty == "numbers" else 1)

        def naive(self, ordinals):
            return super().naive(ordinals + (faulty == "naive"))

        def stamps(self, ordinals):
            return super().stamps(ordinals + (faulty == "stamps"))

    with pytest.raises(AssertionError):
        check_clock(Wrong("h"), made("h"))


@pytest.mark.parametrize(("freq", "season"), SEASONS.items())
def test_the_season_is_the_usual_one_of_the_frequency(freq, season):
    assert fitted(made(freq), freq).season == fitted(made(freq), None).season == season


@pytest.mark.parametrize("tz", [None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Adelaide"])
@pytest.mark.parametrize("begin", ["2024-03-08", "2024-10-25"])
@pytest.mark.parametrize("freq", ["15min", "h"])
def test_steps_of_the_wall_clock_tell_the_local_time_of_day(freq, begin, tz):
    stamps = made(freq, begin, 26 * 96, tz)
    clock = fitted(stamps, freq)
    day = clock.season
    steps = clock.steps(clock.ordinals(stamps))
    assert steps.dtype == np.int64
    assert (steps % day == (stamps.hour * 60 + stamps.minute) * day // 1440).all()
    assert np.diff(steps).min() >= (1 if tz in (None, "UTC", "Asia/Kolkata") else 1 - day // 24)


@pytest.mark.parametrize("tz", ["America/Santiago", "America/Havana"])  # their clocks are changed at midnight
def test_days_go_on_over_a_night_without_midnight_and_one_with_two(tz):
    stamps = made("D", "2024-06-01", tz=tz)
    clock = fitted(stamps, None)
    numbers = np.arange(365) + clock.ordinals(stamps[:1])[0]
    days = made("D", "2024-06-01", 365)
    assert clock.stamps(numbers).tz_localize(None).normalize().equals(days)
    assert clock.local(numbers).normalize().equals(days)


@pytest.mark.parametrize(
    ("tz", "moment"),
    [
        ("Africa/Cairo", "2024-04-26T01:00:00+03:00"),  # no midnight
        ("Asia/Kathmandu", "1986-01-01T00:15:00+05:45"),  # a quarter of an hour less, once
        ("America/Havana", "2024-11-03T00:00:00-04:00"),  # two midnights
    ],
)
def test_a_day_begins_with_its_first_moment(tz, moment):
    day = made("D", moment[:10], 1)
    clock = Clock("D", tz)
    assert clock.stamps(clock.ordinals(day))[0].isoformat() == moment


@pytest.mark.parametrize("freq", [*DAYS, "W-SUN", *DATES])
def test_from_a_day_upward_a_step_is_a_step(freq):
    stamps = made(freq, tz="Europe/Berlin")
    clock = fitted(stamps, freq)
    assert (clock.steps(clock.ordinals(stamps)) == clock.ordinals(stamps)).all()


@pytest.mark.parametrize(
    ("freq", "begin", "tz", "time"),
    [
        ("h", "2024-01-01", None, "00:00"),
        ("h", "2024-01-01", None, "7:00"),
        ("h", "2024-01-01 00:30", None, "13:30"),
        ("15min", "2024-01-01 00:05", None, "12:20"),
        ("2h", "2024-01-01 01:00", None, "09:00"),
        ("30min", "2024-03-28", "Europe/Berlin", "23:30"),
        ("h", "2024-03-28", "Europe/Berlin", "00:00"),
        ("h", "2024-10-25 00:15", "America/New_York", "00:15"),
        ("h", "2024-01-01", "Asia/Kolkata", "00:00"),
        ("h", "2024-03-28", "Australia/Adelaide", "00:00"),
        ("h", "2024-01-01", "Asia/Singapore", "00:00"),  # half an hour further from UTC than in 1970
        ("h", "2024-01-01", "Asia/Kathmandu", "00:00"),
    ],
)
def test_a_time_of_day_is_there_when_the_wall_clock_says_so(freq, begin, tz, time):
    stamps = made(freq, begin, 400, tz)
    clock = fitted(stamps, freq)
    phase, period = clock.at(time)
    there = clock.steps(clock.ordinals(stamps)) % period == phase
    assert (there == (stamps.strftime("%H:%M") == time.zfill(5))).all() and there.any()


@pytest.mark.parametrize(
    ("freq", "begin", "tz", "time"),
    [
        ("h", "2024-01-01", None, "00:30"),
        ("h", "2024-01-01 00:30", None, "00:00"),
        ("h", "2024-01-01", None, "24:00"),
        ("h", "2024-01-01", None, "-1:00"),
        ("h", "2024-01-01", None, "noon"),
        ("5h", "2024-01-01", None, "00:00"),
        ("D", "2024-01-01", None, "00:00"),
        ("MS", "2024-01-01", None, "00:00"),
        ("h", "2024-01-01", "Asia/Kolkata", "00:30"),
    ],
)
def test_a_time_of_day_off_the_grid_is_refused(freq, begin, tz, time):
    with pytest.raises(Refusal, match=rf"anchor={time}.*{freq}") as refusal:
        fitted(made(freq, begin, tz=tz), freq).at(time)
    assert refusal.value.code == "anchor"


@pytest.mark.parametrize(
    ("freq", "begin", "zone", "times"),
    [
        ("2h", "2024-01-01", "Europe/Berlin", {"00:00", "01:00"}),  # in winter and in summer
        ("6h", "2024-01-01", "America/New_York", {"00:00", "01:00"}),
        ("h", "2024-01-01 00:30", "Australia/Lord_Howe", {"00:30", "00:00"}),
    ],
)
def test_a_time_that_clocks_move_off_the_grid_is_there_once_a_day_by_both_its_names(freq, begin, zone, times):
    stamps = made(freq, begin, 366 * 24, zone)
    clock = fitted(stamps, freq)
    for time in times:
        phase, period = clock.at(time)
        there = stamps[clock.steps(clock.ordinals(stamps)) % period == phase]
        assert set(there.strftime("%H:%M")) == times
        assert (np.diff(there.tz_localize(None).normalize().asi8) == 86_400 * 10**9).all()


@pytest.mark.parametrize(
    "freq", [5, True, ["h"], pd.Timedelta("1h"), "foo", "0D", "-1D", "H", "bh", "C", "BMS", "SME", "2B"]
)
def test_a_frequency_that_is_none_or_not_served_is_refused(freq):
    with pytest.raises(Refusal, match=rf"data.freq={re.escape(str(freq))}.* h, 15min, D, B, W, MS") as refusal:
        fitted(made("h"), freq)
    assert refusal.value.code == "freq"


@pytest.mark.parametrize(
    ("true", "declared", "off"),
    [
        ("15min", "h", "2024-01-01 00:15"),
        ("h", "D", "2024-01-01 01:00"),
        ("D", "W", "2024-01-02"),
        ("D", "B", "2024-01-06"),
        ("D", "MS", "2024-01-02"),
        ("MS", "ME", "2024-01-01"),
        ("MS", "QS", "2024-02-01"),
        ("QS", "YS", "2024-04-01"),
    ],
)
def test_stamps_off_the_declared_grid_are_refused_with_the_first_of_them(true, declared, off):
    with pytest.raises(Refusal, match=rf"data.freq={declared}: {off}.*not on that grid.*data.freq") as refusal:
        fitted(made(true), declared)
    assert refusal.value.code == "wrong-frequency"


def test_stamps_of_several_frequencies_are_refused():
    mixed = made("h", "2024-01-01", 10).append(made("D", "2024-02-01", 10))
    with pytest.raises(Refusal, match=r"no frequency fits: steps of h .*\d% of the rows.* data.freq") as refusal:
        fitted(mixed, None)
    assert refusal.value.code == "mixed-frequency"
    check = fitted(mixed, "h")  # who means it can say so
    assert (check.stamps(check.ordinals(mixed)) == mixed).all()


@pytest.mark.parametrize("freq", [None, "D"])
def test_days_of_another_time_zone_are_refused_with_the_remedy(freq):
    days = made("D", "2024-03-01", 60, "Europe/Berlin").tz_convert("UTC")  # at 23:00 and at 22:00
    with pytest.raises(Refusal, match=r"days of another time zone, name it by data.tz \(now UTC\)"):
        fitted(days, freq)
    assert fitted(days.tz_convert("Europe/Berlin"), freq).unit == ("ns", 86_400 * 10**9, 0)


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_stamps_to_find_a_frequency_are_refused(rows):
    with pytest.raises(Refusal, match=f"{rows} stamps are too few .* data.freq") as refusal:
        fitted(made("h", rows=rows), None)
    assert refusal.value.code == "too-short"
    check_clock(fitted(made("h", rows=rows), "h"), made("h", rows=rows))


def test_the_frequency_of_single_weekdays_is_weeks_and_of_workdays_is_business_days():
    assert fitted(made("W-WED"), None).unit == ("ns", 7 * 86_400 * 10**9, 0)
    assert fitted(made("B"), None).unit == ("B", 1, 0)
    assert fitted(made("D"), None).unit == ("ns", 86_400 * 10**9, 0)
