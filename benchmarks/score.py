"""How fast is a forecast table scored, and in how much memory beside it? One thread, medians of some rounds.

    python benchmarks/score.py [rows] [rounds]

A synthetic table (default: 10 million rows of 1,000 series, cutoffs with 24 hours each, nine quantile levels), scored
as a whole with all divisors and by each key; its series as text and as categories.
"""

import os
import statistics
import sys
import time
import tracemalloc
from functools import partial

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd

from forecast.evaluation.group import KEYS
from forecast.evaluation.metrics import by, scores

SERIES, HORIZON, MIB = 1_000, 24, 1 << 20
LEVELS = [round(0.1 * k, 1) for k in range(1, 10)]


def table(rows):
    """Forecasts of noise by its true law, shifted a little."""
    rng = np.random.default_rng(0)
    cutoffs = max(1, rows // SERIES // HORIZON)
    ends = pd.date_range("2015-01-01", periods=cutoffs, freq=f"{HORIZON}h").to_numpy()
    ahead = pd.to_timedelta(np.arange(1, HORIZON + 1), "h").to_numpy()
    shape = (SERIES, cutoffs, HORIZON)
    names = np.array([f"series {i}" for i in range(SERIES)], dtype=object)
    columns = {
        "unique_id": np.repeat(names, cutoffs * HORIZON),
        "ds": local(np.tile((ends[:, None] + ahead).ravel(), SERIES)),
        "cutoff": local(np.tile(ends.repeat(HORIZON), SERIES)),
        "y": rng.standard_normal(shape).ravel() + 50,
    }
    columns["point"] = 50.1 + 0.1 * rng.standard_normal(len(columns["y"]))
    law = statistics.NormalDist()
    return pd.DataFrame(columns | {f"q{level:g}": columns["point"] + law.inv_cdf(level) for level in LEVELS})


def local(times):
    return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert("Europe/Berlin")


def peak(work):
    """MiB that a piece of work allocates at most, beside what is there already."""
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    return found


def seconds(work, rounds):
    """Median time of some rounds, their range, and the memory of one more."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return f"{statistics.median(took):6.2f} s  ({min(took):.2f} to {max(took):.2f})  {peak(work):8,.0f} MiB"


def main(rows=10_000_000, rounds=3):
    made = table(rows)
    divisors = [{f"series {i}": 1.0 + i for i in range(SERIES)} for _ in range(3)]
    size = made.memory_usage().sum() / MIB
    print(f"{len(made):,} rows, {len(LEVELS)} levels, {size:,.0f} MiB; found {len(scores(made, *divisors))} scores")
    print(f"{'whole':24s} {seconds(partial(scores, made, *divisors), rounds)}")
    named = made.assign(unique_id=made["unique_id"].astype("category"))
    print(f"{'whole, categories':24s} {seconds(partial(scores, named, *divisors), rounds)}")
    for key in KEYS:
        print(f"{f'by {key}':24s} {seconds(partial(by, named, key, *divisors), rounds)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
