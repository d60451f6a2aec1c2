"""The steps that all models share: units, losses over ranks, scores, order of normalizers; and Direct's decoding."""

from functools import cache
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor, nn

from forecast import build
from forecast.config import CONF, composed
from forecast.contract import Batch, Scaling, Shape
from forecast.data.order import Order
from forecast.error import Diverged, Refusal
from forecast.model.base import Model
from forecast.model.direct import Last

GROUPS = ("model", "backbone", "head", "normalizer", "optimizer", "scheduler")
NAMES = {group: [path.stem for path in sorted(Path(CONF, group).glob("*.yaml"))] for group in GROUPS}
YAMLS = {
    group: {x: composed("train", [f"{group}={x if group != 'normalizer' else [x]}"])[group] for x in names}
    for group, names in NAMES.items()
}
LOSS = composed("train")["loss"]
CONTEXT, GAP, HORIZON, SLOTS = 8, 2, 5, 3
KINDS = {
    "nothing": {},
    "past": {"past": 2},
    "future": {"future": 3},
    "static": {"static": 2},
    "codes": {"cardinalities": (3, 4)},
    "all": {"past": 1, "future": 2, "static": 1, "cardinalities": (3,)},
}
FACTS = {"channels": 1, "past": 0, "future": 0, "static": 0, "cardinalities": (), "gap": GAP}

REAL = [name for name, found in YAMLS["head"].items() if name not in ("direction", "lognormal", "negative_binomial")]


@pytest.fixture(autouse=True, scope="module")
def quick():
    """One thread (two wait for each other on nets this small), and the installed packages looked through once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(build.entry_points))
        yield
    torch.set_num_threads(threads)


def small(group: str, name: str) -> dict:
    """The yaml of a part; networks as small as they get."""
    sizes = {"hidden_size": 8, "hidden": 8, "embedding": 2, "length": 1, "paths": 4}
    found = YAMLS[group][name]
    return found | {key: value for key, value in sizes.items() if key in found}


def made(
    facts: dict,
    *,
    model: str = "direct",
    backbone: str = "lstm",
    head: str = "quantile",
    normalizer: tuple[str, ...] = ("none",),
    scaling: Scaling | None = None,
    settings: dict[str, dict] | None = None,
) -> Model:
    """A model as `build` makes it, in evaluation; `settings` are changes to the yamls, by group."""
    chosen = {"model": model, "backbone": backbone, "head": head, "optimizer": "adam", "scheduler": "none"}
    config = {group: small(group, name) | (settings or {}).get(group, {}) for group, name in chosen.items()}
    config |= {"normalizer": {name: YAMLS["normalizer"][name][name] for name in normalizer}, "seed": 1}
    config |= {"loss": LOSS, "trainer": {"precision": "32-true"}}
    shape = Shape(context=CONTEXT, horizon=HORIZON, season=4, series=SLOTS, width=build.width(config), **FACTS | facts)
    torch.manual_seed(1)
    return build.model(config, shape, scaling or scales(shape.channels)).eval()


def scales(channels: int, level: float = 100.0, spread: float = 7.0) -> Scaling:
    loc = level + spread * torch.arange(SLOTS * channels, dtype=torch.float64).view(SLOTS, channels)
    return Scaling("standard", loc, spread * (1 + torch.arange(SLOTS * channels).double().view(SLOTS, channels)))


def windows(facts: dict, b: int = 4, seed: int = 1) -> Batch:
    """A batch of random windows around level 100, some steps unobserved."""
    generator = torch.Generator().manual_seed(seed)
    facts = FACTS | facts
    length = CONTEXT + facts["gap"] + HORIZON

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def seen(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) < 0.7

    codes = [torch.randint(k, (b,), generator=generator) for k in facts["cardinalities"]]
    found = Batch(
        y=100 + 10 * normal(b, CONTEXT, facts["channels"]).double(),
        y_observed=seen(b, CONTEXT, facts["channels"]),
        past=normal(b, CONTEXT, facts["past"]),
        past_observed=seen(b, CONTEXT, facts["past"]),
        future=normal(b, length, facts["future"]),
        future_observed=seen(b, length, facts["future"]),
        target=100 + 10 * normal(b, HORIZON, facts["channels"]).double(),
        target_observed=seen(b, HORIZON, facts["channels"]),
        clock=torch.arange(length).expand(b, -1),
        static=normal(b, facts["static"]),
        codes=torch.stack(codes, 1) if codes else torch.empty(b, 0, dtype=torch.int64),
        series=torch.randint(SLOTS, (b,), generator=generator),
        cutoff=torch.arange(b) + CONTEXT,
        weight=torch.ones(b),
    )
    found.check()
    return found


def rows(batch: Batch, which: Tensor | slice) -> Batch:
    return Batch(*(x[which] for x in batch))


def trained(model: Model, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The loss of one training step, and its gradient."""
    model.zero_grad()
    model.on_train_epoch_start()
    loss = model.training_step(batch, 0)
    loss.backward()
    return loss.detach(), [torch.zeros_like(x) if x.grad is None else x.grad.clone() for x in model.parameters()]


