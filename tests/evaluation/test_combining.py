"""Ensembles of tables: what is averaged, that quantiles never cross, and that learnt weights are the best ones."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from forecast.error import Refusal
from forecast.evaluation.ensemble import WAYS, ensemble, learnt
from forecast.evaluation.metrics import scores
from forecast.evaluation.table import levels_of

NINE = tuple(i / 10 for i in range(1, 10))


def table(deviation: float, seed: int, rows: int = 48, bias: float = 0.0, levels: tuple[float, ...] = NINE):
    """Forecasts of the same values with their own noise."""
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2024-01-01", periods=rows, freq="h", tz="Europe/Berlin")
    y = 50 + 10 * np.sin(np.arange(rows) / 5)
    point = y + bias + deviation * rng.standard_normal(rows)
    made = pd.DataFrame({"unique_id": "a", "ds": ds, "cutoff": ds[0] - pd.Timedelta("1h"), "y": y, "point": point})
    return made.assign(**{f"q{x:g}": point + 3 * deviation * (x - 0.5) for x in levels})


def weighed(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return ensemble(tables, "weighted", learnt(tables))


@pytest.mark.parametrize("how", WAYS)
def test_an_ensemble_is_made_of_the_same_column_of_each(how):
    """Against a loop over rows and columns."""
    tables = {"a": table(1, 1), "b": table(2, 2), "c": table(3, 3)}
    weights = [0.5, 0.3, 0.2] if how == "weighted" else None
    found = ensemble(tables, how, weights)
    assert list(found) == list(tables["a"])
    pd.testing.assert_frame_equal(found.iloc[:, :4], tables["a"].iloc[:, :4])
    for row in range(len(found)):
        for column in found.columns[4:]:
            x = [each[column].iloc[row] for each in tables.values()]
            by_hand = {"mean": sum(x) / 3, "median": sorted(x)[1], "weighted": 0.5 * x[0] + 0.3 * x[1] + 0.2 * x[2]}
            assert found[column].iloc[row] == pytest.approx(by_hand[how], rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(WAYS), st.integers(1, 5))
def test_quantiles_never_cross_and_lie_between_those_of_the_members(seed, how, count):
    """Even where those of a member do cross."""
    tables = {f"m{i}": table(1 + i, seed + i, rows=6) for i in range(count)}
    names = list(levels_of(tables["m0"]).values())
    tables["m0"][names] = tables["m0"][names].to_numpy()[:, ::-1]
    weights = np.random.default_rng(seed).dirichlet(np.ones(count)) if how == "weighted" else None
    found = ensemble(tables, how, weights)[names].to_numpy()
    every = np.stack([each[names].to_numpy() for each in tables.values()])
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found >= every.min((0, 2))[:, None] - 1e-9).all() and (found <= every.max((0, 2))[:, None] + 1e-9).all()


@pytest.mark.parametrize("how", ["mean", "median"])
def test_one_member_is_the_ensemble(how):
    pd.testing.assert_frame_equal(ensemble({"a": table(1, 1)}, how), table(1, 1), check_exact=True)


def test_only_shared_rows_and_levels_are_combined():
    one, two = table(1, 1), table(2, 2, levels=(0.1, 0.25, 0.5, 0.9)).iloc[7:]
    found = ensemble({"one": one, "two": two})
    assert list(found.columns[5:]) == ["q0.1", "q0.5", "q0.9"] and len(found) == 41
    assert (found["point"] == found["q0.5"]).all()
    assert list(ensemble({"one": one, "two": two[list(two)[:5]]}).columns[4:]) == ["point"]


@pytest.mark.parametrize("how", WAYS)
def test_classes_are_told_by_their_probabilities(how):
    made = [table(1, 1)[["unique_id", "ds", "cutoff"]].assign(y=1.0, point=0.0) for _ in range(3)]
    for each, (down, flat) in zip(made, [(0.6, 0.3), (0.1, 0.5), (0.3, 0.3)], strict=True):
        each[["p_down", "p_flat", "p_up"]] = [down, flat, 1 - down - flat]
    tables = dict(zip("abc", made, strict=True))
    found = ensemble(tables, how, [0.0, 1.0, 0.0] if how == "weighted" else None)
    expected = {"mean": [1, 1.1, 0.9], "median": [0.3, 0.3, 0.4], "weighted": [0.1, 0.5, 0.4]}[how]
    np.testing.assert_allclose(found[["p_down", "p_flat", "p_up"]].iloc[5], np.array(expected) / sum(expected))
    assert set(found["point"]) == {np.argmax(expected)}
    assert learnt(tables).tolist() == pytest.approx([0, 1, 0], abs=1e-3)  # the most of class 1, but not all of it


@pytest.mark.parametrize("levels", [NINE, (), (0.1, 0.5)])
def test_learnt_weights_are_the_best_ones(levels):
    """Against a search of scipy's from many starts, which knows nothing of planes; and better than any alone."""
    tables = {f"m{i}": table(d, i, 300, b, levels) for i, (d, b) in enumerate([(1, 0), (1.3, 1), (2, -3), (9, 0)])}
    weights = learnt(tables)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all() and weights[3] < 0.05
    names, at = [f"q{x:g}" for x in levels] or ["point"], np.array(levels or [0.5])
    y, every = tables["m0"][["y"]].to_numpy(), np.stack([each[names].to_numpy() for each in tables.values()])

    def loss(share: np.ndarray) -> float:
        error = y - np.einsum("k,krl->rl", np.abs(share) / np.abs(share).sum(), every)
        return float(np.where(error > 0, at * error, (at - 1) * error).mean())

    found = loss(weights)
    starts = np.random.default_rng(0).dirichlet(np.ones(4), 3)
    assert found <= min(minimize(loss, x, method="Nelder-Mead").fun for x in starts) * (1 + 2e-6)
    assert found < min(loss(x) for x in np.eye(4)) and found < loss(np.ones(4))
    if levels:
        assert scores(ensemble(tables, "weighted", weights))["wql"] == pytest.approx(2 * found / np.abs(y).mean())


