"""Errors of forecast tables as pictures: by step of the horizon, by hour and weekday, how they spread and follow."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from forecast.board.figure import ACTUAL, FORECAST, QUIET, dressed, tint, without
from forecast.board.rhythm import Rhythm, places, rhythm, wall
from forecast.evaluation.group import steps as places_of
from forecast.evaluation.table import classes_of

OTHERS = ("#8a8a8a", "#c8802d", "#4c9a62", "#8d5fb0", "#b94a4a", "#5aa7b5", "#c06aa8", "#7a6a3a")  # beside the model
DARKER = LinearSegmentedColormap.from_list("forecast", [tint(0.03), tint(0.5), tint(1.0), "#0b2e4f"])
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOST = 192  # lags of the autocorrelation
TICKS = 12
NONE = "no y is observed yet"


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with an observed y, and their `error` y - point; of classes 1 where the point is wrong, else 0."""
    seen = table[table["y"].notna() & table["point"].notna()]
    error = (seen["y"] != seen["point"]).astype("float64") if classes_of(table) else seen["y"] - seen["point"]
    return seen.assign(error=error)


def measure(table: pd.DataFrame) -> str:
    return "share of wrong classes" if classes_of(table) else "mean absolute error"


def by_step(table: pd.DataFrame) -> pd.Series:
    """The mean absolute error (of classes the share of wrong ones) of each step, counted from 1 in each forecast."""
    table = table.reset_index(drop=True)
    seen = judged(table)
    return seen["error"].abs().groupby(1 + places_of(table)[seen.index]).mean()


