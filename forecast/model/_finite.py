"""Whether the loss of each step is finite, asked without making a GPU wait."""

from collections.abc import Callable

import torch
from torch import Tensor

Tell = Callable[[str, Tensor], Exception]


class Finite:
    """Raises what `tell` makes of a loss that is not finite, and of the cutoffs of the windows that made it so.

    On a CPU at once. A GPU works behind: there the loss is copied as soon as it is known and looked at a step later,
    when the GPU has been given more to do.
    """

    def __init__(self):
        self.before: tuple[Tensor, Tensor, Tensor, torch.cuda.Event] | None = None

    def note(self, loss: Tensor, each: Tensor, cutoffs: Tensor, tell: Tell) -> None:
        """Takes the loss of a step, which is the mean of `each` [b steps c], of windows with these `cutoffs` [b]."""
        if not loss.is_cuda:
            judge(loss, each, cutoffs, tell)
            return
        before = self.before
        known, copied = torch.empty((), dtype=loss.dtype, pin_memory=True), torch.cuda.Event()
        known.copy_(loss, non_blocking=True)
        copied.record()
        self.before = known, each, cutoffs, copied
        look(before, tell)

    def check(self, tell: Tell) -> None:
        """Looks at what was not looked at yet."""
        before, self.before = self.before, None
        look(before, tell)


def look(before: tuple[Tensor, Tensor, Tensor, torch.cuda.Event] | None, tell: Tell) -> None:
    if before is not None:
        loss, each, cutoffs, copied = before
        copied.synchronize()
        judge(loss, each, cutoffs, tell)


def judge(loss: Tensor, each: Tensor, cutoffs: Tensor, tell: Tell) -> None:
    found = loss.item()
    if found - found != 0:  # infinite, or not a number
        bad = ~each.isfinite().flatten(1).all(1)
        raise tell(f"training loss became {found}", cutoffs[bad] if bad.any() else cutoffs)
