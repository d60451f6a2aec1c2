"""What came of a sweep, as pictures: how the best score fell, which keys mattered, what error costs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from forecast.board.figure import ACTUAL, FORECAST, QUIET, dressed, tint


def history(axes: Axes, table: pd.DataFrame, score: str) -> None:
    """The score of each job, by number, and the best so far; jobs that came to nothing stand below, on the edge."""
    rows = table.assign(job=table["job"].astype(int)).sort_values("job")
    done, best = rows[rows["state"] == "done"], rows[score].cummin().ffill()
    axes.step(rows["job"], best, where="post", color=FORECAST, linewidth=1.6, label="best so far")
    axes.plot(done["job"], done[score], "o", color=ACTUAL, markersize=4, label="done")
    edge = axes.get_xaxis_transform()
    for state, marker in (("pruned", "|"), ("failed", "x")):
        found = rows.loc[rows["state"] == state, "job"]
        if len(found):
            where = np.full(len(found), 0.02)
            axes.plot(found, where, marker, color=QUIET, markersize=6, label=state, transform=edge, clip_on=False)
    dressed(axes)
    axes.set(xlabel="job", ylabel=score)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=9)


def importance(axes: Axes, shares: pd.Series, score: str) -> None:
    """The share of each key in the differences of the score, the largest on top."""
    shown = shares.iloc[::-1]
    bars = axes.barh(shown.index, shown, color=tint(0.6))
    axes.bar_label(bars, [f"{x:.0%}" for x in shown], padding=4, fontsize=9)
    dressed(axes)
    axes.grid(axis="y", visible=False)
    axes.set(xlim=(0, 1.08 * max(shown.max(), 0.01)), xlabel=f"share of the differences in {score}")
    axes.tick_params(axis="y", length=0)


def front(axes: Axes, table: pd.DataFrame, score: str, other: str) -> None:
    """Two objectives of the jobs that are done; those that no other beats in both are joined."""
    done = table[table["state"] == "done"].sort_values(other)
    axes.plot(done[other], done[score], "o", color=tint(0.45), markersize=5, label="job")
    kept = done[done["front"]]
    axes.plot(kept[other], kept[score], "o-", color=FORECAST, markersize=6, linewidth=1.2, label="not beaten")
    for job, x, y in kept[["job", other, score]].itertuples(index=False):
        axes.annotate(job, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8, color=QUIET)
    dressed(axes)
    axes.set(xlabel=other, ylabel=score)
    axes.legend(frameon=False, fontsize=9)
