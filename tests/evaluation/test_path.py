"""Joint paths: each step keeps its forecast's distribution, ranks are those of the past, nothing later matters."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, spearmanr

from forecast.error import Refusal
from forecast.evaluation.path import paths
from forecast.evaluation.quantile import at_levels, inverse

LEVELS = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
HORIZON, DAYS = 24, 300


def history(seed: int = 1, series: int = 2) -> pd.DataFrame:
    """Hourly noise that remembers 0.9 of the last hour; no two values are equal."""
    rng, rows = np.random.default_rng(seed), DAYS * HORIZON
    y = np.zeros((rows, series))
    for t in range(1, rows):
        y[t] = 0.9 * y[t - 1] + rng.standard_normal(series)
    ds = pd.date_range("2024-01-01", periods=rows, freq="h")
    made = {"unique_id": np.repeat([f"s{i}" for i in range(series)], rows), "ds": np.tile(ds, series), "y": y.T.ravel()}
    return phased(pd.DataFrame(made))


def phased(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(phase=table["ds"].dt.hour)


def forecasts(days: tuple[int, ...] = (DAYS,), series: int = 2, seed: int = 2) -> pd.DataFrame:
    """A day ahead after so many days, each step with a level and spread of its own."""
    rng, parts = np.random.default_rng(seed), []
    for name in (f"s{i}" for i in range(series)):
        for day in days:
            cutoff = pd.Timestamp("2024-01-01") + pd.Timedelta(day * HORIZON - 1, "h")
            ds = pd.date_range(cutoff, periods=HORIZON + 1, freq="h")[1:]
            level, spread = rng.normal(0, 50, (HORIZON, 1)), rng.uniform(1, 9, (HORIZON, 1))
            quantiles = dict(zip((f"q{x:g}" for x in LEVELS), (level + spread * norm.ppf(LEVELS)).T, strict=True))
            parts.append(pd.DataFrame({"unique_id": name, "ds": ds, "cutoff": cutoff, **quantiles}))
    return phased(pd.concat(parts, ignore_index=True))


def samples(found: pd.DataFrame) -> np.ndarray:
    return found.filter(like="sample_").to_numpy()


def test_each_step_keeps_the_quantiles_of_its_forecast():
    table = forecasts((200, DAYS))
    found = samples(paths(table, history(), 100, 1))
    at = (np.arange(100) + 0.5) / 100
    for row, own in zip(table.filter(regex="^q").to_numpy(), np.sort(found, 1), strict=True):
        middle = (at > 0.05) & (at < 0.95)
        np.testing.assert_allclose(own[middle], np.interp(at[middle], LEVELS, row), rtol=1e-12)
        assert (own[at < 0.05] < row[0]).all() and (own[at > 0.95] > row[-1]).all()
    many = samples(paths(table, history(), 2000, 1))
    np.testing.assert_allclose(np.quantile(many, LEVELS, axis=1).T, table.filter(regex="^q"), rtol=0, atol=0.05)


def test_ranks_of_steps_go_together_as_in_the_past():
    """All past days are taken, each once: the rank correlation of any two steps is theirs to the last digit."""
    past, table = history(), forecasts()
    found = samples(paths(table, past, DAYS, 1)).reshape(2, HORIZON, DAYS)
    for i, own in enumerate(found):
        days = past.loc[past["unique_id"] == f"s{i}", "y"].to_numpy().reshape(DAYS, HORIZON)
        np.testing.assert_allclose(spearmanr(own.T).statistic, spearmanr(days).statistic, atol=1e-12)
    assert spearmanr(found[0].T).statistic[0, 1] > 0.8


def test_a_path_takes_the_ranks_of_one_past_day():
    past, table = history(series=1), forecasts((4,), series=1)
    found = samples(paths(table, past, 4, 1))
    ranks = np.argsort(np.argsort(found, 1), 1)
    days = past["y"].to_numpy()[: 4 * HORIZON].reshape(4, HORIZON)
    expected = np.argsort(np.argsort(days, 0), 0)
    assert sorted(map(tuple, ranks.T)) == sorted(map(tuple, expected))


def test_series_go_together_as_in_the_past():
    past = history()
    twin = past[past["unique_id"] == "s0"].assign(unique_id="s1", y=lambda x: 1000 - 3 * x["y"])
    found = samples(paths(forecasts(), pd.concat([past[past["unique_id"] == "s0"], twin]), 50, 1))
    one, other = found.reshape(2, HORIZON, 50)
    for step in range(HORIZON):
        assert spearmanr(one[step], other[step]).statistic == pytest.approx(-1)


@pytest.mark.parametrize("change", ["other", "missing", "cut"])
def test_nothing_after_the_cutoff_matters(change):
    table, past = forecasts((100, 150, 250)), history()
    before = paths(table, past, 40, 3)
    for cutoff in table["cutoff"].unique()[:2]:
        late = past["ds"] > cutoff
        other = (
            past[~late]
            if change == "cut"
            else past.assign(y=past["y"].mask(late, past["y"] ** 2 if change == "other" else np.nan))
        )
        kept = table[table["cutoff"] <= cutoff]
        after = paths(kept, other, 40, 3)
        pd.testing.assert_frame_equal(after, before.loc[kept.index], check_exact=True)
        newest = past.assign(y=past["y"].mask(past["ds"] == cutoff, 1e6))
        assert not paths(kept, newest, 99, 3).equals(paths(kept, past, 99, 3))


def test_the_seed_alone_decides():
    table, past = forecasts((100, 150)), history()
    first = paths(table, past, 40, 3)
    pd.testing.assert_frame_equal(first, paths(table, past, 40, 3), check_exact=True)
    assert not first.equals(paths(table, past, 40, 4))
    mixed = table.sample(frac=1, random_state=0)
    again = paths(mixed, past.sample(frac=1, random_state=1), 40, 3)
    pd.testing.assert_frame_equal(again.sort_index(), first, check_exact=True)
    alone = table["unique_id"] == "s1"
    pd.testing.assert_frame_equal(paths(table[alone], past, 40, 3), first[alone], check_exact=True)


def test_trajectories_begin_at_the_phase_of_the_forecast():
    """Whatever its number is: counted from another hour, the same days are found."""
    table, past = forecasts((40,)), history()
    other = (x.assign(phase=(x["phase"] + 5) % HORIZON) for x in (table, past))
    pd.testing.assert_frame_equal(paths(*other, 30, 1), paths(table, past, 30, 1), check_exact=True)


def test_days_with_a_hole_are_no_past():
    past = history(series=1)
    holes = past.assign(y=past["y"].mask((past["ds"].dt.day_of_year % 2 == 0) & (past["ds"].dt.hour == 5)))
    days = past["y"].to_numpy()[: 40 * HORIZON].reshape(40, HORIZON)[::2]
    ranks = np.argsort(np.argsort(samples(paths(forecasts((40,), series=1), holes, 20, 1)), 1), 1)
    assert sorted(map(tuple, ranks.T)) == sorted(map(tuple, np.argsort(np.argsort(days, 0), 0)))


def test_few_past_days_are_taken_again_and_equal_ranks_dealt_by_chance():
    """Of 3 days 300 paths: each third of the ranks belongs to one day, and inside it steps are independent."""
    found = samples(paths(forecasts((3,), series=1), history(series=1), 300, 1))
    ranks = np.argsort(np.argsort(found, 1), 1)
    thirds = ranks // 100
    assert len({tuple(x) for x in thirds.T}) == 3
    assert abs(spearmanr(ranks[0][thirds[0] == 0], ranks[-1][thirds[0] == 0]).statistic) < 0.3


def test_days_that_differ_in_length_have_pasts_of_their_length():
    table = forecasts((100, 101), series=1)
    short = table.drop(table.index[23])  # the first forecast has 23 steps
    found = paths(short, history(series=1), 30, 1)
    assert found.shape == (47, 33) and np.isfinite(samples(found)).all()
    pd.testing.assert_frame_equal(found.iloc[23:], paths(table, history(series=1), 30, 1).iloc[24:], check_exact=True)


def test_tails_are_those_of_a_law_with_such_a_density():
    """Exponential beyond the outermost levels: of a Laplace law exactly, as its levels come closer; bounds hold."""
    levels = np.array([0.0999, 0.1, 0.9, 0.9001])
    laplace = np.where(levels < 0.5, np.log(2 * levels), -np.log(2 * (1 - levels)))
    at = np.array([1e-6, 0.001, 0.05, 0.95, 0.999, 1 - 1e-6])
    wanted = np.where(at < 0.5, np.log(2 * at), -np.log(2 * (1 - at)))
    np.testing.assert_allclose(inverse(laplace[None], levels, at)[0], wanted, rtol=2e-3)
    found = samples(paths(forecasts(), history(), 100, 1, low=-20.0, high=30.0))
    assert found.min() == -20 and found.max() == 30


def test_other_levels_lie_on_the_line_between_those_that_are_there():
    table = forecasts()
    found = at_levels(table, [0.9, 0.1, 0.15])
    assert list(found.columns) == [*table.columns[:3], "phase", "q0.1", "q0.15", "q0.9"]
    pd.testing.assert_series_equal(found["q0.9"], table["q0.9"], check_exact=True)
    np.testing.assert_allclose(found["q0.15"], (table["q0.1"] + table["q0.2"]) / 2)
    with pytest.raises(Refusal, match=r"\[0.01\] lie outside the 0.05 ... 0.95"):
        at_levels(table, [0.01, 0.5])


REFUSED = {
    "no column 'phase'": (forecasts().drop(columns="phase"), history()),
    "paths need quantiles": (forecasts()[["unique_id", "ds", "cutoff", "phase", "q0.5"]], history()),
    "'s1' has no history": (forecasts(), history(series=1)),
    "has 1 past trajectories of 24": (forecasts((1,)), history()),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refusals(words):
    table, past = REFUSED[words]
    with pytest.raises(Refusal, match=words):
        paths(table, past, 10, 1)
