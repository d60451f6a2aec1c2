"""Groups of the rows of a forecast table: by series, step ahead, hour, weekday, cutoff."""

import numpy as np
import pandas as pd

from forecast.error import Refusal, nearest

KEYS = ("unique_id", "step", "hour", "weekday", "cutoff")
OFFSET = r"(?:Z|[+-]\d\d:?\d\d)$"  # of a time as text, from UTC


def grouped(table: pd.DataFrame, key: str) -> tuple[np.ndarray, pd.Index]:
    """The group of each row, as a number [row], and the groups' names: of series in the table's order, else ascending.

    `step` is the place of ds among all rows of its series and cutoff, from 1 on; `hour` and `weekday` (0 is Monday)
    are those of ds in local time. Raises Refusal for another key, and where ds is not a time.
    """
    if key not in KEYS:
        raise Refusal(f"scores by '{key}'{nearest(key, KEYS)} (expected one of {', '.join(KEYS)})", "config")
    if key in ("unique_id", "cutoff"):
        group, names = pd.factorize(table[key], sort=key == "cutoff", use_na_sentinel=False)
        return group, pd.Index(names, name=key)
    if key == "step":
        group, first = steps(table), 1
    else:
        when = times(table["ds"], local=True)
        group, first = (when.hour if key == "hour" else when.day_of_week).to_numpy("int64"), 0
    return group, pd.RangeIndex(first, first + int(group.max()) + 1, name=key)


def steps(table: pd.DataFrame) -> np.ndarray:
    """The place of each row in its forecast (the rows of one series and cutoff) by time, 0 for the first [row]."""
    series, cutoff = (pd.factorize(table[name], use_na_sentinel=False)[0] for name in ("unique_id", "cutoff"))
    forecast = series * (cutoff.max() + 1) + cutoff
    ds = table["ds"]
    order = np.lexsort((ds if pd.api.types.is_numeric_dtype(ds) else times(ds).asi8, forecast))
    begins = np.flatnonzero(np.diff(forecast[order], prepend=-1))
    place = np.empty(len(table), dtype="int64")
    place[order] = np.arange(len(table)) - np.repeat(begins, np.diff(begins, append=len(table)))
    return place


def times(ds: pd.Series, local: bool = False) -> pd.DatetimeIndex:
    """The times of a column; of text (ISO 8601) in UTC, or as its clock on the wall shows them."""
    if pd.api.types.is_datetime64_any_dtype(ds):
        return pd.DatetimeIndex(ds)
    each, found = pd.factorize(ds, use_na_sentinel=False)
    texts = pd.Series(found).astype(str)
    try:
        if pd.api.types.is_numeric_dtype(ds):
            raise ValueError(f"{texts[0]} is a number")
        texts = texts.str.replace(OFFSET, "", regex=True) if local else texts
        return pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", utc=True)).take(each)
    except ValueError as error:
        raise Refusal(
            f"'{ds.name}' of the forecast table is not a time such as 2024-05-31 13:00: {error}", "bad-time"
        ) from None
