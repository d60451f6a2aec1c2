"""The LSTM: gates i, f, o and candidate g; c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t).

Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997; the forget gate and its bias: F. A. Gers,
J. Schmidhuber, F. Cummins, "Learning to forget", 2000.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forecast.contract import State


class Lstm(nn.Module):
    def __init__(
        self,
        features: int,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
        bidirectional: bool,
        forget_bias: float | None,
        orthogonal: bool,
    ):
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout={dropout} does not lie between 0 and 1")
        between = dropout if layers > 1 else 0.0  # torch drops out between layers only
        self.net = nn.LSTM(
            features, hidden_size, layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        self.directions = 1 + bidirectional
        self.size = hidden_size * self.directions
        for name, weight in self.net.named_parameters():
            if orthogonal and "weight_hh" in name:
                for gate in weight.split(hidden_size):
                    nn.init.orthogonal_(gate)
            if forget_bias is not None and "bias" in name:
                forget = weight.detach()[hidden_size : 2 * hidden_size]
                forget.fill_(forget_bias if "bias_ih" in name else 0.0)  # the two biases add up

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        out, state = self.net(x, state)
        return out, state

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        rows = self.net.num_layers * self.directions
        hidden = torch.zeros(rows, b, self.net.hidden_size, device=next(self.parameters()).device)
        return hidden, hidden
