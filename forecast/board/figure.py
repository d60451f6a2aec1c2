"""Pictures of forecast tables, as matplotlib figures without pyplot (nothing stays open)."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from forecast.evaluation.classes import confusion
from forecast.evaluation.table import classes_of, levels_of

ACTUAL, FORECAST, QUIET = "#222222", "#1f6fb4", "#777777"
SERIES, STEPS = 3, 400  # at most so many series, and so many steps of each
HOLE = 3  # steps without a forecast across which no line is drawn: a weekend of business days is none


def fan(table: pd.DataFrame, title: str) -> Figure:
    """The latest forecasts of some series: actual values, the point forecast, and bands between quantiles.

    Of overlapping forecasts only those that follow each other are drawn. Of classes that came true it is the table of
    what was forecast as what; of others their probabilities.
    """
    if classes_of(table) and table["y"].notna().any():
        return matrix(table, title)
    every, names = table["unique_id"].nunique(), chosen(table)
    figure = Figure(figsize=(11, 1.0 + 2.9 * len(names)), dpi=110, layout="constrained")
    for i, (name, axes) in enumerate(zip(names, figure.subplots(len(names), 1, squeeze=False)[:, 0], strict=True)):
        rows = successive(table[table["unique_id"] == name])
        (stack if classes_of(table) else draw)(axes, rows)
        axes.set_title(f"{name}{names[name]}", loc="left", fontsize=10)
        axes.set_title(f"{rows['ds'].iloc[0]:%Y-%m-%d} to {rows['ds'].iloc[-1]:%Y-%m-%d}", loc="right", fontsize=9)
        if i == 0:
            axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=9)
    some = f" ({len(names)} of {every} series)" if len(names) < every else ""
    figure.suptitle(f"{title}{some}", x=0.01, ha="left", fontsize=12)
    return figure


def chosen(table: pd.DataFrame) -> dict[object, str]:
    """The series that are drawn, each with what is said of it: of many the worst, the middle and the best one.

    They are ranked by their mean absolute error as a share of the mean distance of y from its median; if it can't be
    told of enough series, the first are drawn.
    """
    first = dict.fromkeys(list(dict.fromkeys(table["unique_id"]))[:SERIES], "")
    seen = table[table["y"].notna()]
    away = seen["y"] - seen.groupby("unique_id")["y"].transform("median")
    sizes = pd.DataFrame({"error": (seen["y"] - seen["point"]).abs(), "away": away.abs()})
    means = sizes.groupby(seen["unique_id"], sort=False).mean()
    share = (means["error"] / means["away"].where(means["away"] > 0)).dropna().sort_values(ascending=False)
    if len(share) <= SERIES:
        return first
    places = {0: "the worst", len(share) // 2: "the middle one", len(share) - 1: "the best"}
    return {share.index[i]: f", {words} (error {share.iloc[i]:.0%} of the spread)" for i, words in places.items()}


def matrix(table: pd.DataFrame, title: str) -> Figure:
    """How often each true class was forecast as each; the darker, the larger the share of the true class."""
    found = confusion(table)
    share = (found.div(found.sum(axis=1), axis=0)).fillna(0).to_numpy()
    side, places = 1.8 + 0.8 * len(found), range(len(found))
    figure = Figure(figsize=(max(5.0, side), side), dpi=110, layout="constrained", label="confusion")
    axes = figure.subplots()
    axes.imshow([[tint(x) for x in row] for row in share])
    for i, j in np.ndindex(found.shape):
        colour = "white" if share[i, j] > 0.6 else ACTUAL
        axes.text(j, i, f"{found.iloc[i, j]:,}\n{share[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(places, found.columns)
    axes.set_yticks(places, found.index)
    axes.set(xlabel="forecast", ylabel="actual")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def stack(axes, rows: pd.DataFrame) -> None:
    """One series: the probabilities of its classes, step by step, one upon the other."""
    names, zone = classes_of(rows), pd.DatetimeIndex(rows["ds"]).tz
    where, below = np.arange(len(rows)), np.zeros(len(rows))
    for i, (name, column) in enumerate(names.items()):
        height = rows[column].to_numpy()
        axes.bar(where, height, 1.0, below, color=tint(0.15 + 0.85 * i / (len(names) - 1)), label=name)
        below = below + height
    ticks = where[:: max(1, len(rows) // 6)]
    stamps = pd.DatetimeIndex(rows["ds"])[ticks]
    axes.set_xticks(ticks, [f"{x:%m-%d %H:%M}" for x in stamps])
    axes.set(ylim=(0, 1), ylabel=f"probability{'' if zone is None else f' ({zone})'}")
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)


def successive(rows: pd.DataFrame) -> pd.DataFrame:
    """The forecasts, from the last one back, that do not overlap; at most STEPS rows; judged ones if there are any."""
    judged = rows[rows["cutoff"].isin(rows.loc[rows["y"].notna(), "cutoff"])]
    spans = (judged if len(judged) else rows).groupby("cutoff", sort=True)["ds"].agg(["min", "max", "size"])
    kept, begin, steps = [], None, 0
    for cutoff, first, last, size in reversed(list(spans.itertuples(name=None))):
        if begin is None or (last < begin and steps + size <= STEPS):
            kept.append(cutoff)
            begin, steps = first, steps + size
    return rows[rows["cutoff"].isin(kept)].sort_values("ds")


def draw(axes, rows: pd.DataFrame) -> None:
    """One series: each forecast with its bands, darker inside; forecasts of a single step are joined."""
    levels = levels_of(rows)
    pairs = list(zip(list(levels)[: len(levels) // 2], reversed(levels), strict=False))
    zone = pd.DatetimeIndex(rows["ds"]).tz
    single = rows.groupby("cutoff")["ds"].size().max() == 1
    for k, (_, part) in enumerate([(None, rows)] if single else rows.groupby("cutoff", sort=True)):
        where, lone = utc(part["ds"]), len(part) == 1
        for j, (low, high) in enumerate(pairs):
            named = k == 0 and j in (0, len(pairs) - 1)
            axes.fill_between(
                where,
                part[levels[low]],
                part[levels[high]],
                color=tint(0.16 + 0.4 * j / max(1, len(pairs) - 1)),
                linewidth=8 if lone else 0,  # of one step there is only an edge
                label=f"{100 * low:g}% to {100 * high:g}%" if named else None,
            )
        label = "forecast" if k == 0 else None
        axes.plot(where, part["point"], "o" if lone else "-", color=FORECAST, linewidth=1.4, label=label)
        if k:
            axes.axvline(where[0], color="#cccccc", linewidth=0.5, zorder=0)
    if rows["y"].notna().any():
        step = rows.groupby("cutoff")["ds"].diff().max()
        pieces = (rows["ds"].diff() > HOLE * step).cumsum()
        for k, part in rows.groupby(pieces):
            axes.plot(utc(part["ds"]), part["y"], color=ACTUAL, linewidth=1.0, label=None if k else "actual")
    if len(rows) == 1:
        ahead = (rows["ds"] - rows["cutoff"]).iloc[0]
        axes.set_xlim(*(utc(rows["ds"] + side * ahead)[0] for side in (-3, 3)))
    dressed(axes)
    locator = AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))


def alone(draw: Callable[[Axes], None], title: str, size: tuple[float, float]) -> Figure:
    """A figure of what `draw(axes)` draws."""
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    draw(figure.subplots())
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def without(axes: Axes, words: str) -> None:
    """Axes that say why they are empty."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=QUIET, fontsize=10)
    axes.set_axis_off()


def dressed(axes: Axes) -> None:
    axes.margins(x=0.01)
    axes.tick_params(labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


def utc(stamps: pd.Series) -> np.ndarray:
    """Stamps as matplotlib counts them; the axis labels them in their own zone."""
    index = pd.DatetimeIndex(stamps)
    return (index if index.tz is None else index.tz_convert("UTC").tz_localize(None)).to_numpy()


def tint(share: float) -> tuple[float, float, float]:
    """The colour of forecasts, thinned with white: opaque, so that the legend shows what is drawn."""
    red, green, blue = (1 - share * (1 - x) for x in to_rgb(FORECAST))
    return red, green, blue


def png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
