"""The minimal LSTM: gates f, i and candidate n of the input alone; h_t = (f_t * h_{t-1} + i_t * g(n_t)) / (f_t + i_t).

As no gate waits for h_{t-1}, all are computed at once, and the sequence is unrolled by a parallel scan of logarithms. g
is positive, and so are the outputs.

Source: L. Feng et al., "Were RNNs all we needed?", 2024.
"""

from torch import Tensor, nn
from torch.nn import functional

from forecast.backbone._scan import Unrolled, positive


class Minlstm(Unrolled):
    def __init__(self, features: int, *, hidden_size: int, forget_bias: float):
        super().__init__(features, 3, hidden_size)
        nn.init.constant_(self.gates.bias.detach()[:hidden_size], forget_bias)

    def logarithms(self, *gates: Tensor) -> tuple[Tensor, Tensor]:
        f, i, n = gates
        odds = functional.logsigmoid(f) - functional.logsigmoid(i)  # f / (f + i) = sigmoid(odds)
        return functional.logsigmoid(odds), functional.logsigmoid(-odds) + positive(n)
