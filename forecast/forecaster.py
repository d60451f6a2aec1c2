"""Forecaster: what Python users import. Data recipe and model in one object: fit, predict, backtest, save, load."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint

from forecast import build, config, training
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import reader, scaler, table
from forecast.data.forecasts import tabulate
from forecast.data.lines import find
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.store import stored
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.evaluation.metrics import REFERENCE, compared
from forecast.fitted import Fitted
from forecast.recipe import (
    AT_ONCE,
    Frame,
    classed,
    datamodule,
    divisors,
    labelled,
    laid,
    lawful,
    naive,
    opened,
    origin_window,
    outside,
    shape_of,
    window_of,
)

log = logging.getLogger(__name__)

ARGUMENTS = ("data", "model", "backbone", "head", "normalizer", "context", "horizon", "gap", "seed")


class Judgement(NamedTuple):
    """Forecasts by name (this model's and `seasonal_naive`) and their scores: model, metric, value."""

    forecasts: dict[str, pd.DataFrame]
    scores: pd.DataFrame


class Forecaster:
    """A forecasting model with its data recipe.

    An argument left None means the value of conf/train.yaml; `overrides` set any other key as the command line does
    (`["trainer.max_epochs=5"]`). Fitting builds everything afresh, so that fitting twice is fitting once.
    """

    def __init__(
        self,
        *,
        data: str | None = None,
        model: str | None = None,
        backbone: str | None = None,
        head: str | None = None,
        normalizer: str | Sequence[str] | None = None,
        context: int | None = None,
        horizon: int | None = None,
        gap: int | None = None,
        seed: int | None = None,
        overrides: Sequence[str] = (),
    ):
        self.data, self.model, self.backbone, self.head, self.normalizer = data, model, backbone, head, normalizer
        self.context, self.horizon, self.gap, self.seed, self.overrides = context, horizon, gap, seed, overrides
        self.composed: Mapping[str, Any] | None = None
        self.fitted_: Fitted | None = None

    @classmethod
    def of(cls, composed: Mapping[str, Any]) -> Self:
        """An unfitted forecaster with a configuration that is already composed."""
        made = cls()
        made.composed = composed
        return made

    def settings(self, found: bool = True) -> dict[str, Any]:
        """The configuration; for data that are given, and not `found` by it, no data set is assumed unless named."""
        if self.composed is not None:
            return dict(self.composed)
        given = {name: getattr(self, name) for name in ARGUMENTS if getattr(self, name) is not None}
        if not found:
            given.setdefault("data", "csv")
        if isinstance(given.get("normalizer"), str):
            given["normalizer"] = [given["normalizer"]]
        return config.composed("train", [*(config.override(k, v) for k, v in given.items()), *self.overrides])

    def fit(self, frame: Frame | None = None, *, folder: Path | str | None = None) -> Self:
        """Trains on a DataFrame or CSV file (default: `data.path`) and keeps the weights of the best validation loss.

        A `folder` keeps checkpoints and TensorBoard's events. Raises Refusal before any training if data or
        configuration can't be used, Diverged if the loss stops being finite.
        """
        settings = self.settings(found=frame is None)
        build.check(settings)
        started = perf_counter()
        grid, borders = laid(settings, opened(settings["data"], frame))
        data = settings["data"]
        lawful(grid, build.part("head", settings["head"]))
        outside(grid, data["min"], data["max"])
        statistics = scaler.learn(grid, borders[0], data)
        panel = panels.panel(grid, statistics)
        if folder is not None and panel.size > data["memory"] << 20:
            panel = stored(panel, Path(folder) / "panel")
        module = datamodule(settings, panel, borders)
        window = origin_window(settings, grid.layout.clock, statistics.season)
        SeriesDataModule.cut(panel, window, borders, "test")
        digest = grid.digest
        del grid  # training needs the panel only
        with torch.random.fork_rng(), checkpoints(folder) as kept:
            torch.manual_seed(settings["seed"])
            model = build.model(settings, shape_of(panel, statistics, settings), statistics.scaling)
            trainer = training.trainer(settings, kept, None if folder is None else Path(folder))
            try:
                trainer.fit(model, datamodule=module)
            except MisconfigurationException as error:
                raise Refusal(f"trainer: {error}", "config") from error
            checkpoint = trainer.checkpoint_callback
            assert isinstance(checkpoint, ModelCheckpoint)
            model.load_state_dict(torch.load(checkpoint.best_model_path, weights_only=True)["state_dict"])
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
        }
        self.fitted_ = Fitted(settings, panel.layout, statistics, borders, model, record, panel)
        return self

    @property
    def fitted(self) -> Fitted:
        if self.fitted_ is None:
            raise Refusal("this forecaster is not fitted yet: call fit first", "not-fitted")
        return self.fitted_

    def predict(self, frame: Frame | None = None, *, levels: Sequence[float] | None = None) -> pd.DataFrame:
        """Forecasts what follows the last observed row of each series: the real future, y empty.

        `frame` has new rows in the columns of the training data, or names a CSV file of them (default: the training
        data). Known covariates must reach over the horizon. Returns the forecast table, in data units; of labelled
        series, whose labels are not looked at, that of the labels.
        """
        fitted, panel = self.fitted, self.panel(frame)
        if fitted.config["data"]["label"]:
            panel = replace(panel, lengths=panel.lengths.clamp(max=fitted.config["context"]))
        windows = Windows.latest(panel, window_of(fitted.config, panel.layout.clock))
        windows.check_future()
        return self.forecast(windows, levels)

    def backtest(
        self, frame: Frame | None = None, *, stride: int | None = None, levels: Sequence[float] | None = None
    ) -> pd.DataFrame:
        """Forecasts from rolling origins over the test part, `stride` steps apart (default: test_stride, else horizon).

        The model is the one that was fitted, and saw no row of the test part. Every origin has a season of history,
        so that seasonal naive can be judged on it. Returns the forecast table with y.
        """
        return self.forecast(self.origins(self.panel(frame), stride), levels)

    def judge(self, frame: Frame | None = None, *, stride: int | None = None) -> Judgement:
        """The backtest beside the seasonal naive forecast of the same windows, and the scores of both.

        Labels have no seasons: their forecasts stand alone.
        """
        statistics, panel = self.fitted.statistics, self.panel(frame)
        windows = self.origins(panel, stride)
        forecasts = {self.name: self.forecast(windows)}
        if not self.fitted.config["data"]["label"]:
            forecasts[REFERENCE] = naive(windows, statistics.season, self.fitted.model)
        return Judgement(forecasts, compared(forecasts, *divisors(panel, statistics)))

    @property
    def name(self) -> str:
        """What scores call this model."""
        return self.fitted.name

    def save(self, folder: Path | str) -> None:
        """Writes the fitted forecaster: safetensors and JSON, no pickle, no training data."""
        self.fitted.save(Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """A saved forecaster, from its folder or that of its run; forecasts equal the saved one's to the last bit."""
        fitted = Fitted.load(Path(folder))
        made = cls.of(fitted.config)
        made.fitted_ = fitted
        return made

    def panel(self, frame: Frame | None) -> Panel:
        """The training panel, or new rows laid out and scaled as the training data were."""
        fitted = self.fitted
        if frame is None:
            if fitted.panel is None:
                raise Refusal("a loaded forecaster has no data of its own: pass a DataFrame", "no-data")
            return fitted.panel
        source = "DataFrame" if isinstance(frame, pd.DataFrame) else str(find(str(frame)))
        if not isinstance(frame, pd.DataFrame):
            frame = reader.read(source, fitted.reading)
        grid = grids.grid(
            table.again(frame, fitted.layout, fitted.config["data"], source),
            fitted.config["gap"] + fitted.config["horizon"],
        )
        labelled(grid, fitted.config)
        return panels.panel(grid, fitted.statistics)

    def origins(self, panel: Panel, stride: int | None, part: str = "test") -> Windows:
        """The windows of a part of a panel, as they are judged."""
        if stride is not None and (not isinstance(stride, int) or stride < 1):
            raise Refusal(f"stride={stride}: expected a whole number of at least 1", "config")
        fitted = self.fitted
        window = origin_window(fitted.config, panel.layout.clock, fitted.statistics.season, stride)
        return SeriesDataModule.cut(panel, window, fitted.borders_of(panel), part)

    def forecast(self, windows: Windows, levels: Sequence[float] | None = None) -> pd.DataFrame:
        """The forecast table of windows."""
        model, gap, data = self.fitted.model.eval(), windows.window.gap, self.fitted.config["data"]
        levels = sorted(model.head.levels if levels is None else levels)
        window = replace(windows.window, context=model.shape.context)  # origins may have a longer one
        windows = Windows(windows.panel, window, windows.starts + windows.window.context - window.context)
        results = []
        with torch.inference_mode():
            for batch in windows.to(model.device).batches(AT_ONCE):
                if model.head.classes:
                    params = model(batch).params
                    spread = torch.cat((model.head.quantiles(params, levels), model.head.probabilities(params)), -1)
                    point = spread.argmax(-1).double()
                else:
                    point, spread = model.forecast(batch, levels)
                y = torch.where(batch.target_observed, classed(model, batch, batch.target), torch.nan)
                counts = windows.counts(batch.clock)
                results.append([x.cpu().numpy() for x in (batch.cutoff, y, counts, point, spread)])
        cutoff, y, counts, point, spread = (np.concatenate(x) for x in zip(*results, strict=True))
        if not model.head.classes:
            point, spread = (np.clip(x, data["min"], data["max"]) for x in (point, spread))
        return tabulate(windows.panel, gap, cutoff, y, point, spread, model.head.classes or levels, counts)


@contextmanager
def checkpoints(folder: Path | str | None) -> Iterator[Path]:
    """Where checkpoints go: into the run folder, or somewhere that vanishes."""
    if folder is not None:
        yield Path(folder) / "checkpoints"
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
