"""The Elman network: h_t = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) with act = tanh or relu.

Source: J. L. Elman, "Finding structure in time", 1990.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forecast.contract import State


class Rnn(nn.Module):
    def __init__(
        self,
        features: int,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
        bidirectional: bool,
        nonlinearity: str,
        orthogonal: bool,
    ):
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout={dropout} does not lie between 0 and 1")
        between = dropout if layers > 1 else 0.0  # torch drops out between layers only
        self.net = nn.RNN(
            features,
            hidden_size,
            layers,
            nonlinearity=nonlinearity,
            batch_first=True,
            dropout=between,
            bidirectional=bidirectional,
        )
        self.directions = 1 + bidirectional
        self.size = hidden_size * self.directions
        for name, weight in self.net.named_parameters():
            if orthogonal and "weight_hh" in name:
                for gate in weight.split(hidden_size):
                    nn.init.orthogonal_(gate)

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        out, hidden = self.net(x, *state)
        return out, (hidden,)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        out, state = self(x[:, None], state)
        return out[:, 0], state

    def initial(self, b: int) -> State:
        rows = self.net.num_layers * self.directions
        return (torch.zeros(rows, b, self.net.hidden_size, device=next(self.parameters()).device),)
