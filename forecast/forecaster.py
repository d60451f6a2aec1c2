"""Forecaster: what Python users import. Data recipe and model in one object: fit, predict, backtest, save, load."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from forecast import build, config, recipe
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import reader, table
from forecast.data.forecasts import history
from forecast.data.grid import Grid
from forecast.data.lines import find
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.evaluation import path
from forecast.evaluation.baseline import chosen
from forecast.evaluation.metrics import compared
from forecast.explanation import explained
from forecast.fitted import Fitted
from forecast.fold import Plan, Refit, rolled
from forecast.learning import learn, prepared
from forecast.recipe import (
    Frame,
    divisors,
    labelled,
    laid,
    lawful,
    opened,
    origin_window,
    outside,
    window_of,
)

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
        folder = None if folder is None else Path(folder)
        grid, borders = laid(settings, opened(settings["data"], frame))
        lawful(grid, build.part("head", settings["head"]))
        outside(grid, settings["data"]["min"], settings["data"]["max"])
        panel, statistics = prepared(settings, grid, borders, folder)
        digest = grid.digest
        del grid  # training needs the panel only
        self.fitted_ = learn(settings, panel, statistics, borders, digest, folder)
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
        return self.ahead(self.panel(frame), levels)

    def ahead(self, panel: Panel, levels: Sequence[float] | None = None) -> pd.DataFrame:
        """The forecast table of what follows the last observed row of each series of a panel."""
        fitted = self.fitted
        if fitted.config["data"]["label"]:
            panel = replace(panel, lengths=panel.lengths.clamp(max=fitted.config["context"]))
        windows = Windows.latest(panel, window_of(fitted.config, panel.layout.clock))
        windows.check_future()
        online = fitted.calibration is not None and fitted.calibration.rate is not None
        return fitted.issued(windows, levels, fitted.since(panel) if online else None)

    def paths(self, frame: Frame | None = None, *, n: int = 100, seed: int | None = None) -> pd.DataFrame:
        """Joint paths of what `predict` forecasts: `unique_id, ds, cutoff, sample_0 ...`, in data units.

        Each step's samples have its forecast's quantiles; which belong together is learnt from `frame`'s past, from
        trajectories at the same phase of the season (see evaluation.path). `seed` None means the configuration's.
        """
        if not isinstance(n, int) or n < 1:
            raise Refusal(f"n={n}: expected a whole number of paths, of at least 1", "config")
        fitted, data = self.fitted, self.fitted.config["data"]
        panel = self.panel(frame)

        def phased(table: pd.DataFrame) -> pd.DataFrame:
            clock = panel.layout.clock
            return table.assign(
                phase=clock.steps(clock.ordinals(pd.DatetimeIndex(table["ds"]))) % fitted.statistics.season
            )

        table = phased(self.ahead(panel))
        seed = int(fitted.config["seed"] if seed is None else seed)
        return path.paths(table, phased(history(panel)), n, seed, data["min"], data["max"])

    def backtest(
        self,
        frame: Frame | None = None,
        *,
        stride: int | None = None,
        levels: Sequence[float] | None = None,
        refit: Refit | None = None,
        folder: Path | str | None = None,
    ) -> pd.DataFrame:
        """Forecasts from rolling origins over the test part, `stride` steps apart (default: test_stride, else horizon).

        The model is the one that was fitted, and saw no row of the test part; with `refit` it is learnt again on the
        way, and a `folder` keeps what is done, so that the same call goes on after an interruption. Every origin has a
        season of history, so that seasonal naive can be judged on it. Returns the forecast table with y.
        """
        given = frame if refit is None else self.grid(frame)
        return self.rolling(given, self.origins(self.panel(given), stride), levels, refit, folder)

    def rolling(
        self,
        given: Frame | Grid | None,
        windows: Windows,
        levels: Sequence[float] | None,
        refit: Refit | None,
        folder: Path | str | None,
    ) -> pd.DataFrame:
        """The forecast table of windows of the test part, by the fitted model or by those that `refit` learns."""
        fitted = self.fitted
        if refit is None or not isinstance(given, Grid):
            return fitted.issued(windows, levels)
        with tempfile.TemporaryDirectory() as scratch:
            kept = Path(scratch if folder is None else folder)
            levels = None if levels is None else tuple(levels)
            plan = Plan(fitted.config, given, fitted.borders, fitted.statistics.season, refit, levels, kept)
            return rolled(plan, windows)

    def judge(
        self,
        frame: Frame | None = None,
        *,
        stride: int | None = None,
        baselines: Sequence[str] | str | None = None,
        refit: Refit | None = None,
        folder: Path | str | None = None,
    ) -> Judgement:
        """The backtest beside baselines on the same windows (default: those of the configuration), and their scores.

        Calibrated forecasts stand beside themselves as they were before. Labels have no seasons: theirs stand alone.
        """
        given = frame if refit is None else self.grid(frame)
        fitted, panel = self.fitted, self.panel(given)
        windows = self.origins(panel, stride)
        name = self.name if refit is None else f"{self.name} ({refit.name})"
        forecasts = {name: self.rolling(given, windows, None, refit, folder)}
        if fitted.calibration is not None and refit is None:
            forecasts[f"{name} (uncalibrated)"] = fitted.forecast(windows)
        if not fitted.config["data"]["label"]:
            names = chosen(fitted.config["baselines"] if baselines is None else baselines)
            free = replace(windows.window, anchor=None, stride=1)
            train = partial(SeriesDataModule.cut, panel, free, fitted.borders_of(panel), "train")
            forecasts |= recipe.baselines(names, windows, train, fitted.statistics, fitted.model)
        return Judgement(forecasts, compared(forecasts, *divisors(panel, fitted.statistics)))

    def explain(
        self,
        frame: Frame | None = None,
        *,
        method: str = "importance",
        stride: int | None = None,
        by_step: bool = False,
        level: float | None = None,
        repeats: int = 5,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """What the forecasts of the test part rest on: a long table that `board.explanation.explained` draws.

        `method` is importance (of each column, by `repeats` shuffles from `seed`), gradients (x input over the context,
        of the point or the quantile at `level`) or attention; see `explanation`. `by_step` tells the steps of the
        horizon apart. `stride` as of backtest.
        """
        seed = int(self.fitted.config["seed"] if seed is None else seed)
        windows = self.origins(self.panel(frame), stride)
        return explained(self.fitted, windows, method, by_step=by_step, level=level, repeats=repeats, seed=seed)

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

    def grid(self, frame: Frame | None) -> Grid:
        """New rows (default: the file of the training data), laid out as the training data were."""
        fitted = self.fitted
        given = fitted.config["data"]["path"] if frame is None else frame
        if given is None:
            raise Refusal("the data to learn from again were a DataFrame: pass it", "no-data")
        source = "DataFrame" if isinstance(given, pd.DataFrame) else str(find(str(given)))
        rows = given if isinstance(given, pd.DataFrame) else reader.read(source, fitted.reading)
        checked = table.again(rows, fitted.layout, fitted.config["data"], source)
        found = grids.grid(checked, fitted.config["gap"] + fitted.config["horizon"])
        labelled(found, fitted.config)
        return found

    def panel(self, given: Frame | Grid | None) -> Panel:
        """The training panel, or new rows scaled as it was."""
        fitted = self.fitted
        if given is not None:
            return panels.panel(given if isinstance(given, Grid) else self.grid(given), fitted.statistics)
        if fitted.panel is None:
            raise Refusal("a loaded forecaster has no data of its own: pass a DataFrame", "no-data")
        return fitted.panel

    def origins(self, panel: Panel, stride: int | None, part: str = "test") -> Windows:
        """The windows of a part of a panel, as they are judged."""
        if stride is not None and (not isinstance(stride, int) or stride < 1):
            raise Refusal(f"stride={stride}: expected a whole number of at least 1", "config")
        fitted = self.fitted
        window = origin_window(fitted.config, panel.layout.clock, fitted.statistics.season, stride)
        return SeriesDataModule.cut(panel, window, fitted.borders_of(panel), part)
