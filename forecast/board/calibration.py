"""Whether the quantiles of forecast tables hold, as pictures: reliability diagram and PIT histogram."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from forecast.board.figure import FORECAST, QUIET, dressed, tint, without
from forecast.evaluation.pit import histogram
from forecast.evaluation.table import levels_of


def held(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, int]:
    """The quantile levels [q], the share of y below the quantile of each [q], and how many y are observed.

    Where y may equal a quantile, as at night or where counts are small, the share is that between below it and at or
    below it which is nearest to the level.
    """
    levels, seen = levels_of(table), table[table["y"].notna()]
    y, quantiles = seen["y"].to_numpy("float64")[:, None], seen[list(levels.values())].to_numpy("float64")
    known = np.array(list(levels))
    share = np.clip(known, (y < quantiles).mean(0), (y <= quantiles).mean(0)) if len(y) else np.full(len(known), np.nan)
    return known, share, len(y)


def reliability(axes: Axes, table: pd.DataFrame) -> None:
    """The share of y below each quantile against its level; forecasts that hold lie on the diagonal.

    Source: T. Gneiting, F. Balabdaoui, A. Raftery, "Probabilistic forecasts, calibration and sharpness", 2007.
    """
    levels, share, rows = held(table)
    if not rows:
        return without(axes, "no y is observed yet")
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.0, ls="--", label="as it should be")
    axes.plot(levels, share, "o-", color=FORECAST, linewidth=1.6, markersize=5, label="forecast")
    dressed(axes)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="quantile level", ylabel="share of y below")
    axes.set_title(f"largest distance {np.abs(share - levels).max():.3f}", loc="right", fontsize=9)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return None


def pit(axes: Axes, table: pd.DataFrame) -> None:
    """How often y falls between neighbouring quantiles, over how often it should; 1 everywhere if they hold.

    Its form tells: a hump of bands that are too wide, a bowl of too narrow ones, a slope of a bias. Source: as above.
    """
    if not table["y"].notna().any():
        return without(axes, "no y is observed yet")
    found = histogram(table, [0, *levels_of(table), 1])
    wide = found["upper"] - found["lower"]
    height = found["share"] / wide
    axes.bar(found["lower"], height, wide, align="edge", color=tint(0.55), edgecolor="white", linewidth=0.8)
    axes.axhline(1, color=QUIET, linewidth=1.0, ls="--", label="as it should be")
    dressed(axes)
    axes.set(xlim=(0, 1), ylim=(0, max(1.5, 1.1 * height.max())))
    axes.set(xlabel="place of y among the quantiles (PIT)", ylabel="density")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return None
