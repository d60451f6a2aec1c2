"""Baselines: against their definitions on the raw series, and what they must not look at."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from forecast.contract import Batch, Window
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import scaler, table
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.evaluation.baseline import BASELINES, SEASONS, Rhythm, chosen, seasonal_naive
from forecast.evaluation.ridge import Ridge

ROWS = 60


@pytest.fixture(scope="module")
def csv(request) -> dict:
    """The keys of conf/data/csv.yaml."""
    return yaml.safe_load((request.config.rootpath / "conf/data/csv.yaml").read_text())


def raw(seed: int) -> pd.DataFrame:
    """Two series of two channels, all values different."""
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2024-01-01", periods=ROWS, freq="h")
    values = rng.permutation(4 * ROWS).reshape(2 * ROWS, 2) + 0.25
    return pd.DataFrame(
        {"unique_id": np.repeat(["a", "b"], ROWS), "ds": np.tile(ds, 2), "u": values[:, 0], "v": values[:, 1]}
    )


def batch_of(frame: pd.DataFrame, window: Window, csv: dict) -> Batch:
    """All windows of a table, in one batch."""
    checked = table.table(frame, {**csv, "joint": True, "target": ["u", "v"]}, "test")
    grid = grids.grid(checked, window.ahead)
    panel = panels.panel(grid, scaler.learn(grid, int(grid.first[0]) + ROWS // 2, {**csv, "calendar": []}))
    windows = Windows.between(panel, window, 0, int(grid.first[0]) + ROWS)
    return windows.batch(torch.arange(len(windows)))


def defined(frame: pd.DataFrame, window: Window, season: int) -> np.ndarray:
    """y at t - season * k, with the smallest k at which this is at or before the cutoff: plain loops."""
    found = []
    for _, part in frame.groupby("unique_id"):
        y = part[["u", "v"]].to_numpy()
        for cutoff in range(window.context - 1, ROWS - window.ahead, window.stride):
            steps = []
            for t in range(cutoff + window.gap + 1, cutoff + window.gap + 1 + window.horizon):
                while t > cutoff:
                    t -= season
                steps.append(y[t])
            found.append(steps)
    return np.array(found)


@settings(max_examples=40, deadline=None)
@given(
    season=st.integers(1, 15),
    longer=st.integers(0, 8),
    horizon=st.integers(1, 33),
    gap=st.integers(0, 17),
    stride=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_a_forecast_is_the_newest_value_of_the_same_phase(csv, season, longer, horizon, gap, stride, seed):
    """Also where context is a season, and where gap or horizon are several seasons long."""
    window, frame = Window(season + longer, horizon, stride, gap), raw(seed)
    assume(window.length <= ROWS)
    expected = defined(frame, window, season)
    check(seasonal_naive(batch_of(frame, window, csv), season), expected)


def check(found: torch.Tensor, expected: np.ndarray) -> None:
    assert found.dtype == torch.float64
    assert found.shape == expected.shape
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("gap", [0, 3])
def test_season_one_repeats_the_last_value(csv, gap):
    batch = batch_of(raw(1), Window(7, 5, 1, gap), csv)
    check(seasonal_naive(batch, 1), batch.y[:, -1:].expand(-1, 5, -1).numpy())


def changed(batch: Batch, season: int) -> Batch:
    """The batch with everything changed that is not the last season of the context."""
    far = batch.y.clone()
    far[:, : batch.y.shape[1] - season] = torch.nan
    return batch._replace(
        y=far,
        target=torch.full_like(batch.target, torch.nan),
        target_observed=~batch.target_observed,
        y_observed=~batch.y_observed,
        future=batch.future + 1,
        clock=batch.clock * 7 + 3,
        series=batch.series + 1,
        weight=batch.weight * 0,
    )


@pytest.mark.parametrize(("context", "horizon", "gap", "season"), [(12, 5, 0, 4), (12, 9, 2, 4), (8, 3, 5, 8)])
def test_nothing_but_the_last_season_of_the_context_is_read(csv, context, horizon, gap, season):
    batch = batch_of(raw(2), Window(context, horizon, 1, gap), csv)
    check(seasonal_naive(changed(batch, season), season), seasonal_naive(batch, season).numpy())


def test_a_period_of_the_season_is_forecast_without_error(csv):
    frame = raw(3)
    phase = np.tile(np.arange(ROWS), 2) % 6
    batch = batch_of(frame.assign(u=phase * 1.5, v=phase**2 / 7), Window(12, 14, 1, 3), csv)
    check(seasonal_naive(batch, 6), batch.target.numpy())
    with pytest.raises(AssertionError):
        check(seasonal_naive(batch, 5), batch.target.numpy())


def test_a_missing_value_is_forecast_as_the_one_before_it(csv):
    frame = raw(4)
    frame.loc[frame["ds"] == frame["ds"][20], "u"] = np.nan
    window = Window(6, 3)
    expected = defined(frame.assign(u=frame["u"].ffill()), window, 4)
    check(seasonal_naive(batch_of(frame, window, csv), 4), expected)


def test_a_season_longer_than_the_context_is_a_fault_of_the_caller(csv):
    with pytest.raises(AssertionError):
        seasonal_naive(batch_of(raw(1), Window(5, 2), csv), 6)


def peeking(batch: Batch, season: int) -> torch.Tensor:
    return torch.cat((batch.y, batch.target), 1)[:, batch.y.shape[1] - season :][:, : batch.target.shape[1]]


def without_gap(batch: Batch, season: int) -> torch.Tensor:
    return batch.y[:, batch.y.shape[1] - season + torch.arange(batch.target.shape[1]) % season]


def a_step_late(batch: Batch, season: int) -> torch.Tensor:
    return torch.roll(seasonal_naive(batch, season), 1, 1)


@pytest.mark.parametrize("faulty", [peeking, without_gap, a_step_late])
def test_the_definition_catches_a_forecast_that_is_wrong(csv, faulty):
    window, season = Window(8, 6, 1, 2), 4
    batch = batch_of(raw(5), window, csv)
    check(seasonal_naive(batch, season), defined(raw(5), window, season))
    with pytest.raises(AssertionError):
        check(faulty(batch, season), defined(raw(5), window, season))


def test_the_check_of_what_is_read_catches_a_forecast_that_peeks(csv):
    batch = batch_of(raw(2), Window(12, 9), csv)
    with pytest.raises(AssertionError):
        check(peeking(changed(batch, 4), 4), peeking(batch, 4).numpy())


# --- the others ---

HOURS = Rhythm(24, 24, 168)
DAYS = 6 * 7


def prices(days: int = DAYS, seed: int = 1) -> pd.Series:
    """Hourly values, all different, from a Monday on."""
    index = pd.date_range("2024-01-01", periods=24 * days, freq="h")
    return pd.Series(np.random.default_rng(seed).normal(size=len(index)).cumsum(), index)


def laid(y: pd.Series, csv: dict, **columns: np.ndarray) -> panels.Panel:
    frame = pd.DataFrame({"ds": y.index, "y": y.to_numpy(), **columns})
    data = {**csv, "future": list(columns), "calendar": []}
    grid = grids.grid(table.table(frame, data, "test"), 48)
    return panels.panel(grid, scaler.learn(grid, int(grid.first[0]) + len(y) // 2, data))


def by_definition(name: str, y: pd.Series, window: Window, cutoff: pd.Timestamp, ds: pd.Timestamp) -> float:
    """One value of a baseline, looked up by stamps."""
    hour, seen = pd.Timedelta("1h"), y[cutoff - (window.context - 1) * pd.Timedelta("1h") : cutoff]

    def back(days: int) -> pd.Timestamp:
        while ds - (days * 24 * hour) > cutoff:
            days += days if days < 7 else 7
        return ds - days * 24 * hour

    if name == "last_value":
        return y[cutoff]
    if name == "drift":
        return y[cutoff] + (ds - cutoff) / hour * (y[cutoff] - seen.iloc[0]) / (len(seen) - 1)
    if name == "season_mean":
        first = back(1) if back(1) <= cutoff else cutoff
        while ds - first < pd.Timedelta(0) or (ds - first) % pd.Timedelta("24h"):
            first -= hour
        return float(np.mean([y[first - k * 24 * hour] for k in range(SEASONS)]))
    if name == "epf_naive" and ds.day_name() in ("Tuesday", "Wednesday", "Thursday", "Friday"):
        return y[back(1 if ds - 24 * hour <= cutoff else 7)]
    return y[back({"seasonal_naive": 1, "weekly_naive": 7, "epf_naive": 7}[name])]


@pytest.mark.parametrize(("horizon", "gap"), [(24, 0), (30, 0), (5, 13)])
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_what_its_definition_says(csv, name, horizon, gap):
    y, window = prices(), Window(172, horizon, 7, gap)
    windows = Windows.between(laid(y, csv), window, 0, 10**9)
    batch = windows.batch(torch.arange(len(windows)))
    found = BASELINES[name].forecast(HOURS, batch)[..., 0].numpy()
    first = windows.window.context - 1
    for i, cutoff in enumerate(y.index[first : len(y) - window.ahead : 7]):
        stamps = [cutoff + pd.Timedelta(hours=gap + k + 1) for k in range(horizon)]
        expected = [by_definition(name, y, window, cutoff, ds) for ds in stamps]
        np.testing.assert_allclose(found[i], expected, rtol=1e-12, err_msg=str(cutoff))
    assert i + 1 == len(found)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_needs_the_context_that_it_says_and_sees_nothing_after_it(csv, name):
    need = BASELINES[name].history(HOURS)
    windows = Windows.between(laid(prices(), csv), Window(need, 24, 24), 0, 10**9)
    batch = windows.batch(torch.arange(len(windows)))
    other = batch._replace(target=torch.full_like(batch.target, torch.nan), target_observed=~batch.target_observed)
    found = BASELINES[name].forecast(HOURS, other)
    check(found, BASELINES[name].forecast(HOURS, batch).numpy())
    assert found.isfinite().all()
    if need > 2:  # one step less is not enough
        shorter = batch._replace(y=batch.y[:, 1:], clock=batch.clock[:, 1:])
        with pytest.raises((AssertionError, RuntimeError)):
            BASELINES[name].forecast(HOURS, shorter)


def test_baselines_that_need_days_and_weeks_are_none_where_there_are_none():
    without = Rhythm(12, None, None)
    assert [name for name, each in BASELINES.items() if each.history(without) is None] == ["weekly_naive", "epf_naive"]


@pytest.mark.parametrize("names", [["ridgee"], "al", ["seasonal_naive", "arima"]])
def test_an_unknown_baseline_is_refused(names):
    with pytest.raises(Refusal, match="no such baseline"):
        chosen(names)


def test_seasonal_naive_is_always_among_them_and_all_are_all():
    assert chosen([]) == ["seasonal_naive"] == chosen("seasonal_naive")
    assert chosen(["ridge", "drift"]) == ["seasonal_naive", "ridge", "drift"]
    assert set(chosen("all")) == {*BASELINES, "ridge"}


# --- ridge ---


def learnt(panel: panels.Panel, rows: int, horizon: int = 24) -> tuple[Ridge, Windows]:
    """A ridge of the first rows of hourly values, and windows of the rest."""
    first = int(panel.first[0])
    train = Windows.between(panel, Window(48, horizon), 0, first + rows)
    test = Windows.between(panel, Window(48, horizon, 7), first + rows, 10**9)  # of all phases
    return Ridge.fit(train, test, scaling_of(panel), 24), test


def scaling_of(panel: panels.Panel):
    from forecast.contract import Scaling

    return Scaling("standard", torch.full((2, 1), 5.0).double(), torch.full((2, 1), 3.0).double())


def test_ridge_finds_a_linear_law_of_lags_and_covariates(csv):
    wind = np.random.default_rng(2).normal(size=24 * 120)
    y = prices(120)
    for t in range(24, len(y)):
        y.iloc[t] = 0.6 * y.iloc[t - 24] + 2 * wind[t] + 1
    ridge, test = learnt(laid(y, csv, wind=wind), 24 * 90)
    batch = test.batch(torch.arange(len(test)))
    error, naive = (ridge(batch) - batch.target).abs().mean(), (seasonal_naive(batch, 24) - batch.target).abs().mean()
    assert error < 0.05 * naive
    blind, test = learnt(laid(y, csv), 24 * 90)  # without the covariate it can't
    assert (blind(test.batch(torch.arange(len(test)))) - batch.target).abs().mean() > 0.5 * naive


def test_ridge_learns_from_train_and_forecasts_from_the_context_alone(csv):
    y, rows = prices(60), 24 * 40
    ridge, test = learnt(laid(y, csv), rows)
    other = y.copy()
    other.iloc[rows:] *= -7
    twin, _ = learnt(laid(other, csv), rows)
    batch = test.batch(torch.arange(len(test)))
    check(twin(batch), ridge(batch).numpy())
    check(ridge(batch._replace(target=batch.target * 9)), ridge(batch).numpy())
    moved = batch._replace(y=batch.y + torch.linspace(0, 1, 48)[:, None])
    assert not torch.equal(ridge(moved), ridge(batch))
    earlier = y.copy()
    earlier.iloc[:rows] *= -7
    assert not torch.equal(learnt(laid(earlier, csv), rows)[0](batch), ridge(batch))
