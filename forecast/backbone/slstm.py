"""The LSTM with exponential gates: C_t = f * C_{t-1} + exp(i) * tanh(z), N_t = f * N_{t-1} + exp(i), h_t = o * C_t/N_t.

Each gate sees x_t and h_{t-1}, the latter within its own head only. C and N grow like exp(i), so the state holds them
divided by exp(m), where m follows the largest exponent: h, c = C exp(-m), n = N exp(-m), m. The forget gate f is a
sigmoid, one of the paper's two. The norm of a head's outputs is left to the option that all backbones share.

Source: M. Beck et al., "xLSTM: extended long short-term memory", 2024, section 2.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forecast.contract import State

NOTHING = -1e30  # the first m: the exponent of an empty memory


class Slstm(nn.Module):
    def __init__(self, features: int, *, hidden_size: int, heads: int, forget_bias: float):
        super().__init__()
        if hidden_size < 1 or heads < 1 or hidden_size % heads:
            raise ValueError(f"hidden_size={hidden_size}, heads={heads}: expected heads that share the size evenly")
        self.size, self.heads = hidden_size, heads
        self.gates = nn.Linear(features, 4 * hidden_size)
        self.recurrent = nn.Parameter(torch.empty(heads, hidden_size // heads, 4 * hidden_size // heads))
        nn.init.uniform_(self.recurrent, -(hidden_size**-0.5), hidden_size**-0.5)
        nn.init.constant_(self.gates.bias.detach().view(heads, 4, -1)[:, 1], forget_bias)

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        with torch.autocast(x.device.type, enabled=False):
            return self.unrolled(self.gates(x.to(self.recurrent.dtype)), state)

    def unrolled(self, x: Float[Tensor, "b t g"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        """All steps from what the input says to the gates; heads are the first axis inside, as matrices like it.

        h does not depend on m, so neither does its gradient: m is taken as a constant.
        """
        h, c, n, m = (each.unflatten(1, (self.heads, -1)).transpose(0, 1) for each in state)
        outs = []
        for now in x.unflatten(2, (self.heads, -1)).permute(1, 2, 0, 3).unbind():
            i, f, z, o = torch.baddbmm(now, h, self.recurrent).chunk(4, -1)
            kept = functional.logsigmoid(f) + m
            m = torch.maximum(kept, i).detach()
            forget, enter = (kept - m).exp(), (i - m).exp()
            c = torch.addcmul(enter * z.tanh(), forget, c)
            n = torch.addcmul(enter, forget, n)
            h = o.sigmoid() * c / n
            outs.append(h)
        state = tuple(each.transpose(0, 1).flatten(1) for each in (h, c, n, m))
        return torch.stack(outs).permute(2, 0, 1, 3).flatten(2), state

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        zeros = self.recurrent.new_zeros(b, self.size)
        return zeros, zeros, zeros, torch.full_like(zeros, NOTHING)

    def blend(self, old: State, new: State, keep: State) -> State:
        """Zoneout: shares `keep` of the old numbers; of C and N themselves, whose common exponents differ."""
        hidden, share = keep[:2]
        before, after = old[3] + share.log(), new[3] + (1 - share).log()
        m = torch.maximum(before, after)
        c, n = ((before - m).exp() * old[k] + (after - m).exp() * new[k] for k in (1, 2))
        return hidden * old[0] + (1 - hidden) * new[0], c, n, m
