"""Calibration: coverage that is promised, offsets by hand, the strict order of time, and what must not matter."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.error import Refusal
from forecast.evaluation import conformal
from forecast.evaluation.conformal import Calibration, learnt

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
USUAL = {"around": "quantiles", "by": None, "pooled": True, "symmetric": True, "rate": None, "levels": LEVELS}
METHODS = {"split": {"around": "point"}, "cqr": {}, "online": {"rate": 0.05}}
NORMAL = dict(zip(LEVELS, (-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645), strict=True))


def table(y: np.ndarray, point: np.ndarray | float = 0.0, spread: np.ndarray | float = 1.0) -> pd.DataFrame:
    """Forecasts of y [series cutoff step], `spread` wide; cutoffs are a horizon apart, steps hours."""
    series, cutoffs, horizon = y.shape
    ends = pd.date_range("2024-01-31 23:00", periods=cutoffs, freq=f"{horizon}h")
    ahead = pd.to_timedelta(np.arange(1, horizon + 1), "h")
    point, spread = (np.broadcast_to(x, y.shape).ravel() for x in (point, spread))
    made = {
        "unique_id": np.repeat([f"s{i}" for i in range(series)], cutoffs * horizon),
        "ds": np.tile((ends.to_numpy()[:, None] + ahead.to_numpy()).ravel(), series),
        "cutoff": np.tile(np.repeat(ends, horizon), series),
        "y": y.ravel(),
        "point": point,
    }
    return pd.DataFrame(made | {f"q{level:g}": point + spread * z for level, z in NORMAL.items()})


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def without(made: pd.DataFrame) -> pd.DataFrame:
    return made[["unique_id", "ds", "cutoff", "y", "point"]]


def held(made: pd.DataFrame) -> dict[float, float]:
    """How often y was below each quantile."""
    return {level: (made["y"] <= made[f"q{level:g}"]).mean() for level in LEVELS}


def inside(made: pd.DataFrame, low: float) -> pd.Series:
    return (made[f"q{low:g}"] <= made["y"]) & (made["y"] <= made[f"q{1 - low:g}"])


@pytest.mark.parametrize("by", [None, "step", "hour"])
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_exchangeable_forecasts_are_covered_as_promised(method, pooled, by):
    """Quantiles are far too narrow, differently for each step; series differ in scale by a factor of a thousand."""
    unit, wide = np.array([1.0, 30.0, 1000.0])[:, None, None], np.linspace(1, 4, 6)
    y = unit * wide * drawn(1, 3, 600, 6)
    past, new = (table(unit * wide * drawn(seed, 3, 600, 6), spread=0.5 * unit) for seed in (2, 3))
    scale = {f"s{i}": float(unit[i, 0, 0]) for i in range(3)}
    settings = {**USUAL, **METHODS[method], "pooled": pooled, "by": by}
    found = learnt(past, scale, **settings).calibrated(new, scale)
    assert y.std() > 100 and inside(new, 0.1).mean() < 0.4
    for low in (0.05, 0.1, 0.25):
        assert inside(found, low).mean() == pytest.approx(1 - 2 * low, abs=0.015)
        for _, part in found.groupby("unique_id"):
            assert inside(part, low).mean() == pytest.approx(1 - 2 * low, abs=0.03)
        if by is not None and (by, pooled) != ("step", False):
            for _, part in found.groupby(found["ds"].dt.hour % 6):
                assert inside(part, low).mean() == pytest.approx(1 - 2 * low, abs=0.05)
    pd.testing.assert_series_equal(found["point"], new["point"])


def test_the_rank_guarantees_coverage_of_small_samples():
    """Of 9 scores the 90 % quantile is the largest; averaged over many samples 0.9 is covered, and not much more."""
    made = without(table(drawn(28, 3000, 10, 1)))
    new = made["cutoff"] == made["cutoff"].max()
    settings = {**USUAL, "levels": (0.05, 0.95), "around": "point", "pooled": False}
    found = learnt(made[~new], **settings)
    assert found.offsets[1:, 0].tolist() == made[~new]["y"].abs().groupby(made["unique_id"], sort=False).max().tolist()
    assert inside(found.calibrated(made[new]), 0.05).mean() == pytest.approx(0.9, abs=0.017)  # 3 standard errors


def by_hand(scores: list[float], coverage: float) -> float:
    return sorted(scores)[math.ceil(round((len(scores) + 1) * coverage, 9)) - 1]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("around", ["point", "quantiles"])
def test_offsets_equal_those_of_plain_python(around, symmetric):
    """By step, pooled, in units of each series' deviation; each level or pair on its own."""
    made, scale = table(3 * drawn(4, 2, 40, 3) + 1, point=0.3, spread=2.0), {"s0": 2.0, "s1": 5.0}
    found = learnt(made, scale, **{**USUAL, "by": "step", "around": around, "symmetric": symmetric})
    new = table(drawn(5, 2, 4, 3), point=7.0, spread=20.0)  # wide, so that nothing crosses
    after = found.calibrated(new, scale)
    for i, row in new.iterrows():
        step = i % 3
        known = [x for j, x in enumerate(made.to_dict("records")) if j % 3 == step]
        for level in LEVELS:
            own, other = ("point", "point") if around == "point" else (f"q{level:g}", f"q{1 - level:g}")
            sign = 1 if level >= 0.5 else -1
            scores = [sign * (x["y"] - x[own]) / scale[x["unique_id"]] for x in known]
            coverage = max(level, 1 - level)
            if symmetric:
                others = [sign * (x[other] - x["y"]) / scale[x["unique_id"]] for x in known]
                scores, coverage = [*map(max, zip(scores, others, strict=True))], abs(2 * level - 1)
            offset = 0 if symmetric and level == 0.5 else sign * by_hand(scores, coverage) * scale[row["unique_id"]]
            if around == "quantiles" or (level - 0.5) * offset >= 0:  # else it is stopped by the median
                assert after[f"q{level:g}"][i] == pytest.approx(row[own] + offset, rel=1e-12)
    assert (after["point"] == (new["point"] if symmetric else after["q0.5"])).all()


