"""CSV bytes -> DataFrame, exact or refused: how a file is written is found from its beginning, said in the log, and
can be named; every byte is checked on the way to pandas.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import Clock, phased
from forecast.data.column import EXACT, MISSING, candidates, id_column, require, roles, time_columns
from forecast.data.lines import Lines, opened, transcoded
from forecast.data.manner import Manner, found, numeric
from forecast.data.stamp import MARK, Stamps, extended
from forecast.error import Refusal, nearest

log = logging.getLogger(__name__)

HEAD = 1 << 18  # bytes from which a file's manner is found
CELLS = 3 << 17  # turned into numbers at once
WIDTH = 40  # bytes of a stamp that is read as bytes
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|infinity)"


@dataclass(frozen=True)
class Plan:
    """What is read of a file: the columns of stamps, those that stay text, and all that are wanted."""

    source: str
    data: Mapping[str, Any]
    manner: Manner
    time: list[str]
    words: set[str]
    wanted: list[str]


def read(path: str | Path, data: Mapping[str, Any]) -> pd.DataFrame:
    """A file's columns: stamps (one column, local or in UTC), ids and categories as text, numbers exact.

    Raises Refusal with line or row, column and cell if the file is empty or broken, rows differ in length, or a cell
    is not what its column holds.
    """
    source = str(path)
    if source.endswith(".parquet"):
        return parquet(source)
    with opened(source) as raw:
        head = raw.read(HEAD)
    manner, first = found(head, len(head) < HEAD, data, source)
    if data["start"] is not None:
        words = {*(data["label"] or manner.names[:1])}
        require(first, [*words], source)
        return tried(across, Plan(source, data, manner, [], words, list(manner.names)), first)
    time, series = time_columns(first, data["time"], source), id_column(first, data["id"])
    words = {*time, *data["static"], *data["categorical"], *(x for x in (series, data["issued"]) if x)}
    require(first, [*roles(data), *words], source)
    stamps = time[:1] if data["stamp"] == "count" else time
    return tried(columns, Plan(source, data, manner, stamps, words, candidates(first, words, data)), first)


def tried(make: Callable[[Plan, bool], pd.DataFrame], plan: Plan, first: pd.DataFrame) -> pd.DataFrame:
    """A file read in the quick way, else cell by cell, so that the wrong one can be named."""
    plan = replace(plan, manner=numeric(plan.manner, first, plan.words, plan.data, plan.source))
    try:
        return make(plan, plan.manner.thousands is None)
    except Refusal:
        raise
    except ValueError:
        return make(plan, False)


def columns(plan: Plan, plain: bool) -> pd.DataFrame:
    """All rows. `plain`: pandas reads the numbers; else each cell is read as text first, so that it can be named."""
    source, data, name = plan.source, plan.data, " ".join(plan.time)
    stamps = Stamps(name, source, data)
    numbers = {column: np.empty(0) for column in plan.wanted if column not in {*plan.time, *plan.words}}
    words: dict[str, list[pd.Series]] = {column: [] for column in plan.wanted if column in plan.words - {*plan.time}}
    row = 0
    with opened(source) as raw:
        lines = Lines(transcoded(raw, plan.manner, source), plan.manner, source)
        for piece in ahead(pieces(plan, lines, plain)):
            stamps.add([piece[column] for column in plan.time], row + 1)
            for column, parts in words.items():
                parts.append(piece[column].astype("category"))  # of text: as a dtype of read_csv it merges 1 and 1.0
            for column in list(numbers):
                if plain or row or numbered(piece[column], plan):
                    values = piece[column].to_numpy() if plain else converted(piece[column], plan, row)
                    numbers[column] = extended(numbers[column], values)
                else:
                    del numbers[column]
                    lines.remarks.append(f"column '{column}' is left out, '{piece[column].iloc[0]}' is not a number")
            row += len(piece)
    if not row:
        raise Refusal(f"{source} has a header but no rows", "empty-file")
    for remark in lines.remarks:
        log.info("%s: %s", source, remark)
    if stamps.midnights and data["stamp"] is None:
        log.info(
            "%s: times such as 24:00 look like ends of intervals; data.stamp=end names them by their begin", source
        )
    frame: dict[str, Any] = {}
    frame[name], marks = stamps.done()
    if marks.any():
        frame[f"{name} {MARK}"] = marks
    for column in plan.wanted:
        if column in words:
            frame[column] = pd.Series(pd.api.types.union_categoricals(words.pop(column)))
        elif column in numbers:
            frame[column] = numbers[column]
    for column in (set(data["static"]) - set(data["categorical"])) & set(frame):
        frame[column] = statics(frame[column], [*MISSING, *map(str, data["missing"])])
    return pd.DataFrame(frame, copy=False)


def across(plan: Plan, plain: bool) -> pd.DataFrame:
    """A file whose lines are series without stamps, name first, as the long table `unique_id, ds, y`.

    Empty cells after a series' last value are no rows. A labelled series is called by its row, ends with the number of
    its label (missing: none) and begins where the one before it ended.
    """
    source, data, (name,) = plan.source, plan.data, plan.words
    steps = [x for x in plan.wanted if x != name]
    taken = {"unique_id", "ds", "y", *(data["target"] or ()), *data["past"], *data["future"], *data["static"]}
    if taken | {data["id"] or "unique_id", data["time"] or "ds"} != {"unique_id", "ds", "y"} or not data["freq"]:
        raise Refusal(
            "data.start needs data.freq, and the lines of the file have no other columns: leave data.time, id, "
            "target, past, future and static out",
            "config",
        )
    if not steps:
        raise Refusal(f"{source}: data.start: its lines have a name, '{name}', and no values", "no-column")
    names, lengths, values = list[str](), list[np.ndarray](), list[np.ndarray]()
    with opened(source) as raw:
        lines, row = Lines(transcoded(raw, plan.manner, source), plan.manner, source), 0
        for piece in pieces(plan, lines, plain):
            cells = [piece[x].to_numpy() if plain else converted(piece[x], plan, row) for x in steps]
            block = np.stack(cells, 1)
            length = np.where(~np.isnan(block), np.arange(1, len(steps) + 1), 0).max(1)
            if not length.all():
                raise Refusal(f"{source}, row {row + int(length.argmin()) + 1}: the series has no values", "too-short")
            if data["label"]:
                block = np.column_stack((block, labels(piece[name], plan, row)))
                length[:] = block.shape[1]
            names, lengths = [*names, *piece[name].astype("str")], [*lengths, length]
            values.append(block[np.arange(block.shape[1]) < length[:, None]])
            row += len(piece)
    if not row:
        raise Refusal(f"{source} has a header but no rows", "empty-file")
    length = np.concatenate(lengths)
    step = np.arange(length.sum())
    if data["label"]:
        names = [f"{i:0{len(str(row))}d}" for i in range(1, row + 1)]
    else:
        step -= np.repeat(np.cumsum(length) - length, length)
    ids = pd.Categorical(names).take(np.repeat(np.arange(row), length))
    frame = {"unique_id": ids, "ds": counted(data, int(step.max()) + 1)[step], "y": np.concatenate(values)}
    return pd.DataFrame(frame, copy=False)


def labels(cells: pd.Series, plan: Plan, row: int) -> np.ndarray:
    """The number of each label among those of data.label, NaN where there is none; `row` stands above the cells."""
    known = [*map(str, plan.data["label"][cells.name])]
    text = cells.astype("str").str.strip()
    numbers = text.map({name: float(i) for i, name in enumerate(known)}).to_numpy("float64")
    wrong = np.isnan(numbers) & ~text.isin([*MISSING, *map(str, plan.data["missing"])]).to_numpy(bool)
    if wrong.any():
        found = text.iloc[int(wrong.argmax())]
        raise Refusal(
            f"{plan.source}, row {row + int(wrong.argmax()) + 1}: the label '{found}' is none of those of data.label, "
            f"{', '.join(known)}{nearest(found, known)}",
            "not-a-class",
        )
    return numbers


def counted(data: Mapping[str, Any], steps: int) -> pd.DatetimeIndex:
    """So many stamps from data.start on, in steps of data.freq."""
    try:
        start = pd.to_datetime([str(data["start"])], format="ISO8601").as_unit("ns").tz_localize(data["tz"])
    except (ValueError, KeyError, OSError) as error:
        raise Refusal(f"data.start={data['start']}, data.tz={data['tz']}: no such time ({error})", "config") from None
    clock = phased(Clock(data["freq"], data["tz"]), start)
    if not clock.holds(start)[0]:
        raise Refusal(f"data.start={data['start']} is not on the grid of data.freq={data['freq']}", "wrong-frequency")
    stamps = clock.stamps(clock.ordinals(start) + np.arange(steps))
    if not stamps.is_monotonic_increasing:
        raise Refusal(
            f"data.start={data['start']}: {steps} steps of data.freq={data['freq']} go beyond the year 2262: choose a "
            "shorter one",
            "config",
        )
    return stamps


def ahead(found: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The same, each made by another thread while the one before is used: pandas' parser lets others run."""
    with ThreadPoolExecutor(1) as other:
        coming = other.submit(next, found, None)
        while (piece := coming.result()) is not None:
            coming = other.submit(next, found, None)
            yield piece


