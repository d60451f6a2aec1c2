"""M4, hourly: the organisers' scores of two simple forecasts, computed through forecast tables."""

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from forecast.evaluation.metrics import by, compared, relative

SEASON, HORIZON = 24, 48
PUBLISHED = {  # S. Makridakis et al., "Evaluation and Ranks.xlsx" of the M4 competition, 2018
    "naive": {"smape": 43.003, "mase": 11.608, "owa": 3.593},
    "seasonal_naive": {"smape": 13.912, "mase": 1.193, "owa": 0.627},
    "naive2": {"smape": 18.383, "mase": 2.395, "owa": 1.000},
}


def seasonal(y: np.ndarray) -> bool:
    """Whether the autocorrelation at a season is significant at 90 %, as the organisers tested it."""
    z = y - y.mean()
    r = np.array([(z[lag:] * z[: len(z) - lag]).sum() for lag in range(1, SEASON + 1)]) / (z**2).sum()
    return bool(abs(r[-1]) > 1.645 * np.sqrt((1 + 2 * (r[:-1] ** 2).sum()) / len(y)))


def naive2(y: np.ndarray) -> np.ndarray:
    """The last value, seasonally adjusted by classical multiplicative decomposition if the series is seasonal."""
    if not seasonal(y):
        return np.full(HORIZON, y[-1])
    weights = np.r_[0.5, np.ones(SEASON - 1), 0.5] / SEASON
    ratio = y[SEASON // 2 : -SEASON // 2] / (sliding_window_view(y, SEASON + 1) @ weights)
    phase = np.arange(SEASON // 2, len(y) - SEASON // 2) % SEASON
    index = np.array([ratio[phase == k].mean() for k in range(SEASON)])
    index /= index.mean()
    return y[-1] / index[(len(y) - 1) % SEASON] * index[(len(y) + np.arange(HORIZON)) % SEASON]


def test_scores_of_simple_forecasts_are_those_of_the_organisers(real):
    """sMAPE, MASE, and OWA relative to Naive2, of all 414 series; what they print has three decimals.

    Their OWA is made of such rounded scores: that of seasonal naive is 0.62745, of unrounded ones 0.62750.
    """
    train, test = (pd.read_csv(real(f"M4_Hourly_{part}.csv"), index_col=0) for part in ("train", "test"))
    tables, divisor = {name: [] for name in PUBLISHED}, {}
    for name, values in train.iterrows():
        y = values.dropna().to_numpy()
        divisor[name] = np.abs(y[SEASON:] - y[:-SEASON]).mean()
        columns = {"unique_id": name, "ds": len(y) + np.arange(HORIZON), "cutoff": len(y) - 1, "y": test.loc[name]}
        made = {"naive": np.full(HORIZON, y[-1]), "seasonal_naive": np.tile(y[-SEASON:], 2), "naive2": naive2(y)}
        for kind, point in made.items():
            tables[kind].append(pd.DataFrame(columns | {"point": point}))
    tables = {kind: pd.concat(parts, ignore_index=True) for kind, parts in tables.items()}
    assert tables["naive2"]["unique_id"].nunique() == len(divisor) == 414
    found = compared(tables, naive_error=divisor, reference="naive2").pivot(index="model", columns="metric")["value"]
    for kind, published in PUBLISHED.items():
        assert [round(found.loc[kind, name], 3) for name in ("smape", "mase")] == [
            published["smape"],
            published["mase"],
        ]
        assert found.loc[kind, "owa"] == pytest.approx(published["owa"], abs=1e-3)
        theirs = relative({"mae": 1.0, **published}, {"mae": 1.0, **PUBLISHED["naive2"]})["owa"]
        assert round(theirs, 3) == published["owa"]
    steps = by(tables["seasonal_naive"], "step", naive_error=divisor)
    assert steps.index.tolist() == list(range(1, HORIZON + 1))
    np.testing.assert_allclose(steps[["smape", "mase"]].mean(), found.loc["seasonal_naive", ["smape", "mase"]])
