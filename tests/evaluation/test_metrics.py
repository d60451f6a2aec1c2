"""Scores of forecast tables: against utilsforecast and scikit-learn, by hand, and what must not matter."""

import numpy as np
import pandas as pd
import pytest
import utilsforecast.losses as peer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)

from forecast.error import Refusal
from forecast.evaluation import arithmetic
from forecast.evaluation.metrics import compared, scores
from forecast.evaluation.table import levels_of

LEVELS = (0.1, 0.25, 0.5, 0.9)
SEASON = 3
ROUNDED = 1 + 1e-12
POINT = ("mae", "rmse", "mse", "bias", "mape", "smape", "nd", "r2")
SCALED = ("mase", "rmsse", "mae_scaled", "mse_scaled")
BAND = ("pinball_10", "pinball_90", "crps", "wql", "coverage_80", "width_80", "winkler_80", "calibration")
IN_UNITS = {"mae", "rmse", "bias", "crps", *(f"pinball_{100 * x:g}" for x in LEVELS), "width_80", "winkler_80"}


def forecasts(seed: int, series: int = 4, cutoffs: int = 3, horizon: int = 5) -> pd.DataFrame:
    """Random forecasts of several series of equal length, each of a level and spread of its own."""
    rng = np.random.default_rng(seed)
    shape = (series, cutoffs, horizon)
    level, spread = rng.uniform(-50, 100, (series, 1, 1)), rng.uniform(0.5, 20, (series, 1, 1))
    y, point = (level + spread * rng.standard_normal(shape) for _ in range(2))
    ends = pd.date_range("2024-01-31", periods=cutoffs, freq=f"{horizon}D")
    ahead = pd.to_timedelta(np.arange(1, horizon + 1), "D")
    table = pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{i}" for i in range(series)], cutoffs * horizon),
            "ds": np.tile([end + step for end in ends for step in ahead], series),
            "cutoff": np.tile(np.repeat(ends, horizon), series),
            "y": y.ravel(),
            "point": point.ravel(),
        }
    )
    quantiles = np.sort(point[..., None] + 1.5 * spread[..., None] * rng.standard_normal((*shape, len(LEVELS))))
    names = [f"q{level:g}" for level in LEVELS]
    return table.assign(**dict(zip(names, quantiles.reshape(-1, len(LEVELS)).T, strict=True)))


def history(seed: int, series: int = 4, rows: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed + 1000)
    ds = pd.date_range("2024-01-01", periods=rows, freq="D")
    names = np.repeat([f"s{i}" for i in range(series)], rows)
    y = rng.standard_normal(series * rows) * np.repeat(rng.uniform(1, 30, series), rows)
    return pd.DataFrame({"unique_id": names, "ds": np.tile(ds, series), "y": y})


