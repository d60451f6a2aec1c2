"""SeriesDataModule: windows of a panel as Lightning wants them, cut into train, val and test by date."""

from collections.abc import Callable
from dataclasses import replace

import lightning
import torch
from torch import Tensor

from forecast.contract import Batch, Window
from forecast.data.panel import Panel
from forecast.data.windows import Order, Windows
from forecast.error import Refusal

PARTS = ("train", "val", "test")


class SeriesDataModule(lightning.LightningDataModule):
    """Serves the windows of a panel; `borders` are the clock's numbers at which train, val and test end.

    Training windows follow each other by the window's stride; validation sees every window. The panel moves to the
    training device once, and batches are gathered there.
    """

    def __init__(
        self, panel: Panel, window: Window, borders: tuple[int, int, int | None], *, batch_size: int, seed: int
    ):
        super().__init__()
        self.panel, self.window, self.borders = panel, window, borders
        self.batch_size, self.seed = batch_size, seed
        self.windows = {
            "train": self.part("train", replace(window, anchor=None)),
            "val": self.part("val", replace(window, stride=1, anchor=None)),
        }

    def part(self, part: str, window: Window) -> Windows:
        return self.cut(self.panel, window, self.borders, part)

    @staticmethod
    def cut(panel: Panel, window: Window, borders: tuple[int, int, int | None], part: str) -> Windows:
        """The windows whose targets lie in a part. Raises Refusal if no series is long enough for one."""
        index = PARTS.index(part)
        edges = (int(panel.first.min()), *borders)
        begin, end = edges[index] or 0, edges[index + 1]
        end = int((panel.first + panel.lengths).max()) if end is None else end
        windows = Windows.between(panel, window, begin, end)
        if not len(windows):
            rows = torch.minimum(end - panel.first, panel.lengths) - (begin - panel.first).clamp(min=0)
            raise Refusal(
                f"{panel.source}: too short for a window in {part}: the longest series has {max(0, int(rows.max()))} "
                f"rows there and {int(panel.lengths.max())} in all, a window needs {window.horizon} in {part} (the "
                f"horizon) after {window.context + window.gap} others (context and gap). Lower context or horizon, or "
                "change data.split",
                "too-short",
            )
        return windows

    def train_dataloader(self) -> Order:
        trainer = self.trainer
        assert trainer is not None
        progress = trainer.fit_loop.epoch_loop.batch_progress
        return self.order("train", self.seed, lambda: (trainer.current_epoch, progress.current.ready))

    def val_dataloader(self) -> Order:
        return self.order("val", None, lambda: (0, 0))

    def order(self, part: str, seed: int | None, position: Callable[[], tuple[int, int]]) -> Order:
        trainer = self.trainer
        assert trainer is not None
        return Order(
            len(self.windows[part]),
            self.batch_size,
            seed=seed,
            rank=trainer.global_rank,
            world=trainer.world_size,
            position=position,
        )

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> Batch:
        trainer = self.trainer
        assert trainer is not None
        part = "train" if trainer.training else "val"
        numbers, weight = batch
        if self.windows[part].starts.device != numbers.device:
            self.windows = {name: windows.to(numbers.device) for name, windows in self.windows.items()}
        return self.windows[part].batch(numbers, weight)
