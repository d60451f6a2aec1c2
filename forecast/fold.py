"""Backtests that learn again as time goes on: every few origins of the test part, from what was known by then."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load, save
from torch import Tensor

from forecast import artifact, atomic
from forecast.contract import Window
from forecast.data.column import EXACT
from forecast.data.grid import Borders, Grid
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.learning import learn, prepared

PLAN = "plan.json"


@dataclass(frozen=True)
class Refit:
    """Learns again before every so many cutoffs (1: each), scalers and all, from the rows up to the first of them.

    The val part keeps its length and ends there; train is all before it, or (`sliding`) as long as it was at first.
    `warm` begins with the weights of the fold before, and learns for `epochs` only (default: as many as at first), else
    each fold is learnt from scratch, `jobs` of them at once.
    """

    every: int = 1
    sliding: bool = False
    warm: bool = False
    epochs: int | None = None
    jobs: int = 1

    @property
    def name(self) -> str:
        """What scores add to the model's name."""
        words = {"sliding": self.sliding, "warm": self.warm, f"{self.epochs} epochs": self.epochs is not None}
        return ", ".join([f"refit every {self.every}", *(word for word, there in words.items() if there)])

    def __post_init__(self) -> None:
        for key in ("every", "jobs", *(["epochs"] if self.epochs is not None else [])):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise Refusal(f"refit.{key}={value}: expected a whole number of at least 1", "config")
        if self.epochs is not None and not self.warm:
            raise Refusal(
                "refit.epochs: folds that are learnt from scratch need all epochs; add refit.warm=true", "config"
            )
        if self.warm and self.jobs > 1:
            raise Refusal("refit.warm=true: a fold begins where the one before ended; use refit.jobs=1", "config")


@dataclass(frozen=True)
class Plan:
    """All that the folds of a backtest share; `found` are keys of data that the first learning found by itself."""

    settings: Mapping[str, Any]
    grid: Grid
    borders: Borders
    found: Mapping[str, Any]
    refit: Refit
    levels: tuple[float, ...] | None
    folder: Path

    @property
    def digest(self) -> str:
        """What the forecasts depend on, as a hash; not how many folds are learnt at once."""
        shape = asdict(self.refit) | {"jobs": 1, "levels": self.levels, "borders": list(self.borders)}
        known = json.dumps([self.settings, shape, self.grid.digest], sort_keys=True)
        return hashlib.sha256(known.encode()).hexdigest()

    def file(self, number: int, kind: str = "csv") -> Path:
        return self.folder / f"{number:05d}.{kind}"

    def settings_of_fold(self, warm: bool) -> dict[str, Any]:
        """The settings without what is for a run alone, and with what may not change from fold to fold."""
        data = {**self.settings["data"], **self.found}
        if self.refit.sliding and data["train_window"] is None:
            data["train_window"] = int(self.borders[0] - self.grid.first.min())
        trainer = {**self.settings["trainer"], "enable_progress_bar": False}
        if warm and self.refit.epochs is not None:
            trainer["max_epochs"] = self.refit.epochs
        callbacks = {**self.settings["callbacks"], "figures": None}
        run = {"data": data, "trainer": trainer, "callbacks": callbacks, "logger": {"name": "none"}}
        return {**self.settings, **run}


def rolled(plan: Plan, windows: Windows) -> pd.DataFrame:
    """The forecast table of windows of the test part, each by a model that learnt from what was known at its origin.

    Every fold is a file of the plan's folder as soon as it is done; a backtest that was interrupted goes on there.
    Raises Refusal if the folder holds another one.
    """
    from tqdm import tqdm

    if isinstance(plan.borders[0], np.ndarray):
        raise Refusal("data.split_each: a backtest with refit needs one date for all series", "split")
    begun(plan, windows)
    cutoffs = windows.begins[windows.series] + windows.cutoffs
    numbers = torch.unique(cutoffs, return_inverse=True)[1] // plan.refit.every
    folds = [(number, int(cutoffs[numbers == number].min())) for number in range(int(numbers.max()) + 1)]
    todo = [(number, cutoff) for number, cutoff in folds if not plan.file(number).is_file()]
    done = warmly(plan, windows, numbers, todo) if plan.refit.warm else freshly(plan, windows, numbers, todo)
    for _ in tqdm(done, "folds", len(folds), initial=len(folds) - len(todo)):
        pass
    tables = [read(plan, number) for number, _ in folds]
    order = {name: i for i, name in enumerate(windows.panel.labels)}
    whole = pd.concat(tables, ignore_index=True)
    places = np.lexsort((whole["ds"], whole["cutoff"], whole["unique_id"].map(order)))
    return whole.iloc[places].reset_index(drop=True)


def begun(plan: Plan, windows: Windows) -> None:
    """Claims the folder for this backtest."""
    known = {"digest": plan.digest, "windows": hashlib.sha256(windows.starts.numpy().tobytes()).hexdigest()}
    path = plan.folder / PLAN
    if path.is_file() and json.loads(path.read_text()) != known:
        raise Refusal(
            f"{plan.folder} holds the folds of another backtest (other data, settings or refit): name another folder",
            "other-backtest",
        )
    atomic.write(path, artifact.plain(known))


def freshly(plan: Plan, windows: Windows, numbers: Tensor, todo: list[tuple[int, int]]) -> Iterator[None]:
    """Folds that don't depend on each other, several at once; their processes share the grid."""
    from joblib import Parallel, delayed

    works = (delayed(one)(plan, windows.window, windows.starts[numbers == i], i, cutoff, None) for i, cutoff in todo)
    for _ in Parallel(n_jobs=plan.refit.jobs, return_as="generator_unordered")(works):
        yield


def warmly(plan: Plan, windows: Windows, numbers: Tensor, todo: list[tuple[int, int]]) -> Iterator[None]:
    """One fold after the other; the weights of the last are kept, so that an interrupted backtest goes on the same."""
    for i, cutoff in todo:
        before = plan.file(i - 1, "safetensors")
        weights = load(before.read_bytes()) if before.is_file() else None
        one(plan, windows.window, windows.starts[numbers == i], i, cutoff, weights)
        before.unlink(missing_ok=True)
        yield


def one(
    plan: Plan, window: Window, starts: Tensor, number: int, cutoff: int, weights: Mapping[str, Tensor] | None
) -> None:
    """Learns from the rows up to a cutoff, a number of the clock, and writes the forecasts of windows from there on."""
    train, val, last = plan.borders
    borders, settings = (cutoff + 1 - (val - train), cutoff + 1, last), plan.settings_of_fold(weights is not None)
    panel, statistics = prepared(settings, plan.grid, borders)
    fitted = learn(settings, panel, statistics, borders, plan.grid.digest, weights=weights)
    table = fitted.issued(Windows(panel, window, starts), plan.levels)
    if plan.refit.warm:
        atomic.write(plan.file(number, "safetensors"), save(fitted.model.state_dict()))
    atomic.write(plan.file(number), table.to_csv(index=False))


def read(plan: Plan, number: int) -> pd.DataFrame:
    """The forecast table of a fold that is done, to the last bit."""
    found = pd.read_csv(plan.file(number), dtype={"unique_id": "str"}, keep_default_na=False, na_values=[""], **EXACT)
    zone = plan.grid.layout.clock.tz
    for name in ("ds", "cutoff"):
        stamps = pd.to_datetime(found[name], format="ISO8601", utc=zone is not None)
        found[name] = (stamps if zone is None else stamps.dt.tz_convert(zone)).dt.as_unit("ns")
    return found