def naive_errors(train: pd.DataFrame, power: int = 1) -> dict[str, float]:
    """The denominators of mase and rmsse, in plain Python."""
    found = {}
    for name in train["unique_id"].unique():
        y = train.loc[train["unique_id"] == name, "y"].tolist()
        found[name] = sum(abs(y[t] - y[t - SEASON]) ** power for t in range(SEASON, len(y))) / (len(y) - SEASON)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_utilsforecast(seed):
    """theirs is a mean by series and cutoff, so groups of equal size give the same mean over all rows."""
    table, train = forecasts(seed), history(seed)
    found = scores(table, naive_error=naive_errors(train))

    def theirs(metric, frame=table, models=("point",), **settings):
        return metric(frame, models=list(models), **settings)[next(iter(models))].mean()

    for name in ("mae", "mse", "bias"):
        assert found[name] == pytest.approx(theirs(getattr(peer, name)), rel=1e-12)
    assert found["mape"] == pytest.approx(100 * theirs(peer.mape), rel=1e-12)  # theirs: a share of 1
    assert found["smape"] == pytest.approx(200 * theirs(peer.smape), rel=1e-12)
    bare = table.drop(columns="cutoff")  # with it they learn the denominator anew at every cutoff
    assert found["mase"] == pytest.approx(theirs(peer.mase, bare, seasonality=SEASON, train_df=train), rel=1e-12)
    band = table.rename(columns={"q0.1": "point-lo-80", "q0.9": "point-hi-80"})
    assert found["coverage_80"] == pytest.approx(theirs(peer.coverage, band, level=80), rel=1e-12)
    assert found["winkler_80"] == pytest.approx(theirs(peer.winkler_score, band, level=80), rel=1e-12)
    columns = {f"pinball_{100 * level:g}": (f"q{level:g}", level) for level in LEVELS}
    for name, (column, level) in columns.items():
        loss = peer.quantile_loss(table, {"m": column}, q=level)["m"].mean()
        assert found[name] == pytest.approx(loss, rel=1e-12)
    all_levels = {"m": [f"q{level:g}" for level in LEVELS]}
    losses = peer.mqloss(table, all_levels, quantiles=np.array(LEVELS))["m"].mean()
    assert found["crps"] == pytest.approx(2 * losses, rel=1e-12)
    shares = [peer.calibration(table, {"m": f"q{level:g}"})["m"].mean() - level for level in LEVELS]
    assert found["calibration"] == pytest.approx(np.abs(shares).mean(), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_that_are_no_mean_equal_those_of_utilsforecast_on_one_series(seed):
    """rmse, nd, rmsse and wql divide after summing: ours over all rows, theirs within each series."""
    table, train = forecasts(seed, series=1, cutoffs=1, horizon=20), history(seed, series=1)
    found = scores(table, naive_square=naive_errors(train, power=2))
    for name in ("rmse", "nd"):
        assert found[name] == pytest.approx(getattr(peer, name)(table, models=["point"])["point"].item(), rel=1e-12)
    bare = table.drop(columns="cutoff")
    theirs = peer.rmsse(bare, models=["point"], seasonality=SEASON, train_df=train)["point"].item()
    assert found["rmsse"] == pytest.approx(theirs, rel=1e-12)
    columns = {"model": [f"q{level:g}" for level in LEVELS]}
    theirs = peer.scaled_crps(table, models=columns, quantiles=np.array(LEVELS))["model"].item()
    assert found["wql"] == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_scikit_learn(seed):
    table = forecasts(seed)
    scale = {f"s{i}": 0.5 + i for i in range(4)}
    found, y, point = scores(table, scale), table["y"].to_numpy(), table["point"].to_numpy()
    assert found["mae"] == pytest.approx(mean_absolute_error(y, point), rel=1e-12)
    assert found["mse"] == pytest.approx(mean_squared_error(y, point), rel=1e-12)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, point), rel=1e-12)
    assert found["mape"] == pytest.approx(100 * mean_absolute_percentage_error(y, point), rel=1e-12)
    assert found["r2"] == pytest.approx(r2_score(y, point), rel=1e-10)
    losses = [mean_pinball_loss(y, table[f"q{level:g}"], alpha=level) for level in LEVELS]
    assert [found[f"pinball_{100 * level:g}"] for level in LEVELS] == pytest.approx(losses, rel=1e-12)
    assert found["wql"] == pytest.approx(2 * np.mean(losses) / np.abs(y).mean(), rel=1e-12)
    unit = np.array([scale[name] for name in table["unique_id"]])
    assert found["mae_scaled"] == pytest.approx(mean_absolute_error(y / unit, point / unit), rel=1e-12)
    assert found["mse_scaled"] == pytest.approx(mean_squared_error(y / unit, point / unit), rel=1e-12)


