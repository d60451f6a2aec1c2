"""draft the yaml of a CSV, score the baselines on it, and say how to train"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.grid import Borders, Grid

ALWAYS = ("name", "path", "time", "target", "past", "future", "static", "freq", "season", "split")
RESERVED = ("null", "true", "false", "nan", "inf", "yes", "no", "on", "off")
WIDTH = 38  # column at which comments begin, or two blanks after what is longer


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes conf/data/<name>.yaml into the current folder; prints the scores and the command that trains.

    Raises Refusal, and writes nothing, if there is such a data set already, or if the file can't be trained on.
    """
    from forecast import atomic
    from forecast.board.summary import summary
    from forecast.config import CONF, composed
    from forecast.data import grid as grids
    from forecast.data import reader, suggestion, table
    from forecast.data import season as seasons
    from forecast.data.lines import find
    from forecast.error import Refusal

    given = str(config["path"] or config["data"]["path"] or "")
    if not given:
        raise Refusal("which file? Name it: forecast init my.csv", "config")
    name = named(config["name"], given)
    draft, data = Path("conf") / "data" / f"{name}.yaml", {**config["data"], "path": given, "name": name}
    for there in (draft, CONF / "data" / draft.name):
        if there.exists():
            raise Refusal(f"there is a data set '{name}' already ({there}): choose another name by name=...", "exists")
    path = find(given, "path")
    frame = reader.read(path, data)
    checked = table.table(frame, data, str(path))
    grid = grids.grid(checked, 0)
    data["split"] = dated(grid, data)
    borders = grid.borders(data["split"], data["split_each"])
    advice = suggestion.suggested(grid, borders)
    if advice is None:
        raise Refusal(
            f"{path}: too short: train, val and test have {suggestion.parts(grid, borders)} rows, a forecast of a "
            "single step needs 4, 1 and 1; change data.split, or come back with more rows",
            "too-short",
        )
    layout, season = grid.layout, data["season"] or advice["season"]
    data |= {
        "time": data["time"] or (layout.time.split(" ") if layout.time.lower() == "date time" else layout.time),
        "id": layout.id,
        "target": list(layout.target),
        "freq": re.sub(r"^1(?=\D)", "", layout.clock.freq),
        "season": season,
    }
    scores = judged(grids.grid(checked, advice["horizon"]), borders, data, advice)
    command = ["forecast", "train", *(() if Path("conf").resolve() == CONF else ("--config-dir", "conf"))]
    usual = composed("train")
    sizes = [f"{key}={advice[key]}" for key in ("horizon", "context") if advice[key] != usual[key]]
    command = " ".join([*command, f"data={name}", *sizes])
    found = seasons.strengths(grid, borders[0])
    rest = [str(x) for x in frame.columns if x not in taken(data) and frame[x].dtype.kind == "f"]
    comments = {**usual_comments(CONF / "data" / "csv.yaml"), **remarks(data, found, rest)}
    text = "\n".join(lines(data, composed("train", ["data=csv"])["data"], comments))
    head = f"# {Path(given).name}, {len(frame):,} rows; drafted by forecast init, to be looked through.\n# {command}\n"
    atomic.write(draft, f"{head}defaults: [csv]\n{text}\n")
    print(f"{draft.read_text()}\n{summary(scores)}\n\nwritten: {draft}\nnext: {command}")


