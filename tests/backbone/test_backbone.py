"""What every yaml of conf/backbone promises under every option, and the equations of the cells in plain tensors."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import combinations, product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from forecast import build
from forecast.backbone import _scan
from forecast.backbone.base import Dilated, Stack
from forecast.config import CONF, composed

NAMES = sorted(path.stem for path in (CONF / "backbone").glob("*.yaml"))
YAMLS = {name: composed("train", [f"backbone={name}"])["backbone"] for name in NAMES}
CELLS = build.names("backbone")
FEATURES, HIDDEN, B, T = 3, 8, 3, 7

CHOICES = {
    "layers": (1, 3),
    "bidirectional": (False, True),
    "dropout": (0.0, 0.5),
    "variational": (False, True),
    "zoneout": (0.0, 0.3),
    "residual": (False, True),
    "norm": (False, True),
    "dilations": (None, [3, 2, 1]),
}
ROWS = [
    {key: pair[row in on] for (key, pair), on in zip(CHOICES.items(), combinations(range(1, 6), 3), strict=False)}
    for row in range(6)
]  # two sets of three among five meet and differ: every pair of choices (D. J. Kleitman, J. Spencer, 1973)

every = pytest.mark.parametrize("name", NAMES)
cell = pytest.mark.parametrize("name", CELLS)
options = pytest.mark.parametrize(
    ("name", "row"), [*((name, None) for name in NAMES), *product(CELLS, range(len(ROWS)))]
)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """The installed packages looked through once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(build.entry_points))
        yield


def made(name: str, row: int | None = None, **changes: Any) -> Stack:
    """A small backbone in evaluation, as its yaml has it or with a row of options."""
    wanted = YAMLS[name] | {"hidden_size": HIDDEN}
    wanted |= ROWS[row] if row is not None else {}
    wanted |= changes
    if wanted["dilations"] is not None:
        wanted["dilations"] = wanted["dilations"][: wanted["layers"]]
    torch.manual_seed(1)
    return build.backbone(wanted, FEATURES).eval()


def sequence(seed: int = 2, t: int = T) -> Tensor:
    return torch.randn(B, t, FEATURES, generator=torch.Generator().manual_seed(seed))


def stepped(net: Any, x: Tensor, state: tuple) -> tuple[Tensor, tuple]:
    outs = []
    for now in x.unbind(1):
        out, state = net.step(now, state)
        outs.append(out)
    return torch.stack(outs, 1), state


def check_steps(net: Stack, dtype: torch.dtype = torch.float32) -> None:
    """Asserts that `step` and `forward` agree, whichever of them read what came before, and how much of it."""
    net, x, atol = net.to(dtype), sequence().to(dtype), 1e-6 if dtype == torch.float32 else 1e-10
    whole, after = net(x, net.initial(B))
    for first in (0, 2, 5):
        outs, state = [], net.initial(B)
        for piece, read in ((x[:, :first], net), (x[:, first:], lambda *given: stepped(net, *given))):
            if piece.shape[1]:
                out, state = read(piece, state)
                outs.append(out)
        torch.testing.assert_close(torch.cat(outs, 1), whole, rtol=0, atol=atol)
        for mine, other in zip(state, after, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-6, atol=10 * atol)
    _, state = stepped(net, x[:, :4], net.initial(B))
    torch.testing.assert_close(net(x[:, 4:], state)[0], whole[:, 4:], rtol=0, atol=atol)


def test_the_rows_of_options_hold_every_pair_of_choices():
    for (a, first), (b, second) in combinations(CHOICES.items(), 2):
        assert [pair for pair in product(first, second) if pair not in [(row[a], row[b]) for row in ROWS]] == []


@options
def test_a_loop_of_steps_equals_forward(name, row):
    check_steps(made(name, row, bidirectional=False), torch.float32 if row is None else torch.float64)


@every
def test_a_loop_of_steps_equals_forward_in_training_too_under_one_mask(name):
    """The mask is part of the state, which both begin with."""
    net, x = made(name, layers=3, dropout=0.5, variational=True, dilations=[1, 2, 1]).train(), sequence()
    state = net.initial(B)
    torch.testing.assert_close(stepped(net, x, state)[0], net(x, state)[0], rtol=0, atol=1e-6)
    assert not torch.allclose(net(x, net.initial(B))[0], net(x, state)[0])


