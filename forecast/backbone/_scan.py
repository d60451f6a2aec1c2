"""h_t = keep_t * h_{t-1} + new_t: cells whose gates don't see h, for all steps at once or one after the other.

Source of the scan: W. D. Hillis, G. L. Steele, "Data parallel algorithms", 1986; here of logarithms, as L. Feng et al.,
"Were RNNs all we needed?", 2024, have it.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forecast.contract import State

TINY = 1e-30  # what 0 is for a logarithm


class Unrolled(nn.Module):
    """A layer with `count` gates that see the input alone: all of them are computed at once, then h is unrolled."""

    def __init__(self, features: int, count: int, hidden_size: int):
        super().__init__()
        if hidden_size < 1:
            raise ValueError(f"hidden_size={hidden_size}: expected at least 1")
        self.gates = nn.Linear(features, count * hidden_size)
        self.count, self.size = count, hidden_size

    @abstractmethod
    def logarithms(self, *gates: Tensor) -> tuple[Tensor, Tensor]:
        """Of keep and new, from the gates before their sigmoid."""

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        keep, new = self.logarithms(*self.gates(x).to(state[0].dtype).chunk(self.count, -1))
        out = unrolled(keep, new, state[0])
        return out, (out[:, -1],)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        return (self.gates.weight.new_zeros(b, self.size),)


def unrolled(
    keep: Float[Tensor, "b t d"], new: Float[Tensor, "b t d"], hidden: Float[Tensor, "b d"]
) -> Float[Tensor, "b t d"]:
    """All hidden states, from logarithms of what is kept and of what is new: a scan, but on a processor a loop.

    There the loop is five times as fast, and exact to rounding.
    """
    return (loop if hidden.device.type == "cpu" else scan)(keep, new, hidden)


def scan(keep: Tensor, new: Tensor, hidden: Tensor) -> Tensor:
    """In parallel: each round joins every step with the one twice as far back as in the round before.

    No sum over all steps is ever taken off again, so that long sequences of extreme gates lose nothing.
    """
    first = torch.logaddexp(new[:, :1], keep[:, :1] + hidden.clamp(min=TINY).log()[:, None])
    new, back = torch.cat((first, new[:, 1:]), 1), 1
    while back < new.shape[1]:
        joined = torch.logaddexp(new[:, back:], keep[:, back:] + new[:, :-back])
        keep = torch.cat((keep[:, :back], keep[:, back:] + keep[:, :-back]), 1)
        new, back = torch.cat((new[:, :back], joined), 1), 2 * back
    return new.exp()


def loop(keep: Tensor, new: Tensor, hidden: Tensor) -> Tensor:
    outs = []
    for share, now in zip(keep.exp().unbind(1), new.exp().unbind(1), strict=True):
        hidden = torch.addcmul(now, share, hidden)
        outs.append(hidden)
    return torch.stack(outs, 1)


def positive(x: Tensor) -> Tensor:
    """The logarithm of g(x): x + 0.5 from 0 on, the sigmoid of x below."""
    return torch.where(x < 0, functional.logsigmoid(x), (x.relu() + 0.5).log())