def test_each_level_by_itself_corrects_a_bias_and_the_median_follows():
    past, new = (table(drawn(seed, 2, 3000, 2) + 3) for seed in (6, 7))
    for around in ("point", "quantiles"):
        found = learnt(past, **{**USUAL, "around": around, "symmetric": False}).calibrated(new)
        assert held(found) == pytest.approx({level: level for level in LEVELS}, abs=0.025)
        assert (found["point"] == found["q0.5"]).all()
        assert (found["y"] - found["point"]).abs().mean() < 0.4 * (new["y"] - new["point"]).abs().mean()


finite = st.floats(-1e6, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.tuples(finite, finite, finite), min_size=20, max_size=40),
    around=st.sampled_from(["point", "quantiles"]),
    symmetric=st.booleans(),
    rate=st.sampled_from([None, 0.3]),
    by=st.sampled_from([None, "step", "hour"]),
)
def test_quantiles_never_cross_and_stay_within_bounds(values, around, symmetric, rate, by):
    y, point, spread = np.array(values)[:, :, None].transpose(1, 0, 2)[:, None]
    made = table(y, point, np.abs(spread))
    given = {**USUAL, "around": around, "symmetric": symmetric, "rate": rate, "by": by, "levels": LEVELS[1:-1]}
    kept = made.drop(columns=["q0.05", "q0.95"])
    found = learnt(kept, **given).calibrated(kept, low=-5e5, high=4e5)
    quantiles = found.filter(regex="^q").to_numpy()
    assert quantiles.shape[1] == 5
    assert (np.diff(quantiles) >= 0).all() and quantiles.min() >= -5e5 and quantiles.max() <= 4e5
    if symmetric:
        assert (found["point"] == kept["point"].clip(-5e5, 4e5)).all()


@pytest.mark.parametrize("method", METHODS)
def test_unit_and_level_of_the_data_do_not_matter(method):
    given = {**USUAL, **METHODS[method], "by": "step"}
    y, new = drawn(8, 2, 60, 4), drawn(9, 2, 60, 4)
    base = learnt(table(y, 0.2, 0.7), {"s0": 1.0, "s1": 3.0}, **given).calibrated(
        table(new, 0.2, 0.7), {"s0": 1.0, "s1": 3.0}
    )
    scale, (a, b) = {"s0": 8.0, "s1": 24.0}, (8.0, 100.0)
    other = learnt(table(a * y + b, a * 0.2 + b, a * 0.7), scale, **given)
    found = other.calibrated(table(a * new + b, a * 0.2 + b, a * 0.7), scale)
    names = [f"q{level:g}" for level in LEVELS]
    np.testing.assert_allclose((found[names] - b) / a, base[names], rtol=0, atol=1e-12)


def shuffled(made: pd.DataFrame) -> pd.DataFrame:
    return made.sample(frac=1, random_state=0)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_rows_does_not_matter(method):
    given = {**USUAL, **METHODS[method], "by": "step"}
    past, new = table(drawn(8, 2, 60, 4)), table(drawn(9, 2, 60, 4))
    found = learnt(past, **given).calibrated(new)
    other = learnt(shuffled(past), **given).calibrated(shuffled(new)).sort_index()
    np.testing.assert_allclose(other[[*found.columns[4:]]], found[[*found.columns[4:]]], rtol=1e-12)


