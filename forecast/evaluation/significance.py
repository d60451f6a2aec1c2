"""Whether one forecast is really better than another: forecast tables in, a table of p-values out.

A test looks at the losses of two forecasts of the same rows, averaged for each cutoff and ordered in time. All are
one-sided, as the literature on electricity prices has them (J. Lago, G. Marcjasz, B. De Schutter, R. Weron, 2021,
Forecasting day-ahead electricity prices: a review of state-of-the-art algorithms, best practices and an open-access
benchmark): **a small p says that the column is better than the row.**

    multivariate   one test on the mean loss of all steps of a cutoff: for daily forecasts, on the norm of the day's
                   errors (mae: the 1-norm, mse: the squared 2-norm, but for their constant factor)
    per step       one test for each step, of daily forecasts each hour of the delivery day (univariate, in their words)

Tests of many pairs and steps are not corrected for being many; what all of them together say is in `confidence`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.classes import judged
from forecast.evaluation.group import steps
from forecast.evaluation.shared import instants, levels_shared, quantiles, scorable, shared
from forecast.evaluation.table import checked, classes_of

LOSSES = ("mae", "mse", "pinball")
LEAST, SPANS = 10, 3  # a test needs so many cutoffs, and so many times those over which forecasts overlap


class Losses(NamedTuple):
    """Mean losses in order of time [cutoff model], and how many cutoffs later a forecast is judged (1: at the next)."""

    values: pd.DataFrame
    overlap: int


def losses(tables: Mapping[str, pd.DataFrame], loss: str) -> tuple[Losses, dict[int, Losses]]:
    """Losses of tables by cutoff: over all steps, and for each step; the mean over series, on rows that all share.

    mae: mean |y - point|; mse: mean (y - point)^2; pinball: mean over the levels that all tables have; of classes it
    is always the Brier score. The steps of a cutoff are counted from 1 in order of ds, among all rows of the first.
    """
    if loss not in LOSSES:
        raise Refusal(f"loss={loss}: expected one of {', '.join(LOSSES)}", "config")
    name, whole = next(iter(tables.items()))
    tables = shared({**tables, name: checked(whole, empty=True).assign(step=steps(whole) + 1)})
    first = tables[name]
    rows = first[["step"]].assign(cutoff=instants(first["cutoff"]), ds=instants(first["ds"]))
    tables, levels = scorable(tables), levels_shared(tables)
    if loss == "pinball" and not levels and not classes_of(first):
        raise Refusal(f"loss=pinball: the tables {', '.join(tables)} share no quantile level; use loss=mae", "levels")
    each = pd.DataFrame({name: by_row(table, loss, levels) for name, table in tables.items()})
    rows = rows.loc[each.index]
    of_step = {step: rows[rows["step"] == step] for step in np.unique(rows["step"]).tolist()}
    return averaged(each, rows), {step: averaged(each.loc[part.index], part) for step, part in of_step.items()}


def by_row(table: pd.DataFrame, loss: str, levels: list[float]) -> pd.Series:
    """The loss of each row of a table, every y observed."""
    y = table["y"].to_numpy("float64")
    if classes_of(table):
        number, _, p = judged(table)
        found = np.square(p - np.eye(p.shape[1])[number]).sum(1)
    elif loss == "pinball":
        error, at = y[:, None] - quantiles(table, levels), np.array(levels)
        found = np.maximum(at * error, (at - 1) * error).mean(1)
    else:
        error = y - table["point"].to_numpy("float64")
        found = np.abs(error) if loss == "mae" else np.square(error)
    return pd.Series(found, table.index)


def averaged(each: pd.DataFrame, rows: pd.DataFrame) -> Losses:
    """The mean loss for each cutoff, and the largest number of cutoffs from a forecast until its last ds is known."""
    values = each.groupby(rows["cutoff"].to_numpy(), sort=True).mean()
    ends = rows.groupby("cutoff", sort=True)["ds"].max().to_numpy()
    cutoffs = rows["cutoff"].drop_duplicates().sort_values().to_numpy()
    later = np.searchsorted(cutoffs, ends, side="left") - np.arange(len(cutoffs))
    return Losses(values, max(1, int(later.max())))


def significance(tables: Mapping[str, pd.DataFrame], *, loss: str, test: str) -> pd.DataFrame:
    """Tests of every pair: test, loss, step (empty: multivariate), cutoffs, row, column, statistic, p.

    `test` is one of TESTS: dm, gw, gw_unconditional. Steps with too few cutoffs are left out; raises Refusal if there
    are too few at all, or fewer than two tables.
    """
    if test not in TESTS:
        raise Refusal(f"test={test}: expected one of {', '.join(TESTS)}", "config")
    if len(tables) < 2:
        raise Refusal("a test compares two forecast tables at least", "config")
    whole, steps = losses(tables, loss)
    if lacking(whole):
        raise Refusal(lacking(whole), "too-few")
    parts = [tested(whole, test, None)]
    parts += [tested(part, test, step) for step, part in steps.items() if len(steps) > 1 and not lacking(part)]
    found = pd.concat(parts, ignore_index=True).astype({"step": "Int64"})
    found.insert(0, "test", test)
    found.insert(1, "loss", "brier" if classes_of(next(iter(tables.values()))) else loss)
    return found


def lacking(each: Losses) -> str:
    """Why losses are too few for a test; empty if they are enough."""
    count, wanted = len(each.values), max(LEAST, SPANS * each.overlap)
    why = f" ({SPANS} times the {each.overlap} over which forecasts overlap)" if wanted > LEAST else ""
    return f"a test needs {wanted} cutoffs{why}, the tables share {count}" if count < wanted else ""


def tested(each: Losses, test: str, step: int | None) -> pd.DataFrame:
    """One test for every pair of models."""
    values, names = each.values.to_numpy(), list(each.values)
    row, column = np.nonzero(~np.eye(len(names), dtype=bool))
    statistic, p = TESTS[test](values[:, row] - values[:, column], each.overlap)
    names = np.array(names, dtype=object)
    columns = {"step": step, "cutoffs": len(values), "row": names[row], "column": names[column]}
    return pd.DataFrame({**columns, "statistic": statistic, "p": p})


def diebold_mariano(difference: np.ndarray, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Statistic and p of loss differences [cutoff ...]: is their mean above 0?

    With d the differences of T cutoffs and h the overlap, V = g_0 + 2 sum_{k < h} g_k, g_k the autocovariance,

        DM = mean d / sqrt(V / T) * sqrt((T + 1 - 2 h + h (h - 1) / T) / T)    against Student's t of T - 1 degrees.

    F. Diebold, R. Mariano, 1995, Comparing Predictive Accuracy; the second root, and t, by D. Harvey, S. Leybourne,
    P. Newbold, 1997, Testing the equality of prediction mean squared errors.
    """
    from scipy import stats

    count, h, mean = len(difference), overlap, difference.mean(0)
    variance = lasting((difference - mean)[..., None], h)[..., 0, 0]
    small = np.sqrt((count + 1 - 2 * h + h * (h - 1) / count) / count)
    statistic = ratio(mean, np.sqrt(np.maximum(variance, 0) / count)) * small
    return statistic, stats.t.sf(statistic, count - 1)


