"""One column of people's data -> a typed array, or a Refusal that names the cell."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecast.error import Refusal, nearest

EXACT: dict[str, Any] = {"float_precision": "round_trip"} if pd.__version__ < "3.1" else {}  # 3.1 reads exactly
TIMES = ("ds", "time", "date", "datetime", "timestamp", "utc_timestamp", "date_time")
NAMELESS = "(no name)"  # columns without a name are called so, and have no role
MISSING = ("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A", "n/a", "#N/A")


def looks_numeric(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column):
        return bool(column.notna().any())
    first = column.dropna().head(1).astype(str)
    return bool(pd.to_numeric(first, errors="coerce").notna().any())


def numbers(frame: pd.DataFrame, name: str, source: str) -> np.ndarray:
    """A column as float64; the first cell that is no number, or infinite, is refused."""
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column):
        values = pd.to_numeric(column, errors="coerce")
        wrong = (values.isna() & column.notna()).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise Refusal(
                f"{source}, row {row + 1}, column '{name}': '{column.iloc[row]}' is not a number "
                f"({int(wrong.sum())} such cells)",
                "not-a-number",
            )
        column = values
    array = column.to_numpy(dtype="float64", na_value=np.nan)
    infinite = np.isinf(array)
    if infinite.any():
        raise Refusal(f"{source}, row {infinite.argmax() + 1}, column '{name}': the value is infinite", "infinite")
    return array


def names_of(column: pd.Series, source: str) -> np.ndarray:
    """Series names as text, byte for byte; an empty one is refused."""
    missing = (column.isna() | (column.astype(str) == "")).to_numpy()
    if missing.any():
        raise Refusal(f"{source}, row {missing.argmax() + 1}, column '{column.name}': the series has no name", "no-id")
    return column.astype(str).to_numpy(dtype=object)


def static(frame: pd.DataFrame, name: str, source: str, category: bool) -> np.ndarray:
    """A static column: numbers as float64, anything else, or what is named a category, as text."""
    if pd.api.types.is_numeric_dtype(frame[name]) and not category:
        return numbers(frame, name, source)
    return texts(frame[name]).to_numpy(dtype=object)


def categories(frame: pd.DataFrame, name: str) -> Any:
    """A covariate of categories: text, or whole numbers as text."""
    return pd.Categorical(texts(frame[name]))


def texts(column: pd.Series) -> pd.Series:
    """Cells as text, whole numbers without a decimal point; empty ones are missing."""
    text = column.astype(object)
    text = text.where(text.isna(), text.astype(str).str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True))
    return text.where(~text.isin(MISSING), None)


def dates(cells: pd.Series) -> bool:
    """Whether cells read as dates, as a column of times is recognised."""
    return bool(len(cells)) and bool(cells.str.fullmatch(r"\d{1,4}[-/.]\d\d?[-/.]\d{1,4}([T ].*)?").all())


def time_columns(frame: pd.DataFrame, named: str | Sequence[str] | None, source: str) -> list[str]:
    """The column of stamps, or those of date and time of day: what is named, a usual name, or what reads as dates."""
    known = list(map(str, frame.columns))
    if not isinstance(named, str | None) and len(named) not in (1, 2):
        raise Refusal(f"data.time={list(named)}: expected one column, or those of date and time of day", "config")
    if not isinstance(named, str | None) and " ".join(named) in known:  # already read as one
        return [" ".join(named)]
    if named is not None:
        for name in [named] if isinstance(named, str) else named:
            if name not in known:
                raise Refusal(f"{source} has no column '{name}' (data.time){nearest(name, known)}", "no-time")
        return [named] if isinstance(named, str) else list(named)
    low = [name.lower() for name in known]
    if "date" in low and "time" in low and not isinstance(frame.index, pd.DatetimeIndex):
        return [known[low.index("date")], known[low.index("time")]]
    usual = [name for name in known if name.lower() in TIMES]
    if usual:
        return [min(usual, key=lambda name: TIMES.index(name.lower()))]
    for name in frame.columns:
        cells = frame[name].head()
        if pd.api.types.is_datetime64_any_dtype(cells) or dates(cells.astype(str)):
            return [name]
    raise Refusal(
        f"{source} has no column of times among {', '.join(map(repr, known[:8]))}"
        f"{' (is the delimiter a comma?)' if len(known) == 1 else ''}: name it by data.time",
        "no-time",
    )


def id_column(frame: pd.DataFrame, named: str | None) -> str | None:
    """The column of series names: the one that is named, else `unique_id`, else none (each target is a series)."""
    return named if named is not None else "unique_id" if "unique_id" in frame.columns else None


def targets(frame: pd.DataFrame, series: str | None, taken: set[str | None], source: str) -> list[str]:
    """The columns to forecast when none is named: `y`, else every column of numbers that has no other role."""
    free = [name for name in frame.columns if name not in taken and looks_numeric(frame[name])]
    if "y" in free:
        return ["y"]
    if not free:
        raise Refusal(f"{source} has no column of numbers to forecast; name one by data.target", "no-column")
    if series is not None and len(free) > 1:
        raise Refusal(
            f"{source} has several columns of numbers ({', '.join(free)}); name the target by data.target", "config"
        )
    return free


def require(frame: pd.DataFrame, names: Sequence[str], source: str) -> None:
    for name in names:
        if name not in frame.columns:
            near = nearest(str(name), map(str, frame.columns))
            raise Refusal(f"{source} has no column '{name}'{near or f'; it has {list(frame.columns)}'}", "no-column")


def roles(data: Mapping[str, Any]) -> list[str]:
    """The columns of numbers that are named in `data`."""
    return [x for x in (*(data["target"] or ()), *data["past"], *data["future"]) if x not in data["categorical"]]


def candidates(first: pd.DataFrame, words: set[str], data: Mapping[str, Any]) -> list[str]:
    """The columns to read: those with a role and, where no target is named, all that may be numbers."""
    named, missing = {*words, *roles(data)}, {*MISSING, *map(str, data["missing"])}

    def free(name: str) -> bool:
        cells = first[name].str.strip()
        cells = cells[~cells.isin(missing)]
        return not name.startswith(NAMELESS) and (
            not len(cells) or (bool(re.search(r"\d", cells.iloc[0])) and not dates(cells.head(1)))
        )

    return [name for name in first.columns if name in named or (not data["target"] and free(name))]
