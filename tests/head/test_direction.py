"""Classes against their definitions: edges by numpy, loss and probabilities by scipy and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn.metrics import log_loss
from torch import Tensor

from forecast import build
from forecast.error import Refusal
from forecast.head.base import Head

QUICK = settings(max_examples=30, deadline=None)
EDGES = st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6, unique=True).map(sorted)


def made(bins=(-0.1, 0.1), classes=("down", "flat", "up")) -> Head:
    return build.part(
        "head", {"name": "direction", "bins": None if bins is None else [*bins], "classes": list(classes)}
    )


def lettered(bins) -> Head:
    return made(bins, "abcdefg"[: len(bins) + 1])


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@QUICK
@given(bins=EDGES, seed=st.integers(0, 99))
def test_a_class_begins_above_its_edge(bins, seed):
    edges = np.array(bins, "float32")
    target = np.concatenate((3 * random(40, seed=seed).numpy(), edges, np.nextafter(edges, np.float32(9))))
    found = lettered(bins).number(torch.from_numpy(target).view(1, -1, 1)).flatten()
    assert found.tolist() == [sum(bool(value > edge) for edge in edges) for value in target]


def test_the_edges_of_labels_lie_halfway_between_their_numbers():
    head = made(None, "abcd")
    numbers = torch.arange(4.0).view(1, 4, 1)
    assert torch.equal(head.number(numbers), numbers)
    assert torch.equal(head.number(numbers + 0.4), numbers) and torch.equal(head.number(numbers - 0.4), numbers)
    certain = 50 * torch.eye(4)[None, :, None]
    assert torch.equal(head.point(certain), numbers)  # so that errors in validation are those of numbers


@QUICK
@given(bins=EDGES, seed=st.integers(0, 99))
def test_the_loss_is_that_of_scikit_learn(bins, seed):
    head = lettered(bins)
    numbers, target = 2 * random(5, 4, 2, head.width, seed=seed), 2 * random(5, 4, 2, seed=seed + 1)
    p, true = head.probabilities(numbers), head.number(target).flatten().numpy()
    np.testing.assert_allclose(p, special.softmax(numbers.double().numpy(), -1), rtol=1e-12)
    torch.testing.assert_close(p.sum(-1), torch.ones(5, 4, 2).double(), rtol=0, atol=1e-14)
    expected = log_loss(true, p.flatten(0, 2).numpy(), labels=range(head.width))
    assert float(head.loss(numbers, target).mean()) == pytest.approx(expected, rel=1e-5)


@QUICK
@given(bins=EDGES, seed=st.integers(0, 99))
def test_the_point_lies_in_the_most_probable_class(bins, seed):
    head = lettered(bins)
    if np.diff(bins).min(initial=1) > 1e-5:  # in float32 the middle of a narrower class is an edge
        numbers = random(5, 4, 2, head.width, seed=seed)
        best = head.probabilities(numbers).argmax(-1)
        assert torch.equal(head.number(head.point(numbers)).long(), best)


def test_minimising_the_loss_finds_the_frequencies():
    head, samples = made(), 0.2 * random(4001, 1, 1)
    numbers = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([numbers], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = head.loss(numbers.expand(*samples.shape, 3), samples).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    share = [float(x.float().mean()) for x in (samples <= -0.1, samples.abs() < 0.1, samples > 0.1)]
    np.testing.assert_allclose(head.probabilities(numbers.detach().view(1, 1, 1, 3)).flatten(), share, atol=1e-3)


@pytest.mark.parametrize(
    ("bins", "classes"),
    [
        ([0.1, -0.1], ["a", "b", "c"]),
        ([0.1, 0.1], ["a", "b", "c"]),
        ([0.0, float("nan")], ["a", "b", "c"]),
        ([0.0, float("inf")], ["a", "b", "c"]),
        ([0.0], ["a", "b", "c"]),
        ([], ["a", "b"]),
        ([0.0], ["a", "a"]),
        ([0.0], ["a", "b c"]),
        ([0.0], ["a", ""]),
        ([], ["a"]),
        (None, []),
    ],
)
def test_classes_and_edges_that_can_not_be_are_refused(bins, classes):
    with pytest.raises(Refusal, match=r"head\.(bins|classes)=.*expected"):
        made(bins, classes)


def test_classes_have_no_quantiles_and_no_samples():
    head, numbers = made(), random(1, 1, 1, 3)
    for asked in (lambda: head.quantiles(numbers, [0.5]), lambda: head.sample(numbers, 3)):
        with pytest.raises(Refusal, match="head=quantile"):
            asked()