def quantiles(y: np.ndarray, values: np.ndarray, levels: np.ndarray) -> pd.DataFrame:
    """Values [level] as the forecast of every y."""
    table = pd.DataFrame({"unique_id": "a", "ds": range(len(y)), "cutoff": 0, "y": y, "point": np.median(values)})
    names = [f"q{level!r}" for level in levels.tolist()]
    return pd.concat([table, pd.DataFrame(dict(zip(names, values, strict=True)), index=table.index)], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_the_crps_of_an_ensemble_is_that_of_its_members(seed):
    """m members are quantiles at (i - 1/2) / m (J. Bröcker, 2012): mean |x - y| - mean |x - x'| / 2 of T. Gneiting,
    A. Raftery, 2007."""
    rng = np.random.default_rng(seed)
    members, y = np.sort(rng.normal(size=40)), rng.normal(size=30)
    found = scores(quantiles(y, members, (np.arange(40) + 0.5) / 40))["crps"]
    pairs = np.abs(members[:, None] - members).mean()
    assert found == pytest.approx(np.abs(members - y[:, None]).mean() - pairs / 2, rel=1e-12)


def test_the_crps_of_many_levels_is_that_of_the_law():
    """The closed form of a normal law; with nine levels it is off by less than a twentieth."""
    y = np.random.default_rng(1).normal(size=500)
    exact = (y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)).mean()
    for levels, off in ((np.linspace(0.0005, 0.9995, 1000), 1e-4), (np.linspace(0.1, 0.9, 9), 0.1)):
        assert scores(quantiles(y, norm.ppf(levels), levels))["crps"] == pytest.approx(exact, rel=off)


def test_a_true_law_is_calibrated():
    levels = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
    y = norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    found = scores(quantiles(y, norm.ppf(levels), levels))
    assert found["calibration"] == pytest.approx(0, abs=1e-12)
    for name, low in (("95", 0.025), ("80", 0.1), ("50", 0.25)):
        assert found[f"coverage_{name}"] == pytest.approx(1 - 2 * low)
        assert found[f"width_{name}"] == pytest.approx(-2 * norm.ppf(low))
    shifted = scores(quantiles(y + 1, norm.ppf(levels), levels))
    assert shifted["calibration"] == pytest.approx(np.abs(norm.cdf(norm.ppf(levels) - 1) - levels).mean(), abs=1e-4)


def by_hand() -> pd.DataFrame:
    """Errors 2, -1, 0 and 4; the last but one series a, the last series b."""
    return pd.DataFrame(
        {
            "unique_id": ["a", "a", "a", "b"],
            "ds": pd.date_range("2024-01-01", periods=4),
            "cutoff": pd.Timestamp("2023-12-31"),
            "y": [10.0, 5.0, 2.0, 8.0],
            "point": [8.0, 6.0, 2.0, 4.0],
            "q0.1": [7.0, 6.0, 2.0, 0.0],  # 5 lies below; 2 lies on the edge, which counts as inside
            "q0.9": [9.0, 7.0, 3.0, 9.0],  # 10 lies above
        }
    )


@pytest.mark.parametrize("name", [*POINT, *SCALED, *BAND])
def test_a_tiny_example_has_the_score_computed_by_hand(name):
    expected = {
        "mae": (2 + 1 + 0 + 4) / 4,
        "mse": (4 + 1 + 0 + 16) / 4,
        "rmse": 5.25**0.5,
        "bias": (-2 + 1 + 0 - 4) / 4,
        "mape": 100 * (2 / 10 + 1 / 5 + 0 / 2 + 4 / 8) / 4,
        "smape": 200 * (2 / 18 + 1 / 11 + 0 / 4 + 4 / 12) / 4,
        "nd": 7 / 25,
        "r2": 1 - 21 / (3.75**2 + 1.25**2 + 4.25**2 + 1.75**2),
        "mase": (2 / 2 + 1 / 2 + 0 / 2 + 4 / 8) / 4,
        "rmsse": ((4 / 5 + 1 / 5 + 0 / 5 + 16 / 32) / 4) ** 0.5,
        "mae_scaled": (2 / 4 + 1 / 4 + 0 / 4 + 4 / 2) / 4,
        "mse_scaled": (4 / 16 + 1 / 16 + 0 / 16 + 16 / 4) / 4,
        # q0.1: 0.1 * 3, 0.9 * 1, 0, 0.1 * 8; q0.9: 0.9 * 1, 0.1 * 2, 0.1 * 1, 0.1 * 1; sum |y| = 25
        "pinball_10": (0.3 + 0.9 + 0 + 0.8) / 4,
        "pinball_90": (0.9 + 0.2 + 0.1 + 0.1) / 4,
        "crps": ((0.3 + 0.9 + 0 + 0.8) + (0.9 + 0.2 + 0.1 + 0.1)) / 4,
        "wql": 2 * ((0.3 + 0.9 + 0 + 0.8) + (0.9 + 0.2 + 0.1 + 0.1)) / 2 / 25,
        "coverage_80": 2 / 4,
        "width_80": (2 + 1 + 1 + 9) / 4,
        "winkler_80": (2 + 1 + 1 + 9 + 10 * 1 + 10 * 1) / 4,
        "calibration": ((0.25 - 0.1) + (0.9 - 0.75)) / 2,
    }
    found = scores(by_hand(), {"a": 4.0, "b": 2.0}, {"a": 2.0, "b": 8.0}, {"a": 5.0, "b": 32.0})
    assert list(found) == [*POINT, *SCALED, *BAND] and set(found) == set(expected)
    assert found[name] == pytest.approx(expected[name], rel=1e-12)
    assert type(found[name]) is float


