"""The memory of training, which settles within its first steps."""

from typing import Any

import lightning

from forecast.allocator import trim


class Settling(lightning.Callback):
    """Gives back what reading the data left free, and the first steps: the next ones then fill always the same places.

    Where freed memory is kept, a step's workspace does not fit into the place of the one before, as something small
    that stays was put there meanwhile. Without this the process would hold both.
    """

    def __init__(self):
        self.left = 2

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trim()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.left:
            self.left -= 1
            trim()
