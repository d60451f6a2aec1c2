"""What all backbones share: layers of any cell, stacked, in one direction or two, dilated and regularised.

A file of this folder describes one layer in one direction (`forecast.contract.Layer`). Everything else is a layer
around layers, so that it works with every cell and costs nothing where it is off.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forecast.contract import Layer, State


class Stack(nn.Module):
    """Layers on top of each other; a backbone.

    `dropout` acts between layers, anew at each step or with one mask for all steps (`variational`), `zoneout` on the
    states, `norm` is a LayerNorm of each layer's outputs (J. L. Ba et al., "Layer normalization", 2016), and `residual`
    adds a layer's inputs to them, from the second layer on (Y. Wu et al., "Google's neural machine translation system",
    2016). `dilations` has one number a layer (None: all 1). A state is the states of the layers, one after the other.
    """

    def __init__(
        self,
        features: int,
        make_layer: Callable[[int], Layer],
        *,
        layers: int,
        bidirectional: bool,
        dropout: float,
        variational: bool,
        zoneout: float,
        residual: bool,
        norm: bool,
        dilations: Sequence[int] | None,
    ):
        super().__init__()
        if not 1 <= layers <= 1000:
            raise ValueError(f"layers={layers}: expected at least 1, and at most 1000")
        for key, value in (("dropout", dropout), ("zoneout", zoneout)):
            if not 0 <= value <= 1:
                raise ValueError(f"{key}={value} does not lie between 0 and 1")
        steps = [1] * layers if dilations is None else list(dilations)
        if len(steps) != layers or min(steps) < 1:
            raise ValueError(
                f"dilations={steps} has {len(steps)} numbers for layers={layers}: expected one of each, >= 1"
            )

        def one(width: int, dilation: int) -> Layer:
            layer = make_layer(width)
            layer = Zoneout(layer, zoneout) if zoneout else layer
            return Dilated(layer, dilation) if dilation > 1 else layer

        self.layers: Any = nn.ModuleList()
        self.size, self.directions, self.residual = features, 1 + bidirectional, residual
        for dilation in steps:
            width = self.size
            layer = Both(one(width, dilation), one(width, dilation)) if bidirectional else one(width, dilation)
            above = len(self.layers) > 0
            layer = Variational(layer, width, dropout) if above and dropout and variational else layer
            self.layers.append(layer)
            self.size = layer.size
        self.norms = nn.ModuleList(nn.LayerNorm(self.size) if norm else nn.Identity() for _ in steps)
        self.dropout = nn.Dropout(0.0 if variational else dropout)
        ends = accumulate((len(layer.initial(1)) for layer in self.layers), initial=0)
        self.parts = [slice(first, end) for first, end in pairwise(ends)]

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        return self.through("__call__", x, state)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        return self.through("step", x, state)

    def through(self, way: str, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One layer after the other, all steps at once or one; what stands between them acts on any axes."""
        after: State = ()
        for i, (layer, norm, part) in enumerate(zip(self.layers, self.norms, self.parts, strict=True)):
            out, now = getattr(layer, way)(self.dropout(x) if i else x, state[part])
            x = x + norm(out) if i and self.residual else norm(out)
            after += now
        return x, after

    def initial(self, b: int) -> State:
        return tuple(x for layer in self.layers for x in layer.initial(b))


class Both(nn.Module):
    """A layer that reads forward beside one that reads backward; it has no `step`, as it needs the whole sequence.

    Source: M. Schuster, K. K. Paliwal, "Bidirectional recurrent neural networks", 1997.
    """

    def __init__(self, ahead: Layer, back: Layer):
        super().__init__()
        self.ahead, self.back = ahead, back
        self.size = ahead.size + back.size

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        half = len(state) // 2
        first, ahead = self.ahead(x, state[:half])
        second, back = self.back(x.flip(1), state[half:])
        return torch.cat((first, second.flip(1)), -1), ahead + back

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        raise ValueError("bidirectional=true: a backbone that reads both ways can't go step by step")

    def initial(self, b: int) -> State:
        return self.ahead.initial(b) + self.back.initial(b)


