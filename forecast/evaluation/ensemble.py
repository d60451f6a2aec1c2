"""Several forecasts of the same, made one: forecast tables in, one out.

Quantiles are averaged level by level, not distributions: K. Lichtendahl, Y. Grushka-Cockayne, R. Winkler, 2013, Is It
Better to Average Probabilities or Quantiles?
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.classes import judged
from forecast.evaluation.shared import KEYS, levels_shared, quantiles, scorable, shared
from forecast.evaluation.table import classes_of

WAYS = ("mean", "median", "weighted")
PRECISION, ROUNDS = 1e-6, 500  # of learnt weights: of the mean loss, and of planes


def ensemble(
    tables: Mapping[str, pd.DataFrame], how: str = "mean", weights: Sequence[float] | None = None
) -> pd.DataFrame:
    """The mean, the median or the `weighted` mean of forecasts, on the rows and quantile levels that all tables have.

    Of the point forecast and of each level by itself, sorted over the levels, so that quantiles never cross; of classes
    of their probabilities, with the likeliest as point. `weights` are as many as tables, none below 0, with the sum 1.
    """
    if how not in WAYS:
        raise Refusal(f"ensemble={how}: expected one of {', '.join(WAYS)}", "config")
    tables = shared(tables)
    share = shares(weights, len(tables)) if how == "weighted" else None
    first, every = next(iter(tables.values())), tables.values()

    def combined(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.median(values, axis=0) if how == "median" else np.average(values, 0, share)  # no row moves another

    made = first[[*KEYS, "y"]].copy()
    if classes := list(classes_of(first).values()):
        p = combined([table[classes].to_numpy("float64") for table in every])
        p /= p.sum(1, keepdims=True)
        return made.assign(point=p.argmax(1).astype("float64"), **dict(zip(classes, p.T, strict=True)))
    made["point"] = combined([table["point"].to_numpy("float64") for table in every])
    if not (levels := levels_shared(tables)):
        return made
    found = np.sort(combined([quantiles(table, levels) for table in every]), axis=1)
    return made.assign(**dict(zip((f"q{level:g}" for level in levels), found.T, strict=True)))


def shares(weights: Sequence[float] | None, count: int) -> np.ndarray:
    """Weights as an array, refused if they are none."""
    found = np.asarray([] if weights is None else weights, dtype="float64")
    if found.shape != (count,) or not (found >= 0).all() or abs(found.sum() - 1) > 1e-6:
        raise Refusal(
            f"weights={found.tolist()}: expected {count}, one for each table, none below 0 and with the sum 1", "config"
        )
    return found


def learnt(tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """The weights, none below 0 and with the sum 1, whose combination has the smallest loss on these tables.

    That is the mean pinball loss of the shared levels in data units, without levels the mean absolute error, of classes
    the Brier score; learn them on rows that nobody scores. One weight a table serves all levels. The loss is convex in
    the weights, and is made smallest by cutting planes to a millionth of it.

    The weights: Y. Wang, N. Zhang, Y. Tan, T. Hong, D. Kirschen, C. Kang, 2019, Combining Probabilistic Load Forecasts
    (constrained quantile regression averaging); the planes: J. Kelley, 1960, The Cutting-Plane Method for Solving
    Convex Programs.
    """
    tables = scorable(shared(tables))
    first = next(iter(tables.values()))
    y = first["y"].to_numpy("float64")
    if classes := list(classes_of(first).values()):
        true = np.eye(len(classes))[judged(first)[0]]
        forecasts = np.stack([table[classes].to_numpy("float64") for table in tables.values()])
        return smallest(lambda weights: brier(true, forecasts, weights), len(tables))
    levels = levels_shared(tables)
    found = [quantiles(table, levels) if levels else table[["point"]].to_numpy("float64") for table in tables.values()]
    forecasts, at = np.stack(found), np.array(levels or [0.5])
    return smallest(lambda weights: pinball(y[:, None], forecasts, at, weights), len(tables))


def pinball(y: np.ndarray, forecasts: np.ndarray, at: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean pinball loss of weighted forecasts [table row level], and its slope."""
    error = y - np.tensordot(weights, forecasts, 1)
    slope = np.where(error < 0, 1 - at, -at) / error.size
    return float(np.maximum(at * error, (at - 1) * error).mean()), np.tensordot(forecasts, slope, 2)


def brier(true: np.ndarray, forecasts: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean squared error of weighted probabilities [table row class], and its slope."""
    error = np.tensordot(weights, forecasts, 1) - true
    return float(np.square(error).sum() / len(true)), np.tensordot(forecasts, 2 * error / len(true), 2)


def smallest(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], count: int) -> np.ndarray:
    """The weights of the smallest loss: each round asks where the planes that touch it, all below it, are lowest."""
    from scipy.optimize import linprog

    weights = best = np.full(count, 1 / count)
    unit = loss(weights)[0] or 1.0
    least, planes, offsets = np.inf, [], []
    for _ in range(ROUNDS):
        value, slope = loss(weights)
        value, slope = value / unit, slope / unit
        if value < least:
            least, best = value, weights
        planes.append([*slope, -1.0])
        offsets.append(slope @ weights - value)
        bounds = [(0, None)] * count + [(None, None)]
        solved = linprog([*[0.0] * count, 1.0], planes, offsets, [[*[1.0] * count, 0.0]], [1.0], bounds)
        if solved.x is None or least - solved.fun <= PRECISION * least:
            break
        weights = solved.x[:-1].clip(0)
        weights /= weights.sum()
    return best
