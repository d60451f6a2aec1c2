"""Learning: settings, a panel and where its parts end -> what fitting leaves behind. Everything is built afresh."""

import atexit
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from forecast import artifact, build, device, ranks, training
from forecast.alone import alone
from forecast.checkpoint import Files
from forecast.contract import Scaling, Shape
from forecast.data import panel as panels
from forecast.data import scaler
from forecast.data.grid import Borders, Grid
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.scaler import Statistics
from forecast.data.store import stored
from forecast.error import CannotWrite, Refusal
from forecast.evaluation.conformal import enough
from forecast.fitted import Fitted
from forecast.model.base import Model
from forecast.recipe import AT_ONCE, calibrating, datamodule, divisors, origin_window, shape_of
from forecast.signals import handled

PLACES = ("run", "folder")  # keys that say where a run lies
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
    resume: bool = False,
) -> Fitted:
    """Trains on the first part and keeps the weights of the best loss on the second.

    Training begins with `weights`, else anew; `folder` keeps checkpoints and events, from the newest of which it goes
    on if it is to `resume`; `digest` names the data. Several devices are trained on by as many processes, which end
    with training. Raises Refusal before any training if the configuration can't be used, Diverged if the loss stops
    being finite, CannotWrite if the folder can't be written, ForecastError if a process was killed.
    """
    started = perf_counter()
    module = datamodule(settings, panel, borders)
    if (panel.first + panel.lengths > torch.as_tensor(borders[1])).any():  # an update has no test part yet
        SeriesDataModule.cut(panel, origin_window(settings, panel.layout.clock, statistics.season), borders, "test")
    head = build.part("head", settings["head"])
    calibrate, judging = build.calibration(settings["calibrate"], head), None
    if calibrate is not None:
        judging = calibrating(settings, panel, borders, statistics.season)
        observed = sum(int(batch.target_observed.sum()) for batch in judging.batches(AT_ONCE))
        levels = tuple(head.levels or settings["calibrate"]["levels"])
        enough(observed, levels, settings["calibrate"]["symmetric"])
    count, given = device.processes(device.able(settings)), (digest, folder, weights, resume)
    if count:
        learnt, epochs, steps = ranks.spread(count, share, settings, panel, statistics, borders, *given)
        arrays = {name: torch.from_numpy(x) for name, x in learnt.items()}
        model = build.restored(settings, shape_of(panel, statistics, settings), statistics.scaling, arrays)
    else:
        model, trainer = alike(settings, panel, statistics, borders, module, *given)
        epochs, steps = trainer.current_epoch, trainer.global_step
    record = {
        **model.validated(module.windows["val"].batches(AT_ONCE)),
        "epochs": epochs,
        "steps": steps,
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
    fitted = Fitted(dict(settings), panel.layout, statistics, borders, model, record, panel)
    if calibrate is None or judging is None:
        return fitted
    return replace(fitted, calibration=calibrate(fitted.forecast(judging), divisors(panel, statistics)[0]))


def share(
    settings: Mapping[str, Any], panel: Panel, statistics: Statistics, borders: Borders, *given: Any
) -> tuple[dict[str, np.ndarray], int, int]:
    """What each of several processes does of learning: trains, and gives back the weights, epochs and steps."""
    logging.getLogger("forecast.data").setLevel(logging.WARNING)  # which windows there are has been said
    module = datamodule(settings, panel, borders)
    model, trainer = alike(settings, panel, statistics, borders, module, *given)
    return model.arrays, trainer.current_epoch, trainer.global_step


def alike(
    settings: Mapping[str, Any],
    panel: Panel,
    statistics: Statistics,
    borders: Borders,
    module: SeriesDataModule,
    digest: str,
    folder: Path | None,
    weights: Mapping[str, Tensor] | None,
    resume: bool,
) -> tuple[Model, lightning.Trainer]:
    """A model trained on windows of a panel, and its trainer; the same in each process that trains it."""

    def watched(model: Model, count: int) -> pd.DataFrame:
        fitted = Fitted(dict(settings), panel.layout, statistics, borders, model, {}, panel)
        return fitted.forecast(module.near["val"].recent(count))

    shape = shape_of(panel, statistics, settings)
    files = Files(digest, artifact.hashed({key: x for key, x in settings.items() if key not in PLACES}))
    return trained(settings, shape, statistics.scaling, module, files, folder, weights, watched, resume)


def trained(
    settings: Mapping[str, Any],
    shape: Shape,
    scaling: Scaling,
    module: SeriesDataModule,
    files: Files,
    folder: Path | None = None,
    weights: Mapping[str, Tensor] | None = None,
    watched: Callable[[Model, int], pd.DataFrame] | None = None,
    resume: bool = False,
) -> tuple[Model, lightning.Trainer]:
    """A model with the weights of the best validation loss, and the trainer that found them.

    `files` writes and reads checkpoints; `watched(model, n)` forecasts n windows of validation, for figures on the way.
    Threads that train take turns.
    """
    with alone(settings["seed"]), checkpoints(folder) as kept:
        model = build.model(settings, shape, scaling)
        if weights is not None:
            begin(model, weights)
        newest = files.newest(kept) if resume else None
        since = 0 if newest is None else files.load_checkpoint(newest)["global_step"]
        drawn = None if watched is None else partial(watched, model)
        trainer = training.trainer(settings, kept, folder, drawn, since if resume else None)
        trainer.strategy.checkpoint_io = files
        if not resume and trainer.is_global_zero:
            files.forget(kept)
        if isinstance(trainer.strategy, DDPStrategy):
            atexit.register(device.leave)
        place = trainer.strategy.root_device
        with device.float32(settings["tf32"], place), device.compiled(model, settings["compile"]):
            fit(trainer, model, module, newest)
        checkpoint, best = trainer.checkpoint_callback, {}
        assert isinstance(checkpoint, ModelCheckpoint)
        if not checkpoint.best_model_path:
            raise Refusal(
                "training ended before any validation, which chooses the weights: give it more time or steps "
                "(trainer.max_time, trainer.max_steps), or validate sooner",
                "config",
            )
        try:
            if trainer.is_global_zero:  # of several processes the first reads what it wrote
                best = files.load_checkpoint(checkpoint.best_model_path)["state_dict"]
        except Refusal as error:  # a refused run would vanish, and this one has trained
            raise CannotWrite(f"what was written can't be read: {error}", "cannot-write") from error
        model.load_state_dict(trainer.strategy.broadcast(best))
    model.trainer = None  # which holds the optimizer's state, and the panel where it was trained on
    return model, trainer


def fit(trainer: lightning.Trainer, model: Model, module: SeriesDataModule, newest: Path | None) -> None:
    """Trains, from a checkpoint on if there is one; what Lightning makes of errors becomes one of ours."""
    try:
        with handled(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            trainer.fit(model, datamodule=module, ckpt_path=newest, weights_only=True)
    except MisconfigurationException as error:
        raise Refusal(f"trainer: {error}", "config") from error
    except SystemExit as error:  # what it makes of an interruption
        raise (error.__context__ or error) from None
    except CannotWrite:
        raise
    except OSError as error:  # of TensorBoard's events
        raise CannotWrite(f"training could not go on: {error}", "cannot-write") from error


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
