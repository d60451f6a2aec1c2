"""Promises of the whole road: no look-ahead, equivariance, order does not matter, equal after saving, refusals."""

import json
import socket
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import DIRECT, QUICK

from forecast import Forecaster, Refusal
from forecast.config import CONF
from forecast.data.scaler import SCALERS
from forecast.data.synthetic import panel

CONTEXT, HORIZON = 48, 12
NORMALIZERS = sorted(path.stem for path in (CONF / "normalizer").glob("*.yaml"))
REAL = ("mixture", "normal", "point", "quantile", "student")  # heads whose targets may be shifted and scaled
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
COVARIATES = ["data.past=[wind]", "data.future=[plan]", "data.static=[size,kind]"]


def frame(seed: int = 1) -> pd.DataFrame:
    """Three series with every kind of covariate; the last 12 rows have no y but a known plan."""
    made = panel(series=3, rows=400 + HORIZON, freq="h", seed=seed)
    rng = np.random.default_rng(seed)
    made["plan"], made["wind"] = rng.normal(size=len(made)), rng.normal(size=len(made))
    codes = made["unique_id"].astype("category").cat.codes
    made["size"], made["kind"] = codes * 10.0, codes.map({0: "home", 1: "shop", 2: "home"})
    late = made.groupby("unique_id").cumcount() >= 400
    made.loc[late, ["y", "wind"]] = np.nan
    return made


def forecaster(*overrides: str, **arguments) -> Forecaster:
    return Forecaster(context=CONTEXT, horizon=HORIZON, overrides=[*QUICK, *overrides], **arguments)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return forecaster(*COVARIATES).fit(frame())


def until(table: pd.DataFrame, cutoff) -> pd.DataFrame:
    """The forecasts issued up to a cutoff, without what came of them."""
    return table[table["cutoff"] <= cutoff].drop(columns="y").reset_index(drop=True)


FUTURES = {
    "times 50": lambda values: values * 50,
    "plus 1000": lambda values: values + 1000,
    "missing": lambda values: values * np.nan,
}


OWN = {"segment": ["model.length=12"], "autoregressive": ["data.past=[]", "model.paths=5"]}  # of a model
ROADS = [
    pytest.param(*road, marks=[] if i % 5 == 0 or (road[0] == "direct" and i % 7 < 3) else [pytest.mark.slow])
    for i, road in enumerate(product(MODELS, NORMALIZERS, SCALERS))
    if not (road[1] == "season" and road[0] in ("autoregressive", "seq2seq"))
]


