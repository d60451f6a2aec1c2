"""What a fitted model's forecasts rest on: columns by permutation, context by gradients, the decoder's attention."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from forecast import recipe
from forecast.contract import Batch, mix
from forecast.data.panel import Panel
from forecast.data.windows import Windows
from forecast.error import Refusal, nearest
from forecast.fitted import Fitted
from forecast.model.base import Model
from forecast.recipe import AT_ONCE, classed

METHODS = ("importance", "gradients", "attention")
CALENDAR = "calendar"  # what hours, weekdays, holidays and daylight are called together


class Column(NamedTuple):
    """A column of the data: its kind, and its places in the tensors of a batch, by field."""

    name: str
    kind: str
    places: dict[str, list[int]]


def columns(fitted: Fitted, panel: Panel) -> list[Column]:
    """What the model sees: targets with their masks, past, future and static covariates, and the calendar as one."""
    layout, known = panel.layout, fitted.statistics.categories
    masks = len([name for name in panel.past_names if not name])
    named = len(panel.past_names) - masks
    found = [
        Column(name, "target", {"y": [i], "past": [named + i] if masks else []})
        for i, name in enumerate(targets(panel))
    ]
    for kind, names in (("past", panel.past_names), ("future", panel.future_names)):
        each = {name: [i for i, x in enumerate(names) if x == name] for name in names if name}
        found += [Column(name, kind, {kind: places}) for name, places in each.items()]
    numbers, codes = ([x for x in layout.static if (x in known) is text] for text in (False, True))
    found += [Column(name, "static", {"static": [i]}) for i, name in enumerate(numbers)]
    found += [Column(name, "static", {"codes": [i]}) for i, name in enumerate(codes)]
    days = [i for i, name in enumerate(panel.future_names) if not name]
    return found + ([Column(CALENDAR, CALENDAR, {"future": days})] if days else [])


def targets(panel: Panel) -> Sequence[str]:
    """The names of the channels; of series that are forecast each by itself it is one, whatever columns they were."""
    layout = panel.layout
    return layout.target if layout.joint or len(layout.target) == 1 else layout.channels


def explained(
    fitted: Fitted, windows: Windows, method: str, *, by_step: bool, level: float | None, repeats: int, seed: int
) -> pd.DataFrame:
    """The table of a method: importance, gradients or attention. Raises Refusal for another one."""
    if level is not None and method != "gradients":
        raise Refusal(f"level={level} is for method=gradients, not for {method}", "config")
    if method == "importance":
        return importance(fitted, windows, repeats=repeats, seed=seed, by_step=by_step)
    if method == "gradients":
        return gradients(fitted, windows, level=level, by_step=by_step)
    if method == "attention":
        return attention(fitted, windows)
    raise Refusal(f"method={method}{nearest(method, METHODS)} (expected one of {', '.join(METHODS)})", "config")


def importance(fitted: Fitted, windows: Windows, *, repeats: int, seed: int, by_step: bool = False) -> pd.DataFrame:
    """How much the error rises when a column comes from other windows: `column, kind, error, importance, spread`.

    `error` is that of the forecasts as they are: the mean absolute one in standard deviations of each series' train
    rows, of classes the share of wrong ones. `importance` is the mean rise over `repeats` shuffles of the windows,
    `spread` its standard deviation between them. A column comes whole, context and known future, values and masks; a
    target comes in the unit of the series that it is put into. What is forecast stays where it is. With `by_step` there
    is a row for each `step` of the horizon. Sources: L. Breiman, "Random forests", 2001; A. Fisher et al., "All models
    are wrong, but many are useful", 2019.
    """
    if not isinstance(repeats, int) or repeats < 2:
        raise Refusal(f"repeats={repeats}: expected a whole number of at least 2, to tell the spread", "config")
    if len(windows) < 2:
        raise Refusal("one window has no other to take a column from: give more rows, or a smaller stride", "too-short")
    windows = windows.seeing(fitted.model.shape.context).to(fitted.model.device)
    base, parts = errors(fitted, windows, by_step), []
    for number, column in enumerate(columns(fitted, windows.panel)):
        orders = [shuffled(len(windows), mix(seed, number, repeat)) for repeat in range(repeats)]
        rises = np.stack([errors(fitted, windows, by_step, column, order) - base for order in orders])
        values = {"error": base, "importance": rises.mean(0), "spread": rises.std(0, ddof=1)}
        parts.append(
            pd.DataFrame({"column": column.name, "kind": column.kind, "step": np.arange(len(base)) + 1, **values})
        )
    table = pd.concat(parts, ignore_index=True).dropna()  # of a step that no window covers there is no error
    return table if by_step else table.drop(columns="step")


def shuffled(count: int, seed: int) -> Int64[Tensor, " window"]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def errors(
    fitted: Fitted, windows: Windows, by_step: bool, column: Column | None = None, order: Tensor | None = None
) -> Float64[np.ndarray, " steps"]:
    """The mean error of each step of the horizon, or of all, where a `column` comes from the windows of an `order`."""
    model, deviation = fitted.model.eval(), torch.from_numpy(fitted.statistics.deviation)
    sums = torch.zeros(2, model.shape.horizon, dtype=torch.float64)  # of errors, and how many
    with torch.inference_mode():
        for numbers in torch.arange(len(windows)).split(AT_ONCE):
            batch = windows.batch(numbers.to(windows.starts.device))
            true, seen = classed(model, batch, batch.target), batch
            if column is not None and order is not None:
                seen = mixed(model, batch, windows.batch(order[numbers].to(windows.starts.device)), column)
            point, _ = fitted.answered(seen, ())
            distance = (point - true).abs().cpu() / deviation[batch.series.cpu()][:, None]
            distance = (distance > 0).double() if model.head.classes else distance
            counts = (batch.target_observed & windows.counts(batch.clock)[..., None]).cpu()
            sums += torch.stack((torch.where(counts, distance, 0.0).sum((0, 2)), counts.sum((0, 2))))
    total, count = (sums if by_step else sums.sum(1, keepdim=True)).numpy()
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def mixed(model: Model, batch: Batch, other: Batch, column: Column) -> Batch:
    """A batch in which one column is that of the `other`; neither's targets of the horizon are looked at."""
    other = other._replace(y=model.scaling.invert(model.scaling.apply(other.y, other.series), batch.series))
    taken = {}
    for field, places in column.places.items():
        for name in {field, f"{field}_observed"} & set(batch._fields):
            taken[name] = getattr(batch, name).clone()
            taken[name][..., places] = getattr(other, name)[..., places]
    return batch._replace(**taken)


