"""NetworkForecaster before sktime's own suite, and beside Forecaster; in an environment of its own (pandas < 3.1):

    python -m venv .venv && . .venv/bin/activate && grep -v ^pandas constraints.txt > .venv/constraints.txt
    python -m pip install -c .venv/constraints.txt -e '.[test,sktime]'
    pytest -m slow -n 0 -s tests/contrib/test_sktime.py

`check_estimator` runs 754 checks, among them the doctest; how many passed and were skipped stands under its name.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sktime")

from pages import blocks
from sktime.datasets import load_airline
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.model_evaluation import evaluate
from sktime.split import ExpandingWindowSplitter
from sktime.utils.estimator_checks import check_estimator

from forecast import Forecaster, Refusal, terminal
from forecast.contrib.sktime import NetworkForecaster

PAGE = Path(__file__).parents[2] / "docs/how-to/sktime.md"
SMALL = ("trainer.max_epochs=1", "backbone.hidden_size=4")
CHECKS = 754  # of sktime 1.2.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default:::sktime", "default:::skbase"),  # what it says of itself
    pytest.mark.usefixtures("unchecked"),
]
terminal.hush()


def series(length: int = 60, index: str = "datetime") -> pd.Series:
    days = pd.date_range("2024-01-01", periods=length, freq="D")
    indices = {"datetime": days, "period": days.to_period(), "int": pd.Index(range(7, 7 + length))}
    indices["range"] = pd.RangeIndex(length)
    y = 50 + 10 * np.sin(np.arange(length) * 2 * np.pi / 7) + np.random.default_rng(1).normal(size=length)
    return pd.Series(y, indices[index], name="load")


def known(y: pd.Series, ahead: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two covariates beside y and on."""
    later = ForecastingHorizon(range(1, ahead + 1)).to_absolute_index(y.index[-1:])
    index = y.index.append(later)
    drawn = np.random.default_rng(2).normal(size=len(index))
    whole = pd.DataFrame({"wind": drawn, "kind": np.where(drawn > 0, "high", "low")}, index)
    return whole.iloc[: len(y)], whole.iloc[len(y) :]


def made(**given) -> NetworkForecaster:
    return NetworkForecaster(**{"overrides": SMALL, **given})


def by_hand(y: pd.Series, fh: list[int], context: int, judging: int, freq: str = "D") -> pd.DataFrame:
    """What Forecaster itself forecasts at these steps, told of stamps and splits as its users do."""
    stamps = pd.date_range("2024-01-01", periods=len(y) + 1, freq=freq)
    frame = pd.DataFrame({"ds": stamps, "y": [*y, np.nan]})
    levels = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    words = ("logger=none", "trainer.enable_progress_bar=false", f"head.levels={levels}", *SMALL)
    stops = [str(frame["ds"].iloc[-1 - judging]), str(frame["ds"].iloc[-1])]
    forecaster = Forecaster(
        context=context, horizon=max(fh) - min(fh) + 1, gap=min(fh) - 1, overrides=(f"data.split={stops}", *words)
    )
    table = forecaster.fit(frame).predict()
    return table.iloc[np.subtract(fh, min(fh))]


def agrees(adapter: type[NetworkForecaster]) -> None:
    """Raises AssertionError unless an adapter forecasts exactly what Forecaster does."""
    y, fh = series(), [2, 5]
    forecaster = adapter(overrides=SMALL).fit(y, fh=fh)
    table = by_hand(y, fh, context=forecaster.forecaster_.fitted.config["context"], judging=8)
    found = forecaster.predict()
    assert found.index.tolist() == table["ds"].tolist() == [y.index[-1] + pd.Timedelta(days=step) for step in fh]
    assert found.name == "load" and np.array_equal(found, table["point"])
    spread = forecaster.predict_quantiles(alpha=[0.9, 0.1])
    assert all(np.array_equal(spread["load", level], table[f"q{level}"]) for level in (0.9, 0.1))
    assert np.array_equal(forecaster.predict_interval(coverage=0.9), table[["q0.05", "q0.95"]])


