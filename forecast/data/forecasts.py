"""Forecast arrays -> the forecast table: the one result type of the framework; and what was before it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from forecast.data.panel import Panel, shared


def tabulate(
    panel: Panel,
    gap: int,
    cutoff: np.ndarray,
    y: np.ndarray,
    point: np.ndarray,
    spread: np.ndarray,
    names: Sequence[float | str],
    counts: np.ndarray | None = None,
) -> pd.DataFrame:
    """Long table `unique_id, ds, cutoff, y, point, q<level>...`, by series and channel, then cutoff, then step.

    `cutoff` [window] are rows of the panel, `y` and `point` [window horizon c] values in data units, `spread` [window
    horizon c name] their quantiles at levels; of classes, numbers and probabilities, with columns `p_<class>`. y is
    NaN where not observed. Of the steps [window horizon] only those that count are in the table.
    """
    horizon, channels = point.shape[1:]
    clock, series = panel.layout.clock, np.searchsorted(panel.offsets.cpu().numpy(), cutoff, side="right") - 1
    issued = panel.begins.cpu().numpy()[series] + cutoff
    window, channel = (x.ravel() for x in np.indices((len(cutoff), channels)))
    order = np.lexsort((cutoff[window], channel, series[window]))
    window, labels = window[order].repeat(horizon), (series[window] * channels + channel)[order].repeat(horizon)

    def rows(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """[window horizon c] -> [row] in the table's order."""
        place = None if out is None else out.reshape(-1, horizon)
        return np.moveaxis(values, 2, 1).reshape(-1, horizon).take(order, 0, place, mode="clip").ravel()

    ahead = np.arange(gap + 1, gap + 1 + horizon)
    steps, place = shared(rows(np.broadcast_to((issued[:, None] + ahead)[..., None], point.shape)))
    heads = [f"p_{name}" if isinstance(name, str) else f"q{name:g}" for name in names]
    numbers = np.empty((2 + len(heads), len(labels)))
    for out, values in zip(numbers, (y, point, *np.moveaxis(spread, -1, 0)), strict=True):
        rows(values, out)
    table = pd.DataFrame(numbers.T, columns=["y", "point", *heads], copy=False)
    table.insert(0, "unique_id", pd.Index(panel.labels, dtype="str").take(labels))
    table.insert(1, "ds", clock.stamps(steps)[place])
    table.insert(2, "cutoff", clock.stamps(issued).take(window))
    if counts is None or counts.all():
        return table
    return table[rows(np.broadcast_to(counts[..., None], point.shape))].reset_index(drop=True)


def history(panel: Panel) -> pd.DataFrame:
    """Long table `unique_id, ds, y` of a panel's rows up to each series' last observed one; y NaN where missing."""
    offsets, first, lengths = (x.cpu().numpy() for x in (panel.offsets, panel.first, panel.lengths))
    series = np.repeat(np.arange(len(lengths)), lengths)
    since = np.arange(len(series)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows, channels = offsets[series] + since, panel.y.shape[1]
    y = np.where(panel.observed.cpu().numpy()[rows], panel.y.cpu().numpy()[rows], np.nan)
    labels = (series * channels + np.arange(channels)[:, None]).ravel()
    steps, place = shared(np.tile(first[series] + since, channels))
    columns = {
        "unique_id": pd.array(panel.labels, dtype="str").take(labels),
        "ds": panel.layout.clock.stamps(steps)[place],
        "y": y.T.ravel(),
    }
    return pd.DataFrame(columns, copy=False)
