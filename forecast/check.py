"""What every model promises, whatever parts it is made of, as functions: tests call them, and so does `forecast check`.

A contract takes `make(shape, scaling)`, which builds a model, and the facts of small data; it raises AssertionError
where a promise is broken. What `make` refuses is no fault: a combination works, or it is refused with the reason.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from forecast.contract import Batch, Scaling, Shape
from forecast.error import Refusal

Make = Callable[[Shape, Scaling], Any]
KINDS: dict[str, dict[str, Any]] = {
    "no covariates": {},
    "past covariates": {"past": 2},
    "future covariates": {"future": 3},
    "static covariates": {"static": 2},
    "static categories": {"cardinalities": (3, 4)},
    "a gap": {"gap": 2},
    "all of them": {"past": 1, "future": 2, "static": 1, "cardinalities": (3,), "gap": 1},
}
EVERY = [(channels, kind) for channels in (1, 3) for kind in KINDS]
Kinds = Sequence[tuple[int, str]]
CLOSE = 1e-6  # standard deviations that the rest of a batch may move a forecast by


def facts(context: int, horizon: int, season: int, width: int) -> Shape:
    """One series and channel without covariates."""
    return Shape(context, horizon, gap=0, channels=1, past=0, future=0, static=0, cardinalities=(), season=season,
                 series=3, width=width)  # fmt: skip


def scales(shape: Shape, support: str) -> Scaling:
    """A scaling such as data get it that are around 100, another for each series; none where the law allows none."""
    numbers = torch.arange(shape.series * shape.channels, dtype=torch.float64).view(shape.series, shape.channels)
    if support == "real":
        return Scaling("standard", 100 + 3 * numbers, 10 + numbers)
    return Scaling("none", torch.zeros_like(numbers), torch.ones_like(numbers))


def windows(shape: Shape, support: str = "real", b: int = 4, seed: int = 1) -> Batch:
    """A batch of random windows around level 100 (whole numbers around 5 for counts), some steps unobserved."""
    generator = torch.Generator().manual_seed(seed)
    length = shape.context + shape.gap + shape.horizon

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator)

    def seen(*sizes: int) -> Tensor:
        return torch.rand(*sizes, generator=generator) < 0.7

    def values(steps: int) -> Tensor:
        found = normal(b, steps, shape.channels).double()
        return {"real": 100 + 10 * found, "positive": found.exp(), "count": (5 + 2 * found).round().clamp(min=0)}[
            support
        ]

    codes = [torch.randint(known, (b,), generator=generator) for known in shape.cardinalities]
    found = Batch(
        y=values(shape.context),
        y_observed=seen(b, shape.context, shape.channels),
        past=normal(b, shape.context, shape.past),
        past_observed=seen(b, shape.context, shape.past),
        future=normal(b, length, shape.future),
        future_observed=seen(b, length, shape.future),
        target=values(shape.horizon),
        target_observed=seen(b, shape.horizon, shape.channels),
        clock=torch.arange(length).expand(b, -1) + torch.arange(b)[:, None],
        static=normal(b, shape.static),
        codes=torch.stack(codes, 1) if codes else torch.empty(b, 0, dtype=torch.int64),
        series=torch.randint(shape.series, (b,), generator=generator),
        cutoff=torch.arange(b) + shape.context,
        weight=torch.ones(b),
    )
    found.check()
    return found


def rows(batch: Batch, which: Tensor | slice) -> Batch:
    return Batch(*(x[which] for x in batch))


def models(make: Make, shape: Shape, support: str, kinds: Kinds) -> Iterator[tuple[str, Any, Batch]]:
    """Models for so many channels with that kind of covariate, and windows for them; without those that are refused.

    Raises the last Refusal if all are refused.
    """
    refusal, count = None, 0
    for channels, kind in kinds:
        changed = replace(shape, channels=channels, **KINDS[kind])
        torch.manual_seed(1)
        try:
            model = make(changed, scales(changed, support)).eval()
        except Refusal as error:
            refusal = error
            continue
        count += 1
        yield f"{channels} channels, {kind}", model, windows(changed, support)
    if not count and refusal is not None:
        raise refusal


def forecast(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return model.forecast(batch, model.head.levels)


def numbers(model: Any, batch: Batch) -> tuple[Tensor, ...]:
    """The head's numbers and the way back: a point may be a whole number, and so hide a small change."""
    with torch.no_grad():
        return tuple(model(batch))


