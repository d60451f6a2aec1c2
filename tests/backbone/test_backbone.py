"""What every file of conf/backbone promises, and the equations of the cells written out with plain tensors."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from forecast import build
from forecast.config import CONF

YAMLS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path(CONF, "backbone").glob("*.yaml"))}
FEATURES, HIDDEN, B, T = 3, 5, 4, 7

every = pytest.mark.parametrize("name", YAMLS)
depths = pytest.mark.parametrize("layers", [1, 2])


def settings(name: str, **changes) -> dict:
    """The yaml's settings, small; `changes` that a backbone does not know are left out."""
    small = {"hidden_size": HIDDEN, **changes}
    return YAMLS[name] | {key: value for key, value in small.items() if key in YAMLS[name]}


def made(name: str, **changes) -> nn.Module:
    torch.manual_seed(1)
    return build.part("backbone", settings(name, **changes), FEATURES)


def sequence(seed: int = 2) -> Tensor:
    return torch.randn(B, T, FEATURES, generator=torch.Generator().manual_seed(seed))


def stepped(net: nn.Module, x: Tensor, state: tuple) -> tuple[Tensor, tuple]:
    outs = []
    for now in x.unbind(1):
        out, state = net.step(now, state)
        outs.append(out)
    return torch.stack(outs, 1), state