def pieces(plan: Plan, lines: Lines, plain: bool) -> Iterator[pd.DataFrame]:
    """The rows of a file, so many at a time; numbers as numbers, or everything as text."""
    typed = {name: "float64" if plain and name not in plan.words else "str" for name in plan.wanted}
    typed |= dict.fromkeys(plan.time, f"S{WIDTH}" if plain and len(plan.time) == 1 else "str")
    missing = {name: [*MISSING, *map(str, plan.data["missing"])] for name, kind in typed.items() if kind == "float64"}
    try:
        yield from pd.read_csv(
            lines,  # type: ignore[arg-type]
            sep=plan.manner.delimiter,
            header=None,
            names=list(plan.manner.names),
            usecols=list(typed),
            dtype=typed,
            decimal=plan.manner.decimal,
            na_values=missing or None,
            keep_default_na=False,
            chunksize=max(1, CELLS // len(typed)),
            engine="c",
            index_col=False,
            **EXACT,
        )
    except pd.errors.EmptyDataError:
        return


def numbered(cells: pd.Series, plan: Plan) -> bool:
    """Whether a column holds numbers: it is named as one, or its first cell that is not missing is one."""
    if cells.name in roles(plan.data):
        return True
    text, missing, right = read_as(cells, plan)
    return len(text) == missing.sum() or bool(right[~missing][0])


def read_as(cells: pd.Series, plan: Plan) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Cells as numbers are written in Python, and which of them are missing and which are numbers."""
    manner, text = plan.manner, cells.str.strip()
    missing = text.isin([*MISSING, *map(str, plan.data["missing"])]).to_numpy(bool)
    if manner.thousands is not None:
        mark, point = re.escape(manner.thousands), re.escape(manner.decimal)
        grouped = text.str.fullmatch(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+({point}\d*)?").to_numpy(bool)
        text = text.where(~grouped, text.str.replace(manner.thousands, "", regex=False))
    if manner.decimal != ".":
        text = text.where(~text.str.contains(".", regex=False), "x").str.replace(manner.decimal, ".", regex=False)
    return text, missing, text.str.fullmatch(NUMBER, flags=re.IGNORECASE).to_numpy(bool)


def converted(cells: pd.Series, plan: Plan, row: int) -> np.ndarray:
    """Text -> float64; `row` stands above the cells. A cell that is no number is refused."""
    text, missing, right = read_as(cells, plan)
    wrong = ~missing & ~right
    if wrong.any():
        first = int(wrong.argmax())
        cell = cells.iloc[first]
        raise Refusal(
            f"{plan.source}, row {row + first + 1}, column '{cells.name}': '{cell}' is not a number "
            f"({int(wrong.sum())} such cells); "
            + (
                "its way of writing numbers is not understood (data.decimal, data.thousands)"
                if re.search(r"\d", cell)
                else f"if it means a missing value: data.missing=['{cell}']"
            ),
            "not-a-number",
        )
    values = np.full(len(text), np.nan)
    values[~missing] = text[~missing].to_numpy().astype("float64")
    sentinels = [float(x) for x in map(str, plan.data["missing"]) if re.fullmatch(NUMBER, x)]
    values[np.isin(values, sentinels)] = np.nan
    return values


def statics(column: pd.Series, missing: list[str]) -> pd.Series:
    """A static column: numbers where every cell is one, else text."""
    known = pd.Series(column.cat.categories.astype(str))
    empty = known.isin(missing)
    if not known[~empty].str.fullmatch(NUMBER).all() or empty.all():
        return column.astype(object).where(~column.isin(missing), None)
    values = dict(zip(column.cat.categories, pd.to_numeric(known.where(~empty)), strict=True))
    return column.map(values).astype("float64")


def parquet(source: str) -> pd.DataFrame:
    """A Parquet file, whose columns have types of their own."""
    try:
        return pd.read_parquet(source)
    except ImportError:
        raise Refusal(f"{source}: reading Parquet needs pip install 'forecast[parquet]'", "unreadable") from None
    except (OSError, ValueError) as error:
        raise Refusal(f"{source} can't be read as Parquet: {error}", "unreadable") from None