def looks_back(adapter: type[NetworkForecaster]) -> None:
    """Raises AssertionError if what comes after the cutoff moves a forecast, or the newest row does not."""
    y = series(80)
    whole, later = known(y, 3)
    cut, fh = y.index[59], [1, 2, 3]
    ahead = pd.concat([whole, later])[60:63]

    def forecasts(y: pd.Series, X: pd.DataFrame) -> pd.Series:  # noqa: N803
        forecaster = adapter(overrides=SMALL).fit(y[:50], whole[:50], fh=fh)
        forecaster.update(y[50:], X[50:], update_params=False)
        forecaster.update(y[:60], X[:60], update_params=False)  # the cutoff goes back, as update_predict does
        assert forecaster.cutoff[0] == cut
        return forecaster.predict(X=ahead)

    first = forecasts(y, whole)
    late = y.index > cut
    assert first.equals(forecasts(y.mask(late, 1e6), whole)), "y after the cutoff moves the forecast"
    moved = whole.assign(wind=whole["wind"].mask(late, 1e3))
    assert first.equals(forecasts(y, moved)), "X after the cutoff, but what predict is told, moves the forecast"
    assert not first.equals(forecasts(y.mask(y.index == cut, 1.0), whole)), "the newest value does not count"


class Late(NetworkForecaster):
    """Forecasts are those of a step before."""

    def forecasts(self, fh, X, levels=None):  # noqa: N803
        return super().forecasts(fh, X, levels).shift(1).bfill()


class Peeking(NetworkForecaster):
    """Rows after the cutoff are there for it, in place of the newest ones."""

    def known(self):
        return self.rows_.iloc[-len(super().known()) :].set_axis(super().known().index)


class Forgetful(NetworkForecaster):
    """New rows are not kept."""

    def _update(self, y, X=None, update_params=True):  # noqa: N803
        return self


class Contiguous(NetworkForecaster):
    """Of a horizon with gaps it forecasts the first steps."""

    def _predict(self, fh, X):  # noqa: N803
        found = self.forecaster_.predict()["point"][: len(fh)]
        return found.set_axis(ForecastingHorizon(range(1, len(fh) + 1)).to_absolute_index(self.cutoff))


class Unsown(NetworkForecaster):
    """Each fit has another seed."""

    def learn(self):
        self.seed = time.time_ns() % 10**6
        return super().learn()


class Touching(NetworkForecaster):
    """Predicting changes what was fitted."""

    def known(self):
        self.rows_["y"] += 1.0
        return super().known()


class Positional(NetworkForecaster):
    """Forecasts have no stamps."""

    def _predict(self, fh, X):  # noqa: N803
        return super()._predict(fh, X).reset_index(drop=True)


class Crossed(NetworkForecaster):
    """Quantiles stand under other levels than theirs."""

    def _predict_quantiles(self, fh, X, alpha):  # noqa: N803
        found = super()._predict_quantiles(fh, X, alpha)
        return found.set_axis(found.columns[::-1], axis=1)


FAULTS = (Late, Peeking, Forgetful, Contiguous, Unsown, Touching, Positional, Crossed)
SOME = (  # of its checks, on the first parameters of tests: quick ones that look at what the faults do
    "test_fit_idempotent[{}-0-ForecasterFitPredictUnivariateWithX-predict]",
    "test_methods_have_no_side_effects[{}-0-ForecasterFitPredictUnivariateWithX-predict]",
    "test_non_state_changing_method_contract[{}-0-ForecasterFitPredictUnivariateWithX-predict]",
    "test_predict_quantiles[{}-0-y:1cols-fh=[2 5]-alpha=0.1]",
    "test_predict_series_name_preserved[{}-0]",
    "test_predict_time_index[{}-0-y:1cols-fh=[2 5]-int-int-True]",
)


def passes(adapter: type[NetworkForecaster]) -> None:
    """Raises what sktime's checks raise."""
    chosen = [name.format(adapter.__name__) for name in SOME]
    results = check_estimator(adapter, verbose=False, fixtures_to_run=chosen)
    assert set(results) == set(chosen)
    assert set(results.values()) == {"PASSED"}


def test_the_suite_of_sktime_passes():
    started = time.perf_counter()
    results = check_estimator(NetworkForecaster, verbose=False)
    failed = {name: result for name, result in results.items() if result != "PASSED"}
    skipped = [name for name, result in failed.items() if type(result).__name__ == "Skipped"]
    passed = len(results) - len(failed)
    print(f"{passed} passed, {len(results)} run, {len(skipped)} skipped, {time.perf_counter() - started:.0f} s")
    assert failed == {} and len(results) >= CHECKS
    assert any("doctest" in name for name in results)


