"""The minimal GRU: gate z and candidate n of the input alone; h_t = (1 - z_t) * h_{t-1} + z_t * g(n_t).

As no gate waits for h_{t-1}, all are computed at once, and the sequence is unrolled by a parallel scan of logarithms. g
is positive, and so are the outputs.

Source: L. Feng et al., "Were RNNs all we needed?", 2024.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forecast.backbone._scan import positive, unrolled
from forecast.contract import State


class Mingru(nn.Module):
    def __init__(self, features: int, *, hidden_size: int):
        super().__init__()
        if hidden_size < 1:
            raise ValueError(f"hidden_size={hidden_size}: expected at least 1")
        self.gates = nn.Linear(features, 2 * hidden_size)
        self.size = hidden_size

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        z, n = self.gates(x).to(state[0].dtype).chunk(2, -1)
        out = unrolled(functional.logsigmoid(-z), functional.logsigmoid(z) + positive(n), state[0])
        return out, (out[:, -1],)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        return (self.gates.weight.new_zeros(b, self.size),)
