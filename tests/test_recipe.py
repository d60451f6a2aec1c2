"""Options of the data recipe through the whole road, each by what it promises to who forecasts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK

from forecast import Forecaster, Refusal
from forecast.data.module import recency
from forecast.data.synthetic import panel
from forecast.recipe import attention, datamodule

ROWS = 400


def frame(series: int = 2) -> pd.DataFrame:
    return panel(series=series, rows=ROWS, freq="h", seed=5)


def fitted(data: pd.DataFrame, *overrides: str) -> Forecaster:
    return Forecaster(context=24, horizon=6, overrides=[*QUICK, *overrides]).fit(data)


@pytest.mark.parametrize("bound", ["min", "max"])
def test_forecasts_keep_to_physical_bounds_and_baselines_are_left_alone(bound, caplog):
    data = frame()
    free = fitted(data).judge()
    name = next(iter(free.forecasts))
    edge = float(free.forecasts[name]["point"].median())
    made = fitted(data, f"data.{bound}={edge}")
    judged = made.judge()
    columns = ["point", *(f"q0.{i}" for i in range(1, 10))]
    clipped = free.forecasts[name][columns].clip(**{"lower" if bound == "min" else "upper": edge})
    pd.testing.assert_frame_equal(judged.forecasts[name][columns], clipped)
    pd.testing.assert_frame_equal(judged.forecasts["seasonal_naive"], free.forecasts["seasonal_naive"])
    assert "values lie outside data.min and data.max" in caplog.text
    predicted = made.predict()[columns].to_numpy()
    assert (predicted >= edge if bound == "min" else predicted <= edge).all()


def test_only_the_newest_rows_teach():
    """Rows further back than train_window may be anything; those in it matter."""
    data = frame()
    cut = data["ds"].iloc[0] + pd.Timedelta(hours=int(0.7 * ROWS) - 100)
    base = fitted(data, "data.train_window=100").fitted
    wild = data.assign(y=data["y"].where(data["ds"] >= cut - pd.Timedelta(hours=24), 1e6))  # contexts reach back
    other = fitted(wild, "data.train_window=100").fitted
    assert json.dumps(base.statistics.plain()) == json.dumps(other.statistics.plain())
    for name, weight in base.model.state_dict().items():
        assert torch.equal(weight, other.model.state_dict()[name]), name
    assert base.statistics.loc[1] == pytest.approx(data["y"].iloc[int(0.7 * ROWS) - 100 : int(0.7 * ROWS)].mean())
    assert json.dumps(base.statistics.plain()) != json.dumps(fitted(data).fitted.statistics.plain())


def test_older_windows_weigh_less_by_the_half_life():
    made = fitted(frame(), "data.half_life=50")
    kept = made.fitted
    module = datamodule(kept.config, kept.panel, kept.borders)
    train = module.windows["train"]
    weights = train.batch(torch.arange(len(train))).weight
    assert torch.equal(weights, recency(train, 50, False)) and weights.mean() == pytest.approx(1)
    cutoffs = train.cutoffs - train.panel.offsets[train.series]
    assert (weights.log2() + (cutoffs.max() - cutoffs) / 50).std() < 1e-5  # one straight line
    val = module.windows["val"]
    assert (val.batch(torch.arange(3)).weight == 1).all()
    plain = fitted(frame())
    assert not torch.equal(*(next(x.fitted.model.parameters()) for x in (made, plain)))


def test_each_series_can_be_split_by_itself_and_scores_say_so():
    data = frame()
    late = data["unique_id"] == data["unique_id"].iloc[-1]
    data.loc[late, "ds"] += pd.Timedelta(hours=ROWS)  # begins when the other ends
    made = fitted(data, "data.split_each=true")
    spans = made.backtest().groupby("unique_id")["ds"].agg(["min", "max"])
    for name, part in data.groupby("unique_id"):
        assert spans.loc[name, "max"] <= part["ds"].max()
        assert spans.loc[name, "min"] == part["ds"].min() + pd.Timedelta(hours=int(0.7 * ROWS) + int(0.1 * ROWS))
    assert set(made.judge().scores["model"]) == {"segment-gru (split by series)", "seasonal_naive"}
    dates = fitted(frame(), "data.split_each=true", "data.split=['2024-01-10','2024-01-13']")
    assert len(dates.backtest())
    made.save("saved")
    pd.testing.assert_frame_equal(Forecaster.load("saved").backtest(data), made.backtest())
    alone = data[late]
    pd.testing.assert_frame_equal(
        made.backtest(alone),
        made.backtest()[lambda x: x["unique_id"] == alone["unique_id"].iloc[0]].reset_index(drop=True),
    )
    with pytest.raises(Refusal, match="series 'new' was not there in training"):
        made.backtest(alone.assign(unique_id="new"))


def test_measurements_as_known_covariates_make_an_oracle():
    data = frame().assign(temperature=1.0)
    made = fitted(data, "data.future=[temperature]", "data.oracle=[temperature]")
    assert made.name == "segment-gru (oracle)"
    with pytest.raises(Refusal, match=r"data.oracle: 'temperature' can't be named here"):
        fitted(data, "data.past=[temperature]", "data.oracle=[temperature]")


def test_capacities_scale_each_series():
    data = frame().assign(peak=lambda x: x["unique_id"].astype("category").cat.codes * 50.0 + 100)
    found = fitted(data, "data.static=[peak]", "data.scaler=capacity", "data.capacity=peak").fitted.statistics
    assert found.scale[1:, 0].tolist() == [100.0, 150.0] and not found.loc.any()
    largest = fitted(data, "data.scaler=capacity").fitted.statistics
    train = data[data.groupby("unique_id").cumcount() < int(0.7 * ROWS)]
    assert largest.scale[1:, 0].tolist() == train.groupby("unique_id")["y"].max().tolist()
    with pytest.raises(Refusal, match=r"data.capacity=pek: expected a column of numbers among data.static"):
        fitted(data, "data.scaler=capacity", "data.capacity=pek")
    with pytest.raises(Refusal, match="is not above 0"):
        fitted(data.assign(peak=0.0), "data.static=[peak]", "data.scaler=capacity", "data.capacity=peak")


def test_one_scaling_can_serve_all_series():
    found = fitted(frame(), "data.pooled=true").fitted.statistics
    assert (found.loc == found.loc[0]).all() and (found.scale == found.scale[0]).all()
    assert found.deviation[1] != found.deviation[2]  # scores divide by each series' own


def test_short_series_are_left_out_and_named(caplog):
    data = frame(3)
    short = data["unique_id"].unique()[1]
    data = data[(data["unique_id"] != short) | (data.groupby("unique_id").cumcount() >= ROWS - 20)]
    with caplog.at_level("INFO", "forecast"):
        made = fitted(data)
    assert f"1 of 3 series left out, they don't have rows enough for a window in train: {short}" in caplog.text
    assert short not in set(made.predict()["unique_id"])


@pytest.mark.parametrize("empty", [range(50, 50), range(50, 57), range(52, 55)])
def test_gaps_longer_than_the_limit_are_refused_be_they_stamps_or_cells(empty):
    data = frame()
    data.loc[list(empty), "y"] = np.nan
    data = data.drop(index=[i for i in range(50, 57) if i not in empty])
    fitted(data, "data.max_gap=7")
    with pytest.raises(Refusal, match=r"7 steps have no 'y' after .* more than data.max_gap=6; 1 gaps") as refusal:
        fitted(data, "data.max_gap=6")
    assert refusal.value.code == "long-gap"


def test_some_series_of_a_file_can_be_chosen():
    data = frame(3)
    names = data["unique_id"].unique()
    made = fitted(data, f"data.series=['{names[1]}']")
    assert set(made.predict(data)["unique_id"]) == {names[1]}
    with pytest.raises(Refusal, match=r"no row is of data.series") as refusal:
        fitted(data, "data.series=[nobody]")
    assert refusal.value.code == "no-rows"


def test_logarithms_refuse_what_has_none():
    data = frame()
    data.loc[10, "y"] = -1.5
    with pytest.raises(Refusal, match=r"data.scaler=log1p takes values above -1, but series .* has -1.5") as refusal:
        fitted(data, "data.scaler=log1p")
    assert refusal.value.code == "scaler"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.freq=5", "data.freq=5: expected text or null"),
        ("data.fill=mean", "expected one of last, linear, season, zero"),
        ("data.pooled=1", "data.pooled=1: expected true or false"),
        ("data.lag={load: late}", "expected names with whole numbers"),
        ("data.half_life=0", "data.half_life=0: expected a number above 0"),
        ("data.latitude=91", "expected degrees between"),
        ("data.missing=x", "data.missing=x: expected a list of text or a number"),
        ("data.duplicates=both", "expected one of first, last, mean"),
        ("data.holidays=XX", "XX"),
        ("data.name=2024", "data.name=2024: expected text or null"),
        ("anchor=720", "anchor=720: expected text or null; in quotes a number is text"),
        ("issue=720", "issue=720: expected text or null"),
        ("folder=2024", "folder=2024: expected text"),
        ("baselines=null", "baselines=None: expected text or a list of text"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_words(override, words):
    with pytest.raises(Refusal, match=words):
        fitted(frame(), override)


def test_bounds_must_leave_room():
    with pytest.raises(Refusal, match=r"data.min=5 is not below data.max=2"):
        fitted(frame(), "data.min=5", "data.max=2")


@pytest.mark.parametrize("horizon", [25, 49])
def test_delivery_days_have_as_many_hours_as_the_clock_gives_them(horizon):
    """Forecasts of whole local days, issued at noon of the day before: 23, 24 and 25 rows."""
    data = panel(series=1, rows=24 * 240, freq="h", seed=1)
    data["ds"] = pd.date_range("2024-04-01", periods=len(data), freq="h", tz="Europe/Berlin")
    keys = ["anchor='00:00'", "issue='12:00'", "data.past=[wind]", "data.lag={wind: 1, y: -24}"]
    made = Forecaster(context=48, horizon=horizon, overrides=[*QUICK, *keys])
    made.fit(data.assign(wind=np.arange(len(data)) % 17.0))
    table = made.backtest()
    days = table.groupby("cutoff")["ds"].agg(["size", "min", "max"])
    assert set(days["size"]) == ({24, 25} if horizon == 25 else {48, 49})
    local = table["ds"].dt.tz_localize(None)
    assert (days["min"].dt.tz_localize(None).dt.hour == 0).all() and (
        days["max"].dt.tz_localize(None).dt.hour == 23
    ).all()
    assert (local.dt.normalize() == pd.Timestamp("2024-10-27")).sum() % 25 == 0
    pd.testing.assert_series_equal(made.judge().forecasts["seasonal_naive"]["ds"], table["ds"])


def test_a_prediction_begins_at_the_anchor_or_says_where_the_data_must_end():
    data = panel(series=1, rows=ROWS + 1, freq="h", seed=1)  # from midnight: ends with 16:00
    made = fitted(data, "anchor='17:00'")
    assert made.predict()["ds"].min().hour == 17
    with pytest.raises(Refusal, match=r"would begin at .* but the anchor is 17:00: end the data 1 steps before"):
        made.predict(data.iloc[:-3])


def test_a_panel_in_files_trains_the_same_model():
    data = frame()
    plain = fitted(data)
    made = Forecaster(context=24, horizon=6, overrides=[*QUICK, "data.memory=0"]).fit(data, folder="run")
    assert list(Path("run/panel").glob("y-*.bin"))
    for name, weight in plain.fitted.model.state_dict().items():
        assert torch.equal(weight, made.fitted.model.state_dict()[name]), name
    pd.testing.assert_frame_equal(made.backtest(), plain.backtest())


@pytest.mark.parametrize("fill", ["last", "linear", "season", "zero"])
def test_a_backtest_fills_as_a_prediction_does(fill):
    """Test origins have a season of history, longer than the context: a gap that begins before it is the same gap."""
    data = frame(1)
    data["y"] = data["y"].mask(np.random.default_rng(0).random(ROWS) < 0.6)
    data.loc[ROWS - 1, "y"] = 1.0
    made = fitted(data, f"data.fill={fill}", "data.season=60")
    table = made.backtest(stride=1)
    for cutoff, part in list(table.groupby("cutoff"))[::7]:
        then = data.assign(y=data["y"].where(data["ds"] <= cutoff))
        if then["y"].notna()[then["ds"] == cutoff].item():
            np.testing.assert_allclose(made.predict(then)["point"], part["point"], rtol=1e-6)


def test_covariates_may_end_before_the_target(caplog):
    """A column that stops early, by empty cells: what it says after that can't matter, for there is nothing."""
    data = frame().assign(wind=lambda x: np.sin(np.arange(len(x))))
    last = data.groupby("unique_id").cumcount(ascending=False)
    ended = data.assign(wind=data["wind"].where(last >= 10))
    with caplog.at_level("INFO", "forecast"):
        made = fitted(ended, "data.past=[wind]", "data.observed=true")
        assert "'wind' is missing in 20 rows that have a target" in caplog.text
        caplog.clear()
        fitted(
            ended.assign(y=ended["y"].where(last >= 10)), "data.past=[wind]"
        )  # only its known future: nothing to say
        assert "is missing in" not in caplog.text
    assert np.isfinite(made.predict()["point"]).all()
    assert not np.array_equal(made.predict()["point"], made.predict(data)["point"])
    held = data.assign(wind=ended.groupby("unique_id")["wind"].ffill())  # the value that stands in their place
    np.testing.assert_allclose(made.predict(held)["point"], made.predict()["point"], rtol=1e-12)