def test_a_forecast_without_error_scores_zero():
    table = by_hand().assign(point=lambda x: x["y"])
    found = scores(table, *3 * ({"a": 1.0, "b": 1.0},))
    zero = {*POINT, *SCALED} - {"r2"}
    assert {name: found[name] for name in zero} == dict.fromkeys(zero, 0.0) and found["r2"] == 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), order=st.randoms(use_true_random=False), share=st.floats(0, 0.9))
def test_neither_order_nor_rows_without_y_change_a_score(seed, order, share):
    table = forecasts(seed)
    divisors = [{f"s{i}": 1.0 + i * k for i in range(4)} for k in (1, 2, 3)]
    whole = scores(table, *divisors)
    assert same(scores(table.iloc[order.sample(range(len(table)), len(table))], *divisors), whole)
    assert same(scores(table.iloc[::-1].reset_index(drop=True), *divisors), whole)
    hidden = table.assign(y=table["y"].where(np.arange(len(table)) >= share * len(table)))
    future = table.assign(y=np.nan, point=np.nan)
    expected = scores(hidden[hidden["y"].notna()], *divisors)
    assert same(scores(hidden, *divisors), expected)
    assert same(scores(pd.concat([future, hidden], ignore_index=True), *divisors), expected)
    assert not same(whole, scores(table.assign(y=table["y"] + 1), *divisors))


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    return list(one) == list(other) and np.allclose([*one.values()], [*other.values()], rtol=1e-9, atol=1e-12)


def test_each_row_counts_once_whatever_the_length_of_its_series():
    table = by_hand()
    found = scores(table)["mae"]
    means = table.assign(e=(table["y"] - table["point"]).abs()).groupby("unique_id")["e"].mean()
    assert found == pytest.approx(1.75) and found != pytest.approx(means.mean())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), unit=st.sampled_from([1e-6, 0.5, 3.0, 1e9]))
def test_scores_have_the_unit_of_the_data_or_none(seed, unit):
    table = forecasts(seed)
    numbers = ["y", "point", *(f"q{level:g}" for level in LEVELS)]
    divisors = [{f"s{i}": start + i for i in range(4)} for start in (1.0, 4.0, 7.0)]
    plain = scores(table, *divisors)
    powers = (1, 1, 2)
    times = [{name: x * unit**power for name, x in by.items()} for by, power in zip(divisors, powers, strict=True)]
    found = scores(table.assign(**{name: table[name] * unit for name in numbers}), *times)
    power = dict.fromkeys(IN_UNITS, 1) | {"mse": 2}
    assert found == pytest.approx({name: x * unit ** power.get(name, 0) for name, x in plain.items()}, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), missing=st.floats(0, 0.9))
def test_scores_lie_where_they_must(seed, missing):
    table = forecasts(seed)
    table["y"] = table["y"].where(np.random.default_rng(seed).random(len(table)) >= missing)
    if table["y"].isna().all():
        return
    found = scores(table)
    assert 0 <= found["coverage_80"] <= 1 and 0 <= found["calibration"] <= 0.9 and 0 <= found["smape"] <= 200
    assert found["winkler_80"] * ROUNDED >= found["width_80"] >= 0
    assert found["r2"] <= 1 or np.isnan(found["r2"])  # of a single y there is no variance
    assert abs(found["bias"]) <= found["mae"] * ROUNDED and found["mae"] <= found["rmse"] * ROUNDED
    assert found["mse"] == pytest.approx(found["rmse"] ** 2)
    table["q0.25"], table["q0.9"] = table["q0.1"] - 1e6, table["q0.9"] + 1e6
    assert scores(table.drop(columns="q0.1").rename(columns={"q0.25": "q0.1"}))["coverage_80"] == 1


