"""The jobs of a sweep, best first."""

import json
from pathlib import Path

import pandas as pd

from forecast import terminal


def ranking(sweep: Path) -> str:
    """A table of the sweep's jobs by validation score, written beside them as ranking.csv; failed jobs are listed."""
    rows, failed = [], []
    for folder in sorted(
        (path for path in sweep.iterdir() if path.is_dir()), key=lambda path: (len(path.name), path.name)
    ):
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            failed.append(folder.name)
            continue
        run = json.loads(manifest.read_text())
        scores = {name: run["scores"].get(name) for name in ("mae", "skill")}
        rows.append(
            {
                "job": folder.name,
                **run["overrides"],
                run["score"]["name"]: run["score"]["value"],
                **scores,
                "seconds": run["cost"]["seconds"],
            }
        )
    if not rows:
        return f"sweep: {sweep} (no job finished)"
    table = pd.DataFrame(rows)
    table = table.sort_values([x for x in table.columns if x.startswith("val/")], ignore_index=True)
    table.to_csv(sweep / "ranking.csv", index=False)
    text = table.map(lambda x: f"{x:.4g}" if isinstance(x, float) else str(x))
    lines = [terminal.table([list(table.columns), *text.to_numpy().tolist()])]
    lines += [f"failed: {', '.join(failed)}"] if failed else []
    return "\n".join(["", *lines, f"sweep: {sweep}"])