@pytest.mark.parametrize(("model", "normalizer", "scaler"), ROADS)
def test_nothing_after_the_cutoff_changes_a_forecast(model, normalizer, scaler):
    data, own = frame(), [*COVARIATES, f"data.scaler={scaler}", *OWN.get(model, ())]
    made = forecaster(*own, model=model, normalizer=normalizer).fit(data)
    whole = made.backtest(data, stride=5)
    cutoff = whole["cutoff"].iloc[len(whole) // 6]
    after = data["ds"] > cutoff
    last = data.groupby("unique_id")["y"].transform("last") == data["y"]  # keeps the windows that there were
    assert len(until(whole, cutoff)) > 3 * HORIZON
    for change in FUTURES.values():
        other = data.copy()
        other.loc[after & ~last, ["y", "wind"]] = change(other.loc[after & ~last, ["y", "wind"]])
        other.loc[after & last, "y"] += 7
        changed = made.backtest(other, stride=5)
        pd.testing.assert_frame_equal(until(whole, cutoff), until(changed, cutoff), check_exact=True)
        assert not np.array_equal(whole["point"], changed["point"])  # forecasts issued later do see it


def test_prediction_sees_nothing_after_the_last_row(fitted):
    data = frame()
    cutoff = data["ds"].iloc[350]
    past = data["ds"] <= cutoff
    known = data.assign(y=data["y"].where(past), wind=data["wind"].where(past))
    wild = known.assign(wind=data["wind"].where(past, 1e6))
    pd.testing.assert_frame_equal(fitted.predict(known), fitted.predict(wild), check_exact=True)
    assert (fitted.predict(known)["cutoff"] == cutoff).all()


@pytest.mark.parametrize("column", ["y", "wind", "plan"])
def test_the_newest_row_matters(fitted, column):
    data = frame()
    newest = data["ds"] == data.loc[data["y"].notna(), "ds"].max()
    other = data.copy()
    other.loc[newest, column] += 5.0
    before, after = fitted.predict(data), fitted.predict(other)
    assert (before["point"] != after["point"]).groupby(before["unique_id"]).any().all()


def test_known_covariates_of_the_horizon_matter(fitted):
    other = frame()
    other.loc[other["y"].isna(), "plan"] += 1
    assert (fitted.predict(frame())["point"] != fitted.predict(other)["point"]).all()


@pytest.mark.parametrize("scaler", SCALERS)
def test_val_and_test_rows_do_not_reach_the_weights(scaler):
    """Filling them with other numbers or nothing leaves fitted statistics and the weights of an epoch bit-equal."""
    data = frame()
    base = forecaster(*COVARIATES, f"data.scaler={scaler}").fit(data).fitted
    train_end = base.layout.clock.stamps(np.array([base.borders[0]]))[0]
    for fill in (1e6, np.nan):
        other = data.copy()
        hidden = (other["ds"] >= train_end) & (other.groupby("unique_id").cumcount() % 7 > 0)
        other.loc[hidden, ["y", "wind"]] = fill
        poisoned = forecaster(*COVARIATES, f"data.scaler={scaler}").fit(other).fitted
        assert json.dumps(poisoned.statistics.plain()) == json.dumps(base.statistics.plain())
        for name, weight in base.model.state_dict().items():
            assert torch.equal(weight, poisoned.model.state_dict()[name]), name


UNITS = [(1e-12, 0.0), (1e12, 0.0), (1.0, 1e9), (1e-3, 1e6)]  # y -> factor y + shift
FOLLOW = {"shift": ("standard", "robust", "minmax", "asinh"), "unit": ("capacity",)}  # log1p and none have no unit


@cache
def forecast_of(scaler: str, normalizer: str, head: str, factor: float, shift: float) -> pd.DataFrame:
    """Predictions of rescaled data, back on their first scale."""
    data = panel(series=2, rows=300, freq="h", seed=3)
    made = forecaster(f"data.scaler={scaler}", normalizer=normalizer, head=head)
    table = made.fit(data.assign(y=data["y"] * factor + shift)).predict()
    numbers = [name for name in table.columns if name == "point" or name.startswith("q")]
    return (table[numbers] - shift) / factor


def check_units(scaler: str, normalizer: str, head: str, factor: float, shift: float) -> None:
    """f(a y + b) = a f(y) + b to 1e-5 standard deviations, beside what the rounding of the input is."""
    base, scaled = (forecast_of(scaler, normalizer, head, *unit) for unit in ((1.0, 0.0), (factor, shift)))
    deviation = panel(series=2, rows=300, freq="h", seed=3)["y"].std()
    assert (scaled - base).abs().to_numpy().max() < 1e-5 * deviation + 4 * np.spacing(shift) / factor


LAWS = [("standard", "none", head) for head in REAL if head != "quantile"]
LAWS += list(product(FOLLOW["shift"] + FOLLOW["unit"], NORMALIZERS, ["quantile"]))


@pytest.mark.parametrize(("scaler", "normalizer", "head"), LAWS)
def test_level_and_unit_do_not_matter(scaler, normalizer, head):
    """One change of level or unit for each pair, all of them between the pairs."""
    units = [unit for unit in UNITS if scaler in FOLLOW["shift"] or not unit[1]]
    place = NORMALIZERS.index(normalizer) + len(scaler) + REAL.index(head)
    check_units(scaler, normalizer, head, *units[place % len(units)])


@pytest.mark.parametrize("scaler", ["standard", "asinh"])
def test_values_below_zero_are_forecast_as_those_above(scaler):
    """There is no floor where nobody has set one: prices may be negative."""
    check_units(scaler, "none", "quantile", 1.0, -1e6)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("head", REAL)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("scaler", FOLLOW["shift"] + FOLLOW["unit"])
def test_no_level_and_no_unit_matters(scaler, normalizer, head, unit):
    if scaler in FOLLOW["shift"] or not unit[1]:
        check_units(scaler, normalizer, head, *unit)


def test_order_and_company_do_not_matter(fitted):
    """Shuffled rows, another order of series, a series alone: the same forecasts to 1e-6 standard deviations."""
    data, deviation = frame(), frame()["y"].std()
    base = fitted.predict(data).sort_values(["unique_id", "ds"])["point"].to_numpy()
    shuffled = fitted.predict(data.sample(frac=1, random_state=0)).sort_values(["unique_id", "ds"])["point"].to_numpy()
    np.testing.assert_allclose(shuffled, base, rtol=0, atol=1e-6 * deviation)
    alone = [fitted.predict(part) for _, part in data.groupby("unique_id")]
    together = pd.concat(alone).sort_values(["unique_id", "ds"])["point"].to_numpy()
    np.testing.assert_allclose(together, base, rtol=0, atol=1e-6 * deviation)


def test_a_forecast_does_not_depend_on_how_many_are_made_at_once(fitted, monkeypatch):
    """To 1e-6 standard deviations; a score such as the bias may be nearly 0, and has no such relation."""
    base = fitted.judge(stride=1).forecasts
    for size in (1, 7, 1000):
        monkeypatch.setattr("forecast.fitted.AT_ONCE", size)
        for name, table in fitted.judge(stride=1).forecasts.items():
            one, other = (x.select_dtypes("number").to_numpy() for x in (table, base[name]))
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * frame()["y"].std())