def zeros(**columns) -> pd.DataFrame:
    return by_hand().assign(y=0.0, point=0.0, **{"q0.1": -1.0, "q0.9": 1.0}).assign(**columns)


def test_a_row_in_which_y_and_point_are_zero_has_no_percentage_error():
    assert scores(zeros())["smape"] == 0.0
    assert scores(zeros(point=1.0))["smape"] == 200.0
    assert scores(zeros(y=[0, 0, 0, 1.0]))["smape"] == 50.0


def test_rows_in_which_y_is_zero_have_no_share_of_it():
    table = by_hand().assign(y=[10.0, 0.0, 0.0, 8.0])
    assert scores(table)["mape"] == pytest.approx(100 * (2 / 10 + 4 / 8) / 2)
    assert np.isnan(scores(zeros(point=1.0))["mape"])


def test_what_would_be_divided_by_nothing_is_not_defined():
    found = scores(zeros())
    assert all(np.isnan(found[name]) for name in ("wql", "nd", "mape", "r2"))
    assert found["coverage_80"] == 1.0 and found["mae"] == 0.0


@settings(max_examples=20, deadline=None)
@given(level=st.floats(-1e6, 1e6), rows=st.integers(1, 50))
def test_of_a_constant_there_is_no_share_of_variance(level, rows):
    """Neither of one that no sum holds exactly; and near zero a share of it is huge, but no fault."""
    found = scores(pd.concat([by_hand()] * rows).assign(y=level, point=level + 1))
    assert np.isnan(found["r2"]) and found["mse"] == pytest.approx(1)


def test_a_level_on_which_y_lies_often_is_calibrated_where_it_is_between():
    """Half the values are 0, as of a park at night: q0.1 and q0.4 are 0 as well, and rightly so."""
    y = np.array([0.0, 0, 0, 0, 0, 1, 2, 3, 4, 5])
    table = quantiles(y, np.array([0.0, 0.0, 1.5]), np.array([0.1, 0.4, 0.8]))
    assert scores(table)["calibration"] == pytest.approx((0 + 0 + 0.8 - 0.6) / 3)


@pytest.mark.parametrize("divisor", [{"a": 0.0, "b": 32.0}, {"a": np.nan, "b": 32.0}, {"b": 32.0}])
def test_rmsse_leaves_out_series_that_were_constant_or_not_seen_in_training(divisor):
    assert scores(by_hand(), naive_square=divisor)["rmsse"] == 0.5**0.5
    assert np.isnan(scores(by_hand(), naive_square={"a": 0.0, "b": 0.0})["rmsse"])


def test_mase_leaves_out_series_that_were_constant_or_not_seen_in_training():
    table = by_hand()
    assert scores(table, naive_error={"a": 0.0, "b": 8.0})["mase"] == 0.5
    assert scores(table, naive_error={"a": np.nan, "b": 8.0})["mase"] == 0.5
    assert scores(table, naive_error={"b": 8.0})["mase"] == 0.5
    assert np.isnan(scores(table, naive_error={"a": 0.0, "b": 0.0})["mase"])


def test_a_row_without_an_id_is_not_scaled_by_another_series():
    rows = {"unique_id": ["a", None], "ds": [1, 2], "cutoff": [0, 0], "y": [1.0, 1.0], "point": [2.0, 5.0]}
    assert scores(pd.DataFrame(rows), naive_error={"a": 1.0})["mase"] == 1.0


def test_ids_may_be_numbers_or_categories():
    table = by_hand()
    expected = scores(table, {"a": 4.0, "b": 2.0})
    assert scores(table.assign(unique_id=pd.Categorical(table["unique_id"])), {"a": 4.0, "b": 2.0}) == expected
    assert scores(table.assign(unique_id=[1, 1, 1, 2]), {1: 4.0, 2: 2.0}) == expected


