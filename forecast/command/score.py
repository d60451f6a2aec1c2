"""score any forecast tables (unique_id, ds, cutoff, y, and point or q0.1 ... q0.9), compare several"""

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Prints the scores of CSVs, of several on the rows that they share, with tests; returns the MAE of the first.

    Writes scores.csv, significance.csv and significance.png if a `folder` is named.
    """
    from forecast import atomic
    from forecast.board import significance as board
    from forecast.board.figure import png
    from forecast.board.summary import summary
    from forecast.evaluation.metrics import compared
    from forecast.evaluation.shared import scorable
    from forecast.sweep.folder import claimed

    verified(config)
    tables = collected(config)
    scores = compared(scorable(tables))
    tests = tested(tables, config)
    print(summary(scores))
    if tests is not None:
        print(f"\n{board.text(*tests, config['level'])}")
    if config["folder"] is not None:
        with claimed(Path(config["folder"]), folder) as out:
            atomic.write(out / "scores.csv", scores.to_csv(index=False))
            if tests is not None:
                atomic.write(out / "significance.csv", tests[0].to_csv(index=False))
                atomic.write(out / "significance.png", png(board.heat(*tests, config["level"])))
        print(f"\n{', '.join(sorted(x.name for x in out.iterdir()))} in {out}")
    return float(scores["value"].iloc[0])


def verified(config: dict[str, Any]) -> None:
    """Refuses values that can't be right, before any file is read; tests say themselves what they know."""
    from forecast.error import Refusal

    for key, least in (("draws", 1), ("seed", 0)):
        if not isinstance(config[key], int) or config[key] < least:
            raise Refusal(f"{key}={config[key]}: expected a whole number of at least {least}", "config")
    if not isinstance(config["level"], float) or not 0 < config["level"] < 1:
        raise Refusal(f"level={config['level']}: expected a number between 0 and 1", "config")
    if config["ensemble"] not in (None, "mean", "median"):
        raise Refusal(f"ensemble={config['ensemble']}: expected mean or median", "config")


def collected(config: dict[str, Any]) -> dict[str, Any]:
    """The tables by name, several on the rows that they share, with their ensemble if one is asked for."""
    from forecast.error import Refusal
    from forecast.evaluation.ensemble import ensemble
    from forecast.evaluation.shared import shared

    tables, how = shared(opened(config["tables"])), config["ensemble"]
    if len(tables) < 2 and how is not None:
        raise Refusal(f"ensemble={how}: an ensemble needs two tables at least", "config")
    return tables if how is None else {**tables, f"{how} ensemble": ensemble(tables, how)}


def tested(tables: dict[str, Any], config: dict[str, Any]) -> tuple[Any, Any] | None:
    """Tests of every pair and the model confidence set; None of one table, or if there is too little to test."""
    from forecast.error import Refusal
    from forecast.evaluation.confidence import confidence_set
    from forecast.evaluation.significance import significance

    if len(tables) < 2:
        return None
    settings = {key: config[key] for key in ("loss", "level", "statistic", "draws", "seed")}
    try:
        return significance(tables, loss=config["loss"], test=config["test"]), confidence_set(tables, **settings)
    except Refusal as error:
        if error.code != "too-few":
            raise
        log.warning("nothing is tested: %s", error)
        return None


def opened(given: str | list[str] | None) -> dict[str, Any]:
    """The forecast tables of CSV files, by name."""
    from forecast.data.lines import find
    from forecast.error import Refusal
    from forecast.evaluation.table import checked, read

    if not given:
        raise Refusal("which tables? Name their files: forecast score forecasts.csv others.csv", "config")
    paths = [find(str(name), "tables") for name in ([given] if isinstance(given, str) else given)]
    tables = {}
    for name, path in zip(named(paths), paths, strict=True):
        table = read(path)
        try:
            tables[name] = checked(table)
        except Refusal as error:
            raise Refusal(f"{path}: {error}", error.code) from None
    return tables


def named(paths: list[Path]) -> list[str]:
    """What tables are called: the stems of their files; where two are alike, the folders in which their paths differ.

    Raises Refusal for a file that is named twice.
    """
    from forecast.error import Refusal

    for path in paths:
        if [x.resolve() for x in paths].count(path.resolve()) > 1:
            raise Refusal(f"{path} is named twice: a table is compared with others", "config")
    if len({path.stem for path in paths}) == len(paths):
        return [path.stem for path in paths]
    parts = [[*path.parts[:-1], path.stem] for path in paths]
    for end in (0, -1):
        while len({x[end] for x in parts}) == 1 and min(map(len, parts)) > 1:
            for each in parts:
                del each[end]
    return ["/".join(each) for each in parts]
