"""Every model with every backbone, head and normalizer keeps all contracts, or is refused with the reason.

The default run covers every pair of parts; the mark `slow` every combination, and pairs with every kind of covariate.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch

from forecast import build, check
from forecast.config import CONF, composed
from forecast.contract import Scaling, Shape
from forecast.error import Refusal

GROUPS = ("model", "backbone", "head", "normalizer")
NAMES = {group: sorted(path.stem for path in Path(CONF, group).glob("*.yaml")) for group in GROUPS}
SMALL = {
    "model": {"hidden": 8, "embedding": 2, "length": 2, "paths": 4},
    "backbone": {"hidden_size": 8},
    "head": {},
    "normalizer": {},
}
CONTEXT, HORIZON, SEASON = 24, 4, 4
FEW = [(3, "all of them"), (1, "a gap")]
Cell = tuple[str, str, str, str]


def paired() -> list[Cell]:
    """Cells such that each two parts of different kinds meet in one of them: the next has most pairs that are new."""
    every = list(product(*(NAMES[group] for group in GROUPS)))
    places = list(combinations(range(len(GROUPS)), 2))
    left = {(a, b, cell[a], cell[b]) for cell in every for a, b in places}
    found: list[Cell] = []
    while left:
        best = max(every, key=lambda cell: sum((a, b, cell[a], cell[b]) in left for a, b in places))
        left -= {(a, b, best[a], best[b]) for a, b in places}
        found.append(best)
    return found


EVERY = list(product(*(NAMES[group] for group in GROUPS)))
PAIRED = paired()


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """The installed packages are looked through once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(build.entry_points))
        yield


@cache
def yaml_of(group: str, name: str) -> dict[str, Any]:
    """The settings of a part, small."""
    found = composed("train", [f"{group}={name if group != 'normalizer' else [name]}"])[group]
    return found | {key: value for key, value in SMALL[group].items() if key in found}


def config_of(cell: Cell, **sizes: int) -> dict[str, Any]:
    parts = {group: yaml_of(group, name) for group, name in zip(GROUPS, cell, strict=True)}
    for part in parts.values():
        part |= {key: size for key, size in sizes.items() if key in part}
    return composed_once() | parts


@cache
def composed_once() -> dict[str, Any]:
    return composed("train", ["scheduler=none"])


def kept(contract: Any, cell: Cell, kinds: check.Kinds, **sizes: int) -> None:
    """Calls a contract; what is refused has to be for a reason that is known here."""
    config = config_of(cell, **sizes)
    head = build.part("head", config["head"])

    def make(shape: Shape, scaling: Scaling) -> Any:
        return build.model(config, shape, scaling)

    expected = pytest.raises(Refusal) if why(cell) else nullcontext()
    with expected:
        build.check(config)
        contract(make, check.facts(CONTEXT, HORIZON, SEASON, head.width), head.support, kinds)


def why(cell: Cell) -> str:
    """Why a cell can't work, whatever the data."""
    model, _, name, normalizer = cell
    head = build.part("head", yaml_of("head", name))
    if head.support not in build.kind("normalizer", normalizer).keeps:  # type: ignore[attr-defined]
        return "the law of the head does not survive the normalizer"
    if head.classes and normalizer != "last":
        return "classes are of the change since the last value"
    if head.classes and model == "autoregressive":
        return "a class can't be fed back"
    if normalizer == "season" and model in ("seq2seq", "autoregressive"):
        return "the horizon is normalised otherwise than the context"
    return ""


CHEAP = [contract for contract in check.CONTRACTS if contract is not check.learning]


