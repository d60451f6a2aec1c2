"""On series whose best forecast is known, every model comes near it: at most 1.2 times its error."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster
from forecast.config import CONF

ROWS, CONTEXT, HORIZON, KEPT = 3000, 48, 6, 0.5
MODELS = sorted(path.stem for path in Path(CONF, "model").glob("*.yaml"))
NOISE = np.random.default_rng(1).normal(size=ROWS)
STEPS = np.arange(ROWS)


def remembering() -> np.ndarray:
    """An autoregressive series of order 1."""
    y = NOISE.copy()
    for step in range(1, ROWS):
        y[step] += KEPT * y[step - 1]
    return y


SERIES = {  # values, the best forecast made at a row of the row `ahead` steps later, and the normalizer that suits it
    "autoregressive": (remembering(), lambda y, row, ahead: KEPT**ahead * y[row], "none"),
    "seasonal": (
        5 * np.sin(2 * np.pi * STEPS / 12) + NOISE,
        lambda y, row, ahead: 5 * np.sin(2 * np.pi * (row + ahead) / 12),
        "none",
    ),
    "trend": (0.05 * STEPS + NOISE, lambda y, row, ahead: 0.05 * (row + ahead), "last"),
}
OWN = {"segment": ["model.length=6"], "autoregressive": ["model.paths=50"]}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "name"), list(product(MODELS, SERIES)))
def test_the_error_is_near_the_smallest_there_can_be(model, name):
    y, best, normalizer = SERIES[name]
    data = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=ROWS, freq="h"), "y": y})
    overrides = ["data.season=12", "data.calendar=[]", "trainer.max_epochs=15", "optimizer.lr=0.003", "logger=none"]
    overrides += ["trainer.enable_progress_bar=false", "backbone.hidden_size=32", *OWN.get(model, ())]
    made = Forecaster(
        model=model, head="point", normalizer=normalizer, context=CONTEXT, horizon=HORIZON, overrides=overrides
    ).fit(data)
    table = made.backtest(data, stride=3)
    row = {stamp: i for i, stamp in enumerate(data["ds"])}
    cutoffs, ahead = table["cutoff"].map(row).to_numpy(), table["ds"].map(row) - table["cutoff"].map(row)
    known = best(y, cutoffs, ahead.to_numpy())
    smallest = np.abs(table["y"] - known).mean()
    assert np.abs(table["y"] - table["point"]).mean() < 1.2 * smallest
    assert np.abs(table["y"] - y[cutoffs]).mean() > 1.2 * smallest or name == "trend"  # the last value does not do