def test_fitting_twice_is_fitting_once():
    data, elsewhere = frame(), panel(series=2, rows=300, freq="h", seed=9)
    made = forecaster()
    made.fit(elsewhere)
    again = made.fit(data).predict(levels=[0.5])
    torch.manual_seed(123)
    once = forecaster().fit(data).predict(levels=[0.5])
    pd.testing.assert_frame_equal(again, once, check_exact=True)


def test_fitting_leaves_the_users_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    forecaster().fit(panel(series=1, rows=300, freq="h", seed=1))
    assert torch.equal(torch.rand(3), expected)


def test_fitting_and_forecasting_ask_nobody(monkeypatch, tmp_path):
    """No name is looked up and no connection made, whatever libraries would like to know."""
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **_: asked.append(words))
    monkeypatch.setattr(socket.socket, "connect", lambda _, where: asked.append(where))
    made = forecaster().fit(panel(series=1, rows=300, freq="h", seed=1))
    made.predict()
    made.save(tmp_path / "saved")
    Forecaster.load(tmp_path / "saved")
    assert not asked


def test_another_seed_is_another_model():
    data = panel(series=1, rows=300, freq="h", seed=1)
    assert not forecaster(seed=1).fit(data).predict().equals(forecaster(seed=2).fit(data).predict())


