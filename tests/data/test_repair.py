"""Repairs by name: resampling, ends of intervals, nights without midnight."""

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data.panel import grid
from forecast.data.table import table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())


def hours(begin: str, count: int, tz: str | None) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(50, 10, count)
    return pd.DataFrame({"ds": pd.date_range(begin, periods=count, freq="h", tz=tz), "y": values, "heat": values * 2})


LABELS = {  # of local dates
    "D": lambda day: day,
    "W-SUN": lambda day: day - pd.to_timedelta((day.dt.day_of_week + 1) % 7, unit="D"),
    "MS": lambda day: day.dt.to_period("M").dt.start_time,
    "ME": lambda day: day.dt.to_period("M").dt.end_time.dt.normalize(),
    "QS": lambda day: day.dt.to_period("Q").dt.start_time,
    "QE": lambda day: day.dt.to_period("Q").dt.end_time.dt.normalize(),
}


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
@pytest.mark.parametrize("how", ["mean", "sum"])
@pytest.mark.parametrize("freq", LABELS)
def test_steps_hold_the_rows_of_their_local_days(freq, how, tz):
    """Days of 23 and 25 hours among them; steps that the file covers in part are missing."""
    data = hours("2024-02-10 05:00", 24 * 330, tz)
    found = table(data, DATA | {"target": ["y"], "past": ["heat"], "freq": freq, "resample": how}, "test").frame
    labels = LABELS[freq](data["ds"].dt.tz_localize(None).dt.normalize())
    expected = data[["y", "heat"]].groupby(labels).agg({"y": how, "heat": "mean"})
    assert (found["ds"].dt.tz_localize(None) == expected.index).all() and str(found["ds"].dt.tz) == str(tz)
    assert found["y"].iloc[[0, -1]].isna().all() and len(found) > 3
    np.testing.assert_allclose(found[["y", "heat"]][1:-1], expected[1:-1], rtol=1e-12)


@pytest.mark.parametrize("tz", [None, "Europe/Berlin", "Africa/Cairo", "America/Sao_Paulo"])
def test_days_named_by_their_ends_are_the_days_before(tz):
    """Also across changes of clocks, where a day has 23 or 25 hours, and where a night has no midnight."""
    days = pd.date_range("2017-09-01", periods=420, freq="D")
    ends = pd.DataFrame({"ds": days.strftime("%Y-%m-%d"), "y": np.arange(420.0)})
    found = table(ends, DATA | {"tz": tz, "stamp": "end"}, "test").frame
    local = found["ds"].dt.tz_localize(None)
    assert (local.dt.normalize() == (days - pd.Timedelta("1D"))).all() and found["y"].tolist() == list(range(420))


def test_zoned_days_named_by_their_ends_are_the_days_before():
    days = pd.date_range("2024-03-01", periods=250, freq="D", tz="Europe/Berlin")
    found = table(pd.DataFrame({"ds": days, "y": 1.0}), DATA | {"stamp": "end"}, "test").frame
    assert (found["ds"] == pd.date_range("2024-02-29", periods=250, freq="D", tz="Europe/Berlin")).all()


def test_ends_and_a_change_of_frequency_are_refused_together():
    ds = pd.date_range("2024-01-01", periods=100, freq="h").append(
        pd.date_range("2024-01-05 04:00", periods=2000, freq="15min")
    )
    with pytest.raises(Refusal, match=r"data.stamp=end"):
        table(pd.DataFrame({"ds": ds, "y": 1.0}), DATA | {"stamp": "end", "resample": "mean"}, "test")


@pytest.mark.parametrize(("tz", "night"), [("America/Sao_Paulo", "2018-11-04"), ("America/Havana", "2018-11-04")])
def test_data_are_split_at_a_midnight_that_is_missing_or_there_twice(tz, night):
    first = np.ones(70, bool)
    days = pd.date_range("2018-10-01", periods=70).tz_localize(tz, nonexistent="shift_forward", ambiguous=first)
    for freq, ds in (("D", days), ("h", pd.date_range(days[0], days[-1], freq="h"))):
        laid = grid(table(pd.DataFrame({"ds": ds, "y": 1.0}), DATA | {"freq": freq}, "test"), 1)
        train, _, _ = laid.borders([night, "2018-11-20"])
        before, after = laid.layout.clock.local(np.array([train - 1, train]))
        assert before < pd.Timestamp(night) <= after
