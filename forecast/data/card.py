"""Table and grid -> data card: what is worth knowing about a data set before training, as plain types."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import Clock
from forecast.data.grid import Borders, Grid
from forecast.data.season import strengths
from forecast.data.suggestion import suggested
from forecast.data.table import Table

FEW, WORST = 10, 5  # up to FEW series are listed one by one, of more the WORST
FAR = 3.5 / 0.6745  # median absolute deviations (B. Iglewicz, D. Hoaglin, How to Detect and Handle Outliers, 1993)


def card(data: Mapping[str, Any], read: int, checked: Table, grid: Grid, borders: Borders) -> dict[str, Any]:
    """What is found in a data set; shares are 0 to 1, values in data units, null where there is nothing to say.

    `read` rows of the file became the table `checked` and the grid, which have `borders` as in training. Rows after
    a series' last value (the known future) are not counted. Seasons are measured on train rows.
    """
    layout, clock = grid.layout, grid.layout.clock
    lengths = grid.seen
    each = measured(grid, lengths)
    constant = (each["min"] == each["max"]) & (each["observed"] > 1)
    ranks = each.assign(constant=constant, empty=each["observed"] == 0)
    worst = ranks.sort_values(["empty", "constant", "missing", "outliers"], ascending=False, kind="stable")
    listed = each if len(each) <= FEW else each.loc[worst.index[:WORST]]
    observed = int(each["observed"].sum())
    values = grid.y[within(grid, lengths)]
    copies = 1 if layout.joint else len(layout.target)  # rows of the table for one of the file
    return {
        "source": grid.source,
        "rows": read,
        "columns": {"time": layout.time, "id": layout.id, "target": list(layout.target)},
        "series": {
            "count": len(each),
            "length": {name: int(getattr(np, name)(lengths)) for name in ("min", "median", "max")},
            "constant": int(constant.sum()),
            "empty": int((each["observed"] == 0).sum()),
        },
        "span": [written(clock, grid.first.min()), written(clock, (grid.first + np.maximum(lengths, 1) - 1).max())],
        "frequency": clock.freq,
        "zone": clock.tz,
        "split": {  # where it differs from series to series, the earliest
            name: None if border is None else written(clock, np.min(border))
            for name, border in zip(("val", "test", "end"), borders, strict=True)
        },
        "gaps": gaps(checked, copies),
        "duplicates": None if data["resample"] else read - len(checked.frame) // copies,
        "missing": 1 - observed / max(1, values.size),
        "values": {
            **({name: float(getattr(np, f"nan{name}")(values)) for name in ("mean", "std", "min", "max")}
               if observed else {}),
            **{name: float((each[name] * each["observed"]).sum() / max(1, observed)) for name in SHARES},
        },
        "each": listed.drop(columns="observed").to_dict("records"),
        "seasons": strengths(grid, borders[0]),
        "suggested": suggested(grid, borders),
        "covariates": covariates(grid, lengths),
    }  # fmt: skip


SHARES = ("zeros", "negative", "outliers")


def within(grid: Grid, lengths: np.ndarray) -> np.ndarray:
    """Which rows are among the first `lengths` of their series."""
    return np.arange(len(grid.y)) < np.repeat(grid.offsets[:-1] + lengths, np.diff(grid.offsets))


def measured(grid: Grid, lengths: np.ndarray) -> pd.DataFrame:
    """A row a series and channel: name, length, missing, observed, mean, std, min, max, and SHARES of the observed.

    Outliers lie further from the median than FAR median absolute deviations; a series of which half the values are
    equal has none.
    """
    series, every = np.repeat(np.arange(len(lengths)), lengths), range(len(lengths))
    parts = []
    for channel, values in zip(grid.layout.channels, grid.y[within(grid, lengths)].T, strict=True):
        y = pd.Series(values)
        groups = y.groupby(series)
        away = (y - groups.median().reindex(every).to_numpy()[series]).abs()
        middle = away.groupby(series).median().reindex(every).to_numpy()[series]
        marks = {"zeros": y == 0, "negative": y < 0, "outliers": (middle > 0) & (away > FAR * middle)}
        counts = {name: mark.groupby(series).sum() for name, mark in marks.items()}
        found = {"observed": groups.count(), "mean": groups.mean(), "std": groups.std(ddof=0)}
        found |= {"min": groups.min(), "max": groups.max(), **counts}
        part = pd.DataFrame(found, index=every)
        part = part.fillna(dict.fromkeys(("observed", *SHARES), 0)).astype({"observed": "int64"})
        part[list(SHARES)] = part[list(SHARES)].div(part["observed"].clip(lower=1), axis=0)
        part.insert(0, "missing", 1 - part["observed"] / np.maximum(lengths, 1))
        part.insert(0, "length", lengths)
        part.insert(0, "name", [grid.layout.label(name, channel) for name in grid.names])
        parts.append(part)
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def gaps(checked: Table, copies: int) -> dict[str, Any]:
    """Missing stamps between the rows of a series: how many, in how many gaps, and the longest one."""
    frame, clock = checked.frame, checked.layout.clock
    codes = frame["unique_id"].cat.codes.to_numpy()
    ordinals = clock.ordinals(pd.DatetimeIndex(frame["ds"]))
    jumps = np.where(np.diff(codes) == 0, np.diff(ordinals) - 1, 0)
    longest = None
    if jumps.any():
        row = int(jumps.argmax())
        longest = {
            "steps": int(jumps[row]),
            "series": str(frame["unique_id"].iloc[row]),
            "first": written(clock, ordinals[row] + 1),
            "last": written(clock, ordinals[row + 1] - 1),
        }
    return {"stamps": int(jumps.sum()) // copies, "count": int((jumps > 0).sum()) // copies, "longest": longest}


def covariates(grid: Grid, lengths: np.ndarray) -> list[dict[str, Any]]:
    """Name, role, missing share, and whether it never changes, of each covariate."""
    layout, inside = grid.layout, within(grid, lengths)
    columns = [(name, "past", x) for name, x in zip(layout.past, grid.past[inside].T, strict=True)]
    columns += [(name, "future", x) for name, x in zip(layout.future, grid.future.T, strict=True)]
    columns += [(name, "static", grid.static[name].replace("", None).to_numpy()) for name in layout.static]
    return [
        {
            "name": name,
            "role": role,
            "missing": float(pd.isna(x).mean()) if len(x) else 0.0,
            "constant": len(pd.unique(x[~pd.isna(x)])) < 2,
        }
        for name, role, x in columns
    ]


def written(clock: Clock, ordinal: int) -> str:
    """A step of the grid as text, no finer than the grid."""
    stamp = clock.stamps(np.array([ordinal]))[0]
    if clock.daily:
        return f"{stamp:%Y-%m-%d}"
    return stamp.isoformat(sep=" ", timespec="auto" if clock.unit[1] % 60_000_000_000 else "minutes")


def shown(grid: Grid, count: int) -> pd.DataFrame:
    """The first series up to their last value, as `unique_id, ds, y`: what is drawn."""
    channels = grid.y.shape[1]
    lengths = np.maximum(grid.seen, 1)
    blocks = []
    for number in range(min(count, len(grid.names) * channels)):
        series, channel = divmod(number, channels)
        begin, first, length = grid.offsets[series], grid.first[series], lengths[series]
        label = grid.layout.label(grid.names[series], grid.layout.channels[channel])
        stamps = grid.layout.clock.stamps(np.arange(first, first + length))
        blocks.append(pd.DataFrame({"unique_id": label, "ds": stamps, "y": grid.y[begin : begin + length, channel]}))
    return pd.concat(blocks, ignore_index=True)
