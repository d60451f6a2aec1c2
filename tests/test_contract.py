"""The words that modules share: seeds, windows, batches and the scaling, against what they promise."""

from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from forecast.contract import Batch, Scaling, Shape, Window, integer, joined, mix

QUICK = settings(max_examples=40, deadline=None)
numbers = st.integers(0, 2**63 - 1)
B, CONTEXT, GAP, HORIZON, C = 3, 8, 2, 5, 2


def test_mix_is_splitmix64_without_its_last_bit():
    """The first outputs of the published generator for the seeds 0 and 1234567."""
    assert mix(0) == 0xE220A8397B1DCDAF >> 1 and mix(1234567) == 6457827717110365317 >> 1


def test_mix_of_several_numbers_stays_what_it_was():
    """The order of training windows hangs on it: a saved run could not be repeated after a change."""
    assert (mix(1, 0), mix(1, 2, 3)) == (3395948882924712079, 3851293329796251419)


@QUICK
@given(st.lists(numbers, min_size=1, max_size=4))
@example([0])
def test_mix_is_pure_and_a_seed_that_torch_takes(parts):
    seed = mix(*parts)
    assert seed == mix(*parts) and 0 <= seed < 2**63
    torch.Generator().manual_seed(seed)


def test_numbers_are_as_wide_as_they_have_to_be():
    for count in (1, 2**31 - 1, 2**31, 2**40):
        assert torch.iinfo(integer(count)).max >= count
    assert (integer(2**31 - 1), integer(2**31)) == (torch.int32, torch.int64)


@QUICK
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_tensors_are_joined_as_by_cat_and_one_alone_is_not_copied(widths):
    parts = [torch.randn(2, 4, width) for width in widths]
    found = joined(*parts)
    assert torch.equal(found, torch.cat(parts, -1))
    wide = [x for x in parts if x.shape[-1]]
    assert len(wide) != 1 or found is wide[0]


@QUICK
@given(numbers, numbers, numbers)
def test_mix_tells_neighbours_and_orders_apart(a, b, c):
    near = {mix(a, b, c), mix(a + 1, b, c), mix(a, b + 1, c), mix(a, b, c + 1), mix(a, b), mix(a, b, c, 0)}
    assert len(near) == 6
    assert a == b or mix(a, b) != mix(b, a)


def test_mix_spreads_neighbours_over_all_bits():
    seeds = [mix(1, i) for i in range(4000)]
    flips = [(a ^ b).bit_count() for a, b in pairwise(seeds)]
    shares = [sum(seed >> bit & 1 for seed in seeds) / len(seeds) for bit in range(63)]
    assert len(set(seeds)) == 4000 and 31 < sum(flips) / len(flips) < 32
    assert min(shares) > 0.45 and max(shares) < 0.55


def test_a_window_is_context_gap_and_horizon_and_does_not_change():
    window = Window(context=8, horizon=5, gap=2)
    assert (window.length, window.ahead, window.stride, window.anchor) == (15, 7, 1, None)
    with pytest.raises(FrozenInstanceError):
        window.context = 3


def test_a_backbone_sees_channels_past_and_future():
    shape = Shape(8, 5, 2, channels=3, past=4, future=7, static=1, cardinalities=(3,), season=24, series=2, width=9)
    assert shape.features == 14


