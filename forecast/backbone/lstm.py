"""The LSTM: gates i, f, o and candidate g; c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t).

Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997; the forget gate and its bias: F. A. Gers,
J. Schmidhuber, F. Cummins, "Learning to forget", 2000.
"""

from jaxtyping import Float
from torch import Tensor, nn

from forecast.contract import State


class Lstm(nn.Module):
    def __init__(self, features: int, *, hidden_size: int, forget_bias: float | None, orthogonal: bool):
        super().__init__()
        self.net = nn.LSTM(features, hidden_size, batch_first=True)
        self.size = hidden_size
        for gate in self.net.get_parameter("weight_hh_l0").split(hidden_size) if orthogonal else ():
            nn.init.orthogonal_(gate)
        if forget_bias is not None:
            forget = slice(hidden_size, 2 * hidden_size)
            self.net.get_parameter("bias_ih_l0").detach()[forget] = forget_bias
            self.net.get_parameter("bias_hh_l0").detach()[forget] = 0  # the two biases add up

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        hidden, cell = state
        out, (hidden, cell) = self.net(x, (hidden[None], cell[None]))
        return out, (hidden[0], cell[0])

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        zeros = next(self.parameters()).new_zeros(b, self.size)
        return zeros, zeros