def test_integers_and_float32_are_scored_as_float64():
    table = by_hand().assign(y=[16_777_217, 5, 2, 8], point=np.array([16_777_216, 5, 2, 8], "float32"))
    assert scores(table)["mae"] == 0.25


def test_the_median_is_the_point_where_there_is_no_other():
    table = forecasts(1)
    assert scores(table.drop(columns="point"))["mae"] == scores(table.assign(point=table["q0.5"]))["mae"]
    assert scores(table)["mae"] != scores(table.drop(columns="point"))["mae"]


def test_scores_that_need_more_than_the_table_are_left_out():
    assert list(scores(forecasts(1)[["unique_id", "ds", "cutoff", "y", "point"]])) == list(POINT)
    found = scores(forecasts(1).drop(columns="q0.9"))
    assert not {"coverage_80", "width_80", "winkler_80"} & set(found) and {"pinball_10", "wql", "crps"} <= set(found)


def test_the_table_stays_as_it_was():
    table = forecasts(1).drop(columns="point")
    before = table.copy(deep=True)
    scores(table)
    compared({"a": table})
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("unique_ids", "unique_id"), ("dss", "ds"), ("cut_off", "cutoff"), ("Y", "y"), ("points", "point")],
)
def test_a_missing_column_is_refused_with_the_nearest_name(wrong, right):
    table = by_hand().rename(columns={right: wrong})
    with pytest.raises(Refusal, match=f"'{right}'") as refusal:
        scores(table)
    assert refusal.value.code == "no-column"
    assert f"did you mean '{wrong}'" in str(refusal.value) or right == "y"


def test_nothing_observed_is_refused():
    with pytest.raises(Refusal, match="nothing to score") as refusal:
        scores(by_hand().assign(y=np.nan))
    assert refusal.value.code == "no-rows"
    with pytest.raises(Refusal, match="nothing to score"):
        scores(by_hand().head(0))


