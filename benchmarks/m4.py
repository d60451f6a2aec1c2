"""The scores of the M4 competition: forecasts of the 48 hours after the history, and what the organisers kept back.

sMAPE and MASE are means over series and steps, MASE's divisor the mean seasonal difference of the whole history; OWA is
their mean relation to Naive2, of which the organisers published both (S. Makridakis et al., 2020).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from forecast import Ensemble
from forecast.data.lines import find
from forecast.evaluation.metrics import relative, scores

NAIVE2 = {"mae": 1.0, "smape": 18.383, "mase": 2.395}  # hourly
SEASON = 24


def competition(runs: Sequence[str]) -> dict[str, float]:
    """The scores of the mean of some runs' forecasts, none of which has seen the file of what was kept back."""
    history, kept = (pd.read_csv(find(f"M4_Hourly_{part}.csv"), index_col=0) for part in ("train", "test"))
    table = Ensemble(runs).predict(find("M4_Hourly_train.csv")).sort_values(["unique_id", "ds"])
    table["y"] = kept.loc[table["unique_id"].unique()].to_numpy().ravel()
    values = {str(name): y.dropna().to_numpy() for name, y in history.iterrows()}
    found = scores(table, naive_error={name: np.abs(y[SEASON:] - y[:-SEASON]).mean() for name, y in values.items()})
    found |= relative(found, NAIVE2)
    return {name: found[name] for name in ("smape", "mase", "owa")}