def test_a_perfect_member_gets_all_the_weight():
    perfect = table(0, 1).assign(point=lambda x: x["y"])
    np.testing.assert_allclose(learnt({"bad": table(1, 2), "perfect": perfect}), [0, 1], atol=1e-9)


def test_units_do_not_change_what_is_learnt():
    tables = {"a": table(1, 1), "b": table(1.5, 2), "c": table(1, 3, bias=1)}
    numbers = ["y", "point", *levels_of(tables["a"]).values()]
    weights = [
        learnt({name: each.assign(**{x: each[x] * unit for x in numbers}) for name, each in tables.items()})
        for unit in (1.0, 2.0**-40, 2.0**40)
    ]
    assert all(np.array_equal(one, other) for one, other in pairwise(weights))


def test_nothing_later_changes_an_ensemble_or_its_weights():
    """Other rows, other values of them, or more of them: what was there stays bit-identical."""
    tables = {"a": table(1, 1), "b": table(2, 2), "c": table(1, 3, bias=0.5)}
    early = {name: each.iloc[:31] for name, each in tables.items()}
    wild = {name: each.copy() for name, each in tables.items()}
    for each in wild.values():
        each.iloc[31:, 3:] *= -1e6
    weights = learnt(early)
    for how in WAYS:
        whole, cut, other = (ensemble(x, how, weights).iloc[:31] for x in (tables, early, wild))
        pd.testing.assert_frame_equal(whole, cut, check_exact=True)
        pd.testing.assert_frame_equal(whole, other, check_exact=True)
    unseen = {name: each.assign(y=each["y"].where(each.index < 31)) for name, each in wild.items()}
    assert np.array_equal(learnt(unseen), weights) and not np.array_equal(learnt(wild), weights)


@pytest.mark.parametrize("weights", [None, [1.0], [0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(Refusal, match="expected 2, one for each table"):
        ensemble({"a": table(1, 1), "b": table(1, 2)}, "weighted", weights)


def test_an_unknown_way_and_nothing_observed_are_refused():
    with pytest.raises(Refusal, match="ensemble=best: expected one of mean, median, weighted"):
        ensemble({"a": table(1, 1)}, "best")
    with pytest.raises(Refusal, match="no row of the forecast table has an observed y"):
        learnt({"a": table(1, 1).assign(y=np.nan)})


def test_weighing_pays():
    tables = {"good": table(1, 1, 400), "bad": table(6, 2, 400, bias=4)}
    assert scores(weighed(tables))["wql"] < scores(ensemble(tables))["wql"]
