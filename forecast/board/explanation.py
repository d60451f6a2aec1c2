"""What forecasts rest on, as pictures of the tables that `Forecaster.explain` gives."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forecast.board.attention import attention
from forecast.board.error import DARKER, TICKS
from forecast.board.figure import ACTUAL, FORECAST, QUIET, SERIES, alone, dressed

COLUMNS = 20  # at most so many, those that matter most


def explained(table: pd.DataFrame, title: str) -> Figure:
    """Bars of importance, or a map of it by step; maps of gradients x input of some series; a map of attention."""
    if "weight" in table:
        weights = table.pivot(index="step", columns="position", values="weight").to_numpy()
        return alone(lambda axes: attention(axes, weights, None), title, (8.0, 4.0))
    if "importance" in table:
        rows = min(COLUMNS, table["column"].nunique())
        draw = by_step if "step" in table else bars
        return alone(lambda axes: draw(axes, table), title, (8.0, 1.3 + 0.34 * max(rows, 4)))
    names = list(dict.fromkeys(table["unique_id"]))
    rows = min(COLUMNS, table["column"].nunique())
    figure = Figure(figsize=(10.0, 0.5 + (1.1 + 0.34 * rows) * min(SERIES, len(names))), dpi=110, layout="constrained")
    for name, axes in zip(names, figure.subplots(min(SERIES, len(names)), 1, squeeze=False)[:, 0], strict=False):
        gradients(axes, table[table["unique_id"] == name])
        axes.set_title(str(name), loc="left", fontsize=10)
    some = f" ({SERIES} of {len(names)} series)" if len(names) > SERIES else ""
    figure.suptitle(f"{title}{some}", x=0.01, ha="left", fontsize=11)
    return figure


def foremost(table: pd.DataFrame, by: str) -> list[tuple[str, str]]:
    """Column and kind of those with the largest sum of a value, the largest first."""
    return table.groupby(["column", "kind"], sort=False)[by].sum().nlargest(COLUMNS).index.to_list()


def bars(axes: Axes, table: pd.DataFrame) -> None:
    """The importance of each column, the largest at the top, and its spread between shuffles."""
    drawn = table.set_index(["column", "kind"]).loc[foremost(table, "importance")].iloc[::-1]
    where = np.arange(len(drawn))
    axes.barh(where, drawn["importance"], color=FORECAST, height=0.62)
    axes.errorbar(
        drawn["importance"], where, xerr=drawn["spread"], fmt="none", ecolor=ACTUAL, elinewidth=1, capsize=2.5
    )
    axes.set_yticks(where, [named(*each) for each in drawn.index])
    dressed(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_xlabel(f"rise of the error when shuffled (it is {table['error'].iloc[0]:.3g})")


def by_step(axes: Axes, table: pd.DataFrame) -> None:
    """The importance of each column for each step of the horizon."""
    first = foremost(table, "importance")
    cells = table.pivot_table(index=["column", "kind"], columns="step", values="importance").loc[first]
    drawn = axes.imshow(
        cells, cmap=DARKER, aspect="auto", vmin=0, interpolation="nearest",
        extent=(0.5, cells.shape[1] + 0.5, len(cells) - 0.5, -0.5),
    )  # fmt: skip
    mapped(axes, first)
    axes.set_xlabel("step of the horizon")
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, label="rise of the error")
    bar.outline.set_visible(False)  # type: ignore[operator]


def gradients(axes: Axes, table: pd.DataFrame) -> None:
    """What each column adds to the forecasts of one series, by how far from the cutoff it stands: its mean size."""
    first = foremost(table, "size")
    cells = table.pivot_table(index=["column", "kind"], columns="position", values="size").loc[first]
    low, high = cells.columns.to_numpy()[[0, -1]]
    drawn = axes.imshow(
        cells,
        cmap=DARKER,
        aspect="auto",
        vmin=0,
        interpolation="nearest",
        extent=(low - 0.5, high + 0.5, len(cells) - 0.5, -0.5),
    )
    axes.set_facecolor("#eeeeee")  # what is not known there
    mapped(axes, first)
    if high >= 0:
        axes.axvline(-0.5, color=ACTUAL, linewidth=0.9, ls="--")
    axes.set_xlabel("step, the last one seen is -1")
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, label="mean |gradient x input|")
    bar.outline.set_visible(False)  # type: ignore[operator]


def mapped(axes: Axes, first: list[tuple[str, str]]) -> None:
    axes.set_yticks(range(len(first)), [named(*each) for each in first])
    axes.tick_params(labelsize=9, length=0)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=TICKS)  # type: ignore[attr-defined]
    axes.spines[:].set_visible(False)


def named(column: str, kind: str) -> str:
    return column if column == kind else f"{column} ({kind})"
