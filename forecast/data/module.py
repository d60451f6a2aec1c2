"""SeriesDataModule: windows of a panel as Lightning wants them, cut into train, val and test by date."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import lightning
import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from forecast.contract import Batch, Window
from forecast.data.grid import Borders
from forecast.data.order import Order
from forecast.data.panel import Panel
from forecast.data.windows import Windows, left_out
from forecast.error import Refusal, nearest

PARTS = ("train", "val", "test")
MOST = 8  # windows that a message names
LARGEST, SMALLEST, STEPS = 256, 16, 32  # windows of a batch if none are said, batches that an epoch should have


class SeriesDataModule(lightning.LightningDataModule):
    """Serves the windows of a panel; `borders` are the clock's numbers at which train, val and test end.

    Training windows follow each other by the window's stride, not further back than `train_window` steps, and
    count half every `half_life` steps before its end, and by the `weights` of their series (of those not named: 1); an
    epoch has `windows_per_epoch` of them at most, in batches of `batch_size` (None: 256, of few windows as few as 16,
    so that an epoch has 32 steps). Validation sees every window, each as much as the others. The panel moves to the
    training device once, and batches are gathered there.
    """

    def __init__(
        self,
        panel: Panel,
        window: Window,
        borders: Borders,
        *,
        train_window: int | None,
        half_life: float | None,
        weights: Mapping[str | int, float] | None,
        windows_per_epoch: int | None,
        batch_size: int | None,
        seed: int,
    ):
        super().__init__()
        self.panel, self.window, self.borders = panel, window, borders
        self.windows_per_epoch, self.seed = windows_per_epoch, seed
        free = replace(window, anchor=None)
        train = self.cut(panel, free, borders, "train", train_window)
        counts = None
        if half_life is not None:
            counts = recency(train, half_life, isinstance(borders[0], np.ndarray))
        if weights is not None:
            counts = preferred(train, weights, counts)
        train = Windows(panel, free, train.starts, counts)
        count = min(len(train), windows_per_epoch or len(train))
        self.batch_size = batch_size or min(LARGEST, max(SMALLEST, count // STEPS))
        self.windows = {"train": train, "val": self.cut(panel, replace(free, stride=1), borders, "val")}
        self.near = self.windows  # the same, on the device that trains

    @staticmethod
    def cut(panel: Panel, window: Window, borders: Borders, part: str, newest: int | None = None) -> Windows:
        """The windows whose targets lie in a part, or in its `newest` rows.

        Names series that are too short for one; raises Refusal if all are.
        """
        index = PARTS.index(part)
        edges = (panel.first.min(), *borders)
        begin = torch.as_tensor(edges[index])
        end = (panel.first + panel.lengths).max() if edges[index + 1] is None else torch.as_tensor(edges[index + 1])
        begin = begin if newest is None else torch.maximum(begin, end - newest)
        windows = Windows.between(panel, window, begin, end)
        short = torch.bincount(windows.series, minlength=len(panel.names)) == 0
        if not len(windows):
            rows = torch.minimum(end - panel.first, panel.lengths) - (begin - panel.first).clamp(min=0)
            raise Refusal(
                f"{panel.source}: too short for a window in {part}: the longest series has {max(0, int(rows.max()))} "
                f"rows there and {int(panel.lengths.max())} in all, a window needs {window.horizon} in {part} (the "
                f"horizon) after {window.context + window.gap} others (context and gap). Lower context or horizon, or "
                "change data.split",
                "too-short",
            )
        names = [panel.names[i] for i in short.nonzero().flatten().tolist()]
        left_out(names, panel, f"rows enough for a window in {part}")
        return windows

    def train_dataloader(self) -> Order:
        trainer = self.trainer
        assert trainer is not None
        progress = trainer.fit_loop.epoch_loop.batch_progress
        return self.order(
            "train", self.windows_per_epoch, self.seed, lambda: (trainer.current_epoch, progress.current.ready)
        )

    def val_dataloader(self) -> Order:
        return self.order("val", None, None, lambda: (0, 0))

    def order(self, part: str, draw: int | None, seed: int | None, position: Callable[[], tuple[int, int]]) -> Order:
        trainer = self.trainer
        assert trainer is not None
        return Order(
            len(self.windows[part]),
            self.batch_size,
            draw=draw,
            seed=seed,
            rank=trainer.global_rank,
            world=trainer.world_size,
            accumulate=trainer.accumulate_grad_batches if part == "train" else 1,
            position=position,
        )

    def named(self, cutoffs: Tensor) -> str:
        """Windows by their series and the stamps at their cutoffs, given as the panel's rows that were seen last."""
        panel, rows = self.panel, cutoffs.cpu()
        series = torch.searchsorted(panel.offsets, rows, right=True) - 1
        stamps = panel.layout.clock.stamps((panel.begins[series] + rows).numpy())
        windows = [f"{panel.names[i]} at {stamp}" for i, stamp in zip(series.tolist(), stamps, strict=True)]
        return f"{len(windows)} windows ({counted(windows)})"

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> Batch:
        trainer = self.trainer
        assert trainer is not None
        part = "train" if trainer.training else "val"
        numbers, weight = batch
        if self.near[part].starts.device != numbers.device:
            panel = self.panel.to(numbers.device)
            self.near = {name: windows.on(panel) for name, windows in self.windows.items()}
        return self.near[part].batch(numbers, weight)

    def teardown(self, stage: str) -> None:
        """Lightning takes the model from the device, too."""
        self.near = self.windows


def counted(names: list[str]) -> str:
    """The first few of many, and how many more there are."""
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")


def recency(windows: Windows, half_life: float, each: bool) -> Float32[Tensor, " window"]:
    """Weights that halve every `half_life` steps before the newest window, of all series or of each; mean 1."""
    panel, series = windows.panel, windows.series
    cutoff = windows.begins[series] + windows.cutoffs
    newest = cutoff.max().expand(len(panel.names))
    if each:
        newest = torch.zeros_like(panel.first).scatter_reduce(0, series, cutoff, "amax", include_self=False)
    weight = 0.5 ** ((newest[series] - cutoff) / half_life)
    return (weight / weight.mean()).float()


def preferred(
    windows: Windows, weights: Mapping[str | int, float], counts: Float32[Tensor, " window"] | None
) -> Float32[Tensor, " window"]:
    """What windows count, times the weight of their series; mean 1. Refuses a series that is not there."""
    panel = windows.panel
    names = {str(name): weight for name, weight in weights.items()}
    for name in names:
        if name not in panel.names:
            raise Refusal(f"loss.series: {panel.source} has no series '{name}'{nearest(name, panel.names)}", "config")
    each = torch.tensor([names.get(name, 1.0) for name in panel.names], dtype=torch.float64)[windows.series]
    weight = each if counts is None else each * counts
    return (weight / weight.mean()).float()
