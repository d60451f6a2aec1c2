"""Scores and forecasts as text for the terminal."""

import pandas as pd

from forecast import terminal
from forecast.evaluation.metrics import REFERENCE

EXPLAINED = {  # and shown; the others, of each level and each interval for instance, stand in scores.csv
    "mae": "mean absolute error, in the unit of the data",
    "rmse": "root mean squared error",
    "bias": "above 0: forecasts are too high",
    "smape": "per cent",
    "mase": "in-sample seasonal naive = 1",
    "mae_scaled": "in units of each series' standard deviation",
    "mse_scaled": "in units of each series' standard deviation",
    "wql": "weighted quantile loss",
    "coverage_80": "should be 0.80",
    "calibration": "mean |share of y below - level|, should be 0",
    "rmae": "{reference} = 1",
    "skill": "share of {reference}'s error that is gone",
}
OF_CLASSES = {
    "accuracy": "share of right classes",
    "f1": "of precision and recall, averaged over classes",
    "log_loss": "mean -log of the true class's probability",
    "brier": "mean squared error of the probabilities, from 0 to 2",
}


def summary(scores: pd.DataFrame, reference: str = REFERENCE) -> str:
    """Scores (model, metric, value) as a table: a row a metric that is explained, a column a model.

    `reference` is the model that `compared` divided by.
    """
    words = EXPLAINED | OF_CLASSES
    shown = scores["metric"].drop_duplicates().loc[lambda x: x.isin(list(words))]
    wide = scores.pivot(index="metric", columns="model", values="value")
    wide = wide.loc[shown, scores["model"].drop_duplicates()]
    cells = [[name, *map(number, row)] for name, row in zip(wide.index, wide.to_numpy(), strict=True)]
    said = reference.replace("_", " ")
    rows = [["", *wide.columns, ""], *([*row, words.get(row[0], "").format(reference=said)] for row in cells)]
    return terminal.table(rows, notes=(len(rows[0]) - 1,))


def number(x: float) -> str:
    """Four digits, or all before the point; nothing for what is missing."""
    return "" if pd.isna(x) else f"{x:,.4g}" if abs(x) < 9999.5 else f"{x:,.0f}"


def ahead(table: pd.DataFrame, most: int) -> str:
    """The first rows of a forecast table of the future: what all rows share stands above, y is not known yet."""
    shown = table.head(most).drop(columns="y")
    same = [name for name in ("unique_id", "cutoff") if table[name].nunique() == 1]
    above = ", ".join(f"{name} {table[name].iloc[0]}" for name in same)
    numbers = shown.select_dtypes("number").columns
    cells = shown.drop(columns=same).astype(object)
    columns = {name: cells[name].map(number if name in numbers else str) for name in cells}
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    text = terminal.table(rows, left=[i for i, name in enumerate(columns) if name not in numbers])
    return f"{above}\n{text}" if above else text