@every
@pytest.mark.parametrize("forgets", ["forward", "step"])
@pytest.mark.parametrize("dilations", [[1], [2]])
def test_the_check_of_steps_catches_a_backbone_that_forgets(name, forgets, dilations):
    net = made(name, layers=1, dilations=dilations)
    right = getattr(net, forgets)
    setattr(net, forgets, lambda x, state: right(x, net.initial(len(x))))
    with pytest.raises(AssertionError):
        check_steps(net)


@every
@pytest.mark.parametrize("dilations", [[1, 1], [2, 3]])
def test_two_directions_have_no_step(name, dilations):
    net = made(name, layers=2, bidirectional=True, dilations=dilations)
    with pytest.raises(ValueError, match="bidirectional"):
        net.step(sequence()[:, 0], net.initial(B))


@options
@pytest.mark.parametrize("train", [False, True])
def test_every_parameter_gets_a_gradient(name, row, train):
    net = made(name, row).train(train)
    out, _ = net(sequence(t=10), net.initial(B))  # longer than any dilation
    (out * torch.randn_like(out)).sum().backward()
    assert [key for key, x in net.named_parameters() if x.grad is None or not x.grad.any()] == []


@options
def test_size_directions_and_state_are_as_promised(name, row):
    net = made(name, row).train()
    assert net.directions == 1 + (row is not None and ROWS[row]["bidirectional"])
    assert net.size == HIDDEN * net.directions
    state = net.initial(B)
    out, after = net(sequence(), state)
    assert out.shape == (B, T, net.size)
    assert isinstance(state, tuple) and isinstance(after, tuple) and len(state) == len(after) > 0
    assert [x.shape for x in state] == [x.shape for x in after]
    assert all(len(x) == B and x.dtype == torch.float32 and x.isfinite().all() for x in (*state, *after))
    assert {x.dtype for x in net.double().initial(B)} == {torch.float64}
    assert {x.device.type for x in net.to("meta").initial(B)} == {"meta"}


@options
def test_windows_do_not_see_each_other_and_their_states_expand_to_paths(name, row):
    net, x, later = made(name, row).double(), sequence().double(), sequence(3, 4).double()
    whole, state = net(x, net.initial(B))
    for i in range(B):
        alone, _ = net(x[i : i + 1], net.initial(1))
        torch.testing.assert_close(alone[0], whole[i], rtol=0, atol=1e-10)
    paths = net(later.repeat_interleave(3, 0), tuple(each.repeat_interleave(3, 0) for each in state))[0]
    torch.testing.assert_close(paths, net(later, state)[0].repeat_interleave(3, 0), rtol=0, atol=1e-10)


@options
def test_what_is_random_is_so_while_training_only(name, row):
    net, x, found = made(name, row), sequence(), YAMLS[name] if row is None else ROWS[row]
    for train in (False, True):
        net.train(train)
        same = torch.equal(net(x, net.initial(B))[0], net(x, net.initial(B))[0])
        assert same != (train and bool(found["zoneout"] or (found["dropout"] and found["layers"] > 1)))


@options
def test_one_direction_does_not_see_the_future(name, row):
    net, x = made(name, row, bidirectional=False), sequence()
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = net(x, net.initial(B))[0], net(changed, net.initial(B))[0]
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.isclose(before[:, 4:], after[:, 4:]).all(-1).any()


@every
@pytest.mark.parametrize("dilation", [1, 2])
def test_of_two_directions_the_first_half_reads_forward_and_the_second_backward(name, dilation):
    net, x = made(name, layers=1, bidirectional=True, dilations=[dilation]), sequence()
    past, future = x.clone(), x.clone()
    past[:, :6] += 1
    future[:, 6:] += 1
    whole, past, future = (net(each, net.initial(B))[0].chunk(2, -1) for each in (x, past, future))
    assert torch.equal(whole[0][:, :6], future[0][:, :6]) and torch.equal(whole[1][:, 6:], past[1][:, 6:])
    assert not torch.isclose(whole[0][:, -1], past[0][:, -1]).all(-1).any()
    assert not torch.isclose(whole[1][:, 0], future[1][:, 0]).all(-1).any()


@options
def test_weights_survive_a_file(name, row):
    net, other, x = made(name, row), made(name, row), sequence()
    for weight in net.parameters():
        nn.init.normal_(weight.detach(), std=0.3)
    assert not torch.equal(other(x, other.initial(B))[0], net(x, net.initial(B))[0])
    file = BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x, other.initial(B))[0], net(x, net.initial(B))[0])


