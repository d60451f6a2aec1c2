"""How fast are data read and gathered, and in how much memory? Each figure from a process of its own.

    python benchmarks/data.py [scale]

Reading a CSV of 10 million rows (one minute series, two columns of numbers) against plain `pandas.read_csv`, then
panels of 1 x 1,000,000, 1,000 x 2,000 and 100,000 x 200 rows: from DataFrame to first batch, the loader alone (context
96, horizon 24, one channel, batches of 256, two threads), from memory and from files, against a bare `index_select`.
`scale` divides the numbers of rows; 1000 takes seconds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"

import numpy as np
import pandas as pd
import torch

from forecast import config
from forecast.contract import Window
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import reader, scaler, table
from forecast.data.store import stored
from forecast.data.windows import Windows

MIB = 1 << 20
WINDOW = Window(context=96, horizon=24, stride=1, gap=0, anchor=None)
PANELS = [(1, 1_000_000), (1_000, 2_000), (100_000, 200)]
HEAD = f"{'series x rows':>18s} {'to batch, s':>11s} {'loader':>11s} {'mapped':>11s} {'bare gather':>11s} {'MiB':>7s} {'peak/MiB':>9s} {'mapped peak/MiB':>15s}"  # fmt: skip # noqa: E501


def memory(key):
    """MiB of this process: VmRSS now, RssAnon without files, VmHWM at most."""
    return (
        next(int(x.split()[1]) for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key)) / 1024
    )


def peak_over(base):
    """MiB over a base since `forget`."""
    return memory("VmHWM") - base


def forget():
    """Starts the peak anew and gives the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def options(**changed):
    return config.composed("train", ["data=csv"])["data"] | changed


def write(path, rows):
    """A CSV of so many minutes."""
    rng = np.random.default_rng(0)
    stamps = np.datetime64("2000-01-01T00:00", "s") + np.arange(rows).astype("m8[m]")
    with path.open("w") as file:
        file.write("time,y,x\n")
        for part in np.array_split(stamps, max(1, rows // 100_000)):
            text = np.strings.replace(np.datetime_as_string(part, unit="s"), "T", " ").tolist()
            y, x = rng.normal(100, 20, len(part)).round(3).tolist(), rng.normal(size=len(part)).round(5).tolist()
            file.writelines(f"{a},{b},{c}\n" for a, b, c in zip(text, y, x, strict=True))


def plain(path):
    """Prints seconds and peak of plain pandas."""
    base, began = forget(), time.perf_counter()
    frame = pd.read_csv(path, parse_dates=["time"])
    print(time.perf_counter() - began, peak_over(base), frame.memory_usage().sum() / MIB, 0)


def ours(path):
    """Prints seconds of read and table, their peak, the table's size, and seconds of the grid."""
    data = options(target=["y", "x"], joint=True)
    base, began = forget(), time.perf_counter()
    found = table.table(reader.read(path, data), data, path)
    seconds, peak = time.perf_counter() - began, peak_over(base)
    grids.grid(found, 24)
    size = found.frame.memory_usage().sum() / MIB
    print(seconds, peak, size, time.perf_counter() - began - seconds)


def gathered(windows, order):
    """Windows a second."""
    began = time.perf_counter()
    for numbers in order.split(256):
        windows.batch(numbers)
    return len(order) / (time.perf_counter() - began)


def loader(series, rows, folder):
    """Prints seconds to the first batch, windows a second (panel, mapped panel, index_select), sizes and peaks."""
    torch.set_num_threads(2)
    stamps = pd.date_range("2000-01-01", periods=rows, freq="h")
    frame = pd.DataFrame(
        {
            "unique_id": pd.Categorical.from_codes(np.repeat(np.arange(series), rows), [f"{i}" for i in range(series)]),
            "ds": np.tile(stamps, series),
            "y": np.random.default_rng(0).normal(100, 20, series * rows),
        }
    )
    data = options()
    began = time.perf_counter()
    grid = grids.grid(table.table(frame, data, "DataFrame"), 24)
    panel = panels.panel(grid, scaler.learn(grid, int(grid.first[0]) + rows, options(calendar=[])))
    windows = Windows.between(panel, WINDOW, int(grid.first[0]), int(grid.first[0]) + rows)
    windows.batch(torch.arange(256).clamp(max=len(windows) - 1))
    seconds = time.perf_counter() - began
    size = sum(x.nbytes for x in vars(panel).values() if isinstance(x, torch.Tensor)) / MIB
    del frame, grid
    order = torch.randperm(len(windows))[:400_000]
    base = forget()
    ours = statistics.median(gathered(windows, order) for _ in range(3))
    peak = peak_over(base)
    view = panel.y[:, 0].as_strided((len(panel.y) - WINDOW.length + 1, WINDOW.length), (1, 1))
    bare = []
    for _ in range(3):
        began = time.perf_counter()
        for numbers in order.split(256):
            view.index_select(0, windows.starts.index_select(0, numbers))
        bare.append(len(order) / (time.perf_counter() - began))
    panel = stored(panel, Path(folder))
    windows = Windows(panel, WINDOW, windows.starts)
    base = memory("RssAnon")
    forget()
    mapped = statistics.median(gathered(windows, order) for _ in range(3))
    print(seconds, ours, mapped, statistics.median(bare), size, (size + peak) / size, (memory("RssAnon") - base) / size)


def process(*words):
    """The numbers that one process prints."""
    run = subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    return [float(x) for x in run.stdout.split()]


def main(scale=1):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "long.csv"
        write(path, 10_000_000 // scale)
        rounds = [(process("plain", path), process("ours", path)) for _ in range(3)]
        base, found = ([statistics.median(x) for x in zip(*each, strict=True)] for each in zip(*rounds, strict=True))
        ratio = statistics.median((b[0] + b[3]) / a[0] for a, b in rounds)
        print(f"{10_000_000 // scale:,} rows, seconds: pandas {base[0]:.2f}, ours {found[0]:.2f}, grid {found[3]:.2f}")
        print(f"ratio, read and table       {statistics.median(b[0] / a[0] for a, b in rounds):.2f}")
        print(f"ratio, with grid            {ratio:.2f}   (goal 1.6)")
        print(f"size of the table, MiB      {found[2]:.0f}")
        print(f"peak / size                 {found[1] / found[2]:.2f}   (goal 1.5; pandas {base[1] / base[2]:.2f})")
        path.unlink()
        print(HEAD)
        for series, rows in PANELS:
            few, short = max(1, series // scale), max(200, rows // (scale if series == 1 else 1))
            a, b, c, d, e, f, g = process("loader", few, short, scratch)
            print(f"{few:>9,} x {short:<6,} {a:11.2f} {b:11,.0f} {c:11,.0f} {d:11,.0f} {e:7.1f} {f:9.2f} {g:15.2f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["plain" | "ours" as name, path]:
            {"plain": plain, "ours": ours}[name](path)
        case ["loader", series, rows, folder]:
            loader(int(series), int(rows), folder)
        case words:
            main(*map(int, words))