def test_the_suite_and_the_contracts_catch_planted_faults():
    """Who catches what: sktime's suite sees shapes, names and states, ours see values."""
    contracts = (passes, agrees, looks_back)
    caught: dict[str, list[str]] = {}
    for adapter in (NetworkForecaster, *FAULTS):
        for contract in contracts:
            try:
                contract(adapter)
            except Exception:  # as a test would, whatever it raises
                caught.setdefault(adapter.__name__, []).append(contract.__name__)
    theirs, all_of_us = sum("passes" in by for by in caught.values()), len(caught)
    print(f"planted faults: {len(FAULTS)}; caught by sktime's suite: {theirs}, by it or ours: {all_of_us}")
    print(*caught.items(), sep="\n")
    assert caught.keys() == {adapter.__name__ for adapter in FAULTS}
    assert theirs >= 2 and "agrees" in caught["Late"] and "looks_back" in caught["Peeking"]


def test_parameters_of_tests_fit_in_a_tenth_of_a_second():
    for given in NetworkForecaster.get_test_params():
        forecaster, spent = NetworkForecaster(**given), []
        for _ in range(20):
            started = time.process_time()
            forecaster.fit(series(), fh=[1, 2, 3])
            spent.append(time.process_time() - started)
        print(f"{min(spent):.3f} s of processor a fit, {np.median(spent):.3f} in the middle")
        assert min(spent) < 0.1


@pytest.mark.parametrize("contract", [agrees, looks_back])
def test_a_contract_is_kept(contract):
    contract(NetworkForecaster)


@pytest.mark.parametrize("index", ["period", "int", "range"])
def test_an_index_of_another_kind_has_the_same_forecasts(index):
    y = series(index=index)
    given = {"overrides": (*SMALL, "data.calendar=[]", "data.season=7")}
    found = made(**given).fit(y, fh=[1, 4]).predict()
    assert found.index.equals(ForecastingHorizon([1, 4]).to_absolute_index(y.index[-1:]))
    assert np.array_equal(found, made(**given).fit(series(), fh=[1, 4]).predict())


def test_numbers_have_no_calendar_and_no_season():
    fitted = made().fit(series(index="int"), fh=[1]).forecaster_.fitted
    assert (fitted.statistics.season, fitted.statistics.calendar) == (1, ())
    fitted = made().fit(series(), fh=[1]).forecaster_.fitted
    assert (fitted.statistics.season, fitted.statistics.calendar) == (7, ("weekday",))


@pytest.mark.parametrize(("fh", "gap", "horizon"), [([1], 0, 1), ([1, 2, 3], 0, 3), ([2, 5], 1, 4), ([9, 7], 6, 3)])
def test_fh_says_gap_and_horizon(fh, gap, horizon):
    forecaster = made().fit(series(), fh=fh)
    found = forecaster.forecaster_.fitted.config
    assert (found["gap"], found["horizon"]) == (gap, horizon)
    assert len(forecaster.predict()) == len(fh)


@pytest.mark.parametrize(("length", "context"), [(7, 1), (8, 1), (15, 3), (60, 24), (400, 168), (3000, 168)])
def test_the_context_is_what_a_series_has_room_for(length, context):
    fitted = made().fit(series(length), fh=[1, 2, 3]).forecaster_.fitted
    train, judged, after = fitted.borders
    assert fitted.config["context"] == context
    assert (judged - train, after) == (max(3, round(length / 8)), None), "all but what judges is learnt from"
    assert int(fitted.panel.lengths[0]) == length


