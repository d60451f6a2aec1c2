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
from forecast.contract import Shape
from forecast.error import Refusal

YAMLS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path(CONF, "normalizer").glob("*.yaml"))}
B, CONTEXT, GAP, HORIZON, C = 3, 12, 2, 5, 2
SHAPE = Shape(CONTEXT, HORIZON, GAP, C, past=0, future=0, static=0, cardinalities=(), season=4, series=2, width=1)
QUICK = settings(max_examples=15, deadline=None)

every = pytest.mark.parametrize("name", YAMLS)
seeds, levels, spreads = st.integers(0, 10**6), st.floats(-1e9, 1e9), st.floats(1e-2, 1e6)


def made(name: str) -> nn.Module:
    return build.part("normalizer", {"name": name, **YAMLS[name][name]}, SHAPE)


def windows(seed: int, level: float = 0.0, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """y, observed and clock of a batch; the last step of each window is observed."""
    generator = torch.Generator().manual_seed(seed)
    y = level + spread * torch.randn(B, CONTEXT, C, dtype=torch.float64, generator=generator)
    observed = torch.rand(B, CONTEXT, C, generator=generator) < 0.7
    observed[:, -1] = True
    return y, observed, (torch.arange(CONTEXT + GAP + HORIZON) + seed).expand(B, -1)


def close(found: Tensor, expected: Tensor, size: float) -> None:
    """Equality but for the rounding of float64 at numbers of a size."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11 * size)


def test_a_yaml_is_one_key_its_name():
    assert all(list(found) == [name] for name, found in YAMLS.items())


@every
@QUICK
@given(seed=seeds, level=levels, spread=spreads)
def test_z_maps_back_to_the_window(name, seed, level, spread):
    y, observed, clock = windows(seed, level, spread)
    z, loc, scale = made(name)(y, observed, clock)
    assert z.shape == y.shape and loc.shape in ((B, 1, C), (B, HORIZON, C)) and scale.shape == (B, 1, C)
    assert z.dtype == loc.dtype == scale.dtype == torch.float64
    assert z.isfinite().all() and loc.isfinite().all() and scale.isfinite().all() and (scale > 0).all()
    if loc.shape[1] == 1:
        close(z * scale + loc, y, abs(level) + spread)


@every
@QUICK
@given(seed=seeds, level=levels, spread=spreads)
def test_each_window_and_channel_is_normalised_for_itself(name, seed, level, spread):
    y, observed, clock = windows(seed, level, spread)
    net = made(name)
    whole = net(y, observed, clock)
    for i in range(B):
        for j in range(C):
            alone = net(y[i : i + 1, :, j : j + 1], observed[i : i + 1, :, j : j + 1], clock[i : i + 1])
            for found, expected in zip(alone, whole, strict=True):
                close(found[0, :, 0], expected[i, :, j], abs(level) + spread)


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


@every
@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 0.1, 1e9 + 0.1, -1e-9, 1e-200, 1e100])
def test_a_constant_window_has_finite_z_and_scale_1(name, value):
    _, observed, clock = windows(1)
    y = torch.full((B, CONTEXT, C), value, dtype=torch.float64)
    z, loc, scale = made(name)(y, observed, clock)
    assert z.isfinite().all() and (scale == 1).all()
    if loc.shape[1] == 1:
        close(z * scale + loc, y, abs(value))
    else:
        close(loc, y[:, :HORIZON], abs(value))


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


@every
def test_a_window_without_any_observation_gives_finite_numbers(name):
    y, observed, clock = windows(1, 100.0)
    found = made(name)(y, torch.zeros_like(observed), clock)
    assert all(x.isfinite().all() for x in found) and (found[2] > 0).all()


def influenced(net: nn.Module) -> bool:
    """Whether loc, scale or the observed z depend on the values of unobserved steps."""
    y, observed, clock = windows(1, 7.0)
    before, after = (net(torch.where(observed, y, junk), observed, clock) for junk in (0.0, 1e6))
    same = [torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True)]
    return not (all(same) and torch.equal(before[0][observed], after[0][observed]))


def test_unobserved_steps_do_not_influence_standard():
    assert not influenced(made("standard"))


def test_the_check_of_influence_catches_statistics_over_all_steps():
    standard = made("standard")
    assert influenced(lambda y, observed, clock: standard(y, torch.ones_like(observed), clock))
