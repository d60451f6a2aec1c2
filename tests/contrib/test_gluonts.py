"""The splitters and metrics of GluonTS judge a Forecaster as ours do, in an environment of its own:

    python -m venv .venv && . .venv/bin/activate
    python -m pip install -c constraints.txt -e '.[test]' orjson pydantic 'toolz<1'
    python -m pip install --no-deps gluonts==0.17.0
    pytest -m slow -n 0 -s tests/contrib/test_gluonts.py

GluonTS names pandas < 3, and what is used of it here runs with ours.
"""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("gluonts")

from gluonts.dataset.split import split
from gluonts.dataset.util import forecast_start
from gluonts.ev import metrics as theirs
from gluonts.model import evaluate_model
from gluonts.model.forecast import QuantileForecast
from gluonts.model.predictor import RepresentablePredictor
from gluonts.model.seasonal_naive import SeasonalNaivePredictor

from forecast import Forecaster, terminal
from forecast.data.scaler import naive_error
from forecast.data.synthetic import panel
from forecast.evaluation import metrics as ours

HORIZON, CONTEXT, WINDOWS, SEASON = 24, 48, 4, 24
LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
CLOSE = 1e-6  # relative: a network rounds to float32, otherwise for one window than for a batch of them
MEDIAN = {"forecast_type": "0.5"}
THEIRS = [
    theirs.MSE(**MEDIAN), theirs.RMSE(**MEDIAN), theirs.MAE(), theirs.MAPE(), theirs.SMAPE(), theirs.ND(),
    theirs.MASE(), theirs.MSIS(alpha=0.2), theirs.MeanWeightedSumQuantileLoss(LEVELS), theirs.MAECoverage(LEVELS),
]  # fmt: skip
PAIRS = {  # of the same definition: their name, and ours with what it is times theirs
    "MSE[0.5]": ("mse", 1), "RMSE[0.5]": ("rmse", 1), "MAE[0.5]": ("mae", 1), "MAPE[0.5]": ("mape", 100),
    "sMAPE[0.5]": ("smape", 100), "ND[0.5]": ("nd", 1), "MASE[0.5]": ("mase", 1), "MSIS": ("msis_80", 1),
    "mean_weighted_sum_quantile_loss": ("wql", 1), "MAE_coverage": ("calibration", 1),
}  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.filterwarnings("default:::gluonts", "default:::pydantic", "default:::tqdm"),
]
terminal.hush()


class Adapter(RepresentablePredictor):
    """A Forecaster as GluonTS asks one: an item in, a forecast of what follows it out."""

    def __init__(self, forecaster: Forecaster):
        super().__init__(prediction_length=HORIZON)
        self.forecaster = forecaster

    def predict_item(self, item):
        y = item["target"].astype("float64")
        ds = pd.period_range(item["start"], periods=len(y)).to_timestamp()
        table = self.forecaster.predict(pd.DataFrame({"unique_id": item["item_id"], "ds": ds, "y": y}))
        spread = table.filter(regex=r"^q0\.")
        assert forecast_start(item).to_timestamp() == table["ds"].iloc[0]
        return QuantileForecast(
            spread.to_numpy().T, forecast_start(item), [name[1:] for name in spread], item_id=item["item_id"]
        )


class Late(Adapter):
    """A fault: forecasts are those of a step before."""

    def predict_item(self, item):
        found = super().predict_item(item)
        late = np.roll(found.forecast_array, 1, axis=1)
        return QuantileForecast(late, found.start_date, found.forecast_keys, item_id=found.item_id)


def synthetic() -> pd.DataFrame:
    frame = panel(series=3, rows=480, seed=3)
    frame.loc[np.arange(400, len(frame), 37), "y"] = np.nan  # some of them in test parts
    frame.loc[frame.groupby("unique_id").tail(1).index, "y"] = 100.0
    return frame


@pytest.fixture(params=["synthetic", "ETTh1"])
def frame(request) -> pd.DataFrame:
    """Long rows whose values float32 holds exactly, as GluonTS makes them such."""
    if request.param == "synthetic":
        found = synthetic()
    else:
        path = request.getfixturevalue("real")("ETTh1.csv")
        wide = pd.read_csv(path, parse_dates=["date"]).tail(1200).rename(columns={"date": "ds"})
        found = wide.melt("ds", var_name="unique_id", value_name="y")
    return found.assign(y=found["y"].astype("float32").astype("float64"))


