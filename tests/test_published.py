"""Figures that others have published: they prove windows, split, scaler and score on real data, in seconds."""

import numpy as np
import pandas as pd
import pytest
from conftest import QUICK

from forecast import Forecaster, config
from forecast.data import panel as panels
from forecast.data import scaler
from forecast.data.forecasts import tabulate
from forecast.data.module import SeriesDataModule
from forecast.evaluation.baseline import seasonal_naive
from forecast.evaluation.metrics import scores
from forecast.recipe import laid, opened, window_of


def naive(name: str, season: int, **settings: int) -> dict[str, float]:
    """Scores of the seasonal naive forecast over the test windows of a data set, all channels."""
    composed = config.composed("train", [f"data={name}", *(f"{key}={value}" for key, value in settings.items())])
    grid, borders = laid(composed, opened(composed["data"], None))
    statistics = scaler.learn(grid, borders[0], composed["data"])
    panel, window = panels.panel(grid, statistics), window_of(composed, grid.layout.clock)
    pieces = [
        (batch.cutoff.numpy(), batch.target.numpy(), seasonal_naive(batch, season).numpy())
        for batch in SeriesDataModule.cut(panel, window, borders, "test").batches(1024)
    ]
    cutoff, y, point = (np.concatenate(x) for x in zip(*pieces, strict=True))
    table = tabulate(panel, 0, cutoff, y, point, point[..., None][..., :0], ())
    deviation = statistics.deviation[panel.slots.numpy()].ravel()
    return scores(table, dict(zip(panel.labels, deviation, strict=True))) | {"windows": len(cutoff)}


@pytest.mark.parametrize("joint", ["true", "false"])
@pytest.mark.parametrize(
    ("name", "file", "windows", "mse", "mae"),
    [
        ("etth1", "ETTh1.csv", 2785, 1.294, 0.713),
        ("exchange", "exchange_rate.csv", 1422, 0.081, 0.196),
    ],
)
def test_repeating_the_last_value_scores_as_published(real, name, file, windows, mse, mae, joint):
    """A. Zeng et al., 2023, "Repeat", scaled, all windows (their ETTh1 1.295 drops the last batch)."""
    real(file)
    result = naive(name, 1, context=96, horizon=96, **{"data.joint": joint})
    channels = {"etth1": 7, "exchange": 8}[name]
    assert result["windows"] == windows * (1 if joint == "true" else channels)
    assert round(result["mse_scaled"], 3) == mse
    assert round(result["mae_scaled"], 3) == mae


def test_ettm1_repeats_as_published(real):
    real("ETTm1.csv")
    result = naive("ettm1", 1, context=96, horizon=96, **{"data.joint": "true"})
    assert (result["windows"], round(result["mse_scaled"], 3), round(result["mae_scaled"], 3)) == (11425, 1.214, 0.665)


@pytest.mark.parametrize(
    ("name", "file", "weekly", "mixed"),
    [
        ("epf_np", "epf_NP.csv", (4.125, 4.135), (3.165, 3.166)),
        ("epf_pjm", "epf_PJM.csv", (6.294, 6.326), (None, 4.878)),
    ],
)
def test_the_naive_prices_score_as_published(real, name, file, weekly, mixed):
    """J. Lago et al., 2021: the last 728 days, 24 hours at once from the end of the day before.

    The denominators of the published rMAE leave out the first 7 days: the second number of each pair.
    """
    real(file)
    made = Forecaster(data=name, context=168, horizon=24, overrides=[*QUICK, "test_stride=24"]).fit()
    tables = made.judge(baselines=["weekly_naive", "epf_naive"]).forecasts
    for baseline, (whole, without) in {"weekly_naive": weekly, "epf_naive": mixed}.items():
        table = tables[baseline]
        later = table[table["ds"] >= table["ds"].min() + pd.Timedelta("7D")]
        assert (len(table), len(later)) == (728 * 24, 721 * 24)
        assert whole in (None, round(scores(table)["mae"], 3)) and without == round(scores(later)["mae"], 3)


def test_no_look_ahead_on_real_prices(real):
    """Prices, load and wind after a cutoff may be anything: forecasts issued up to it stay to the last bit."""
    data = pd.read_csv(real("epf_NP.csv"), parse_dates=["date"]).tail(3000).reset_index(drop=True)
    columns = ["Grid load forecast", "Wind power forecast"]
    made = Forecaster(context=72, horizon=24, overrides=[*QUICK, f"data.future={columns}", "data.target=[Price]"]).fit(
        data
    )
    whole = made.backtest(data)
    cutoff = whole["cutoff"].unique()[5]
    for change in (lambda x: x * 50, lambda x: x + 1000, lambda x: x * np.nan):
        other = data.copy()
        after = (other["date"] > cutoff) & (other.index < len(other) - 1)
        known = (other["date"] > cutoff + pd.Timedelta("24h")) & after
        other.loc[after, "Price"] = change(other.loc[after, "Price"])
        other.loc[known, columns] = change(other.loc[known, columns].astype(float))
        changed = made.backtest(other)
        pd.testing.assert_frame_equal(
            whole[whole["cutoff"] <= cutoff].drop(columns="y"),
            changed[changed["cutoff"] <= cutoff].drop(columns="y"),
            check_exact=True,
        )
