"""What every file of conf/normalizer promises: an affine map per window that loses nothing."""

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from forecast import build
from forecast.config import CONF
from forecast.contract import Batch, Scaling, Shape
from forecast.error import Refusal
from forecast.model.base import Emphasis, Model, Parts

YAMLS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path(CONF, "normalizer").glob("*.yaml"))}
B, CONTEXT, GAP, HORIZON, C = 3, 12, 2, 5, 2
SHAPE = Shape(CONTEXT, HORIZON, GAP, C, past=0, future=0, static=0, cardinalities=(), season=4, series=2, width=1)
QUICK = settings(max_examples=15, deadline=None)

every = pytest.mark.parametrize("name", YAMLS)
seeds, levels, spreads = st.integers(0, 10**6), st.floats(-1e9, 1e9), st.floats(1e-2, 1e6)


def made(name: str, **changes) -> nn.Module:
    return build.part("normalizer", {"name": name, **YAMLS[name][name], **changes}, SHAPE)


def learnt(net: nn.Module, seed: int = 1) -> nn.Module:
    """The same with other parameters than it starts with."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return net


NETS = {
    **{name: lambda name=name: learnt(made(name)) for name in YAMLS},
    "affine": lambda: learnt(made("standard", affine=True)),
    "week": lambda: learnt(made("cycle", length=7)),
}  # those of the yamls, and their options
variant = pytest.mark.parametrize("make", NETS.values(), ids=NETS)


def windows(seed: int, level: float = 0.0, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """y, observed and clock of a batch; the last step of each window is observed."""
    generator = torch.Generator().manual_seed(seed)
    y = level + spread * torch.randn(B, CONTEXT, C, dtype=torch.float64, generator=generator)
    observed = torch.rand(B, CONTEXT, C, generator=generator) < 0.7
    observed[:, -1] = True
    jumps = torch.randint(1, 4, (B, CONTEXT + GAP + HORIZON), generator=generator)  # a clock that skips hours
    return y, observed, jumps.cumsum(1) + seed


def restored(net: nn.Module, z: Tensor, loc: Tensor, scale: Tensor, clock: Tensor) -> Tensor:
    """The context from z: with a cycle it is that of the context's clock which is given back."""
    if loc.shape[1] == HORIZON and hasattr(net, "table"):
        loc = net.table.double()[clock[:, :CONTEXT] % len(net.table)]
    return z * scale + (0 if loc.shape[1] == HORIZON else loc)


