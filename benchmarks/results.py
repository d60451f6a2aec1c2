"""Runs the benchmarks one after the other on a machine that does nothing else, and writes RESULTS.md.

FORECAST_DATA=<folder with ETTh1.csv> python benchmarks/results.py [what speed.py is told]
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from machine import processor

HERE = Path(__file__).parent
SCRIPTS = {  # and how its lines are shown
    "speed.py": ("Training, loader, forecasts, memory", "{}"),
    "latency.py": ("One forecast: p50 / p99 in milliseconds (number of calls)", "```\n{}\n```"),
    "live.py": ("From a new row to the next forecast", "```\n{}\n```"),
}


def machine() -> str:
    packages = ", ".join(f"{x} {version(x)}" for x in ("torch", "lightning", "pandas", "onnxruntime"))
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def main() -> None:
    parts = [f"# What the benchmarks found\n\n{str(__doc__).strip()}\n\nLast on: {machine()}."]
    for script, (title, form) in SCRIPTS.items():
        told = sys.argv[1:] if script == "speed.py" else []
        run = subprocess.run([sys.executable, HERE / script, *told], capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"{script} failed:\n{run.stderr[-2000:]}")
        parts.append(f"## {title} ({script})\n\n{form.format(run.stdout.strip())}")
        (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
