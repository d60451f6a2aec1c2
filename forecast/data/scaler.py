"""What is learnt from train rows, in float64: the Scaling of the targets, the scale of covariates, the categories."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import RobustScaler, StandardScaler

from forecast.contract import CONSTANT, Scaling
from forecast.data.panel import Grid
from forecast.error import Refusal

log = logging.getLogger(__name__)

SCALERS = {"standard": StandardScaler, "robust": RobustScaler, "none": None}


@dataclass(frozen=True)
class Statistics:
    """Plain numbers that a forecaster keeps of its training data.

    `loc` and `scale` [slots c] are the Scaling (slot 0 pools all series, slot i + 1 is `names[i]`); `columns` has loc
    and scale of each numeric covariate, `categories` the known ones of each static text column. `deviation` and
    `naive_error` [slots c] divide errors in scores: standard deviation, and mean absolute seasonal difference.
    """

    kind: str
    names: tuple[str, ...]
    loc: np.ndarray
    scale: np.ndarray
    deviation: np.ndarray
    naive_error: np.ndarray
    columns: dict[str, tuple[float, float]]
    categories: dict[str, tuple[str, ...]]
    calendar: tuple[str, ...]
    season: int

    def slot(self, name: str) -> int:
        return self.names.index(name) + 1 if name in self.names else 0

    @property
    def scaling(self) -> Scaling:
        return Scaling(self.kind, torch.from_numpy(self.loc), torch.from_numpy(self.scale))

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
        arrays = {key: np.array(plain[key], dtype="float64") for key in ("loc", "scale", "deviation", "naive_error")}
        tuples = {key: tuple(plain[key]) for key in ("names", "calendar")}
        pairs = {key: {name: tuple(x) for name, x in plain[key].items()} for key in ("columns", "categories")}
        return cls(**{**plain, **arrays, **tuples, **pairs})


def learn(grid: Grid, until: int, kind: str, calendar: Sequence[str] | None, season: int | None) -> Statistics:
    """Learns everything from the rows before the clock's number `until`, and from nothing else."""
    if kind not in SCALERS:
        raise Refusal(f"data.scaler={kind}: expected one of {', '.join(SCALERS)}", "config")
    layout = grid.layout
    ends = grid.offsets[:-1] + np.clip(until - grid.first, 0, grid.lengths)
    parts = [slice(start, end) for start, end in zip(grid.offsets[:-1], ends, strict=True)]
    longest = max(part.stop - part.start for part in parts)
    if season is None and layout.clock.season >= longest:
        log.info("%s: train is shorter than a season; the naive forecast repeats the last value", grid.source)
    season = season or (layout.clock.season if layout.clock.season < longest else 1)
    train = np.zeros(len(grid.y), dtype=bool)
    for part in parts:
        train[part] = True
    loc, scale = by_slot(grid.y, parts, train, kind)
    deviation = scale if kind == "standard" else by_slot(grid.y, parts, train, "standard")[1]
    covariates = dict(zip(layout.past, grid.past[train].T, strict=True))
    covariates |= dict(zip(layout.future, grid.future[train].T, strict=True))
    numeric = [name for name in layout.static if grid.static[name].dtype.kind == "f"]
    covariates |= {name: grid.static[name].to_numpy() for name in numeric}
    seasonal = np.stack([np.full(grid.y.shape[1], np.nan), *(naive_error(grid.y[part], season) for part in parts)])
    return Statistics(
        kind=kind,
        names=grid.names,
        loc=loc,
        scale=scale,
        deviation=deviation,
        naive_error=seasonal,
        columns={name: column(values) for name, values in covariates.items()},
        categories={name: tuple(sorted(set(grid.static[name]))) for name in layout.static if name not in numeric},
        calendar=layout.clock.calendar(calendar),
        season=season,
    )


def by_slot(y: np.ndarray, parts: list[slice], train: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """loc and scale [slots c]: all train rows pooled, then each series; one that is empty takes the pooled ones."""
    pairs = [fit(y[train], kind), *(fit(y[part], kind) for part in parts)]
    loc, scale = np.array([loc for loc, _ in pairs]), np.array([scale for _, scale in pairs])
    empty = np.isnan(loc)
    return np.nan_to_num(np.where(empty, loc[0], loc)), np.where(empty, scale[0], scale)


def fit(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """loc and scale [c] of columns [row c] with missing values; NaN for a column without any.

    scikit-learn sees values relative to one of them and to their range, so that level and unit don't matter.
    """
    loc, scale = np.full(values.shape[1], np.nan), np.ones(values.shape[1])
    for i, column in enumerate(values.T):
        seen = column[~np.isnan(column)]
        if not len(seen):
            continue
        scaler = SCALERS[kind]
        if scaler is None:
            loc[i] = 0.0
            continue
        unit = np.abs(seen - seen[0]).max() or 1.0
        fitted = scaler().fit(((seen - seen[0]) / unit)[:, None])
        middle = fitted.mean_ if kind == "standard" else fitted.center_
        loc[i] = seen[0] + unit * middle[0]
        spread = unit * fitted.scale_[0]
        if seen.min() < seen.max() and spread > CONSTANT * np.abs(seen).max():
            scale[i] = spread
    return loc, scale


def column(values: np.ndarray) -> tuple[float, float]:
    """loc and scale of one covariate."""
    loc, scale = fit(values[:, None], "standard")
    return float(np.nan_to_num(loc[0])), float(scale[0])


def naive_error(y: np.ndarray, season: int) -> np.ndarray:
    """Mean absolute difference to the value a season before [c], over the rows where both are observed."""
    if len(y) <= season:
        return np.full(y.shape[1], np.nan)
    error = np.abs(y[season:] - y[:-season])
    count = (~np.isnan(error)).sum(0)
    return np.where(count > 0, np.nansum(error, 0) / np.maximum(count, 1), np.nan)
