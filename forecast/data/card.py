"""Table and grid -> data card: what is worth knowing about a data set before training, as plain types."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import DAY, Clock
from forecast.data.grid import Borders, Edge, Grid
from forecast.data.scaler import naive_error
from forecast.data.table import Table

FEW, WORST = 10, 5  # up to FEW series are listed one by one, of more the WORST
SAMPLE, ROWS = 100, 200_000  # seasons are measured on so many series, evenly spread, and the last rows of each
FAR = 3.5 / 0.6745  # median absolute deviations (B. Iglewicz, D. Hoaglin, How to Detect and Handle Outliers, 1993)
LONGEST = 96  # steps of a suggested horizon, a day of quarter hours: recurrent cells are slow on longer windows
MULTIPLES = 7  # horizons of a suggested context
LAGS = 24  # of the steps of a horizon at most so many are looked at to judge a season


def card(data: Mapping[str, Any], read: int, checked: Table, grid: Grid, borders: Borders) -> dict[str, Any]:
    """What is found in a data set; shares are 0 to 1, values in data units, null where there is nothing to say.

    `read` rows of the file became the table `checked` and the grid, which have `borders` as in training. Rows after
    a series' last value (the known future) are not counted. Seasons are measured on train rows.
    """
    layout, clock = grid.layout, grid.layout.clock
    lengths = seen(grid)
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


def seen(grid: Grid) -> np.ndarray:
    """Rows of each series up to its last value [series]."""
    some = np.where((~np.isnan(grid.y)).any(1), np.arange(1, len(grid.y) + 1), 0)
    return np.maximum(np.maximum.reduceat(some, grid.offsets[:-1]) - grid.offsets[:-1], 0)


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


def seasons(clock: Clock) -> dict[str, int]:
    """The steps of a day, a week and a year, where they are whole (a year: about) and two at least."""
    kind, length, _ = clock.unit
    if kind == "B":
        return {"week": 5, "year": 261}
    if kind == "M":
        return {"year": 12 // length} if length < 12 and 12 % length == 0 else {}
    periods = {"day": DAY, "week": 7 * DAY, "year": 365 * DAY + DAY // 4}
    return {
        name: round(period / length)
        for name, period in periods.items()
        if period >= 2 * length and (name == "year" or period % length == 0)
    }


def trained(grid: Grid, until: Edge) -> list[tuple[np.ndarray, np.ndarray]]:
    """Values before the number `until` of the clock, and steps of their local clock, of a sample of the series."""
    channels = grid.y.shape[1]
    every = len(grid.names) * channels
    counts = np.clip(until - grid.first, 0, grid.lengths)
    result = []
    for number in np.unique(np.linspace(0, every - 1, min(every, SAMPLE)).astype("int64")).tolist():
        series, channel = divmod(number, channels)
        begin, first, count = int(grid.offsets[series]), int(grid.first[series]), int(counts[series])
        left = max(0, count - ROWS)
        steps = grid.layout.clock.steps(np.arange(first + left, first + count))
        result.append((grid.y[begin + left : begin + count, channel], steps))
    return result


def strengths(grid: Grid, until: Edge) -> dict[str, dict[str, Any]]:
    """Steps and strength of the day, the week and the year: the mean of the series that have three of them.

    Where a step is shorter than a day, the week and the year are those of the daily means, so that each says
    something of its own.
    """
    known, sample = seasons(grid.layout.clock), trained(grid, until)
    result = {}
    for name, steps in known.items():
        day = known.get("day", 1) if name != "day" else 1
        found = [strength(*averaged(y, clock, day), round(steps / day)) for y, clock in sample]
        found = [x for x in found if not np.isnan(x)]
        result[name] = {"steps": steps, "strength": float(np.mean(found)) if found else None}
    return result


def averaged(y: np.ndarray, clock: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of so many steps, and their number."""
    if steps == 1:
        return y, clock
    means = pd.Series(y).groupby(clock // steps).mean()
    return means.to_numpy(), means.index.to_numpy()


def strength(y: np.ndarray, clock: np.ndarray, season: int) -> float:
    """Strength of a season, 0 to 1: 1 - Var(R) / Var(S + R), each by its degrees of freedom, so that noise has 0.

    S is the mean of each phase after the trend, a centred moving average of a season, is taken off; R is what is
    left (X. Wang, K. Smith, R. Hyndman, Characteristic-based clustering for time series data, 2006). NaN for less
    than three seasons.
    """
    half, rows = season // 2, len(y)
    if rows < 3 * season:
        return np.nan
    there = ~np.isnan(y)
    level = y[there].mean() if there.any() else 0.0

    def windowed(x: np.ndarray) -> np.ndarray:
        """Sums of the season around each row; of an even one both ends count half."""
        sums = np.concatenate(([0.0], np.cumsum(x)))
        around = sums[2 * half + 1 :] - sums[: -2 * half - 1]
        return around if season % 2 else around - (x[: rows - 2 * half] + x[2 * half :]) / 2

    total, count = windowed(np.where(there, y - level, 0.0)), windowed(there.astype("float64"))
    inner = slice(half, rows - half)
    used = there[inner] & (count >= season / 2)
    rest = (y[inner] - level)[used] - total[used] / count[used]
    phase = clock[inner][used] % season
    sizes = np.bincount(phase, minlength=season)
    profile = np.bincount(phase, rest, minlength=season) / np.maximum(sizes, 1)
    free = len(rest) - np.count_nonzero(sizes)
    if free < 1:
        return np.nan
    whole = rest.var(ddof=1)
    if whole <= 1e-24 * level**2:
        return 0.0
    return max(0.0, 1 - float(np.square(rest - profile[phase]).sum() / free / whole))


def suggested(grid: Grid, borders: Borders) -> dict[str, int] | None:
    """Season, horizon and context to begin with, or None for data too short for any.

    The horizon is a day of shorter steps (LONGEST at most), else that of the M4 competition (S. Makridakis et al.,
    2020; two weeks of days, 13 weeks, 18 months, 8 quarters, 6 years); it has room in val and test and four times in
    train. The season is the one, of which train has three, whose seasonal naive forecast errs least over the horizon
    on train rows; 1 means that repeating the last value is better than any. A year counts where a step is a week or
    longer. The context is MULTIPLES horizons (B. Oreshkin et al., N-BEATS, 2020, take 2 to 7), or as many as fill
    half of train with their horizon, and a season at least, if that is not longer than MULTIPLES horizons.
    """
    train, val, test = parts(grid, borders)
    horizon = min(usual(grid.layout.clock), val, test, train // 4)
    if horizon < 1:
        return None
    known = seasons(grid.layout.clock)
    tried = [1, *(steps for name, steps in known.items() if (name != "year" or len(known) == 1) and 3 * steps <= train)]
    season = best(grid, borders[0], tried, horizon)
    context = horizon * min(MULTIPLES, train // 2 // horizon - 1)
    context = max(context, season) if season <= MULTIPLES * horizon else context
    return {"season": season, "horizon": horizon, "context": context}


def parts(grid: Grid, borders: Borders) -> tuple[int, int, int]:
    """Rows in train, val and test of the series that has most in val and test."""
    lengths = seen(grid)
    ends = grid.first + lengths
    edges = [grid.first.min(), *borders[:2], ends.max() if borders[2] is None else borders[2]]
    train, val, test = (
        np.maximum(np.minimum(ends, end) - np.maximum(grid.first, begin), 0) for begin, end in pairwise(edges)
    )
    chosen = np.lexsort((train, np.minimum(val, test)))[-1]
    return int(train[chosen]), int(val[chosen]), int(test[chosen])


def usual(clock: Clock) -> int:
    """The horizon that people ask for at this frequency."""
    kind, length, _ = clock.unit
    if kind == "B":
        return 10
    if kind == "M":
        return {1: 18, 3: 8}.get(length, 6)
    span = DAY if length < DAY else 14 * DAY if length < 7 * DAY else 13 * 7 * DAY
    return min(LONGEST, max(1, round(span / length)))


def best(grid: Grid, until: Edge, tried: list[int], horizon: int) -> int:
    """The season whose naive forecast errs least, relative to repeating the last value, on average over series."""
    ahead = np.unique(np.linspace(1, horizon, min(horizon, LAGS)).astype("int64"))
    lags = [np.unique(-(-ahead // season) * season, return_counts=True) for season in tried]
    ratios = []
    for y, _ in trained(grid, until):
        errors = np.array(
            [np.average([naive_error(y[:, None], lag)[0] for lag in each], weights=counts) for each, counts in lags]
        )
        if errors[0] > 0 and not np.isnan(errors).any():
            ratios.append(errors / errors[0])
    return tried[int(np.argmin(np.mean(ratios, 0)))] if ratios else 1


def shown(grid: Grid, count: int) -> pd.DataFrame:
    """The first series up to their last value, as `unique_id, ds, y`: what is drawn."""
    channels = grid.y.shape[1]
    lengths = np.maximum(seen(grid), 1)
    blocks = []
    for number in range(min(count, len(grid.names) * channels)):
        series, channel = divmod(number, channels)
        begin, first, length = grid.offsets[series], grid.first[series], lengths[series]
        label = grid.layout.label(grid.names[series], grid.layout.channels[channel])
        stamps = grid.layout.clock.stamps(np.arange(first, first + length))
        blocks.append(pd.DataFrame({"unique_id": label, "ds": stamps, "y": grid.y[begin : begin + length, channel]}))
    return pd.concat(blocks, ignore_index=True)