@pytest.mark.parametrize("column", ["point", "q0.1"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_forecast_that_is_not_finite_is_refused_by_its_row(column, value):
    with pytest.raises(Refusal, match=f"row 2 .* '{column}'") as refusal:
        scores(by_hand().assign(**{column: [1.0, value, 2.0, 3.0]}))
    assert refusal.value.code == "not-a-number"
    assert scores(by_hand().assign(**{column: [1.0, value, 2.0, 3.0], "y": [1.0, np.nan, 2.0, 3.0]}))


def test_an_infinite_y_is_refused_by_its_row():
    with pytest.raises(Refusal, match=r"row 3 .* 'y'"):
        scores(by_hand().assign(y=[1.0, np.nan, np.inf, 3.0]))


@pytest.mark.parametrize("column", ["y", "point", "q0.1"])
def test_a_cell_that_is_no_number_is_refused(column):
    """A CSV with one word among its numbers is a column of text."""
    with pytest.raises(Refusal, match=column):
        scores(by_hand().assign(**{column: ["1.0", "much", "2.0", "3.0"]}))


def test_levels_are_read_from_the_names_of_columns():
    table = pd.DataFrame(columns=["unique_id", "y", "q0.9", "q0.05", "quality", "q", "p0.3", "q0.5", 7])
    assert list(levels_of(table)) == [0.05, 0.5, 0.9]
    assert list(levels_of(by_hand())) == [0.1, 0.9]
    assert not levels_of(by_hand()[["y"]])


@pytest.mark.parametrize("name", ["q10", "q1", "q0", "q-0.1", "qnan", "qinf"])
def test_a_column_whose_name_is_no_level_is_no_quantile(name):
    """Levels lie between 0 and 1: q10 is somebody's 10 per cent, and would make a loss below zero."""
    table = by_hand().assign(**{name: 1.0})
    assert list(levels_of(table)) == [0.1, 0.9]
    assert scores(table) == scores(by_hand())


@pytest.mark.parametrize("names", [("q0.10", "q0.90"), ("q.1", "q.9"), ("q0.1", "q9e-1")])
def test_a_level_may_be_written_in_any_way(names):
    table = by_hand().rename(columns=dict(zip(("q0.1", "q0.9"), names, strict=True)))
    assert scores(table) == scores(by_hand())


def test_tables_are_compared_with_the_seasonal_naive_forecast():
    table = forecasts(1)
    naive = table[["unique_id", "ds", "cutoff", "y"]].assign(point=table["point"] + 1)
    divisors = [{f"s{i}": level for i in range(4)} for level in (2.0, 3.0, 4.0)]
    long = compared({"mine": table, "seasonal_naive": naive}, *divisors)
    assert list(long.columns) == ["model", "metric", "value"]
    found = {model: part.set_index("metric")["value"].to_dict() for model, part in long.groupby("model")}
    expected, theirs = scores(table, *divisors), scores(naive, *divisors)
    ratio = {name: expected[name] / theirs[name] for name in ("mae", "smape", "mase")}
    owa = (ratio["smape"] + ratio["mase"]) / 2
    assert found["mine"] == expected | {"rmae": ratio["mae"], "skill": 1 - ratio["mae"], "owa": owa}
    assert [found["seasonal_naive"][name] for name in ("rmae", "skill", "owa")] == [1, 0, 1]
    assert list(dict.fromkeys(long["model"])) == ["mine", "seasonal_naive"]
    one = forecasts(2, series=1, cutoffs=1).assign(naive=lambda x: x["point"] - 2)
    theirs = peer.rmae(one, models=["point"], baseline="naive")["point"].item()
    again = compared({"m": one, "seasonal_naive": one.assign(point=one["naive"])})
    assert again.loc[again["metric"] == "rmae", "value"].iloc[0] == pytest.approx(theirs, rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), reference=st.sampled_from(["one", "two", "epf_naive"]))
def test_any_table_may_be_the_reference(seed, reference):
    tables = {
        name: forecasts(seed).assign(point=lambda x, k=k: x["point"] + k) for k, name in enumerate(("one", "two"))
    }
    tables["epf_naive"] = forecasts(seed).assign(point=lambda x: x["y"] + 2)
    found = compared(tables, reference=reference).pivot(index="metric", columns="model", values="value")
    assert found.loc["skill", reference] == 0 and found.loc["rmae", reference] == 1
    np.testing.assert_allclose(found.loc["rmae"], found.loc["mae"] / found.loc["mae", reference], rtol=1e-14)
    np.testing.assert_allclose(found.loc["skill"], 1 - found.loc["rmae"], atol=1e-14)
    assert "owa" not in found.index


def test_without_the_reference_there_is_no_skill():
    assert not {"rmae", "skill"} & set(compared({"mine": forecasts(1)})["metric"])


def test_a_reference_without_error_leaves_skill_undefined():
    naive = by_hand().assign(point=lambda x: x["y"])
    long = compared({"mine": by_hand(), "seasonal_naive": naive}).set_index(["model", "metric"])["value"]
    assert np.isnan(long["mine", "rmae"]) and np.isnan(long["mine", "skill"])


TERMS = ["rows", "mae", "mse", "bias", "size", "above", "above squared", "not zero", "mape", "smape", "mae_scaled"]
TERMS += ["mse_scaled", "naive_error", "mase", "naive_square", "rmsse", ("inside", 0.1), ("width", 0.1)]
TERMS += [(name, level) for name in ("pinball", "below", "at most") for level in (0.1, 0.9)]


@pytest.mark.parametrize("term", TERMS)
def test_a_fault_in_any_term_is_seen_in_a_score_computed_by_hand(term, monkeypatch):
    right, seen = arithmetic.terms, []
    for shift in (1.0, -1.0):

        def terms(rows, levels, shift=shift):
            for name, values, among in right(rows, levels):
                seen.append(name)
                yield name, values + shift * (name == term), among

        monkeypatch.setattr(arithmetic, "terms", terms)
        try:
            for name in (*POINT, *SCALED, *BAND):
                test_a_tiny_example_has_the_score_computed_by_hand(name)
        except AssertionError:
            assert set(seen) == set(TERMS)
            return
    pytest.fail("no score changed")