def gradients(fitted: Fitted, windows: Windows, *, level: float | None = None, by_step: bool = False) -> pd.DataFrame:
    """Gradient x input of the point forecast, or a quantile: `unique_id, column, kind, position, attribution, size`.

    `attribution`, in data units, is the mean over the windows of a series of the forecast's derivative by an input
    times that input, as the network sees it (scaled and normalised, so that 0 is its usual value): what the input adds
    to the forecast, to first order; for a linear network exactly. `size` is the mean of its absolute value. `position`
    is -1 for the last step seen, -2 for the one before; known covariates have positions from 0 on too. The
    forecast is the mean over the horizon, or with `by_step` each `step` of it. What a normalizer takes out of a window
    and gives back is not the network's, and not attributed. Source: A. Shrikumar et al., "Not just a black box:
    learning important features through propagating activation differences", 2016.
    """
    model = fitted.model.eval()
    if model.head.classes or (type(model).forecast is not Model.forecast and model.head.span is not None):
        what = "classes" if model.head.classes else "paths that are drawn"
        raise Refusal(f"a forecast of {what} has no gradient: use method=importance", "explain")
    windows = windows.seeing(model.shape.context).to(model.device)
    found = [column for column in columns(fitted, windows.panel) if column.kind != "static"]
    channels, series, steps = model.shape.channels, windows.series.cpu().numpy(), model.shape.horizon if by_step else 1
    labels, length = windows.panel.labels, windows.window.length
    sums, number = np.zeros((2, len(labels), steps, length, len(found))), np.zeros((len(labels), steps))
    for numbers in torch.arange(len(windows)).split(AT_ONCE):
        batch = windows.batch(numbers.to(windows.starts.device))
        counts = windows.counts(batch.clock).double()
        weights = torch.diag_embed(counts) if by_step else (counts / counts.sum(1, keepdim=True))[:, None]
        for (channel, step), parts in attributed(model, batch, level, weights):
            parts = np.stack([gathered(column, parts, length) for column in found], -1)
            rows = series[numbers] * channels + channel
            for total, values in zip(sums, (parts, np.abs(parts)), strict=True):
                np.add.at(total[:, step], rows, values)
            np.add.at(number[:, step], rows, weights[:, step].sum(1).cpu().numpy() > 0)
    position = np.arange(length) - windows.window.context
    known = (position[:, None] < 0) | np.array([column.kind in ("future", CALENDAR) for column in found])
    label, step, place, column = np.nonzero((number > 0)[..., None, None] & known)
    mean = sums[:, label, step, place, column] / number[label, step]
    table = pd.DataFrame(
        {
            "unique_id": np.array(labels, dtype=object)[label],
            "column": np.array([x.name for x in found], dtype=object)[column],
            "kind": np.array([x.kind for x in found], dtype=object)[column],
            "step": step + 1,
            "position": position[place],
            "attribution": mean[0],
            "size": mean[1],
        }
    )
    return table if by_step else table.drop(columns="step")