@pytest.mark.parametrize("model", YAMLS["model"])
@pytest.mark.parametrize("backbone", ["lstm", "slstm", "mingru"])
@pytest.mark.parametrize("head", REAL)
@pytest.mark.parametrize("normalizer", YAMLS["normalizer"])
def test_a_forecast_follows_the_unit_of_the_data(model, backbone, head, normalizer):
    """With the scaling learnt in another unit, and at level 1e9, the same network forecasts the same in that unit."""
    facts, factor, shift = {"channels": 2}, 1000.0, 1e9
    plain = scales(2)
    other = Scaling(plain.kind, factor * plain.loc + shift, factor * plain.scale)
    parts = {"model": model, "backbone": backbone, "head": head, "normalizer": (normalizer,)}
    if normalizer == "season" and model in ("autoregressive", "seq2seq"):
        return
    batch = windows(facts)
    point, _ = made(facts, **parts, scaling=plain).forecast(batch, ())
    moved, _ = made(facts, **parts, scaling=other).forecast(batch._replace(y=factor * batch.y + shift), ())
    torch.testing.assert_close(moved, factor * point + shift, rtol=0, atol=1e-4 * factor)


def in_network_units(net: Model, batch: Batch) -> Tensor:
    """The head's loss of each step [b horizon c] for targets mapped by hand, float64 up to the head."""
    params, loc, scale = net(batch)
    z = torch.empty_like(batch.target)
    for i, slot in enumerate(batch.series.tolist()):
        z[i] = ((batch.target[i] - net.loc[slot]) / net.scale[slot] - loc[i]) / scale[i]
    return net.head.loss(params, z.float())


def step_by_ranks(net: Model, whole: Batch, batch: int, world: int) -> list[tuple[Tensor, list[Tensor]]]:
    """Loss and gradient of each global batch as `world` processes make them: means over ranks."""
    ranks = [list(Order(len(whole.weight), batch, rank=rank, world=world)) for rank in range(world)]
    results = []
    for parts in zip(*ranks, strict=True):
        steps = [trained(net, rows(whole, mine)._replace(weight=weight)) for mine, weight in parts]
        gradients = zip(*(gradient for _, gradient in steps), strict=True)
        results.append((torch.stack([loss for loss, _ in steps]).mean(), [torch.stack(x).mean(0) for x in gradients]))
    return results


