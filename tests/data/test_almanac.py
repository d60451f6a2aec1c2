"""Calendar features: what they say of local stamps, which are taken, and that pandas says the same."""

import numpy as np
import pandas as pd
import pytest

from forecast.data.almanac import NAMES, chosen, features
from forecast.data.clock import Clock, fitted
from forecast.error import Refusal


def made(freq: str, begin: str = "2024-01-01", rows: int = 60, tz: str | None = None) -> pd.DatetimeIndex:
    return pd.date_range(begin, periods=rows, freq=freq, tz=tz)


TURNS = {  # what a feature says of a stamp, as a share of its cycle, by pandas' own words
    "hour": lambda s: (s.hour * 60 + s.minute) / 1440,
    "weekday": lambda s: s.day_of_week / 7,
    "month": lambda s: (s.month - 1) / 12,
    "dayofyear": lambda s: (s.day_of_year - 1) / 365.25,
}


@pytest.mark.parametrize("tz", [None, "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("freq", ["15min", "h", "D", "B", "W-MON", "MS", "QE"])
def test_calendar_features_are_those_of_the_local_stamps(freq, tz):
    stamps = made(freq, "2024-03-08", 26 * 24, tz)
    clock = fitted(stamps, freq)
    names = chosen(clock, None)
    found = features(clock, clock.ordinals(stamps), names)
    angles = np.array([[2 * np.pi * TURNS[name](stamp) for name in names] for stamp in stamps])
    expected = np.stack((np.sin(angles), np.cos(angles)), 2).reshape(len(stamps), -1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_calendar_features_at_stamps_known_by_heart():
    """Monday, 1 January 2024, 06:00: a quarter of the day, the start of week, month cycle and year."""
    clock = Clock("h")
    row = features(clock, clock.ordinals(pd.DatetimeIndex(["2024-01-01 06:00"])), NAMES)[0]
    np.testing.assert_allclose(row, [1, 0, 0, 1, 0, 1, 0, 1], atol=1e-6)
    july = features(clock, clock.ordinals(pd.DatetimeIndex(["2024-07-01 18:00"])), ("hour", "month"))[0]
    np.testing.assert_allclose(july, [-1, 0, 0, -1], atol=1e-6)


@pytest.mark.parametrize(
    ("freq", "names"),
    [
        ("15min", ("hour", "weekday", "month", "dayofyear")),
        ("h", ("hour", "weekday", "month", "dayofyear")),
        ("D", ("weekday", "month", "dayofyear")),
        ("2D", ("weekday", "month", "dayofyear")),
        ("B", ("weekday", "month", "dayofyear")),
        ("W-MON", ("month", "dayofyear")),
        ("MS", ("month",)),
        ("ME", ("month",)),
        ("QS", ("month",)),
        ("YE", ()),
    ],
)
def test_by_default_the_calendar_has_what_varies_at_the_frequency(freq, names):
    clock = fitted(made(freq), freq)
    assert chosen(clock, None) == names
    numbers = np.arange(250 if clock.daily else 20_000)
    assert features(clock, numbers, names).shape == (len(numbers), 2 * len(names))
    assert all(np.ptp(features(clock, numbers, [name]), axis=0).max() > 0.1 for name in names)


def test_a_calendar_that_is_named_is_kept_in_the_order_of_the_house():
    assert chosen(Clock("h"), ["month", "hour"]) == ("hour", "month")
    assert chosen(Clock("h"), []) == ()
    assert chosen(Clock("D"), ["hour", "month"]) == ("month",)


def test_an_unknown_calendar_feature_is_refused_with_the_known_ones():
    with pytest.raises(Refusal, match=r"'moon'.*hour, weekday, month, dayofyear") as refusal:
        chosen(Clock("h"), ["hour", "moon"])
    assert refusal.value.code == "config"


@pytest.mark.parametrize(
    ("freq", "steps", "names"),
    [
        ("h", 47, ()),
        ("h", 48, ("hour",)),
        ("h", 2 * 168, ("hour", "weekday")),
        ("h", 2 * 8760 - 1, ("hour", "weekday")),
        ("h", 2 * 8760, ("hour", "weekday", "month", "dayofyear")),
        ("B", 9, ()),
        ("B", 10, ("weekday",)),
        ("D", 730, ("weekday", "month", "dayofyear")),
        ("MS", 23, ()),
        ("MS", 24, ("month",)),
        ("QS", 8, ("month",)),
    ],
)
def test_by_default_the_calendar_has_only_cycles_that_came_twice(freq, steps, names):
    clock = Clock(freq)
    assert chosen(clock, None, steps) == names
    assert chosen(clock, ["month"], steps) == ("month",)
