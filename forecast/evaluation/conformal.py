"""Conformal calibration: quantiles that hold what they promise, from forecasts whose outcome is known.

A forecast's score is by how much y missed it, in standard deviations of its series: for an upper level y - q, for a
lower one q - y, for both levels of a symmetric pair the larger of the two. A level that is to hold with probability c
moves outwards by the score of rank ceil((n + 1) c) among n; if forecasts are exchangeable, it then holds with at least
that probability. Learnt for each group: step or hour, of one series or of all.

    split    q is the point forecast itself: its quantiles become residuals' (V. Vovk et al., "Algorithmic learning in a
             random world", 2005; J. Lei et al., "Distribution-free predictive inference for regression", 2018)
    cqr      q are the forecast's quantiles (Y. Romano, E. Patterson, E. Candes, "Conformalized quantile regression",
             2019; its theorem 2 where levels are not symmetric)
    online   the offsets go on moving after each cutoff: by rate x unit x (share of scores above the offset - (1 - c)),
             over what came to be known since the last one, with unit the mean absolute error until then (A.
             Angelopoulos, E. Candes, R. Tibshirani, "Conformal PID control for time series prediction", 2023: quantile
             tracking; it moves the offset where I. Gibbs, E. Candes, "Adaptive conformal inference under distribution
             shift", 2021, move the level, and so never asks for an infinite interval). Scores are held against the
             offsets as they are now, not as they were at the issue: horizons may overlap as they like, and nothing
             swings.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from forecast.error import Refusal
from forecast.evaluation.metrics import checked
from forecast.evaluation.offset import moved, plan
from forecast.evaluation.table import levels_of

log = logging.getLogger(__name__)

Around = Literal["point", "quantiles"]
By = Literal["step", "hour"] | None


@dataclass(frozen=True)
class Calibration:
    """What was learnt: `offsets` [group score] and mean absolute errors `units` [group], in deviations of the series.

    The first group is all rows; it stands in for those that were too small or not there. The others are those of
    `groups`, (series or "" for all, step or hour or 0). `around` says what is moved, `point` or `quantiles`; without
    a `rate` offsets stay as they are.
    """

    around: Around
    levels: tuple[float, ...]
    by: By
    pooled: bool
    symmetric: bool
    rate: float | None
    groups: tuple[tuple[str, int], ...]
    offsets: np.ndarray
    units: np.ndarray

    def plain(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "offsets": self.offsets.tolist(), "units": self.units.tolist()}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        arrays = {name: np.array(plain[name], "float64") for name in ("offsets", "units")}
        groups = tuple((str(series), int(number)) for series, number in plain["groups"])
        return cls(**{**plain, **arrays, "levels": tuple(plain["levels"]), "groups": groups})

    def calibrated(
        self,
        table: pd.DataFrame,
        scale: Mapping[str, float] | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> pd.DataFrame:
        """The forecast table with calibrated quantiles between `low` and `high`, which don't cross; `scale` as learnt.

        Symmetric offsets leave the median and the point forecast where they are; else `point` follows the median.
        With a rate, what a forecast is moved by was known at its cutoff: y of earlier forecasts of the table whose
        `ds` was not after it.
        """
        deviation = deviations(table, scale)
        group = self.places(table)
        offsets = self.offsets[group] if self.rate is None else self.followed(table, group, deviation)
        values, point = bases(table, self.around, self.levels), table["point"].to_numpy("float64")
        point, values = moved(values, point, self.levels, self.symmetric, offsets * deviation[:, None])
        columns = {"point": point} | {f"q{level:g}": x for level, x in zip(self.levels, values.T, strict=True)}
        return table.assign(**{name: np.clip(x, low, high) for name, x in columns.items()})

    def places(self, table: pd.DataFrame) -> np.ndarray:
        """The group of each row."""
        series, number = zip(*self.groups, strict=True)
        return pd.MultiIndex.from_arrays([series, number]).get_indexer(keys(table, self.by, self.pooled)) + 1

    def followed(self, table: pd.DataFrame, group: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """The offsets of each row [row score], cutoff by cutoff."""
        scores, sizes = scored(table, deviation, self.around, self.levels, self.symmetric)
        times = pd.factorize(pd.concat([table["ds"], table["cutoff"]]), sort=True)[0]
        known, cutoff = times[: len(table)], times[len(table) :]
        seen = np.flatnonzero(table["y"].notna())
        seen, issued = seen[np.argsort(known[seen], kind="stable")], np.argsort(cutoff, kind="stable")
        now = np.unique(cutoff)
        ends = np.searchsorted(known[seen], now, "right"), np.searchsorted(cutoff[issued], now, "right")
        offsets, units = self.offsets.copy(), self.units.copy()
        found = np.empty_like(scores)
        before = (0, 0)
        for after in zip(*ends, strict=True):
            new, rows = seen[before[0] : after[0]], issued[before[1] : after[1]]
            self.move(offsets, units, scores[new], sizes[new], group[new])
            found[rows] = offsets[group[rows]]
            before = after
        return found

    def move(
        self, offsets: np.ndarray, units: np.ndarray, scores: np.ndarray, sizes: np.ndarray, group: np.ndarray
    ) -> None:
        """Moves offsets and units, in place, by scores [row score] and absolute errors [row] that came to be known."""
        own = group > 0
        group = np.concatenate([np.zeros_like(group), group[own]])  # the first group is of all
        scores, sizes = np.concatenate([scores, scores[own]]), np.concatenate([sizes, sizes[own]])
        count = np.bincount(group, minlength=len(units))
        there = count > 0
        missed = (scores > offsets[group]).astype("float64")
        total = np.stack([np.bincount(group, x, len(units)) for x in missed.T], 1)
        _, _, coverage = plan(self.levels, self.symmetric)
        size = np.bincount(group, sizes, len(units))
        assert self.rate is not None
        error = total[there] / count[there, None] - (1 - coverage)
        offsets[there] += self.rate * units[there, None] * error  # units of before: large misses would count for more
        units[there] += self.rate * (size[there] / count[there] - units[there])


def learnt(
    table: pd.DataFrame,
    scale: Mapping[str, float] | None = None,
    *,
    around: Around,
    by: By,
    pooled: bool,
    symmetric: bool,
    rate: float | None,
    levels: Sequence[float],
) -> Calibration:
    """What forecasts teach whose y is known; `levels` are for a table that has no quantiles.

    `scale` is the standard deviation of each `unique_id` (None: 1). A group with too few rows for a level takes the
    rows of all groups, and says so; Refusal if these are too few as well, or if there are no quantiles to move.
    """
    table = checked(table)
    table = table[table["y"].notna()].reset_index(drop=True)
    levels = tuple(levels_of(table) or levels)
    index = keys(table, by, pooled)
    group = index.unique().get_indexer(index)
    groups = tuple(zip(*(index.unique().get_level_values(i).tolist() for i in (0, 1)), strict=True))
    scores, sizes = scored(table, deviations(table, scale), around, levels, symmetric)
    _, _, coverage = plan(levels, symmetric)
    enough(len(table), levels, symmetric)
    whole, each = ranked(scores, np.zeros_like(group), 1, coverage), ranked(scores, group, len(groups), coverage)
    few = np.isinf(each).any(1)
    if few.any():
        series, number = groups[int(few.argmax())]
        log.warning(
            "calibration: %d of %d groups have too few rows for a level and take those of all (the first: %s)",
            few.sum(), len(groups), " ".join(map(str, filter(None, (series, by and f"{by} {number}")))),
        )  # fmt: skip
    size = np.bincount(group, sizes) / np.bincount(group)
    offsets = np.concatenate([whole, np.where(np.isinf(each), whole, each)])
    units = np.concatenate([[sizes.mean()], size])
    return Calibration(around, levels, by, pooled, symmetric, rate, groups, offsets, units)


def enough(count: int, levels: tuple[float, ...], symmetric: bool) -> None:
    """Raises Refusal for so few observed rows that the score of a level's rank is not among theirs."""
    _, _, coverage = plan(levels, symmetric)
    if (rank(count, coverage) > count).any():
        raise Refusal(
            f"{count} observed rows are too few to calibrate levels {list(levels)}, the outermost of which "
            f"needs {math.ceil(coverage.max() / (1 - coverage.max()))}: use more validation data, or fewer levels",
            "too-short",
        )