@pytest.mark.parametrize("role", ["past", "future"])
def test_categories_that_change_in_time_are_learnt_saved_and_read(role):
    data = frame().assign(sky=lambda x: np.array(["1", "2", "3"], object)[np.arange(len(x)) % 3], roof="7")
    keys = [f"data.{role}=[sky]", "data.categorical=[sky]", "data.static=[roof]", "data.id=unique_id"]
    ahead = data.groupby("unique_id").tail(6).assign(y=np.nan, ds=lambda x: x["ds"] + pd.Timedelta("6h"))
    data = pd.concat([data, ahead], ignore_index=True)
    made = fitted(data, *keys)
    other = data.assign(sky=data["sky"].map({"1": "2", "2": "1", "3": "3"}))
    assert not np.array_equal(made.predict(data)["point"], made.predict(other)["point"])
    made.save("saved")
    data.to_csv("my.csv", index=False)
    holes = data.assign(sky=data["sky"].astype(float).mask(data.index == 0))  # as pandas reads it with an empty cell
    pd.testing.assert_frame_equal(Forecaster.load("saved").predict("my.csv"), made.predict(data), check_exact=True)
    pd.testing.assert_frame_equal(made.predict(holes), made.predict(data), check_exact=True)


def test_missing_values_are_spelt_in_frames_as_in_files():
    data = frame()
    holes = np.arange(len(data)) % 9 == 4
    spelt = fitted(data.assign(y=data["y"].where(~holes, -9999.0)), "data.missing=[-9999]")
    empty = fitted(data.assign(y=data["y"].mask(holes)))
    pd.testing.assert_frame_equal(spelt.predict(), empty.predict(), check_exact=True)


