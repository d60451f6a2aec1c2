"""Scores of tables of classes: columns `p_<class>`, and numbers of classes as y and point.

accuracy  share of rows whose point is y; its error, for skill, is 1 - accuracy
f1        harmonic mean of precision and recall, averaged over the classes that occur as y or as point
          (macro-averaged, C. van Rijsbergen, 1979)
log_loss  mean -log p of the true class, p not below 2e-16   (I. Good, 1952)
brier     mean over rows of sum over classes (p - 1 for the true class, else p)^2, from 0 to 2   (G. Brier, 1950)
"""

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.table import checked, classes_of

TINY = np.finfo("float64").eps  # a forecast that was certain and wrong has a loss of 36, not an infinite one


def told(table: pd.DataFrame, group: np.ndarray, groups: int) -> dict[str, np.ndarray]:
    """The scores of each group of a checked table of classes [group]; NaN in those without an observed y."""
    seen = table["y"].notna().to_numpy()
    group, (y, point, p) = group[seen], judged(table[seen])
    likely = np.clip(p[np.arange(len(y)), y] / p.sum(1), TINY, 1)
    terms = {"accuracy": y == point, "log_loss": -np.log(likely), "brier": np.square(p - np.eye(p.shape[1])[y]).sum(1)}
    with np.errstate(invalid="ignore"):  # a group without a row has 0 / 0
        count = np.bincount(group, minlength=groups)
        found = {name: np.bincount(group, values, groups) / count for name, values in terms.items()}
        cells = np.ravel_multi_index((group, y, point), (groups, *p.shape[1:] * 2))
        table_of = np.bincount(cells, minlength=groups * p.shape[1] ** 2).reshape(groups, p.shape[1], p.shape[1])
        true, occurs = np.diagonal(table_of, axis1=1, axis2=2), table_of.sum(1) + table_of.sum(2)
        f1 = np.nansum(2 * true / occurs, 1) / (occurs > 0).sum(1)
    return {"accuracy": found["accuracy"], "f1": f1, "log_loss": found["log_loss"], "brier": found["brier"]}


def confusion(table: pd.DataFrame) -> pd.DataFrame:
    """How often each true class (rows) was forecast as each (columns)."""
    from sklearn.metrics import confusion_matrix

    table = checked(table)
    y, point, p = judged(table[table["y"].notna()])
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
