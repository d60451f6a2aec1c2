"""What if: a grid with other values of known covariates after the last row of each series."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from forecast.data.grid import Grid
from forecast.error import Refusal, nearest


def changed(grid: Grid, changes: Mapping[str, Any]) -> Grid:
    """The grid with `changes` by column: one value, one a step after the last row, or [series step].

    Raises Refusal for a column that is no known covariate, and for values that don't fit it.
    """
    names = grid.layout.future
    future = grid.future.copy()
    rows = (grid.offsets[:-1] + grid.seen)[:, None] + np.arange(grid.ahead)
    for name, values in changes.items():
        if name not in names:
            there = f"the known covariates are {', '.join(names)}" if names else "there is no known covariate"
            raise Refusal(f"what_if: '{name}' can't be changed, {there}{nearest(name, names)}", "config")
        future[rows, names.index(name)] = fitting(name, values, grid)
    if len(grid.vintages):
        raise Refusal("what_if: known covariates with vintages (data.issued) can't be changed", "config")
    return replace(grid, future=future)


def fitting(name: str, values: Any, grid: Grid) -> np.ndarray:
    """Values of a column as the grid holds them [series step]; of categories their places."""
    found = np.asarray(values)
    if name in grid.labels:
        labels = list(grid.labels[name])
        unknown = [str(x) for x in found.ravel() if str(x) not in labels]
        if unknown:
            raise Refusal(f"what_if: '{name}' has no category '{unknown[0]}'{nearest(unknown[0], labels)}", "config")
        found = np.array([labels.index(str(x)) for x in found.ravel()], dtype="float64").reshape(found.shape)
    shape = (len(grid.names), grid.ahead)
    try:
        found = np.broadcast_to(found.astype("float64"), shape)
    except ValueError:
        raise Refusal(
            f"what_if: values of '{name}' of shape {found.shape}: expected one number, {shape[1]} of them (the gap's "
            f"and the horizon's steps), or {list(shape)} (series, steps)",
            "config",
        ) from None
    if not np.isfinite(found).all():
        raise Refusal(f"what_if: '{name}' has a value that is not a finite number", "config")
    return found
