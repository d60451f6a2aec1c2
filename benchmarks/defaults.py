"""What a newcomer's first run reaches: `forecast train` with its defaults, or others, on ten very different data sets.

    FORECAST_DATA=<folder> python benchmarks/defaults.py [override ...] [--jobs 2]
    python benchmarks/defaults.py model=direct backbone=lstm --of load epf_NP ETTh1    # of others, on some of the sets

MAE against seasonal naive (below 1: better), coverage of 80 % intervals and seconds with one thread. Long files are
learnt from 10,000 windows an epoch, so that all ten take minutes. Choose by val/mae; the rest only tells.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

GIVEN = {
    "load": ["data=load"],
    "prices": ["data=prices"],
    "energy": ["data=energy"],
    "epf_NP": ["data=epf_np"],
    "epf_PJM": ["data=epf_pjm"],
    "ETTh1": ["data=etth1"],
    "pjm_east_hourly_load": ["data.target=[PJME_MW]"],
    "opsd_germany_daily": ["data.target=[Consumption]"],
    "gefcom2014_E_load_temperature": ["data.target=[load]", "data.past=[T]"],
    "exchange_rate": ["data=exchange"],
}
SMALL = ["windows_per_epoch=10000", "test_stride=24", "logger=none", "callbacks.figures=null"]


def trained(name: str, overrides: list[str]) -> dict[str, float]:
    """Scores of one training in a folder of its own."""
    data = GIVEN[name] if GIVEN[name][0].startswith("data=") else [f"data.path={name}.csv", *GIVEN[name]]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        words = ["forecast", "train", *data, *SMALL, *overrides, "folder=run"]
        run = subprocess.run(words, cwd=scratch, env=environ, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"{' '.join(words)}\n{run.stderr[-1000:]}")
        found = json.loads((Path(scratch) / "run" / "manifest.json").read_text())
    scores = found["scores"] | {"val/mae": found["score"]["value"], "seconds": found["cost"]["seconds"]}
    cells = [f"{scores[x]:.3f}" for x in ("rmae", "coverage_80", "val/mae")]
    print(f"| {' | '.join([name, *cells, str(round(scores['seconds']))])} |", flush=True)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="override")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    parser.add_argument(
        "--of", nargs="+", choices=GIVEN, default=list(GIVEN), help="data sets, default all", metavar="set"
    )
    given = parser.parse_args()
    print("| data | MAE / naive | coverage of 80 % | val/mae | s |\n|---|---|---|---|---|", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        found = list(pool.map(lambda name: trained(name, given.overrides), given.of))
    mean = statistics.geometric_mean([x["rmae"] for x in found])
    missed = statistics.fmean([abs(x["coverage_80"] - 0.8) for x in found])
    val, seconds = (statistics.geometric_mean([x[key] for x in found]) for key in ("val/mae", "seconds"))
    print(f"| geometric mean | {mean:.3f} | off by {missed:.3f} | {val:.3f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