def giacomini_white(difference: np.ndarray, overlap: int, conditional: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Statistic and p of loss differences [cutoff ...]: could their sign be told beforehand, and is their mean above 0?

    With d_t the differences, h the overlap and z_t = (d_t, d_t d_{t-h}), or d_t alone if not `conditional`,

        W = n mean z' S^-1 mean z against chi^2 of as many degrees as z has entries;

    S is the mean of z z', for h > 1 with the autocovariances of z up to h - 1. d_{t-h} is the last difference that is
    known when forecast t is made. As in the literature on prices, W takes the sign of mean d, so that p is 1 where the
    row has the smaller loss: if both are equally good, p < 0.05 in 2.5 % of the cases for either direction.

    R. Giacomini, H. White, 2006, Tests of Conditional Predictive Ability.
    """
    from scipy import stats

    scale, mean = np.sqrt(np.square(difference).mean(0)), difference.mean(0)
    d = ratio(difference, scale)
    z = np.stack([d[overlap:], d[overlap:] * d[:-overlap]], -1) if conditional else d[..., None]
    n, moment, s = len(z), z.mean(0), lasting(z, overlap)
    wald = n * np.einsum("...i,...ij,...j->...", moment, np.linalg.pinv(s, hermitian=True), moment)
    statistic = np.sign(mean) * wald
    return statistic, stats.chi2.sf(statistic, z.shape[-1])


def unconditional(difference: np.ndarray, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Giacomini-White without an instrument: is the mean of loss differences above 0?"""
    return giacomini_white(difference, overlap, conditional=False)


def lasting(z: np.ndarray, overlap: int) -> np.ndarray:
    """The variance [... i j] of sqrt(n) mean z of z [cutoff ... i] that is alike up to overlap - 1 cutoffs apart.

    G_0 + sum_k w_k (G_k + G_k'), G_k the mean of z_t z_{t-k}'; all w_k are 1 (P. Hansen, R. Hodrick, 1980), but
    where that is not positive, 1 - k / overlap (W. Newey, K. West, 1987).
    """
    g = np.stack([np.einsum("t...i,t...j->...ij", z[k:], z[: len(z) - k]) / len(z) for k in range(overlap)])
    g[1:] += g[1:].swapaxes(-1, -2)
    plain, safe = g.sum(0), np.tensordot(1 - np.arange(overlap) / overlap, g, 1)
    return np.where(np.linalg.eigvalsh(plain)[..., :1, None] > 0, plain, safe)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, where both are 0 (forecasts that do not differ) 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((above == 0) & (below == 0), 0.0, above / below)


TESTS: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]] = {
    "dm": diebold_mariano,
    "gw": giacomini_white,
    "gw_unconditional": unconditional,
}
