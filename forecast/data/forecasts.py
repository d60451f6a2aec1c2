"""Forecast arrays -> the forecast table: the one result type of the framework; and what was before it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from forecast.data.panel import Panel


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
    windows, horizon, channels = point.shape
    offsets, first, clock = panel.offsets.cpu().numpy(), panel.first.cpu().numpy(), panel.layout.clock
    series = np.searchsorted(offsets, cutoff, side="right") - 1
    issued = first[series] + cutoff - offsets[series]
    steps = issued[:, None] + np.arange(gap + 1, gap + 1 + horizon)
    keys = np.repeat(cutoff, channels), np.tile(np.arange(channels), windows), np.repeat(series, channels)
    order = np.lexsort(keys)
    labels = (series[:, None] * channels + np.arange(channels)).ravel()[order].repeat(horizon)

    def rows(values: np.ndarray) -> np.ndarray:
        """[window horizon c ...] -> [row ...] in the table's order."""
        return np.moveaxis(values, 2, 1).reshape(windows * channels, horizon, -1)[order].reshape(len(labels), -1)

    stamps = rows(np.broadcast_to(steps[..., None], point.shape)).ravel()
    cut = rows(np.broadcast_to(issued[:, None, None], point.shape)).ravel()
    columns = {
        "unique_id": np.array(panel.labels, dtype=object)[labels],
        "ds": clock.stamps(stamps),
        "cutoff": clock.stamps(cut),
        "y": rows(y).ravel(),
        "point": rows(point).ravel(),
    }
    heads = [f"p_{name}" if isinstance(name, str) else f"q{name:g}" for name in names]
    columns |= dict(zip(heads, rows(spread).T, strict=True))
    table = pd.DataFrame(columns)
    if counts is None or counts.all():
        return table
    return table[rows(np.broadcast_to(counts[..., None], point.shape)).ravel()].reset_index(drop=True)


def history(panel: Panel) -> pd.DataFrame:
    """Long table `unique_id, ds, y` of a panel's rows up to each series' last observed one; y NaN where missing."""
    offsets, first, lengths = (x.cpu().numpy() for x in (panel.offsets, panel.first, panel.lengths))
    series = np.repeat(np.arange(len(lengths)), lengths)
    since = np.arange(len(series)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows, channels = offsets[series] + since, panel.y.shape[1]
    y = np.where(panel.observed.cpu().numpy()[rows], panel.y.cpu().numpy()[rows], np.nan)
    labels = (series * channels + np.arange(channels)[:, None]).ravel()
    stamps = panel.layout.clock.stamps(np.tile(first[series] + since, channels))
    return pd.DataFrame({"unique_id": np.array(panel.labels, dtype=object)[labels], "ds": stamps, "y": y.T.ravel()})
