"""Pictures of forecast tables, as matplotlib figures without pyplot (nothing stays open)."""

from io import BytesIO

import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

ACTUAL, FORECAST = "#222222", "#1f6fb4"
SERIES, STEPS = 3, 400  # at most so many series, and so many steps of each


def fan(table: pd.DataFrame, title: str) -> Figure:
    """The latest forecasts of the first series: actual values, the point forecast, and bands between quantiles.

    Of overlapping forecasts only those that follow each other are drawn.
    """
    names = list(dict.fromkeys(table["unique_id"]))[:SERIES]
    figure = Figure(figsize=(11, 1.0 + 2.9 * len(names)), dpi=110, layout="constrained")
    for i, (name, axes) in enumerate(zip(names, figure.subplots(len(names), 1, squeeze=False)[:, 0], strict=True)):
        rows = successive(table[table["unique_id"] == name])
        draw(axes, rows)
        axes.set_title(str(name), loc="left", fontsize=10)
        if i == 0:
            axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def successive(rows: pd.DataFrame) -> pd.DataFrame:
    """The forecasts, from the last one back, that do not overlap; at most STEPS rows."""
    spans = rows.groupby("cutoff", sort=True)["ds"].agg(["min", "max", "size"])
    kept, begin, steps = [], None, 0
    for cutoff, first, last, size in reversed(list(spans.itertuples(name=None))):
        if begin is None or (last < begin and steps + size <= STEPS):
            kept.append(cutoff)
            begin, steps = first, steps + size
    return rows[rows["cutoff"].isin(kept)].sort_values("ds")


def draw(axes, rows: pd.DataFrame) -> None:
    """One series: a band for each pair of quantiles around the middle, darker inside."""
    stamps = pd.DatetimeIndex(rows["ds"]).tz_localize(None).to_numpy()
    names = sorted((name for name in rows.columns if str(name).startswith("q0")), key=lambda name: float(name[1:]))
    pairs = list(zip(names[: len(names) // 2], reversed(names), strict=False))
    for j, (low, high) in enumerate(pairs):
        label = f"{float(low[1:]):.0%} to {float(high[1:]):.0%}" if j in (0, len(pairs) - 1) else None
        shade = 0.14 + 0.16 * j / max(1, len(pairs))
        axes.fill_between(stamps, rows[low], rows[high], color=FORECAST, alpha=shade, linewidth=0, label=label)
    for k, (_, part) in enumerate(rows.groupby("cutoff", sort=True)):
        where = pd.DatetimeIndex(part["ds"]).tz_localize(None).to_numpy()
        axes.plot(where, part["point"], color=FORECAST, linewidth=1.4, label="forecast" if k == 0 else None)
        if k:
            axes.axvline(where[0], color="#bbbbbb", linewidth=0.5, zorder=0)
    if rows["y"].notna().any():
        axes.plot(stamps, rows["y"], color=ACTUAL, linewidth=1.0, label="actual")
    axes.margins(x=0.01)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
