"""Scores as text for the terminal."""

import pandas as pd

from forecast import terminal

EXPLAINED = {
    "mae": "mean absolute error, in the unit of the data",
    "mse_scaled": "in units of each series' standard deviation",
    "mae_scaled": "in units of each series' standard deviation",
    "smape": "per cent",
    "mase": "in-sample seasonal naive = 1",
    "wql": "weighted quantile loss",
    "coverage_80": "should be 0.80",
    "rmae": "seasonal naive = 1",
    "skill": "share of seasonal naive's error that is gone",
}
OF_CLASSES = {
    "accuracy": "share of right classes",
    "f1": "of precision and recall, averaged over classes",
    "log_loss": "mean -log of the true class's probability",
    "brier": "mean squared error of the probabilities, from 0 to 2",
}


def summary(scores: pd.DataFrame) -> str:
    """Scores (model, metric, value) as a table: a row a metric, a column a model."""
    wide = scores.pivot(index="metric", columns="model", values="value")
    wide = wide.loc[scores["metric"].drop_duplicates(), scores["model"].drop_duplicates()]
    cells = [
        [name, *("" if pd.isna(x) else f"{x:,.4g}" if abs(x) < 9999.5 else f"{x:,.0f}" for x in row)]
        for name, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    words = EXPLAINED | OF_CLASSES
    rows = [["", *wide.columns, ""], *([*row, words.get(row[0], "")] for row in cells)]
    return terminal.table(rows, notes=(len(rows[0]) - 1,))
