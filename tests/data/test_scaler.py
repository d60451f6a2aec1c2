"""What is learnt from train rows: exact at any level and unit, blind to everything after them, kept as JSON."""

import json
import logging
from dataclasses import fields, replace
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import RobustScaler, StandardScaler

from forecast.config import CONF
from forecast.data.grid import Grid, grid
from forecast.data.scaler import SCALERS, Statistics, column, fit, learn, naive_error
from forecast.data.table import table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
ROLES = DATA | {"id": "unique_id", "target": ["load", "price"], "joint": True, "past": ["p"], "future": ["f"]}
ROLES |= {"static": ["size", "kind"], "freq": "h"}
SPANS = [(0, 60), (7, 45), (20, 30), (58, 10)]  # (first row, rows); the last one begins after the train rows
TRAIN = 40  # rows of the first series that are train rows
AHEAD = 4
KINDS = list(SCALERS)


@cache
def made() -> Grid:
    rng, blocks = np.random.default_rng(0), []
    for i, (first, rows) in enumerate(SPANS):
        ds = pd.date_range("2024-01-01", periods=first + rows, freq="h")[first:]
        values = 100 * i + (1 + i) * rng.uniform(-0.9, 4, size=(rows, 4))  # log1p takes them all
        block = pd.DataFrame(values, columns=["load", "price", "p", "f"]).mask(rng.random(values.shape) < 0.15)
        blocks.append(block.assign(ds=ds, unique_id=f"s{i}", size=float(i * i), kind="ab"[i % 2]))
    return grid(table(pd.concat(blocks), ROLES, "test"), AHEAD)


def until(laid: Grid) -> int:
    return int(laid.first.min()) + TRAIN


def learnt(laid: Grid, kind: str = "standard", season: int | None = 6) -> Statistics:
    return learn(laid, until(laid), DATA | {"scaler": kind, "season": season})


def train_rows(laid: Grid) -> list[np.ndarray]:
    """The target's train rows of each series, by their place in SPANS."""
    return [
        laid.y[offset : offset + max(0, min(rows, TRAIN - first))]
        for offset, (first, rows) in zip(laid.offsets, SPANS, strict=False)
    ]