def test_a_loaded_forecaster_is_the_saved_one(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    loaded = Forecaster.load(tmp_path / "saved")
    pd.testing.assert_frame_equal(loaded.predict(frame()), fitted.predict(frame()), check_exact=True)
    pd.testing.assert_frame_equal(loaded.backtest(frame()), fitted.backtest(frame()), check_exact=True)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["forecaster.json", "model.safetensors"]
    document = json.loads((tmp_path / "saved" / "forecaster.json").read_text())
    assert "panel" not in document
    with pytest.raises(Refusal, match="no data of its own"):
        loaded.predict()


def test_backtest_is_what_predict_would_have_said(fitted):
    data = frame()
    table = fitted.backtest(data, stride=24)
    cutoff = table["cutoff"].max()
    then = data.assign(y=data["y"].where(data["ds"] <= cutoff), wind=data["wind"].where(data["ds"] <= cutoff))
    columns = ["unique_id", "ds", "cutoff", "point", "q0.1", "q0.9"]
    expected = table.loc[table["cutoff"] == cutoff, columns].reset_index(drop=True)
    actual = fitted.predict(then)
    actual = actual[actual["unique_id"].isin(expected["unique_id"])][columns].reset_index(drop=True)
    np.testing.assert_allclose(actual["point"], expected["point"], rtol=1e-6)
    pd.testing.assert_frame_equal(actual[columns[:3]], expected[columns[:3]])


def test_the_forecast_table_is_complete_and_finite(fitted):
    table = fitted.judge(stride=1).forecasts[fitted.name]
    assert list(table.columns) == ["unique_id", "ds", "cutoff", "y", "point", *(f"q0.{i}" for i in range(1, 10))]
    assert not table.duplicated(["unique_id", "ds", "cutoff"]).any()
    assert np.isfinite(table.drop(columns=["unique_id", "ds", "cutoff", "y"]).to_numpy()).all()
    quantiles = table[[f"q0.{i}" for i in range(1, 10)]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (table["point"] == table["q0.5"]).all()
    actual = frame().set_index(["unique_id", "ds"])["y"]
    assert (
        table["y"].to_numpy() == actual.loc[list(zip(table["unique_id"], table["ds"], strict=True))].to_numpy()
    ).all()


def test_missing_values_never_reach_a_forecast():
    data = frame()
    holes = np.random.default_rng(0).random(len(data)) < 0.3
    data.loc[holes, "y"] = np.nan
    data.loc[data["unique_id"] == data["unique_id"].iloc[0], "wind"] = (
        np.nan
    )  # one series without this covariate at all
    made = forecaster(*COVARIATES).fit(data)
    assert np.isfinite(made.predict()["point"]).all()
    judged = made.judge()
    assert judged.scores["value"].notna().all()


@pytest.mark.parametrize("values", ["constant", "zero", "huge", "tiny"])
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_odd_series_give_finite_forecasts(values, normalizer):
    data = panel(series=1, rows=300, freq="h", seed=1)
    data["y"] = {"constant": 5.0, "zero": 0.0, "huge": data["y"] * 1e200, "tiny": data["y"] * 1e-200}[values]
    table = forecaster(normalizer=normalizer).fit(data).predict()
    assert np.isfinite(table["point"]).all()
    if values == "constant":
        assert (table["point"] - 5.0).abs().max() < 5.0


def test_a_series_that_was_not_trained_on_is_forecast(fitted):
    data = frame()
    new = data[data["unique_id"] == data["unique_id"].iloc[0]].assign(unique_id="newcomer", kind="castle")
    table = fitted.predict(new)
    assert set(table["unique_id"]) == {"newcomer"}
    assert np.isfinite(table["point"]).all()


@pytest.mark.parametrize("gap", [0, 3])
def test_a_gap_moves_the_first_forecast(gap):
    data = panel(series=2, rows=300, freq="h", seed=1)
    table = forecaster(gap=gap).fit(data).predict()
    ahead = (table["ds"] - table["cutoff"]) / pd.Timedelta("1h")
    assert ahead.tolist() == [float(x) for x in range(gap + 1, gap + HORIZON + 1)] * 2


def test_an_anchor_keeps_the_cutoffs_of_that_hour():
    table = forecaster("anchor='06:00'").fit(panel(series=1, rows=600, freq="h", seed=1)).backtest()
    assert set(table.groupby("cutoff")["ds"].min().dt.hour) == {6}


def test_a_cutoff_that_is_not_before_the_anchor_is_refused_as_a_file_that_ends_there_is():
    data = panel(series=2, rows=600, freq="h", seed=1)
    made = forecaster("anchor='06:00'").fit(data)
    stamp = data["ds"][data["ds"].dt.hour == 5].max()
    assert set(made.predict(cutoffs=[stamp]).groupby("unique_id")["ds"].min().dt.hour) == {6}
    late = stamp + pd.Timedelta("4h")
    for asked in ({"cutoffs": [stamp, late]}, {"frame": data[data["ds"] <= late]}):
        with pytest.raises(Refusal, match=r"would begin at .* 10:00:00, but the anchor is 06:00"):
            made.predict(**asked)


def test_channels_are_forecast_jointly_under_their_names():
    wide = panel(series=3, rows=300, freq="h", seed=1).pivot(index="ds", columns="unique_id", values="y")
    table = forecaster("data.joint=true").fit(wide).predict()
    assert list(dict.fromkeys(table["unique_id"])) == list(wide.columns)
    assert len(table) == 3 * HORIZON


BACKBONES = sorted(path.stem for path in (CONF / "backbone").glob("*.yaml"))


@pytest.mark.parametrize("backbone", [pytest.param(x, marks=[pytest.mark.slow] * (x != "lstm")) for x in BACKBONES])
def test_a_network_learns_a_season(backbone):
    """Valid is not enough: half the error of the last value on a clean season, which rises and falls in the horizon."""
    steps = np.arange(600) + 5
    data = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=600, freq="h"), "y": np.sin(2 * np.pi * steps / 24)})
    made = Forecaster(
        backbone=backbone,
        context=48,
        horizon=12,
        overrides=["trainer.max_epochs=12", "batch_size=32", "data.calendar=[]"],
    ).fit(data)
    table = made.backtest()
    last = data.set_index("ds")["y"].loc[table["cutoff"]].to_numpy()
    assert (table["y"] - table["point"]).abs().mean() < 0.5 * np.abs(table["y"] - last).mean()


def test_a_diverged_training_is_an_error():
    from forecast import Diverged

    with pytest.raises(Diverged, match=r"lower optimizer\.lr"):
        forecaster(*DIRECT, "optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip_val=null", head="point").fit(
            panel(series=1, rows=300, freq="h", seed=1)
        )


def test_predict_without_the_known_future_is_refused(fitted):
    data = frame()
    short = data[data["y"].notna()]
    with pytest.raises(Refusal, match=r"'plan' is not known at .* append rows") as caught:
        fitted.predict(short)
    assert caught.value.code == "no-future"


