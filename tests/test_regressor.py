"""WindowedRegressor: the conventions of scikit-learn, by its own checks, and what a network over rows promises."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from forecast import Refusal, WindowedRegressor, build

LINEAR = {"model": "linear", "max_epochs": 1, "lr": 0.1, "batch_size": 4}
OWN = ("callbacks.early_stopping=null", "model.hidden=0")
RECURRENT = {"model": "direct", "backbone": "lstm", "hidden_size": 16, "max_epochs": 60, "lr": 0.02, "batch_size": 16}
RECURRENT["overrides"] = OWN


@pytest.fixture(autouse=True, scope="module")
def installed():
    """Packages do not change while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(build.entry_points))
        yield


def windows(horizon: int = 3, rows: int = 240, context: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Contexts of a noisy season of 8 steps, and what follows each."""
    chance = np.random.default_rng(1)
    series = np.sin(np.arange(rows + context + horizon) * np.pi / 4) + 0.1 * chance.normal(
        size=rows + context + horizon
    )
    view = np.lib.stride_tricks.sliding_window_view(series, context + horizon)[:rows]
    return view[:, :context].copy(), view[:, context:].copy()


def regressor(**given) -> WindowedRegressor:
    return WindowedRegressor(**{"max_epochs": 8, "lr": 0.03, "batch_size": 16, "model": "linear", **given})


@pytest.fixture(scope="module")
def fitted() -> WindowedRegressor:
    return regressor(max_epochs=20, lr=0.05).fit(*windows())


@pytest.mark.parametrize(
    "settings", [pytest.param(LINEAR, id="linear"), pytest.param(RECURRENT, id="lstm", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore:Estimator's parameters changed", "ignore:.*SCIPY_ARRAY_API")
def test_it_passes_the_checks_of_scikit_learn(settings):
    found = check_estimator(WindowedRegressor(**settings), on_skip=None)
    states = [check["status"] for check in found]
    assert len(states) > 50 and set(states) == {"passed", "skipped"}
    assert [check["check_name"] for check in found if check["status"] == "skipped"] == ["check_array_api_input"]


def test_a_linear_network_comes_near_the_least_squares():
    x, y = windows(rows=400)
    mine, best = (made.fit(x[:300], y[:300]).score(x[300:], y[300:]) for made in (regressor(), LinearRegression()))
    assert best > 0.9 and mine > best - 0.03


def test_a_recurrent_network_learns_what_follows():
    x, y = windows(horizon=1)
    made = WindowedRegressor(backbone="gru", hidden_size=16, max_epochs=12, lr=0.02, batch_size=16).fit(x, y[:, 0])
    assert made.predict(x).shape == (len(x),)
    assert made.score(x, y[:, 0]) > 0.9


@pytest.mark.parametrize("normalizer", [None, "last"])
def test_unit_and_level_do_not_matter(normalizer):
    """Of X and y each by itself; where a normalizer hands levels on, of both together."""
    x, y = windows()
    base = regressor(normalizer=normalizer).fit(x, y)
    own = (3.0, -7.0) if normalizer is None else (1e4, 1e7)
    other = regressor(normalizer=normalizer).fit(x * own[0] + own[1], y * 1e4 + 1e7)
    found = (other.predict(x * own[0] + own[1]) - 1e7) / 1e4
    assert found == pytest.approx(base.predict(x), abs=1e-4)


def test_with_a_normalizer_a_shifted_row_gets_a_shifted_forecast():
    x, y = windows()
    made = regressor(normalizer=["last"]).fit(x, y)
    assert made.predict(x + 50) == pytest.approx(made.predict(x) + 50, abs=1e-4)


def test_the_last_rows_are_judged_and_not_learnt(monkeypatch):
    """They choose the epoch and nothing else: with one epoch to choose from, they leave no trace in the weights."""
    x, y = windows()
    seen = int(len(x) * 0.7 / 0.8)
    base, other = (
        regressor(max_epochs=1).fit(x, values) for values in (y, np.where(np.arange(len(y))[:, None] < seen, y, 1e3))
    )
    assert all(np.array_equal(a, other.model_.arrays[name]) for name, a in base.model_.arrays.items())
    learnt = regressor(max_epochs=1).fit(x, np.where(np.arange(len(y))[:, None] < seen - 1, y, 1e3))
    assert not all(np.array_equal(a, learnt.model_.arrays[name]) for name, a in base.model_.arrays.items())


def test_equal_seeds_give_equal_forecasts():
    x, y = windows()
    one, same, two = (
        regressor(model="direct", hidden_size=4, max_epochs=1, random_state=i).fit(x, y) for i in (1, 1, 2)
    )
    assert np.array_equal(one.predict(x), same.predict(x)) and not np.array_equal(one.predict(x), two.predict(x))


def test_a_row_is_forecast_as_if_it_were_alone(fitted):
    x, _ = windows()
    assert np.array_equal(
        fitted.predict(x), np.concatenate([fitted.predict(x[i : i + 7]) for i in range(0, len(x), 7)])
    )


def test_quantiles_are_in_order_and_hold_their_share(fitted):
    x, y = windows()
    found = fitted.quantiles(x, [0.1, 0.5, 0.9])
    assert found.shape == (*y.shape, 3) and (np.diff(found) >= 0).all()
    assert np.array_equal(found[..., 1], fitted.predict(x))
    assert 0.5 < ((found[..., 0] <= y) & (y <= found[..., 2])).mean() < 1
    with pytest.raises(Refusal, match="trained"):
        fitted.quantiles(x, [0.99])


def test_a_pickled_one_forecasts_the_same(fitted):
    x, _ = windows()
    found = pickle.loads(pickle.dumps(fitted))  # noqa: S301  the user's own doing
    assert np.array_equal(found.predict(x), fitted.predict(x))
    assert not hasattr(clone(found), "model_")


def test_a_search_over_settings_finds_one_that_learns():
    x, y = windows(horizon=1, rows=160)
    search = GridSearchCV(regressor(max_epochs=2), {"lr": [1e-5, 0.05]}, cv=2).fit(pd.DataFrame(x).add_prefix("lag"), y)
    assert search.best_params_ == {"lr": 0.05}
    assert search.best_estimator_.feature_names_in_[0] == "lag0"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"head": "direction", "normalizer": "last"}, "head for any number"),
        ({"head": "lognormal"}, "head for any number"),
        ({"backbone": "lsttm"}, "did you mean 'lstm'"),
        ({"lr": "fast"}, "optimizer.lr=fast"),
        ({"overrides": ("gap=3",)}, "use a Forecaster"),
        ({"overrides": ("calibrate=split",)}, "use a Forecaster"),
        ({"overrides": ("data.scaler=log1p",)}, "expected one of standard"),
        ({"overrides": ("data.split=[2024-01-01,2024-06-01]",)}, "rows have no dates"),
        ({"model": "segment", "overrides": ("model.length=5",)}, "does not divide context=12"),
    ],
)
def test_settings_that_rows_can_not_have_are_refused(given, words):
    with pytest.raises(Refusal, match=words):
        regressor(**given).fit(*windows())
