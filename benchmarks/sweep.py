"""How much sooner is a sweep over when two of its jobs run at once? The same four trainings, launched in three ways.

    python benchmarks/sweep.py [rounds] [key=value ...]

Each sweep is a command line of its own, from its start to its end; the ways take turns, another one first in each
round. The trainings are the default one (a GRU over days, context 168, on the bundled load) with four seeds and one
epoch, if no keys say otherwise. Medians over the rounds (three), and ratios of seconds to those of one job after the
other in the same round. `OMP_NUM_THREADS` is taken away, so that each way divides the cores as it does for users; how
many threads a job had is what its manifest says.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS = "seed=1,2,3,4"
WAYS = {
    "sweep.jobs=1": ["sweep.jobs=1"],
    "sweep.jobs=2": ["sweep.jobs=2"],
    "joblib n_jobs=2": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
}
FIRST = next(iter(WAYS))


def seconds(way: str, words: list[str]) -> tuple[float, set[int]]:
    """Seconds of a sweep, and the threads that its jobs had."""
    environment = {key: x for key, x in os.environ.items() if key != "OMP_NUM_THREADS"}
    with tempfile.TemporaryDirectory() as folder:
        told = ["train", "-m", SEEDS, "trainer.max_epochs=1", *words, *WAYS[way], f"sweep.folder={folder}/sweep"]
        with Path(folder, "log").open("w+") as log:
            began = time.perf_counter()
            ended = subprocess.run([sys.executable, "-m", "forecast", *told], stdout=log, stderr=log, env=environment)
            taken = time.perf_counter() - began
            if ended.returncode:
                sys.exit(f"{way}:\n{Path(folder, 'log').read_text()}")
        manifests = [json.loads(path.read_text()) for path in Path(folder, "sweep").glob("*/manifest.json")]
        return taken, {each["threads"] for each in manifests}


def main(rounds: int, words: list[str]) -> None:
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    threads: dict[str, set[int]] = {}
    for number in range(rounds):
        turn = number % len(WAYS)
        for way in [*WAYS][turn:] + [*WAYS][:turn]:
            each, threads[way] = seconds(way, words)
            taken[way].append(each)
            print(f"round {number + 1}, {way}: {each:.1f} s", file=sys.stderr, flush=True)
    print(f"{'':<16s} {'threads':>8s} {'seconds':>8s} {'ratio':>6s}  least-most")
    for way, found in taken.items():
        ratios = [x / first for x, first in zip(found, taken[FIRST], strict=True)]
        used = ", ".join(map(str, sorted(threads[way])))
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(f"{way:<16s} {used:>8s} {statistics.median(found):>8.1f} {statistics.median(ratios):>6.2f}  {spread}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given.pop(0)) if given and given[0].isdigit() else 3, given)
