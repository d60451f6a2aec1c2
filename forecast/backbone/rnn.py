"""The Elman network: h_t = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) with act = tanh or relu.

Source: J. L. Elman, "Finding structure in time", 1990.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forecast.contract import State

CELLS = {"tanh": torch.rnn_tanh_cell, "relu": torch.rnn_relu_cell}


class Rnn(nn.Module):
    def __init__(self, features: int, *, hidden_size: int, nonlinearity: str, orthogonal: bool):
        super().__init__()
        self.net = nn.RNN(features, hidden_size, nonlinearity=nonlinearity, batch_first=True)
        self.cell, self.size = CELLS[nonlinearity], hidden_size
        if orthogonal:
            nn.init.orthogonal_(self.net.get_parameter("weight_hh_l0"))

    def forward(self, x: Float[Tensor, "b t f"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
        out, hidden = self.net(x, state[0][None])
        return out, (hidden[0],)

    def step(self, x: Float[Tensor, "b f"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        hidden = self.cell(x, state[0], *self.net.all_weights[0])  # a sequence's kernel takes longer for one step
        return hidden, (hidden,)

    def initial(self, b: int) -> State:
        return (next(self.parameters()).new_zeros(b, self.size),)