def named(name: str | None, path: str) -> str:
    """What a data set is called: as Hydra takes it without quotes."""
    from forecast.error import Refusal

    if name is None:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).name.split(".")[0]).strip("_-")
        name = name if re.match("[A-Za-z]", name) and name.lower() not in RESERVED else f"data_{name}".rstrip("_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(name)) or str(name).lower() in RESERVED:
        raise Refusal(f"name={name}: expected letters, digits, - and _, a letter first", "config")
    return str(name)


def dated(grid: "Grid", data: Mapping[str, Any]) -> list[Any]:
    """A split by fractions of the whole span as dates; with days enough, of whole days."""
    import numpy as np

    from forecast.data.clock import DAY
    from forecast.error import Refusal

    split = list(data["split"])
    if data["split_each"] or any(isinstance(x, str) or x > 1 for x in split):
        return split
    clock = grid.layout.clock
    ends = [x for x in grid.borders(split) if x is not None]
    stamps = [clock.local(np.array([x]))[0] for x in ends]
    exact = [f"{x:%Y-%m-%d}" if clock.daily else str(x) for x in stamps]
    if clock.daily or stamps[-1] - stamps[0] < 7 * np.timedelta64(DAY, "ns"):
        dates = exact
    else:
        dates = [f"{x:%Y-%m-%d}" for x in stamps]
    try:
        grid.borders(dates)
    except Refusal:
        return split
    return dates


def judged(grid: "Grid", borders: "Borders", data: Mapping[str, Any], advice: Mapping[str, int]) -> "pd.DataFrame":
    """Scores of seasonal naive and of the last value on the windows of the test part, as training judges them."""
    from forecast.contract import Window
    from forecast.data import panel, scaler
    from forecast.data.module import SeriesDataModule
    from forecast.evaluation.baseline import seasonal_naive
    from forecast.evaluation.metrics import REFERENCE, compared
    from forecast.recipe import divisors, tabled

    statistics = scaler.learn(grid, borders[0], data)
    rows, horizon = panel.panel(grid, statistics), advice["horizon"]
    window = Window(context=max(advice["context"], statistics.season), horizon=horizon, stride=horizon)
    windows = SeriesDataModule.cut(rows, window, borders, "test")
    tables = {REFERENCE: tabled(windows, partial(seasonal_naive, season=statistics.season))}
    tables["last_value"] = tabled(windows, partial(seasonal_naive, season=1))
    return compared(tables, *divisors(rows, statistics))


def taken(data: Mapping[str, Any]) -> set[str]:
    """The columns that have a role."""
    time = data["time"] if isinstance(data["time"], list) else [data["time"]]
    return {" ".join(time), data["id"], *(x for key in ("target", "past", "future", "static") for x in data[key])}


def usual_comments(path: Path) -> dict[str, str]:
    """What conf/data/csv.yaml says about each of its keys."""
    return dict(re.findall(r"^(\w+):[^#\n]*# *(.*)$", path.read_text(), re.MULTILINE))


def remarks(data: Mapping[str, Any], seasons: Mapping[str, Any], rest: list[str]) -> dict[str, str]:
    """What the draft says about the keys that it always has."""
    shown = ", ".join(rest[:4]) + (" ..." if len(rest) > 4 else "")
    several = len(data["target"]) > 1
    found = next((name for name, x in seasons.items() if x["steps"] == data["season"]), None)
    strength = (
        "" if found is None or seasons[found]["strength"] is None else f", strength {seasons[found]['strength']:.2f}"
    )
    return {
        "name": "names the run folder",
        "path": "looked for here, in the folder FORECAST_DATA, then among the bundled sets",
        "time": "column of stamps" if isinstance(data["time"], str) else "columns of date and time of day",
        "id": "column of series names",
        "target": f"to forecast{'; move covariates to one of the next three' if several else ''}",
        "past": f"known up to the cutoff{f'; there are also {shown}' if rest else ''}",
        "future": "known over the horizon as well",
        "static": "constant in a series",
        "freq": "the step",
        "season": "no season forecasts better than the last value"
        if data["season"] == 1
        else f"steps{'' if found is None else f', a {found}{strength}'}",
        "split": "val and test begin" if isinstance(data["split"][0], str) else "train, val, test",
    }


def lines(data: Mapping[str, Any], usual: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[str]:
    """The keys that are always written, and those that are not as usual, each with its comment."""
    for key, value in data.items():
        if key in ALWAYS or value != usual[key]:
            line = f"{key}: {scalar(value)}"
            comment = comments.get(key)
            yield f"{line:<{WIDTH}}  # {comment}" if comment else line


def scalar(value: Any) -> str:
    """A value as yaml on one line that OmegaConf reads back as it was: text in quotes where it could be misread."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{quoted(str(key))}: {scalar(x)}' for key, x in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(scalar, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return quoted(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))  # of values, but not of keys, ${ begins an interpolation


def quoted(text: str) -> str:
    if re.fullmatch(r"[A-Za-z_][\w./-]*( [\w./-]+)*", text, re.ASCII) and text.lower() not in RESERVED:
        return text
    return "".join(x if x.isprintable() else f"\\U{ord(x):08x}" for x in json.dumps(text, ensure_ascii=False))
