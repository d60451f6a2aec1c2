"""The model confidence set: which of several forecasts may be the best, as far as the data tell.

P. Hansen, A. Lunde, J. Nason, 2011, The Model Confidence Set.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.significance import lacking, losses, ratio

STATISTICS = ("range", "max")


def confidence_set(
    tables: Mapping[str, pd.DataFrame], *, loss: str, level: float, statistic: str, draws: int, seed: int
) -> pd.DataFrame:
    """Models with their p, worst first, and whether they are in the set that holds the best with 1 - level.

    Returns `model, p, inside`; p is the smallest level at which a model is left out. Raises Refusal as `significance`
    does.
    """
    if statistic not in STATISTICS:
        raise Refusal(f"statistic={statistic}: expected one of {', '.join(STATISTICS)}", "config")
    whole, _ = losses(tables, loss)
    if lacking(whole):
        raise Refusal(lacking(whole), "too-few")
    values = whole.values.to_numpy()
    block = max(whole.overlap, round(len(values) ** (1 / 3)))
    order, p = eliminated(values, resampled(values, block, draws, seed), statistic)
    names = [whole.values.columns[i] for i in order]
    return pd.DataFrame({"model": names, "p": p, "inside": p >= level})


def eliminated(values: np.ndarray, means: np.ndarray, statistic: str) -> tuple[list[int], np.ndarray]:
    """The order in which models leave, the best last, and the p of each.

    `values` [cutoff model] are losses, `means` [draw model] their bootstrapped means. With L_i the mean loss of i,

        range   T = max_ij |t_ij|, t_ij = (L_i - L_j) / sd of it; the model with the largest t_ij leaves
        max     T = max_i t_i, t_i = (L_i - mean of those left) / sd of it; the model with the largest t_i leaves

    The share of draws whose T, around the mean, is at least as large is the p of the test; a model's is the largest
    one up to it.
    """
    left, order, found = list(range(values.shape[1])), [], [0.0]
    level, spread = values.mean(0), means - values.mean(0)
    while len(left) > 1:
        if statistic == "range":
            gap = level[left][:, None] - level[left]
            drawn = spread[:, left][:, :, None] - spread[:, left][:, None]
        else:
            gap = level[left] - level[left].mean()
            drawn = spread[:, left] - spread[:, left].mean(1, keepdims=True)
        deviation = np.sqrt(np.square(drawn).mean(0))
        t, drawn = ratio(gap, deviation), ratio(drawn, deviation)
        drawn = drawn.reshape(len(means), -1).max(1)  # of pairs both ways round, so that it is the largest |t_ij|
        worst = int(t.reshape(len(left), -1).max(1).argmax())
        found.append(max(found[-1], float((drawn >= t.max()).mean())))
        order.append(left.pop(worst))
    return [*order, *left], np.array([*found[1:], 1.0])


def resampled(values: np.ndarray, block: int, draws: int, seed: int) -> np.ndarray:
    """Means [draw model] of as many values as there are, in blocks that follow each other in time (moving blocks).

    H. Künsch, 1989, The jackknife and the bootstrap for general stationary observations.
    """
    count = len(values)
    block = min(block, count)
    blocks, rest = divmod(count, block)
    level = values.mean(0)
    total = np.concatenate([np.zeros((1, values.shape[1])), (values - level).cumsum(0)])
    starts = np.random.default_rng(seed).integers(0, count - block + 1, (draws, blocks + 1))
    sums = (total[block:] - total[:-block])[starts[:, :blocks]].sum(1)
    sums += total[starts[:, -1] + rest] - total[starts[:, -1]]
    return level + sums / count