def close(found: Tensor, expected: Tensor, size: float) -> None:
    """Equality but for the rounding of float64 at numbers of a size."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11 * size)


def test_a_yaml_is_one_key_its_name():
    assert all(list(found) == [name] for name, found in YAMLS.items())


@variant
@QUICK
@given(seed=seeds, level=levels, spread=spreads)
def test_z_maps_back_to_the_window(make, seed, level, spread):
    y, observed, clock = windows(seed, level, spread)
    net = make()
    z, loc, scale = net(y, observed, clock)
    assert z.shape == y.shape and loc.shape in ((B, 1, C), (B, HORIZON, C)) and scale.shape == (B, 1, C)
    assert z.dtype == loc.dtype == scale.dtype == torch.float64
    assert z.isfinite().all() and loc.isfinite().all() and scale.isfinite().all() and (scale > 0).all()
    close(restored(net, z, loc, scale, clock), y, abs(level) + spread)


@variant
@QUICK
@given(seed=seeds, level=levels, spread=spreads)
def test_each_window_and_channel_is_normalised_for_itself(make, seed, level, spread):
    y, observed, clock = windows(seed, level, spread)
    net = make()
    whole = net(y, observed, clock)
    for i in range(B):
        alone = net(y[i : i + 1], observed[i : i + 1], clock[i : i + 1])
        for found, expected in zip(alone, whole, strict=True):
            close(found[0], expected[i], abs(level) + spread)
    for j in range(C):
        others = torch.arange(C) != j
        for found, expected in zip(net(torch.where(others, 5 * y + 1, y), observed, clock), whole, strict=True):
            close(found[..., j], expected[..., j], abs(level) + spread)


@variant
@QUICK
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_targets_stay_of_the_kinds_that_are_kept(make, seed, factor):
    """Of "positive" loc is 0; of "count" the scale is 1, too; and what is neither does shift."""
    y, observed, clock = windows(seed)
    net = make()
    z, loc, scale = net(factor * y.abs() + 1, observed, clock)
    assert net.keeps == ("real", "positive", "count")[: len(net.keeps)] and len(net.keeps) > 0
    assert ("positive" in net.keeps) == bool((loc == 0).all())
    assert ("count" in net.keeps) <= bool((scale == 1).all() and torch.equal(z, factor * y.abs() + 1))


@QUICK
@given(seed=seeds, factor=st.floats(1e-300, 1e3))
def test_mean_gives_the_same_z_in_any_unit_with_a_true_zero(seed, factor):
    y, observed, clock = windows(seed)
    z, _, scale = made("mean")(y, observed, clock)
    changed = made("mean")(factor * y, observed, clock)
    torch.testing.assert_close(changed[0], z, rtol=1e-12, atol=0)
    torch.testing.assert_close(changed[2], factor * scale, rtol=1e-12, atol=0)
    for i in range(B):
        for j in range(C):
            close(scale[i, 0, j], y[i, observed[i, :, j], j].abs().mean(), 1)


@QUICK
@given(seed=seeds, factor=st.floats(1e-3, 1e3), shift=st.floats(-1e6, 1e6))
def test_standard_gives_the_same_z_in_any_unit(seed, factor, shift):
    y, observed, clock = windows(seed)
    z, loc, scale = made("standard")(y, observed, clock)
    changed = made("standard")(factor * y + shift, observed, clock)
    size = abs(shift) + factor
    torch.testing.assert_close(changed[0], z, rtol=0, atol=1e-11 * size / factor)
    close(changed[1], factor * loc + shift, size)
    close(changed[2], factor * scale, size)


@QUICK
@given(seed=seeds, factor=st.floats(1e-3, 1e3), shift=st.floats(-1e6, 1e6))
def test_last_takes_out_any_shift_and_keeps_the_unit(seed, factor, shift):
    y, observed, clock = windows(seed)
    z, loc, scale = made("last")(y, observed, clock)
    changed = made("last")(factor * y + shift, observed, clock)
    close(changed[0], factor * z, abs(shift) + factor)
    close(changed[1], factor * loc + shift, abs(shift) + factor)
    assert (scale == 1).all() and (changed[2] == 1).all()


@QUICK
@given(seed=seeds, level=levels, spread=spreads)
def test_standard_takes_mean_and_deviation_of_what_was_observed(seed, level, spread):
    y, observed, clock = windows(seed, level, spread)
    _, loc, scale = made("standard")(y, observed, clock)
    for i in range(B):
        for j in range(C):
            seen = y[i, observed[i, :, j], j]
            close(loc[i, 0, j], seen.mean(), abs(level) + spread)
            expected = seen.std(correction=0) if len(seen) > 1 else torch.ones((), dtype=torch.float64)
            torch.testing.assert_close(scale[i, 0, j], expected, rtol=1e-6, atol=1e-11 * (abs(level) + spread))


def test_last_takes_the_newest_value_and_none_takes_nothing():
    y, observed, clock = windows(1, 5.0)
    z, loc, scale = made("last")(y, observed, clock)
    assert torch.equal(loc[:, 0], y[:, -1]) and torch.equal(z, y - y[:, -1:]) and (scale == 1).all()
    z, loc, scale = made("none")(y, observed, clock)
    assert torch.equal(z, y) and (loc == 0).all() and (scale == 1).all()


@variant
@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 0.1, 1e9 + 0.1, -1e-9, 1e-200, 1e-320, 1e100])
def test_a_constant_window_has_finite_z_and_its_own_unit(make, value):
    _, observed, clock = windows(1)
    y = torch.full((B, CONTEXT, C), value, dtype=torch.float64)
    net = make()
    z, loc, scale = net(y, observed, clock)
    assert z.isfinite().all() and loc.isfinite().all() and scale.isfinite().all() and (scale > 0).all()
    close(restored(net, z, loc, scale, clock), y, max(abs(value), 1.0 if list(net.parameters()) else 0.0))
    if not list(net.parameters()):
        assert (scale == 1).all() or torch.allclose(scale, torch.full_like(scale, abs(value)))


def test_the_constant_of_a_window_is_no_spread():
    y, observed, clock = torch.full((B, CONTEXT, C), 0.1, dtype=torch.float64), *windows(1)[1:]
    assert (made("standard")(y, observed, clock)[2] == 1).all() and (made("mean")(0 * y, observed, clock)[2] == 1).all()


def test_season_starts_from_the_last_season():
    y, observed, clock = windows(1)
    z, loc, scale = made("season")(y, observed, clock)
    assert torch.equal(z, y) and (scale == 1).all()
    for step in range(HORIZON):
        back = next(CONTEXT + GAP + step - 4 * k for k in range(1, 9) if CONTEXT + GAP + step - 4 * k < CONTEXT)
        assert torch.equal(loc[:, step], y[:, back])


def test_season_without_a_season_of_context_is_refused():
    with pytest.raises(Refusal, match="needs a context of a season"):
        build.part("normalizer", {"name": "season"}, Shape(**vars(SHAPE) | {"season": CONTEXT + 1}))


def test_a_small_movement_on_a_high_level_is_no_constant():
    _, observed, clock = windows(1)
    y = 1e9 + 0.1 * torch.arange(CONTEXT, dtype=torch.float64).expand(B, C, -1).transpose(1, 2)
    _, _, scale = made("standard")(y, torch.ones_like(observed), clock)
    torch.testing.assert_close(scale, torch.full_like(scale, 0.1 * (143 / 12) ** 0.5), rtol=1e-5, atol=0)


@variant
def test_a_window_without_any_observation_gives_finite_numbers(make):
    y, observed, clock = windows(1, 100.0)
    found = make()(y, torch.zeros_like(observed), clock)
    assert all(x.isfinite().all() for x in found) and (found[2] > 0).all()


def influenced(net: nn.Module) -> bool:
    """Whether loc, scale or the observed z depend on the values of unobserved steps."""
    y, observed, clock = windows(1, 7.0)
    before, after = (net(torch.where(observed, y, junk), observed, clock) for junk in (0.0, 1e6))
    same = [torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True)]
    return not (all(same) and torch.equal(before[0][observed], after[0][observed]))


@pytest.mark.parametrize("name", ["standard", "mean", "cycle", "none", "affine", "week"])
def test_unobserved_steps_do_not_influence(name):
    """`last` and `season` take values of steps, which are filled where not observed."""
    assert not influenced(NETS[name]())


def test_the_check_of_influence_catches_statistics_over_all_steps():
    standard = made("standard")
    assert influenced(lambda y, observed, clock: standard(y, torch.ones_like(observed), clock))


def test_the_cycle_is_that_of_the_clock_whatever_the_clock_skips():
    net = NETS["week"]()
    y, observed, clock = windows(3)
    z, loc, scale = net(y, observed, clock)
    assert net.table.shape == (7, C) and made("cycle").table.shape == (SHAPE.season, C) and (scale == 1).all()
    assert (made("cycle").table == 0).all() and sum(x.numel() for x in net.parameters()) == 7 * C
    for i in range(B):
        for t in range(CONTEXT):
            torch.testing.assert_close(z[i, t], y[i, t] - net.table[clock[i, t] % 7].double())
        for t in range(HORIZON):
            assert torch.equal(loc[i, t], net.table[clock[i, CONTEXT + GAP + t] % 7].double())


@pytest.mark.parametrize("name", ["affine", "week", "cycle"])
def test_what_is_learnt_gets_gradients(name):
    net = NETS[name]()
    _, observed, clock = windows(1)
    z, loc, scale = net(*(windows(1)[0], observed, clock))
    (z.square().mean() + (0.3 * scale + loc).square().mean()).backward()
    for parameter in net.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and (parameter.grad != 0).all()


def test_affine_starts_as_without_and_weighs_what_the_network_sees():
    y, observed, clock = windows(1, 5.0)
    plain = made("standard")(y, observed, clock)
    for found, expected in zip(made("standard", affine=True)(y, observed, clock), plain, strict=True):
        torch.testing.assert_close(found, expected)
    net = NETS["affine"]()
    weight, bias = net.weight.double().exp(), net.bias.double()
    torch.testing.assert_close(net(y, observed, clock)[0], plain[0] * weight + bias)
    assert sum(x.numel() for x in net.parameters()) == 2 * C and not list(made("standard").parameters())


@pytest.mark.parametrize("length", [0, -1, 1.5, "24"])
def test_an_impossible_cycle_is_refused(length):
    with pytest.raises(Refusal, match="length"):
        made("cycle", length=length)


class Linear(Model):
    """A linear map of each channel's context to its horizon: the network of CycleNet/Linear."""

    def __init__(self, parts: Parts):
        super().__init__(SHAPE, parts)
        self.map = nn.Linear(CONTEXT, HORIZON)

    def network(self, z: Tensor, batch: Batch) -> Tensor:
        return self.map(z.mT).mT[..., None]


