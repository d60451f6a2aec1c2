"""A fitted forecaster in use: scikit-learn's conventions, other frames, cutoffs, means, scenarios, fallback."""

import sys

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from conftest import QUICK
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from forecast import Ensemble, Forecaster, Refusal
from forecast.data.synthetic import panel
from forecast.fold import Refit

CONTEXT, HORIZON, ROWS = 48, 12, 400
COLUMNS = ["data.past=[wind]", "data.future=[plan]", "data.season=24"]


def frame(seed: int = 1) -> pd.DataFrame:
    """Two series with a past and a known covariate; the last 12 rows have no y but a known plan."""
    made = panel(series=2, rows=ROWS + HORIZON, freq="h", seed=seed)
    rng = np.random.default_rng(seed)
    made["plan"], made["wind"] = rng.normal(size=len(made)), rng.normal(size=len(made))
    late = made.groupby("unique_id").cumcount() >= ROWS
    made.loc[late, ["y", "wind"]] = np.nan
    return made


def forecaster(*overrides: str, **arguments) -> Forecaster:
    return Forecaster(context=CONTEXT, horizon=HORIZON, overrides=[*QUICK, *COLUMNS, *overrides], **arguments)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame()


@pytest.fixture(scope="module")
def fitted(rows) -> Forecaster:
    return forecaster().fit(rows)


def equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def close(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal but for how float32 rounds in batches of another size."""
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6)


# scikit-learn's conventions


def test_parameters_are_those_of_the_constructor_and_change_by_name(fitted, rows):
    made = forecaster(backbone="gru")
    assert made.get_params()["backbone"] == "gru"
    assert "backbone='gru'" in repr(made)
    again = clone(made)
    assert again.get_params() == made.get_params()
    assert again is not made
    with pytest.raises(NotFittedError):
        check_is_fitted(made)
    check_is_fitted(fitted)
    copy = clone(fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    equal(copy.fit(rows).predict(), fitted.predict())
    assert copy.set_params(backbone="rnn") is copy
    with pytest.raises(Refusal, match="not fitted"):
        copy.predict()
    assert copy.settings()["backbone"]["name"] == "rnn"
    with pytest.raises(ValueError, match="back_bone"):
        copy.set_params(back_bone="rnn")


def test_a_loaded_forecaster_tells_its_parameters_and_keeps_them(fitted, rows, tmp_path):
    fitted.save(tmp_path / "kept")
    loaded = Forecaster.load(tmp_path / "kept")
    assert loaded.get_params() | {"overrides": None} == {
        "data": None, "model": "segment", "backbone": "gru", "head": "quantile", "normalizer": ["standard"],
        "context": CONTEXT, "horizon": HORIZON, "gap": 0, "seed": 1, "overrides": None,
    }  # fmt: skip
    with pytest.raises(Refusal, match="make another one"):
        loaded.set_params(context=24)
    equal(clone(loaded).fit(rows).predict(), fitted.predict())


# frames


KINDS = {
    "polars": (polars.from_pandas, polars.DataFrame, lambda x: x.to_pandas()),
    "pyarrow": (lambda x: pyarrow.Table.from_pandas(x, preserve_index=False), pyarrow.Table, lambda x: x.to_pandas()),
}


def alike(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same values; units of time and kinds of text differ from library to library."""
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_comes_back_as_it_came(fitted, rows, kind):
    make, type_, back = KINDS[kind]
    given = make(rows)
    made = forecaster().fit(given)
    methods = {
        "predict": lambda x, y: x.predict(y),
        "predict()": lambda x, _: x.predict(),
        "backtest": lambda x, y: x.backtest(y, stride=48),
        "paths": lambda x, y: x.paths(y, n=2),
        "what_if": lambda x, y: x.what_if({"plan": 0.0}, y),
        "ensemble": lambda x, y: Ensemble([x, x]).predict(y),
        "explain": lambda x, y: x.explain(y, stride=48, repeats=2),
        "judge": lambda x, y: x.judge(y, stride=48).scores,
        "judge's forecasts": lambda x, y: x.judge(y, stride=48).forecasts["seasonal_naive"],
        "ensemble judges": lambda x, y: Ensemble([x, x]).judge(y, stride=48).scores,
    }
    for name, method in methods.items():
        found = method(made, given)
        assert isinstance(found, type_), name
        alike(back(found), method(fitted, rows))


def test_a_zone_survives_the_way_there_and_back(rows):
    zoned = rows.assign(ds=rows["ds"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"))
    found = forecaster().fit(polars.from_pandas(zoned)).predict()
    assert found["ds"].dtype.time_zone == "Europe/Berlin"
    alike(found.to_pandas(), forecaster().fit(zoned).predict())


def test_a_lazy_frame_is_refused(fitted, rows):
    with pytest.raises(Refusal, match="collect"):
        fitted.predict(polars.from_pandas(rows).lazy())


def test_without_pyarrow_other_frames_are_refused(fitted, rows, monkeypatch):
    given = polars.from_pandas(rows)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Refusal, match=r"forecast\[parquet\]"):
        fitted.predict(given)


# cutoffs


def test_a_forecast_from_a_cutoff_is_that_of_a_file_which_ends_there(fitted, rows):
    stamps = np.sort(rows["ds"].unique())[[100, 333, ROWS - 1]]
    found = fitted.predict(rows, cutoffs=list(stamps))
    assert list(found["cutoff"].unique()) == list(pd.DatetimeIndex(stamps))
    for stamp in stamps:
        known = rows.assign(y=rows["y"].where(rows["ds"] <= stamp), wind=rows["wind"].where(rows["ds"] <= stamp))
        mine = found[found["cutoff"] == stamp].reset_index(drop=True)
        close(mine.drop(columns="y"), fitted.predict(known).drop(columns="y"))
    close(found[found["cutoff"] == stamps[-1]].reset_index(drop=True), fitted.predict(rows))
    then = found[found["cutoff"] == stamps[0]]
    y = then.merge(rows, on=["unique_id", "ds"])
    assert (y["y_x"] == y["y_y"]).all()


@pytest.mark.parametrize(
    ("cutoffs", "words"),
    [
        (["2030-01-01"], "no series can be forecast from the cutoff 2030"),
        (["noon"], "not stamps"),
        (["03/05/2024"], "not stamps"),  # of March or of May
        (["2020-01-01 00:30"], "not on the grid"),
    ],
)
def test_an_impossible_cutoff_is_refused(fitted, cutoffs, words):
    with pytest.raises(Refusal, match=words):
        fitted.predict(cutoffs=cutoffs)


@pytest.mark.parametrize("levels", [0.5, [], "0.5", [-0.5, 0.5], [0.5, 1.0], [0.5, "a"], [0.5, None], {0.5: 1}])
def test_levels_that_are_none_are_refused(fitted, rows, levels):
    for method in (fitted.predict, fitted.backtest):
        with pytest.raises(Refusal, match="expected a list of numbers between 0 and 1"):
            method(rows, levels=levels)


def test_levels_come_in_any_order_and_sequence(fitted, rows):
    equal(fitted.predict(rows, levels=np.array([0.9, 0.1])), fitted.predict(rows, levels=(0.1, 0.9)))


def test_a_file_that_was_fitted_on_is_known_afterwards(rows, tmp_path):
    rows.to_csv(tmp_path / "mine.csv", index=False)
    made = forecaster().fit(tmp_path / "mine.csv")
    close(made.backtest(refit=Refit(every=100)), made.backtest(tmp_path / "mine.csv", refit=Refit(every=100)))


# means


def test_the_mean_is_that_of_the_law(rows):
    normal = forecaster("data.scaler=standard", head="normal").fit(rows)
    found = normal.predict(mean=True)
    assert np.allclose(found["mean"], found["point"], rtol=1e-5)  # symmetric
    bent = forecaster("data.scaler=asinh", head="normal").fit(rows.assign(y=rows["y"] - 600))
    found = bent.predict(mean=True, levels=[(i + 0.5) / 5000 for i in range(5000)])
    every = found.filter(regex="^q").mean(axis=1)
    spread = found.filter(regex="^q").std(axis=1)
    assert (np.abs(found["mean"] - every) < 0.01 * spread).all()
    assert (np.abs(found["mean"] - found["point"]) > 0.01 * spread).any()


def test_a_head_without_a_whole_law_has_no_mean(fitted):
    with pytest.raises(Refusal, match="no whole law"):
        fitted.predict(mean=True)


# what if


def test_a_scenario_is_a_file_with_other_plans(fitted, rows):
    late = rows["y"].isna()
    for values in (2.5, np.arange(HORIZON), np.arange(2.0 * HORIZON).reshape(2, HORIZON)):
        given = np.broadcast_to(values, (2, HORIZON)).ravel()
        other = rows.copy()
        other.loc[late, "plan"] = given
        equal(fitted.what_if({"plan": values}, rows), fitted.predict(other))
    bare = rows[~late]
    equal(fitted.what_if({"plan": 2.5}, bare), fitted.what_if({"plan": 2.5}, rows))
    assert not fitted.what_if({"plan": 2.5}, rows)["point"].equals(fitted.predict(rows)["point"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"plam": 1}, "did you mean 'plan'"), ({"wind": 1}, "can't be changed"), ({"plan": [1, 2]}, "expected one number"),
     ({"plan": np.nan}, "not a finite number")],
)  # fmt: skip
def test_an_impossible_scenario_is_refused(fitted, rows, changes, words):
    with pytest.raises(Refusal, match=words):
        fitted.what_if(changes, rows)


