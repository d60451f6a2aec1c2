"""What is learnt from train rows, in float64: the Scaling of the targets, the scale of covariates, the categories."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecast.contract import CONSTANT, Scaling
from forecast.data import almanac, daylight, holiday
from forecast.data.clock import Clock
from forecast.data.grid import Grid
from forecast.data.panel import inside
from forecast.error import Refusal

log = logging.getLogger(__name__)

SCIKIT = {  # and the names of their loc and scale
    "standard": (StandardScaler, "mean_", "scale_"),
    "robust": (RobustScaler, "center_", "scale_"),
    "minmax": (MinMaxScaler, "data_min_", "data_range_"),
    "log1p": (StandardScaler, "mean_", "scale_"),
}
SCALERS = (*SCIKIT, "asinh", "capacity", "none")
AT_ONCE = 1 << 22  # values of several series that are learnt from side by side
MAD = 1.4826  # standard deviations in a median absolute deviation of normal numbers


@dataclass(frozen=True)
class Statistics:
    """Plain numbers that a forecaster keeps of its training data.

    `loc` and `scale` [slots c] are the Scaling (slot 0 pools all series, slot i + 1 is `names[i]`); `columns` has loc
    and scale of each numeric covariate, `categories` the known ones of each column of text. `deviation`, `naive_error`
    and `naive_square` [slots c] divide errors in scores: standard deviation, mean absolute and mean squared seasonal
    difference. The rest is how a panel is made: calendar, season, filling, whether networks see the masks of the
    targets, the place whose holidays count and the latitude of daylight.
    """

    kind: str
    names: tuple[str, ...]
    loc: np.ndarray
    scale: np.ndarray
    deviation: np.ndarray
    naive_error: np.ndarray
    naive_square: np.ndarray
    columns: dict[str, tuple[float, float]]
    categories: dict[str, tuple[str, ...]]
    calendar: tuple[str, ...]
    season: int
    fill: str
    masks: bool
    holidays: str | None
    latitude: float | None

    def slots(self, names: Sequence[str]) -> np.ndarray:
        """The row of each series in Scaling (int64); 0 for one not seen in training."""
        return pd.Index(self.names).get_indexer(pd.Index(names)).astype("int64") + 1

    @property
    def scaling(self) -> Scaling:
        return Scaling(self.kind, torch.tensor(self.loc), torch.tensor(self.scale))

    @property
    def middle(self) -> np.ndarray:
        """A usual value of each slot [slots c], in data units."""
        return np.expm1(self.loc) if self.kind == "log1p" else self.loc

    def days(self, clock: Clock, ordinals: np.ndarray) -> np.ndarray:
        """What is known of days: calendar, holidays, daylight; float32 [row, column]."""
        columns = [almanac.features(clock, ordinals, self.calendar)]
        if self.holidays is not None:
            columns.append(holiday.features(clock, ordinals, self.holidays))
        if self.latitude is not None:
            columns.append(daylight.share(clock.local(ordinals).day_of_year.to_numpy(), self.latitude)[:, None])
        return np.concatenate(columns, 1, dtype="float32")

    def scaled(self, values: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Covariate columns in units of their own deviation."""
        pairs = np.array([self.columns[name] for name in names]).reshape(-1, 2)
        return (values - pairs[:, 0]) / pairs[:, 1]

    def plain(self) -> dict[str, Any]:
        """The same as JSON types (which have no NaN: None)."""
        arrays = {key: x for key, x in vars(self).items() if isinstance(x, np.ndarray)}
        return asdict(self) | {
            key: [[None if v != v else v for v in row] for row in x.tolist()] for key, x in arrays.items()
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Statistics":
        numbers = ("loc", "scale", "deviation", "naive_error", "naive_square")
        arrays = {key: np.array(plain[key], dtype="float64") for key in numbers}
        tuples = {key: tuple(plain[key]) for key in ("names", "calendar")}
        pairs = {key: {name: tuple(x) for name, x in plain[key].items()} for key in ("columns", "categories")}
        return cls(**{**plain, **arrays, **tuples, **pairs})


def learn(grid: Grid, until: int | np.ndarray, data: Mapping[str, Any]) -> Statistics:
    """Learns everything from the rows before the clock's number `until`, and from nothing else.

    `until` is one for all series or one each; `data.train_window` leaves out rows further back.
    """
    kind, layout = data["scaler"], grid.layout
    if kind not in SCALERS:
        raise Refusal(f"data.scaler={kind}: expected one of {', '.join(SCALERS)}", "config")
    ends = grid.offsets[:-1] + np.clip(until - grid.first, 0, grid.lengths)
    starts = grid.offsets[:-1]
    if data["train_window"] is not None:
        starts = starts + np.clip(until - data["train_window"] - grid.first, 0, ends - starts)
    parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    longest = max(part.stop - part.start for part in parts)
    season = data["season"]
    if season is None and layout.clock.season >= longest:
        log.info("%s: train is shorter than a season; the naive forecast repeats the last value", grid.source)
    season = season or (layout.clock.season if layout.clock.season < longest else 1)
    train = np.zeros(len(grid.y), dtype=bool)
    for part in parts:
        train[part] = True
    inside(replace(grid, y=np.where(train[:, None], grid.y, np.nan)), kind)
    loc, scale = by_slot(grid.y, parts, train, kind)
    deviation = scale.copy() if kind == "standard" else by_slot(grid.y, parts, train, "standard")[1]
    if kind == "capacity" and data["capacity"] is not None:
        scale = capacity(grid, data["capacity"], scale)
    if data["pooled"]:
        loc[:], scale[:] = loc[0], scale[0]
    covariates = dict(zip(layout.past, grid.past[train].T, strict=True))
    covariates |= dict(zip(layout.future, known_ahead(grid, train, until).T, strict=True))
    numeric = [name for name in layout.static if grid.static[name].dtype.kind == "f"]
    covariates |= {name: grid.static[name].to_numpy() for name in numeric}
    categories = {name: tuple(sorted(set(grid.static[name]))) for name in layout.static if name not in numeric}
    for name in (x for x in (*layout.past, *layout.future) if x in grid.labels):
        seen = np.unique(covariates.pop(name))
        categories[name] = tuple(grid.labels[name][int(code)] for code in seen[~np.isnan(seen)])
    seasonal = [np.insert(naive_error(grid.y, starts, ends, season, power), 0, np.nan, 0) for power in (1, 2)]
    return Statistics(
        kind=kind,
        names=grid.names,
        loc=loc,
        scale=scale,
        deviation=deviation,
        naive_error=seasonal[0],
        naive_square=seasonal[1],
        columns={name: column(values) for name, values in covariates.items()},
        categories=categories,
        calendar=almanac.chosen(layout.clock, data["calendar"], longest),
        season=season,
        fill=data["fill"],
        masks=data["observed"],
        holidays=data["holidays"],
        latitude=data["latitude"],
    )


def known_ahead(grid: Grid, train: np.ndarray, until: int | np.ndarray) -> np.ndarray:
    """Known covariates of the train rows [value column]; of vintages, those that were issued by the end of train."""
    if not len(grid.vintages):
        return grid.future[train]
    ends = np.broadcast_to(until, len(grid.names))[np.searchsorted(grid.offsets, grid.vintage_rows, side="right") - 1]
    return grid.vintages[train[grid.vintage_rows] & (grid.vintage_issued <= ends)]


def capacity(grid: Grid, name: str, largest: np.ndarray) -> np.ndarray:
    """Scales [slots c] from a static column, each series' installed capacity; unseen series take the largest value."""
    if name not in grid.layout.static or grid.static[name].dtype.kind != "f":
        raise Refusal(f"data.capacity={name}: expected a column of numbers among data.static", "config")
    values = grid.static[name].to_numpy()
    if not (values > 0).all():
        series = grid.names[int((~(values > 0)).argmax())]
        raise Refusal(f"{grid.source}: the capacity '{name}' of series '{series}' is not above 0", "static")
    return np.concatenate((largest[:1], np.repeat(values[:, None], largest.shape[1], 1)))


def by_slot(y: np.ndarray, parts: list[slice], train: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """loc and scale [slots c]: all train rows pooled, then each series; one that is empty takes the pooled ones."""
    loc, scale = np.full((len(parts) + 1, y.shape[1]), np.nan), np.ones((len(parts) + 1, y.shape[1]))
    loc[0], scale[0] = fit(y[train], kind)
    starts, lengths = np.array([(part.start, part.stop - part.start) for part in parts]).T
    for some in alike(lengths, y.shape[1]):
        steps = np.arange(lengths[some].max())[:, None]
        rows = np.where(steps < lengths[some], starts[some] + steps, -1)  # side by side, series of similar length
        values = np.where(rows[..., None] >= 0, y[rows], np.nan).reshape(len(steps), -1)
        loc[some + 1], scale[some + 1] = (x.reshape(len(some), -1) for x in fit(values, kind))
    empty = np.isnan(loc)
    return np.nan_to_num(np.where(empty, loc[0], loc)), np.where(empty, scale[0], scale)


def alike(lengths: np.ndarray, channels: int) -> Iterator[np.ndarray]:
    """Groups of series, by number, in which none is twice as long as another; a group has some millions of values."""
    sizes = np.ceil(np.log2(np.maximum(lengths, 1))).astype("int64")
    for size in np.unique(sizes[lengths > 0]):
        some = np.flatnonzero((sizes == size) & (lengths > 0))
        at_once = max(1, AT_ONCE // (channels << int(size)))
        yield from np.split(some, range(at_once, len(some), at_once))


def fit(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """loc and scale [c] of columns [row c] with missing values; NaN for a column without any.

    What a scaler sees is relative to one value and to their range, so that level and unit don't matter.
    """
    loc, scale = np.full(values.shape[1], np.nan), np.ones(values.shape[1])
    there = ~np.isnan(values).all(0)
    seen = np.log1p(values[:, there]) if kind == "log1p" else values[:, there]
    if not seen.size:
        return loc, scale
    largest = np.nanmax(np.abs(seen), 0)
    if kind in ("none", "capacity"):
        loc[there] = 0.0
        scale[there] = np.where(largest > 0, largest, 1.0) if kind == "capacity" else 1.0
        return loc, scale
    first = np.take_along_axis(seen, (~np.isnan(seen)).argmax(0)[None], 0)[0]
    unit = np.nanmax(np.abs(seen - first), 0)
    unit[unit == 0] = 1.0
    middle, spread = middle_and_spread((seen - first) / unit, kind)
    loc[there] = first + unit * middle
    moves = (np.nanmin(seen, 0) < np.nanmax(seen, 0)) & (unit * spread > CONSTANT * largest)
    scale[there] = np.where(moves, unit * spread, 1.0)
    return loc, scale


def middle_and_spread(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """loc and scale of columns. For asinh the median and the median absolute deviation in standard deviations (or, if
    most are equal, the standard deviation): B. Uniejewski et al., "Variance stabilizing transformations for
    electricity spot price forecasting", 2018.
    """
    if kind == "asinh":
        middle = np.nanmedian(values, 0)
        spread = MAD * np.nanmedian(np.abs(values - middle), 0)
        return middle, np.where(spread > 0, spread, np.nanstd(values, 0))
    scaler, loc, scale = SCIKIT[kind]
    found = scaler().fit(values)
    return getattr(found, loc), getattr(found, scale)


def column(values: np.ndarray) -> tuple[float, float]:
    """loc and scale of one covariate."""
    loc, scale = fit(values[:, None], "standard")
    return float(np.nan_to_num(loc[0])), float(scale[0])


def naive_error(y: np.ndarray, starts: np.ndarray, ends: np.ndarray, season: int, power: int = 1) -> np.ndarray:
    """Mean absolute difference to the value a season before [series c], over the rows where both are observed.

    With power 2 it is the mean squared one. The rows of each series go from its start to its end; NaN where it has no
    such pair.
    """
    error = np.full((len(y) + 1, y.shape[1]), np.nan)  # a span may begin where the rows end
    begins = np.minimum(starts + season, ends)
    spans = np.column_stack((begins, ends)).ravel()
    with np.errstate(over="ignore"):  # a mean of squares that no float can hold is not known
        error[season:-1] = np.abs(y[season:] - y[:-season]) ** power
        count, total = (np.add.reduceat(x, spans)[::2] for x in (~np.isnan(error), np.nan_to_num(error, posinf=np.inf)))
    mean = total / np.maximum(count, 1)
    return np.where((count > 0) & (begins < ends)[:, None] & np.isfinite(mean), mean, np.nan)
