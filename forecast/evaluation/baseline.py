"""Forecasts that any model must beat: functions of a Batch that need no training, in data units.

    last_value      y_T, the last value seen
    seasonal_naive  the value of the same phase in the last season seen
    weekly_naive    the same with a week
    epf_naive       the day before's value from Tuesday to Friday, else last week's (and where that day is not over yet)
    drift           y_T + k (y_T - y_1) / (T - 1) over the context, k steps ahead
    season_mean     the mean of the same phase over the last SEASONS seasons

Sources: R. Hyndman, G. Athanasopoulos, "Forecasting: principles and practice", 2021; epf_naive: F. Nogales et al.,
"Forecasting next-day electricity prices by time series models", 2002, as J. Lago et al., "Forecasting day-ahead
electricity prices", 2021, have it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from forecast.contract import Batch
from forecast.error import Refusal, nearest

SEASONS = 4
TRAINED = ("ridge",)  # a room of its own: evaluation/ridge.py


class Rhythm(NamedTuple):
    """Steps of a season, a day and a week; None where steps are no part of one."""

    season: int
    day: int | None
    week: int | None


class Baseline(NamedTuple):
    """A forecast of a batch, and the steps of context that it needs (None: there is no such forecast)."""

    history: Callable[[Rhythm], int | None]
    forecast: Callable[[Rhythm, Batch], Float64[Tensor, "b horizon c"]]


def ahead(batch: Batch) -> Int64[Tensor, " horizon"]:
    """How many steps each target lies after the cutoff: 1, 2 ... without a gap."""
    horizon = batch.target.shape[1]
    gap = batch.clock.shape[1] - batch.y.shape[1] - horizon
    return torch.arange(gap + 1, gap + horizon + 1, device=batch.y.device)


def seasonal_naive(batch: Batch, season: int) -> Float64[Tensor, "b horizon c"]:
    """The value of the same phase in the last season seen; needs `season` steps of context."""
    context = batch.y.shape[1]
    assert season <= context
    return batch.y[:, context - season + (ahead(batch) - 1) % season]


def epf_naive(batch: Batch, day: int) -> Float64[Tensor, "b horizon c"]:
    steps = ahead(batch)
    weekday = (batch.clock[:, -len(steps) :].div(day, rounding_mode="floor") + 3) % 7  # day 0 was a Thursday; Monday 0
    yesterday = ((weekday > 0) & (weekday < 5) & (steps <= day))[..., None]
    return torch.where(yesterday, seasonal_naive(batch, day), seasonal_naive(batch, 7 * day))


def drift(batch: Batch) -> Float64[Tensor, "b horizon c"]:
    slope = (batch.y[:, -1:] - batch.y[:, :1]) / (batch.y.shape[1] - 1)
    return batch.y[:, -1:] + ahead(batch)[:, None] * slope


def season_mean(batch: Batch, season: int) -> Float64[Tensor, "b horizon c"]:
    last = batch.y[:, -SEASONS * season :].unflatten(1, (SEASONS, season)).mean(1)
    return last[:, (ahead(batch) - 1) % season]


def known(step: int | None) -> int:
    """A number of steps that there is, as `history` has just said."""
    assert step is not None
    return step


BASELINES = {
    "last_value": Baseline(lambda rhythm: 1, lambda rhythm, batch: seasonal_naive(batch, 1)),
    "seasonal_naive": Baseline(
        lambda rhythm: rhythm.season, lambda rhythm, batch: seasonal_naive(batch, rhythm.season)
    ),
    "weekly_naive": Baseline(
        lambda rhythm: rhythm.week, lambda rhythm, batch: seasonal_naive(batch, known(rhythm.week))
    ),
    "epf_naive": Baseline(
        lambda rhythm: rhythm.day and rhythm.week, lambda rhythm, batch: epf_naive(batch, known(rhythm.day))
    ),
    "drift": Baseline(lambda rhythm: 2, lambda rhythm, batch: drift(batch)),
    "season_mean": Baseline(
        lambda rhythm: SEASONS * rhythm.season, lambda rhythm, batch: season_mean(batch, rhythm.season)
    ),
}


def chosen(names: Sequence[str] | str) -> list[str]:
    """The baselines that `baselines` names, or all of them; seasonal naive, to which others are compared, is first."""
    every = [*BASELINES, *TRAINED]
    wanted = every if names == "all" else [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in every:
            near = nearest(str(name), every)
            raise Refusal(f"baselines={name}: no such baseline{near} ({', '.join(every)}, or all)", "config")
    return list(dict.fromkeys(["seasonal_naive", *wanted]))
