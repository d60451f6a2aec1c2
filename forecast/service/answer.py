"""The forecast table as text: JSON, or a CSV that a spreadsheet can't execute; numbers are exact in both."""

import csv
import json
import math
from typing import Any

import pandas as pd

from forecast.service.served import Answer

TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n")  # with which a cell begins that a spreadsheet takes for a formula


def as_json(name: str, answer: Answer) -> bytes:
    """`{"name": ..., "rows": [...], "past": [...]}`; stamps as ISO 8601, a missing number is null."""
    past = [] if answer.past is None else records(answer.past)
    parts = f'{{"name":{json.dumps(name)},"rows":[', ",".join(records(answer.table)), '],"past":[', ",".join(past), "]}"
    return "".join(parts).encode()


def records(table: pd.DataFrame) -> list[str]:
    """Each row as a JSON object."""
    columns = [list(map(cell, table[name].tolist())) for name in table.columns]
    names = list(map(str, table.columns))
    return [
        json.dumps(dict(zip(names, row, strict=True)), allow_nan=False, separators=(",", ":"))
        for row in zip(*columns, strict=True)
    ]


def cell(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def as_csv(answer: Answer) -> bytes:
    """The table as CSV, text quoted, with an apostrophe before what a spreadsheet would take for a formula.

    Numbers are written as Python writes them, negative ones too: they read back to the same bits.
    """
    table = answer.table
    names = [x for x in table.columns if not pd.api.types.is_any_real_numeric_dtype(table[x])]
    texts = [x for x in names if not pd.api.types.is_datetime64_any_dtype(table[x])]
    table = table.assign(**{name: table[name].map(harmless) for name in texts})
    return table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n").encode()


def harmless(text: Any) -> str:
    return f"'{text}" if str(text).startswith(TRIGGERS) else str(text)