def rank(count: np.ndarray | int, coverage: np.ndarray) -> np.ndarray:
    """Which of so many scores, in ascending order, a level moves by: one beyond them where they are too few."""
    return np.ceil(np.round((count + 1) * coverage, 9)).astype("int64").clip(1)  # 0.9 - 0.1 is above 0.8


def scored(
    table: pd.DataFrame, deviation: np.ndarray, around: Around, levels: tuple[float, ...], symmetric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [row score] and absolute errors [row], in deviations; NaN where y was not observed."""
    sign, place, coverage = plan(levels, symmetric)
    y = table["y"].to_numpy("float64")
    missed = sign * (y[:, None] - bases(table, around, levels)) / deviation[:, None]
    scores = np.stack([missed[:, place == k].max(1) for k in range(len(coverage))], 1)
    return scores, np.abs(y - table["point"].to_numpy("float64")) / deviation


def ranked(scores: np.ndarray, group: np.ndarray, groups: int, coverage: np.ndarray) -> np.ndarray:
    """The score of rank ceil((n + 1) coverage) of each group [group score]; infinite where that is beyond n."""
    count = np.bincount(group, minlength=groups)
    wanted = rank(count[:, None], coverage)
    place = np.cumsum(count)[:, None] - count[:, None] + np.minimum(wanted, count[:, None]) - 1
    ordered = np.stack([x[order(x, group.astype(np.min_scalar_type(groups)))] for x in scores.T], 1)
    return np.where(wanted <= count[:, None], np.take_along_axis(ordered, place, 0), np.inf)


def order(scores: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Rows by group, then score; groups that are small numbers are sorted without comparing (lexsort takes longer)."""
    ascending = np.argsort(scores)
    return ascending[np.argsort(group[ascending], kind="stable")]


def bases(table: pd.DataFrame, around: Around, levels: Sequence[float]) -> np.ndarray:
    """What offsets are added to [row level]; Refusal if the table lacks a quantile."""
    if around == "point":
        return np.repeat(table["point"].to_numpy("float64")[:, None], len(levels), 1)
    known = levels_of(table)
    missing = [level for level in levels if level not in known]
    if missing:
        raise Refusal(
            f"the forecasts have no quantiles at {missing} to calibrate: use calibrate.around=point, or head=quantile",
            "levels",
        )
    return table[[known[level] for level in levels]].to_numpy("float64")


def keys(table: pd.DataFrame, by: By, pooled: bool) -> pd.MultiIndex:
    """The group of each row: its series ("": any), and its step in its forecast, counted from 1, or its local hour."""
    series = np.full(len(table), "", object) if pooled else table["unique_id"].astype(str).to_numpy(object)
    number = np.zeros(len(table), "int64")
    if by == "step":
        number = table.groupby(["unique_id", "cutoff"], observed=True)["ds"].rank("first").to_numpy("int64")
    elif by == "hour":
        if not pd.api.types.is_datetime64_any_dtype(table["ds"]):
            raise Refusal("calibrating by the hour needs stamps with a time of day in 'ds'", "no-column")
        number = table["ds"].dt.hour.to_numpy("int64")
    return pd.MultiIndex.from_arrays([series, number])


def deviations(table: pd.DataFrame, scale: Mapping[str, float] | None) -> np.ndarray:
    """The unit of each row's scores."""
    if scale is None:
        return np.ones(len(table))
    found = table["unique_id"].map(scale).to_numpy("float64")
    if np.isnan(found).any():
        name = table["unique_id"].iloc[int(np.isnan(found).argmax())]
        raise Refusal(f"series '{name}' has forecasts, but no standard deviation to calibrate them in", "no-column")
    return found
