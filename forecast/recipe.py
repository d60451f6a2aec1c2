"""The data recipe: configuration and files -> table, grid, windows, shape, and the baselines of any windows."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import one_hot

from forecast import build
from forecast.contract import Batch, Shape, Window
from forecast.data import grid as grids
from forecast.data import reader, table
from forecast.data.clock import DAY, Clock
from forecast.data.forecasts import tabulate
from forecast.data.grid import Borders, Grid
from forecast.data.lines import find
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.scaler import Statistics
from forecast.data.table import Table
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.evaluation.baseline import BASELINES, Rhythm
from forecast.evaluation.ridge import Ridge
from forecast.head.base import Head
from forecast.model.base import Model

log = logging.getLogger(__name__)

Frame = pd.DataFrame | Path | str
AT_ONCE = 256  # windows forecast in one batch
ENOUGH = 1 << 21  # rows of forecasts that calibration learns from


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


def calibrating(settings: Mapping[str, Any], panel: Panel, borders: Borders, season: int) -> Windows:
    """The windows of the validation part that calibration learns from: what came of them is known at the first test.

    Of very many only every so many-th, at all phases of the season.
    """
    train, val, test = borders
    window = replace(window_of(settings, panel.layout.clock), stride=1)
    found = SeriesDataModule.cut(panel, window, (train, val - window.gap, test), "val")
    every = math.ceil(len(found) * window.horizon * panel.y.shape[1] / ENOUGH)
    while math.gcd(every, season) > 1:
        every += 1
    return Windows(panel, window, found.starts[::every])


def datamodule(settings: Mapping[str, Any], panel: Panel, borders: Borders) -> SeriesDataModule:
    return SeriesDataModule(
        panel,
        window_of(settings, panel.layout.clock),
        borders,
        train_window=settings["data"]["train_window"],
        half_life=settings["data"]["half_life"],
        weights=settings["loss"]["series"],
        windows_per_epoch=settings["windows_per_epoch"],
        batch_size=settings["batch_size"],
        seed=settings["seed"],
    )


def outside(grid: Grid, low: float | None, high: float | None) -> None:
    """Says how many observed values lie outside the bounds of forecasts."""
    beyond = (grid.y < (-np.inf if low is None else low)) | (grid.y > (np.inf if high is None else high))
    if beyond.any():
        log.warning("%s: %d values lie outside data.min and data.max", grid.source, beyond.sum())


def lawful(grid: Grid, head: Head) -> None:
    """Refuses observed values that the law of the head does not know."""
    if head.support == "real":
        return
    wrong = grid.y < 0 if head.span is None else grid.y <= 0
    if head.support == "count":
        wrong = (grid.y < 0) | (grid.y % 1 > 0)
    if wrong.any():
        row, channel = (int(x[0]) for x in np.nonzero(wrong))
        series = int(np.searchsorted(grid.offsets, row, "right")) - 1
        stamp = grid.layout.clock.stamps(grid.ordinals[row : row + 1])[0]
        law = {"positive": "numbers above 0", "count": "whole numbers from 0 on"}[head.support]
        raise Refusal(
            f"{grid.source}: {grid.y[row, channel]:g} at {stamp} of series '{grid.names[series]}' "
            f"({int(wrong.sum())} such values): the law of this head is one of {law}; use head=quantile, or student",
            "support",
        )


def opened(data: Mapping[str, Any], frame: Frame | None) -> Table:
    """The checked table of a DataFrame, or of a CSV file (default: the one that the configuration names)."""
    if isinstance(frame, pd.DataFrame):
        return table.table(frame, data, "DataFrame")
    path = frame or data["path"]
    if path is None:
        raise Refusal("no data: name a file by data.path=my.csv, a set by data=..., or pass a DataFrame", "no-data")
    found = find(str(path))
    return table.table(reader.read(found, data), data, str(found))


def laid(settings: Mapping[str, Any], checked: Table) -> tuple[Grid, Borders]:
    """The table on its grid, and where its parts end."""
    grid = grids.grid(checked, settings["gap"] + settings["horizon"])
    labelled(grid, settings)
    return grid, grid.borders(settings["data"]["split"], settings["data"]["split_each"])


def labelled(grid: Grid, settings: Mapping[str, Any]) -> None:
    """Refuses labelled series that are not one window each."""
    if settings["data"]["label"] and (grid.lengths != settings["context"] + 1).any():
        raise Refusal(
            f"{grid.source}: a labelled series is one window, and has {int(grid.lengths[0]) - 1} values where "
            f"context={settings['context']}: the context has to be their number",
            "config",
        )


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


def classed(model: Model, batch: Batch, values: Float64[Tensor, "b horizon c"]) -> Float64[Tensor, "b horizon c"]:
    """Values in data units as the model's forecasts are told: as they are, or as the numbers of their classes."""
    if not model.head.classes:
        return values
    _, loc, scale = model.normalized(batch)
    z = (model.scaling.apply(values, batch.series) - loc) / scale
    return model.head.number(z.float()).double()


