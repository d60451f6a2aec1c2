"""Writes a made-up data set as a CSV file: python -m peers.synthetic <panel | long> <file>"""

import sys

import numpy as np
import pandas as pd

SIZES = {"panel": (1000, 2000), "long": (1, 1_000_000)}

name, path = sys.argv[1:]
series, rows = SIZES[name]
rng = np.random.default_rng(7)
a, b, p, q = rng.uniform(0.5, 2, (4, series, 1))
x = 2 * np.pi * np.arange(rows)
y = a * np.sin(x / 24 + p) + b * np.sin(x / 168 + q) + rng.normal(0, 0.3, (series, rows))
stamps = pd.date_range("1900", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M")
ids = [f"s{i:04}" for i in range(series)]
frame = pd.DataFrame({"unique_id": np.repeat(ids, rows), "ds": np.tile(stamps, series), "y": y.ravel().round(4)})
frame.to_csv(path, index=False)
