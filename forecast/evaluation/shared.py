"""The rows that several forecast tables share: what they can be compared on, and combined from."""

import logging
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.table import checked, classes_of, levels_of, observed

log = logging.getLogger(__name__)

KEYS = ("unique_id", "ds", "cutoff")
MARKED = r"\d(?:Z|[+-]\d{2}:?\d{2})$"  # a time that says its offset from UTC
SAME = 1e-4  # of the largest |y|: how far apart tables that were rounded may say the same y


def shared(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The rows (unique_id, ds, cutoff) that are in all tables, in the order of the first; the others are counted.

    Stamps are told apart as instants: text is read as ISO 8601, time zones may differ. Raises Refusal if a table has a
    row twice, tables share no row, they say different y of the same row, or some are of values and some of classes.
    """
    tables = {name: stamped(checked(table, empty=True), name) for name, table in tables.items()}
    alike(tables)
    rows = {name: keyed(table, name) for name, table in tables.items()}
    first = next(iter(rows.values()))
    if all(each.equals(first) for each in rows.values()):
        found = tables
    else:
        common = reduce(lambda one, other: one[one.isin(other)], rows.values())
        if not len(common):
            raise Refusal(
                f"the tables {', '.join(tables)} share no row: no unique_id, ds and cutoff is in all of them "
                f"({'; '.join(f'{name} begins with {worded(each[0])}' for name, each in rows.items())})",
                "no-rows",
            )
        found = {name: table.iloc[rows[name].get_indexer(common)] for name, table in tables.items()}
        lost = ", ".join(f"{len(rows[name]) - len(common):,} of {len(rows[name]):,} of {name}" for name in tables)
        log.info("rows that are not in all tables are left out: %s", lost)
    found = {name: table.reset_index(drop=True) for name, table in found.items()}
    agreeing(found)
    return found


def scorable(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Of tables that share their rows those of which y is observed in all; refused if there are none."""
    seen = np.all([table["y"].notna() for table in tables.values()], axis=0)
    return {name: observed(table[seen]) for name, table in tables.items()}


def levels_shared(tables: Mapping[str, pd.DataFrame]) -> list[float]:
    """The quantile levels that all tables have, ascending."""
    return sorted(set.intersection(*(set(levels_of(table)) for table in tables.values())))


def quantiles(table: pd.DataFrame, levels: Sequence[float]) -> np.ndarray:
    """The quantiles [row level] at levels that a table has."""
    names = levels_of(table)
    return table[[names[level] for level in levels]].to_numpy("float64")


def worded(row: tuple) -> str:
    return ", ".join(map(str, row))


def stamped(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with `ds` and `cutoff` as stamps where they were text; numbers stay numbers."""
    return table.assign(**{column: stamps(table[column], f"'{column}' of {name}") for column in KEYS[1:]})


def stamps(column: pd.Series, what: str) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    text = column.astype(str)
    found = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    if found.isna().any():
        wrong = text[found.isna()].iloc[0]
        raise Refusal(f"{what}: '{wrong}' is no time such as 2024-03-31 14:00 or 2024-03-31T14:00+02:00", "not-a-time")
    marked = text.str.contains(MARKED)
    if marked.any() and not marked.all():
        raise Refusal(f"{what}: some times say their offset from UTC, some don't ({text[~marked].iloc[0]})", "dst")
    return found if marked.any() else found.dt.tz_localize(None)


def instants(column: pd.Series) -> pd.Series:
    """Stamps in one unit, where they have a zone those of UTC; numbers as they are."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    return column.dt.as_unit("us") if pd.api.types.is_datetime64_any_dtype(column) else column


def keyed(table: pd.DataFrame, name: str) -> pd.MultiIndex:
    """What tells the rows of a table apart: names as text, stamps in UTC."""
    columns = table["unique_id"].astype(str), instants(table["ds"]), instants(table["cutoff"])
    index = pd.MultiIndex.from_arrays(columns, names=KEYS)
    twice = index.duplicated()
    if twice.any():
        raise Refusal(
            f"{name} has {worded(index[int(twice.argmax())])} twice: a forecast table has one row for "
            "each unique_id, ds and cutoff",
            "duplicate",
        )
    return index


def alike(tables: Mapping[str, pd.DataFrame]) -> None:
    """Refuses tables of values beside tables of classes, or of other classes; times with and without a zone."""
    told = {name: ", ".join(classes_of(table)) for name, table in tables.items()}
    if len(set(told.values())) > 1:
        kinds = "; ".join(f"{name} is of {f'the classes {told[name]}' if told[name] else 'values'}" for name in tables)
        raise Refusal(f"tables that tell different things can't be compared: {kinds}", "classes")
    for column in KEYS[1:]:
        zoned = {name: isinstance(table[column].dtype, pd.DatetimeTZDtype) for name, table in tables.items()}
        if len(set(zoned.values())) > 1:
            says = ", ".join(f"{name} {'has' if zone else 'has none'}" for name, zone in zoned.items())
            raise Refusal(f"'{column}': times with a time zone can't be matched with times without one ({says})", "dst")


def agreeing(tables: Mapping[str, pd.DataFrame]) -> None:
    """Refuses tables whose y differ: then they are not forecasts of the same."""
    (first, one), *others = ((name, table["y"].to_numpy("float64")) for name, table in tables.items())
    for name, other in others:
        wrong = np.abs(one - other) > SAME * np.nanmax(np.abs(one), initial=0)
        if wrong.any():
            row = int(wrong.argmax())
            where = worded(tuple(tables[first][list(KEYS)].iloc[row]))
            raise Refusal(
                f"{first} and {name} don't forecast the same: at {where} y is {one[row]:g} in one and "
                f"{other[row]:g} in the other (data units? another target?)",
                "other-y",
            )