@pytest.mark.parametrize(("name", "row"), [*((name, None) for name in NAMES), *((name, 2) for name in CELLS)])
def test_numbers_stay_finite_for_huge_inputs_and_long_sequences(name, row):
    net = made(name, row, bidirectional=False)
    for x in (1e4 * sequence(t=20), -1e4 * sequence(t=20).abs(), sequence(t=2000 if row is None else 200)):
        net.zero_grad()
        out, state = net(x, net.initial(B))
        out.square().mean().backward()
        assert all(each.isfinite().all() for each in (out, *state, *(weight.grad for weight in net.parameters())))


def halves() -> bool:
    """Whether this processor has torch's recurrent networks in bfloat16."""
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES if halves() else ["mingru", "minlstm", "slstm"])
@pytest.mark.parametrize("row", [None, 2, 5])
def test_mixed_precision_is_near_the_full_one(name, row):
    net, x = made(name, row), sequence()
    full, _ = net(x, net.initial(B))
    with torch.autocast("cpu", torch.bfloat16):
        half, state = net(x, net.initial(B))
        half.float().square().sum().backward()
    assert all(each.isfinite().all() for each in state)
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1)


def elman(layer: Any, x: Tensor, state: tuple) -> tuple:
    w_ih, w_hh, b_ih, b_hh = layer.net.parameters()
    act = {"tanh": torch.tanh, "relu": lambda x: x.clamp(min=0)}[layer.net.nonlinearity]
    return (act(x @ w_ih.T + b_ih + state[0] @ w_hh.T + b_hh),)


