"""What a request brings -> rows: JSON against the columns of a forecaster, CSV by the reader of the command line."""

import json
import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from forecast.data import reader
from forecast.data.lines import PACKED
from forecast.error import Refusal, nearest
from forecast.service.limits import Answered

LONGEST = 200  # characters of a name or a category, which stands in every row of the answer
LONG, WIDE = 1 << 18, 10_000  # bytes and cells of a line of CSV
DELIMITERS = (b",", b";", b"\t", b"|")
BRACKETS = 4  # in the names of one row, at most
TYPES = {  # what a cell of each kind may be, in JSON and in Python
    "time": ("string", (str,)),
    "name": ("string", (str,)),
    "period": (("string", "number"), (str, int, float)),
    "number": (("number", "null"), (int, float, type(None))),
    "category": (("string", "number", "null"), (str, int, float, type(None))),
}

Row = dict[str, Any]


def loaded(content: bytes, most: int) -> list[Any]:
    """The rows of a JSON body, `{"rows": [...]}`, of which there are `most` at most; what they hold is not looked at.

    Raises Answered for what is not JSON, numbers that are none (NaN, 1e400), a key that comes twice, deep nesting.
    """
    objects = 0
    if content.count(b"[") > BRACKETS * most:  # each list of lists would take more than it says
        raise too_many(f"more than {BRACKETS * most} brackets", most)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal objects
        objects += 1
        if objects > most + 1:
            raise too_many(f"more than {most} objects", most)
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise malformed(f"the key {next(x for x in names if names.count(x) > 1)!r} comes twice in one object")
        return found

    try:
        found = json.loads(
            content.decode(),
            parse_constant=no_number,
            parse_float=finite,
            parse_int=integer,
            object_pairs_hook=once,
        )
    except UnicodeDecodeError as error:
        raise malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise malformed(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise malformed("it is nested too deeply; expected a list of flat rows") from None
    if not isinstance(found, dict):
        raise malformed(f"it is {kind(found)}; expected an object with rows")
    known(found, ["rows"], "the body")
    rows = found["rows"]
    if not isinstance(rows, list) or not rows:
        raise malformed(f"'rows' is {kind(rows)}; expected a list with a row at least")
    if len(rows) > most:
        raise too_many(f"{len(rows)} rows", most)
    return rows


def checked(rows: list[Any], fields: Mapping[str, str]) -> list[Row]:
    """Rows that have the fields of a forecaster, no more and no less, each of its kind."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise malformed(f"row {number} is {kind(row)}; expected an object")
        if row.keys() != fields.keys():
            known(row, fields, f"row {number}")
        for name, cell in row.items():
            allowed, types = TYPES[fields[name]]
            if not isinstance(cell, types) or isinstance(cell, bool):
                expected = allowed if isinstance(allowed, str) else " or ".join(allowed)
                raise malformed(f"row {number}, '{name}': {kind(cell)}; expected {expected}")
            if isinstance(cell, str):
                text(cell, f"row {number}, '{name}'")
    return rows


def framed(rows: list[Row], fields: Mapping[str, str]) -> pd.DataFrame:
    """Checked rows as a frame, numbers as float64."""
    columns = {name: [row[name] for row in rows] for name in fields}
    return pd.DataFrame(
        {
            name: pd.Series(cells, dtype="float64") if fields[name] == "number" else cells
            for name, cells in columns.items()
        }
    )


def text(cell: str, where: str) -> None:
    """Refuses text that is empty or long, or that no file could hold."""
    if not 0 < len(cell) <= LONGEST:
        raise malformed(f"{where}: text of {len(cell)} characters; expected 1 to {LONGEST}")
    if "\0" in cell or any(0xD800 <= ord(x) < 0xE000 for x in cell):
        raise malformed(f"{where}: {cell!r} has characters that no file could hold")


def read(content: bytes, reading: Mapping[str, Any], names: Iterable[str], most: int) -> pd.DataFrame:
    """The rows of a CSV body, read as the training data were; `names` are the columns that hold names or categories.

    Raises Refusal as the command line does, and Answered for more rows than may be and compressed bodies.
    """
    if content.startswith(PACKED):
        raise Answered(415, "the body is compressed: send plain CSV", "media-type")
    if max(content.count(b"\n"), content.count(b"\r")) > most + 100:  # a title, notes
        raise too_many(f"more than {most} lines", most)
    narrow(content)
    with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
        path = Path(folder) / "body.csv"
        path.write_bytes(content)
        try:
            frame = reader.read(path, reading)
        except Refusal as error:
            raise Refusal(error.message.replace(str(path), "the body"), error.code) from None
    if len(frame) > most:
        raise too_many(f"{len(frame)} rows", most)
    for name in names:
        if name in frame:
            longest = max(map(len, pd.unique(frame[name].dropna().astype(str))), default=0)
            if longest > LONGEST:
                raise malformed(f"column '{name}': text of {longest} characters; expected at most {LONGEST}")
    return frame


def narrow(content: bytes) -> None:
    """Refuses lines that no table has: each of their cells would take some kB while it is found what they are."""
    for number, line in enumerate(content.replace(b"\r", b"\n").split(b"\n"), 1):
        cells = 1 + max(map(line.count, DELIMITERS)) if len(line) >= WIDE else 1
        if len(line) > LONG or cells > WIDE:
            found = f"line {number} has {cells} cells and {len(line)} bytes"
            raise Answered(413, f"the body: {found}; at most {WIDE} and {LONG} are taken", "too-large")


def known(found: Iterable[str], expected: Iterable[str], where: str) -> None:
    """Refuses names that there are not, with the nearest that there is, and ones that lack."""
    found, expected = list(found), list(expected)
    unknown = [x for x in found if x not in expected]
    if unknown:
        near = nearest(unknown[0], [x for x in expected if x not in found] or expected)
        raise malformed(f"{where} has an unknown field {unknown[0]!r}{near}; expected {', '.join(expected)}", "unknown")
    missing = [x for x in expected if x not in found]
    if missing:
        raise malformed(f"{where} has no field '{missing[0]}'; expected {', '.join(expected)}", "no-column")


def no_number(word: str) -> NoReturn:
    raise malformed(f"{word} is no number in JSON; a missing value is null", "not-a-number")


def finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise malformed(f"{digits[:40]} is too large for a number", "infinite")
    return value


def integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 17 else finite(digits)


def kind(cell: Any) -> str:
    """What a value is, in the words of JSON."""
    if isinstance(cell, str | bool) or cell is None:
        said = json.dumps(cell)
        return said if len(said) < 60 else f"{said[:57]}..."
    if isinstance(cell, int | float):
        return f"the number {cell!r}"
    return "an empty list" if cell == [] else "a list" if isinstance(cell, list) else "an object"


def malformed(message: str, code: str = "malformed") -> Answered:
    return Answered(400, f"the body: {message}" if not message.startswith("the body") else message, code)


def too_many(found: str, most: int) -> Answered:
    return Answered(
        413, f"the body has {found}; at most {most} rows are taken at a time (limits.rows)", "too-many-rows"
    )
