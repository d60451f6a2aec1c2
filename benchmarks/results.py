"""Runs the benchmarks one after the other on a machine that does nothing else, and writes RESULTS.md.

FORECAST_DATA=<folder> python benchmarks/results.py [accuracy.py ...]   # scripts whose parts are made anew: default all
python benchmarks/results.py readme                                     # only the README's tables, out of RESULTS.md
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
README = HERE.parent / "README.md"
MARKS = ("<!-- results: written by benchmarks/results.py -->\n", "<!-- end of results -->")


def machine() -> str:
    packages = ", ".join(f"{x} {version(x)}" for x in ("torch", "lightning", "pandas", "onnxruntime"))
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the first table whose line of titles begins with `first`, titles included."""
    lines = text[text.index(first) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|---")]


def markdown(rows: list[list[str]]) -> str:
    """Rows as a table in markdown, the first of them its titles."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def readme(text: str) -> str:
    """What the README shows of RESULTS.md: accuracy beside published numbers, speed beside other libraries."""
    accuracy = [row[:5] for row in table(text, "| experiment | score |")]
    speed = table(text, "| | training, windows/s |")
    places = [0, *(speed[0].index(x) for x in ("training, windows/s", "rolling forecasts, windows/s"))]
    same = [row for row in speed if not row[0].startswith(("forecast, ", "segments "))]  # those of other networks
    rows = [[row[i].split(" = ")[0] for i in places] for row in same]
    return f"{markdown(accuracy)}\n\n{markdown(rows)}\n"


def into_readme(text: str) -> None:
    """Writes the README's tables anew, between their marks."""
    before, rest = README.read_text().split(MARKS[0])
    README.write_text(f"{before}{MARKS[0]}\n{readme(text)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


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
    into_readme(file.read_text())


if __name__ == "__main__":
    main()
