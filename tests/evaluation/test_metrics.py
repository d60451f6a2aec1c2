"""Scores of forecast tables: against utilsforecast and scikit-learn, by hand, and what must not matter."""

import numpy as np
import pandas as pd
import pytest
import utilsforecast.losses as peer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error, root_mean_squared_error

from forecast.error import Refusal
from forecast.evaluation import metrics
from forecast.evaluation.metrics import compared, levels_of, pinball, scores

LEVELS = (0.1, 0.25, 0.5, 0.9)
SEASON = 3
BY_HAND = ("mae", "rmse", "mse", "smape", "mase", "mae_scaled", "mse_scaled", "wql", "coverage_80")


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


def naive_errors(train: pd.DataFrame) -> dict[str, float]:
    """The denominator of mase, in plain Python."""
    found = {}
    for name in train["unique_id"].unique():
        y = train.loc[train["unique_id"] == name, "y"].tolist()
        found[name] = sum(abs(y[t] - y[t - SEASON]) for t in range(SEASON, len(y))) / (len(y) - SEASON)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_utilsforecast(seed):
    """theirs is a mean by series and cutoff, so groups of equal size give the same mean over all rows."""
    table, train = forecasts(seed), history(seed)
    found = scores(table, naive_error=naive_errors(train))

    def theirs(metric, frame=table, **settings):
        return metric(frame, models=["point"], **settings)["point"].mean()

    assert found["mae"] == pytest.approx(theirs(peer.mae), rel=1e-12)
    assert found["mse"] == pytest.approx(theirs(peer.mse), rel=1e-12)
    assert found["smape"] == pytest.approx(200 * theirs(peer.smape), rel=1e-12)  # theirs: a share of 1
    bare = table.drop(columns="cutoff")  # with it they learn the denominator anew at every cutoff
    assert found["mase"] == pytest.approx(theirs(peer.mase, bare, seasonality=SEASON, train_df=train), rel=1e-12)
    band = table.rename(columns={"q0.1": "point-lo-80", "q0.9": "point-hi-80"})
    assert found["coverage_80"] == pytest.approx(theirs(peer.coverage, band, level=80), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_that_are_no_mean_equal_those_of_utilsforecast_on_one_series(seed):
    """rmse and wql divide after summing: ours over all rows, theirs within each series."""
    table = forecasts(seed, series=1, cutoffs=1, horizon=20)
    found = scores(table)
    assert found["rmse"] == pytest.approx(peer.rmse(table, models=["point"])["point"].item(), rel=1e-12)
    columns = {"model": [f"q{level:g}" for level in LEVELS]}
    theirs = peer.scaled_crps(table, models=columns, quantiles=np.array(LEVELS))["model"].item()
    assert found["wql"] == pytest.approx(theirs, rel=1e-12)
    mean = np.mean([peer.quantile_loss(table, {"m": f"q{x:g}"}, q=x)["m"].item() for x in LEVELS])
    assert found["wql"] == pytest.approx(2 * mean / table["y"].abs().mean(), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_scikit_learn(seed):
    table = forecasts(seed)
    scale = {f"s{i}": 0.5 + i for i in range(4)}
    found, y, point = scores(table, scale), table["y"].to_numpy(), table["point"].to_numpy()
    assert found["mae"] == pytest.approx(mean_absolute_error(y, point), rel=1e-12)
    assert found["mse"] == pytest.approx(mean_squared_error(y, point), rel=1e-12)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, point), rel=1e-12)
    losses = [mean_pinball_loss(y, table[f"q{level:g}"], alpha=level) for level in LEVELS]
    assert found["wql"] == pytest.approx(2 * np.mean(losses) / np.abs(y).mean(), rel=1e-12)
    unit = np.array([scale[name] for name in table["unique_id"]])
    assert found["mae_scaled"] == pytest.approx(mean_absolute_error(y / unit, point / unit), rel=1e-12)
    assert found["mse_scaled"] == pytest.approx(mean_squared_error(y / unit, point / unit), rel=1e-12)
    for level in LEVELS:
        one = pinball(y, table[f"q{level:g}"].to_numpy(), level)
        assert one == pytest.approx(len(y) * mean_pinball_loss(y, table[f"q{level:g}"], alpha=level), rel=1e-12)


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


@pytest.mark.parametrize("name", BY_HAND)
def test_a_tiny_example_has_the_score_computed_by_hand(name):
    expected = {
        "mae": (2 + 1 + 0 + 4) / 4,
        "mse": (4 + 1 + 0 + 16) / 4,
        "rmse": 5.25**0.5,
        "smape": 200 * (2 / 18 + 1 / 11 + 0 / 4 + 4 / 12) / 4,
        "mase": (2 / 2 + 1 / 2 + 0 / 2 + 4 / 8) / 4,
        "mae_scaled": (2 / 4 + 1 / 4 + 0 / 4 + 4 / 2) / 4,
        "mse_scaled": (4 / 16 + 1 / 16 + 0 / 16 + 16 / 4) / 4,
        # q0.1: 0.1 * 3, 0.9 * 1, 0, 0.1 * 8; q0.9: 0.9 * 1, 0.1 * 2, 0.1 * 1, 0.1 * 1; sum |y| = 25
        "wql": 2 * ((0.3 + 0.9 + 0 + 0.8) + (0.9 + 0.2 + 0.1 + 0.1)) / 2 / 25,
        "coverage_80": 2 / 4,
    }
    found = scores(by_hand(), scale={"a": 4.0, "b": 2.0}, naive_error={"a": 2.0, "b": 8.0})
    assert set(found) == set(expected) == set(BY_HAND)
    assert found[name] == pytest.approx(expected[name], rel=1e-12)
    assert type(found[name]) is float