@pytest.mark.parametrize(
    ("head", "value", "said"),
    [
        ("lognormal", 0.0, "0 at .* above 0"),
        ("lognormal", -2.0, "-2 at"),
        ("negative_binomial", 1.5, "1.5 at .* whole"),
    ],
)
def test_values_that_the_law_of_the_head_does_not_know_are_refused(head, value, said):
    data = frame().assign(y=lambda x: x["y"].abs().round() + 1)
    overrides = [f"head={head}", "data.scaler=none", "normalizer=[none]"]
    fitted(data, *overrides)
    data.loc[77, "y"] = value
    with pytest.raises(Refusal, match=said) as refusal:
        fitted(data, *overrides)
    assert refusal.value.code == "support"


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_attention_is_the_mean_over_all_windows_of_the_test_part(kind, monkeypatch):
    """Whatever batches they come in; the origins have a season of context, the model less."""
    made = Forecaster(model="seq2seq", context=20, horizon=6, overrides=[*QUICK, f"model.attention={kind}"]).fit(
        frame()
    )
    windows, model = made.origins(made.panel(None), 1), made.fitted.model
    assert windows.window.context > model.shape.context
    monkeypatch.setattr("forecast.recipe.AT_ONCE", 7)
    found = attention(model, windows)
    assert found.shape == (6, 20) and found.sum(1) == pytest.approx(np.ones(6), rel=1e-5)
    model.eval()(windows.seeing(20).batch(torch.arange(len(windows))))
    assert found == pytest.approx(model.weights.double().mean(0).numpy(), rel=1e-5)


@pytest.mark.parametrize("model", ["seq2seq", "direct"])
def test_a_model_without_attention_is_not_run_for_it(model, monkeypatch):
    made = Forecaster(
        model=model,
        context=24,
        horizon=6,
        overrides=[*QUICK, *(["model.attention=none"] if model == "seq2seq" else [])],
    ).fit(frame())
    windows = made.origins(made.panel(None), 6)
    monkeypatch.setattr(type(made.fitted.model), "forward", lambda *given: pytest.fail("run"))
    assert attention(made.fitted.model, windows) is None