# fallback


def test_a_series_whose_inputs_are_there_is_forecast_as_ever(fitted, rows):
    found = fitted.predict(rows, fallback="naive")
    assert not found["fallback"].any()
    equal(found.drop(columns="fallback"), fitted.predict(rows))


def lack(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Rows in which the first series lacks something."""
    first = rows["unique_id"] == rows["unique_id"].iloc[0]
    number = rows.groupby("unique_id").cumcount()
    if what == "plan":
        return rows.assign(plan=rows["plan"].mask(first & (number == ROWS + 3)))
    if what == "stale":
        return rows[~first | (number < ROWS - 30)]
    return rows[~first | (number >= ROWS - 30)]  # short


@pytest.mark.parametrize("what", ["plan", "stale", "short"])
def test_a_series_whose_inputs_are_missing_gets_the_season_before_and_a_flag(fitted, rows, what):
    given = lack(rows, what)
    found = fitted.predict(given, fallback="naive")
    names = list(rows["unique_id"].unique())
    mine, other = (found[found["unique_id"] == name].reset_index(drop=True) for name in names)
    assert mine["fallback"].all()
    assert not other["fallback"].any()
    whole = fitted.predict(rows)
    close(other.drop(columns="fallback"), whole[whole["unique_id"] == names[1]].reset_index(drop=True))
    y = given[given["unique_id"] == names[0]].set_index("ds")["y"].dropna()
    steps = [ds - pd.Timedelta(days=n) for ds in mine["ds"] for n in (1, 2, 3) if ds - pd.Timedelta(days=n) in y]
    latest = pd.Series(steps).groupby([x.hour for x in steps]).max()
    assert mine["point"].tolist() == [y[latest[ds.hour]] for ds in mine["ds"]]
    assert (mine["cutoff"] == other["cutoff"].iloc[0]).all()
    assert mine.filter(regex="^q").isna().all(axis=None)


def test_where_nothing_can_be_forecast_all_is_naive(fitted, rows):
    found = fitted.predict(rows.assign(plan=rows["plan"].where(rows["y"].notna())), fallback="naive")
    assert found["fallback"].all()
    assert len(found) == 2 * HORIZON


def test_a_table_has_the_same_columns_if_nothing_can_be_forecast(rows):
    made = forecaster("calibrate=split", head="point").fit(rows)
    unknown = rows.assign(plan=rows["plan"].where(rows["y"].notna()))
    some, none = (made.predict(x, fallback="naive") for x in (rows, unknown))
    assert list(some.columns) == list(none.columns) and none["fallback"].all()


def test_another_fallback_is_refused(fitted):
    with pytest.raises(Refusal, match="expected naive"):
        fitted.predict(fallback="drift")