def test_a_forecast_without_error_scores_zero():
    table = by_hand().assign(point=lambda x: x["y"])
    found = scores(table, {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0})
    assert {name: found[name] for name in BY_HAND[:7]} == dict.fromkeys(BY_HAND[:7], 0.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), order=st.randoms(use_true_random=False), share=st.floats(0, 0.9))
def test_neither_order_nor_rows_without_y_change_a_score(seed, order, share):
    table = forecasts(seed)
    scale, naive = ({f"s{i}": 1.0 + i for i in range(4)} for _ in range(2))
    whole = scores(table, scale, naive)
    assert same(scores(table.iloc[order.sample(range(len(table)), len(table))], scale, naive), whole)
    assert same(scores(table.iloc[::-1].reset_index(drop=True), scale, naive), whole)
    hidden = table.assign(y=table["y"].where(np.arange(len(table)) >= share * len(table)))
    future = table.assign(y=np.nan, point=np.nan)
    expected = scores(hidden[hidden["y"].notna()], scale, naive)
    assert same(scores(hidden, scale, naive), expected)
    assert same(scores(pd.concat([future, hidden], ignore_index=True), scale, naive), expected)
    assert not same(whole, scores(table.assign(y=table["y"] + 1), scale, naive))


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    return list(one) == list(other) and np.allclose([*one.values()], [*other.values()], rtol=1e-10, atol=0)


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
    scale, naive = {f"s{i}": 1.0 + i for i in range(4)}, {f"s{i}": 4.0 - i for i in range(4)}
    plain = scores(table, scale, naive)
    times = {name: value * unit for name, value in scale.items()}, {name: value * unit for name, value in naive.items()}
    found = scores(table.assign(**{name: table[name] * unit for name in numbers}), *times)
    power = {"mae": 1, "rmse": 1, "mse": 2}
    assert found == pytest.approx({name: value * unit ** power.get(name, 0) for name, value in plain.items()}, rel=1e-9)


def zeros(**columns) -> pd.DataFrame:
    return by_hand().assign(y=0.0, point=0.0, **{"q0.1": -1.0, "q0.9": 1.0}).assign(**columns)


def test_a_row_in_which_y_and_point_are_zero_has_no_percentage_error():
    assert scores(zeros())["smape"] == 0.0
    assert scores(zeros(point=1.0))["smape"] == 200.0
    assert scores(zeros(y=[0, 0, 0, 1.0]))["smape"] == 50.0


def test_a_weighted_loss_of_nothing_but_zeros_is_not_defined():
    found = scores(zeros())
    assert np.isnan(found["wql"]) and found["coverage_80"] == 1.0 and found["mae"] == 0.0


def test_mase_leaves_out_series_that_were_constant_or_not_seen_in_training():
    table = by_hand()
    assert scores(table, naive_error={"a": 0.0, "b": 8.0})["mase"] == 0.5
    assert scores(table, naive_error={"a": np.nan, "b": 8.0})["mase"] == 0.5
    assert scores(table, naive_error={"b": 8.0})["mase"] == 0.5
    assert np.isnan(scores(table, naive_error={"a": 0.0, "b": 0.0})["mase"])


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
    assert list(scores(forecasts(1)[["unique_id", "ds", "cutoff", "y", "point"]])) == ["mae", "rmse", "mse", "smape"]
    assert "coverage_80" not in scores(forecasts(1).drop(columns="q0.9"))


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_point_that_is_not_finite_is_refused_by_its_row(value):
    with pytest.raises(Refusal, match="row 2 ") as refusal:
        scores(by_hand().assign(point=[1.0, value, 2.0, 3.0]))
    assert refusal.value.code == "not-a-number"


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
    scale, errors = {f"s{i}": 2.0 for i in range(4)}, {f"s{i}": 3.0 for i in range(4)}
    long = compared({"mine": table, "seasonal_naive": naive}, scale, errors)
    assert list(long.columns) == ["model", "metric", "value"]
    found = {model: part.set_index("metric")["value"].to_dict() for model, part in long.groupby("model")}
    expected = scores(table, scale, errors)
    ratio = expected["mae"] / scores(naive)["mae"]
    assert found["mine"] == expected | {"rmae": ratio, "skill": 1 - ratio}
    assert found["seasonal_naive"]["rmae"] == 1 and found["seasonal_naive"]["skill"] == 0
    assert list(dict.fromkeys(long["model"])) == ["mine", "seasonal_naive"]
    one = forecasts(2, series=1, cutoffs=1).assign(naive=lambda x: x["point"] - 2)
    theirs = peer.rmae(one, models=["point"], baseline="naive")["point"].item()
    again = compared({"m": one, "seasonal_naive": one.assign(point=one["naive"])})
    assert again.loc[again["metric"] == "rmae", "value"].iloc[0] == pytest.approx(theirs, rel=1e-12)


def test_without_the_reference_there_is_no_skill():
    assert not {"rmae", "skill"} & set(compared({"mine": forecasts(1)})["metric"])


def test_a_reference_without_error_leaves_skill_undefined():
    naive = by_hand().assign(point=lambda x: x["y"])
    long = compared({"mine": by_hand(), "seasonal_naive": naive}).set_index(["model", "metric"])["value"]
    assert np.isnan(long["mine", "rmae"]) and np.isnan(long["mine", "skill"])


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("pinball", lambda y, q, level: float(np.maximum((1 - level) * (y - q), -level * (y - q)).sum())),
        ("by_series", lambda table, values: np.full(len(table), next(iter(values.values())))),
    ],
)
def test_the_comparison_with_peers_catches_a_faulty_metric(name, fault, monkeypatch):
    monkeypatch.setattr(metrics, name, fault)
    with pytest.raises(AssertionError):
        test_metrics_equal_those_of_scikit_learn(1)