def check_steps(net: nn.Module) -> None:
    """Asserts that a loop of `step` equals `forward`, from the initial state and from one that has seen something."""
    net.eval()
    state = net.initial(B)
    for seed in (2, 3):
        whole, after = net(sequence(seed), state)
        single, state = stepped(net, sequence(seed), state)
        torch.testing.assert_close(single, whole, rtol=0, atol=1e-6)
        for mine, theirs in zip(state, after, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


@every
@depths
def test_a_loop_of_steps_equals_forward(name, layers):
    check_steps(made(name, layers=layers))


@every
@pytest.mark.parametrize("forgets", ["forward", "step"])
def test_the_check_of_steps_catches_a_backbone_that_forgets(name, forgets):
    net = made(name)
    right = getattr(net, forgets)
    setattr(net, forgets, lambda x, state: right(x, net.initial(len(x))))
    with pytest.raises(AssertionError):
        check_steps(net)


@every
@depths
def test_every_parameter_gets_a_gradient(name, layers):
    net = made(name, layers=layers)
    out, _ = net(sequence(), net.initial(B))
    out[:, -1].square().sum().backward()
    assert [key for key, x in net.named_parameters() if x.grad is None or not x.grad.any()] == []


@every
@depths
@pytest.mark.parametrize("bidirectional", [False, True])
def test_size_directions_and_state_are_as_promised(name, layers, bidirectional):
    net = made(name, layers=layers, bidirectional=bidirectional)
    both = bidirectional and "bidirectional" in YAMLS[name]
    assert net.directions == (2 if both else 1) and net.size == HIDDEN * net.directions
    state = net.initial(B)
    out, after = net(sequence(), state)
    assert out.shape == (B, T, net.size)
    assert isinstance(state, tuple) and isinstance(after, tuple) and len(state) == len(after) > 0
    assert [x.shape for x in state] == [x.shape for x in after]
    assert all(isinstance(x, Tensor) and x.isfinite().all() for x in (*state, *after))


@every
@pytest.mark.parametrize("bidirectional", [False, True])
def test_windows_of_a_batch_do_not_see_each_other(name, bidirectional):
    net, x = made(name, bidirectional=bidirectional), sequence()
    whole, _ = net(x, net.initial(B))
    for i in range(B):
        alone, _ = net(x[i : i + 1], net.initial(1))
        torch.testing.assert_close(alone[0], whole[i], rtol=0, atol=1e-6)


@every
def test_one_direction_does_not_see_the_future(name):
    net, x = made(name, layers=2), sequence()
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = net(x, net.initial(B))[0], net(changed, net.initial(B))[0]
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.isclose(before[:, 4:], after[:, 4:]).all(-1).any()


@every
def test_dropout_acts_between_layers_while_training_only(name):
    x = sequence()

    def differs(layers: int, train: bool) -> bool:
        net = made(name, layers=layers, dropout=0.5).train(train)
        return not torch.equal(net(x, net.initial(B))[0], net(x, net.initial(B))[0])

    assert [differs(2, True), differs(2, False), differs(1, True)] == ["layers" in YAMLS[name], False, False]


def weights(net: nn.Module, suffix: str) -> list[Tensor]:
    """The four tensors of one layer and direction, by torch's names."""
    found = {key.rsplit(".", 1)[-1]: x.detach() for key, x in net.named_parameters()}
    return [found[f"{kind}_{suffix}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def elman(act):
    def cell(x, state, w_ih, w_hh, b_ih, b_hh):
        (h,) = state
        return (act(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh),)

    return cell


def lstm(x, state, w_ih, w_hh, b_ih, b_hh):
    h, c = state
    i, f, candidate, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    (xr, xz, xn), (hr, hz, hn) = (x @ w_ih.T + b_ih).chunk(3, -1), (h @ w_hh.T + b_hh).chunk(3, -1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return ((1 - z) * n + z * h,)


CELLS = {
    "tanh": ("rnn", {"nonlinearity": "tanh"}, elman(torch.tanh), 1),
    "relu": ("rnn", {"nonlinearity": "relu"}, elman(lambda x: x.clamp(min=0)), 1),
    "lstm": ("lstm", {}, lstm, 2),
    "gru": ("gru", {}, gru, 1),
}


def unrolled(net: nn.Module, cell, x: Tensor, layers: int, directions: int, states: int) -> Tensor:
    """The network's outputs by its equations, one step, layer and direction at a time."""
    for layer in range(layers):
        outs = []
        for direction in ("", "_reverse")[:directions]:
            state, seen = (torch.zeros(len(x), HIDDEN),) * states, []
            for now in x.flip(1).unbind(1) if direction else x.unbind(1):
                state = cell(now, state, *weights(net, f"l{layer}{direction}"))
                seen.append(state[0])
            out = torch.stack(seen, 1)
            outs.append(out.flip(1) if direction else out)
        x = torch.cat(outs, -1)
    return x


@pytest.mark.parametrize("which", CELLS)
@depths
@pytest.mark.parametrize("directions", [1, 2])
def test_a_cell_follows_its_equations(which, layers, directions):
    name, changes, cell, states = CELLS[which]
    net = made(name, layers=layers, bidirectional=directions == 2, **changes)
    out, _ = net(sequence(), net.initial(B))
    torch.testing.assert_close(out.detach(), unrolled(net, cell, sequence(), layers, directions, states))


@pytest.mark.parametrize("wrong", ["lstm without forgetting", "gru with its gate turned", "relu for tanh"])
def test_the_check_of_equations_catches_a_wrong_cell(wrong):
    def no_forgetting(x, state, *w):
        h, c = lstm(x, state, *w)
        return h, c + state[1]

    def turned(x, state, *w):
        (h,) = gru(x, state, *w)
        return (state[0] + h,)

    name, cell, states = {
        "lstm without forgetting": ("lstm", no_forgetting, 2),
        "gru with its gate turned": ("gru", turned, 1),
        "relu for tanh": ("rnn", elman(torch.relu), 1),
    }[wrong]
    net = made(name)
    out, _ = net(sequence(), net.initial(B))
    assert not torch.allclose(out, unrolled(net, cell, sequence(), 1, 1, states), atol=1e-3)


@pytest.mark.parametrize("name", [name for name in YAMLS if "orthogonal" in YAMLS[name]])
@depths
def test_initial_recurrent_weights_are_orthogonal_where_asked(name, layers):
    def distances(orthogonal: bool) -> list[float]:
        """How far each gate's recurrent weights are from W W^T = 1."""
        net = made(name, layers=layers, orthogonal=orthogonal, bidirectional=True)
        found = [x.detach() for key, x in net.named_parameters() if "weight_hh" in key]
        assert len(found) == 2 * layers
        return [float((w @ w.T - torch.eye(HIDDEN)).abs().max()) for x in found for w in x.split(HIDDEN)]

    assert max(distances(True)) < 1e-5 and min(distances(False)) > 0.1


@depths
def test_the_forget_gates_bias_is_as_the_option_says(layers):
    def biases(value: float | None) -> tuple[Tensor, Tensor]:
        """The summed biases of the forget gates, and those of the other gates."""
        net = made("lstm", layers=layers, forget_bias=value, bidirectional=True)
        all_weights = [weights(net, f"l{i}{way}") for i in range(layers) for way in ("", "_reverse")]
        summed = torch.stack([b_ih + b_hh for *_, b_ih, b_hh in all_weights])
        return summed[:, HIDDEN : 2 * HIDDEN], torch.cat((summed[:, :HIDDEN], summed[:, 2 * HIDDEN :]), 1)

    plain, others = biases(None)
    assert plain.abs().max() <= 2 / HIDDEN**0.5 and plain.std() > 0  # torch's own: uniform, each bias for itself
    for value in (1.0, 0.0, -2.0, 1e3):
        forget, rest = biases(value)
        assert torch.equal(forget, torch.full_like(forget, value)) and torch.equal(rest, others)
