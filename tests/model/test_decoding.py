"""What each way of decoding does, beside its equations by hand; sizes of published models; what is refused, and why."""

import itertools
from typing import Any

import pytest
import torch
from conftest import DIRECT
from torch import Tensor, nn

from forecast import build, check
from forecast.config import composed
from forecast.contract import Scaling, Shape
from forecast.error import Refusal

PLAIN = {"gap": 0, "channels": 1, "past": 0, "future": 0, "static": 0, "cardinalities": (), "season": 4, "series": 3}


def made(*overrides: str, context: int = 24, horizon: int = 8, **facts: Any) -> Any:
    """A model from the yamls, in evaluation, for standardised data."""
    config = composed("train", ["scheduler=none", *DIRECT, *overrides])
    shape = Shape(**PLAIN | {"context": context, "horizon": horizon, "width": build.width(config)} | facts)
    slots = torch.zeros(shape.series, shape.channels, dtype=torch.float64)
    torch.manual_seed(1)
    return build.model(config, shape, Scaling("standard", slots, slots + 1)).eval()


def batch_of(model: Any, b: int = 4) -> Any:
    return check.windows(model.shape, b=b)


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_cyclenet_has_as_many_parameters_as_published():
    """CycleNet/Linear on Electricity (321 channels, cycle 168, 96 -> 720): 123.7 K (S. Lin et al., 2024)."""
    parts = ["model=linear", "head=point", "normalizer=[standard,cycle]"]
    assert (
        count(made(*parts, context=96, horizon=720, channels=321, season=168)) == 168 * 321 + 96 * 720 + 720 == 123_768
    )


@pytest.mark.parametrize(
    ("context", "horizon", "length", "d"), [(720, 96, 24, 512), (720, 96, 48, 512), (96, 96, 24, 128)]
)
def test_segrnn_has_as_many_parameters_as_its_equations(context, horizon, length, d):
    """Token, GRU, places of half the size, channels of the other half, and output (S. Lin et al., 2023, section 4)."""
    parts = ["model=segment", "backbone=gru", "head=point", f"model.length={length}", f"model.hidden={d}"]
    found = made(*parts, f"backbone.hidden_size={d}", context=context, horizon=horizon, channels=7)
    token, gru, out = length * d + d, 6 * d * d + 6 * d, d * length + length
    assert count(found) == token + gru + out + horizon // length * d // 2 + 7 * d // 2


@pytest.mark.parametrize("covariates", [None, 5])
def test_segments_are_decoded_as_the_equations_say(covariates):
    parts = ["model=segment", "backbone=gru", "head=point", "model.length=4", "model.hidden=6"]
    model = made(*parts, f"model.covariates={covariates or 'null'}", channels=2, future=3)
    batch = batch_of(model)
    z = batch.y.float()
    found = model.network(z, batch)[..., 0]
    gru, who, where = model.backbone.layers[0].net, model.who.weight, model.where
    for b, c in ((0, 0), (3, 1)):
        known = batch.future[b].reshape(8, 12)  # of the context's six segments and the horizon's two
        if covariates:
            known = torch.relu(known @ model.known[0].weight.T + model.known[0].bias)
        tokens = torch.relu(model.token[0](z[b, :, c].view(6, 4)))
        _, hidden = gru(torch.cat((tokens, known[:6]), -1)[None])
        for slot in range(2):
            out, _ = gru(torch.cat((where[slot], who[c], known[6 + slot]))[None, None], hidden)
            torch.testing.assert_close(
                found[b, 4 * slot : 4 * slot + 4, c], model.out[1](out[0, 0]), rtol=1e-5, atol=1e-5
            )


def test_nlinear_is_a_linear_map_of_the_changes():
    model = made("model=linear", "head=point", "normalizer=[last]", channels=3)
    batch = batch_of(model)
    point, _ = model.forecast(batch, ())
    changes = (batch.y - batch.y[:, -1:]).float()
    expected = model.maps[0](changes.mT).mT.double() + batch.y[:, -1:]
    torch.testing.assert_close(point, expected, rtol=1e-5, atol=1e-5)


