"""How the learning rate goes on, and how weights are averaged: functions by name, and the callbacks that apply them."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler


def none(optimizer: Optimizer, module: lightning.LightningModule) -> dict[str, Any]:
    """The rate stays."""
    return {}


def cosine(optimizer: Optimizer, module: lightning.LightningModule, *, lowest: float) -> dict[str, Any]:
    """The rate falls along half a cosine, epoch by epoch.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017 (without restarts).
    """
    assert module.trainer.max_epochs is not None
    end = lowest * optimizer.param_groups[0]["lr"]
    return {"scheduler": lr_scheduler.CosineAnnealingLR(optimizer, module.trainer.max_epochs, end)}


def onecycle(
    optimizer: Optimizer, module: lightning.LightningModule, *, warmup: float, first: float, lowest: float
) -> dict[str, Any]:
    """The rate rises and falls again, batch by batch; momentum stays.

    Source: L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018.
    """
    made = lr_scheduler.OneCycleLR(
        optimizer,
        optimizer.param_groups[0]["lr"],
        int(module.trainer.estimated_stepping_batches),
        pct_start=warmup,
        cycle_momentum=False,
        div_factor=1 / first,
        final_div_factor=first / lowest if lowest else math.inf,
    )
    return {"scheduler": made, "interval": "step"}


def plateau(optimizer: Optimizer, module: lightning.LightningModule, *, factor: float, patience: int) -> dict[str, Any]:
    """The rate falls each time that the validation loss has not for more than `patience` validations (see Plateau)."""
    made = lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    return {"scheduler": made, "monitor": "val/loss", "frequency": sys.maxsize}  # Lightning never steps it


def exponential(optimizer: Optimizer, module: lightning.LightningModule, *, factor: float) -> dict[str, Any]:
    """The rate falls by the same factor every epoch."""
    return {"scheduler": lr_scheduler.ExponentialLR(optimizer, factor)}


def ema(n: int, steps: float, *, decay: float) -> float:
    """An exponential moving average, which forgets the first weights faster: its decay rises as (1 + n) / (10 + n).

    Source: B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the rising
    decay: documentation of TensorFlow's ExponentialMovingAverage.
    """
    return 1 - min(decay, (1 + n) / (10 + n))


def swa(n: int, steps: float, *, start: float) -> float:
    """The mean of the weights after each step, from a share `start` of all steps on; before, the weights themselves.

    Source: P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018 (with cycles
    of one step, under whatever schedule is chosen).
    """
    return 1 / max(1, n + 1 - int(start * steps))


SCHEDULES = {"none": none, "cosine": cosine, "onecycle": onecycle, "plateau": plateau, "exponential": exponential}
AVERAGES = {"ema": ema, "swa": swa}
ENDING = ("cosine", "onecycle", "swa")  # what has to know the last epoch
FROM_0 = ("lowest", "start")  # shares that may be 0


class Plateau(lightning.Callback):
    """Steps the schedule when validation ends, before the checkpoint.

    Lightning would do so after the checkpoint, and not at all in the epoch in which a run is resumed.
    """

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        schedule = trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
        if not trainer.sanity_checking:
            schedule.step(float(trainer.callback_metrics["val/loss"]))


class Averaging(WeightAveraging):
    """Keeps an average of the weights; validation judges it, and checkpoints hold it as the weights.

    `share(n, steps)` is the share in it of the weights after step n, counted from 0, of so many steps.
    """

    def __init__(self, share: Callable[[int, float], float], device: torch.device):
        super().__init__(device, use_buffers=False, multi_avg_fn=self.mix)
        self.share, self.steps, self.swapped = share, math.inf, False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.steps = trainer.estimated_stepping_batches

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self.swapped = True

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self.swapped = False

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """What ends validation early may write a checkpoint, which needs the weights in their places."""
        if self.swapped:
            self.on_validation_epoch_end(trainer, pl_module)

    def mix(self, averages: Sequence[Tensor], weights: Sequence[Tensor], averaged: Tensor) -> None:
        share = self.share(int(averaged), self.steps)
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, share)
