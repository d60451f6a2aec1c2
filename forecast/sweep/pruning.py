"""Stops a trial of a sweep early that does worse than others did: each process asks the sweep's study."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning

from forecast.error import Pruned
from forecast.sweep import study as studies
from forecast.sweep.job import RECORD, read

WATCHED = "val/loss"


def callbacks(folder: Path | None, hyperparameters: Mapping[str, Any]) -> list[lightning.Callback]:
    """The callback of a run whose folder says that it is a trial which may be stopped; of any other none."""
    job = read(folder) if folder is not None and (folder / RECORD).is_file() else None
    if job is None or job.trial is None or job.pruner is None:
        return []
    return [Pruning(job.folder.parent, job.trial, job.pruner, hyperparameters)]


class Pruning(lightning.Callback):
    """Reports the validation loss of each epoch, and raises Pruned when the study says so.

    A training that goes on is another trial, which is told of the epochs before.
    """

    def __init__(self, sweep: Path, trial: int, pruner: dict[str, Any], hyperparameters: Mapping[str, Any]):
        self.sweep, self.number, self.pruner, self.hyperparameters = sweep, trial, pruner, hyperparameters
        self.trial: Any = None
        self.losses = dict[int, float]()  # by epoch

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            study = studies.opened(self.sweep, studies.sampler("random", 0), studies.pruner(self.pruner))
            self.trial = studies.library().trial.Trial(study, self.number)
            for epoch, loss in self.losses.items():
                self.trial.report(loss, epoch)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        loss = float(trainer.callback_metrics[WATCHED])
        if trainer.sanity_checking or not math.isfinite(loss):
            return
        stop = trainer.strategy.broadcast(self.told(loss, trainer.current_epoch))
        if not stop or trainer.current_epoch + 1 == trainer.max_epochs:  # after the last epoch nothing is saved by it
            return
        if trainer.logger is not None:
            trainer.logger.log_hyperparams(
                {**self.hyperparameters}, {f"score/{WATCHED}": loss}, step=trainer.global_step
            )
        raise Pruned(f"epoch {trainer.current_epoch}: {WATCHED}={loss:.4g} is worse than that of others", "pruned")

    def told(self, loss: float, epoch: int) -> bool:
        """Reports a loss, and asks whether to stop, as the first trials never do; of several processes one asks."""
        if self.trial is None:
            return False
        self.losses[epoch] = loss
        self.trial.report(loss, epoch)
        return self.number >= self.pruner["startup"] and self.trial.should_prune()

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses = state_dict["losses"]
