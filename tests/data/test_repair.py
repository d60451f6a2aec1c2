"""Repairs by name: resampling, ends of intervals, nights without midnight."""

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data.grid import grid
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


def test_each_repair_is_said_with_its_count(caplog):
    data = hours("2024-01-01", 300, None)[["ds", "y"]]
    with caplog.at_level("INFO", "forecast"):
        for how, value in {"first": data["y"][5], "last": 7.0, "mean": (data["y"][5] + 7) / 2}.items():
            twice = pd.concat([data, data[5:6].assign(y=7.0)])
            found = table(twice, DATA | {"duplicates": how}, "my.csv").frame
            assert len(found) == 300 and found["y"][5] == value
            assert f"my.csv: 1 duplicate rows were merged (data.duplicates={how})" in caplog.text
        quarters = pd.DataFrame({"ds": pd.date_range("2024-01-13 12:00", periods=400, freq="15min"), "y": 1.0})
        both = pd.concat([data, quarters])
        table(both, DATA | {"resample": "mean"}, "my.csv")
        assert "my.csv: resampled to h by mean: 700 rows became 400, of which 0 are not covered" in caplog.text
        table(both, DATA | {"resample": "repeat"}, "my.csv")
        assert "my.csv: resampled to 15min by repeat: 700 rows became 1600" in caplog.text


def frequent(*pieces: tuple[str, int, str]) -> pd.DataFrame:
    ds = [x for begin, count, freq in pieces for x in pd.date_range(begin, periods=count, freq=freq)]
    return pd.DataFrame({"ds": ds, "y": 1.0})


FAULTS = {
    "long-gap": (frequent(("2024-01-01", 50, "h"), ("2024-01-05", 50, "h")), {"max_gap": 5}),
    "duplicate": (frequent(("2024-01-01", 50, "h"), ("2024-01-01", 1, "h")), {}),
    "ambiguous-date": (pd.DataFrame({"ds": ["01/02/2024", "02/02/2024", "03/02/2024"], "y": 1.0}), {}),
    "mixed-dates": (pd.DataFrame({"ds": ["2024-01-01", "02.01.2024", "2024-01-03"], "y": 1.0}), {}),
    "mixed-frequency": (frequent(("2024-01-01", 48, "h"), ("2024-01-03", 400, "15min")), {}),
    "wrong-frequency": (frequent(("2024-01-01", 48, "h")), {"freq": "2h"}),
    "not-a-number": (frequent(("2024-01-01", 48, "h")).assign(y=["1"] * 47 + ["one"]), {"target": ["y"]}),
    "infinite": (frequent(("2024-01-01", 48, "h")).assign(y=[1.0] * 47 + [np.inf]), {}),
    "too-short": (frequent(("2024-01-01", 2, "h")), {}),
    "no-rows": (frequent(("2024-01-01", 48, "h")).assign(site="a"), {"id": "site", "series": ["b"]}),
    "empty-file": (frequent(("2024-01-01", 0, "h")), {}),
    "no-time": (pd.DataFrame({"y": [1.0, 2.0]}), {}),
}


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_has_a_code_of_its_own(code):
    frame, options = FAULTS[code]
    with pytest.raises(Refusal) as refusal:
        table(frame, DATA | options, "my.csv")
    assert refusal.value.code == code