def drifting(cutoffs: int) -> np.ndarray:
    """A spread that triples over the test part."""
    return np.linspace(1, 3, cutoffs)[:, None] * drawn(11, 1, cutoffs, 4)


@pytest.mark.parametrize("by", [None, "step"])
def test_online_stays_near_its_coverage_under_drift(by):
    """Fixed offsets lose it: the spread grows by a factor of 3, and falls back at once."""
    past = table(drawn(10, 1, 200, 4))
    new = table(np.concatenate([drifting(800), drawn(12, 1, 400, 4)], 1))
    fixed, online = (learnt(past, **{**USUAL, "by": by, "rate": rate}).calibrated(new) for rate in (None, 0.1))
    late = new["cutoff"] > new["cutoff"].iloc[4 * 600]
    grown = late & (new["cutoff"] <= new["cutoff"].iloc[4 * 800 - 1])
    for low in (0.05, 0.1, 0.25):
        wanted = 1 - 2 * low
        assert abs(inside(online, low).mean() - wanted) < 0.03
        assert abs(inside(online[grown], low).mean() - wanted) < 0.06
        assert inside(fixed[grown], low).mean() < wanted - 0.15


def test_online_is_not_wider_for_errors_that_are_seldom_large():
    """A miss moves by the unit that was known before it; its own would make large misses count for more than hits."""
    past, new = (table(drawn(seed, 1, 4000, 1) ** 3) for seed in (20, 21))
    after = learnt(past, **{**USUAL, "rate": 0.1}).calibrated(new)
    assert abs(inside(after, 0.1).mean() - 0.8) < 0.005


def test_online_by_hand():
    """One pair: a miss moves its offset out by rate x unit x c, a hit moves it in by rate x unit x (1 - c)."""
    made, rate = without(table(drawn(13, 1, 30, 1))), 0.2
    found = learnt(made, **{**USUAL, "around": "point", "levels": (0.1, 0.9), "rate": rate})
    new = without(table(drawn(14, 1, 12, 1)))
    after = found.calibrated(new)
    offset, unit = by_hand(made["y"].abs().tolist(), 0.8), made["y"].abs().mean()
    for y, upper in zip(new["y"], after["q0.9"], strict=True):
        assert upper == pytest.approx(offset, rel=1e-12)
        offset += rate * unit * (float(abs(y) > offset) - 0.2)
        unit += rate * (abs(y) - unit)


def overlapping(y: np.ndarray, horizon: int) -> pd.DataFrame:
    """Forecasts of the series y from each of its steps on."""
    begin = np.arange(1, len(y) - horizon + 1)
    ds = pd.date_range("2024-01-01", periods=len(y), freq="h")
    rows = (begin[:, None] + np.arange(horizon)).ravel()
    made = {"unique_id": "s0", "ds": ds[rows], "cutoff": ds[np.repeat(begin - 1, horizon)], "y": y[rows], "point": 0.0}
    return pd.DataFrame(made)


CHANGES = {"other": lambda y: y + 100, "missing": lambda y: y * np.nan, "more": lambda y: y * 7}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", [None, "step", "hour"])
def test_nothing_after_a_cutoff_moves_its_forecast_online(by, change):
    """Horizons overlap: at each cutoff most of the last forecasts have come true in part only."""
    past = overlapping(drawn(15, 300), 6)
    found = learnt(past, **{**USUAL, "around": "point", "rate": 0.2, "by": by})
    y = drawn(16, 200)
    before = found.calibrated(overlapping(y, 6))
    numbers = [name for name in before.columns if name.startswith("q")]
    for cutoff in before["cutoff"].unique()[[3, 50, 120]]:
        other = overlapping(y, 6)
        late = other["ds"] > cutoff
        after = found.calibrated(other.assign(y=other["y"].where(~late, CHANGES[change](other["y"]))))
        upto = before["cutoff"] <= cutoff
        pd.testing.assert_frame_equal(before.loc[upto, numbers], after.loc[upto, numbers], check_exact=True)
        assert not np.array_equal(before[numbers], after[numbers])
        newest = other["ds"] == cutoff  # what was known last does count, at once
        third = found.calibrated(other.assign(y=other["y"].where(~newest, 50.0)))
        now = before["cutoff"] >= cutoff if by == "hour" else before["cutoff"] == cutoff  # its hour is a day ahead
        assert not np.array_equal(before.loc[now, numbers], third.loc[now, numbers])


def test_overlapping_horizons_do_not_swing():
    """Nothing drifts: over a horizon of 96 steps the offsets of the innermost levels stay where they are."""
    found = learnt(overlapping(drawn(17, 2000), 96), **{**USUAL, "around": "point", "rate": 0.05, "by": "step"})
    after = found.calibrated(overlapping(drawn(18, 1500), 96))
    assert after["q0.75"].std() < 0.1 and after["q0.95"].std() < 0.2


