"""Forecaster: what Python users import. Data recipe and model in one object: fit, predict, backtest, save, load."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd
import torch
from narwhals.stable.v2 import Implementation

from forecast import build, device, recipe, scenario
from forecast import fallback as standin
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import reader, table
from forecast.data.forecasts import history
from forecast.data.frame import as_pandas, kind_of, same_kind, told
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
from forecast.fitted import Fitted, asked
from forecast.fold import Plan, Refit, rolled
from forecast.learning import learn, prepared
from forecast.memory import Memory, framed
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
from forecast.unfitted import Unfitted


class Judgement(NamedTuple):
    """Forecasts by name (this model's and `seasonal_naive`) and their scores: model, metric, value."""

    forecasts: dict[str, pd.DataFrame]
    scores: pd.DataFrame

    def told(self, kind: Implementation) -> Self:
        """The same tables as frames of another library."""
        return self._replace(
            forecasts={name: told(table, kind) for name, table in self.forecasts.items()},
            scores=told(self.scores, kind),
        )


class Forecaster(Unfitted):
    """A forecasting model with its data recipe; parameters and `clone` as scikit-learn has them.

    An argument left None means the value of conf/train.yaml; `overrides` set any other key as the command line does
    (`["trainer.max_epochs=5"]`). Fitting builds everything afresh, so that fitting twice is fitting once. Where a
    DataFrame is taken, so is a frame of polars or pyarrow, and tables are of that kind.
    """

    def fit(self, frame: Frame | None = None, *, folder: Path | str | None = None, resume: bool = False) -> Self:
        """Trains on a DataFrame or CSV file (default: `data.path`) and keeps the weights of the best validation loss.

        A `folder` keeps checkpoints and TensorBoard's events; with `resume` training goes on from the newest one there,
        and ends as if it had not been interrupted. Raises Refusal before any training if data or configuration can't be
        used, Diverged if the loss stops being finite, Interrupted after Ctrl-C, a KeyboardInterrupt.
        """
        settings = self.settings(found=frame is None)
        build.check(settings)
        device.able(settings)
        kind, frame = kind_of(frame), as_pandas(frame)
        if isinstance(frame, str | Path):
            settings = {**settings, "data": {**settings["data"], "path": str(frame)}}
        folder = None if folder is None else Path(folder)
        grid, borders = laid(settings, opened(settings["data"], frame))
        lawful(grid, build.part("head", settings["head"]))
        outside(grid, settings["data"]["min"], settings["data"]["max"])
        panel, statistics = prepared(settings, grid, borders, folder)
        digest = grid.digest
        del grid  # training needs the panel only
        self.fitted_, self.kind = learn(settings, panel, statistics, borders, digest, folder, resume=resume), kind
        self.memory = Memory(settings["data"]["path"] if frame is None else frame)
        return self

    @same_kind
    def predict(
        self,
        frame: Frame | None = None,
        *,
        levels: Sequence[float] | None = None,
        cutoffs: Sequence[Any] | None = None,
        mean: bool = False,
        fallback: str | None = None,
    ) -> pd.DataFrame:
        """Forecasts what follows the last observed row of each series: the real future, y empty.

        `frame` has new rows in the columns of the training data, or names a CSV file of them (default: the training
        data). Known covariates must reach over the horizon. With `cutoffs` (stamps) it forecasts as if each of them had
        been the last row. `mean` adds a column of means, where the head has a whole law; calibration leaves them as
        they are. With `fallback="naive"` all series are forecast from the newest row of all, and those whose inputs are
        missing or stale get the value of a season ago and true in a column `fallback`, instead of a refusal. Returns
        the forecast table, in data units; of labelled series, whose labels are not looked at, that of the labels.
        """
        return self.ahead(self.panel(frame), levels, cutoffs, mean, fallback)

    def what_if(
        self,
        changes: Mapping[str, Any],
        frame: Frame | None = None,
        *,
        levels: Sequence[float] | None = None,
    ) -> pd.DataFrame:
        """Forecasts as `predict` does, had known covariates other values after the last row.

        `changes` are by column: one value, or one for each of the gap's and the horizon's steps; of several series also
        an array [series step]. Raises Refusal for a column that is no known covariate, or values of another number.
        """
        kind = self.kind if frame is None else kind_of(frame)
        changed = scenario.changed(self.grid(as_pandas(frame)), changes)
        return told(self.ahead(self.panel(changed), levels), kind)

    def observe(self, rows: Any, *, onnx: bool = False) -> pd.DataFrame:
        """Appends new rows to those it has, and forecasts what follows, as `predict` on all of them does.

        `rows` is a frame in the columns of the training data, or one row by column (`{"ds": ..., "price": ...}`) or a
        list of them; rows of a known future have no target. A forecaster that was just loaded takes the first rows as
        its past. The rows of one series without calibration take well under the time of `predict` when told one by one,
        and by `onnx` (ONNX Runtime, extra `export`) half of that; its forecasts are the same to 1e-5 standard
        deviations. Raises Refusal, and keeps none of the rows, if they don't fit those before, a known covariate is
        missing, or the model can't be written as ONNX.
        """
        if isinstance(rows, Mapping):
            rows = [rows]
        if isinstance(rows, list):
            table = self.memory.observe(rows, onnx)
            if table is not None:
                return told(table, self.kind)
            rows = framed(rows, self.fitted.layout)
        self.kind = kind_of(rows) if self.memory.rows is None else self.kind
        whole = self.memory.whole(self.fitted, as_pandas(rows))
        panel = self.panel(whole)
        table = self.ahead(panel)
        self.memory.keep(whole, self.fitted, panel, onnx)
        return told(table, self.kind)

    def update(self, rows: Any = None, *, epochs: int) -> Self:
        """Goes on learning for some epochs, from all rows that it has and new ones: fine-tuning.

        Scalers and categories stay as they were learnt, as the weights belong to them. The validation part keeps its
        length and ends with the newest row, train is all before it; what comes after may be backtested. Raises Refusal
        if rows don't fit those before, Diverged if the loss stops being finite; the forecaster is then as it was.
        """
        if not isinstance(epochs, int) or epochs < 1:
            raise Refusal(f"epochs={epochs}: expected a whole number of at least 1", "config")
        fitted = self.fitted
        whole = self.memory.whole(fitted, None if rows is None else as_pandas(rows))
        train, val, _ = fitted.borders
        if not isinstance(train, int) or not isinstance(val, int):
            raise Refusal("data.split_each: an update needs one date for all series", "split")
        grid = self.grid(whole)
        lawful(grid, fitted.model.head)
        outside(grid, fitted.config["data"]["min"], fitted.config["data"]["max"])
        panel = panels.panel(grid, fitted.statistics)
        end = int((panel.first + panel.lengths).max())
        trainer = {**fitted.config["trainer"], "max_epochs": epochs}
        settings = {**fitted.config, "trainer": trainer}
        borders = (end - (val - train), end, None)
        weights = fitted.model.state_dict()
        learnt = learn(settings, panel, fitted.statistics, borders, grid.digest, weights=weights)
        self.fitted_ = replace(learnt, config=fitted.config)
        self.memory = Memory(whole)
        return self

    def ahead(
        self,
        panel: Panel,
        levels: Sequence[float] | None = None,
        cutoffs: Sequence[Any] | None = None,
        mean: bool = False,
        fallback: str | None = None,
    ) -> pd.DataFrame:
        """The forecast table of what follows the last observed row of each series of a panel, or other cutoffs."""
        fitted = self.fitted
        standin.check(fallback)
        if fitted.config["data"]["label"]:
            panel = replace(panel, lengths=panel.lengths.clamp(max=fitted.config["context"]))
        window = window_of(fitted.config, panel.layout.clock)

        def issued(windows: Windows) -> pd.DataFrame:
            windows.check_future()
            online = fitted.calibration is not None and fitted.calibration.rate is not None
            table = fitted.issued(windows, levels, fitted.since(panel) if online else None)
            return table.assign(mean=fitted.mean(windows)) if mean else table

        if fallback is not None:
            if cutoffs is not None or fitted.model.head.classes:
                raise Refusal("fallback is for forecasts of values from the newest row on, without cutoffs", "config")
            own = fitted.model.head.levels if fitted.calibration is None else fitted.calibration.levels
            known = asked(levels) or own
            return standin.answered(panel, window, fitted.statistics.season, known, issued)
        if cutoffs is None:
            return issued(Windows.latest(panel, window))
        return issued(Windows.at(panel, window, torch.from_numpy(panel.layout.clock.numbers(cutoffs))))

    @same_kind
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

    @same_kind
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
            levels = None if levels is None else tuple(asked(levels) or ())
            found = {"season": fitted.statistics.season, "calendar": list(fitted.statistics.calendar)}
            plan = Plan(fitted.config, given, fitted.borders, found, refit, levels, kept)
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
        kind, frame = self.kind if frame is None else kind_of(frame), as_pandas(frame)
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
        return Judgement(forecasts, compared(forecasts, *divisors(panel, fitted.statistics))).told(kind)

    @same_kind
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
