"""A data card as text for the terminal and as a picture: what a data set looks like before anything is trained."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import HOURLY, MINUTELY, SECONDLY, AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from forecast import terminal
from forecast.board.figure import ACTUAL, FORECAST, dressed, tint, utc

MISSING = "#c0392b"
POINTS, BUCKETS = 3000, 700  # a line of more points is drawn as the range and the mean of about so many stretches
RECENT = 100  # steps of the zoom where no context is suggested
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = tuple("JFMAMJJASOND")


def text(card: Mapping[str, Any]) -> str:
    """The card in lines of a name and what was found, then the series one by one."""
    columns, series, span = card["columns"], card["series"], card["span"]
    length, seasons, advice = series["length"], card["seasons"], card["suggested"]
    of = f"{length['max']:,}" if length["min"] == length["max"] else f"{length['min']:,} to {length['max']:,}"
    middle = "" if length["min"] == length["max"] else f" (median {length['median']:,})"
    named = f", {series['count']:,} of them in '{columns['id']}'" if columns["id"] else ""
    empty = [
        f"{series[x]:,} {word}" for x, word in (("constant", "constant"), ("empty", "without values")) if series[x]
    ]
    split = card["split"]
    lines = {
        "source": f"{card['source']}, {card['rows']:,} rows",
        "columns": f"time '{columns['time']}', target {', '.join(map(repr, columns['target'][:8]))}"
        f"{' ...' if len(columns['target']) > 8 else ''}",
        "series": f"{series['count']:,} of {of} steps{middle}{named}" + "".join(f", {x}" for x in empty),
        "span": f"{span[0]} to {span[1]}, step {card['frequency']}, {card['zone'] or 'no time zone'}",
        "split": f"val from {split['val']}, test from {split['test']}"
        + (f" to {split['end']}" if split["end"] else ""),
        "gaps": gaps(card["gaps"]),
        "duplicates": "not counted, rows were resampled"
        if card["duplicates"] is None
        else f"{card['duplicates']:,} rows merged"
        if card["duplicates"]
        else "none",
        "missing": f"{share(card['missing'])} of the values",
        "seasons": ", ".join(
            f"{name} ({found['steps']:,} steps) {strength(found['strength'])}" for name, found in seasons.items()
        )
        or "none at this frequency",
        "suggested": "too short for train, val and test"
        if advice is None
        else f"horizon={advice['horizon']} context={advice['context']} data.season={advice['season']}",
    }
    wide = max(map(len, lines))
    blocks = ["\n".join(f"{name:<{wide}}  {line}" for name, line in lines.items()), table(card)]
    if card["covariates"]:
        rows = [
            [x["name"], x["role"], share(x["missing"]), "never changes" if x["constant"] else ""]
            for x in card["covariates"]
        ]
        blocks.append(terminal.table([["covariate", "", "missing", ""], *rows], left=(0, 1), notes=(3,)))
    return "\n\n".join(blocks)


def strength(found: float | None) -> str:
    return "too short" if found is None else f"{found:.2f}"


def gaps(found: Mapping[str, Any]) -> str:
    if not found["stamps"]:
        return "none"
    longest = found["longest"]
    return (
        f"{found['stamps']:,} stamps missing; the longest of {found['count']:,} gaps has {longest['steps']:,}, "
        f"from {longest['first']} to {longest['last']} ('{longest['series']}')"
    )


def table(card: Mapping[str, Any]) -> str:
    """Numbers of the series that the card lists, and of all together where there are more."""
    shares, numbers = ("zeros", "negative", "outliers"), ("mean", "std", "min", "max")
    every, count = card["each"], card["series"]["count"]
    title = f"{len(every)} worst of {count:,} series" if len(every) < count else "series"
    rows = [[title, "steps", "missing", *numbers, *shares]]
    if count > 1:
        whole = {"name": "all", "length": "", "missing": card["missing"], **card["values"]}
        every = [*every, whole]
    for x in every:
        values = ["" if pd.isna(x.get(name, np.nan)) else f"{x[name]:,.4g}" for name in numbers]
        length = x["length"] if isinstance(x["length"], str) else f"{x['length']:,}"
        rows.append([str(x["name"]), length, share(x["missing"]), *values, *(share(x[name]) for name in shares)])
    return terminal.table(rows)


def share(x: float) -> str:
    """A share in per cent; only nothing at all is 0."""
    return "0" if x == 0 else "<0.01%" if x < 1e-4 else f"{100 * x:.2g}%" if x < 0.1 else f"{100 * x:.1f}%"


def picture(card: Mapping[str, Any], shown: pd.DataFrame, title: str) -> Figure:
    """A row a series of `shown` (unique_id, ds, y; missing values as NaN): all of it, its end, its mean season."""
    names = list(dict.fromkeys(shown["unique_id"]))
    name = season(card)
    figure = Figure(figsize=(13, 0.9 + 2.7 * len(names)), dpi=110, layout="constrained")
    width = [3.0, 2.0, 1.5] if name else [3.0, 2.0]
    grid = figure.subplots(len(names), len(width), squeeze=False, width_ratios=width)
    recent = 2 * card["suggested"]["context"] if card["suggested"] else RECENT
    for label, axes in zip(names, grid, strict=True):
        rows = shown[shown["unique_id"] == label].reset_index(drop=True)
        line(axes[0], rows)
        borders(axes[0], card["split"], rows)
        axes[0].set_title(str(label), loc="left", fontsize=10)
        line(axes[1], rows.tail(recent))
        axes[1].set_title(f"the last {min(recent, len(rows)):,} steps", loc="left", fontsize=10)
        if name:
            profile(axes[2], rows, name)
            axes[2].set_title(f"mean {name} and 10% to 90%", loc="left", fontsize=10)
    known = dict(pair[::-1] for axes in grid[:, 0] for pair in zip(*axes.get_legend_handles_labels(), strict=True))
    figure.legend(known.values(), known, loc="upper center", ncols=4, frameon=False, fontsize=9)
    some = f" ({len(names)} of {card['series']['count']:,} series)" if len(names) < card["series"]["count"] else ""
    figure.suptitle(f"{title}{some}", x=0.01, ha="left", fontsize=12)
    return figure


def season(card: Mapping[str, Any]) -> str | None:
    """The season that is drawn: the suggested one, else the strongest."""
    known = card["seasons"]
    wanted = [name for name, x in known.items() if card["suggested"] and x["steps"] == card["suggested"]["season"]]
    strong = [name for name in known if known[name]["strength"] is not None]
    return (wanted or sorted(strong, key=lambda name: -known[name]["strength"]) or [None])[0]


def line(axes: Axes, rows: pd.DataFrame) -> None:
    """Values over time, as the range and mean of stretches where they are many; missing ones on the ground."""
    when, y = utc(rows["ds"]), rows["y"].to_numpy()
    missing = np.isnan(y)
    if len(rows) > POINTS:
        parts = rows.assign(missing=missing, when=when).groupby(np.arange(len(rows)) // (len(rows) // BUCKETS))
        when = parts["when"].first().to_numpy()
        low, mean, high = (getattr(parts["y"], name)() for name in ("min", "mean", "max"))
        axes.fill_between(when, low, high, color="#c4c4c4", linewidth=0, label="range")
        axes.plot(when, mean, color=ACTUAL, linewidth=0.8, label="mean")
        missing = parts["missing"].any().to_numpy()
    else:
        alone = ~missing & np.pad(missing, 1, constant_values=True)[:-2] & np.pad(missing, 1, constant_values=True)[2:]
        axes.plot(when, y, color=ACTUAL, linewidth=1.0, label="value")
        axes.plot(when[alone], y[alone], ".", color=ACTUAL, markersize=3)
    edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
    if len(edges):
        days = date2num(when)
        begins, ends = days[edges[::2]], np.append(days, days[-1])[edges[1::2]]
        axes.broken_barh(
            list(zip(begins, ends - begins, strict=True)), (0, 0.04), transform=axes.get_xaxis_transform(),
            color=MISSING, linewidth=1, label="missing",
        )  # fmt: skip
    dressed(axes)
    zone = pd.DatetimeIndex(rows["ds"]).tz
    locator = AutoDateLocator(tz=zone, maxticks=dict.fromkeys((HOURLY, MINUTELY, SECONDLY), 10))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))


def borders(axes: Axes, split: Mapping[str, str | None], rows: pd.DataFrame) -> None:
    """Where val and test begin, and test ends."""
    for name, stamp in split.items():
        if stamp is None or not rows["ds"].iloc[0] < (at := pd.Timestamp(stamp)) <= rows["ds"].iloc[-1]:
            continue
        where = utc(pd.Series([at]))[0]
        axes.axvline(where, color="#999999", linewidth=0.7, zorder=0)
        axes.annotate(
            name, (where, 1), (2, 2), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8,
            color="#666666", annotation_clip=False,
        )  # fmt: skip


def profile(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    """The mean and the range of most values by local quarter hour of the day, hour of the week, or month."""
    local = pd.DatetimeIndex(rows["ds"]).tz_localize(None)
    hours = (local - local.normalize()) / pd.Timedelta(hours=1)
    phase = {"day": hours * 4 // 1 / 4, "week": 24 * local.day_of_week + hours // 1, "year": local.month - 1}[name]
    groups = rows["y"].groupby(np.asarray(phase, dtype="float64"))
    mean, low, high = groups.mean(), groups.quantile(0.1), groups.quantile(0.9)
    axes.fill_between(mean.index, low, high, color=tint(0.22), linewidth=0)
    axes.plot(mean.index, mean, color=FORECAST, linewidth=1.4, marker="." if len(mean) < 15 else "")
    dressed(axes)
    if name == "day":
        axes.set_xticks(range(0, 25, 6), [f"{hour}:00" for hour in range(0, 25, 6)])
    elif name == "week":
        days = int(mean.index.max() // 24) + 1
        axes.set_xticks([24 * i for i in range(days)], WEEKDAYS[:days])
    else:
        axes.set_xticks(range(12), MONTHS)
