"""How far training is: a bar on a terminal, one line an epoch elsewhere."""

import logging
import sys

import lightning
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

log = logging.getLogger(__name__)


class Bar(TQDMProgressBar):
    """Lightning's bar of batches, without one of its own for validation; it shows the last validation loss."""

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        pass

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict:
        shown = ("train/loss", "val/loss")
        return {
            name: f"{float(trainer.callback_metrics[name]):.4f}" for name in shown if name in trainer.callback_metrics
        }


class Lines(lightning.Callback):
    """One log line an epoch."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if "train/loss" in trainer.callback_metrics:
            self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The line of the epoch that is complete: a module's own figures come after its callbacks' epoch end."""
        names = ("train/loss", "val/loss", "train/windows_per_second")
        figures = [float(trainer.callback_metrics.get(name, "nan")) for name in names]
        log.info("epoch %d: train/loss %.4f, val/loss %.4f, %.0f windows/s", trainer.current_epoch, *figures)


def progress(refresh_rate: int) -> ProgressBar | Lines:
    return Bar(refresh_rate=refresh_rate) if sys.stdout.isatty() else Lines()
