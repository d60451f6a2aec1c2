"""Learning: settings, a panel and where its parts end -> what fitting leaves behind. Everything is built afresh."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from forecast import artifact, build, training
from forecast.alone import alone
from forecast.contract import Scaling, Shape
from forecast.data import panel as panels
from forecast.data import scaler
from forecast.data.grid import Borders, Grid
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.scaler import Statistics
from forecast.data.store import stored
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.model.base import Model
from forecast.recipe import AT_ONCE, calibrating, datamodule, divisors, origin_window, shape_of

log = logging.getLogger(__name__)


def prepared(
    settings: Mapping[str, Any], grid: Grid, borders: Borders, folder: Path | None = None
) -> tuple[Panel, Statistics]:
    """The panel of a grid, scaled by what its train rows teach; a large one lies in files of the `folder`."""
    statistics = scaler.learn(grid, borders[0], settings["data"])
    panel = panels.panel(grid, statistics)
    if folder is not None and panel.size > settings["data"]["memory"] << 20:
        panel = stored(panel, folder / "panel")
    return panel, statistics


def learn(
    settings: Mapping[str, Any],
    panel: Panel,
    statistics: Statistics,
    borders: Borders,
    digest: str,
    folder: Path | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Fitted:
    """Trains on the first part and keeps the weights of the best loss on the second.

    Training begins with `weights`, else anew; `folder` keeps checkpoints and events; `digest` names the data. Raises
    Refusal before any training if the configuration can't be used, Diverged if the loss stops being finite.
    """
    started = perf_counter()
    module = datamodule(settings, panel, borders)
    if (panel.first + panel.lengths > torch.as_tensor(borders[1])).any():  # an update has no test part yet
        SeriesDataModule.cut(panel, origin_window(settings, panel.layout.clock, statistics.season), borders, "test")
    calibrate = build.calibration(settings["calibrate"], build.part("head", settings["head"]))
    judging = None if calibrate is None else calibrating(settings, panel, borders, statistics.season)

    def of(model: Model) -> Fitted:
        return Fitted(dict(settings), panel.layout, statistics, borders, model, {}, panel)

    def watched(model: Model, count: int) -> pd.DataFrame:
        return of(model).forecast(module.windows["val"].recent(count))

    shape = shape_of(panel, statistics, settings)
    model, trainer = trained(settings, shape, statistics.scaling, module, folder, weights, watched)
    record = {
        **model.validated(module.windows["val"].batches(AT_ONCE)),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "parameters": sum(x.numel() for x in model.parameters()),
        "seconds": perf_counter() - started,
        "data": {
            "source": panel.source,
            "sha256": digest,
            "series": len(panel.names),
            "rows": int(panel.lengths.sum()),
            "frequency": panel.layout.clock.freq,
        },
        "made": artifact.environment(),
    }
    fitted = replace(of(model), record=record)
    if calibrate is None or judging is None:
        return fitted
    return replace(fitted, calibration=calibrate(fitted.forecast(judging), divisors(panel, statistics)[0]))


def trained(
    settings: Mapping[str, Any],
    shape: Shape,
    scaling: Scaling,
    module: SeriesDataModule,
    folder: Path | None = None,
    weights: Mapping[str, Tensor] | None = None,
    watched: Callable[[Model, int], pd.DataFrame] | None = None,
) -> tuple[Model, lightning.Trainer]:
    """A model with the weights of the best validation loss, and the trainer that found them.

    `watched(model, n)` forecasts n windows of validation, for figures on the way. Threads that train take turns.
    """
    with alone(settings["seed"]), checkpoints(folder) as kept:
        model = build.model(settings, shape, scaling)
        if weights is not None:
            begin(model, weights)
        trainer = training.trainer(settings, kept, folder, None if watched is None else partial(watched, model))
        try:
            trainer.fit(model, datamodule=module)
        except MisconfigurationException as error:
            raise Refusal(f"trainer: {error}", "config") from error
        checkpoint = trainer.checkpoint_callback
        assert isinstance(checkpoint, ModelCheckpoint)
        model.load_state_dict(torch.load(checkpoint.best_model_path, weights_only=True)["state_dict"])
    return model, trainer


def begin(model: Model, weights: Mapping[str, Tensor]) -> None:
    """Gives a model weights to begin with, if they fit it: a category that was never seen before changes its shape."""
    if all(weights[name].shape == x.shape for name, x in model.state_dict().items()):
        model.load_state_dict(weights)
    else:
        log.info("training begins anew: the data have categories that they did not have before")


@contextmanager
def checkpoints(folder: Path | str | None) -> Iterator[Path]:
    """Where checkpoints go: into the run folder, or somewhere that vanishes."""
    if folder is not None:
        yield Path(folder) / "checkpoints"
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
