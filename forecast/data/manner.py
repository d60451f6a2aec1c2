"""How a CSV file is written, found from its beginning: encoding, delimiter, header, decimal sign, thousands mark.

What is found is said in the log; what is named in `data` is taken; what can't be known is refused.
"""

import codecs
import csv
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from forecast.data.column import MISSING, NAMELESS, candidates, dates
from forecast.error import Refusal

log = logging.getLogger(__name__)

ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DELIMITERS = ",;\t|"
SAMPLE = 1000  # rows from which roles and signs are found
GROUPED = r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?"  # thousands marked by points
SPACES = " \u00a0\u202f'"  # what may stand between thousands, beside the point and the comma

csv.field_size_limit(max(csv.field_size_limit(), 1 << 18))  # split at another delimiter than its own a line is one cell


@dataclass(frozen=True)
class Manner:
    """How a file is written: everything that `data` can name about it."""

    encoding: str
    delimiter: str
    decimal: str
    thousands: str | None
    header: int  # lines up to the names, these included
    names: tuple[str, ...]


def found(head: bytes, whole: bool, data: Mapping[str, Any], source: str) -> tuple[Manner, pd.DataFrame]:
    """How a file is written, from its first bytes, and its first rows as text; what is named in `data` is taken."""
    if not head.strip():
        raise Refusal(f"{source} is empty: expected a header line and rows", "empty-file")
    encoding, text = decoded(head, data["encoding"], source)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n") if whole else text.split("\n")[:-1]
    delimiter = data["delimiter"] or separator(lines)
    rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines[:500]]
    if data["header"] is not None:
        top = data["header"] - 1
    else:
        usual = most([len(row) for row in rows if row])
        wide = [i for i, row in enumerate(rows) if row and len(row) == usual]
        top = next((i for i in wide if i or not rows[0][0].startswith("#")), 0)
        if top:
            log.info("%s: %d lines above the header are left out, the first is %r", source, top, lines[0])
    if not 0 <= top < len(rows):
        raise Refusal(f"{source}: data.header={top + 1}, but it has {len(rows)} lines", "config")
    names = [name.strip() for name in rows[top]]
    if any(dates(pd.Series([name])) for name in names):
        if top and data["header"] is None and len(rows[top - 1]) > 1:
            raise Refusal(
                f"{source}, line {top + 1}: {len(names)} cells where the header has {len(rows[top - 1])} names",
                "ragged",
            )
        raise Refusal(
            f"{source}, line {top + 1}: there are dates where the names of columns should be; add a header line",
            "no-header",
        )
    twice = [name for i, name in enumerate(names) if name and name in names[:i]]
    if twice:
        raise Refusal(f"{source}: two columns are called '{twice[0]}'; rename one", "duplicate-column")
    names = [name or f"{NAMELESS} {i}" for i, name in enumerate(names)]
    under = 0 if data["start"] is not None else units(rows[top + 1 : top + 5], names)
    if under:
        text = ", ".join(map(repr, filter(None, rows[top + 1])))
        log.info("%s: lines under the names without numbers, such as units, are left out (%d): %s", source, under, text)
    top += under
    if delimiter != ",":
        log.info("%s: cells are separated by %r", source, delimiter)
    below = [
        row for row in csv.reader(lines[top + 1 : top + 1 + SAMPLE], delimiter=delimiter) if len(row) == len(names)
    ]
    return Manner(encoding, delimiter, ".", None, top + 1, tuple(names)), pd.DataFrame(below, columns=names, dtype=str)


def units(rows: Sequence[Sequence[str]], names: Sequence[str]) -> int:
    """How many lines hold units or other words over the first with numbers and dates: none of either, as it has."""

    def typed(cell: str) -> bool:
        return bool(re.search(r"^\W*\d|\d\d", cell)) and cell.strip() != "1"  # which may be a unit

    count = next((i for i, row in enumerate(rows) if any(map(typed, row))), 0)
    if any(len(row) != len(names) for row in rows[: count + 1]):
        return 0
    over = [{cell for cell, below in zip(row, rows[count], strict=True) if typed(below)} for row in rows[:count]]
    return count if all(cells - set(MISSING) for cells in over) else 0


