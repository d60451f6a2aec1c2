"""Figures of validation in TensorBoard while a model is trained."""

from collections.abc import Callable
from time import perf_counter

import lightning
import pandas as pd
from lightning.pytorch.loggers import TensorBoardLogger


class Figures(lightning.Callback):
    """Draws what the model forecasts for about so many of the newest validation windows, and its error by step.

    It does so every so many epochs, at least `seconds` apart, and in at most a `share` of the time since training
    began, so that a run which is quickly done has none. `forecast(n)` makes the forecast table of n windows, with y.
    """

    def __init__(
        self,
        forecast: Callable[[int], pd.DataFrame] | None,
        *,
        every_n_epochs: int,
        seconds: float,
        share: float,
        windows: int,
    ):
        self.forecast, self.every_n_epochs, self.windows = forecast, every_n_epochs, windows
        self.seconds, self.share = seconds, share

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.began = self.drawn = perf_counter()
        self.spent = self.longest = 0.0

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Before the model's own epoch end, and with averaged weights where training averages them."""
        now, board = perf_counter(), trainer.logger
        if self.forecast is None or not isinstance(board, TensorBoardLogger) or trainer.sanity_checking:
            return
        if (trainer.current_epoch + 1) % self.every_n_epochs or now - self.drawn < self.seconds:
            return
        if self.spent + self.longest > self.share * (now - self.began) or not trainer.is_global_zero:
            return
        draw(board, self.forecast(self.windows), trainer.global_step)
        self.drawn = perf_counter()
        self.spent += self.drawn - now
        self.longest = max(self.longest, self.drawn - now)


def draw(board: TensorBoardLogger, table: pd.DataFrame, step: int) -> None:
    """Writes the fan chart (of classes the confusion matrix) and the error by step, and lets go of them."""
    from forecast.board import figure, sheet  # matplotlib, which a short run does not need here

    name, by_step = sheet.pictures({"model": table})["error/by_step"]
    found = {"forecast": figure.fan(table, "validation")}
    found["by_step"] = figure.alone(by_step, f"{name}: validation", sheet.SMALL)
    for tag, made in found.items():
        board.experiment.add_figure(f"val/{tag}", made, step, close=True)
        made.clear()
    board.experiment.flush()  # it would write two minutes later
