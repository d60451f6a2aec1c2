"""Scores of groups of rows: those of the same rows alone, and together those of the whole table."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.error import Refusal
from forecast.evaluation import arithmetic
from forecast.evaluation.group import KEYS, grouped
from forecast.evaluation.metrics import by, scores

DIVISORS = [{f"s{i}": start + i for i in range(3)} for start in (1.0, 2.0, 5.0)]
MEANS = ("mae", "mse", "bias", "smape", "mae_scaled", "mse_scaled", "mase", "crps", "pinball_10", "pinball_50")
MEANS = (*MEANS, "coverage_80", "width_80", "winkler_80")


def forecasts(seed: int, series: int = 3, cutoffs: int = 4, horizon: int = 30, freq: str = "h") -> pd.DataFrame:
    """Forecasts in Berlin over the end of summer time, each a day after the one before; every tenth y is missing."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(series):
        for end in pd.date_range("2024-10-25 23:00", periods=cutoffs, freq="D", tz="Europe/Berlin"):
            ds = pd.date_range(end, periods=horizon + 1, freq=freq)[1:]
            parts.append(pd.DataFrame({"unique_id": f"s{i}", "ds": ds, "cutoff": end, "step": range(1, horizon + 1)}))
    table = pd.concat(parts, ignore_index=True)
    y, noise = rng.normal(5, 3, len(table)), rng.normal(0, 2, len(table))
    table["y"] = np.where(rng.random(len(table)) < 0.1, np.nan, y)
    return table.assign(point=y + noise, **{f"q{k}": y + noise + 5 * (k - 0.5) for k in (0.1, 0.5, 0.9)})


def name_of(row: pd.Series, key: str):
    """The group of a row, one row at a time."""
    return {"hour": row["ds"].hour, "weekday": row["ds"].weekday()}[key] if key in ("hour", "weekday") else row[key]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_scores_of_a_group_are_those_of_its_rows_alone(key, shuffled):
    table = forecasts(1)
    table = table.sample(frac=1, random_state=1) if shuffled else table
    found = by(table.drop(columns="step"), key, *DIVISORS)
    names = pd.Series([name_of(row, key) for _, row in table.iterrows()], index=table.index)
    assert found.index.name == key and set(found.index) == set(names[table["y"].notna()])
    assert key == "unique_id" or found.index.is_monotonic_increasing
    for name in found.index:
        alone = scores(table[names == name], *DIVISORS)
        assert list(alone) == list(found.columns)
        np.testing.assert_allclose(found.loc[name], [*alone.values()], rtol=1e-10, err_msg=str(name))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), key=st.sampled_from(KEYS), at_once=st.integers(20, 400))
def test_groups_weighted_by_their_rows_make_the_whole(seed, key, at_once):
    table = forecasts(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arithmetic, "AT_ONCE", at_once)
        found, whole = by(table, key, *DIVISORS), scores(table, *DIVISORS)
    seen, (group, names) = table["y"].notna(), grouped(table, key)
    rows = pd.Series(names[group[seen]]).value_counts()[found.index]
    sizes = table["y"].abs()[seen].groupby(names[group[seen]]).sum()[found.index]
    for metric in MEANS:
        assert np.average(found[metric], weights=rows) == pytest.approx(whole[metric], rel=1e-9), metric
    for metric in ("rmse", "rmsse"):
        assert np.average(found[metric] ** 2, weights=rows) == pytest.approx(whole[metric] ** 2, rel=1e-9)
    for metric in ("nd", "wql"):
        assert np.average(found[metric], weights=sizes) == pytest.approx(whole[metric], rel=1e-9)


def test_steps_count_all_rows_of_a_forecast():
    """Also those without y, of forecasts of several lengths, in any order."""
    table = forecasts(2).sample(frac=1, random_state=2)
    table = table[(table["cutoff"] != table["cutoff"].max()) | (table["step"] <= 7)]
    group, names = grouped(table, "step")
    assert names[group].tolist() == table["step"].tolist()


def test_series_stay_in_the_order_of_the_table():
    table = forecasts(1).assign(unique_id=lambda x: x["unique_id"].map({"s0": "s10", "s1": "s9", "s2": "a"}))
    assert by(table, "unique_id").index.tolist() == ["s10", "s9", "a"]
    assert by(table.assign(unique_id=table["unique_id"].astype("category")), "unique_id").index.tolist() == list(
        dict.fromkeys(table["unique_id"])
    )


@pytest.mark.parametrize("key", KEYS)
def test_a_table_from_a_file_has_the_same_groups(key):
    """Times as text carry two offsets, summer's and winter's; the order of steps and the hour stay those of Berlin."""
    table = forecasts(3)
    read = pd.read_csv(StringIO(table.to_csv(index=False)))
    assert read["ds"].str[-6:].nunique() == 2
    expected, found = by(table, key, *DIVISORS), by(read, key, *DIVISORS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert list(map(str, found.index)) == list(map(str, expected.index))


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+0000"])
def test_times_as_text_may_be_written_in_several_ways(form):
    table = forecasts(1).assign(ds=lambda x: x["ds"].dt.tz_convert("UTC"))
    text = table.assign(ds=table["ds"].dt.strftime(form))
    for key in ("hour", "weekday", "step"):
        pd.testing.assert_frame_equal(by(text, key), by(table, key))


def test_numbers_may_count_steps_but_have_no_hour():
    table = forecasts(1).assign(ds=lambda x: 100 - x["step"])
    group, names = grouped(table, "step")
    assert names[group].tolist() == (31 - table["step"]).tolist()
    with pytest.raises(Refusal, match=r"'ds' .* is not a time .* is a number") as refusal:
        by(table, "hour")
    assert refusal.value.code == "bad-time"


def test_a_ds_that_is_no_time_is_refused():
    with pytest.raises(Refusal, match=r"'ds' .* is not a time .*tomorrow"):
        by(forecasts(1).assign(ds="tomorrow"), "weekday")


def test_another_key_is_refused_with_the_nearest_one():
    with pytest.raises(Refusal, match=r"'steps'; did you mean 'step'\?") as refusal:
        by(forecasts(1), "steps")
    assert refusal.value.code == "config"


def test_groups_without_an_observed_y_are_left_out():
    table = forecasts(1).assign(y=lambda x: x["y"].where(x["unique_id"] != "s1"))
    assert by(table, "unique_id").index.tolist() == ["s0", "s2"]
    assert not by(table, "unique_id").isna().any(axis=None)
    last = table["unique_id"] == "s2"
    one = table[~last | (table.index == table.index[last & table["y"].notna()][0])]
    assert by(one, "unique_id").index.tolist() == ["s0", "s2"]


def test_series_of_days_are_all_of_one_hour():
    table = forecasts(1, freq="D").assign(ds=lambda x: x["ds"].dt.normalize())
    assert by(table, "hour").index.tolist() == [0] and by(table, "weekday").index.tolist() == list(range(7))
