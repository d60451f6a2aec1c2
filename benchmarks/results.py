"""Runs the benchmarks one after the other on a machine that does nothing else, and writes RESULTS.md.

FORECAST_DATA=<folder> python benchmarks/results.py [accuracy.py ...]   # scripts whose parts are made anew: default all
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from machine import processor

HERE = Path(__file__).resolve().parent
PARTS = (  # title, what is run, how its lines are shown
    ("Training, loader, forecasts, memory, beside other libraries", ["speed.py", "5", "etth1", "--peers"], "{}"),
    ("Larger data", ["speed.py", "5", "panel", "long"], "{}"),
    ("One forecast: p50 / p99 in milliseconds (number of calls)", ["latency.py"], "```\n{}\n```"),
    ("From a new row to the next forecast", ["live.py"], "```\n{}\n```"),
    ("A sweep of four trainings", ["sweep.py"], "```\n{}\n```"),
    ("What a first run reaches, with the defaults", ["defaults.py"], "{}"),
    ("Accuracy, beside published numbers", ["accuracy.py", "--known"], "{}"),
)
HEAD = "\n\n## "


def machine() -> str:
    packages = ", ".join(f"{x} {version(x)}" for x in ("torch", "lightning", "pandas", "onnxruntime"))
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def main() -> None:
    file, wanted = HERE / "RESULTS.md", sys.argv[1:]
    _, *old = file.read_text().strip("\n").split(HEAD) if file.exists() else [""]
    parts = {each.split("\n")[0].rsplit(" (", 1)[0]: each for each in old}
    for title, words, form in PARTS:
        if wanted and words[0] not in wanted:
            continue
        run = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=False, cwd=HERE)
        if run.returncode:
            raise SystemExit(f"{' '.join(words)} failed")
        shown = form.format(run.stdout.strip("\n"))
        parts[title] = f"{title} ({' '.join(words)})\n\n{shown}"
        top = f"# What the benchmarks found\n\n{str(__doc__).strip()}\n\nLast on: {machine()}."
        file.write_text(HEAD.join([top, *(parts[x] for x, *_ in PARTS if x in parts)]) + "\n")


if __name__ == "__main__":
    main()
