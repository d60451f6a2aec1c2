"""Whether the quantiles of forecast tables hold, as pictures: reliability diagram and PIT histogram."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from forecast.board.figure import FORECAST, QUIET, dressed, tint, without
from forecast.evaluation.table import levels_of


def below(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The quantile levels [q], and whether each observed y lies at or below the quantile of each [row q]."""
    levels, seen = levels_of(table), table[table["y"].notna()]
    quantiles = seen[list(levels.values())].to_numpy("float64")
    return np.array(list(levels)), seen["y"].to_numpy("float64")[:, None] <= quantiles


def reliability(axes: Axes, table: pd.DataFrame) -> None:
    """The share of y at or below each quantile against its level; forecasts that hold lie on the diagonal.

    Source: T. Gneiting, F. Balabdaoui, A. Raftery, "Probabilistic forecasts, calibration and sharpness", 2007.
    """
    levels, inside = below(table)
    if not len(inside):
        return without(axes, "no y is observed yet")
    share = inside.mean(0)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.0, ls="--", label="as it should be")
    axes.plot(levels, share, "o-", color=FORECAST, linewidth=1.6, markersize=5, label="forecast")
    dressed(axes)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="quantile level", ylabel="share of y at or below")
    axes.set_title(f"largest distance {np.abs(share - levels).max():.3f}", loc="right", fontsize=9)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return None


def pit(axes: Axes, table: pd.DataFrame) -> None:
    """How often y falls between neighbouring quantiles, over how often it should; 1 everywhere if they hold.

    Its form tells: a hump of bands that are too wide, a bowl of too narrow ones, a slope of a bias. Source: as above.
    """
    levels, inside = below(table)
    if not len(inside):
        return without(axes, "no y is observed yet")
    edges = np.concatenate([[0], levels, [1]])
    counts = np.bincount((~inside).sum(1), minlength=len(edges) - 1)
    height = counts / len(inside) / np.diff(edges)
    axes.bar(edges[:-1], height, np.diff(edges), align="edge", color=tint(0.55), edgecolor="white", linewidth=0.8)
    axes.axhline(1, color=QUIET, linewidth=1.0, ls="--", label="as it should be")
    dressed(axes)
    axes.set(xlim=(0, 1), ylim=(0, max(1.5, 1.1 * height.max())))
    axes.set(xlabel="place of y among the quantiles (PIT)", ylabel="density")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return None