def batch(y: Tensor, observed: Tensor, clock: Tensor) -> Batch:
    """Windows without covariates."""
    nothing = torch.zeros(B, CONTEXT, 0)
    future = torch.zeros(B, CONTEXT + GAP + HORIZON, 0)
    target = torch.zeros(B, HORIZON, C, dtype=torch.float64)
    no, slot = torch.zeros(B, 0), torch.zeros(B, dtype=torch.int64)
    return Batch(
        *(y, observed, nothing, nothing.bool(), future, future.bool(), target, target.bool(), clock),
        *(no, no.long(), slot, slot, torch.ones(B)),
    )


def test_a_linear_map_of_standard_and_cycle_is_cyclenet():
    """Its equations written out: the cycle lies inside the standardised units and returns at the horizon's phase."""
    cycle = NETS["week"]()
    scaling = Scaling("none", torch.zeros(2, C, dtype=torch.float64), torch.ones(2, C, dtype=torch.float64))
    head = build.part("head", yaml.safe_load(Path(CONF, "head", "point.yaml").read_text()))
    model = Linear(
        Parts(head, [made("standard"), cycle], scaling, lambda module: None, Emphasis([1.0], 1.0, 0.0, 0.0), 1)
    )
    y, observed, clock = windows(4, 50.0, 3.0)
    observed[:] = True
    found, _ = model.forecast(batch(y, observed, clock), ())
    mean, deviation = y.mean(1, keepdim=True), y.std(1, keepdim=True, correction=0)
    table, phase = cycle.table.double(), clock % 7
    rest = (y - mean) / deviation - table[phase[:, :CONTEXT]]
    weight, bias = model.map.weight.double(), model.map.bias.double()
    mapped = torch.einsum("ht,btc->bhc", weight, rest) + bias[:, None]
    expected = (mapped + table[phase[:, -HORIZON:]]) * deviation + mean
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
    found.square().sum().backward()
    assert cycle.table.grad is not None and (cycle.table.grad != 0).all()