def steps(axes: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    """The error of each step of the horizon, of the first table as the model's, of the others beside it."""
    table, errors = next(iter(tables.values())), {name: by_step(each) for name, each in tables.items()}
    first = next(iter(errors))
    errors = {name: each for name, each in errors.items() if name == first or not each.equals(errors[first])}
    last = max((int(error.index[-1]) for error in errors.values() if len(error)), default=0)
    if not last:
        return without(axes, NONE)
    for i, (name, error) in enumerate(errors.items()):
        colour, wide = (OTHERS[(i - 1) % len(OTHERS)], 1.2) if i else (FORECAST, 1.8)
        axes.plot(error.index, error, "o-" if last < 3 else "-", color=colour, linewidth=wide, label=name, zorder=3 - i)
    dressed(axes)
    each = tick(last, rhythm(table))
    axes.set_xticks(range(each, last + 1, each))
    if last == 1:
        axes.set_xlim(0, 2)
    most = max(error.max() for error in errors.values())
    axes.set_ylim(0, most * (1.4 if len(errors) > 3 else 1.05) or 1)  # room for the names
    axes.set(xlabel="step of the horizon", ylabel=measure(table))
    axes.legend(frameon=False, fontsize=9, ncols=1 if len(errors) <= 3 else 3)
    return None


def calendar(axes: Axes, table: pd.DataFrame) -> None:
    """The error by hour and weekday of the local clock; of daily data by weekday and month, else by month and year."""
    seen = judged(table)
    if seen.empty:
        return without(axes, NONE)
    local, found = wall(seen["ds"]), rhythm(table)
    if found.unit == "day" and (local - local.normalize()).nunique() > 1:
        rows, columns, names = local.day_of_week, local.hour, (WEEKDAYS, range(24))
    elif found.unit != "year":
        rows, columns, names = local.day_of_week, local.month - 1, (WEEKDAYS[: min(7, found.steps)], MONTHS)
    else:
        years = range(local.year.min(), local.year.max() + 1)
        rows, columns, names = local.year - years[0], local.month - 1, (years, MONTHS)
    cells = seen["error"].abs().groupby([np.asarray(rows), np.asarray(columns)]).mean().unstack()
    cells = cells.reindex(index=range(len(names[0])), columns=range(len(names[1])))
    drawn = axes.imshow(cells, cmap=DARKER, aspect="auto", vmin=0, interpolation="nearest")
    axes.set_facecolor("#eeeeee")  # where nothing was forecast
    axes.tick_params(length=0, labelsize=9)
    for axis, labels in ((axes.yaxis, names[0]), (axes.xaxis, names[1])):
        every = -(-len(labels) // TICKS) if labels is not MONTHS else 1
        axis.set_ticks(range(0, len(labels), every), [str(x) for x in labels[::every]])
    axes.spines[:].set_visible(False)
    hours = f"hour of the day ({wall_name(table)})" if names[1] is not MONTHS else ""
    axes.set_xlabel(hours)
    axes.figure.colorbar(drawn, ax=axes, label=measure(table), pad=0.02).outline.set_visible(False)  # type: ignore
    return None


def wall_name(table: pd.DataFrame) -> str:
    zone = pd.DatetimeIndex(table["ds"]).tz
    return "as stamped" if zone is None else str(zone)


def residuals(axes: Axes, table: pd.DataFrame) -> None:
    """How errors y - point are spread, beside the normal law of their mean and deviation.

    Of several series each is measured in its own mean absolute error. The outer hundredth is not drawn.
    """
    seen = judged(table)
    if seen.empty:
        return without(axes, NONE)
    error, unit = seen["error"].to_numpy("float64"), "y - forecast"
    if seen["unique_id"].nunique() > 1:
        size = seen["error"].abs().groupby(seen["unique_id"], observed=True).transform("mean").to_numpy()
        error, unit = error[size > 0] / size[size > 0], "(y - forecast) / mean absolute error of the series"
    if not len(error):
        return without(axes, "all errors are 0")
    low, high = np.quantile(error, (0.005, 0.995))
    mean, deviation = error.mean(), error.std()
    if deviation <= 1e-9 * np.abs(error).max():
        return without(axes, f"all errors are {mean:.4g}")
    inside = error[(low <= error) & (error <= high)]
    edges = np.histogram_bin_edges(inside, bins=int(np.clip(np.sqrt(len(inside)), 5, 60)))
    height = np.histogram(inside, edges)[0] / (len(error) * np.diff(edges))
    axes.bar(edges[:-1], height, np.diff(edges), align="edge", color=tint(0.55))
    where = np.linspace(edges[0], edges[-1], 300)
    law = np.exp(-0.5 * ((where - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    axes.plot(where, law, color=ACTUAL, linewidth=1.0, label="normal law")
    axes.axvline(0, color=QUIET, linewidth=0.8)
    dressed(axes)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    axes.set_title(f"mean {mean:.3g}, deviation {deviation:.3g}", loc="right", fontsize=9)
    axes.legend(frameon=False, fontsize=9)
    return None


def correlations(table: pd.DataFrame, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation of the errors at lags 1 ... `most` at most, and of how many pairs each is the mean.

    Of overlapping forecasts the latest of each stamp counts. r(k) is the mean over all pairs k steps apart of z z',
    where z are a series' errors less their mean, over their deviation; what is missing makes no pair. Not more lags
    than a quarter of the steps. Source: G. Box, G. Jenkins, "Time series analysis", 1970.
    """
    z = standardised(judged(table), rhythm(table))
    most = min(most, z.shape[1] // 4)
    if not len(z) or not most:
        return np.empty(0), np.empty(0)
    size = 2 * z.shape[1]
    sums, pairs = (
        np.fft.irfft((np.abs(np.fft.rfft(x, size)) ** 2).sum(0), size)[1 : most + 1]
        for x in (np.nan_to_num(z), np.isfinite(z).astype("float64"))
    )
    pairs = np.rint(pairs)
    return np.divide(sums, pairs, out=np.full(most, np.nan), where=pairs > 0), pairs


def standardised(seen: pd.DataFrame, found: Rhythm) -> np.ndarray:
    """The latest error of each stamp, less the mean of its series and over its deviation [series step], else NaN.

    Series whose errors don't vary are left out.
    """
    seen = seen.sort_values("cutoff", kind="stable").drop_duplicates(["unique_id", "ds"], keep="last")
    if len(seen) < 2:
        return np.empty((0, 0))
    place = places(seen["ds"], found)
    series, names = pd.factorize(seen["unique_id"])
    groups = seen["error"].groupby(series)
    deviation = groups.transform("std", ddof=0).to_numpy()
    z = (seen["error"] - groups.transform("mean")).to_numpy() / np.where(deviation > 0, deviation, np.nan)
    z[deviation <= 1e-9 * seen["error"].abs().groupby(series).transform("max").to_numpy()] = np.nan
    table = np.full((len(names), place.max() + 1), np.nan)
    table[series, place] = z
    return table[np.isfinite(table).any(1)]


def autocorrelation(axes: Axes, table: pd.DataFrame) -> None:
    """The autocorrelation of the errors over two days, weeks or years, and where 95% of white noise would lie."""
    found = rhythm(table)
    r, pairs = correlations(table, min(MOST, (4 if found.unit == "week" else 2) * found.steps))
    if not np.isfinite(r).any():
        return without(axes, "too few errors that vary for an autocorrelation")
    lags, bound = np.arange(1, len(r) + 1), 1.96 / np.sqrt(np.where(pairs > 0, pairs, np.nan))
    axes.fill_between(lags, -bound, bound, color="#e4e4e4", linewidth=0, label="95% of white noise")
    axes.vlines(lags, 0, r, color=FORECAST, linewidth=max(1.0, min(4.0, 150 / len(lags))), label="autocorrelation")
    axes.axhline(0, color=QUIET, linewidth=0.8)
    dressed(axes)
    axes.set_xticks(range(0, len(r) + 1, tick(len(r), found)))
    axes.set(xlabel=f"lag ({found.steps} steps are a {found.unit})", ylabel="correlation of errors")
    axes.set_xlim(0, len(r) + 1)
    axes.set_ylim(*(1.08 * side * max(np.nanmax(side * r), 0.2) for side in (-1, 1)))
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return None


def tick(lags: int, found: Rhythm) -> int:
    """Steps between two labels: a unit, or the part of it that leaves at most TICKS labels."""
    parts = [x for x in (1, 2, 3, 4, 6, 7, 12, 24, 48, 96) if found.steps % x == 0 and lags / x <= TICKS]
    return parts[0] if parts else max(1, -(-lags // TICKS))
