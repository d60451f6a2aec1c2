"""Grid -> Panel: every series end to end in one tensor, on a complete grid, with room for the future after each."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecast.data.fill import filled, last_seen
from forecast.data.grid import Grid
from forecast.data.layout import Layout
from forecast.error import Refusal

if TYPE_CHECKING:
    from forecast.data.scaler import Statistics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Panel:
    """The series as tensors: values in data units (float64), covariates scaled once (float32), masks.

    Missing values are filled with the value last seen (before the first one: the middle learnt on train rows), one
    season earlier, or zero, as `fill` says, and marked in the masks; "linear" is for a window to do, which knows what
    was seen at its cutoff, from the rows last `seen`. `past_names` and `future_names` say which column each tensor's
    column comes from (those of masks and calendar have no name). `lengths` are each series' rows up to its last
    observed one (rows after it are the known future), `slots` its row in Scaling. `shift` is what the local clock shows
    beyond a row's number on the grid, empty where that is nothing. Rows, offsets and first as in Grid.
    """

    y: Tensor
    observed: Tensor
    seen: Tensor
    past: Tensor
    past_observed: Tensor
    future: Tensor
    future_observed: Tensor
    static: Tensor
    codes: Tensor
    offsets: Tensor
    first: Tensor
    lengths: Tensor
    slots: Tensor
    shift: Tensor
    vintages: Tensor
    vintage_rows: Tensor
    vintage_issued: Tensor
    names: tuple[str, ...]
    past_names: tuple[str, ...]
    future_names: tuple[str, ...]
    fill: str
    layout: Layout
    ahead: int
    source: str

    @property
    def labels(self) -> list[str]:
        """The `unique_id` of each series and channel, channels fastest."""
        return [self.layout.label(name, channel) for name in self.names for channel in self.layout.channels]

    @property
    def begins(self) -> Tensor:
        """What makes a row's number on the grid of its number here, for each series."""
        return self.first - self.offsets[:-1]

    def clock(self, rows: Tensor, series: Tensor) -> Tensor:
        """The steps of the local wall clock at rows of these series (their shapes broadcast)."""
        steps = self.begins[series] + rows
        return steps + self.shift[rows] if len(self.shift) else steps

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(x.nbytes for x in vars(self).values() if isinstance(x, Tensor))

    def __getstate__(self) -> dict[str, Any]:
        """Arrays for tensors, which PyTorch would move to other processes by its own ways."""
        return {name: x.cpu().numpy() if isinstance(x, Tensor) else x for name, x in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {name: np.require(x, requirements="W") for name, x in state.items() if isinstance(x, np.ndarray)}
        vars(self).update(state, **{name: torch.from_numpy(x) for name, x in arrays.items()})

    def to(self, device: torch.device) -> "Panel":
        return replace(self, **{name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)})