def test_what_can_not_be_is_refused():
    with pytest.raises(Refusal, match=r"6 values are too few: 1 \(the context\) and 3"):
        made().fit(series(6), fh=[1, 2, 3])
    with pytest.raises(Refusal, match=r"60 values are too few: 55"):
        made(context=55).fit(series(), fh=[1])
    with pytest.raises(Refusal, match=r"levels \[0.01\] lie outside"):
        made().fit(series(), fh=[1]).predict_quantiles(alpha=[0.01])
    with pytest.raises(Refusal, match="did you mean 'lstm'"):
        made(backbone="lsttm").fit(series(), fh=[1])
    y = series()
    seen, later = known(y, 3)
    forecaster = made().fit(y, seen, fh=[1, 3])
    for given in (None, later.iloc[[0, 2]]):
        with pytest.raises(Refusal, match=r"'X.wind' is not known at"):
            forecaster.predict(X=given)
    stamps = ForecastingHorizon(y.index[-1:] + pd.Timedelta(days=1), is_relative=False)
    forecaster = made().fit(y, fh=stamps)
    forecaster.update(pd.Series([50.0], y.index[-1:] + pd.Timedelta(days=1), name="load"), update_params=False)
    with pytest.raises((Refusal, NotImplementedError)):
        forecaster.predict()


def test_covariates_are_used():
    """y is what X says, but for X nothing tells it."""
    y = series(300)
    seen, later = known(y, 4)
    y = 10 + 3 * seen["wind"] + 2 * (seen["kind"] == "high")
    wanted = 10 + 3 * later["wind"] + 2 * (later["kind"] == "high")
    forecaster = NetworkForecaster(context=8, overrides=["trainer.max_epochs=60", "optimizer.lr=0.01"])
    with_x = forecaster.fit(y, seen, fh=[1, 2, 3, 4]).predict(X=later)
    without = forecaster.clone().fit(y, fh=[1, 2, 3, 4]).predict()
    assert (with_x - wanted).abs().mean() < 0.3 * (without - wanted).abs().mean()


def test_missing_values_are_filled_and_the_cutoff_stays():
    y = series()
    holes = y.copy()
    holes.iloc[[0, 20, 21, 58, 59]] = np.nan
    found = made().fit(holes, fh=[1, 2]).predict()
    assert np.isfinite(found).all() and found.index[0] == y.index[-1] + pd.Timedelta(days=1)


def test_update_learns_anew_or_only_goes_on():
    y, fh = series(80), [1, 2]
    forecaster = made().fit(y[:70], fh=fh)
    weights = forecaster.forecaster_.fitted.model.arrays
    forecaster.update(y[70:], update_params=False)
    assert all(np.array_equal(x, weights[name]) for name, x in forecaster.forecaster_.fitted.model.arrays.items())
    forecaster.update(y[70:], update_params=True)
    assert forecaster.predict().equals(made().fit(y, fh=fh).predict())


def test_evaluate_agrees_with_forecasts_from_each_cutoff():
    y = series(80)
    cv = ExpandingWindowSplitter(fh=[1, 2], initial_window=60, step_length=6)
    found = evaluate(made(), cv=cv, y=y, strategy="no-update_params", return_data=True)
    fitted = made().fit(y[:60], fh=[1, 2]).forecaster_
    frame = pd.DataFrame({"ds": y.index, "y": y.to_numpy()})
    for cutoff, predicted in zip(found["cutoff"], found["y_pred"], strict=True):
        table = fitted.predict(frame, cutoffs=[cutoff])
        assert np.array_equal(predicted, table["point"]) and predicted.index.tolist() == table["ds"].tolist()
    assert len(found) == 4


def test_several_series_have_a_network_each():
    y = pd.DataFrame({"north": series(), "south": series() * 2 + 1})
    found = made().fit(y, fh=[1, 2]).predict()
    assert list(found.columns) == ["north", "south"]
    assert np.allclose(found["north"] * 2 + 1, found["south"], rtol=1e-6), "the scaler takes unit and level out"


def test_a_trained_one_beats_seasonal_naive():
    y = load_airline()
    found = NetworkForecaster(context=24, overrides=["trainer.max_epochs=60"]).fit(y[:-12], fh=range(1, 13)).predict()
    error, naive = (found - y[-12:]).abs().mean(), (y[-24:-12].to_numpy() - y[-12:]).abs().mean()
    print(f"mean absolute error {error:.1f}, seasonal naive {naive:.1f}")
    assert error < naive


def test_the_page_runs():
    names: dict[str, object] = {}
    found = [block for block in blocks(PAGE) if block.language == "python"]
    assert found
    for block in found:
        exec(compile(block.text, PAGE.name, "exec"), names)
