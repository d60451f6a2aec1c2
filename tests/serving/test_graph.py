"""Every model, backbone, head and normalizer forecasts in ONNX Runtime as it does in torch, or is refused."""

from dataclasses import replace
from functools import cache
from itertools import product

import pytest
import torch
from test_matrix import NAMES, SMALL, why

from forecast import build, check
from forecast.config import composed
from forecast.error import Refusal
from forecast.serving.graph import error, graph

CLOSE = 1e-5  # standard deviations of y
SEARCHED = ("mixture", "negative_binomial")  # heads whose quantiles are found by a search
pytestmark = pytest.mark.usefixtures("unchecked")

EACH = [  # every part once at least, and what they are put together with
    (("direct", "lstm", "quantile", "standard"), 1, "all of them"),
    (("seq2seq", "gru", "student", "last"), 3, "future covariates"),
    (("segment", "rnn", "normal", "cycle"), 2, "no covariates"),
    (("linear", "lstm", "direction", "last"), 1, "static categories"),
    (("autoregressive", "mingru", "lognormal", "mean"), 1, "static covariates"),
    (("autoregressive", "lstm", "quantile", "standard"), 2, "a gap"),
    (("direct", "slstm", "point", "season"), 1, "past covariates"),
    (("direct", "minlstm", "point", "none"), 1, "no covariates"),
    (("direct", "dilated", "point", "none"), 1, "no covariates"),
]


def test_every_part_is_tried():
    tried = {name for cell, _, _ in EACH for name in cell} | {*SEARCHED}
    assert tried == {name for names in NAMES.values() for name in names}


@cache
def parts(cell):
    """The settings of small parts."""
    model, backbone, head, normalizer = cell
    found = composed("train", [f"model={model}", f"backbone={backbone}", f"head={head}", f"normalizer=[{normalizer}]"])
    small = {group: {key: size for key, size in sizes.items() if key in found[group]} for group, sizes in SMALL.items()}
    return found | {group: found[group] | sizes for group, sizes in small.items()}


def made(cell, channels=1, kind="no covariates", context=6, horizon=2, scaler=None):
    """A model of these parts with weights as they are made."""
    config = dict(parts(cell))
    head = build.part("head", config["head"])
    shape = replace(check.facts(context, horizon, 4, head.width), channels=channels, **check.KINDS[kind])
    scaling = check.scales(shape, head.support)
    build.check(config)
    torch.manual_seed(0)
    return build.model(config, shape, scaling if scaler is None else replace(scaling, kind=scaler)).eval()


@pytest.mark.parametrize(
    ("cell", "channels", "kind"), EACH, ids=lambda x: "-".join(x) if isinstance(x, tuple) else str(x)
)
def test_the_graph_forecasts_as_the_model_does(cell, channels, kind):
    model = made(cell, channels, kind)
    assert error(model, graph(model)) < CLOSE


@pytest.mark.parametrize("scaler", ["asinh", "log1p"])
def test_scalers_that_bend_are_in_the_graph(scaler):
    model = made(("linear", "lstm", "quantile", "none"), scaler=scaler)
    model.scale.fill_(0.7)
    model.loc.fill_(4.0)
    assert error(model, graph(model)) < CLOSE


@pytest.mark.parametrize("head", SEARCHED)
def test_a_search_for_quantiles_is_refused(head):
    with pytest.raises(Refusal, match="found by a search"):
        graph(made(("linear", "lstm", head, "none")))


def test_a_graph_of_another_model_is_found_out():
    first, second = made(("linear", "lstm", "quantile", "none")), made(("linear", "lstm", "quantile", "none"))
    with torch.no_grad():
        second.maps[0].bias += 1e-4
    assert error(second, graph(first)) > CLOSE


@pytest.mark.slow
def test_every_model_with_every_backbone():
    """Prints the largest error of all; heads and normalizers take turns."""
    heads = [name for name in NAMES["head"] if name not in SEARCHED]
    worst, refused = (0.0, ""), {}
    for i, (model, backbone, head) in enumerate(product(NAMES["model"], NAMES["backbone"], heads)):
        others = ("last",) if head == "direction" else ("none", "mean") if head == "lognormal" else NAMES["normalizer"]
        cell = (model, backbone, head, others[i % len(others)])
        if why(cell):
            refused["-".join(cell)] = why(cell)
            continue
        built = made(cell, 1 + i % 2, ("no covariates", "a gap", "future covariates")[i % 3], context=12, horizon=4)
        worst = max(worst, (error(built, graph(built)), "-".join(cell)))
        assert worst[0] < CLOSE, worst
    print(f"\n{worst[1]} is the worst of all: {worst[0]:.1e} standard deviations; {len(refused)} can't be built")
