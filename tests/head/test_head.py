"""What every file of conf/head promises; losses and quantiles written out or taken from scikit-learn and scipy."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import mean_pinball_loss
from torch import Tensor
from torch.nn import functional

from forecast import build
from forecast.config import CONF
from forecast.error import Refusal
from forecast.head._beta import beta
from forecast.head._law import positive
from forecast.head.base import Head
from forecast.head.quantile import Quantile

YAMLS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path(CONF, "head").glob("*.yaml"))}
QUICK = settings(max_examples=20, deadline=None)


def made(name: str, **changes) -> Head:
    return build.part("head", YAMLS[name] | changes)


SPREAD = [name for name in YAMLS if made(name).levels]  # the heads with a law, not only a point
KNOWN = [name for name in SPREAD if isinstance(made(name), Quantile)]  # those whose law ends at their levels
LAWS = [name for name in SPREAD if name not in KNOWN]
every = pytest.mark.parametrize("name", YAMLS)
spread = pytest.mark.parametrize("name", SPREAD)
known = pytest.mark.parametrize("name", KNOWN)
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
    """Ascending levels inside those that a head can give, its own and the outermost included."""
    low, high = span(head)
    inside = st.one_of(st.sampled_from(head.levels), st.floats(low, high, exclude_min=low == 0, exclude_max=high == 1))
    return sorted(draw(st.lists(inside, min_size=1, max_size=12)))


def span(head: Head) -> tuple[float, float]:
    return (head.levels[0], head.levels[-1]) if isinstance(head, Quantile) else (0.0, 1.0)


def targets(head: Head, *shape: int, seed: int = 2) -> Tensor:
    """Targets that a head supports."""
    real = random(*shape, seed=seed)
    return {"real": real, "positive": real.exp(), "count": (3 * real.exp()).round()}[head.support]


def check_order(quantiles: Tensor) -> None:
    assert not quantiles.isnan().any() and (quantiles[..., 1:] >= quantiles[..., :-1]).all()


@every
def test_shapes_are_as_promised(name):
    head = made(name)
    numbers, target = random(4, 3, 2, head.width), targets(head, 4, 3, 2)
    assert head.loss(numbers, target).shape == head.point(numbers).shape == (4, 3, 2)
    assert head.quantiles(numbers, head.levels).shape == (4, 3, 2, len(head.levels))
    assert head.quantiles(numbers, ()).shape == (4, 3, 2, 0)
    assert head.loss(numbers, target).dtype == head.point(numbers).dtype == torch.float32
    assert head.quantiles(numbers, head.levels).dtype == torch.float32
    assert isinstance(head.levels, tuple) and head.support in ("real", "positive", "count")


@every
def test_each_step_is_judged_for_itself(name):
    """The loss of a step depends on its own numbers and target only, so that masks and weights can pick steps."""
    head = made(name)
    numbers, target = random(4, 3, 2, head.width), targets(head, 4, 3, 2)
    whole = head.loss(numbers, target)
    for i, j, k in np.ndindex(4, 3, 2):
        one = head.loss(numbers[i : i + 1, j : j + 1, k : k + 1], target[i : i + 1, j : j + 1, k : k + 1])
        torch.testing.assert_close(one.flatten(), whole[i, j, k : k + 1])


@every
@QUICK
@given(data=st.data())
def test_loss_and_gradient_are_finite_for_large_numbers(name, data):
    head = made(name)
    numbers = data.draw(params(head)).clamp(-1e6, 1e6).requires_grad_()
    loss = head.loss(numbers, torch.full(numbers.shape[:-1], 3.0))
    loss.sum().backward()
    assert loss.isfinite().all() and numbers.grad is not None and numbers.grad.isfinite().all()
    assert name in LAWS or (loss >= 0).all()


@every
def test_the_gradient_is_alive_wherever_the_numbers_and_the_target_are(name):
    head = made(name)
    corners = torch.tensor([-1e4, -20.0, 0.0, 20.0, 1e4])
    numbers = torch.cartesian_prod(*[corners] * min(head.width, 3)).repeat(1, -(-head.width // 3))[:, : head.width]
    for target in (0.03, 3.0, 1e6, *((-1e6,) if head.support == "real" else ())):
        given = numbers.clone()[None, None].requires_grad_()
        loss = head.loss(given, torch.full(given.shape[:-1], target))
        loss.sum().backward()
        assert given.grad is not None and given.grad.isfinite().all()
        assert ((given.grad != 0).any(-1) | (loss == 0)).all()  # a certain class learns nothing


@every
def test_a_target_that_is_no_such_number_gives_finite_numbers(name):
    """It stands where nothing was observed: the model multiplies it by 0."""
    head = made(name)
    for target in (-7.0, -1e-30, 0.0, 0.5, 1e6):
        numbers = random(4, 3, 2, head.width).requires_grad_()
        loss = head.loss(numbers, torch.full((4, 3, 2), target))
        (0 * loss).sum().backward()
        assert loss.isfinite().all() and numbers.grad is not None and (numbers.grad == 0).all()


@every
def test_gradients_are_the_slopes_of_the_loss(name):
    head = made(name)
    numbers, target = 2 * random(3, 2, 2, head.width).double(), targets(head, 3, 2, 2).double()
    assert torch.autograd.gradcheck(lambda x: head.loss(x, target), numbers.requires_grad_())


@spread
@QUICK
@given(data=st.data())
def test_quantiles_never_cross(name, data):
    head = made(name)
    numbers, levels = data.draw(params(head)), data.draw(levels_between(head))
    check_order(head.quantiles(numbers, levels))
    check_order(head.quantiles(numbers, head.levels))
    scale, loc = data.draw(st.floats(1e-12, 1e12)), data.draw(st.floats(-1e12, 1e12))
    check_order(head.quantiles(numbers, levels) * torch.tensor(scale, dtype=torch.float64) + loc)  # as a model maps


@pytest.mark.parametrize("unordered", [[0.0, 1.0, 0.5], [1.0, 0.0], [float("nan"), 1.0]])
def test_the_check_of_order_catches_quantiles_that_cross(unordered):
    with pytest.raises(AssertionError):
        check_order(torch.tensor(unordered))


@known
@QUICK
@given(data=st.data())
def test_trained_levels_are_returned_exactly_whatever_else_is_asked(name, data):
    head = made(name)
    numbers, others = data.draw(params(head)), data.draw(levels_between(head))
    trained = head.quantiles(numbers, head.levels)
    asked = sorted({*others, *head.levels})
    among = head.quantiles(numbers, asked)
    assert torch.equal(among[..., [asked.index(level) for level in head.levels]], trained)


@known
def test_levels_between_trained_ones_are_interpolated(name):
    head = made(name)
    numbers, asked = random(5, 2, 1, head.width), np.linspace(head.levels[0], head.levels[-1], 41).clip(*span(head))
    trained, found = head.quantiles(numbers, head.levels), head.quantiles(numbers, asked.tolist())
    for i, j in np.ndindex(5, 2):
        expected = np.interp(asked, head.levels, trained[i, j, 0].numpy())
        np.testing.assert_allclose(found[i, j, 0].numpy(), expected, atol=1e-5)


def test_tails_of_the_quantile_head_are_exponential():
    """Trained on a Laplace law, whose tails are, draws have all of it; flat tails had a deviation a third too small."""
    head = made("quantile")
    laplace = stats.laplace().ppf(head.levels)
    numbers = np.insert(np.log(np.expm1(np.diff(laplace))), head.middle, 0.0)
    params = torch.from_numpy(numbers).expand(1, 1, 1, -1)
    asked = torch.tensor([1e-6, 0.01, 0.099, 0.1, 0.8, 0.9, 0.901, 0.99, 1 - 1e-6], dtype=torch.float64)
    found = head.quantiles(params, asked).flatten()
    np.testing.assert_allclose(found, stats.laplace().ppf(asked), rtol=1e-9)
    torch.manual_seed(1)
    assert head.sample(params, 200_000).std() == pytest.approx(2**0.5, rel=0.02)


@every
def test_levels_that_a_head_can_not_give_are_refused(name):
    head = made(name)
    low, high = span(head) if head.levels else (0.5, 0.5)
    outside = [low - 1e-6, high + 1e-6, 0.0, 1.0, -1.0, float("nan")] + ([] if head.levels else [0.5])
    for level in outside:
        with pytest.raises(Refusal, match="quantile" if not head.levels else "outside the (trained|law)"):
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


@pytest.mark.parametrize("levels", [None, [0.5], [0.05, 0.4, 0.6, 0.99], [0.3, 0.5, 0.500001, 0.9]])
@known
def test_quantiles_begin_at_those_of_the_standard_normal_law(name, levels):
    head = made(name, **({} if levels is None else {"levels": levels}))
    found = head.quantiles(torch.tensor(head.begin).view(1, 1, 1, -1), head.levels)
    np.testing.assert_allclose(found.flatten(), special.ndtri(head.levels), atol=1e-5)


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
    found = head.quantiles(fitted(head, samples), levels).flatten()
    np.testing.assert_allclose(found.numpy(), np.quantile(samples.numpy(), levels), rtol=0.02, atol=0.005)


def fitted(head: Head, samples: Tensor) -> Tensor:
    """The numbers, from a start at 0, whose loss over the samples is the smallest; clipped as conf/trainer says."""
    numbers = torch.zeros(head.width, requires_grad=True)
    optimizer = torch.optim.Adam([numbers], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        optimizer.zero_grad()
        head.loss(numbers.expand(*samples.shape, head.width), samples).mean().backward()
        torch.nn.utils.clip_grad_norm_([numbers], 1.0)
        optimizer.step()
        schedule.step()
    return numbers.detach().view(1, 1, 1, -1)


ERRORS = {
    "mse": lambda point, target: (target - point) ** 2,
    "mae": lambda point, target: (target - point).abs(),
    "huber": lambda point, target: functional.smooth_l1_loss(point, target, reduction="none"),
    "smape": lambda point, target: (target - point).abs() / ((target.abs() + point.abs()) / 2),
}


@pytest.mark.parametrize("under", [1.0, 9.0, 0.25])
@pytest.mark.parametrize("loss", ERRORS)
def test_the_losses_of_a_point_are_their_formulas(loss, under):
    head = made("point", loss=loss, under=under)
    numbers, target = 2 * random(50, 3, 2, 1), targets(head, 50, 3, 2)
    point = head.point(numbers)
    weight = torch.where(target > point, under, 1) / ((1 + under) / 2)
    torch.testing.assert_close(head.loss(numbers, target), weight * ERRORS[loss](point, target))
    assert (head.support == "real" and torch.equal(point, numbers[..., 0])) or head.support == "positive"


def test_a_weighted_mae_is_twice_scikit_learns_pinball_loss():
    numbers, target = random(50, 3, 2, 1), random(50, 3, 2, seed=2)
    found = made("point", loss="mae", under=9.0).loss(numbers, target).mean()
    expected = 2 * mean_pinball_loss(target.flatten(), numbers.flatten(), alpha=0.9)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_minimising_a_weighted_mse_finds_the_expectile():
    head, samples = made("point", loss="mse", under=4.0), random(501, 1, 1).exp()
    found = head.point(fitted(head, samples))
    above, below = (samples - found).clamp(min=0).mean(), (found - samples).clamp(min=0).mean()
    assert float(4 * above / below) == pytest.approx(1, abs=0.01)


def test_smape_is_for_targets_with_a_true_zero_and_forecasts_above_it():
    head = made("point", loss="smape")
    numbers = torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4]).view(1, -1, 1, 1)
    assert (
        head.support == "positive" and (head.point(numbers) > 0).all() and (head.point(numbers).diff(dim=1) > 0).all()
    )
    for target in (0.0, 1e-30, 1.0, 1e30):
        loss = head.loss(numbers, torch.full((1, 5, 1), target))
        assert (loss >= 0).all() and (loss <= 2).all()
    given = numbers.clone().requires_grad_()
    head.loss(given, torch.ones(1, 5, 1)).sum().backward()
    assert given.grad is not None and (given.grad[0, [0, 1, 3, 4], 0, 0] != 0).all()


@pytest.mark.parametrize("under", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_cost_is_refused(under):
    with pytest.raises(Refusal, match=r"head\.under"):
        made("point", under=under)


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
    steps = torch.corrcoef(draws.clamp(quantiles[..., 0], quantiles[..., -1]).flatten(1).T)
    assert (steps - torch.eye(4)).abs().max() < 0.05  # each step is drawn for itself


def test_a_point_has_no_spread_to_sample_from():
    with pytest.raises(Refusal, match="head=quantile"):
        made("point").sample(random(1, 1, 1, 1), 3)


def above(x: np.ndarray, power: float = 6, floor: float = 1e-4) -> np.ndarray:
    """The positive number that a head makes of any."""
    return floor + np.exp(power * np.arcsinh(x / power))


class Mixed:
    """A mixture of normal laws; the means start at the middles of equal shares of a normal law."""

    def __init__(self, numbers: np.ndarray):
        logits, means, deviations = np.split(numbers, 3, -1)
        n = means.shape[-1]
        self.shares = special.softmax(logits, -1)
        self.laws = stats.norm(means + stats.norm.ppf((np.arange(n) + 0.5) / n), above(deviations))

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        return special.logsumexp(self.laws.logpdf(x[..., None]), b=self.shares, axis=-1)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return (self.shares * self.laws.cdf(x[..., None])).sum(-1)


def counts(numbers: np.ndarray):
    mean, dispersion = above(numbers[..., 0]), above(numbers[..., 1], floor=1e-8)
    return stats.nbinom(1 / dispersion, 1 / (1 + mean * dispersion))


ORACLES = {
    "normal": lambda x: stats.norm(x[..., 0], above(x[..., 1])),
    "student": lambda x: stats.t(2 + above(x[..., 2], power=1), x[..., 0], above(x[..., 1])),
    "lognormal": lambda x: stats.lognorm(above(x[..., 1]), scale=np.exp(x[..., 0])),
    "negative_binomial": counts,
    "mixture": Mixed,
}
oracle = pytest.mark.parametrize("name", ORACLES)
ANY = [1e-6, 1e-3, 0.025, 0.1, 0.3, 0.499, 0.5, 0.6, 0.9, 0.99, 0.9999, 1 - 1e-6]


@oracle
def test_the_loss_is_minus_the_log_likelihood(name):
    head = made(name)
    numbers, target = 2 * random(20, 3, 2, head.width).double(), targets(head, 20, 3, 2).double()
    law = ORACLES[name](numbers.numpy())
    expected = -(law.logpmf if head.support == "count" else law.logpdf)(target.numpy())
    np.testing.assert_allclose(head.loss(numbers, target).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(head.loss(numbers.float(), target.float()).numpy(), expected, rtol=1e-4, atol=1e-4)


@oracle
def test_quantiles_are_those_of_the_law_at_any_level(name):
    head = made(name)
    numbers = 2 * random(20, 3, 2, head.width).double()
    found = head.quantiles(numbers, ANY).numpy()
    law = ORACLES[name](numbers.numpy()[..., None, :])
    if head.support == "count":
        assert (law.cdf(found) >= ANY).all() and (law.cdf(found - 1) < ANY).all()
    else:
        np.testing.assert_allclose(law.cdf(found), np.broadcast_to(ANY, found.shape), rtol=1e-6)
    if hasattr(law, "ppf"):
        np.testing.assert_allclose(found, law.ppf(ANY), rtol=1e-7, atol=1e-12)
        expected = law.ppf(ANY).clip(max=torch.finfo(torch.float32).max)
        np.testing.assert_allclose(head.quantiles(numbers.float(), ANY).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dispersion", [-1e4, -15.0, -8.0, -3.0, 2.0])
def test_quantiles_of_counts_are_exact_up_to_millions(dispersion):
    head = made("negative_binomial")
    numbers = torch.stack((torch.linspace(-5, 32, 40), torch.full((40,), dispersion)), -1).double().view(1, 40, 1, 2)
    found, law = head.quantiles(numbers, ANY).numpy(), counts(numbers.numpy()[..., None, :])
    assert law.mean().max() > 1e6 and (found == found.round()).all()
    rounding = 1e-9  # of two computations of the same probability
    assert (law.cdf(found) >= np.array(ANY) - rounding).all() and (law.cdf(found - 1) < np.array(ANY) + rounding).all()
    assert (found == law.ppf(ANY)).mean() > 0.99


TRUE = {  # the numbers of a law, and draws from it by numpy
    "normal": ([3.0, -1.0], lambda rng, law: law.rvs(4000, random_state=rng)),
    "student": ([3.0, -1.0, 1.0], lambda rng, law: law.rvs(4000, random_state=rng)),
    "lognormal": ([1.0, -0.5], lambda rng, law: law.rvs(4000, random_state=rng)),
    "negative_binomial": ([9.0, -1.0], lambda rng, law: law.rvs(4000, random_state=rng)),
    "mixture": (
        [0.5, 0.0, 0.5, -1.5, 0.0, 1.5, -0.5, -1.0, -0.5],
        lambda rng, law: rng.normal(*(x[rng.choice(3, 4000, p=law.shares)] for x in law.laws.args)),
    ),
}


@pytest.mark.parametrize("name", TRUE)
def test_the_smallest_loss_is_that_of_the_true_law(name):
    """From a start at 0, and thousands of counts away from it."""
    head, (numbers, draw) = made(name), TRUE[name]
    law = ORACLES[name](np.array(numbers))
    samples = torch.tensor(draw(np.random.default_rng(1), law), dtype=torch.float32).view(-1, 1, 1)
    found = fitted(head, samples)
    truth = torch.tensor(numbers).view(1, 1, 1, -1)
    shares = law.cdf(head.quantiles(found, head.levels).flatten().double().numpy())
    np.testing.assert_allclose(shares, head.levels, rtol=0, atol=0.025)
    assert (
        head.loss(found.expand(4000, 1, 1, -1), samples).mean()
        <= head.loss(truth.expand(4000, 1, 1, -1), samples).mean()
    )
    if name != "mixture":
        torch.testing.assert_close(found, truth, rtol=0, atol=0.25)


def test_a_positive_number_is_nearly_exp_and_its_log_never_flat():
    x = torch.tensor([-1e6, -1e4, -50.0, 0.0, 50.0, 1e4, 1e6], requires_grad=True)
    positive(x, floor=0.0).log().sum().backward()
    assert x.grad is not None and (x.grad > 1e-6).all()
    assert (positive(x) > 0).all() and positive(x).isfinite().all() and (positive(x).diff() >= 0).all()
    near = torch.linspace(-1, 1, 21)
    torch.testing.assert_close(positive(near), near.exp(), rtol=0.01, atol=2e-4)


@pytest.mark.parametrize(("small", "large"), [(1e-8, 1e0), (1e0, 2e1), (2e1, 1e4), (1e4, 1e8)])
def test_the_incomplete_beta_function_is_scipys(small, large):
    rng = np.random.default_rng(1)
    a, b = (np.exp(rng.uniform(np.log(low), np.log(high), 3000)) for low, high in ((small, large), (1e-2, 1e7)))
    near = np.log(a / b) + rng.normal(0, 3, 3000) * np.sqrt(1 / a + 1 / b)
    for u in (near.clip(-600, 600), rng.normal(0, 20, 3000)):
        expected = np.where(u < 0, special.betainc(a, b, special.expit(u)), special.betaincc(b, a, special.expit(-u)))
        found = beta(*(torch.from_numpy(x) for x in (a, b, u))).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


NAN = float("nan")
UNORDERED = [[0.5, 0.1], [0.5, 0.5], [0.1, NAN, 0.9], [NAN]]
OUTSIDE = [[0.0, 0.5], [0.5, 1.0], [-0.1, 0.5], [0.5, 1.1]]
NO_NUMBERS = [[], ["a"], 0.5, None, [True], "0.5", [[0.5]]]


@spread
@pytest.mark.parametrize("levels", [*UNORDERED, *OUTSIDE, *NO_NUMBERS], ids=str)
def test_bad_levels_are_refused(name, levels):
    with pytest.raises(Refusal, match="levels"):
        made(name, levels=levels)


@known
@pytest.mark.parametrize("levels", [[0.1, 0.2], [0.6, 0.9]], ids=str)
def test_levels_without_a_median_are_refused(name, levels):
    with pytest.raises(Refusal, match="median"):
        made(name, levels=levels)


@pytest.mark.parametrize("components", [0, -1, 1.5, None])
def test_a_mixture_of_nothing_is_refused(components):
    with pytest.raises(Refusal, match="components"):
        made("mixture", components=components)


def test_levels_too_close_for_float32_are_refused_or_work():
    with contextlib.suppress(Refusal):
        head = made("quantile", levels=[0.5, 0.5 + 1e-9])
        assert head.quantiles(torch.zeros(1, 1, 1, 2), head.levels).isfinite().all()


@pytest.mark.parametrize("loss", ["rmse", "", None, 1, "MAE"])
def test_an_unknown_loss_is_refused(loss):
    with pytest.raises(Refusal, match=r"head\.loss"):
        made("point", loss=loss)


@pytest.mark.parametrize("name", [name for name in YAMLS if made(name).span is not None])
def test_levels_of_their_own_are_those_of_the_same_number(name):
    head, numbers = made(name), random(2, 3, 2, made(name).width)
    levels = torch.tensor([[0.2, 0.5], [0.3, 0.7], [0.45, 0.8]], dtype=torch.float64)  # [h c]
    found = head.quantiles(numbers, levels[..., None])[..., 0]
    for h in range(3):
        for c in range(2):
            alone = head.quantiles(numbers[:, h : h + 1, c : c + 1], [levels[h, c].item()])[..., 0]
            torch.testing.assert_close(found[:, h : h + 1, c : c + 1], alone, rtol=1e-6, atol=1e-6)