def test_small_groups_take_the_rows_of_all(caplog):
    past = table(drawn(19, 1, 12, 3))
    assert not [name for name in past.columns if name == "q0.99"]
    few = past[(past["ds"].dt.hour % 3 != 1) | (past["cutoff"] < past["cutoff"].iloc[12])]
    with caplog.at_level("WARNING"):
        found = learnt(few, **{**USUAL, "by": "hour", "levels": LEVELS})
    assert "too few rows" in caplog.text and "hour" in caplog.text
    whole = learnt(few, **USUAL).offsets[0]
    np.testing.assert_array_equal(found.offsets[0], whole)
    unseen = table(drawn(20, 1, 1, 1)).assign(unique_id="new")
    each = learnt(past, **{**USUAL, "pooled": False}).calibrated(unseen)
    pd.testing.assert_frame_equal(each, learnt(past, **USUAL).calibrated(unseen))


def test_missing_values_teach_nothing():
    past = table(drawn(21, 1, 50, 3))
    holes = past.assign(y=past["y"].where(past.index % 5 > 0))
    kept = past[past.index % 5 > 0]
    assert learnt(holes, **USUAL).plain() == learnt(kept, **USUAL).plain()
    new = table(drawn(22, 1, 50, 3))
    found = learnt(past, **{**USUAL, "rate": 0.1}).calibrated(new.assign(y=np.nan))
    pd.testing.assert_frame_equal(found.drop(columns="y"), learnt(past, **USUAL).calibrated(new).drop(columns="y"))


@pytest.mark.parametrize(
    "given", [{}, {"rate": 0.1, "by": "hour"}, {"by": "step", "pooled": False, "symmetric": False}]
)
def test_plain_types_keep_every_bit(given):
    found = learnt(table(drawn(23, 2, 70, 3) / 3), **{**USUAL, **given})
    again = Calibration.of(json.loads(json.dumps(found.plain(), allow_nan=False)))
    new = table(drawn(24, 2, 20, 3))
    pd.testing.assert_frame_equal(found.calibrated(new), again.calibrated(new), check_exact=True)


def test_days_of_23_and_25_hours_are_calibrated_by_their_local_hour():
    """Noise is wide at 18:00 local time, summer and winter."""
    ds = pd.date_range("2024-01-01", periods=366 * 24, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    y = drawn(25, len(ds)) * np.where(ds.hour == 18, 10.0, 1.0)
    made = pd.DataFrame({"unique_id": "s0", "ds": ds, "cutoff": ds - pd.Timedelta("1h"), "y": y, "point": 0.0})
    found = learnt(made, **{**USUAL, "around": "point", "by": "hour"}).calibrated(made)
    width = (found["q0.9"] - found["q0.1"]).groupby(ds.hour).agg(["min", "max"])
    assert (width["min"] == width["max"]).all() and width["min"][18] > 5 * width["min"].drop(18).max()


REFUSED = {
    "observed rows are too few": (table(drawn(26, 1, 6, 1)), USUAL),
    "no quantiles at": (without(table(drawn(26, 1, 60, 1))), USUAL),
    "a time of day": (table(drawn(26, 1, 60, 1)).assign(ds=range(60)), {**USUAL, "by": "hour"}),
    "nothing to score": (table(drawn(26, 1, 60, 1)).assign(y=np.nan), USUAL),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refusals(words):
    made, given = REFUSED[words]
    with pytest.raises(Refusal, match=words):
        learnt(made, **given)


def test_a_series_without_a_deviation_is_refused():
    made = table(drawn(27, 2, 60, 1))
    with pytest.raises(Refusal, match="'s1'"):
        learnt(made, {"s0": 1.0}, **USUAL)


def test_a_pair_that_binary_numbers_miss_has_its_rank():
    """0.65 - 0.35 is above 0.3 in binary; of 9 scores its rank is 3."""
    _, _, coverage = conformal.plan((0.35, 0.65), True)
    assert coverage[0] > 0.3 and math.ceil(10 * coverage[0]) == 4
    assert conformal.ranked(np.arange(9.0)[:, None], np.zeros(9, int), 1, coverage)[0, 0] == 2


def test_a_level_without_a_partner_is_calibrated_alone():
    sign, place, coverage = conformal.plan((0.1, 0.5, 0.9, 0.95), True)
    assert sign.tolist() == [-1, 0, 1, 1] and place[0] == place[2] != place[3]
    assert coverage[place].tolist() == pytest.approx([0.8, 0, 0.8, 0.95])
