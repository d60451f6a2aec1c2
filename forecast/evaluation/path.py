"""Joint paths over the horizon from forecasts of single steps: the Schaake shuffle.

Each step's samples are the forecast's quantiles at the levels (i + 1/2) / n, so that every step keeps its distribution;
which of them belong together is told by the past: sample i takes at each step the rank that the i-th past trajectory
has there among all that were picked (M. Clark et al., "The Schaake shuffle: a method for reconstructing space-time
variability in forecasted precipitation and temperature fields", 2004).
"""

import numpy as np
import pandas as pd

from forecast.error import Refusal, nearest
from forecast.evaluation.quantile import inverse
from forecast.evaluation.table import levels_of

NEEDED = {
    "forecast table": ("unique_id", "ds", "cutoff", "phase"),
    "history": ("unique_id", "ds", "y", "phase"),
}


def paths(
    table: pd.DataFrame,
    history: pd.DataFrame,
    n: int,
    seed: int,
    low: float | None = None,
    high: float | None = None,
) -> pd.DataFrame:
    """`unique_id, ds, cutoff, sample_0 ... sample_<n-1>`, a row for each of the table's: sample i is one path.

    `history` has every step of each series, y NaN where it was not observed. Past trajectories are as long as the
    forecast, wholly observed, known at its cutoff, and begin at the same `phase`, a whole number (such as the local
    hour) that both tables hold. If there are more than n, n are drawn, at the same times for all series that have them,
    so that paths of several series belong together; if there are fewer, each is taken as often as the others, and
    equal ranks are dealt by chance. The random numbers of a forecast depend on the seed alone. For tails beyond the
    outermost levels see `quantile.inverse`; no sample is below `low` or above `high`.

    Raises Refusal if there are no two quantiles, or no two past trajectories.
    """
    for (name, columns), given in zip(NEEDED.items(), (table, history), strict=True):
        for column in columns:
            if column not in given.columns:
                raise Refusal(
                    f"the {name} has no column '{column}'{nearest(column, map(str, given.columns))}", "no-column"
                )
    levels = levels_of(table)
    if len(levels) < 2:
        raise Refusal("paths need quantiles, two at least: train with head=quantile, or calibrate=split", "levels")
    quantiles, at = table[list(levels.values())].to_numpy("float64"), (np.arange(n) + 0.5) / n
    first, step, begins, y = picked(table, history, n, seed)
    ties = np.random.default_rng([seed, 1]).random((step.max() + 1, n))
    found = np.empty((len(table), n))
    for number, tie in enumerate(ties):
        rows = np.flatnonzero(step == number)
        past = y[begins[first[rows]] + number]
        rank = np.lexsort((np.broadcast_to(tie, past.shape), past)).argsort(1)
        found[rows] = np.take_along_axis(inverse(quantiles[rows], np.array(list(levels)), at), rank, 1)
    samples = pd.DataFrame(np.clip(found, low, high), table.index, [f"sample_{i}" for i in range(n)])
    return pd.concat([table[["unique_id", "ds", "cutoff"]], samples], axis=1)


def picked(
    table: pd.DataFrame, history: pd.DataFrame, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The forecast [row] and its step [row], from 0; where its past trajectories begin [forecast n] in y [past row]."""
    times, _ = pd.factorize(pd.concat([history["ds"], table["ds"], table["cutoff"]]), sort=True)
    past, ds, cutoff = np.split(times, [len(history), len(history) + len(table)])
    names = pd.Index(history["unique_id"].unique())
    owner, series = (names.get_indexer(pd.Index(x["unique_id"])) for x in (history, table))
    if (series < 0).any():
        raise Refusal(f"series '{table['unique_id'].iloc[int(series.argmin())]}' has no history", "too-short")
    order = np.lexsort((past, owner))
    owner, past = owner[order], past[order]
    y, phase = history["y"].to_numpy("float64")[order], history["phase"].to_numpy("int64")[order]

    sorting = np.lexsort((ds, cutoff, series))  # one forecast after the other
    opens = np.flatnonzero(np.diff(series[sorting], prepend=-1) | np.diff(cutoff[sorting], prepend=-1))
    length = np.diff(opens, append=len(table))
    first, step = np.empty(len(table), "int64"), np.empty(len(table), "int64")
    first[sorting] = np.repeat(np.arange(len(opens)), length)
    step[sorting] = np.arange(len(table)) - np.repeat(opens, length)
    head = sorting[opens]

    known = np.searchsorted(owner * len(times) + past, series[head] * len(times) + cutoff[head], "right")
    kind, rows = (owner * (phase.max() + 1) + phase) * len(y), np.arange(len(y))  # by series, then phase, then time
    begins = np.sort(kind + rows)
    wanted = (series[head] * (phase.max() + 1) + table["phase"].to_numpy("int64")[head]) * len(y)
    low, high = np.searchsorted(begins, wanted), np.searchsorted(begins, wanted + known - length, "right")
    age = np.arange(max(1, (high - low).max()))
    places = high[:, None] - 1 - age
    begin = begins[places.clip(0)] % len(y)
    missing = np.concatenate([[0], np.cumsum(np.isnan(y))])
    whole = (places >= low[:, None]) & (missing[np.minimum(begin + length[:, None], len(y))] == missing[begin])
    count = whole.sum(1)
    if count.min() < 2:
        row = head[int(count.argmin())]
        raise Refusal(
            f"series '{table['unique_id'].iloc[row]}' has {count.min()} past trajectories of {length[count.argmin()]} "
            "observed steps that begin at the same phase as the forecast; paths need 2: give more history",
            "too-short",
        )
    chance = np.where(whole, np.random.default_rng([seed, 0]).random(len(age)), np.inf)
    turns = np.argsort(chance, 1)[np.arange(len(head))[:, None], np.arange(n) % count[:, None]]
    return first, step, np.take_along_axis(begin, turns, 1), y
