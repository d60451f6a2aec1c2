"""Season, horizon and context to begin with, from the train rows of a grid."""

from itertools import pairwise

import numpy as np

from forecast.data.clock import DAY, Clock
from forecast.data.grid import Borders, Edge, Grid
from forecast.data.scaler import naive_error
from forecast.data.season import seasons, trained

LONGEST = 96  # steps of a suggested horizon, a day of quarter hours: recurrent cells are slow on longer windows
MULTIPLES = 7  # horizons of a suggested context
LAGS = 24  # of the steps of a horizon at most so many are looked at to judge a season


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
    lengths = grid.seen
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
        begin, end = np.zeros(1, "int64"), np.full(1, len(y))
        errors = [[naive_error(y[:, None], begin, end, lag).item() for lag in each] for each, _ in lags]
        errors = np.array([np.average(x, weights=counts) for x, (_, counts) in zip(errors, lags, strict=True)])
        if errors[0] > 0 and not np.isnan(errors).any():
            ratios.append(errors / errors[0])
    return tried[int(np.argmin(np.mean(ratios, 0)))] if ratios else 1