def lstm(layer: Any, x: Tensor, state: tuple) -> tuple:
    w_ih, w_hh, b_ih, b_hh = layer.net.parameters()
    h, c = state
    i, f, candidate, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru(layer: Any, x: Tensor, state: tuple) -> tuple:
    w_ih, w_hh, b_ih, b_hh = layer.net.parameters()
    (h,) = state
    (xr, xz, xn), (hr, hz, hn) = (x @ w_ih.T + b_ih).chunk(3, -1), (h @ w_hh.T + b_hh).chunk(3, -1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return ((1 - z) * n + z * h,)


def positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def mingru(layer: Any, x: Tensor, state: tuple) -> tuple:
    z, n = (x @ layer.gates.weight.T + layer.gates.bias).chunk(2, -1)
    z = torch.sigmoid(z)
    return ((1 - z) * state[0] + z * positive(n),)


def minlstm(layer: Any, x: Tensor, state: tuple) -> tuple:
    f, i, n = (x @ layer.gates.weight.T + layer.gates.bias).chunk(3, -1)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    return (f / (f + i) * state[0] + i / (f + i) * positive(n),)


def slstm(layer: Any, x: Tensor, state: tuple) -> tuple:
    """h and the true C and N, without a stabiliser; head by head."""
    outs = []
    for k in range(layer.heads):
        d = HIDDEN // layer.heads
        mine, gates = slice(k * d, (k + 1) * d), slice(4 * k * d, 4 * (k + 1) * d)
        h, c, n = (each[:, mine] for each in state)
        now = x @ layer.gates.weight[gates].T + layer.gates.bias[gates] + h @ layer.recurrent[k]
        i, f, z, o = now.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        outs.append((torch.sigmoid(o) * c / n, c, n))
    return tuple(torch.cat(each, -1) for each in zip(*outs, strict=True))


EQUATIONS: dict[str, tuple[Callable, int]] = {  # a step on the true states, and how many there are
    "rnn": (elman, 1),
    "lstm": (lstm, 2),
    "gru": (gru, 1),
    "mingru": (mingru, 1),
    "minlstm": (minlstm, 1),
    "slstm": (slstm, 3),
}


def true(name: str, state: tuple) -> tuple:
    """A layer's state as its equations know it."""
    if name != "slstm":
        return state
    h, c, n, m = state
    return h, c * m.exp(), n * m.exp()


def unrolled(net: Stack, name: str, x: Tensor, zoneout: float = 0.0) -> Tensor:
    """The network's outputs by its equations, one step, layer and direction at a time."""
    step, states = EQUATIONS[name]
    for layer in net.layers:
        outs = []
        for back, one in enumerate([layer] if net.directions == 1 else [layer.ahead, layer.back]):
            state, seen = (torch.zeros(len(x), HIDDEN, dtype=x.dtype),) * states, []
            for now in x.flip(1).unbind(1) if back else x.unbind(1):
                new = step(one.layer if zoneout else one, now, state)
                state = tuple(zoneout * a + (1 - zoneout) * z for a, z in zip(state, new, strict=True))
                seen.append(state[0])
            out = torch.stack(seen, 1)
            outs.append(out.flip(1) if back else out)
        x = torch.cat(outs, -1)
    return x


def test_every_cell_has_its_equations_here():
    assert sorted(EQUATIONS) == CELLS


@cell
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_a_cell_follows_its_equations(name, layers, bidirectional, zoneout):
    """With zoneout: each true state is its expectation, whatever the cell keeps instead."""
    net = made(name, layers=layers, bidirectional=bidirectional, zoneout=zoneout).double()
    x = 3 * sequence(t=25).double()
    out, _ = net(x, net.initial(B))
    torch.testing.assert_close(out, unrolled(net, name, x, zoneout), rtol=0, atol=1e-10)


def test_the_elman_network_with_relu_follows_its_equations():
    net, x = made("rnn", nonlinearity="relu"), sequence()
    torch.testing.assert_close(net(x, net.initial(B))[0], unrolled(net, "rnn", x))


@cell
def test_the_check_of_equations_catches_a_changed_cell(name):
    """Every parameter of a layer has its place in the equations: one changed alone is noticed."""
    x = sequence()
    for i, _ in enumerate(made(name).parameters()):
        net, other = made(name), made(name)
        list(other.parameters())[i].data.mul_(1.5).add_(0.1)
        assert not torch.allclose(net(x, net.initial(B))[0], unrolled(other, name, x), atol=1e-3)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_one_layer_is_torchs_own_to_the_bit(name):
    changes = {"orthogonal": False} | ({"forget_bias": None} if name == "lstm" else {})
    net, x = made(name, **changes), sequence()
    torch.manual_seed(1)
    theirs = getattr(nn, name.upper())(FEATURES, HIDDEN, batch_first=True)
    assert all(torch.equal(*pair) for pair in zip(net.parameters(), theirs.parameters(), strict=True))
    assert torch.equal(net(x, net.initial(B))[0], theirs(x)[0])


@cell
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_the_first_state_of_a_layer_is_its_output(name, zoneout):
    net = made(name, zoneout=zoneout).train()
    out, state = net(sequence(), net.initial(B))
    assert torch.equal(state[0], out[:, -1])


@pytest.mark.parametrize(("name", "zoneout"), [("mingru", 0.0), ("minlstm", 0.0), ("slstm", 0.0), ("slstm", 0.3)])
def test_gradients_are_those_of_differences(name, zoneout):
    net = made(name, hidden_size=4, zoneout=zoneout).double()
    names, weights = zip(*net.named_parameters(), strict=True)
    _, start = net(sequence()[:2].double(), net.initial(2))

    def outputs(x: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
        state = (hidden, *(each.detach() for each in start[1:]))
        return functional_call(net, dict(zip(names, weights, strict=True)), (x, state))[0]

    x = sequence(3, 4)[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, start[0].detach().requires_grad_(), *weights))


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
@pytest.mark.parametrize(("way", "close"), [("loop", 1e-5), ("scan", 1e-4)])
def test_gates_without_a_past_are_exact_however_extreme_and_long(name, way, close, monkeypatch):
    """float32 beside the equations in float64, 5000 steps from a positive state."""
    monkeypatch.setattr(_scan, "loop", getattr(_scan, way))
    layer = made(name).layers[0]
    x, start = torch.tensor([1, 30, 1e4])[:, None, None] * sequence(t=5000), (torch.rand(B, HIDDEN) + 0.1,)
    out, _ = layer(x, start)
    assert (out >= 0).all()
    seen, state = [], tuple(each.double() for each in start)
    gates = layer.gates(x).detach().double()  # the scan's own rounding, not that of the product before it
    layer.double().gates = nn.Identity()
    for now in gates.unbind(1):
        z, n = (now.chunk(2, -1)) if name == "mingru" else self_and_candidate(now)
        state = (torch.sigmoid(-z) * state[0] + torch.sigmoid(z) * positive(n),)
        seen.append(state[0])
    torch.testing.assert_close(out.double(), torch.stack(seen, 1), rtol=close, atol=1e-28)


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
@pytest.mark.parametrize("start", [0.0, 2.5])
def test_the_scan_of_logarithms_equals_the_loop_and_so_does_its_gradient(name, start, monkeypatch):
    layer, x = made(name).layers[0].double(), sequence(t=60).double()
    found = []
    for way in (_scan.loop, _scan.scan):
        monkeypatch.setattr(_scan, "loop", way)
        layer.zero_grad()
        out, _ = layer(x, (torch.full((B, HIDDEN), start, dtype=torch.float64),))
        out.square().sum().backward()
        found.append([out.detach(), *(weight.grad.clone() for weight in layer.parameters())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def self_and_candidate(now: Tensor) -> tuple[Tensor, Tensor]:
    """minLSTM's gates as minGRU has them: i / (f + i) = sigmoid(log i - log f)."""
    f, i, n = now.chunk(3, -1)
    return nn.functional.logsigmoid(i) - nn.functional.logsigmoid(f), n


@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_the_stabiliser_of_slstm_is_free(zoneout):
    """Another split of the same C and N into number and exponent, far off, gives the same outputs."""
    net, x = made("slstm", zoneout=zoneout).double(), sequence().double()
    _, (h, c, n, m) = net(x, net.initial(B))
    other = h, c * torch.tensor(-40.0).exp().double(), n * torch.tensor(-40.0).exp().double(), m + 40
    torch.testing.assert_close(net(x, other)[0], net(x, (h, c, n, m))[0], rtol=1e-5, atol=1e-7)


@cell
@pytest.mark.parametrize("dilation", [2, 3, 4])
@pytest.mark.parametrize("t", [1, 3, 4, 7, 8])
def test_a_dilated_layer_goes_on_from_its_state_that_many_steps_ago(name, dilation, t):
    layer = made(name).layers[0]
    net, x = Dilated(layer, dilation), sequence(t=t)
    out, _ = net(x, net.initial(B))
    states: list[tuple] = [layer.initial(B)] * dilation
    for step in range(t):
        expected, now = layer.step(x[:, step], states[step])
        states.append(now)
        states[step + dilation :] = [now]
        torch.testing.assert_close(out[:, step], expected, rtol=0, atol=1e-6)


@cell
def test_zoneout_of_all_keeps_the_first_state_and_of_none_changes_nothing(name):
    for train in (False, True):
        frozen, free = made(name, zoneout=1.0).train(train), made(name, zoneout=0.0).train(train)
        _, start = free(sequence(), free.initial(B))
        out, state = frozen(sequence(3), start)
        assert torch.equal(out, start[0][:, None].expand_as(out))
        for mine, other in zip(true(name, state), true(name, start), strict=True):
            torch.testing.assert_close(mine, other)
        barely = made(name, zoneout=1e-12).train(train)
        torch.testing.assert_close(barely(sequence(), start)[0], free(sequence(), start)[0], rtol=0, atol=1e-6)


@cell
def test_zoneout_keeps_the_old_number_or_takes_the_new_one_and_expects_their_mean(name):
    many, share = 4000, 0.3
    net, plain = made(name, zoneout=share), made(name)
    _, start = plain(sequence(), plain.initial(B))
    start = tuple(each[:1].expand(many, -1).detach() for each in start)
    x = sequence(3)[:1, 0].expand(many, -1)
    old, new = true(name, start), true(name, plain.step(x, start)[1])
    seen, expected = true(name, net.train().step(x, start)[1]), true(name, net.eval().step(x, start)[1])
    kept = [torch.isclose(each, a) for each, a in zip(seen, old, strict=True)]
    for each, z, mask, mean in zip(seen, new, kept, expected, strict=True):
        torch.testing.assert_close(each[~mask], z[~mask])
        assert abs(mask.float().mean() - share) < 0.02
        assert ((each.mean(0) - mean[0]).abs() < 0.1 * (each.std(0) + 1e-6)).all()
    if name == "slstm":
        assert torch.equal(kept[1], kept[2])  # numerator and denominator belong together
    if name in ("lstm", "slstm"):
        assert not torch.equal(kept[0], kept[1])


class Echo(nn.Module):
    """A layer that gives back what it reads, so that the stack around it shows."""

    def __init__(self, size: int):
        super().__init__()
        self.size, self.one = size, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        return x, (x[:, -1],)

    def step(self, x: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        return x, (x,)

    def initial(self, b: int) -> tuple:
        return (self.one.new_zeros(b, self.size),)


PLAIN = {key: off for key, (off, _) in CHOICES.items()}


def test_one_mask_of_variational_dropout_serves_all_steps_and_each_window_has_its_own():
    net = Stack(50, Echo, **PLAIN | {"layers": 2, "dropout": 0.3, "variational": True})
    x, start = torch.rand(40, 30, 50) + 1, net.initial(40)
    out, after = net(x, start)
    masks = out / x
    assert torch.allclose(masks, masks[:, :1].expand_as(masks))
    later, _ = net.step(x[:, 0], after)
    assert torch.allclose(later / x[:, 0], masks[:, 0])  # and the steps after
    assert ((masks == 0) | torch.isclose(masks, torch.tensor(1 / 0.7))).all()
    dropped = masks == 0
    assert abs(dropped.float().mean() - 0.3) < 0.05 and not torch.equal(dropped[0], dropped[1])
    assert torch.equal(net.eval()(x, start)[0], x)


def test_plain_dropout_draws_anew_at_each_step():
    net = Stack(50, Echo, **PLAIN | {"layers": 2, "dropout": 0.3})
    x = torch.rand(40, 30, 50) + 1
    kept = net(x, net.initial(40))[0] > 0
    assert not torch.equal(kept[:, 0], kept[:, 1]) and abs(kept.float().mean() - 0.7) < 0.01


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_residual_adds_what_a_layer_reads_from_the_second_on(dropout):
    net = Stack(3, Echo, **PLAIN | {"layers": 3, "residual": True, "dropout": dropout})
    x = sequence()
    out, _ = net(x, net.initial(B))
    assert torch.equal(out, 4 * x) if not dropout else ((out / x).round(decimals=4).unique().tolist() == [1, 3, 9])


def test_a_norm_is_of_a_layers_outputs_before_the_residual():
    net, x = Stack(6, Echo, **PLAIN | {"layers": 2, "norm": True, "residual": True}), torch.randn(B, T, 6)

    def normed(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()

    torch.testing.assert_close(net(x, net.initial(B))[0], normed(x) + normed(normed(x)))
    with torch.no_grad():
        net.norms[0].weight.fill_(2)
    torch.testing.assert_close(net(x, net.initial(B))[0], 2 * normed(x) + normed(2 * normed(x)))


@pytest.mark.parametrize("name", [name for name in NAMES if "orthogonal" in YAMLS[name]])
@pytest.mark.parametrize("layers", [1, 2])
def test_initial_recurrent_weights_are_orthogonal_where_asked(name, layers):
    def distances(orthogonal: bool) -> list[float]:
        """How far each gate's recurrent weights are from W W^T = 1."""
        net = made(name, layers=layers, orthogonal=orthogonal, bidirectional=True)
        found = [x.detach() for key, x in net.named_parameters() if "weight_hh" in key]
        assert len(found) == 2 * layers
        return [float((w @ w.T - torch.eye(HIDDEN)).abs().max()) for x in found for w in x.split(HIDDEN)]

    assert max(distances(True)) < 1e-5 and min(distances(False)) > 0.1


@pytest.mark.parametrize("layers", [1, 2])
def test_the_forget_gates_bias_is_as_the_option_says(layers):
    def biases(value: float | None) -> tuple[Tensor, Tensor]:
        """The summed biases of the forget gates, and those of the other gates."""
        net = made("lstm", layers=layers, forget_bias=value, bidirectional=True)
        both = [one.net for layer in net.layers for one in (layer.ahead, layer.back)]
        summed = torch.stack([(one.bias_ih_l0 + one.bias_hh_l0).detach() for one in both])
        return summed[:, HIDDEN : 2 * HIDDEN], torch.cat((summed[:, :HIDDEN], summed[:, 2 * HIDDEN :]), 1)

    plain, others = biases(None)
    assert plain.abs().max() <= 2 / HIDDEN**0.5 and plain.std() > 0  # torch's own: uniform, each bias for itself
    for value in (1.0, 0.0, -2.0, 1e3):
        forget, rest = biases(value)
        assert torch.equal(forget, torch.full_like(forget, value)) and torch.equal(rest, others)


@pytest.mark.parametrize(("name", "step"), [("minlstm", minlstm), ("slstm", slstm)])
def test_a_large_forget_bias_keeps_the_memory_and_a_small_one_loses_it(name, step):
    def moved(value: float) -> float:
        layer = made(name, forget_bias=value).layers[0]
        start = tuple(torch.full((B, HIDDEN), each) for each in (0.9, 9.0, 10.0)[: EQUATIONS[name][1]])
        return (step(layer, sequence()[:, 0], start)[-1] - start[-1]).abs().mean().item()

    assert moved(9.0) < moved(1.0) < 0.8 * moved(-9.0)  # minLSTM's share of the old has its limit at 1 / (1 + i)
