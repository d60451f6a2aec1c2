"""The report: one HTML page about all runs, which loads nothing from anywhere else."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forecast.board.drawing import drawn
from forecast.board.leaderboard import Group
from forecast.error import Refusal
from forecast.evaluation.metrics import classes_of, error_of

HERE = Path(__file__).resolve().parent
HEADINGS = {
    "mae": ("MAE", "mean absolute error, in the unit of the data"),
    "rmse": ("RMSE", "root of the mean squared error, in the unit of the data"),
    "mase": ("MASE", "mean absolute error; that of seasonal naive on the training rows is 1"),
    "accuracy": ("accuracy", "share of right classes"),
    "f1": ("F1", "harmonic mean of precision and recall, averaged over classes"),
    "log_loss": ("log loss", "mean -log of the true class's probability"),
    "brier": ("Brier", "mean squared error of the probabilities, from 0 to 2"),
    "skill": ("skill", "share of seasonal naive's error that is gone: 0 is as good as seasonal naive, 1 perfect"),
    "wql": ("WQL", "weighted quantile loss: how good all quantiles are together; smaller is better"),
    "coverage_80": ("cover 80", "share of values between the quantiles 0.1 and 0.9; it should be 0.80"),
    "p": (
        "p",
        "how likely the best run would be so far ahead if it were no better than this one (Diebold-Mariano, one-sided, "
        "on the mean loss of each cutoff); from 0.05 on the two can't be told apart",
    ),
    "seconds": ("seconds", "time from the start of the command to the manifest"),
    "parameters": ("parameters", "numbers that the model learns"),
    "peak_memory_mib": ("MiB", "largest memory of the process"),
    "date": ("begun", "when the run began"),
}
COST = ("seconds", "parameters", "peak_memory_mib", "date")
BEST = 2.0  # a p-value that sorts the best run behind all others
SHARES = ("skill", "coverage_80", "accuracy", "f1")  # three decimals do


def page(groups: Sequence[Group], left_out: Mapping[str, str], title: str) -> str:
    """The page as HTML; `left_out` says of runs and tables why they are not on it.

    Raises Refusal if plotly or jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from plotly.offline import get_plotlyjs  # type: ignore[import-not-found]
    except ImportError as error:
        raise Refusal(
            f"the report needs {error.name}, which is not installed: pip install 'forecast[report]'", "missing-package"
        ) from error
    world = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return world.get_template("report.html").render(
        title=title,
        boards=[board(group, number) for number, group in enumerate(groups)],
        left_out=left_out,
        headings=HEADINGS,
        css=(HERE / "report.css").read_text(),
        js=(HERE / "report.js").read_text(),
        plotly=get_plotlyjs().replace("</script", r"<\/script"),
        data=embedded([drawn(group) for group in groups]),
    )


def board(group: Group, number: int) -> dict[str, Any]:
    """One leaderboard, best first; the models that were scored beside the runs have no run, no p and no cost."""
    entries = [(run.model, run, run.scores, p) for run, p in zip(group.runs, group.p, strict=True)]
    entries += [(model, None, found, None) for model, found in group.beside.items()]
    entries.sort(key=lambda entry: error_of(entry[2]))
    best = group.runs[0] if len(group.runs) > 1 else None
    found = [
        {**scores, **{x: getattr(run, x, None) for x in COST}, "p": BEST if run and run is best else p}
        for _, run, scores, p in entries
    ]
    columns = [x for x in HEADINGS if any(present(row.get(x)) for row in found)]
    cells = zip(*(column(x, [row.get(x) for row in found]) for x in columns), strict=True)
    seen = group.runs[0].table
    seen = seen[seen["y"].notna()]
    classes, begin, end = (
        ", ".join(classes_of(seen)),
        *(str(x)[:16] for x in (seen["local"].min(), seen["local"].max())),
    )
    return {
        "number": number,
        "data": f"{group.data}: {classes}" if classes else group.data,
        "classes": bool(classes),
        "size": len(group.runs),
        "facts": f"{len(seen):,} values of {seen['unique_id'].nunique():,} series from {seen['cutoff'].nunique():,} "
        f"cutoffs, {begin} to {end}",
        "versions": len({run.sha256 for run in group.runs if run.sha256}),
        "columns": columns,
        "rows": [
            {"model": model, "run": run, "id": f"run-{number}-{group.runs.index(run)}" if run else "", "cells": row}
            for (model, run, *_), row in zip(entries, cells, strict=True)
        ],
    }


def present(value: Any) -> bool:
    return value not in (None, "") and not (isinstance(value, float) and math.isnan(value))


def column(name: str, values: Sequence[Any]) -> list[tuple[Any, str]]:
    """A column's cells: what they are sorted by, and text, with as many decimals as show four digits of the largest."""
    numbers = [abs(x) for x in values if present(x) and not isinstance(x, str)]
    places = max(0, 3 - math.floor(math.log10(max(numbers)))) if any(numbers) else 0
    places = 0 if all(isinstance(x, int) for x in numbers) else min(places, 3 if name in SHARES else 9)

    def text(x: Any) -> str:
        if name == "p":
            return "best" if x == BEST else "<0.001" if x < 0.001 else f"{x:.3f}"
        return x if isinstance(x, str) else f"{x:,.{places}f}"

    return [(x, text(x)) if present(x) else ("", "") for x in values]


def embedded(document: Any) -> str:
    """JSON that no tag can end or begin in."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c")