def test_dlinear_parts_the_moving_average_from_the_rest():
    model = made("model=linear", "head=point", "model.kernel=5")
    batch = batch_of(model)
    z = batch.y.float()[..., 0]
    padded = torch.cat((z[:, :1].expand(-1, 2), z, z[:, -1:].expand(-1, 2)), 1)
    trend = torch.stack([padded[:, i : i + 5].mean(1) for i in range(24)], 1)
    expected = model.maps[0](z - trend) + model.trends[0](trend)
    torch.testing.assert_close(model.network(z[..., None], batch)[:, :, 0, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["none", "additive", "multiplicative"])
def test_the_decoder_goes_step_by_step_from_its_own_forecasts(attention):
    model = made("model=seq2seq", "backbone=gru", "head=point", f"model.attention={attention}", future=2)
    batch = batch_of(model)
    z = batch.y.float()
    found = model.network(z, batch)[..., 0, 0]
    read, state = model.encoder.layers[0].net(torch.cat((z, batch.future[:, :24]), -1))
    value, out, gru = z[:, -1], read[:, -1], model.decoder.layers[0].net
    for step in range(8):
        picked = torch.empty(4, 0)
        if attention == "additive":
            score = model.attend.score(torch.tanh(model.attend.ask(out)[:, None] + model.attend.keys(read)))[..., 0]
        elif attention == "multiplicative":
            score = torch.einsum("btd,bd->bt", model.attend.keys(read), out)
        if attention != "none":
            picked = torch.einsum("bt,btd->bd", score.softmax(-1), read)
        x = torch.cat((value, batch.future[:, 24 + step], picked), -1)
        after, state = gru(x[:, None], state)
        out = after[:, 0]
        value = model.out[1](torch.cat((out, picked), -1))
        torch.testing.assert_close(found[:, step], value[:, 0], rtol=1e-5, atol=1e-5)
    if attention != "none":
        torch.testing.assert_close(model.weights.sum(-1), torch.ones(4, 8))


def test_teacher_forcing_shows_true_values_in_training_only():
    """With a share of 1 each step sees the truth before it: another one changes later steps, and none in evaluation."""
    model = made("model=seq2seq", "head=point", "model.schedule=constant")
    batch = batch_of(model)
    other = batch._replace(target=torch.cat((batch.target[:, :1] + 9, batch.target[:, 1:]), 1))
    assert torch.equal(model(batch).params, model(other).params)
    model.train()
    first, second = model(batch).params, model(other).params
    assert torch.equal(first[:, :1], second[:, :1]) and (first[:, 1:2] != second[:, 1:2]).any()
    free = made("model=seq2seq", "head=point", "model.forcing=0.0").train()
    assert torch.equal(free(batch).params, free(other).params)


@pytest.mark.parametrize("schedule", ["constant", "linear", "sigmoid"])
def test_the_share_of_true_values_falls_by_its_schedule(schedule):
    class Trainer:
        max_epochs, current_epoch = 10, 0

    model = made("model=seq2seq", "model.forcing=0.8", f"model.schedule={schedule}")
    model._trainer = trainer = Trainer()
    shares = []
    for trainer.current_epoch in range(10):
        shares.append(model.share())
    if schedule == "constant":
        assert set(shares) == {0.8}
    else:
        assert all(a > b for a, b in itertools.pairwise(shares)) and 0.75 < shares[0] <= 0.8 and shares[-1] < 0.1


def roll(model: Any, z: Tensor) -> Tensor:
    """Autoregression by hand: one step ahead from the last two values, again and again."""
    values = z.clone()
    for _ in range(10):
        out, _ = model.backbone.layers[0].net(torch.cat((values[:, 1:], values[:, :-1]), -1))
        values = torch.cat((values, model.out[1](out[:, -1:])), 1)
    return values[:, -8:]


def test_autoregression_rolls_over_gap_and_horizon_and_drops_the_gap():
    model = made("model=autoregressive", "backbone=gru", "head=point", "model.lags=[2]", gap=2)
    z = batch_of(model).y.float()
    torch.testing.assert_close(model.network(z, batch_of(model))[..., 0], roll(model, z), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("head", "near"), [("normal", 0.06), ("quantile", 0.1)])  # whose tails are a little heavier
def test_paths_have_the_law_that_a_random_walk_has(head, near):
    """A network that gives each step the value before it and deviation 1: quantiles widen by the root of the steps."""
    model = made("model=autoregressive", f"head={head}", "model.paths=4000", "model.lags=[]")
    middle = getattr(model.head, "middle", 0)  # of the head's numbers, which begin as those of the standard normal law

    def numbers(out: Tensor) -> Tensor:
        begin = torch.tensor(model.head.begin).expand(*out.shape, -1).clone()
        begin[..., middle] = out
        return begin[..., :1, :]

    model.numbers = numbers
    model.backbone.forward = lambda x, state: (x[..., :1], state)
    model.backbone.step = lambda x, state: (x[..., :1], state)
    batch = batch_of(model, b=2)
    point, quantiles = model.forecast(batch, (0.1, 0.9))
    spread = (quantiles[..., 1] - quantiles[..., 0])[..., 0] / (2 * 1.2816)
    torch.testing.assert_close(spread, torch.arange(1.0, 9).sqrt().double().expand(2, -1), rtol=near, atol=0)
    torch.testing.assert_close(point, batch.y[:, -1:].expand(-1, 8, -1), rtol=0, atol=0.25)


@pytest.mark.parametrize(
    ("overrides", "facts", "said"),
    [
        (["model=autoregressive"], {"past": 1}, "data.past"),
        (["model=autoregressive", "model.lags=[24]"], {}, "below context=24"),
        (["model=autoregressive", "backbone.bidirectional=true"], {}, "bidirectional=false"),
        (["model=seq2seq", "backbone.bidirectional=true"], {}, "bidirectional=false"),
        (["model=seq2seq", "normalizer=[season]"], {}, "normalizer=season"),
        (["model=seq2seq", "model.forcing=2.0"], {}, "share between 0 and 1"),
        (["model=segment", "model.length=5"], {}, "nearest are 2, 4, 8"),
        (["model=segment", "model.length=4", "model.hidden=7"], {}, "even number"),
        (["model=segment", "model.length=4", "model.covariates=0"], {"future": 1}, "at least 1, or null"),
        (["model=segment", "model.length=4", "model.decoding=recurrent"], {"past": 1}, "decoding=parallel"),
        (["model=segment", "model.length=4", "model.decoding=recurrent", "model.skip=linear"], {}, "skip=none"),
        (["model=linear", "model.kernel=4"], {}, "odd number"),
        (["head=lognormal", "data.scaler=standard"], {}, "numbers above 0"),
        (["head=negative_binomial", "normalizer=[mean]"], {}, "whole numbers"),
    ],
)
def test_what_can_not_work_is_refused_when_the_model_is_built(overrides, facts, said):
    with pytest.raises(Refusal, match=said):
        made(*overrides, **facts)


@pytest.mark.parametrize("model", ["direct", "seq2seq", "segment"])
@pytest.mark.parametrize("skip", ["last", "linear"])
def test_a_skip_is_what_the_networks_numbers_are_added_to(model, skip):
    length = ["model.length=4"] if model == "segment" else []
    base, added = (made(f"model={model}", *length, "head=point", f"model.skip={kind}") for kind in ("none", skip))
    if skip == "linear":
        nn.init.constant_(added.skip.map.weight, 0.25)
    added.load_state_dict(base.state_dict(), strict=False)
    batch = batch_of(base)
    z = batch.y[:, -1:] if skip == "last" else batch.y.sum(1, keepdim=True) / 4
    found = added(batch)
    torch.testing.assert_close(found.loc.expand(-1, 8, -1), z.expand(-1, 8, -1), rtol=1e-6, atol=1e-4)
    if model != "seq2seq":
        assert torch.equal(found.params, base(batch).params)