class Dilated(nn.Module):
    """A layer that goes on from its state `dilation` steps ago, as that many layers (of one weight) that take turns.

    Their states lie on the second axis of each tensor, that of the next step first. For `forward` the turns are rows
    of the batch, so that the layer's own kernel reads them all at once.

    Source: S. Chang et al., "Dilated recurrent neural networks", 2017.
    """

    def __init__(self, layer: Layer, dilation: int):
        super().__init__()
        self.layer, self.dilation, self.size = layer, dilation, layer.size

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        b, d, t = x.shape[0], self.dilation, x.shape[1]
        rounds, outs = t // d, []
        if rounds:
            turns = x[:, : rounds * d].unflatten(1, (rounds, d)).transpose(1, 2).flatten(0, 1)
            out, state = self.layer(turns, tuple(each.flatten(0, 1) for each in state))
            state = tuple(each.unflatten(0, (b, d)) for each in state)
            outs.append(out.unflatten(0, (b, d)).transpose(1, 2).flatten(1, 2))
        if t % d:
            out, state = self.turns(x[:, rounds * d :], state)
            outs.append(out)
        return torch.cat(outs, 1), state

    def turns(self, x: Float[Tensor, "b r f"], state: State) -> tuple[Float[Tensor, "b r d"], State]:
        """The next r < dilation steps, which don't depend on each other."""
        b, r = x.shape[:2]
        out, now = self.layer.step(x.flatten(0, 1), tuple(each[:, :r].flatten(0, 1) for each in state))
        pairs = zip(state, now, strict=True)
        return out.unflatten(0, (b, r)), tuple(torch.cat((a[:, r:], z.unflatten(0, (b, r))), 1) for a, z in pairs)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self.turns(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        return tuple(each.unflatten(0, (b, self.dilation)) for each in self.layer.initial(b * self.dilation))


class Variational(nn.Module):
    """Dropout of a layer's inputs by one mask for all steps, which therefore is part of the state.

    The recurrent connections are left alone (zoneout is for them).

    Source: Y. Gal, Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
    """

    def __init__(self, layer: Layer, features: int, p: float):
        super().__init__()
        self.layer, self.features, self.p, self.size = layer, features, p, layer.size

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        mask, inner = state[0], state[1:]
        out, after = self.layer(x * mask[:, None] if self.training else x, inner)
        return out, (mask, *after)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        mask, inner = state[0], state[1:]
        out, after = self.layer.step(x * mask if self.training else x, inner)
        return out, (mask, *after)

    def initial(self, b: int) -> State:
        state = self.layer.initial(b)
        return functional.dropout(state[0].new_ones(b, self.features), self.p, self.training), *state


class Zoneout(nn.Module):
    """Keeps each number of the state as it was with probability p; in evaluation the expectation of that.

    As every step needs the one before, `forward` is a loop of `step`. A layer whose state is not to be averaged
    number by number says how by a method `blend(old, new, keep)`.

    Source: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", 2017.
    """

    def __init__(self, layer: Layer, p: float):
        super().__init__()
        if not layer.initial(1):
            raise ValueError(f"zoneout={p}: this cell has no state; use 0")
        self.layer, self.p, self.size = layer, p, layer.size

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        outs = []
        for now in x.unbind(1):
            out, state = self.step(now, state)
            outs.append(out)
        return torch.stack(outs, 1), state

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        _, new = self.layer.step(x, state)
        keep = tuple(torch.full_like(each, self.p) for each in new)
        keep = tuple(map(torch.bernoulli, keep)) if self.training else keep
        state = getattr(self.layer, "blend", average)(state, new, keep)
        return state[0], state

    def initial(self, b: int) -> State:
        return self.layer.initial(b)


def average(old: State, new: State, keep: State) -> State:
    return tuple(share * a + (1 - share) * z for a, z, share in zip(old, new, keep, strict=True))
