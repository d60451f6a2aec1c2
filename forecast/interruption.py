"""Interrupted training: a signal becomes a checkpoint within a step, from which a run goes on to the last bit."""

import signal
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from forecast.error import Interrupted
from forecast.signals import handle

AGAIN = {"ready": 1, "started": 1, "processed": 0, "completed": 0}  # progress within the first batch of validation
NOTHING, SAVE, STOP = range(3)


class Interruption(Checkpoint):
    """Ends training at the next step after a signal, with a checkpoint, last.ckpt in its folder.

    One is written after every epoch, too, when the best one has been, and within epochs every so many `minutes`.
    Validation ends at its next batch, and is done again as a whole. A second signal is not waited with. Of several
    processes all end at the same step, whichever was told.
    """

    def __init__(self, folder: Path, *, minutes: float):
        self.path, self.seconds = folder / "last.ckpt", 60 * minutes
        self.told, self.validating, self.steps = "", False, -1

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """With a limit of steps Lightning 2.6.6 ends an epoch twice where it goes on from its end: the limit waits."""
        self.steps, trainer.fit_loop.epoch_loop.max_steps = trainer.max_steps, -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop
        if trainer.global_step != self.steps or not loop.val_loop.restarted_mid_evaluation:  # that comes first
            loop.max_steps = self.steps
        for each in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(each, EarlyStopping) and (each.stopped_epoch or each.wait_count >= max(1, each.patience)):
                trainer.should_stop = True  # it had been decided before the interruption
        self.saved = perf_counter()
        handle(self.tell)  # in place of Lightning's, which gives back those before

    def tell(self, number: int, frame: FrameType | None) -> None:
        if self.told:
            raise Interrupted(f"interrupted by {self.told} and {signal.Signals(number).name}")
        self.told = signal.Signals(number).name

    def due(self, trainer: lightning.Trainer) -> int:
        """What is to be done now, the same in all processes."""
        late = perf_counter() - self.saved > self.seconds
        found = STOP if self.told else SAVE if late else NOTHING
        if trainer.world_size > 1:
            found = torch.tensor(found, device=trainer.strategy.root_device)
            found = int(trainer.strategy.reduce(found, reduce_op="max"))
        return found

    def stop(self, trainer: lightning.Trainer) -> None:
        by = f" by {self.told}" if self.told else ""
        raise Interrupted(f"interrupted{by} in epoch {trainer.current_epoch + 1}, after step {trainer.global_step}")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Not after an epoch's last step, whose validation would be left out, nor between two batches of a step."""
        due = self.due(trainer)
        last = batch_idx + 1 == trainer.num_training_batches or trainer.global_step == trainer.max_steps
        if due == NOTHING or last or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        self.save(trainer)
        if due == STOP:
            self.stop(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning calls what is a Checkpoint last."""
        self.save(trainer)

    def save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self.saved = perf_counter()

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self.steps
        self.validating = not trainer.sanity_checking

    def on_validation_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.validating and self.due(trainer) == STOP:
            self.stop(trainer)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.validating = False

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.told:  # in the last step, or after it
            self.stop(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        if self.validating and isinstance(exception, Interrupted):
            self.save(trainer)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.validating:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            progress |= {"total": dict(AGAIN), "current": dict(AGAIN)}
