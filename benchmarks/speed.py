"""How fast is it? Medians of processes of their own that take turns, beside the bare loop and other libraries.

    FORECAST_DATA=<folder with ETTh1.csv> python benchmarks/speed.py [rounds [etth1 | panel | long ...]] [--peers]

The task: LSTM of 64 units, context 96, horizon 24, batches of 256, Adam, float32, two threads, on ETTh1 (7 series of
17,420), a panel (1,000 of 2,000) and one long series (1,000,000). Beside `Forecaster` stands the bare loop that one
writes by hand for the same windows, with the allocator as it is and tuned. Training is the median of steps; the loader
makes batches and drops them; forecasts are those of all windows of the last fifth, with their table. On ETTh1 `gru` and
`segment` stand beside. With `--peers` (all, or the named ones) the nearest model of each library in peers.txt does the
same; what differs is said at the top of its file in peers/. Each is installed on first use, into an environment of its
own in the folder FORECAST_PEERS (default ~/.cache/forecast-peers), as your pip is set up: 2 GB each where torch comes
for CPUs, several times that else.
"""

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HERE = Path(__file__).parent
KINDS = {"bare": "the bare loop", "tuned": "the bare loop, allocator tuned", "ours": "**forecast**"}
MODELS = {"gru": "forecast, gru", "segment": "forecast, segment", "segment_bare": "segments by hand, allocator tuned"}
BESIDE = (("ours", "tuned"), ("gru", "ours"), ("segment", "ours"), ("segment", "segment_bare"))
PINS = [line.split() for line in (HERE / "peers.txt").read_text().splitlines()]
PEERS = {re.split(r"[\[=]", pins[1])[0]: pins for pins in PINS}
DATA = {"etth1": "ETTh1", "panel": "1,000 x 2,000", "long": "1 x 1,000,000"}
FIGURES = {  # and how they are written
    "training": ("training, windows/s", "{:,.0f}"),
    "loader": ("loader alone, windows/s", "{:,.0f}"),
    "forecasts": ("rolling forecasts, windows/s", "{:,.0f}"),
    "peak": ("peak of training, MiB", "{:.0f}"),
    "first step": ("start to first step, s", "{:.1f}"),
}
WAITING = (["-c", "import forecast"], ["-m", "forecast", "--help"], ["-m", "forecast", "train", "--help"])
TRAINING = ["-m", "forecast", "train"]


def environment(peer: str) -> str:
    """The Python that has this peer, installed if it is not there yet."""
    folder = Path(os.environ.get("FORECAST_PEERS", Path.home() / ".cache" / "forecast-peers")) / peer
    python, done = str(folder / "bin" / "python"), folder / "pins.txt"
    pins = PEERS[peer]
    if not done.is_file() or done.read_text().split() != pins:
        venv.create(folder, clear=True, with_pip=True)
        for wanted in (pins[:1], pins):  # torch alone first: the build that pip is set up to take
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True, stdout=sys.stderr)
        done.write_text(" ".join(pins))
    return python


def source(name: str, scratch: Path) -> Path:
    """The CSV file of a data set; the made-up ones are made in a process of their own, as a child's peak of memory
    is never below that of what started it."""
    path = scratch / f"{DATA[name] if name == 'etth1' else name}.csv"
    if name == "etth1":
        given = Path(os.environ["FORECAST_DATA"]) / path.name
        path.write_bytes(given.read_bytes() if given.is_file() else gzip.decompress(Path(f"{given}.gz").read_bytes()))
    else:
        ran(sys.executable, "-m", "peers.synthetic", name, str(path))
    return path


def ran(*words: str, apart: bool = False) -> tuple[float, str]:
    """Seconds and the last line of one process; what is `apart` can't import forecast."""
    paths = [str(HERE), *([] if apart else filter(None, [os.environ.get("PYTHONPATH")]))]
    environ = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as scratch:
        began = time.time()
        run = subprocess.run(words, capture_output=True, text=True, cwd=scratch, env=environ, check=False)
        if run.returncode:
            raise SystemExit(f"{' '.join(words)}\n{run.stderr[-2000:]}")
        return time.time() - began, (run.stdout.splitlines() or [""])[-1]


def spread(values: list[float], form: str) -> str:
    middle, low, high = (form.format(x) for x in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def ratio(key: str, mine: list[dict[str, float]], base: list[dict[str, float]]) -> str:
    """Those of the same round."""
    ratios = [a[key] / b[key] for a, b in zip(mine, base, strict=True)]
    return spread(ratios, "{:.2g}" if max(ratios) < 0.1 else "{:.2f}")


def cell(key: str, mine: list[dict[str, float]], base: list[dict[str, float]]) -> str:
    median = FIGURES[key][1].format(statistics.median(x[key] for x in mine))
    return median if mine is base else f"{median} = {ratio(key, mine, base)}"


def compared(name: str, path: Path, rounds: int, pythons: dict[str, str], limits: list[str]) -> None:
    """One data set: every kind once a round, then the table."""
    labels = KINDS | (MODELS if name == "etth1" else {}) | {peer: peer for peer in pythons}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in labels}
    for _ in range(rounds):
        for kind, results in found.items():  # taking turns
            python, module = pythons.get(kind, sys.executable), kind.replace("-", "_")
            words = (python, "-m", "peers", module, str(path), str(time.time()), *limits)
            results.append(json.loads(ran(*words, apart=kind in pythons)[1]))
            print(name, kind, results[-1], file=sys.stderr, flush=True)
    keys = [key for key in FIGURES if key in found["bare"][0]]
    print(f"\n### {DATA[name]}\n\n| | {' | '.join(FIGURES[key][0] for key in keys)} |\n|{'---|' * (len(keys) + 1)}")
    for kind, results in found.items():
        cells = [cell(key, results, found["bare"]) for key in keys]
        print(f"| {labels[kind]} | {' | '.join(cells)} |")
    print()
    for mine, base in (pair for pair in BESIDE if found.keys() >= set(pair)):
        told = [f"{key} {ratio(key, found[mine], found[base])}" for key in ("training", "forecasts") if key in keys]
        print(f"- {labels[mine]}, beside {labels[base]}: {', '.join(told)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("data", nargs="*", metavar="data", help=", ".join(DATA))
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="none named: all")
    parser.add_argument("--steps", default="60", help="of training, after the first 5")
    parser.add_argument("--seconds", default="8", help="that training or the loader may take at most")
    asked = parser.parse_args()
    if unknown := set(asked.data) - set(DATA):
        parser.error(f"no data {', '.join(unknown)}: expected {', '.join(DATA)}")
    chosen = [] if asked.peers is None else asked.peers or PEERS
    pythons = {peer: environment(peer) for peer in chosen}
    print("Medians; after = their ratio to the bare loop in the same round (from the least to the most).")
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.data or DATA:
            path = source(name, Path(scratch))
            compared(name, path, asked.rounds, pythons, [asked.steps, asked.seconds])
            path.unlink()
    if "etth1" in (asked.data or DATA):
        waited(asked.rounds)


def waited(rounds: int) -> None:
    """How long the commands take that one waits for."""
    print("\n### What one waits for\n\n| | s |\n|---|---|")
    for words, times in [(x, rounds) for x in WAITING] + [(TRAINING, min(2, rounds))]:
        label = " ".join(words[1:])
        print(f"| {label} | {spread([ran(sys.executable, *words)[0] for _ in range(times)], '{:.2f}')} |", flush=True)


if __name__ == "__main__":
    main()