def check_statistics(laid: Grid, found: Statistics) -> None:
    """Slot 0 has all train rows, slot i + 1 those of series i; a series without any takes slot 0."""
    parts = train_rows(laid)
    for slot, rows in enumerate([np.concatenate(parts), *parts]):
        rows = rows if len(rows) else np.concatenate(parts)
        middle, spread = {
            "standard": lambda x: (np.nanmean(x, 0), np.nanstd(x, 0)),
            "robust": lambda x: (np.nanmedian(x, 0), np.subtract(*np.nanpercentile(x, [75, 25], axis=0))),
            "minmax": lambda x: (np.nanmin(x, 0), np.nanmax(x, 0) - np.nanmin(x, 0)),
            "asinh": lambda x: (np.nanmedian(x, 0), 1.4826 * np.nanmedian(np.abs(x - np.nanmedian(x, 0)), 0)),
            "log1p": lambda x: (np.nanmean(np.log1p(x), 0), np.nanstd(np.log1p(x), 0)),
            "capacity": lambda x: (np.zeros(2), np.nanmax(np.abs(x), 0)),
            "none": lambda x: (np.zeros(2), np.ones(2)),
        }[found.kind](rows)
        np.testing.assert_allclose(found.loc[slot], middle, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(found.scale[slot], spread, rtol=1e-11)
        np.testing.assert_allclose(found.deviation[slot], np.nanstd(rows, 0), rtol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_those_of_the_train_rows_by_series_and_pooled(kind):
    laid = made()
    found = learnt(laid, kind)
    check_statistics(laid, found)
    assert found.names == ("s0", "s1", "s2", "s3") and found.loc.shape == found.scale.shape == (5, 2)
    assert found.scaling.kind == kind and found.scaling.loc.dtype == found.scaling.scale.dtype == torch.float64


@pytest.mark.parametrize("fault", ["one row more", "one row less", "all rows", "slots shifted"])
def test_the_check_of_statistics_catches(fault):
    laid = made()
    border = {"one row more": 1, "one row less": -1, "all rows": 1000, "slots shifted": 0}[fault]
    wrong = learn(laid, until(laid) + border, DATA)
    if fault == "slots shifted":
        wrong = replace(wrong, loc=np.roll(wrong.loc, 1, 0))
    with pytest.raises(AssertionError):
        check_statistics(laid, wrong)


def same(one: Statistics, other: Statistics) -> bool:
    """Equal to the last bit (NaN equals NaN)."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Statistics)]
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        if isinstance(a, np.ndarray)
        else a == b and type(a) is type(b)
        for a, b in pairs
    )


def later(laid: Grid) -> np.ndarray:
    return laid.ordinals >= until(laid)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(value=st.floats(-1e300, 1e300) | st.just(np.nan), seed=st.integers(0, 99))
def test_nothing_after_the_train_rows_is_looked_at(kind, value, seed):
    laid = made()
    noise = np.random.default_rng(seed).normal(size=(len(laid.y), 1))
    changed = {name: np.where(later(laid)[:, None], value * noise, getattr(laid, name)) for name in ROWS}
    assert same(learnt(laid, kind), learnt(replace(laid, **changed), kind))


ROWS = ("y", "past", "future")


@pytest.mark.parametrize("name", ROWS)
def test_the_newest_train_row_is_looked_at(name):
    laid = made()
    values = getattr(laid, name).copy()
    values[TRAIN - 1] += 1000.0  # of the first series
    values[TRAIN - 1] = np.nan_to_num(values[TRAIN - 1], nan=1000.0)
    assert not same(learnt(laid), learnt(replace(laid, **{name: values})))


def test_a_changed_file_after_the_train_rows_teaches_the_same():
    """The same from the outside: through table and grid, with the test rows emptied."""
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=80, freq="h"), "y": np.arange(80.0) ** 1.5})
    emptied, cut = frame.assign(y=frame["y"].where(frame.index < 50)), frame[:50]
    grids = [grid(table(x, DATA, "test"), AHEAD) for x in (frame, emptied, cut)]
    found = [learn(laid, int(laid.first[0]) + 50, DATA) for laid in grids]
    assert same(found[0], found[1]) and same(found[0], found[2])


# --- one column ---

LEVELS = st.sampled_from([0.0, 1.0, -3e4, 1e9, -1e9, 3e12])
UNITS = st.sampled_from([1e-200, 1e-12, 1e-6, 1.0, 1e5, 1e12, 1e200])
COLUMNS = arrays("float64", st.integers(3, 40), elements=st.integers(-1000, 1000).map(float))


def exact(values: np.ndarray) -> tuple[Fraction, Fraction]:
    """Mean and variance in exact arithmetic."""
    numbers = [Fraction(x) for x in values.tolist()]
    mean = sum(numbers) / len(numbers)
    return mean, sum((x - mean) ** 2 for x in numbers) / len(numbers)


@settings(max_examples=80, deadline=None)
@given(values=COLUMNS, level=LEVELS, unit=UNITS)
def test_mean_and_deviation_are_right_to_the_last_digits_at_any_level_and_unit(values, level, unit):
    """Against exact fractions; where the deviation is below 1e-12 of the level it is rounding, and taken as 1."""
    values = (level + values) * unit
    mean, variance = exact(values)
    loc, scale = fit(values[:, None], "standard")
    assert abs(Fraction(loc[0]) - mean) <= Fraction(4e-16) * Fraction(float(np.abs(values).max()))
    deviation = float(variance / Fraction(unit) ** 2) ** 0.5 * unit
    constant = 1e-12 * np.abs(values).max()
    if deviation > 1.01 * constant:
        assert scale[0] == pytest.approx(deviation, rel=1e-9)
    elif deviation < 0.99 * constant:
        assert scale[0] == 1.0


@pytest.mark.parametrize("kind", ["standard", "robust"])
@settings(max_examples=40, deadline=None)
@given(values=COLUMNS, shift=st.integers(-(2**32), 2**32), power=st.integers(-40, 40))
def test_loc_and_scale_follow_shift_and_unit(kind, values, shift, power):
    """Whole numbers and powers of two, so that the shifted input is the input without rounding."""
    loc, scale = fit(values[:, None], kind)
    moved_loc, moved_scale = fit((values[:, None] + shift) * 2.0**power, kind)
    assert moved_loc[0] == pytest.approx((loc[0] + shift) * 2.0**power, rel=1e-13, abs=1e-9 * 2.0**power)
    if scale[0] == 1.0:  # constant, or 1 by itself
        assert moved_scale[0] == 1.0 or moved_scale[0] == pytest.approx(2.0**power, rel=1e-11)
    else:
        assert moved_scale[0] == pytest.approx(scale[0] * 2.0**power, rel=1e-11)


@pytest.mark.parametrize(("kind", "scaler"), [("standard", StandardScaler), ("robust", RobustScaler)])
def test_a_column_is_scaled_as_scikit_learn_does(kind, scaler):
    values = np.random.default_rng(1).normal(30, 7, (200, 3))
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    loc, scale = fit(values, kind)
    np.testing.assert_allclose((values - loc) / scale, scaler().fit_transform(values), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["standard", "robust"])
@pytest.mark.parametrize(
    "values",
    [[5.0], [0.0], [7.0] * 9, [0.0] * 5, [-1e9] * 4, [1e300] * 3, [5e-324] * 3, [np.nan, 3.0, np.nan], [0.1] * 7],
)
def test_a_constant_column_has_its_value_as_loc_and_scale_one(kind, values):
    loc, scale = fit(np.array(values)[:, None], kind)
    assert loc[0] == np.nanmax(values) and scale[0] == 1.0


def test_rounding_noise_around_a_level_is_constant_and_a_small_movement_is_not():
    noise = 1e9 + np.array([0, 1, 0, 1, 1]) * np.spacing(1e9)
    assert fit(noise[:, None], "standard")[1][0] == 1.0
    small = 1e9 + np.array([0, 1, 0, 1, 1]) * 0.1  # what StandardScaler alone calls constant
    assert fit(small[:, None], "standard")[1][0] == pytest.approx(np.std([0, 0.1, 0, 0.1, 0.1]), rel=1e-6)


def test_a_column_that_is_mostly_flat_has_a_positive_robust_scale():
    loc, scale = fit(np.array([[4.0], [4.0], [4.0], [4.0], [4.0], [9.0]]), "robust")
    assert loc[0] == 4.0 and scale[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_without_values_takes_the_pooled_numbers_and_none_at_all_take_zero_and_one(kind):
    laid = made()
    without = np.where((np.arange(len(laid.y)) < laid.offsets[1])[:, None], np.nan, laid.y)  # series 0
    without[:, 1] = np.nan  # channel 1 everywhere
    found = learnt(replace(laid, y=without), kind)
    assert (found.loc[1, 0], found.scale[1, 0]) == (found.loc[0, 0], found.scale[0, 0])
    assert (found.loc[:, 1] == 0).all() and (found.scale[:, 1] == 1).all() and (found.deviation[:, 1] == 1).all()
    assert column(np.full(5, np.nan)) == (0.0, 1.0)


def test_series_not_seen_in_training_have_slot_zero():
    found = learnt(made())
    assert found.slots(["s0", "s3", "s4", ""]).tolist() == [1, 4, 0, 0]


def test_an_unknown_scaler_is_refused_with_the_known_ones():
    with pytest.raises(Refusal, match=r"data.scaler=maxmin: expected one of standard, robust, minmax") as refusal:
        learnt(made(), "maxmin")
    assert refusal.value.code == "config"


def test_pooled_statistics_are_those_of_all_series_for_each():
    found, pooled = learnt(made()), learn(made(), until(made()), DATA | {"season": 6, "pooled": True})
    for name in ("loc", "scale"):
        np.testing.assert_array_equal(getattr(pooled, name), np.repeat(getattr(found, name)[:1], 5, 0))
    np.testing.assert_array_equal(pooled.deviation, found.deviation)


def test_a_capacity_is_a_number_above_zero_of_each_series():
    def capacity(name: str, sizes: list[float]) -> np.ndarray:
        laid = replace(made(), static=made().static.assign(size=sizes))
        return learn(laid, until(laid), DATA | {"scaler": "capacity", "capacity": name}).scale

    largest = learnt(made(), "capacity").scale[0]
    np.testing.assert_array_equal(capacity("size", [2.0, 1.0, 0.5, 9.0]), [largest, *([x, x] for x in (2, 1, 0.5, 9))])
    for none in (0.0, -1.0, np.nan):
        with pytest.raises(Refusal, match="of series 's2' is not above 0") as refusal:
            capacity("size", [2.0, 1.0, none, 9.0])
        assert refusal.value.code == "static"
    for name in ("kind", "sise"):
        with pytest.raises(Refusal, match=f"data.capacity={name}: expected a column of numbers") as refusal:
            capacity(name, [1.0, 1.0, 1.0, 1.0])
        assert refusal.value.code == "config"
    for values, scale in (([0.0, 0.0], 1.0), ([0.25, -0.5], 0.5), ([np.nan, 3.0], 3.0)):
        assert [x.tolist() for x in fit(np.array(values)[:, None], "capacity")] == [[0.0], [scale]]


# --- covariates and the divisors of scores ---


def test_covariates_are_scaled_by_their_train_rows_and_static_numbers_by_all_series():
    laid = made()
    found = learnt(laid)
    rows = ~later(laid) & (np.concatenate([np.arange(rows + AHEAD) < rows for _, rows in SPANS]))
    for name, values in (("p", laid.past[rows]), ("f", laid.future[rows]), ("size", np.array([0.0, 1.0, 4.0, 9.0]))):
        np.testing.assert_allclose(found.columns[name], (np.nanmean(values), np.nanstd(values)), rtol=1e-11)
    assert found.categories == {"kind": ("a", "b")}
    scaled = found.scaled(np.stack((laid.past[rows, 0], laid.future[rows, 0]), 1), ["p", "f"])
    np.testing.assert_allclose(np.nanmean(scaled, 0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(scaled, 0), 1, rtol=1e-12)
    assert found.scaled(np.empty((3, 0)), []).shape == (3, 0)


def test_vintages_teach_that_are_of_train_rows_and_were_issued_by_their_end():
    laid, end = made(), until(made())
    rows, issued = np.array([3, 5, 7, 9, TRAIN]), np.array([end - 9, end - 1, end, end + 1, end - 9])
    values = np.array([[1.0], [3.0], [8.0], [1e6], [1e9]])
    vintages = replace(laid, vintages=values, vintage_rows=rows, vintage_issued=issued)
    np.testing.assert_allclose(learnt(vintages).columns["f"], (4.0, np.std([1, 3, 8])), rtol=1e-12)


def test_the_naive_error_is_the_mean_seasonal_difference_of_the_train_rows():
    laid = made()
    found = learnt(laid, season=6)
    for slot, rows in enumerate(train_rows(laid), 1):
        for channel in range(2):
            y = rows[:, channel]
            errors = [abs(y[t] - y[t - 6]) for t in range(6, len(y)) if not np.isnan(y[t] - y[t - 6])]
            for power, learnt_ones in ((1, found.naive_error), (2, found.naive_square)):
                expected = np.mean(np.power(errors, power)) if errors else np.nan
                assert learnt_ones[slot, channel] == pytest.approx(expected, rel=1e-12, nan_ok=True)
                assert np.isnan(learnt_ones[[0, 4]]).all()


def test_the_naive_error_of_a_series_no_longer_than_a_season_is_unknown():
    y = np.array([0, 1, 2, 3, 4, 5, 0, 2, 4, 6, 8, 10, 12, np.nan, 1, 1, 1, 1, 1])[:, None]
    starts, ends = np.array([0, 6, 13, 14]), np.array([6, 13, 13, 19])
    np.testing.assert_equal(naive_error(y, starts, ends, 6), [[np.nan], [12.0], [np.nan], [np.nan]])
    np.testing.assert_equal(naive_error(y, starts, ends, 2), [[2.0], [4.0], [np.nan], [0.0]])
    np.testing.assert_equal(naive_error(y, starts, ends, 30), np.full((4, 1), np.nan))
    holes = np.array([1.0, np.nan, np.nan, 2.0])[:, None]  # no two values are a season apart
    np.testing.assert_equal(naive_error(holes, np.array([0]), np.array([4]), 1), [[np.nan]])


def test_the_season_is_the_given_one_or_that_of_the_frequency():
    assert learnt(made(), season=168).season == 168
    assert learnt(made(), season=None).season == 24


@pytest.mark.parametrize(("rows", "season"), [(24, 1), (25, 24)])
def test_where_train_is_no_longer_than_the_usual_season_it_is_one_step_and_logged(rows, season, caplog):
    laid = made()
    with caplog.at_level(logging.INFO, "forecast"):
        found = learn(laid, int(laid.first.min()) + rows, DATA)
    assert found.season == season and ("test: train is shorter than a season" in caplog.text) == (season == 1)


# --- kept as JSON ---

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(
    numbers=arrays("float64", (3, 2), elements=NUMBERS),
    errors=arrays("float64", (3, 2), elements=NUMBERS | st.just(np.nan)),
    pair=st.tuples(NUMBERS, NUMBERS),
    words=st.lists(st.text('aé"/\n\0', max_size=4), max_size=3),
)
def test_statistics_survive_json_to_the_last_bit(numbers, errors, pair, words):
    before = Statistics(
        kind="robust",
        names=("007", "NA"),
        loc=numbers,
        scale=numbers * 0.5,
        deviation=-numbers,
        naive_error=np.where(np.isnan(errors), np.nan, errors),
        naive_square=np.where(np.isnan(errors), np.nan, errors / 3),
        columns={"p": pair},
        categories={"kind": tuple(words)},
        calendar=("hour",),
        season=24,
        fill="last",
        masks=True,
        holidays="DE",
        latitude=None,
    )
    assert same(before, Statistics.of(json.loads(json.dumps(before.plain(), allow_nan=False))))


@pytest.mark.parametrize("kind", KINDS)
def test_learnt_statistics_survive_json_to_the_last_bit(kind):
    before = learnt(made(), kind)
    text = json.dumps(before.plain(), allow_nan=False)
    after = Statistics.of(json.loads(text))
    assert same(before, after) and json.dumps(after.plain(), allow_nan=False) == text


def test_the_scaling_is_undone_exactly_enough():
    laid = made()
    scaling = learnt(laid).scaling
    y = torch.from_numpy(np.nan_to_num(laid.y[:30])).reshape(3, 10, 2)
    series = torch.tensor([0, 1, 4])
    torch.testing.assert_close(scaling.invert(scaling.apply(y, series), series), y, rtol=1e-14, atol=1e-12)
    quantiles = torch.stack((scaling.apply(y, series), scaling.apply(y + 1, series)), -1)
    torch.testing.assert_close(scaling.invert(quantiles, series)[..., 1], y + 1, rtol=1e-14, atol=1e-12)
