"""Tests of accuracy and the confidence set: against formulas by hand, other libraries, and what chance does."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from forecast.error import Refusal
from forecast.evaluation import significance as tests
from forecast.evaluation.confidence import confidence_set, eliminated, resampled
from forecast.evaluation.significance import (
    TESTS,
    diebold_mariano,
    giacomini_white,
    losses,
    significance,
    unconditional,
)

NINE = tuple(i / 10 for i in range(1, 10))


def table(deviation: float, seed: int, days: int = 60, steps: int = 4, series: int = 1, stride: int | None = None):
    """Daily forecasts whose errors have a deviation; y is the same in all."""
    stride, parts = stride or steps, []
    rng = np.random.default_rng(seed)
    for i in range(series):
        ds = pd.date_range("2024-01-01", periods=stride * (days - 1) + steps + 1, freq="h")
        at = (stride * np.arange(days)[:, None] + np.arange(1, steps + 1)).ravel()
        y = 10 * (i + 1) + np.sin(at)
        point = y + deviation * rng.standard_normal(len(at))
        cutoff = ds[stride * np.arange(days)].repeat(steps)
        part = pd.DataFrame({"unique_id": f"s{i}", "ds": ds[at], "cutoff": cutoff, "y": y, "point": point})
        parts.append(part.assign(**{f"q{x:g}": point + 3 * deviation * (x - 0.5) for x in NINE}))
    return pd.concat(parts, ignore_index=True)


def moving(rng: np.random.Generator, count: int, many: int, overlap: int) -> np.ndarray:
    """Differences [cutoff repetition] that are alike up to `overlap` - 1 cutoffs apart, as of overlapping forecasts."""
    noise = rng.standard_normal((count + overlap - 1, many))
    return sum(noise[k : k + count] for k in range(overlap))


def test_diebold_mariano_is_its_formula():
    """Term by term, in plain Python."""
    d = np.random.default_rng(3).normal(0.2, 1, 25).tolist()
    for h in (1, 2, 3):
        count, mean = len(d), math.fsum(d) / len(d)
        g = [math.fsum((d[t] - mean) * (d[t - k] - mean) for t in range(k, count)) / count for k in range(h)]
        plain = math.fsum([g[0], *(2 * x for x in g[1:])]) / count
        corrected = mean / math.sqrt(plain) * math.sqrt((count + 1 - 2 * h + h * (h - 1) / count) / count)
        statistic, p = diebold_mariano(np.array(d), h)
        assert statistic == pytest.approx(corrected, rel=1e-12)
        assert p == pytest.approx(1 - stats.t.cdf(corrected, count - 1), rel=1e-9)


def test_where_the_variance_is_not_positive_bartletts_weights_are_taken():
    d = 0.1 + np.resize([1.0, -1.0], 40)
    g = [np.mean((d - d.mean()) ** 2), ((d - d.mean())[1:] * (d - d.mean())[:-1]).sum() / 40]
    assert g[0] + 2 * g[1] < 0
    fitted = OLS(d, np.ones(40)).fit(cov_type="HAC", cov_kwds={"maxlags": 1, "use_correction": False})
    statistic, _ = diebold_mariano(d, 2)
    assert statistic / math.sqrt((41 - 4 + 2 / 40) / 40) == pytest.approx(fitted.tvalues[0], rel=1e-9)


@pytest.mark.parametrize("overlap", [1, 2, 5])
@pytest.mark.parametrize("conditional", [True, False])
def test_giacomini_white_is_the_regression_of_ones(overlap, conditional):
    """n R^2 of a regression without a constant of 1 on z; with overlap the quadratic form, summed in a loop."""
    d = np.random.default_rng(overlap).normal(0.1, 2, 80)
    z = np.stack([d[overlap:], d[overlap:] * d[:-overlap]], 1) if conditional else d[:, None]
    statistic, p = giacomini_white(d, overlap, conditional)
    if overlap == 1:
        expected = len(z) * OLS(np.ones(len(z)), z).fit().rsquared
    else:
        score = np.zeros((z.shape[1], z.shape[1]))
        for k in range(-overlap + 1, overlap):
            for t in range(len(z)):
                if 0 <= t - k < len(z):
                    score += np.outer(z[t], z[t - k]) / len(z)
        expected = len(z) * z.mean(0) @ np.linalg.solve(score, z.mean(0))
    assert statistic == pytest.approx(math.copysign(expected, d.mean()), rel=1e-9)
    assert p == pytest.approx(1 if d.mean() < 0 else stats.chi2.sf(expected, z.shape[1]), rel=1e-9)


@pytest.mark.parametrize("overlap", [1, 3])
@pytest.mark.parametrize("test", TESTS)
def test_of_equal_forecasts_few_are_called_better(test, overlap):
    """Size: where nothing differs but by chance, p < 0.05 in about 5 % of the cases (gw: in both directions)."""
    d = moving(np.random.default_rng(1), 600, 4000, overlap)
    p, other = TESTS[test](d, overlap)[1], TESTS[test](-d, overlap)[1]
    share = (p < 0.05).mean() if test == "dm" else ((p < 0.05) | (other < 0.05)).mean()
    assert 0.035 < share < 0.065 + 0.01 * (overlap > 1)


@pytest.mark.parametrize("test", TESTS)
def test_a_real_difference_is_found(test):
    d = np.random.default_rng(2).standard_normal((400, 1000)) + 0.2
    p, other = TESTS[test](d, 1)[1], TESTS[test](-d, 1)[1]
    assert (p < 0.05).mean() > 0.9 and (other > 0.9).mean() > 0.9


def test_only_the_conditional_test_sees_what_could_be_told_beforehand():
    """Who is better goes on from day to day, but nobody is on average."""
    rng = np.random.default_rng(4)
    d = rng.standard_normal((500, 300))
    for t in range(1, 500):
        d[t] += 0.5 * d[t - 1]
    d -= d.mean(0) - 1e-9
    assert (giacomini_white(d, 1)[1] < 0.05).mean() > 0.95 > (unconditional(d, 1)[1] < 0.05).mean() + 0.9


@pytest.mark.parametrize("test", TESTS)
def test_units_and_company_do_not_matter(test):
    d = np.random.default_rng(5).normal(0.1, 1, (50, 3, 4))
    statistic, p = TESTS[test](d, 2)
    for unit in (1e-9, 1e9):
        np.testing.assert_allclose(TESTS[test](d * unit, 2)[0], statistic, rtol=1e-9)
    np.testing.assert_allclose(TESTS[test](d[:, 1, 2], 2)[1], p[1, 2], rtol=1e-12)


@pytest.mark.parametrize("test", TESTS)
def test_forecasts_that_do_not_differ_have_no_small_p(test):
    with np.errstate(all="raise"):
        statistic, p = TESTS[test](np.zeros((20, 2)), 1)
    assert (statistic == 0).all() and (p >= 0.5).all()
    assert TESTS[test](np.full(20, 0.5), 1)[1] < 1e-3 and TESTS[test](np.full(20, -0.5), 1)[1] > 0.99


@pytest.mark.parametrize("loss", tests.LOSSES)
def test_losses_are_means_by_cutoff_in_order_of_time(loss):
    """Against a loop over rows; with several series, shuffled rows, and y that were not observed."""
    one = table(1.0, 1, days=12, series=2)
    one.loc[[3, 17, 50], "y"] = np.nan
    whole, steps = losses({"one": one.sample(frac=1, random_state=0), "two": one.assign(point=one["y"] + 1)}, loss)
    expected, by_step = {}, {}
    for row in one[one["y"].notna()].to_dict("records"):
        error = row["y"] - row["point"]
        each = [max(x * (row["y"] - row[f"q{x:g}"]), (x - 1) * (row["y"] - row[f"q{x:g}"])) for x in NINE]
        value = {"mae": abs(error), "mse": error**2, "pinball": sum(each) / 9}[loss]
        expected.setdefault(row["cutoff"], []).append(value)
        by_step.setdefault((row["ds"] - row["cutoff"]) // pd.Timedelta("1h"), []).append(value)
    assert whole.values.index.is_monotonic_increasing and list(whole.values) == ["one", "two"]
    np.testing.assert_allclose(whole.values["one"], [np.mean(expected[x]) for x in sorted(expected)], rtol=1e-12)
    assert list(steps) == [1, 2, 3, 4]
    counts = one[one["y"].notna()].groupby(["cutoff", (one["ds"] - one["cutoff"])]).size()
    for step, each in steps.items():
        weights = counts.xs(pd.Timedelta(hours=step), level=1).to_numpy()
        assert np.average(each.values["one"], weights=weights) == pytest.approx(np.mean(by_step[step]))


@pytest.mark.parametrize(("steps", "stride", "overlap"), [(4, 4, 1), (4, 1, 4), (6, 3, 2), (5, 4, 2), (1, 1, 1)])
def test_forecasts_overlap_until_they_are_judged(steps, stride, overlap):
    whole, each = losses({"a": table(1, 1, steps=steps, stride=stride, days=30)}, "mae")
    assert whole.overlap == overlap
    assert [part.overlap for part in each.values()] == [max(1, -(-step // stride)) for step in each]


def test_classes_are_tested_by_their_brier_score():
    made = table(1, 1)[["unique_id", "ds", "cutoff"]]
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, len(made)).astype(float)
    one = made.assign(y=y, point=y, p_up=0.1 + 0.8 * (y == 0), p_down=0.1 + 0.8 * (y == 1))
    two = made.assign(y=y, point=0.0, p_up=0.5, p_down=0.5)
    whole, _ = losses({"one": one, "two": two}, "mae")
    np.testing.assert_allclose(whole.values.to_numpy(), np.tile([0.02, 0.5], (60, 1)))
    found = significance({"one": one, "two": two}, loss="mae", test="dm")
    assert set(found["loss"]) == {"brier"}


@pytest.mark.parametrize("test", TESTS)
def test_a_small_p_says_that_the_column_is_better(test):
    found = significance({"good": table(1, 1), "bad": table(3, 2), "same": table(1, 3)}, loss="mae", test=test)
    assert list(found) == ["test", "loss", "step", "cutoffs", "row", "column", "statistic", "p"]
    wide = found[found["step"].isna()].pivot(index="row", columns="column", values="p")
    assert wide.loc["bad", "good"] < 1e-6 < 0.9 < wide.loc["good", "bad"] and wide.loc["same", "good"] > 0.01
    steps = found[found["step"].notna()]
    assert len(steps) == 4 * 6 and set(steps["step"]) == {1, 2, 3, 4}
    third, _ = TESTS[test](
        losses({"bad": table(3, 2), "good": table(1, 1)}, "mae")[1][3].values.to_numpy() @ [1.0, -1.0], 1
    )
    asked = steps[(steps["step"] == 3) & (steps["row"] == "bad") & (steps["column"] == "good")]
    assert asked["statistic"].item() == pytest.approx(float(third), rel=1e-12)


def test_a_step_keeps_its_number_if_others_are_not_shared():
    one = table(1, 1)
    ahead = one["ds"] - one["cutoff"]
    _, found = losses({"one": one, "two": one[ahead > pd.Timedelta("1h")]}, "mae")
    assert list(found) == [2, 3, 4]


def test_too_little_is_refused():
    short = {"a": table(1, 1, days=9), "b": table(1, 2, days=9)}
    with pytest.raises(Refusal, match="a test needs 10 cutoffs, the tables share 9"):
        significance(short, loss="mae", test="gw")
    overlapping = {"a": table(1, 1, days=20, steps=8, stride=1), "b": table(1, 2, days=20, steps=8, stride=1)}
    with pytest.raises(Refusal, match=r"needs 24 cutoffs \(3 times the 8 over which forecasts overlap\)"):
        significance(overlapping, loss="mae", test="dm")
    for words, wrong in {
        "two forecast tables": {"tables": {"a": table(1, 1)}},
        "loss=mape: expected one of mae": {"loss": "mape"},
        "test=t: expected one of dm": {"test": "t"},
        "share no quantile level": {
            "loss": "pinball",
            "tables": {"a": table(1, 1), "b": table(1, 2).drop(columns=[f"q{x:g}" for x in NINE])},
        },
    }.items():
        with pytest.raises(Refusal, match=words):
            significance(**{"tables": {"a": table(1, 1), "b": table(1, 2)}, "loss": "mae", "test": "dm"} | wrong)


@pytest.mark.parametrize(("statistic", "method"), [("range", "R"), ("max", "max")])
def test_the_confidence_set_is_that_of_arch(statistic, method):
    """p-values by the library of K. Sheppard, up to what another draw of blocks changes."""
    from arch.bootstrap import MCS

    rng = np.random.default_rng(0)
    values = rng.normal([0, 0.05, 0.1, 0.15, 0.2, 0.5], 1, (250, 6)) + rng.normal(size=(250, 1))
    order, p = eliminated(values, resampled(values, 6, 4000, 1), statistic)
    theirs = MCS(values, size=0.05, reps=4000, method=method, bootstrap="moving block", block_size=6, seed=2)
    theirs.compute()
    expected = theirs.pvalues["Pvalue"].reindex(order).to_numpy()
    np.testing.assert_allclose(p, expected, atol=0.03)
    assert p[0] < 0.01 < 0.05 < p[-2] < p[-1] == 1


def test_who_leaves_later_has_no_smaller_p():
    """Two differ little but surely; a third that is all noise leaves before, by a test that is not sure at all."""
    rng = np.random.default_rng(6)
    one = rng.normal(size=200)
    values = np.stack([one, one + 0.01 + 0.001 * rng.normal(size=200), 0.6 + 5 * rng.normal(size=200)], 1)
    order, p = eliminated(values, resampled(values, 1, 500, 1), "max")
    _, alone = eliminated(values[:, :2], resampled(values[:, :2], 1, 500, 1), "max")
    assert order == [2, 1, 0] and alone[0] == 0 < 0.01 < p[0] == p[1]


def test_blocks_are_those_of_a_loop():
    values = np.random.default_rng(1).normal(1e6, 1, (23, 3))
    starts = np.random.default_rng(7).integers(0, 23 - 5 + 1, (50, 5))
    slow = [np.concatenate([values[s : s + 5] for s in row])[:23].mean(0) for row in starts]
    np.testing.assert_allclose(resampled(values, 5, 50, 7), slow, rtol=1e-13)


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_the_best_stays_in_the_set(statistic):
    """It holds the best in 95 % of the cases at least, and a bad one hardly ever."""
    rng, inside = np.random.default_rng(3), []
    for seed in range(150):
        values = rng.normal([0, 0, 0, 0.6], 1, (150, 4))
        order, p = eliminated(values, resampled(values, 1, 200, seed), statistic)
        inside.append(p[np.argsort(order)] >= 0.05)
    kept = np.mean(inside, axis=0)
    assert (kept[:3] > 0.93).all() and np.all(inside, axis=0)[3] == np.False_ and kept[3] < 0.05


def test_the_confidence_set_of_tables():
    tables = {"good": table(1, 1), "bad": table(3, 2), "other": table(1.02, 3), "twin": table(1, 1)}
    found = confidence_set(tables, loss="mae", level=0.05, statistic="range", draws=500, seed=1)
    assert found["model"].iloc[0] == "bad" and list(found["inside"]) == [False, True, True, True]
    again = confidence_set(tables, loss="mae", level=0.05, statistic="range", draws=500, seed=1)
    pd.testing.assert_frame_equal(found, again, check_exact=True)
    with pytest.raises(Refusal, match="statistic=min: expected one of range, max"):
        confidence_set(tables, loss="mae", level=0.05, statistic="min", draws=500, seed=1)