@st.composite
def scaled(draw) -> tuple[Scaling, Tensor, Tensor]:
    """A scaling of three slots, values of a batch around its levels, and their slots."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    level, spread = draw(st.sampled_from([0.0, 1.0, -1e9, 1e9])), draw(st.sampled_from([1e-3, 1.0, 1e6]))
    loc = level + spread * torch.randn(3, C, dtype=torch.float64, generator=generator)
    scale = spread * (0.5 + torch.rand(3, C, dtype=torch.float64, generator=generator))
    y = level + spread * torch.randn(B, HORIZON, C, dtype=torch.float64, generator=generator)
    return Scaling("standard", loc, scale), y, torch.randint(3, (B,), generator=generator)


@QUICK
@given(scaled())
def test_scaling_and_its_inverse_lose_only_rounding(found):
    scaling, y, series = found
    back = scaling.invert(scaling.apply(y, series), series)
    assert back.dtype == torch.float64
    size = float(scaling.loc.abs().max() + y.abs().max())
    torch.testing.assert_close(back, y, rtol=0, atol=4e-16 * size)


@QUICK
@given(scaled())
def test_scaling_uses_each_series_and_channels_own_numbers(found):
    scaling, y, series = found
    z = scaling.apply(y, series)
    for i, slot in enumerate(series.tolist()):
        for j in range(C):
            assert torch.equal(z[i, :, j], (y[i, :, j] - scaling.loc[slot, j]) / scaling.scale[slot, j])


@QUICK
@given(scaled(), st.integers(1, 4))
def test_quantiles_are_mapped_back_one_by_one(found, columns):
    scaling, _, series = found
    z = torch.randn(B, HORIZON, C, columns, dtype=torch.float64)
    whole = scaling.invert(z, series)
    assert all(torch.equal(whole[..., i], scaling.invert(z[..., i], series)) for i in range(columns))


def batch(context: int = CONTEXT) -> Batch:
    length = context + GAP + HORIZON
    return Batch(
        y=torch.randn(B, context, C, dtype=torch.float64),
        y_observed=torch.rand(B, context, C) < 0.8,
        past=torch.randn(B, context, 3),
        past_observed=torch.rand(B, context, 3) < 0.8,
        future=torch.randn(B, length, 4),
        future_observed=torch.rand(B, length, 4) < 0.8,
        target=torch.randn(B, HORIZON, C, dtype=torch.float64),
        target_observed=torch.rand(B, HORIZON, C) < 0.8,
        clock=torch.arange(length).expand(B, -1) + torch.tensor([[0], [100], [3]]),
        static=torch.randn(B, 2),
        codes=torch.randint(3, (B, 1)),
        series=torch.arange(B),
        cutoff=torch.arange(B) + 50,
        weight=torch.ones(B),
    )


def test_a_sound_batch_passes_its_check_also_without_covariates():
    whole = batch()
    whole.check()
    absent = {name: getattr(whole, name)[..., :0] for name in Batch._fields if name.startswith(("past", "future"))}
    whole._replace(**absent, static=whole.static[:, :0], codes=whole.codes[:, :0]).check()


def another_type(good: Tensor) -> Tensor:
    return good.to(torch.float64 if good.dtype == torch.float32 else torch.float32)


def not_finite(good: Tensor) -> Tensor:
    bad = good.clone()
    bad.view(-1)[-1] = torch.nan
    return bad


MASKS = [name for name in Batch._fields if name.endswith("observed")]
FAULTS = {
    "a row less": (Batch._fields, lambda good: good[1:]),
    "another type": (Batch._fields, another_type),
    "a column less": (MASKS, lambda good: good[..., 1:]),
    "a step less": ([*MASKS, "past"], lambda good: good[:, 1:]),
    "a value that is not finite": (("y", "target", "past", "future", "static", "weight"), not_finite),
}


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault in FAULTS for name in FAULTS[fault][0]])
def test_the_check_of_a_batch_catches(fault, name):
    whole = batch()
    with pytest.raises(AssertionError):
        whole._replace(**{name: FAULTS[fault][1](getattr(whole, name))}).check()


def test_the_check_of_a_batch_catches_windows_that_end_before_their_targets():
    whole = batch()
    cut = {name: getattr(whole, name)[:, : CONTEXT + HORIZON - 1] for name in ("clock", "future", "future_observed")}
    with pytest.raises(AssertionError):
        whole._replace(**cut).check()


@pytest.mark.parametrize("kind", ["asinh", "log1p"])
@QUICK
@given(scaled(), st.integers(0, 10**6))
def test_bent_scalings_keep_the_order_and_come_back(kind, found, seed):
    """Strictly rising, so that quantiles stay quantiles; exact to the rounding of the level."""
    plain, _, series = found
    spread = plain.scale.abs().amin()
    y = torch.rand(B, HORIZON, C, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 50 * spread
    bent = Scaling(kind, torch.zeros_like(plain.loc), plain.scale)
    z = bent.apply(y, series)
    torch.testing.assert_close(bent.invert(z, series), y, rtol=1e-9, atol=1e-12 * float(spread))
    assert (bent.apply(y.sort(1).values, series).diff(dim=1) >= 0).all()
    both = bent.invert(torch.stack((z, z + 0.1), -1), series)
    assert (both[..., 1] > both[..., 0]).all()