@pytest.mark.parametrize("column", ["y", "wind", "plan", "size", "ds"])
def test_predict_without_a_needed_column_is_refused(fitted, column):
    with pytest.raises(Refusal, match=f"has no column '{column}'"):
        fitted.predict(frame().drop(columns=column))


def test_predict_with_too_few_rows_is_refused(fitted):
    data = frame()
    with pytest.raises(Refusal, match="a forecast needs 48"):
        fitted.predict(data[data.groupby("unique_id").cumcount() >= 380])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.split=[380,10,10]"], "too short for a window in val"),
        (["data.split=[390,12,10]"], "too short for a window in test"),
        (["context=500"], "too short for a window in train"),
        (["horizon=0"], "horizon=0"),
        (["context=-1"], "context=-1"),
        (["backbone.hiden_size=3"], "did you mean 'backbone.hidden_size'"),
        (["backbone=lsttm"], "did you mean 'lstm'"),
        (["data.target=[yy]"], "has no column 'yy'; did you mean 'y'"),
        (["data.scaler=standrad"], "expected one of standard"),
        (["data.split=[2024-01-01]"], "data.split"),
        (["data.calendar=[hours]"], "unknown feature 'hours'"),
        (["anchor='25:00'"], "anchor=25:00"),
        (["trainer.precision=bf16-true"], "expected one of 32-true"),
    ],
)
def test_what_can_not_work_is_refused_before_training(overrides, words):
    with pytest.raises(Refusal, match=words.replace("[", r"\[")):
        Forecaster(context=CONTEXT, horizon=HORIZON, overrides=[*QUICK, *overrides]).fit(
            panel(series=2, rows=412, freq="h", seed=1)
        )


def test_an_unfitted_forecaster_says_so():
    with pytest.raises(Refusal, match="call fit first"):
        Forecaster().predict()


def test_every_bundled_set_trains():
    for name in ("load", "prices", "energy"):
        made = Forecaster(data=name, overrides=QUICK).fit()
        assert np.isfinite(made.predict()["point"]).all() if name != "energy" else True
        assert made.judge().scores["value"].notna().all()


def test_settings_are_those_of_the_yaml():
    """One source of each default: an argument left None is the yaml's value."""
    defaults = yaml.safe_load((CONF / "train.yaml").read_text())
    settings = Forecaster().settings()
    assert {key: settings[key] for key in ("context", "horizon", "seed")} == {
        key: defaults[key] for key in ("context", "horizon", "seed")
    }
    assert Forecaster(horizon=7, normalizer="last").settings()["horizon"] == 7


# Planted faults: the checks above must be able to fail.


def test_the_look_ahead_check_catches_a_peeking_model(fitted, monkeypatch):
    """A model that adds its own target to the forecast is caught by the perturbed future."""
    from forecast.model.base import Model

    honest = Model.forecast

    def peeking(self, batch, levels):
        point, quantiles = honest(self, batch, levels)
        return point + 0.001 * batch.target, quantiles

    monkeypatch.setattr(Model, "forecast", peeking)
    data = frame()
    whole = fitted.backtest(data, stride=5)
    cutoff = whole["cutoff"].iloc[len(whole) // 6]
    changed = fitted.backtest(data.assign(y=data["y"].where(data["ds"] <= cutoff, data["y"] * 50)), stride=5)
    assert not until(whole, cutoff).equals(until(changed, cutoff))


def test_the_leakage_check_catches_a_scaler_that_sees_everything(monkeypatch):
    from forecast.data import scaler

    learn = scaler.learn
    monkeypatch.setattr("forecast.data.scaler.learn", lambda grid, until, *rest: learn(grid, 10**9, *rest))
    data = frame()
    base = forecaster(*COVARIATES).fit(data).fitted
    other = data.assign(y=data["y"].where(data["ds"] < data["ds"].quantile(0.9), 1e6))
    poisoned = forecaster(*COVARIATES).fit(other).fitted
    assert json.dumps(poisoned.statistics.plain()) != json.dumps(base.statistics.plain())


def test_the_equivariance_check_catches_float32_scaling(fitted, monkeypatch):
    from forecast.contract import Scaling

    honest = Scaling.apply
    monkeypatch.setattr(Scaling, "apply", lambda self, y, series: honest(self, y.float().double(), series))
    data = panel(series=2, rows=300, freq="h", seed=3)
    base, scaled = (forecaster().fit(data.assign(y=data["y"] + shift)).predict()["point"] for shift in (0.0, 1e9))
    assert (scaled - 1e9 - base).abs().max() > 1e-3 * data["y"].std()
