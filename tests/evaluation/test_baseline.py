"""The seasonal naive forecast: against its definition on the raw series, and what it must not look at."""

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
from forecast.evaluation.baseline import seasonal_naive

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
