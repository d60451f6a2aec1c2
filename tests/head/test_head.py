"""What every file of conf/head promises, and the losses and quantiles written out or taken from scikit-learn."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss
from torch import Tensor

from forecast import build
from forecast.config import CONF
from forecast.error import Refusal
from forecast.head.base import Head

YAMLS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path(CONF, "head").glob("*.yaml"))}
QUICK = settings(max_examples=20, deadline=None)


def made(name: str, **changes) -> Head:
    return build.part("head", YAMLS[name] | changes)


SPREAD = [name for name in YAMLS if made(name).levels]  # the heads with a law, not only a point
every = pytest.mark.parametrize("name", YAMLS)
spread = pytest.mark.parametrize("name", SPREAD)
floats = st.one_of(st.floats(-5, 5, width=32), st.floats(-(2.0**100), 2.0**100, width=32))


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def params(draw, head: Head) -> Tensor:
    """Any numbers that a network can give a head, extreme ones among them: [1 1 c w]."""
    row = st.lists(floats, min_size=head.width, max_size=head.width)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=3)))[None, None]


@st.composite
def levels_between(draw, head: Head) -> list[float]:
    """Ascending levels inside the trained ones, those included."""
    inside = st.one_of(st.sampled_from(head.levels), st.floats(head.levels[0], head.levels[-1]))
    return sorted(draw(st.lists(inside, min_size=1, max_size=12)))


def check_order(quantiles: Tensor) -> None:
    assert not quantiles.isnan().any() and (quantiles[..., 1:] >= quantiles[..., :-1]).all()


@every
def test_shapes_are_as_promised(name):
    head = made(name)
    numbers, target = random(4, 3, 2, head.width), random(4, 3, 2, seed=2)
    assert head.loss(numbers, target).shape == head.point(numbers).shape == (4, 3, 2)
    assert head.quantiles(numbers, head.levels).shape == (4, 3, 2, len(head.levels))
    assert head.quantiles(numbers, ()).shape == (4, 3, 2, 0)
    assert isinstance(head.levels, tuple) and head.support == "real"


@every
def test_each_step_is_judged_for_itself(name):
    """The loss of a step depends on its own numbers and target only, so that masks and weights can pick steps."""
    head = made(name)
    numbers, target = random(4, 3, 2, head.width), random(4, 3, 2, seed=2)
    whole = head.loss(numbers, target)
    for i, j, k in np.ndindex(4, 3, 2):
        one = head.loss(numbers[i : i + 1, j : j + 1, k : k + 1], target[i : i + 1, j : j + 1, k : k + 1])
        assert torch.equal(one.flatten(), whole[i, j, k : k + 1])


@every
@QUICK
@given(data=st.data())
def test_loss_and_gradient_are_finite_for_large_numbers(name, data):
    head = made(name)
    numbers = data.draw(params(head)).clamp(-1e6, 1e6).requires_grad_()
    loss = head.loss(numbers, torch.full(numbers.shape[:-1], 3.0))
    loss.sum().backward()
    assert loss.isfinite().all() and (loss >= 0).all() and numbers.grad is not None and numbers.grad.isfinite().all()


@spread
@QUICK
@given(data=st.data())
def test_quantiles_never_cross(name, data):
    head = made(name)
    numbers, levels = data.draw(params(head)), data.draw(levels_between(head))
    check_order(head.quantiles(numbers, levels))
    scale, loc = data.draw(st.floats(1e-12, 1e12)), data.draw(st.floats(-1e12, 1e12))
    check_order(head.quantiles(numbers, levels) * torch.tensor(scale, dtype=torch.float64) + loc)  # as a model maps


@pytest.mark.parametrize("unordered", [[0.0, 1.0, 0.5], [1.0, 0.0], [float("nan"), 1.0]])
def test_the_check_of_order_catches_quantiles_that_cross(unordered):
    with pytest.raises(AssertionError):
        check_order(torch.tensor(unordered))


@spread
@QUICK
@given(data=st.data())
def test_trained_levels_are_returned_exactly_whatever_else_is_asked(name, data):
    head = made(name)
    numbers, others = data.draw(params(head)), data.draw(levels_between(head))
    trained = head.quantiles(numbers, head.levels)
    asked = sorted({*others, *head.levels})
    among = head.quantiles(numbers, asked)
    assert torch.equal(among[..., [asked.index(level) for level in head.levels]], trained)


@spread
def test_levels_between_trained_ones_are_interpolated(name):
    head = made(name)
    numbers, asked = random(5, 2, 1, head.width), np.linspace(head.levels[0], head.levels[-1], 41).clip(*span(head))
    trained, found = head.quantiles(numbers, head.levels), head.quantiles(numbers, asked.tolist())
    for i, j in np.ndindex(5, 2):
        expected = np.interp(asked, head.levels, trained[i, j, 0].numpy())
        np.testing.assert_allclose(found[i, j, 0].numpy(), expected, atol=1e-5)


def span(head: Head) -> tuple[float, float]:
    return head.levels[0], head.levels[-1]


@every
def test_levels_outside_the_trained_ones_are_refused(name):
    head = made(name)
    low, high = span(head) if head.levels else (0.5, 0.5)
    outside = [low - 1e-6, high + 1e-6, 0.0, 1.0, -1.0, float("nan")] + ([] if head.levels else [0.5])
    for level in outside:
        with pytest.raises(Refusal, match="quantile" if not head.levels else "outside the trained"):
            head.quantiles(random(1, 1, 1, head.width), [level])


@spread
def test_the_point_is_the_median(name):
    head = made(name)
    numbers = random(4, 3, 2, head.width)
    assert torch.equal(head.point(numbers), head.quantiles(numbers, (0.5,))[..., 0])


def test_the_quantile_head_steps_away_from_its_middle():
    head = made("quantile", levels=[0.05, 0.3, 0.5, 0.6])
    a, b, middle, c = (x[..., 0] for x in random(4, 3, 2, 4).split(1, -1))

    def step(x: Tensor) -> Tensor:
        return torch.log(1 + torch.exp(x))

    expected = torch.stack((middle - step(b) - step(a), middle - step(b), middle, middle + step(c)), -1)
    found = head.quantiles(torch.stack((a, b, middle, c), -1), head.levels)
    torch.testing.assert_close(found, expected)


def test_a_median_between_two_levels_is_interpolated():
    head = made("quantile", levels=[0.2, 0.6])
    numbers = random(4, 3, 2, 2)
    low, high = head.quantiles(numbers, head.levels).unbind(-1)
    torch.testing.assert_close(head.point(numbers), low + 0.75 * (high - low))


LEVELS = st.sets(st.integers(1, 999), min_size=1, max_size=9).map(
    lambda found: [x / 1000 for x in sorted(found | {500})]
)


@QUICK
@given(levels=LEVELS, seed=st.integers(0, 99))
def test_the_quantile_loss_is_twice_scikit_learns_pinball_loss(levels, seed):
    head = made("quantile", levels=levels)
    numbers, target = random(6, 3, 2, head.width, seed=seed), random(6, 3, 2, seed=seed + 1)
    found, forecast = head.loss(numbers, target), head.quantiles(numbers, levels)
    each = [mean_pinball_loss(target.flatten(), forecast[..., i].flatten(), alpha=a) for i, a in enumerate(levels)]
    assert float(found.mean()) == pytest.approx(2 * np.mean(each), rel=1e-5)


def test_the_quantile_loss_of_the_median_alone_is_the_absolute_error():
    head = made("quantile", levels=[0.5])
    numbers, target = random(4, 3, 2, 1), random(4, 3, 2, seed=2)
    torch.testing.assert_close(head.loss(numbers, target), (numbers[..., 0] - target).abs())


def test_minimising_the_quantile_loss_finds_the_empirical_quantiles():
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    head, samples = made("quantile", levels=levels), random(2001, 1, 1).exp()
    numbers = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.Adam([numbers], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        optimizer.zero_grad()
        head.loss(numbers.expand(2001, 1, 1, 5), samples).mean().backward()
        optimizer.step()
        schedule.step()
    found = head.quantiles(numbers.detach().expand(1, 1, 1, 5), levels).flatten()
    np.testing.assert_allclose(found.numpy(), np.quantile(samples.numpy(), levels), rtol=0.02, atol=0.005)


ERRORS = {
    "mse": lambda error: error**2,
    "mae": lambda error: error.abs(),
    "huber": lambda error: torch.where(error.abs() < 1, 0.5 * error**2, error.abs() - 0.5),
}


@pytest.mark.parametrize("loss", ERRORS)
def test_the_losses_of_a_point_are_their_formulas(loss):
    head = made("point", loss=loss)
    numbers, target = 2 * random(50, 3, 2, 1), random(50, 3, 2, seed=2)
    torch.testing.assert_close(head.loss(numbers, target), ERRORS[loss](numbers[..., 0] - target))
    assert torch.equal(head.point(numbers), numbers[..., 0])


@spread
def test_samples_follow_the_quantiles(name):
    head, n = made(name), 20_000
    numbers = random(2, 2, 1, head.width)
    torch.manual_seed(1)
    draws = head.sample(numbers, n)
    assert draws.shape == (n, 2, 2, 1)
    quantiles = head.quantiles(numbers, head.levels)
    for i, level in enumerate(head.levels):  # the law may end at the outermost levels, with all its mass there
        below, upto = ((draws < quantiles[..., i]), (draws <= quantiles[..., i]))
        assert (below.float().mean(0) < level + 0.015).all() and (upto.float().mean(0) > level - 0.015).all()
    steps = torch.corrcoef(draws.flatten(1).T)
    assert (steps - torch.eye(4)).abs().max() < 0.05  # each step is drawn for itself


def test_a_point_has_no_spread_to_sample_from():
    with pytest.raises(Refusal, match="head=quantile"):
        made("point").sample(random(1, 1, 1, 1), 3)


NAN = float("nan")
UNORDERED = [[0.5, 0.1], [0.5, 0.5], [0.1, NAN, 0.9], [NAN]]
OUTSIDE = [[0.0, 0.5], [0.5, 1.0], [-0.1, 0.5], [0.5, 1.1], [0.1, 0.2], [0.6, 0.9]]
NO_NUMBERS = [[], ["a"], 0.5, None, [True], "0.5", [[0.5]]]


@pytest.mark.parametrize("levels", [*UNORDERED, *OUTSIDE, *NO_NUMBERS], ids=str)
def test_bad_levels_are_refused(levels):
    with pytest.raises(Refusal, match="levels"):
        made("quantile", levels=levels)


def test_levels_too_close_for_float32_are_refused_or_work():
    with contextlib.suppress(Refusal):
        head = made("quantile", levels=[0.5, 0.5 + 1e-9])
        assert head.quantiles(torch.zeros(1, 1, 1, 2), head.levels).isfinite().all()


@pytest.mark.parametrize("loss", ["rmse", "", None, 1, "MAE"])
def test_an_unknown_loss_is_refused(loss):
    with pytest.raises(Refusal, match=r"head\.loss"):
        made("point", loss=loss)
