"""The order of training windows: whole batches of window numbers, a pure function of seed and epoch."""

from collections.abc import Callable, Iterator
from itertools import islice, product

import torch
from torch import Tensor

from forecast.contract import integer, mix


class Order:
    """Batches of window numbers for one rank: a plain iterable whose order is a pure function of (seed, epoch).

    Yields (numbers, weight). An optimizer's step sees `accumulate` times `batch` windows, however many ranks there are;
    they are cut into slices of equal length. A short slice is filled up with window 0 at weight 0, and the weights of
    the others make the mean over ranks and accumulated batches that of the step. `position` gives epoch and first
    batch (0, or where a checkpoint stopped); without `seed` the order is as it lies. With `draw` an epoch has so many
    windows at most, and the next ones go on with those that none has had; when not enough are left, the draw begins
    again.
    """

    def __init__(
        self,
        windows: int,
        batch: int,
        *,
        draw: int | None = None,
        seed: int | None = None,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ):
        self.windows, self.batch, self.seed = windows, batch, seed
        self.drawn = windows if draw is None else min(draw, windows)
        self.rank, self.world, self.accumulate, self.position = rank, world, accumulate, position

    def __len__(self) -> int:
        return -(-self.drawn // (self.batch * self.accumulate)) * self.accumulate

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, first = self.position()
        if self.seed is None:
            order = torch.arange(self.windows, dtype=integer(self.windows))
        else:
            turn, place = divmod(epoch, self.windows // self.drawn)
            generator = torch.Generator().manual_seed(mix(self.seed, turn))
            order = torch.randperm(self.windows, generator=generator, dtype=integer(self.windows))
            order = order[place * self.drawn :][: self.drawn]
        slices = self.world * self.accumulate
        most = -(-self.batch // self.world)
        groups, even = order.split(self.batch * self.accumulate), torch.ones(most)
        for step, turn in islice(product(range(len(groups)), range(self.accumulate)), first, None):
            group = groups[step]
            each = -(-len(group) // slices)
            mine = group[turn * self.world + self.rank :: slices]
            weight = even if len(group) == slices * most else torch.full((each,), slices * each / len(group))
            if len(mine) < each:
                mine, weight[-1] = torch.cat((mine, mine.new_zeros(1))), 0.0
            yield mine, weight

    def state_dict(self) -> dict[str, int]:
        """Nothing: the position follows from the trainer. (Present, so that Lightning knows that it may resume.)"""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore."""
