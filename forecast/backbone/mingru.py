"""The minimal GRU: gate z and candidate n of the input alone; h_t = (1 - z_t) * h_{t-1} + z_t * g(n_t).

As no gate waits for h_{t-1}, all are computed at once, and the sequence is unrolled by a parallel scan of logarithms. g
is positive, and so are the outputs.

Source: L. Feng et al., "Were RNNs all we needed?", 2024.
"""

from torch import Tensor
from torch.nn import functional

from forecast.backbone._scan import Unrolled, positive


class Mingru(Unrolled):
    def __init__(self, features: int, *, hidden_size: int):
        super().__init__(features, 2, hidden_size)

    def logarithms(self, *gates: Tensor) -> tuple[Tensor, Tensor]:
        z, n = gates
        return functional.logsigmoid(-z), functional.logsigmoid(z) + positive(n)