def trained(model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one training step, and the gradient of each parameter; dropout and the like fall as each time."""
    torch.manual_seed(1)
    model.train().zero_grad()
    loss = model.weighed(model.objective(batch), batch).mean()  # as a training step's, which ends if it is not finite
    loss.backward()
    named = model.named_parameters()
    found = {name: torch.zeros_like(x) if x.grad is None else x.grad.clone() for name, x in named}
    model.eval()
    return loss.detach(), found


def shapes(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """A forecast has a point and ordered quantiles for every step and channel, whatever covariates there are."""
    for kind, model, batch in models(make, shape, support, kinds):
        point, quantiles = forecast(model, batch)
        channels, levels = batch.y.shape[2], model.head.levels
        assert point.shape == (4, shape.horizon, channels), f"{kind}: the point has shape {tuple(point.shape)}"
        assert quantiles.shape == (*point.shape, len(levels)), f"{kind}: quantiles have shape {tuple(quantiles.shape)}"
        assert point.dtype == quantiles.dtype == torch.float64, f"{kind}: forecasts are not float64"
        assert point.isfinite().all() and quantiles.isfinite().all(), f"{kind}: a forecast is not finite"
        assert (quantiles.diff(dim=-1) >= 0).all(), f"{kind}: quantiles cross"


def gradients(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """Every parameter learns: one training step gives it a gradient."""
    for kind, model, batch in models(make, shape, support, kinds):
        loss, found = trained(model, batch)
        assert loss.isfinite(), f"{kind}: the loss is {loss}"
        still = [name for name, x in found.items() if not x.any()]
        assert not still, f"{kind}: no gradient reaches {', '.join(still)}"


def independence(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """A window's forecast does not depend on the other windows of its batch, or on their order."""
    for kind, model, batch in models(make, shape, support, kinds):
        scale = model.scale[batch.series][:, None]
        whole, order = forecast(model, batch), torch.tensor([2, 0, 3, 1])
        for parts, which in ((rows(batch, order), order), (rows(batch, slice(1, 2)), torch.tensor([1]))):
            for mine, all_ in zip(forecast(model, parts), whole, strict=True):
                unit = scale[which] if mine.ndim == 3 else scale[which][..., None]
                off = ((mine - all_[which]).abs() / (unit + all_[which].abs())).amax() if mine.numel() else 0
                assert off <= CLOSE, f"{kind}: other windows move a forecast by {off:.1e} standard deviations"


def look_ahead(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """A forecast sees nothing of its target: another future leaves it the same to the last bit."""
    for kind, model, batch in models(make, shape, support, kinds):
        other = batch._replace(target=batch.target.flip(0) * 3, target_observed=~batch.target_observed)
        for before, after in zip(forecast(model, batch), forecast(model, other), strict=True):
            assert torch.equal(before, after), f"{kind}: the forecast follows the values that it is to forecast"


def newest(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """The newest observation matters, and so does each covariate of the data."""
    for kind, model, batch in models(make, shape, support, kinds):
        changes = {"y": batch.y.index_fill(1, torch.tensor(shape.context - 1), 0) + batch.y.flip(0) / 100}
        changes["y"][:, :-1] = batch.y[:, :-1]
        changes |= {name: getattr(batch, name) + 1 for name in ("past", "future", "static")}
        changes["codes"] = (batch.codes + 1) % 3
        for name, changed in changes.items():
            seen = batch._replace(y_observed=torch.ones_like(batch.y_observed))
            pairs = zip(numbers(model, seen), numbers(model, seen._replace(**{name: changed})), strict=True)
            same = all(torch.equal(first, after) for first, after in pairs)
            assert not changed.numel() or not same, f"{kind}: {name} has no influence"


def constants(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """Windows that never move have finite forecasts, losses and gradients."""
    levels = {"real": (0.0, 100.0, 1000.0), "positive": (1e-3, 1.0, 1e3), "count": (0.0, 7.0)}[support]
    for kind, model, batch in models(make, shape, support, kinds):
        for level in levels:
            flat = batch._replace(y=torch.full_like(batch.y, level), target=torch.full_like(batch.target, level))
            assert all(x.isfinite().all() for x in forecast(model, flat)), f"{kind}: not finite on a series of {level}"
            loss, found = trained(model, flat)
            assert loss.isfinite(), f"{kind}: the loss of a series of {level} is {loss}"
            assert all(x.isfinite().all() for x in found.values()), f"{kind}: a gradient is not finite on {level}"


def saving(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """Another model with the same weights forecasts the same to the last bit."""
    for kind, model, batch in models(make, shape, support, kinds):
        torch.manual_seed(2)
        other = make(model.shape, model.scaling).eval()
        other.load_state_dict(copy.deepcopy(model.state_dict()))
        for mine, theirs in zip(forecast(model, batch), forecast(other, batch), strict=True):
            assert torch.equal(mine, theirs), f"{kind}: the weights are not all that a forecast depends on"


def mixed_precision(make: Make, shape: Shape, support: str, kinds: Kinds = EVERY) -> None:
    """A step in bfloat16 has a finite loss near that in float32."""
    for kind, model, batch in models(make, shape, support, kinds):
        plain, _ = trained(model, batch)
        try:
            with torch.autocast("cpu", torch.bfloat16):
                loss, _ = trained(model, batch)
        except RuntimeError as error:
            if "primitive descriptor" in str(error):  # torch's own kernels on a processor without bfloat16
                return
            raise
        assert loss.isfinite(), f"{kind}: the loss is {loss} in mixed precision"
        assert abs(loss - plain) <= 0.1 * (1 + abs(plain)), (
            f"{kind}: the loss is {loss} in mixed precision, not {plain}"
        )


def learning(make: Make, shape: Shape, support: str, kinds: Kinds = ()) -> None:
    """It learns a wave by heart: the forecast is nearer to it than a quarter of its spread."""
    steps, phases = torch.arange(shape.context + shape.gap + shape.horizon), torch.arange(32)[:, None] / 32
    wave = torch.sin(2 * torch.pi * (steps / shape.season + phases.double()))[..., None]
    wave = {"real": 100 + 10 * wave, "positive": (wave / 2).exp(), "count": (20 + 10 * wave).round()}[support]
    batch = windows(shape, support, b=32)
    batch = batch._replace(
        y=wave[:, : shape.context],
        y_observed=torch.ones_like(batch.y_observed),
        target=wave[:, -shape.horizon :],
        target_observed=torch.ones_like(batch.target_observed),
        series=0 * batch.series,
    )
    errors = []
    for count in (300, 1200):
        torch.manual_seed(1)
        model = fitted(make(shape, scales(shape, support)), batch, count)
        errors.append((forecast(model, batch)[0] - batch.target).abs().mean() / batch.target.std())
        if errors[-1] < 0.25:
            return
    raise AssertionError(f"after {count} steps the forecast is {errors[-1]:.2f} standard deviations off")


def fitted(model: Any, batch: Batch, count: int) -> Any:
    """A model after so many steps on one batch."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, count)
    model.train().on_train_epoch_start()
    for number in range(count):
        optimizer.zero_grad()
        model.training_step(batch, number).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def stepping(make_backbone: Callable[[int], Any]) -> None:
    """A loop of `step` equals `forward`, and states have the windows on their first axis."""
    torch.manual_seed(1)
    net = make_backbone(3).eval()
    state, x = net.initial(4), torch.randn(4, 7, 3)
    assert all(len(each) == 4 for each in state), "the first axis of a state is not that of the windows"
    with torch.no_grad():
        whole, after = net(x, state)
        assert whole.shape == (4, 7, net.size), f"the output has shape {tuple(whole.shape)}, `size` is {net.size}"
        if net.directions > 1:
            return
        outs = []
        for now in x.unbind(1):
            out, state = net.step(now, state)
            outs.append(out)
    torch.testing.assert_close(torch.stack(outs, 1), whole, rtol=0, atol=1e-5)
    for mine, theirs in zip(state, after, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


CONTRACTS = (
    shapes, gradients, independence, look_ahead, newest, constants, saving, mixed_precision, learning,
)  # fmt: skip