@pytest.mark.parametrize("contract", CHEAP, ids=lambda x: x.__name__)
@pytest.mark.parametrize("cell", PAIRED, ids="-".join)
def test_every_pair_of_parts_keeps_the_contracts(contract, cell):
    kept(contract, cell, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("cell", PAIRED, ids="-".join)
def test_every_pair_of_parts_keeps_the_contracts_with_every_kind_of_covariate(cell):
    for contract in CHEAP:
        kept(contract, cell, check.EVERY)


@pytest.mark.parametrize("contract", CHEAP, ids=lambda x: x.__name__)
def test_segments_keep_the_contracts_with_a_layer_for_covariates(contract):
    kept(contract, ("segment", "gru", "quantile", "standard"), check.EVERY, covariates=3)


@pytest.mark.slow
@pytest.mark.parametrize("cell", EVERY, ids="-".join)
def test_every_combination_of_parts_keeps_the_contracts(cell):
    for contract in CHEAP:
        kept(contract, cell, FEW)


LEARN = [(model, "lstm", "quantile", "none") for model in ("direct", "linear", "segment")]
LEARN += [("direct", "lstm", "normal", "none")]
SLOW = [(model, "lstm", "quantile", "none") for model in ("autoregressive", "seq2seq")]
SLOW += [("direct", "lstm", head, "none") for head in ("negative_binomial", "point")]
SLOW += [("direct", backbone, "quantile", "none") for backbone in NAMES["backbone"] if backbone != "lstm"]
SLOW += [("direct", "lstm", head, "none") for head in ("lognormal", "mixture", "student")]
SLOW += [("direct", "lstm", "quantile", normalizer) for normalizer in NAMES["normalizer"] if normalizer != "none"]


@pytest.mark.parametrize("cell", [*LEARN, *(pytest.param(x, marks=pytest.mark.slow) for x in SLOW)], ids="-".join)
def test_each_part_learns_a_wave_by_heart(cell):
    kept(check.learning, cell, (), hidden_size=32, hidden=32)


PLANTED = {  # contract -> a fault in the model that it must catch
    "shapes": lambda model: setattr(model.head, "quantiles", lambda params, levels: torch.zeros(*params.shape[:3], 1)),
    "gradients": lambda model: setattr(model.backbone, "forward", torch.no_grad()(model.backbone.forward)),
    "independence": lambda model: wrap(model, lambda params, batch: params + params.mean(0)),
    "look_ahead": lambda model: wrap(model, lambda params, batch: params + batch.target[:, :1, :1, None].float()),
    "newest": lambda model: wrap(model, lambda params, batch: params * 0),
    "constants": lambda model: wrap(model, lambda params, batch: params / batch.y.std(1).float()[:, None, :, None]),
    "saving": lambda model: wrap(model, lambda params, batch: params + id(model) % 1000 / 1000),
    "mixed_precision": lambda model: wrap(model, lambda params, batch: params / (1 - torch.is_autocast_enabled("cpu"))),
    "learning": lambda model: wrap(model, lambda params, batch: params * 1e-6),
}


def wrap(model: Any, change: Any) -> None:
    right = model.network
    model.network = lambda z, batch: change(right(z, batch), batch)


@pytest.mark.parametrize("contract", [*CHEAP, pytest.param(check.learning, marks=pytest.mark.slow)])
def test_each_contract_can_be_broken(contract):
    config = config_of(("direct", "gru", "quantile", "none"))
    torch.manual_seed(0)

    def make(shape: Shape, scaling: Scaling) -> Any:
        model = build.model(config, shape, scaling)
        torch.seed()
        PLANTED[contract.__name__](model)
        return model

    with pytest.raises(AssertionError):
        contract(make, check.facts(CONTEXT, HORIZON, SEASON, 9), "real")


class Forgetful(torch.nn.Module):
    """A backbone whose steps don't remember."""

    size, directions = 6, 1

    def __init__(self, features: int):
        super().__init__()
        self.net = torch.nn.GRU(features, 6, batch_first=True)

    def forward(self, x: torch.Tensor, state: Any) -> Any:
        out, hidden = self.net(x, state[0][None])
        return out, (hidden[0],)

    def step(self, x: torch.Tensor, state: Any) -> Any:
        out, _ = self(x[:, None], self.initial(len(x)))
        return out[:, 0], state

    def initial(self, b: int) -> Any:
        return (torch.zeros(b, 6),)


def test_the_contract_of_steps_can_be_broken():
    check.stepping(lambda features: build.backbone(yaml_of("backbone", "gru"), features))
    with pytest.raises(AssertionError):
        check.stepping(Forgetful)
