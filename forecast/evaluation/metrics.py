"""Scores of forecast tables: anybody's `unique_id, ds, cutoff, y, point, q0.1 ...`, in float64, each row counted once.

Rows without an observed y are left out. e = y - point; the mean is over all rows.

    mae       mean |e|
    rmse      sqrt(mean e^2)
    mse       mean e^2
    smape     mean 200 |e| / (|y| + |point|), 0 where both are 0, in per cent   (M4 competition, 2020)
    mase      mean |e| / d, d = mean |y_t - y_{t-season}| of the series' train rows (R. Hyndman, A. Koehler, 2006)
    mae_scaled, mse_scaled   mean |e / s| and mean (e / s)^2 with s the deviation that the scaler learnt for the series
    wql       mean over levels of 2 sum pinball / sum |y|           (weighted quantile loss; GluonTS, M5)
    coverage_80   share of y inside q0.1 ... q0.9
    rmae      mae / mae of the reference forecast on the same rows
    skill     1 - rmae: the share of the reference's error that is gone

A table with columns `p_<class>` has numbers of classes as y and point; it is judged by scikit-learn, and otherwise:

    accuracy  share of rows whose point is y; its error, for skill, is 1 - accuracy
    f1        harmonic mean of precision and recall, averaged over the classes that occur
    log_loss  mean -log p of the true class
    brier     mean over rows of sum over classes (p - 1 for the true class, else p)^2   (G. Brier, 1950)
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from forecast.error import Refusal, nearest

REFERENCE = "seasonal_naive"


def levels_of(table: pd.DataFrame) -> dict[float, str]:
    """The quantile levels that a forecast table has columns for, ascending, and the columns' names."""
    levels = {}
    for name in map(str, table.columns):
        if name.startswith("q"):
            try:
                levels[float(name[1:])] = name
            except ValueError:
                continue
    return {level: levels[level] for level in sorted(levels) if 0 < level < 1}


def classes_of(table: pd.DataFrame) -> dict[str, str]:
    """The classes that a forecast table has probabilities of, by number, and the columns' names."""
    return {name[2:]: name for name in map(str, table.columns) if name.startswith("p_")}