def attributed(
    model: Model, batch: Batch, level: float | None, weights: Float64[Tensor, "b steps horizon"]
) -> Iterator[tuple[tuple[int, int], dict[str, np.ndarray]]]:
    """Channel and step, and by field the gradient x input of that forecast, a weighted sum over the horizon."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=False),
    ):  # of a net in eval
        z, loc, scale = model.normalized(batch)
        inputs = {"y": z, "past": batch.past, "future": batch.future}
        inputs = {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}
        seen = batch._replace(past=inputs["past"], future=inputs["future"])
        params = model.network(model.seen(inputs["y"]), seen).float()
        value = model.head.point(params) if level is None else model.head.quantiles(params, (level,))[..., 0]
        scaled = (value + model.skip(inputs["y"])) * scale + loc
        forecast = model.scaling.invert(scaled, batch.series)
        for channel, step in np.ndindex(model.shape.channels, weights.shape[1]):
            goal = (forecast[..., channel] * weights[:, step]).sum()
            found = torch.autograd.grad(goal, [*inputs.values()], retain_graph=True, allow_unused=True)
            pairs = zip(inputs.items(), found, strict=True)
            yield (
                (channel, step),
                {
                    name: (x * (torch.zeros_like(x) if slope is None else slope)).detach().double().cpu().numpy()
                    for (name, x), slope in pairs
                },
            )


def gathered(column: Column, parts: Mapping[str, np.ndarray], length: int) -> Float64[np.ndarray, "b length"]:
    """The sum over a column's places; 0 after the context for what is known up to there only."""
    each = [parts[field][..., places].sum(-1) for field, places in column.places.items() if places]
    return np.sum([np.pad(x, ((0, 0), (0, length - x.shape[1]))) for x in each], 0)


def attention(fitted: Fitted, windows: Windows) -> pd.DataFrame:
    """Where the model looks, mean over windows: `step` of the horizon, `position` in the context, `weight`.

    Position -1 is the last step seen. Raises Refusal for a model without attention.
    """
    weights = recipe.attention(fitted.model, windows)
    if weights is None:
        raise Refusal(
            f"{fitted.name} has no attention: train model=seq2seq, or model=direct with model.pooling=attention",
            "explain",
        )
    step, place = (x.ravel() for x in np.indices(weights.shape))
    return pd.DataFrame({"step": step + 1, "position": place - weights.shape[1], "weight": weights.ravel()})