@pytest.fixture
def forecaster(frame) -> Forecaster:
    stamps = frame["ds"].drop_duplicates()
    borders = [str(stamps.iloc[-HORIZON * (WINDOWS + 4)]), str(stamps.iloc[-HORIZON * WINDOWS])]
    words = ("trainer.max_epochs=3", "backbone.hidden_size=16", "logger=none", "trainer.enable_progress_bar=false")
    words += ("data.id=unique_id", f"data.split={borders}")
    return Forecaster(context=CONTEXT, horizon=HORIZON, overrides=words).fit(frame)


@pytest.fixture
def instances(frame):
    dataset = [
        {"item_id": name, "start": pd.Period(rows["ds"].iloc[0], "h"), "target": rows["y"].to_numpy("float32")}
        for name, rows in frame.groupby("unique_id")
    ]
    training, template = split(dataset, offset=-HORIZON * WINDOWS)
    return list(training), template.generate_instances(prediction_length=HORIZON, windows=WINDOWS)


def judged(table: pd.DataFrame, frame: pd.DataFrame) -> dict[str, float]:
    """Our scores as GluonTS scales them: each window by the seasonal differences of all before it."""
    values = frame.pivot(index="ds", columns="unique_id", values="y")
    table = table.assign(window=table["unique_id"].astype(str) + table["cutoff"].astype(str))
    scale = {}
    for window, rows in table.groupby("window"):
        past = values.loc[: rows["cutoff"].iloc[0], rows["unique_id"].iloc[0]].to_numpy()[:, None]
        scale[window] = float(naive_error(past, np.array([0]), np.array([len(past)]), SEASON)[0, 0])
    table = table.drop(columns="unique_id").rename(columns={"window": "unique_id"})
    found = ours.scores(table, naive_error=scale)
    if "winkler_80" in found:
        each = ours.by(table, "unique_id")["winkler_80"] / pd.Series(scale)
        found["msis_80"] = float(np.average(each, weights=table.groupby("unique_id")["y"].count()[each.index]))
    return found


def distance(found: dict[str, float], other: pd.DataFrame, names=tuple(PAIRS)) -> dict[str, float]:
    """By metric how far theirs is from ours, relative to ours."""
    pairs = {name: (found[PAIRS[name][0]], PAIRS[name][1] * float(other[name].iloc[0])) for name in names}
    return {name: abs(one / two - 1) for name, (one, two) in pairs.items()}


def test_parts_are_cut_at_the_same_stamps(forecaster, instances, frame):
    training, pairs = instances
    table = forecaster.backtest(frame)
    ends = {(item["start"] + len(item["target"]) - 1).to_timestamp() for item in training}
    assert ends == {table["cutoff"].min()}, "the test part begins elsewhere"
    found = table.set_index(["unique_id", "cutoff"]).sort_index()
    assert len(list(pairs)) * HORIZON == len(table)
    for item, label in pairs:
        cutoff = (forecast_start(item) - 1).to_timestamp()
        assert np.array_equal(found.loc[(item["item_id"], cutoff), "y"], label["target"], equal_nan=True)


def test_scores_of_ours_and_theirs_agree(forecaster, instances, frame):
    other = evaluate_model(Adapter(forecaster), test_data=instances[1], metrics=THEIRS, seasonality=SEASON)
    apart = distance(judged(forecaster.backtest(frame), frame), other)
    print(f"{len(apart)} metrics, at most {max(apart.values()):.1e} apart: {max(apart, key=lambda name: apart[name])}")
    assert max(apart.values()) < CLOSE, apart


def test_forecasts_that_come_a_step_late_are_told_apart(forecaster, instances, frame):
    """The control: agreement is no matter of course."""
    other = evaluate_model(Late(forecaster), test_data=instances[1], metrics=THEIRS, seasonality=SEASON)
    apart = distance(judged(forecaster.backtest(frame), frame), other)
    print(f"a step late: {min(apart.values()):.1e} to {max(apart.values()):.1e} apart")
    assert all(found > 100 * CLOSE for found in apart.values()), apart


def test_seasonal_naive_is_theirs(forecaster, instances, frame):
    table = forecaster.judge(frame).forecasts["seasonal_naive"]
    predictor = SeasonalNaivePredictor(prediction_length=HORIZON, season_length=SEASON)
    of_points = [theirs.MSE(**MEDIAN), theirs.MAE(), theirs.SMAPE(), theirs.ND(), theirs.MASE()]
    other = evaluate_model(predictor, test_data=instances[1], metrics=of_points, seasonality=SEASON)
    apart = distance(judged(table, frame), other, list(other.columns))
    print(f"seasonal naive: at most {max(apart.values()):.1e} apart")
    assert max(apart.values()) < CLOSE, apart
    mine = judged(forecaster.backtest(frame), frame)
    assert all(found > 1000 * CLOSE for found in distance(mine, other, list(other.columns)).values())
