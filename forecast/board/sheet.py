"""Which pictures a forecast table gets: sheets for files, single ones for TensorBoard."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forecast.board import calibration, error, figure
from forecast.board.attention import attention
from forecast.board.rhythm import rhythm
from forecast.evaluation.metrics import classes_of
from forecast.evaluation.table import levels_of

Draw = Callable[..., None]
SMALL = (7.5, 4.0)


def pictures(tables: Mapping[str, pd.DataFrame]) -> dict[str, tuple[str, Draw]]:
    """What is drawn of forecast tables, the first of which is the model's, by tag: a title and what draws on axes."""
    table = next(iter(tables.values()))
    found: dict[str, tuple[str, Draw]] = {
        "error/by_step": ("Error by step of the horizon", partial(error.steps, tables=tables)),
        "error/by_calendar": ("Error by calendar", partial(error.calendar, table=table)),
    }
    if not classes_of(table):
        found["error/residuals"] = "Spread of the errors", partial(error.residuals, table=table)
        found["error/autocorrelation"] = "How errors follow each other", partial(error.autocorrelation, table=table)
    if len(levels_of(table)) > 1:
        found["calibration/reliability"] = "Reliability", partial(calibration.reliability, table=table)
        found["calibration/pit"] = "PIT histogram", partial(calibration.pit, table=table)
    return found


def sheets(tables: Mapping[str, pd.DataFrame], title: str) -> dict[str, Figure]:
    """The figures that stand beside a forecast table, by the names of their files.

    `forecast` is the fan chart (of classes the confusion matrix), `errors` and, if there are quantiles, `calibration`
    show how good it is.
    """
    drawn, found = pictures(tables), {"forecast": figure.fan(next(iter(tables.values())), title)}
    for name, group in (("errors", "error/"), ("calibration", "calibration/")):
        parts = [part for tag, part in drawn.items() if tag.startswith(group)]
        if parts:
            found[name] = together(parts, title)
    return found


def singles(tables: Mapping[str, pd.DataFrame], title: str, weights: np.ndarray | None = None) -> dict[str, Figure]:
    """The same pictures one by one, by their tags; and the attention [horizon context] of a decoder."""
    table = next(iter(tables.values()))
    fan = figure.fan(table, title)
    found = {f"forecast/{fan.get_label() or 'fan'}": fan}
    found |= {tag: figure.alone(draw, f"{name}: {title}", SMALL) for tag, (name, draw) in pictures(tables).items()}
    if weights is not None:
        draw = partial(attention, weights=weights, found=rhythm(table))
        found["attention/weights"] = figure.alone(draw, f"Attention: {title}", SMALL)
    return found


def curves(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """The error of each step of the horizon by tag, of the first table as the model's."""
    names = ("model", *list(tables)[1:])
    return {f"by_step/{name}": error.by_step(table) for name, table in zip(names, tables.values(), strict=True)}


def together(parts: list[tuple[str, Draw]], title: str) -> Figure:
    """Pictures on one sheet, two in a row."""
    rows = len(parts) // 2
    made = Figure(figsize=(13 if rows > 1 else 10.5, 0.5 + 4.0 * rows), dpi=110, layout="constrained")
    for (name, draw), axes in zip(parts, made.subplots(rows, 2, squeeze=False).flat, strict=True):
        draw(axes)
        axes.set_title(name, loc="left", fontsize=10)
    made.suptitle(title, x=0.01, ha="left", fontsize=12)
    return made
