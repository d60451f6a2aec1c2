"""What a forecast table is, whoever made it: its columns, and the refusal of one that can't be scored."""

from pathlib import Path

import numpy as np
import pandas as pd

from forecast.data.column import EXACT
from forecast.error import Refusal, nearest


def read(path: Path) -> pd.DataFrame:
    """A forecast table from a CSV file, numbers to the last bit, names as text; refused if it can't be read."""
    try:
        return pd.read_csv(path, dtype={"unique_id": str}, **EXACT)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} can't be read as comma-separated UTF-8 text: {error}", "unreadable") from None


def levels_of(table: pd.DataFrame) -> dict[float, str]:
    """The quantile levels that a forecast table has columns for, ascending, and the columns' names."""
    levels = {}
    for name in map(str, table.columns):
        if name.startswith("q"):
            try:
                levels[float(name[1:])] = name
            except ValueError:
                continue
    return {level: levels[level] for level in sorted(levels) if 0 < level < 1}


def classes_of(table: pd.DataFrame) -> dict[str, str]:
    """The classes that a forecast table has probabilities of, by number, and the columns' names."""
    return {name[2:]: name for name in map(str, table.columns) if name.startswith("p_")}


def numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64 [row], NaN where it is empty; not copied if it is that already."""
    return table[name].astype("float64").to_numpy()


def checked(table: pd.DataFrame, *, empty: bool = False) -> pd.DataFrame:
    """The table with a `point`, which is the median q0.5 where there is no other.

    Raises Refusal if a column is missing or is not of numbers, if a row with an observed y has a forecast that is not
    finite, and if no y is observed (unless it may be `empty`).
    """
    levels = levels_of(table)
    if "point" not in table.columns and 0.5 in levels:
        table = table.assign(point=table[levels[0.5]])
    for name in ("unique_id", "ds", "cutoff", "y", "point"):
        if name not in table.columns:
            raise Refusal(
                f"a forecast table needs the column '{name}'{nearest(name, map(str, table.columns))} "
                "(expected: unique_id, ds, cutoff, y, and point or q0.5)",
                "no-column",
            )
    for name in ("y", "point", *levels.values(), *classes_of(table).values()):
        if not pd.api.types.is_numeric_dtype(table[name]):
            wrong = pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()
            row = int(wrong.to_numpy().argmax())
            found = table[name].iloc[row]
            raise Refusal(f"row {row + 1} of the forecast table: '{found}' in '{name}' is not a number", "not-a-number")
    missing = np.isnan(numbers(table, "y"))
    for name in ("y", "point", *levels.values()):
        unusable = ~np.isfinite(numbers(table, name)) & ~missing
        if unusable.any():
            row = int(unusable.argmax())
            found = table[name].iloc[row]
            raise Refusal(
                f"row {row + 1} of the forecast table: {found} in '{name}', where y is observed, is not finite",
                "not-a-number",
            )
    if missing.all() and not empty:
        raise Refusal("no row of the forecast table has an observed y: there is nothing to score yet", "no-rows")
    return table


def observed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that can be scored which have an observed y."""
    table = checked(table)
    return table[table["y"].notna()]
