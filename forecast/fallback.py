"""What stands in for a forecast whose inputs are missing: the value of a season ago, marked as such."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecast.contract import Window
from forecast.data.panel import Panel
from forecast.data.windows import Windows
from forecast.error import Refusal

FALLBACKS = ("naive",)


def check(fallback: str | None) -> None:
    """Refuses a fallback that there is not."""
    if fallback is not None and fallback not in FALLBACKS:
        raise Refusal(f"fallback={fallback}: expected {' or '.join(FALLBACKS)}, or None", "config")


def parted(panel: Panel, window: Window) -> tuple[Windows | None, Tensor]:
    """The latest windows of the series whose inputs are there, and the numbers of the other series.

    Inputs are missing where a series has fewer rows than a context or a known covariate is unknown in the horizon, and
    stale where the series ends before another one does.
    """
    ends = panel.first + panel.lengths
    fresh = (panel.lengths >= window.context) & (ends == ends.max())
    found = None
    if fresh.any():
        latest = Windows.latest(replace(panel, lengths=torch.where(fresh, panel.lengths, 0)), window)
        whole = torch.ones(len(latest), dtype=torch.bool)
        whole[latest.lacking()[:, 0]] = False
        found = Windows(panel, window, latest.starts[whole]) if whole.any() else None
    served = torch.zeros(len(panel.names), dtype=torch.bool)
    if found is not None:
        served[found.series] = True
    return found, (~served).nonzero().flatten()


def answered(
    panel: Panel,
    window: Window,
    season: int,
    levels: Sequence[float],
    forecast: Callable[[Windows], pd.DataFrame],
) -> pd.DataFrame:
    """The forecast table of every series after the newest row of all, with a column `fallback`.

    Where it is true the inputs were missing or stale: `point` is the last value seen at that phase of the season, or
    the last one at all, and quantiles are empty; a series that has no value at all has no point either.
    """
    windows, missing = parted(panel, window)
    tables = [] if windows is None else [forecast(windows).assign(fallback=False)]
    if len(missing):
        tables.append(naive(panel, window, season, levels, missing).assign(fallback=True))
    places = {name: i for i, name in enumerate(panel.labels)}
    whole = pd.concat(tables, ignore_index=True)
    return whole.sort_values("unique_id", key=lambda x: x.map(places), kind="stable", ignore_index=True)


def naive(panel: Panel, window: Window, season: int, levels: Sequence[float], series: Tensor) -> pd.DataFrame:
    """The forecast table of series, by number, after the newest row of the panel: the values of a season ago."""
    newest, channels = int((panel.first + panel.lengths).max()), panel.y.shape[1]
    steps = newest + window.gap + np.arange(window.horizon)
    points = np.full((len(series), channels, window.horizon), np.nan)
    for i, number in enumerate(series.tolist()):
        rows = slice(int(panel.offsets[number]), int(panel.offsets[number] + panel.lengths[number]))
        y, observed = panel.y[rows].cpu().numpy(), panel.observed[rows].cpu().numpy()
        for channel in range(channels):
            seen = np.flatnonzero(observed[:, channel])
            if len(seen):
                points[i, channel] = y[last_like(seen, steps - int(panel.first[number]), season), channel]
    labels = np.array(panel.labels, dtype=object).reshape(-1, channels)[series.numpy()].ravel()
    stamps = panel.layout.clock.stamps
    columns = {
        "unique_id": labels.repeat(window.horizon),
        "ds": stamps(np.tile(steps, len(labels))),
        "cutoff": stamps(np.full(points.size, newest - 1)),
        "y": np.nan,
        "point": points.ravel(),
    }
    return pd.DataFrame(columns | {f"q{level:g}": np.nan for level in levels})


def last_like(seen: np.ndarray, steps: np.ndarray, season: int) -> np.ndarray:
    """Of the rows seen (ascending), the last at the phase of each step; where there is none, the last of all."""
    newest = np.full(season, seen[-1])
    newest[seen % season] = seen  # of equal phases the last one stays
    return newest[steps % season]