def panel(grid: Grid, statistics: "Statistics") -> Panel:
    """The panel of a grid, scaled and filled by what was learnt on train rows."""
    inside(grid, statistics.kind)
    layout, ordinals = grid.layout, grid.ordinals
    slots = statistics.slots(grid.names)
    if not slots.all():
        new = [grid.names[i] for i in np.flatnonzero(slots == 0)]
        log.info("%s: %d series that training had not: %s", grid.source, len(new), ", ".join(new[:5]))
    before = np.repeat(statistics.middle[slots], np.diff(grid.offsets), 0)
    y, observed = filled(grid.y, grid.offsets, before, statistics.fill, statistics.season)
    ends = np.maximum.reduceat(np.where(observed.any(1), np.arange(1, len(y) + 1), 0), grid.offsets[:-1])
    past, past_names = encoded(grid, grid.past, layout.past, statistics)
    future, future_names = encoded(grid, grid.future, layout.future, statistics)
    past, past_observed = filled(past, grid.offsets, 0.0)
    future, future_observed = filled(future, grid.offsets, 0.0)
    masks = observed[:, : observed.shape[1] if statistics.masks else 0]
    steps, place = shared(ordinals)
    days, shift = statistics.days(layout.clock, steps)[place], layout.clock.steps(steps) - steps
    numeric = [name for name in layout.static if name not in statistics.categories]
    static = np.nan_to_num(statistics.scaled(grid.static[numeric].to_numpy("float64"), numeric))
    texts = [name for name in layout.static if name in statistics.categories]
    codes = [known(grid.static[name], statistics.categories[name], name, grid.source) for name in texts]
    tensors = {
        "y": y,
        "observed": observed,
        "seen": last_seen(observed, grid.offsets) if statistics.fill == "linear" else np.empty((0, 0), "int64"),
        "past": np.concatenate((past, masks), 1, dtype="float32"),
        "past_observed": always(past_observed, masks.shape[1]),
        "future": np.concatenate((future, days), 1, dtype="float32"),
        "future_observed": always(future_observed, days.shape[1]),
        "static": static.astype("float32"),
        "codes": np.stack(codes, 1) if codes else np.empty((len(slots), 0), "int64"),
        "offsets": grid.offsets,
        "first": grid.first,
        "lengths": np.maximum(ends - grid.offsets[:-1], 0),
        "slots": slots,
        "shift": np.ascontiguousarray(shift[place]) if shift.any() else np.empty(0, "int64"),
        "vintages": encoded(grid, grid.vintages, layout.future, statistics)[0].astype("float32"),
        "vintage_rows": grid.vintage_rows,
        "vintage_issued": grid.vintage_issued,
    }
    return Panel(
        **{name: torch.from_numpy(array) for name, array in tensors.items()},
        names=grid.names,
        past_names=past_names + ("",) * masks.shape[1],
        future_names=future_names + ("",) * days.shape[1],
        fill=statistics.fill,
        layout=layout,
        ahead=grid.ahead,
        source=grid.source,
    )


def shared(ordinals: np.ndarray) -> tuple[np.ndarray, np.ndarray | slice]:
    """The steps that rows lie on, each once where series share them, and which of them each row is."""
    low, high = int(ordinals.min()), int(ordinals.max())
    if high - low >= len(ordinals):
        return ordinals, slice(None)
    return np.arange(low, high + 1), ordinals - low


def inside(grid: Grid, kind: str) -> None:
    """Refuses values that a scaler has no number for."""
    low = grid.y <= -1 if kind == "log1p" else np.zeros(0, bool)
    if low.any():
        row = int(low.any(1).argmax())
        series = int(np.searchsorted(grid.offsets, row, side="right") - 1)
        stamp = grid.layout.clock.stamps(grid.ordinals[row : row + 1])[0]
        raise Refusal(
            f"{grid.source}: data.scaler=log1p takes values above -1, but series '{grid.names[series]}' has "
            f"{np.nanmin(grid.y[row])} at {stamp}; data.scaler=asinh takes any",
            "scaler",
        )


def encoded(
    grid: Grid, values: np.ndarray, names: Sequence[str], statistics: "Statistics"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Covariates in units of their deviation; one of categories becomes a column of 0 and 1 for each known one.

    Returns them and the name that each column comes from.
    """
    columns, sources = [np.empty((len(values), 0))], []
    for i, name in enumerate(names):
        if name not in grid.labels:
            columns.append(statistics.scaled(values[:, i : i + 1], [name]))
            sources.append(name)
            continue
        seen = np.isfinite(values[:, i])
        labels = np.array([*grid.labels[name], ""], dtype=object)
        codes = known(pd.Series(labels), statistics.categories[name], name, grid.source)[:-1]
        place = np.append(codes, 0)[np.where(seen, values[:, i], -1).astype("int64")]
        one = (place[:, None] == np.arange(1, len(statistics.categories[name]) + 1)).astype("float64")
        columns.append(np.where(seen[:, None], one, np.nan))
        sources += [name] * one.shape[1]
    return np.concatenate(columns, 1), tuple(sources)


def known(labels: pd.Series, categories: Sequence[str], name: str, source: str) -> np.ndarray:
    """The place of each label among the categories of training, from 1; 0 for one not seen there, which is logged."""
    found = pd.Index(categories).get_indexer(pd.Index(labels)).astype("int64") + 1
    unseen = sorted(set(labels[found == 0].astype(str)) - {""})
    if unseen:
        said = log.info if found.any() else log.warning
        said("%s: '%s' has categories that training had not: %s", source, name, ", ".join(unseen[:5]))
    return found


def always(observed: np.ndarray, more: int) -> np.ndarray:
    """Masks with more columns that are never missing."""
    return np.pad(observed, ((0, 0), (0, more)), constant_values=True)
