"""The rows of a forecaster: those it was fitted on, and those it is told later."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from forecast.data import reader
from forecast.data.layout import Layout
from forecast.data.lines import find
from forecast.data.panel import Panel
from forecast.data.table import require
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.live import Live, Row
from forecast.recipe import Frame
from forecast.serving.graph import faithful
from forecast.serving.session import Session


class Memory:
    """All rows, or the file that they are in; `told` are those that only the `live` panel has, not yet as a frame."""

    def __init__(self, rows: Frame | None = None):
        self.rows = rows
        self.told: list[Row] = []
        self.live: Live | None = None
        self.session: Session | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"live": None, "session": None}  # a copy makes its own

    def observe(self, rows: Sequence[Row], onnx: bool) -> pd.DataFrame | None:
        """The forecast table after rows that the live panel can take; None, and none is kept, if it can't."""
        if self.live is None or onnx != (self.live.session is not None):
            return None
        table = self.live.observe(rows)
        if table is not None:
            self.told += rows
        return table

    def keep(self, rows: pd.DataFrame, fitted: Fitted, panel: Panel, onnx: bool) -> None:
        """Has these rows from now on, of which a panel was made; of a fitted model the graph is made once."""
        if onnx and self.session is None:
            self.session = Session(faithful(fitted.model)[0], threads=1)
        self.rows, self.told = rows, []
        self.live = Live.of(fitted, panel, self.session if onnx else None)

    def whole(self, fitted: Fitted, new: pd.DataFrame | None = None) -> pd.DataFrame:
        """All rows as a frame, then new ones, which are not kept."""
        rows = self.rows
        if rows is None:
            if new is None:
                raise Refusal("a loaded forecaster has no data of its own: observe some", "no-data")
            return new
        if not isinstance(rows, pd.DataFrame):
            rows = reader.read(str(find(str(rows))), fitted.reading)
        for more in (pd.DataFrame(self.told) if self.told else None, new):
            rows = rows if more is None else joined(rows, more, fitted.layout)
        return rows


def framed(rows: Sequence[Row], layout: Layout) -> pd.DataFrame:
    """Rows that are told by column as a frame; refused if one lacks a column."""
    for row in rows:
        require(pd.DataFrame(columns=list(row)), needed(layout), "a new row")
    return pd.DataFrame(list(rows))


def needed(layout: Layout) -> list[str]:
    """The columns that a new row has to have."""
    return [name for name in (layout.time, layout.id, *layout.target, *layout.past, *layout.future) if name]


def joined(old: pd.DataFrame, new: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Rows with new ones after them; a row that had no target yet, as a known future has none, gives way to its own.

    Raises Refusal if a column is missing. Stamps with a target that come again are for the table to refuse.
    """
    names = [layout.time, *([layout.id] if layout.id else [])]
    require(new, needed(layout), "the new rows")
    try:
        new = new.astype({name: old[name].dtype for name in names})
    except (ValueError, TypeError) as error:
        raise Refusal(f"the new rows: '{layout.time}' is told otherwise than before: {error}", "stamp") from None
    keys = [pd.MultiIndex.from_frame(x[names]) for x in (old, new)]
    given_way = keys[0].isin(keys[1]) & old[list(layout.target)].isna().all(axis=1)
    return pd.concat([old[~given_way], new], ignore_index=True)
