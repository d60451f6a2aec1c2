"""one HTML page about all runs below a folder: leaderboard, charts, how to run them again"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes report.html and leaderboard.csv; runs that can't be read and tables that fit no run are on the page.

    Raises Refusal if there is no run at all, or an extra table can't be read.
    """
    from forecast import atomic
    from forecast.board import leaderboard, report, runs
    from forecast.data.lines import find
    from forecast.error import Refusal, nearest

    root = Path(str(config["path"]))
    if not root.is_dir():
        beside = [str(x) for x in root.parent.iterdir() if x.is_dir()] if root.parent.is_dir() else []
        raise Refusal(f"path={root}: there is no such folder{nearest(str(root), beside)}", "missing-file")
    if not isinstance(config["extra"], list) or not all(isinstance(path, str) for path in config["extra"]):
        raise Refusal(f"extra={config['extra']}: expected a list of CSV files, [theirs.csv]", "config")
    found, left_out = runs.found(root)
    if not found:
        why = [f"; {len(left_out)} can't be read, such as {name}: {reason}" for name, reason in left_out.items()]
        raise Refusal(f"{root} holds no finished run: make one with forecast train{''.join(why[:1])}", "no-runs")
    others = [run for path in config["extra"] for run in runs.foreign(find(path, "extra"))]
    groups, reasons = leaderboard.groups(found, others)
    left_out |= {name: f"not comparable with any run: {reason}" for name, reason in reasons.items()}
    out = Path(config["folder"] or root)
    page = report.page(groups, left_out, f"Forecast report: {root.resolve().name}")
    atomic.write(out / "leaderboard.csv", leaderboard.table(groups).to_csv(index=False))
    atomic.write(out / "report.html", page)
    for group in groups:
        best = group.runs[0]
        print(f"{group.data}: best of {len(group.runs)} is {best.model} ({best.name})")
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    print(f"report: {out / 'report.html'}")
