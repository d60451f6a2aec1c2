"""Classes instead of values: where the series moves to by each step (down, flat, up), or which label a series has.

Trained by the likelihood of the true class: D. Cox, "The regression analysis of binary sequences", 1958, for several
classes as J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990 (softmax).
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from forecast.error import Refusal
from forecast.head.base import Head, Levels


class Direction(Head):
    """One class more than `bins`, the edges between them in the head's units; an edge belongs to the class below it.

    With normalizer=last those are units of the change since the last value. Without `bins` the targets are the
    numbers of their classes, 0, 1 ..., and the edges halfway between.
    """

    span = None

    def __init__(self, *, classes: Sequence[str | int], bins: Sequence[float] | None):
        self.classes = tuple(map(str, classes))
        self.width = len(self.classes)
        wrong = [name for name in self.classes if not re.fullmatch(r"\w+", name) or self.classes.count(name) > 1]
        if self.width < 2 or wrong:
            raise Refusal(
                f"head.classes={list(classes)}: expected two or more different names of letters, digits and _", "config"
            )
        edges = [i + 0.5 for i in range(self.width - 1)] if bins is None else list(bins)
        known = torch.tensor(edges, device="cpu")  # whatever device a model is made on
        if len(edges) != self.width - 1 or not known.isfinite().all() or not (known.diff() > 0).all():
            raise Refusal(
                f"head.bins={edges}: expected ascending edges between the {self.width} classes {list(classes)}, "
                f"{self.width - 1} of them",
                "config",
            )
        widths = [high - low for low, high in pairwise(edges)] or [1.0]  # an outer class is as wide as its neighbour
        ends = [edges[0] - widths[0], *edges, edges[-1] + widths[-1]]
        self.bins, self.middles = tuple(edges), tuple((low + high) / 2 for low, high in pairwise(ends))

    def number(self, target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        edges = torch.tensor(self.bins, dtype=target.dtype, device=target.device)
        return torch.bucketize(target.contiguous(), edges).to(target.dtype)

    def probabilities(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c k"]:
        return params.double().softmax(-1)

    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        true = self.number(target).long()[..., None]
        return -params.log_softmax(-1).gather(-1, true)[..., 0]

    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        """The middle of the most probable class."""
        middles = torch.tensor(self.middles, dtype=params.dtype, device=params.device)
        return middles[params.argmax(-1)]

    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        if len(levels):
            raise Refusal("classes have probabilities, not quantiles: train with head=quantile", "levels")
        return params[..., :0]

    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        raise Refusal("classes have probabilities, not values to sample: train with head=quantile", "levels")
