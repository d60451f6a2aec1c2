"""One column of people's data -> a typed array, or a Refusal that names the cell."""

import numpy as np
import pandas as pd

from forecast.error import Refusal


def looks_numeric(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column):
        return bool(column.notna().any())
    first = column.dropna().head(1).astype(str)
    return bool(pd.to_numeric(first, errors="coerce").notna().any())


def times(column: pd.Series, name: str, source: str) -> pd.DatetimeIndex:
    """Stamps of a column: datetimes as they are, text in ISO form."""
    if pd.api.types.is_datetime64_any_dtype(column):
        stamps = column
    else:
        text = column.astype(str)
        try:
            stamps = pd.to_datetime(text, format="ISO8601")
        except ValueError:
            wrong = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True).isna().to_numpy()
            if not wrong.any():
                raise Refusal(
                    f"{source}, column '{name}': stamps of several UTC offsets; write all in UTC", "mixed-offsets"
                ) from None
            raise Refusal(
                f"{source}, row {wrong.argmax() + 1}, column '{name}': '{text.iloc[wrong.argmax()]}' is not a time; "
                "expected ISO dates such as 2024-02-13 or 2024-02-13 15:00",
                "bad-time",
            ) from None
    if stamps.isna().any():
        row = int(stamps.isna().to_numpy().argmax())
        raise Refusal(f"{source}, row {row + 1}, column '{name}': the time is missing", "bad-time")
    return pd.DatetimeIndex(stamps).as_unit("ns")


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


def static(frame: pd.DataFrame, name: str, source: str) -> np.ndarray:
    """A static column: numbers as float64, anything else as text (a category)."""
    if pd.api.types.is_numeric_dtype(frame[name]):
        return numbers(frame, name, source)
    column = frame[name].astype(object)
    return column.where(column.isna(), column.astype(str)).to_numpy(dtype=object)
