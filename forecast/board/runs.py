"""Run folders and foreign forecast tables -> runs: forecasts with what is known of how they were made."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from forecast.data.column import EXACT
from forecast.error import Refusal
from forecast.evaluation import table as tables
from forecast.evaluation.group import times
from forecast.evaluation.metrics import checked, classes_of, error_of, scores
from forecast.evaluation.table import levels_of

MANIFEST, CONFIG, SCORES, TABLE = FILES = ("manifest.json", "config.yaml", "scores.csv", "forecast.csv")
KEYS = ["unique_id", "ds", "cutoff"]
BOUND = re.compile(r"(.+)-(lo|hi)-(\d+(?:\.\d+)?)")  # neuralforecast: a model's interval, `NHITS-lo-90`
CLOSE = 1e-6  # share by which scores.csv may differ from the table that it scores


@dataclass(frozen=True)
class Run:
    """Forecasts and what is known of how they were made; of a foreign table that is nothing.

    `table` is sorted by its keys; `ds` and `cutoff` are instants (UTC where there are zones) and `local` is the wall
    clock of ds. `beside` has the scores of the models that were scored with it.
    """

    name: str
    model: str
    table: pd.DataFrame
    scores: dict[str, float]
    beside: Mapping[str, dict[str, float]] = field(default_factory=dict)
    data: str = ""
    sha256: str = ""
    seed: int | None = None
    overrides: str = ""
    command: str = ""
    config: str = ""
    made: str = ""
    seconds: float | None = None
    parameters: int | None = None
    peak_memory_mib: float | None = None
    date: str = ""


def found(root: Path) -> tuple[list[Run], dict[str, str]]:
    """The runs below a folder, by name, and why others can't be read."""
    runs, damaged = [], {}
    folders = {path.parent for name in (MANIFEST, CONFIG) for path in root.rglob(name)}
    for folder in sorted(folders):
        if sum((folder / name).is_file() for name in (*FILES, "train.log")) < 2:
            continue  # a yaml or a manifest of something else
        name = folder.relative_to(root).as_posix()
        try:
            runs.append(read(folder, folder.resolve().name if name == "." else name))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            known = isinstance(error, Refusal)
            damaged[name] = str(error) if known else f"a file is damaged ({type(error).__name__}: {error})"
    return runs, damaged


def read(folder: Path, name: str) -> Run:
    """The run of a folder.

    Raises Refusal if a file is missing or the scores are not those of the table; other errors if one is unreadable.
    """
    for file in FILES:
        if not (folder / file).is_file():
            more = ": the run was stopped, or is still going" if file == MANIFEST else ""
            raise Refusal(f"{file} is missing{more}", "damaged")
    manifest = json.loads((folder / MANIFEST).read_text())
    scored = pd.read_csv(folder / SCORES, **EXACT)
    every = {str(model): dict(zip(x["metric"], x["value"], strict=True)) for model, x in scored.groupby("model")}
    model = str(scored["model"].iloc[0])
    own, table = every.pop(model), timed(tables.read(folder / TABLE))
    recorded, counted = error_of(own), error_of(scores(table))
    if not abs(recorded - counted) <= CLOSE * abs(counted):
        raise Refusal(
            f"{SCORES} says an error of {recorded:.6g}, but that of {TABLE} is {counted:.6g}: one of them was changed",
            "damaged",
        )
    overrides, record, cost = manifest["overrides"], manifest["record"], manifest["cost"]
    words = [f"{key}={value}" for key, value in ({"seed": manifest["seed"]} | overrides).items()]
    return Run(
        name=name,
        model=model,
        table=table,
        scores=own,
        beside=every,
        data=Path(record["data"]["source"]).name.split(".")[0],
        sha256=record["data"]["sha256"],
        seed=manifest["seed"],
        overrides=" ".join(f"{key}={value}" for key, value in overrides.items()),
        command=shlex.join(["forecast", "train", *words]),
        config=(folder / CONFIG).read_text(),
        made=", ".join(f"{package} {version}" for package, version in manifest["versions"].items())
        + (f"; git {manifest['git']}" if manifest["git"] else ""),
        seconds=cost["seconds"],
        parameters=record["parameters"],
        peak_memory_mib=cost["peak_memory_mib"],
        date=dated(name, folder / MANIFEST),
    )


def dated(name: str, manifest: Path) -> str:
    """When a run began, by its folder's name; otherwise when its manifest was written."""
    stamp = re.search(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-\d\d", name)
    return f"{stamp[1]} {stamp[2]}:{stamp[3]}" if stamp else f"{datetime.fromtimestamp(manifest.stat().st_mtime):%F %R}"


def foreign(path: Path) -> list[Run]:
    """The forecasts of somebody's table, one run a model: `point` or quantiles, or columns named after models.

    Raises Refusal if it can't be read or is no forecast table.
    """
    table, runs = tables.read(path), []
    for model, part in models(table, path.name.removesuffix(".gz").removesuffix(".csv")).items():
        try:
            part = timed(part)
            runs.append(Run(name=f"{path.name}: {model}", model=model, table=part, scores=scores(part)))
        except ValueError as error:
            raise Refusal(f"{path}: {error}", getattr(error, "code", "unreadable")) from None
    return runs


def models(table: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Forecast tables by model; neuralforecast has a column a model, and `-median`, `-lo-90`, `-hi-90` beside it."""
    if "point" in table.columns or levels_of(table) or classes_of(table):
        return {name: table}
    keys = [x for x in (*KEYS, "y") if x in table.columns]
    parts: dict[str, pd.DataFrame] = {}
    for column in table.columns.difference(keys, sort=False):
        bound = BOUND.fullmatch(column)
        model = bound[1] if bound else column.removesuffix("-median")
        if column.startswith("Unnamed") or not pd.api.types.is_numeric_dtype(table[column]):
            continue
        part = parts.setdefault(model, table[keys].copy())
        half = float(bound[3]) / 200 if bound else 0.0
        called = f"q{0.5 - half if bound[2] == 'lo' else 0.5 + half:g}" if bound else "point"
        if called != "point" or column != model or "point" not in part:  # the median goes before the mean
            part[called] = table[column]
    return parts or {name: table}


def timed(table: pd.DataFrame) -> pd.DataFrame:
    """A checked forecast table whose stamps are instants, with the wall clock as `local`, sorted by its keys."""
    table = checked(table)
    ds, local = stamps(table["ds"])
    table = table.assign(
        unique_id=table["unique_id"].astype(str), ds=ds, local=local, cutoff=stamps(table["cutoff"])[0]
    )
    twice = table.duplicated(KEYS)
    if twice.any():
        raise Refusal(f"row {int(twice.to_numpy().argmax()) + 1} of the forecast table forecasts a step again", "twice")
    return table.sort_values(KEYS, ignore_index=True)


def stamps(column: pd.Series) -> tuple[Any, Any]:
    """Stamps as instants (UTC where there are zones) and on the local wall clock; whole numbers stay as they are."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(), column.to_numpy()
    found, local = times(column), times(column, local=True)
    return (found if found.tz is None else found.tz_convert(None)).to_numpy(), local.tz_localize(None).to_numpy()