def decoded(head: bytes, named: str | None, source: str) -> tuple[str, str]:
    """Encoding and text: what is named, else by the byte order mark, else UTF-8, else Windows' western one."""
    marked = next((encoding for mark, encoding in ORDER_MARKS.items() if head.startswith(mark)), None)
    try:
        encoding = codecs.lookup(named).name if named else marked or "utf-8"
        if named and marked == "utf-8-sig" and encoding == "utf-8":
            encoding = marked
        return encoding, codecs.getincrementaldecoder(encoding)().decode(head)
    except LookupError:
        raise Refusal(f"data.encoding={named}: no such encoding", "config") from None
    except UnicodeError as error:
        if named is None:
            try:
                text = head.decode("cp1252")
            except UnicodeDecodeError:
                pass
            else:
                log.info("%s is not UTF-8; it is read as cp1252 (data.encoding names another)", source)
                return "cp1252", text
        raise Refusal(
            f"{source} can't be read as {named or 'UTF-8'} text: {error}; name its encoding by data.encoding",
            "unreadable",
        ) from None


def separator(lines: Sequence[str]) -> str:
    """The delimiter that gives the most lines the same number of cells, of those the one that gives more cells."""
    best, score = ",", (0.0, 0)
    filled = [line for line in lines[:200] if line.strip()]
    for delimiter in DELIMITERS:
        counts = [len(next(csv.reader([line], delimiter=delimiter), [])) for line in filled]
        usual = most(counts)
        if usual > 1 and (counts.count(usual) / len(counts), usual) > score:
            best, score = delimiter, (counts.count(usual) / len(counts), usual)
    return best


def most(counts: Sequence[int]) -> int:
    """The commonest count."""
    return max(set(counts), key=counts.count, default=0)


def numeric(manner: Manner, first: pd.DataFrame, words: set[str], data: Mapping[str, Any], source: str) -> Manner:
    """The manner with decimal sign and thousands mark, from the cells of the first rows."""
    decimal, thousands = data["decimal"], data["thousands"]
    names = [name for name in candidates(first, words, data) if name not in words]
    cells = pd.concat([first[name] for name in names] or [pd.Series(dtype=str)]).astype(str).str.strip()
    cells = cells[cells.str.fullmatch(rf"[+-]?[\d.,{SPACES}]*\d[\d.,{SPACES}]*(?:[eE][+-]?\d+)?")]
    if decimal is None and thousands is None:
        commas = cells[cells.str.contains(",", regex=False)]
        if len(commas):
            grouped = commas.str.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
            sure = grouped & (commas.str.contains(".", regex=False) | (commas.str.count(",") > 1))
            if grouped.all() and not sure.any():
                raise Refusal(
                    f"{source}: '{commas.iloc[0]}' may be a decimal number or thousands; say which by data.decimal=',' "
                    "or data.thousands=','",
                    "ambiguous-number",
                )
            decimal, thousands = (".", ",") if grouped.all() else (",", None)
        points = cells[cells.str.fullmatch(GROUPED)]
        if thousands is None and (points.str.count(r"\.") + 2 * points.str.contains(",", regex=False) > 1).any():
            decimal, thousands = ",", "."
        spaced = cells[cells.str.fullmatch(rf"[+-]?[1-9]\d{{0,2}}([{SPACES}]\d{{3}})+([.,]\d*)?")]
        if thousands is None and len(spaced):
            thousands = next(x for x in SPACES if x in spaced.iloc[0])
    pointed = cells[cells.str.contains(".", regex=False)]
    if thousands is None and decimal != "." and len(pointed) and pointed.str.fullmatch(GROUPED).all():
        elsewhere = any(first[name].str.fullmatch(r"[+-]?\d+(\.\d{3})*,\d{1,2}").any() for name in first.columns)
        thousands = "." if decimal == "," or elsewhere else None
    for name in names if decimal is None and thousands is None else ():
        column = first[name].str.strip()
        split = column.str.contains(".", regex=False)
        if split.any() and column[split].str.fullmatch(GROUPED).all() and column.str.fullmatch(r"[1-9]\d{0,2}").any():
            raise Refusal(
                f"{source}, column '{name}': '{column[split].iloc[0]}' beside '{column[~split].iloc[0]}' may be a "
                "decimal number or thousands; say which by data.decimal='.' or data.thousands='.'",
                "ambiguous-number",
            )
    decimal = decimal or ("," if thousands == "." else ".")
    if decimal == thousands:
        raise Refusal(f"data.decimal and data.thousands are both '{decimal}'", "config")
    if (decimal, thousands) != (".", None):
        mark = "no thousands mark" if thousands is None else f"thousands mark {thousands!r}"
        log.info("%s: numbers are read with decimal sign %r and %s", source, decimal, mark)
    return replace(manner, decimal=decimal, thousands=thousands)
