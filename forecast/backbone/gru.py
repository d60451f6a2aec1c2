"""The gated recurrent unit: r, z, n gates; h_t = (1 - z_t) * n_t + z_t * h_{t-1}.

Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forecast.contract import State


class Gru(nn.Module):
    def __init__(self, features: int, *, hidden_size: int, orthogonal: bool):
        super().__init__()
        self.net = nn.GRU(features, hidden_size, batch_first=True)
        self.size = hidden_size
        for gate in self.net.get_parameter("weight_hh_l0").split(hidden_size) if orthogonal else ():
            nn.init.orthogonal_(gate)

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        out, hidden = self.net(x, state[0][None])
        return out, (hidden[0],)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        hidden = torch.gru_cell(x, state[0], *self.net.all_weights[0])  # a sequence's kernel takes longer for one step
        return hidden, (hidden,)

    def initial(self, b: int) -> State:
        return (next(self.parameters()).new_zeros(b, self.size),)
