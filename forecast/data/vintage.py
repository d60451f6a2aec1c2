"""Forecast vintages: known covariates of which a stamp has several values, each issued at its own time.

A forecast sees for every step the newest value that was issued before its own issue.
"""

from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from forecast.error import Refusal

if TYPE_CHECKING:
    from forecast.data.layout import Layout
    from forecast.data.panel import Panel


def parted(long: pd.DataFrame, layout: "Layout", source: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a table, once for each stamp (with the newest vintage), and all vintages by series, stamp and issue.

    Raises Refusal if a vintage is there twice, or if anything but the known covariates differs between vintages.
    """
    keys = ["unique_id", "ds"]
    long = long.sort_values([*keys, "issued"], kind="stable", ignore_index=True)
    twice = long.duplicated([*keys, "issued"])
    if twice.any():
        row = long[twice].iloc[0]
        raise Refusal(
            f"{source}: {row['ds']} of series '{row['unique_id']}' is there twice with the same "
            f"'{layout.issued}', {row['issued']}",
            "duplicate",
        )
    groups = long.groupby(keys, observed=True, sort=False)
    future = list(layout.future)
    long[future] = groups[future].ffill()  # a vintage that says nothing of a column leaves the one before
    for name in (*layout.channels, *layout.past):
        several = groups[name].nunique() > 1
        if several.any():
            series, stamp = several.index[int(several.to_numpy().argmax())]
            raise Refusal(
                f"{source}: '{name}' of series '{series}' at {stamp} differs between vintages; only columns of "
                "data.future may",
                "vintage",
            )
    newest = groups.last().reset_index()[[name for name in long.columns if name != "issued"]]
    return newest.astype({"unique_id": long["unique_id"].dtype}), long[[*keys, "issued", *layout.future]]


def keys(panel: "Panel") -> Int64[Tensor, " v"]:
    """One ascending number for each vintage: its row, then its issue."""
    if not len(panel.vintages):
        return panel.vintage_rows
    return panel.vintage_rows << 32 | (panel.vintage_issued - panel.vintage_issued.min())


def newest(
    panel: "Panel", keys: Int64[Tensor, " v"], rows: Int64[Tensor, "b length"], issue: Int64[Tensor, " b"]
) -> tuple[Float32[Tensor, "b length f"], Bool[Tensor, "b length f"]]:
    """The known covariates of rows as they were at the issue (a number of the clock), and which of them there were.

    Where there was none stands the one of the step before.
    """
    low = panel.vintage_issued.min()
    wanted = rows << 32 | (issue - low).clamp(-1, 2**32 - 1)[:, None]
    found = torch.searchsorted(keys, wanted, right=True) - 1
    there = (found >= 0) & (panel.vintage_rows[found.clamp(min=0)] == rows) & (issue >= low)[:, None]
    values = panel.vintages[found.clamp(min=0)]
    observed = there[..., None] & ~values.isnan()
    steps = torch.arange(rows.shape[1], device=rows.device)[None, :, None].expand_as(values)
    last = torch.where(observed, steps, -1).cummax(1).values
    return torch.where(last >= 0, values.gather(1, last.clamp(min=0)), 0.0), observed
