"""What the report draws of forecast tables, as plain numbers: JSON for plotly, short enough for one page."""

from typing import Any

import numpy as np
import pandas as pd

from forecast.board.calibration import held
from forecast.board.error import by_step
from forecast.board.figure import HOLE, successive
from forecast.board.leaderboard import Group, losses
from forecast.board.runs import KEYS, Run
from forecast.evaluation.classes import confusion
from forecast.evaluation.table import classes_of, levels_of

SERIES, ROWS = 20, 4000  # at most so many series, and so many rows of all of them together
SMALLEST = 1e-290  # powers of ten end not far below
DIGITS = 5


def drawn(group: Group) -> dict[str, Any]:
    """A group's runs as charts; stamps and actual values stand there once for all."""
    table = group.runs[0].table
    every = list(dict.fromkeys(table["unique_id"]))
    names = every[:SERIES]
    rows = pd.concat([latest(table[table["unique_id"] == name], ROWS // len(names)) for name in names])
    return {
        "classes": list(classes_of(table)),
        "shown": said(len(rows), len(table), len(names), len(every)),
        "series": [axis(rows[rows["unique_id"] == name]) for name in names],
        "runs": [charts(run, rows, names) for run in group.runs],
    }


def said(rows: int, of: int, series: int, every: int) -> str:
    """What is left out of the charts of forecasts, or nothing."""
    parts = [f"the first {series} of {every:,} series"] if series < every else []
    parts += [f"{rows:,} of {of:,} rows, the latest"] if rows < of else []
    return f"Drawn: {', and '.join(parts)}." if parts else ""


def latest(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The latest forecasts of a series that follow each other, of `most` rows at most, but one at least."""
    rows = successive(rows)
    sizes = rows.groupby("cutoff")["ds"].size()[::-1].cumsum()
    return rows[rows["cutoff"].isin(sizes.index[: max(1, int((sizes <= most).sum()))])]


def axis(rows: pd.DataFrame) -> dict[str, Any]:
    """One series: stamps, values, and where lines break: before each forecast of several steps, and at holes."""
    ds = rows["ds"].to_numpy()
    first = rows["cutoff"].ne(rows["cutoff"].shift()).to_numpy()
    distance = np.diff(ds, prepend=ds[:1])
    holes = distance > HOLE * distance[1:].min() if len(ds) > 1 else np.zeros(1, bool)
    breaks = holes if first.all() else first
    return {
        "name": str(rows["unique_id"].iloc[0]),
        **times(rows),
        "y": numbers(rows["y"]),
        "breaks": np.flatnonzero(breaks).tolist(),
        "holes": np.flatnonzero(holes).tolist(),
    }


def times(rows: pd.DataFrame) -> dict[str, Any]:
    """Where rows are drawn: at the wall clock of the last row, so that time never runs backwards; and its zone."""
    if pd.api.types.is_numeric_dtype(rows["ds"]):
        return {"x": rows["ds"].tolist(), "zone": ""}
    ahead = rows["local"] - rows["ds"]
    text = (rows["ds"] + ahead.iloc[-1]).dt.strftime("%Y-%m-%d %H:%M:%S")
    for end in (":00", " 00:00"):
        text = text.str.removesuffix(end) if text.str.endswith(end).all() else text
    minutes = int(ahead.iloc[-1] / pd.Timedelta(minutes=1))
    offset = f"UTC{'+' if minutes >= 0 else '-'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    return {"x": text.tolist(), "zone": offset if ahead.any() or ahead.nunique() > 1 else ""}


def charts(run: Run, rows: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """One run: its forecasts of the rows that are drawn, and pictures of all its errors."""
    table = rows[KEYS].merge(run.table, on=KEYS, how="left")
    levels = levels_of(table)
    pairs = list(zip([*levels][: len(levels) // 2], [*levels][::-1], strict=False))
    halves = sorted(pairs, key=lambda pair: abs(pair[1] - pair[0] - 0.5))
    bands = list(dict.fromkeys(pairs[:1] + halves[:1]))  # the widest, and the one that holds about half
    columns = list(classes_of(table).values()) or [levels[level] for pair in bands for level in pair]
    series = [table[table["unique_id"] == name] for name in names]
    return {
        "name": f"{run.model}: {run.name}",
        "bands": [f"{100 * low:g}% to {100 * high:g}%" for low, high in bands],
        "series": [{"point": numbers(x["point"]), "spread": [numbers(x[name]) for name in columns]} for x in series],
        "step": numbers(by_step(run.table)),
        "week": by_hour(run.table),
        "reliability": reliability(run.table),
        "confusion": confusion(run.table).to_numpy().tolist() if classes_of(run.table) else None,
    }


def by_hour(table: pd.DataFrame) -> dict[str, Any] | None:
    """The mean loss by local hour and day of the week, Monday first; None where a step is longer than a day."""
    local, ds = table["local"], np.unique(table["ds"])
    if pd.api.types.is_numeric_dtype(local) or (len(ds) > 1 and np.diff(ds).min() > pd.Timedelta(days=1)):
        return None
    keys = [local.dt.day_of_week.to_numpy(), local.dt.hour.to_numpy()]
    means = pd.Series(losses(table)).groupby(keys).mean().unstack()
    means = means.reindex(range(7))
    return {"hours": means.columns.tolist(), "loss": [numbers(row) for _, row in means.iterrows()]}


def reliability(table: pd.DataFrame) -> dict[str, Any] | None:
    """The share of y below the quantile of each level, which should be the level; None without quantiles."""
    levels, share, rows = held(table)
    if not len(levels):
        return None
    return {"level": levels.tolist(), "share": numbers(pd.Series(share)), "rows": rows}


def numbers(values: pd.Series) -> list[float | None]:
    """Values rounded to `DIGITS` digits of their range, which a screen can't tell apart; None for what is missing."""
    array = values.to_numpy("float64")
    seen = array[np.isfinite(array)]
    size = (np.ptp(seen) or np.abs(seen).max()) if len(seen) else 0.0
    rounded = np.round(array, DIGITS - 1 - int(np.floor(np.log10(size)))) if size > SMALLEST else array
    found = rounded.astype(object)
    found[np.isnan(rounded)] = None
    return found.tolist()