@pytest.mark.parametrize("head", REAL)
@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [12, 17, 13])
def test_the_loss_is_the_formula_however_a_batch_is_cut_over_ranks(head, world, count):
    """sum(mask x loss) / (windows of the global batch x horizon x channels), and so is its gradient."""
    facts = {"channels": 2, "future": 1}
    net, whole = made(facts, head=head, normalizer=("standard",)), windows(facts, b=count)
    steps = step_by_ranks(net, whole, 12, world)
    assert len(steps) == -(-count // 12)
    for (loss, gradient), numbers in zip(steps, torch.arange(count).split(12), strict=True):
        batch = rows(whole, numbers)
        expected = (in_network_units(net, batch) * batch.target_observed).sum() / (len(numbers) * HORIZON * 2)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
        for mine, theirs in zip(gradient, torch.autograd.grad(expected, list(net.parameters())), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_the_check_of_the_formula_catches_a_mean_over_what_was_observed():
    net, batch = made({}), windows({})
    wrong = in_network_units(net, batch)[batch.target_observed].mean()
    assert not torch.isclose(trained(net, batch)[0], wrong, rtol=0.05)


@pytest.mark.parametrize("head", REAL)
@pytest.mark.parametrize("junk", [0.0, 1e9, -1e-9])
def test_unobserved_targets_do_not_influence_loss_or_gradient(head, junk):
    facts = {"channels": 2}
    net, batch = made(facts, head=head), windows(facts)
    assert not batch.target_observed.all()
    other = batch._replace(target=torch.where(batch.target_observed, batch.target, junk))
    (loss, gradient), (changed, after) = trained(net, batch), trained(net, other)
    assert torch.equal(loss, changed) and all(torch.equal(a, b) for a, b in zip(gradient, after, strict=True))


@pytest.mark.parametrize("head", REAL)
def test_a_window_of_weight_0_does_not_influence_loss_gradient_or_scores(head):
    net, batch = made({}, head=head), windows({})
    weight = torch.tensor([1.0, 2.0, 1.0, 0.0])
    filled = batch._replace(weight=weight)
    other = rows(windows({}, seed=5), slice(3, 4))
    changed = Batch(*(torch.cat((x[:3], y)) for x, y in zip(batch, other, strict=True)))._replace(weight=weight)
    (loss, gradient), (again, after) = trained(net, filled), trained(net, changed)
    assert torch.equal(loss, again) and all(torch.equal(a, b) for a, b in zip(gradient, after, strict=True))
    assert net.validated([filled]) == net.validated([changed])
    assert net.validated([filled]) == pytest.approx(net.validated([rows(batch, slice(0, 3))]), rel=1e-6)


def test_the_loss_of_a_step_is_0_where_unobserved():
    net, batch = made({}), windows({})
    loss = net.loss(net(batch), net.scaling.apply(batch.target, batch.series), batch)
    assert torch.equal(loss > 0, batch.target_observed)


@pytest.mark.parametrize("head", REAL)
def test_validation_scores_are_means_over_observed_steps_however_batches_are_cut(head):
    facts = {"channels": 2}
    net, whole = made(facts, head=head, normalizer=("standard",)), windows(facts, b=9)
    seen = whole.target_observed
    with torch.no_grad():
        point, _ = net.forecast(whole, ())
        loss = in_network_units(net, whole)[seen].double().mean()
    error = ((point - whole.target) / net.scale[whole.series][:, None])[seen]
    expected = {"val/loss": loss, "val/mae": error.abs().mean(), "val/mse": error.square().mean()}
    for size in (9, 4, 1):
        parts = [rows(whole, numbers) for numbers in torch.arange(9).split(size)]
        assert net.validated(parts) == pytest.approx({key: float(x) for key, x in expected.items()}, rel=1e-6)


@pytest.mark.parametrize("order", [("standard", "last"), ("last", "standard"), ("standard", "none", "standard")])
def test_normalizers_compose_in_the_order_given(order):
    facts = {"channels": 2}
    net, batch = made(facts, normalizer=order), windows(facts)
    slot = batch.series
    z = (batch.y - net.loc[slot][:, None]) / net.scale[slot][:, None]
    steps = []
    for name in order:
        part = build.part("normalizer", {"name": name, **YAMLS["normalizer"][name][name]}, net.shape)
        z, loc, scale = part(z, batch.y_observed, batch.clock)
        steps.append((loc, scale))
    params = net.network(z.float(), batch)
    quantiles, point = net.head.quantiles(params, net.head.levels).double(), net.head.point(params).double()
    for loc, scale in reversed(steps):
        quantiles, point = quantiles * scale[..., None] + loc[..., None], point * scale + loc
    quantiles = quantiles * net.scale[slot][:, None, :, None] + net.loc[slot][:, None, :, None]
    point = point * net.scale[slot][:, None] + net.loc[slot][:, None]
    found = net.forecast(batch, net.head.levels)
    torch.testing.assert_close(found[0], point, rtol=1e-12, atol=0)
    torch.testing.assert_close(found[1], quantiles, rtol=1e-12, atol=0)


def test_the_order_of_normalizers_matters():
    batch = windows({})
    orders = ("standard", "last"), ("last", "standard")
    first, second = (made({}, normalizer=order).forecast(batch, ())[0] for order in orders)
    assert not torch.isclose(first, second, rtol=1e-4).all()


BOTH = [name for name, found in YAMLS["backbone"].items() if "bidirectional" in found]


@pytest.mark.parametrize("backbone", BOTH)
@pytest.mark.parametrize("layers", [1, 2])
def test_two_directions_give_the_last_state_of_each(backbone, layers):
    """The forward half of the last step, and the backward half of the first, where that direction ends."""
    settings = {"bidirectional": True, "layers": layers, "dilations": None}
    net = made({}, backbone=backbone, settings={"backbone": settings})
    out, state = net.backbone(torch.randn(4, CONTEXT, 1), net.backbone.initial(4))
    each = len(state) // layers // 2
    assert torch.equal(Last(net.backbone)(out), torch.cat((state[-2 * each], state[-each]), -1))
    one = made({}, backbone=backbone, settings={"backbone": {"layers": 1, "dilations": None}})
    out, state = one.backbone(torch.randn(4, CONTEXT, 1), one.backbone.initial(4))
    assert torch.equal(Last(one.backbone)(out), state[0])


@pytest.mark.parametrize("backbone", BOTH)
def test_a_backward_direction_forecasts_and_reads_all_steps(backbone):
    """Each direction alone sees every step of the context: with the other's half silenced, each step still matters."""
    net = made({}, backbone=backbone, settings={"backbone": {"bidirectional": True}})
    z, first = torch.randn(1, CONTEXT, 1), net.decode[1]
    half = net.backbone.size // 2
    for silenced in (slice(0, half), slice(half, None)):
        kept = first.weight.detach().clone()
        with torch.no_grad():
            first.weight[:, silenced] = 0
        seen = z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net.network(seen, windows({}, b=1)).sum(), seen)
        assert gradient.abs().min() > 0
        with torch.no_grad():
            first.weight.copy_(kept)


SMALLEST = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.mark.parametrize("backbone", SMALLEST)
def test_the_smallest_network_is_torchs_own_and_a_linear_layer(backbone):
    """Features 10, hidden 20, one layer, output 5, batch 3, length 8: parameters, shape and numbers."""
    facts = {"past": 9, "gap": 0}
    net = made(
        facts,
        backbone=backbone,
        head="point",
        settings={"backbone": {"hidden_size": 20, "layers": 1}, "model": {"hidden": 0}},
        scaling=Scaling("none", torch.zeros(SLOTS, 1).double(), torch.ones(SLOTS, 1).double()),
    )
    cell, linear = SMALLEST[backbone](10, 20, 1, batch_first=True), nn.Linear(20, 5)
    theirs = [*cell.parameters(), *linear.parameters()]
    assert [x.shape for x in net.parameters()] == [x.shape for x in theirs]
    assert sum(x.numel() for x in net.parameters()) == sum(x.numel() for x in theirs)
    with torch.no_grad():
        for mine, other in zip(theirs, net.parameters(), strict=True):
            mine.copy_(other)
    batch = windows(facts, b=3)
    x = torch.cat((batch.y.float(), batch.past), -1)
    assert x.shape == (3, 8, 10)
    expected = linear(cell(x)[0][:, -1])
    assert expected.shape == (3, 5)
    point, _ = net.forecast(batch, ())
    assert point.shape == (3, 5, 1)
    torch.testing.assert_close(point[..., 0].float(), expected)


WAYS = {name: (name, {}) for name in YAMLS["model"]}
WAYS |= {"linear, a trend": ("linear", {"kernel": 3}), "linear, a map each": ("linear", {"individual": True})}
WAYS |= {
    "segment by segment": ("segment", {"decoding": "recurrent"}),
    "attention": ("seq2seq", {"attention": "additive"}),
}


@pytest.mark.parametrize("model", WAYS)
def test_an_untrained_network_gives_what_its_head_begins_with(model, monkeypatch):
    """But for the noise of its weights, which is the same where a head begins with zeros."""
    name, changes = WAYS[model]
    facts, batch = KINDS["future"] | {"channels": 2}, windows(KINDS["future"] | {"channels": 2})
    begun = made(facts, model=name, settings={"model": changes})
    given = torch.tensor(begun.head.begin)
    monkeypatch.setattr(type(begun.head), "begin", (0.0,) * len(given))
    plain = made(facts, model=name, settings={"model": changes})
    found = [each.network(each.normalized(batch).z, batch) for each in (begun, plain)]
    torch.testing.assert_close(found[0] - found[1], given.expand_as(found[0]), rtol=0, atol=1e-5)


def test_known_covariates_are_those_of_the_horizon_not_of_the_gap():
    facts = {"future": 2}
    net, batch = made(facts), windows(facts)
    before, _ = net.forecast(batch, ())
    for step in range(CONTEXT + GAP + HORIZON):
        future = batch.future.clone()
        future[:, step] += 1
        after, _ = net.forecast(batch._replace(future=future), ())
        assert torch.equal(before, after) == (CONTEXT <= step < CONTEXT + GAP), step


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error(loss):
    net = made({})
    net.trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    net.on_train_epoch_start()
    net.train_sums[0], net.train_batches, net.train_until = loss, 1, net.train_from + 1
    with pytest.raises(Diverged, match=r"optimizer\.lr"):
        net.on_train_epoch_end()


def test_validation_without_any_observed_target_is_refused():
    batch = windows({})
    with pytest.raises(Refusal, match=r"data\.split"):
        made({}).validated([batch._replace(target_observed=torch.zeros_like(batch.target_observed))])


def test_each_steps_seed_is_a_function_of_epoch_and_batch():
    net, batch = made({}), windows({})

    def drawn(number: int) -> Tensor:
        torch.rand(number + 3)  # what was drawn before does not matter
        net.on_train_batch_start(batch, number)
        return torch.rand(5)

    with torch.random.fork_rng():
        assert torch.equal(drawn(0), drawn(0)) and not torch.equal(drawn(0), drawn(1))
