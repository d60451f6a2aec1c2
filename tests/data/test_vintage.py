"""Forecast vintages: a window sees what was issued before its own issue, and nothing that came later."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import QUICK

from forecast import Forecaster, Refusal
from forecast.config import CONF
from forecast.data.grid import grid
from forecast.data.panel import Panel, panel
from forecast.data.reader import read
from forecast.data.scaler import learn
from forecast.data.table import table
from forecast.data.windows import Windows
from forecast.recipe import window_of

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
ROLES = DATA | {
    "target": ["load"],
    "future": ["wind"],
    "issued": "made",
    "freq": "h",
    "calendar": ["hour"],
    "id": "site",
}
ROLES["lag"] = {"load": -24}
HOURS = 24 * 12


def frame(tz: str | None = None) -> pd.DataFrame:
    """Two sites; wind forecasts of the next 30 hours are issued at 06:00 and 18:30, and are all different."""
    rng, blocks = np.random.default_rng(0), []
    ds = pd.date_range("2024-03-29", periods=HOURS, freq="h", tz=tz)
    for site, hours in (("a", HOURS), ("b", HOURS - 30)):
        load = pd.Series(rng.permutation(HOURS) * 1.0, ds)
        load[ds[-30:]] = np.nan
        for made in pd.date_range("2024-03-28 06:00", periods=28, freq="12h", tz=tz):
            made = made + timedelta(minutes=30 * (made.hour == 18))
            reach = ds[(ds > made) & (ds <= made + timedelta(hours=30))][: max(0, hours)]
            values = rng.permutation(len(reach)) + 100.0 * rng.integers(1, 10**6)
            values[rng.random(len(reach)) < 0.1] = np.nan
            blocks.append(
                pd.DataFrame({"site": site, "ds": reach, "made": made, "wind": values, "load": load[reach].values})
            )
    return pd.concat(blocks).sample(frac=1, random_state=1, ignore_index=True)


def laid(data: pd.DataFrame) -> Panel:
    checked = grid(table(data, ROLES, "test"), 30)
    statistics = learn(checked, int(checked.first[0]) + 100, ROLES)
    statistics.columns["wind"] = (0.0, 1.0)
    return panel(checked, statistics)


CASES = {
    "at the cutoff": {"gap": 0, "anchor": None, "issue": None},
    "with a gap": {"gap": 5, "anchor": None, "issue": None},
    "gate closure": {"gap": 0, "anchor": "00:00", "issue": "12:00"},
}


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
@pytest.mark.parametrize("case", CASES)
def test_every_step_has_the_newest_value_issued_before_the_forecast(case, tz):
    data, keys = frame(tz), CASES[case]
    made = laid(data)
    window = window_of({"context": 20, "horizon": 24, "stride": 7} | keys, made.layout.clock)
    windows = Windows.between(made, window, 0, 10**9)
    assert len(windows) > 4
    ds = pd.DatetimeIndex(sorted(data["ds"].unique()))
    for number, start in list(enumerate(windows.starts.tolist()))[::3]:
        series = int(windows.series[number])
        begin = start - int(made.offsets[series])
        target = ds[begin + window.context + window.gap]
        issue = target - timedelta(hours=window.gap if window.lead is None else window.lead)
        site = data[data["site"] == made.names[series]]
        values, seen, last = [], [], 0.0
        for stamp in ds[begin : begin + window.length]:
            known = site[(site["ds"] == stamp) & (site["made"] <= issue)].sort_values("made").dropna(subset="wind")
            there = len(known) > 0
            last = known["wind"].iloc[-1] if there else last
            values.append(last)
            seen.append(bool(there))
        batch = windows.batch(torch.tensor([number]))
        assert batch.future_observed[0, :, 0].tolist() == seen
        np.testing.assert_array_equal(batch.future[0, :, 0].numpy(), np.array(values, "float32"))
        days = made.future[start : start + window.length, 1:]  # the calendar, which has no vintages
        assert days.shape[1] > 1 and torch.equal(batch.future[0, :, 1:], days)
        assert batch.future_observed[0, :, 1:].all()


def fitted(data: pd.DataFrame) -> Forecaster:
    keys = [
        "data.future=[wind]",
        "data.lag={load: -24}",
        "data.issued=made",
        "data.id=site",
        "data.target=[load]",
        "data.season=24",
    ]
    return Forecaster(context=24, horizon=6, overrides=[*QUICK, *keys]).fit(data)


def test_later_vintages_do_not_change_a_forecast():
    """What is issued after a cutoff may be anything; what was issued before it matters."""
    data = frame()
    made = fitted(data)
    whole = made.backtest(data, stride=1)
    cutoff = whole["cutoff"].iloc[len(whole) // 4]
    early = whole["cutoff"] <= cutoff
    issue = cutoff + timedelta(hours=1)
    wild = data.assign(wind=data["wind"].where(data["made"] <= issue, -1e5))
    other = made.backtest(wild, stride=1)
    pd.testing.assert_frame_equal(other[early], whole[early], check_exact=True)
    assert not np.array_equal(other["point"], whole["point"])
    before = made.backtest(data.assign(wind=data["wind"].where(data["made"] > issue, -1e5)), stride=1)
    assert not np.array_equal(before[early]["point"], whole[early]["point"])


def test_a_forecaster_of_vintages_predicts_and_is_saved():
    data = frame().fillna({"wind": 7.0})
    made = fitted(data)
    table = made.predict(data)
    assert np.isfinite(table["point"]).all() and set(table["unique_id"]) == {"a", "b"}
    made.save("saved")
    pd.testing.assert_frame_equal(Forecaster.load("saved").predict(data), table)
    with pytest.raises(Refusal, match="has no column 'made'"):
        made.predict(data.drop(columns="made"))


def test_vintages_are_read_from_files(tmp_path):
    data = frame()
    data.to_csv(tmp_path / "my.csv", index=False)
    from_file = table(read(tmp_path / "my.csv", ROLES), ROLES, "test")
    from_frame = table(data, ROLES, "test")
    pd.testing.assert_frame_equal(from_file.frame, from_frame.frame)
    pd.testing.assert_frame_equal(from_file.vintages, from_frame.vintages, check_dtype=False)


def test_what_can_not_be_a_vintage_is_refused():
    data = frame()
    with pytest.raises(Refusal, match=r"'y' of series 'a' at .* differs between vintages"):
        table(data.assign(load=np.arange(len(data))), ROLES, "test")
    with pytest.raises(Refusal, match="is there twice with the same 'made'"):
        table(pd.concat([data, data[:1]], ignore_index=True), ROLES, "test")
    with pytest.raises(Refusal, match=r"data.issued is for the vintages of data.future"):
        table(data, ROLES | {"future": []}, "test")