def scores(
    table: pd.DataFrame, scale: Mapping[str, float] | None = None, naive_error: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The scores of one forecast table; `scale` and `naive_error` by `unique_id` add the scaled ones and mase.

    Without a column `point` the median q0.5 is scored. Raises Refusal if a column is missing or nothing is observed.
    """
    table = observed(table)
    if classes_of(table):
        return told(table)
    y = table["y"].to_numpy("float64")
    error = y - table["point"].to_numpy("float64")
    size = np.abs(y) + np.abs(y - error)
    result = {
        "mae": np.abs(error).mean(),
        "rmse": np.sqrt(np.square(error).mean()),
        "mse": np.square(error).mean(),
        "smape": np.divide(200 * np.abs(error), size, out=np.zeros_like(size), where=size > 0).mean(),
    }
    if naive_error is not None:
        divisor = by_series(table, naive_error)
        usable = divisor > 0
        result["mase"] = (np.abs(error[usable]) / divisor[usable]).mean() if usable.any() else np.nan
    if scale is not None:
        scaled = error / by_series(table, scale)
        result |= {"mae_scaled": np.abs(scaled).mean(), "mse_scaled": np.square(scaled).mean()}
    quantiles = {level: table[name].to_numpy("float64") for level, name in levels_of(table).items()}
    if quantiles:
        losses = [pinball(y, quantile, level) for level, quantile in quantiles.items()]
        result["wql"] = 2 * np.mean(losses) / total if (total := np.abs(y).sum()) > 0 else np.nan
    if {0.1, 0.9} <= set(quantiles):
        result["coverage_80"] = ((quantiles[0.1] <= y) & (y <= quantiles[0.9])).mean()
    return {name: float(value) for name, value in result.items()}


def told(table: pd.DataFrame) -> dict[str, float]:
    """The scores of a table of classes, every y observed."""
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    y, point, p = judged(table)
    return {
        "accuracy": float(accuracy_score(y, point)),
        "f1": float(f1_score(y, point, average="macro")),
        "log_loss": float(log_loss(y, p / p.sum(1, keepdims=True), labels=np.arange(p.shape[1]))),
        "brier": float(np.square(p - np.eye(p.shape[1])[y]).sum(1).mean()),
    }


def confusion(table: pd.DataFrame) -> pd.DataFrame:
    """How often each true class (rows) was forecast as each (columns)."""
    from sklearn.metrics import confusion_matrix

    table = observed(table)
    y, point, p = judged(table)
    names = list(classes_of(table))
    found = confusion_matrix(y, point, labels=np.arange(p.shape[1]))
    return pd.DataFrame(found, pd.Index(names, name="y"), pd.Index(names, name="point"))


def judged(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True and forecast classes [row], and probabilities [row class]; refused if they are none."""
    p = table[list(classes_of(table).values())].to_numpy("float64")
    for name in ("y", "point"):
        wrong = ~table[name].isin(range(p.shape[1])).to_numpy()
        if wrong.any():
            raise Refusal(
                f"row {wrong.argmax() + 1} of the forecast table: {table[name].iloc[int(wrong.argmax())]:g} in "
                f"'{name}' is not the number of a class, 0 to {p.shape[1] - 1}",
                "not-a-class",
            )
    wrong = ~((p >= 0).all(1) & (np.abs(p.sum(1) - 1) < 1e-3))
    if wrong.any():
        raise Refusal(
            f"row {wrong.argmax() + 1} of the forecast table: the probabilities {p[wrong.argmax()].tolist()} are not "
            "from 0 on with the sum 1",
            "not-a-number",
        )
    return table["y"].to_numpy("int64"), table["point"].to_numpy("int64"), p


def checked(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a `point`, or a Refusal that says which column is missing."""
    levels = levels_of(table)
    if "point" not in table.columns and 0.5 in levels:
        table = table.assign(point=table[levels[0.5]])
    for name in ("unique_id", "ds", "cutoff", "y", "point"):
        if name not in table.columns:
            raise Refusal(
                f"a forecast table needs the column '{name}'{nearest(name, map(str, table.columns))} "
                "(expected: unique_id, ds, cutoff, y, and point or q0.5)",
                "no-column",
            )
    for name in ("y", "point", *levels.values(), *classes_of(table).values()):
        if not pd.api.types.is_numeric_dtype(table[name]):
            wrong = pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()
            row = int(wrong.to_numpy().argmax())
            found = table[name].iloc[row]
            raise Refusal(f"row {row + 1} of the forecast table: '{found}' in '{name}' is not a number", "not-a-number")
    unusable = ~np.isfinite(table["point"].to_numpy("float64")) & table["y"].notna().to_numpy()
    if unusable.any():
        row = int(unusable.argmax())
        raise Refusal(f"row {row + 1} of the forecast table has no finite point forecast", "not-a-number")
    return table


def observed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with an observed y of a table that is checked; refused if there are none."""
    table = checked(table)
    there = table["y"].notna()
    if not there.any():
        raise Refusal("no row of the forecast table has an observed y: there is nothing to score yet", "no-rows")
    return table[there]


def pinball(y: np.ndarray, quantile: np.ndarray, level: float) -> float:
    """The sum of the pinball loss of one level."""
    return float(np.maximum(level * (y - quantile), (level - 1) * (y - quantile)).sum())


def error_of(result: Mapping[str, float]) -> float:
    """The error that skill is about: of values the mean absolute one, of classes the share of wrong ones."""
    return result["mae"] if "mae" in result else 1 - result["accuracy"]


def by_series(table: pd.DataFrame, values: Mapping[str, float]) -> np.ndarray:
    return table["unique_id"].astype(object).map(values).to_numpy("float64")


def compared(
    tables: Mapping[str, pd.DataFrame],
    scale: Mapping[str, float] | None = None,
    naive_error: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Scores of several forecasts of the same rows: model, metric, value; relative to `seasonal_naive` if there."""
    every = {name: scores(table, scale, naive_error) for name, table in tables.items()}
    if REFERENCE in every:
        against = error_of(every[REFERENCE])
        for result in every.values():
            share = error_of(result) / against if against > 0 else float("nan")
            result |= {"rmae": share} if "mae" in result else {}
            result["skill"] = 1 - share
    rows = [(name, metric, value) for name, result in every.items() for metric, value in result.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value"])
