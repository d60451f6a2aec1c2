"""The data recipe: configuration and files -> table, grid, windows, shape, and the baseline of any windows."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from forecast import build
from forecast.contract import Shape, Window
from forecast.data import grid as grids
from forecast.data import reader, table
from forecast.data.clock import Clock
from forecast.data.forecasts import tabulate
from forecast.data.grid import Borders, Grid
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.scaler import Statistics
from forecast.data.table import Table
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.evaluation.baseline import seasonal_naive

log = logging.getLogger(__name__)

Frame = pd.DataFrame | Path | str
AT_ONCE = 256  # windows forecast in one batch


def window_of(settings: Mapping[str, Any], clock: Clock) -> Window:
    """The window of a configuration; with `issue`, a forecast is made at that time of day before the anchor."""
    lead = None
    if settings["issue"] is not None:
        if settings["anchor"] is None:
            raise Refusal(f"issue={settings['issue']} needs an anchor, the time of day of the first step", "anchor")
        lead = clock.between(settings["issue"], settings["anchor"])
    return Window(**{key: settings[key] for key in ("context", "horizon", "stride", "gap", "anchor")}, lead=lead)


def origin_window(settings: Mapping[str, Any], clock: Clock, season: int, stride: int | None = None) -> Window:
    """The window of test origins: with a season of context at least, `stride` or test_stride or a horizon apart."""
    window = window_of(settings, clock)
    stride = stride or settings["test_stride"] or window.horizon
    return replace(window, stride=stride, context=max(window.context, season))


def datamodule(settings: Mapping[str, Any], panel: Panel, borders: Borders) -> SeriesDataModule:
    return SeriesDataModule(
        panel,
        window_of(settings, panel.layout.clock),
        borders,
        train_window=settings["data"]["train_window"],
        half_life=settings["data"]["half_life"],
        batch_size=settings["batch_size"],
        seed=settings["seed"],
    )


def outside(grid: Grid, low: float | None, high: float | None) -> None:
    """Says how many observed values lie outside the bounds of forecasts."""
    beyond = (grid.y < (-np.inf if low is None else low)) | (grid.y > (np.inf if high is None else high))
    if beyond.any():
        log.warning("%s: %d values lie outside data.min and data.max", grid.source, beyond.sum())


def opened(data: Mapping[str, Any], frame: Frame | None) -> Table:
    """The checked table of a DataFrame, or of a CSV file (default: the one that the configuration names)."""
    if isinstance(frame, pd.DataFrame):
        return table.table(frame, data, "DataFrame")
    path = frame or data["path"]
    if path is None:
        raise Refusal("no data: name a file by data.path=my.csv, a set by data=..., or pass a DataFrame", "no-data")
    found = table.find(str(path))
    return table.table(reader.read(found, data), data, str(found))


def laid(settings: Mapping[str, Any], checked: Table) -> tuple[Grid, Borders]:
    """The table on its grid, and where its parts end."""
    grid = grids.grid(checked, settings["gap"] + settings["horizon"])
    return grid, grid.borders(settings["data"]["split"], settings["data"]["split_each"])


def shape_of(panel: Panel, statistics: Statistics, settings: Mapping[str, Any]) -> Shape:
    return Shape(
        context=settings["context"],
        horizon=settings["horizon"],
        gap=settings["gap"],
        channels=panel.y.shape[1],
        past=panel.past.shape[1],
        future=panel.future.shape[1],
        static=panel.static.shape[1],
        cardinalities=tuple(
            len(statistics.categories[name]) + 1 for name in panel.layout.static if name in statistics.categories
        ),
        season=statistics.season,
        series=len(statistics.names) + 1,
        width=build.width(settings),
    )


def naive(windows: Windows, season: int) -> pd.DataFrame:
    """The forecast table of seasonal naive over windows, with y; season 1 repeats the last value."""
    parts = []
    for batch in windows.batches(AT_ONCE):
        y = torch.where(batch.target_observed, batch.target, torch.nan)
        parts.append((batch.cutoff, y, seasonal_naive(batch, season), windows.counts(batch.clock)))
    cutoff, y, point, counts = (torch.cat(x).numpy() for x in zip(*parts, strict=True))
    return tabulate(windows.panel, windows.window.gap, cutoff, y, point, point[..., None][..., :0], (), counts)


def divisors(panel: Panel, statistics: Statistics) -> tuple[dict[str, float], dict[str, float]]:
    """Standard deviation and seasonal naive error of the train rows, by `unique_id`."""
    slots = panel.slots.tolist()
    deviation, error = statistics.deviation[slots].ravel(), statistics.naive_error[slots].ravel()
    return dict(zip(panel.labels, deviation, strict=True)), dict(zip(panel.labels, error, strict=True))