def rhythm(clock: Clock, season: int) -> Rhythm:
    kind, length, _ = clock.unit
    day = DAY // length if kind == "ns" and not clock.daily and DAY % length == 0 else None
    return Rhythm(season, day, 7 * day if day else 7 if (kind, length) == ("ns", DAY) else None)


def baselines(
    names: Sequence[str], windows: Windows, train: Callable[[], Windows], statistics: Statistics, model: Model
) -> dict[str, pd.DataFrame]:
    """The forecast tables of baselines over windows, told as the model's; `train` cuts what ridge learns from.

    One that needs more history than each of the windows has is left out, with a warning.
    """
    beat, found = rhythm(windows.panel.layout.clock, statistics.season), {}
    room = windows.window.context + int((windows.starts - windows.panel.offsets[windows.series]).min())
    for name in names:
        if name == "ridge":
            found[name] = tabled(windows, Ridge.fit(train(), windows, statistics.scaling, beat.season), model)
            continue
        needed, seen = BASELINES[name].history(beat), windows
        if needed is None or needed > room:
            why = f"it needs {needed} steps, the first origin has {room}" if needed else "these steps make no week"
            log.warning("%s: baseline %s is left out, %s", windows.panel.source, name, why)
            continue
        if needed > windows.window.context:
            seen = windows.seeing(needed)
        found[name] = tabled(seen, partial(BASELINES[name].forecast, beat), model)
    return found


def tabled(
    windows: Windows, forecast: Callable[[Batch], Float64[Tensor, "b horizon c"]], model: Model | None = None
) -> pd.DataFrame:
    """The forecast table of a function of batches over windows, with y, told as the model's.

    Of classes it gives the one in which its forecast is, with probability 1.
    """
    classes, parts = () if model is None else model.head.classes, []
    for batch in windows.batches(AT_ONCE):
        y, point = batch.target, forecast(batch)
        if model is not None and classes:
            y, point = (classed(model, batch, x) for x in (y, point))
        spread = one_hot(point.long(), len(classes)).double() if classes else point[..., None][..., :0]
        y = torch.where(batch.target_observed, y, torch.nan)
        parts.append((batch.cutoff, y, point, spread, windows.counts(batch.clock)))
    cutoff, y, point, spread, counts = (torch.cat(x).cpu().numpy() for x in zip(*parts, strict=True))
    return tabulate(windows.panel, windows.window.gap, cutoff, y, point, spread, classes, counts)


def attention(model: Model, windows: Windows) -> np.ndarray | None:
    """What the decoder of a model looked at, mean over windows: its weights [horizon context]; None if nothing is."""
    if not model.attends:
        return None
    total = np.zeros((model.shape.horizon, model.shape.context))
    with torch.inference_mode():
        for batch in windows.seeing(model.shape.context).to(model.device).batches(AT_ONCE):
            model.eval()(batch)
            assert model.weights is not None
            total += model.weights.sum(0, dtype=torch.float64).cpu().numpy()
    return total / len(windows)


def divisors(panel: Panel, statistics: Statistics) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """By `unique_id`, of the train rows: standard deviation, mean absolute and mean squared seasonal difference."""
    slots = panel.slots.tolist()
    learnt = statistics.deviation, statistics.naive_error, statistics.naive_square
    deviation, error, square = (dict(zip(panel.labels, x[slots].ravel(), strict=True)) for x in learnt)
    return deviation, error, square
