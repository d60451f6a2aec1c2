"""The gated recurrent unit: r, z, n gates; h_t = (1 - z_t) * n_t + z_t * h_{t-1}.

Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forecast.contract import State


class Gru(nn.Module):
    def __init__(
        self,
        features: int,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
        bidirectional: bool,
        orthogonal: bool,
    ):
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout={dropout} does not lie between 0 and 1")
        between = dropout if layers > 1 else 0.0  # torch drops out between layers only
        self.net = nn.GRU(features, hidden_size, layers, batch_first=True, dropout=between, bidirectional=bidirectional)
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
