"""The quick road of a forecaster that is told one row after the other: one series, and no frame is read."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from forecast.contract import Batch
from forecast.data.panel import Panel
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.recipe import window_of
from forecast.serving.session import Session

SPARE = 1024  # rows that can be told before the panel is made again
PLAIN = ("stamp", "day", "resample", "issued", "label", "missing", "capacity", "observed")  # not set: a row is as read
ISO = re.compile(r"\d{4}-\d\d-\d\d")
ROWS = ("y", "observed", "past", "past_observed", "future", "future_observed")

Row = Mapping[str, Any]


class Live:
    """The newest context of one series as a panel with spare rows, into which new ones are written in place.

    Forecasts equal those of `predict` on all rows.
    """

    def __init__(self, fitted: Fitted, panel: Panel, session: Session | None = None):
        self.fitted, self.session, clock = fitted, session, panel.layout.clock
        window = window_of(fitted.config, clock)
        self.ahead, self.place = window.ahead, window.context
        start, rows = int(panel.lengths[0]) - window.context, window.context + SPARE + window.ahead
        first = panel.first + start
        ordinals = int(first) + np.arange(rows)
        stamps = clock.stamps(ordinals)
        room = {name: torch.zeros(rows, *x.shape[1:], dtype=x.dtype) for name in ROWS for x in [getattr(panel, name)]}
        for name, tensor in room.items():
            known = getattr(panel, name)[start : start + rows]
            tensor[: len(known)] = known
        named = sum(map(bool, panel.future_names))
        room["future"][:, named:] = torch.from_numpy(fitted.statistics.days(clock, ordinals))
        room["future_observed"][:, named:] = True
        self.panel = replace(
            panel,
            **room,
            shift=torch.from_numpy(clock.steps(ordinals) - ordinals),
            offsets=torch.tensor([0, rows]),
            first=first,
            lengths=torch.tensor([rows - window.ahead]),
        )
        self.room = {name: tensor.numpy() for name, tensor in room.items()}  # the same memory, written sooner
        self.windows = Windows(self.panel, window, torch.arange(SPARE + 1))
        self.rows = {stamp: i for i, stamp in enumerate(stamps)}
        layout, columns = panel.layout, fitted.statistics.columns
        self.time, self.target = layout.time, layout.target
        self.past = [(name, *columns[name]) for name in layout.past]
        self.future = [(name, *columns[name]) for name in layout.future]
        self.stamps, self.levels = stamps.array, fitted.model.eval().head.levels
        self.labels = pd.array(np.repeat(np.array(panel.labels, dtype=object), window.horizon), dtype="str")
        names = ["unique_id", "ds", "cutoff", "y", "point", *(f"q{level:g}" for level in self.levels)]
        self.names = pd.Index(names, dtype="str")

    @classmethod
    def of(cls, fitted: Fitted, panel: Panel, session: Session | None = None) -> "Live | None":
        """None where a row alone does not tell what it means: several series, calibration, categories, repairs.

        With a `session` forecasts are those of its graph.
        """
        data = fitted.config["data"]
        told = panel.layout.joint or len(panel.layout.target) == 1
        plain = not any(data[key] for key in PLAIN) and data["fill"] in ("last", "zero") and data["series"] is None
        simple = len(panel.names) == 1 and told and not panel.layout.categorical and not len(panel.vintages)
        ready = fitted.calibration is None and fitted.config["anchor"] is None and not fitted.model.head.classes
        long = int(panel.lengths[0]) >= fitted.config["context"]
        return cls(fitted, panel, session) if plain and simple and ready and long else None

    def observe(self, rows: Sequence[Row]) -> pd.DataFrame | None:
        """The forecast table after rows in order of time; None, and nothing is changed, if they need the whole road.

        That is what a gap, an empty cell, an odd stamp or the end of the spare rows needs.
        """
        place, writes = self.place, []
        for row in rows:
            known = self.written(row, place)
            if known is None:
                return None
            writes.append(known)
            place += known[0] == place
        if place == self.place or place - self.windows.window.context > SPARE:
            return None
        places = [i for i, *_ in writes]
        before = {name: array[places] for name, array in self.room.items()}
        for i, y, past, future in writes:
            if y is not None:
                self.room["y"][i], self.room["observed"][i] = y, True
                self.room["past"][i], self.room["past_observed"][i] = past, True
            self.room["future"][i, : len(future)] = future
            self.room["future_observed"][i, : len(future)] = True
        try:
            table = self.forecast(place)
        except Refusal:
            for name, array in self.room.items():
                array[places] = before[name]
            raise
        self.place = place
        return table

    def written(self, row: Row, place: int) -> tuple[int, list[float] | None, list[float], list[float]] | None:
        """What is to be written for a row: its number, targets (None of a known future), covariates as scaled."""
        stamp = instant(row.get(self.time))
        i = -1 if stamp is None else self.rows.get(stamp, -1)
        if i < place:
            return None
        y = [number(row.get(name)) for name in self.target]
        future = [(number(row.get(name)) - loc) / scale for name, loc, scale in self.future]
        past = [(number(row.get(name)) - loc) / scale for name, loc, scale in self.past]
        if not all(map(math.isfinite, future)) or (self.fitted.statistics.kind == "log1p" and min(y) <= -1):
            return None
        if i == place and all(map(math.isfinite, (*y, *past))):
            return i, y, past, future
        if i > place and i <= place + self.ahead and all(map(math.isnan, (*y, *past))):
            return i, None, [], future
        return None

    def forecast(self, place: int) -> pd.DataFrame:
        """The forecast table of what follows the row before a place; refused if it lacks a known covariate."""
        window = self.windows.window
        batch = self.windows.batch(torch.tensor([place - window.context]))
        if self.future and not batch.future_observed[:, window.context :, : len(self.future)].all():
            self.windows.check_future()
        point, spread = self.answered(batch)
        values = np.concatenate((np.full_like(point, np.nan)[..., None], point[..., None], spread), -1)
        values = values[0].swapaxes(0, 1).reshape(-1, values.shape[-1])
        first = place + window.gap
        stamps, cutoff = self.stamps[first : first + window.horizon], self.stamps[place - 1 : place]
        channels = len(values) // window.horizon
        columns = (
            self.labels,
            stamps if channels == 1 else stamps.take(np.tile(np.arange(window.horizon), channels)),
            cutoff.take(np.zeros(len(values), "int64")),
            *values.T,
        )
        table = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(len(values)), copy=False)
        table.columns = self.names  # sooner than names given one by one
        return table

    def answered(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Point [1 horizon c] and quantiles [1 horizon c q], within the bounds of the data."""
        if self.session is None:
            with torch.inference_mode():
                point, spread = self.fitted.answered(batch, self.levels)
            return point.cpu().numpy(), spread.cpu().numpy()
        point, spread = self.session({name: getattr(batch, name).numpy() for name in self.session.inputs})
        low, high = self.fitted.config["data"]["min"], self.fitted.config["data"]["max"]
        return (point, spread) if low is None and high is None else (point.clip(low, high), spread.clip(low, high))


def instant(x: Any) -> pd.Timestamp | None:
    """A time; None for what is none, and for text in which day and month may be either."""
    if isinstance(x, str) and not ISO.match(x):
        return None
    try:
        return pd.Timestamp(x)
    except (ValueError, TypeError, OverflowError):
        return None


def number(x: Any) -> float:
    """A cell as a float; NaN for an empty one, and for what is no number."""
    return float(x) if isinstance(x, int | float | np.number) and not isinstance(x, bool) else math.nan
