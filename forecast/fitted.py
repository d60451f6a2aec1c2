"""Fitted: what fitting leaves behind, and all that a forecaster is when it is saved."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from forecast import artifact, build
from forecast.contract import Batch, Shape
from forecast.data.forecasts import tabulate
from forecast.data.grid import Borders
from forecast.data.layout import Layout
from forecast.data.panel import Panel
from forecast.data.scaler import Statistics
from forecast.data.windows import Windows
from forecast.document import read
from forecast.error import Refusal
from forecast.evaluation.conformal import Calibration
from forecast.evaluation.quantile import at_levels
from forecast.model.base import Model
from forecast.recipe import AT_ONCE, classed, divisors, origin_window

EVENLY = [(i + 0.5) / 200 for i in range(200)]  # levels whose quantiles stand for a law


@dataclass(frozen=True)
class Fitted:
    """What fitting leaves behind: all that is saved, and the training panel, which is not."""

    config: dict[str, Any]
    layout: Layout
    statistics: Statistics
    borders: Borders
    model: Model
    record: dict[str, Any]
    panel: Panel | None = None
    calibration: Calibration | None = None

    @property
    def reading(self) -> dict[str, Any]:
        """How new files are read: as the training data were, with the columns that were found there."""
        found = {"target": list(self.layout.target), "categorical": list(self.layout.categorical)}
        return {**self.config["data"], "id": self.layout.id, **found}

    def borders_of(self, panel: Panel) -> Borders:
        """Where the parts of a panel end; if each series was split by itself, in the order of the panel's series."""
        train, val, test = self.borders
        if not isinstance(train, np.ndarray) or not isinstance(val, np.ndarray):
            return self.borders
        places = self.statistics.slots(panel.names) - 1
        if (places < 0).any():
            name = panel.names[int(places.argmin())]
            raise Refusal(
                f"data.split_each: series '{name}' was not there in training, so it has no test part", "split"
            )
        return train[places], val[places], test[places] if isinstance(test, np.ndarray) else test

    @property
    def name(self) -> str:
        """What scores call this model, such as `direct-lstm`, and what they don't hold for everyone."""
        data = self.config["data"]
        labels = {"oracle": data["oracle"], "split by series": data["split_each"]}
        return build.title(self.config) + "".join(f" ({label})" for label, there in labels.items() if there)

    def since(self, panel: Panel) -> Windows:
        """The windows whose targets came to be known after the validation part: what calibration learns from online.

        Of the last of them only some steps may be known.
        """
        window = origin_window(self.config, panel.layout.clock, self.statistics.season)
        begin, end = torch.as_tensor(self.borders_of(panel)[1]), (panel.first + panel.lengths).max()
        begun = Windows.between(panel, replace(window, horizon=1), begin, end)
        return Windows(panel, window, begun.starts)

    def issued(
        self, windows: Windows, levels: Sequence[float] | None = None, before: Windows | None = None
    ) -> pd.DataFrame:
        """The forecast table of windows, calibrated if calibration was learnt, after what came of those `before`."""
        levels = asked(levels)
        if self.calibration is None:
            return self.forecast(windows, levels)
        tables = [self.forecast(x) for x in (before, windows) if x is not None and len(x)]
        both = pd.concat(tables).drop_duplicates(["unique_id", "ds", "cutoff"], keep="last", ignore_index=True)
        table = self.calibrated(both, windows.panel).tail(len(tables[-1]))
        table = table.reset_index(drop=True)
        return table if levels is None else at_levels(table, levels)

    def calibrated(self, table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
        """A forecast table with its quantiles moved as calibration has learnt, within the bounds of the data."""
        data = self.config["data"]
        assert self.calibration is not None
        return self.calibration.calibrated(table, divisors(panel, self.statistics)[0], data["min"], data["max"])

    def forecast(self, windows: Windows, levels: Sequence[float] | None = None) -> pd.DataFrame:
        """The forecast table of windows."""
        model = self.model.eval()
        levels = sorted(model.head.levels if levels is None else levels)
        windows = windows.seeing(model.shape.context)  # origins may have a longer one
        with torch.inference_mode():
            batches = windows.to(model.device).batches(AT_ONCE)
            parts = [self.part(windows, batch, *self.answered(batch, levels)) for batch in batches]
        return self.tabled(windows, parts, levels)

    def forecasts(self, several: Sequence[Windows], levels: Sequence[float] | None = None) -> list[pd.DataFrame]:
        """The forecast tables of several sets of windows, few enough for one call of the network.

        What float32 rounds depends on the size of a call: they equal those of `forecast` to 1e-5 standard deviations.
        """
        model = self.model.eval()
        levels = sorted(model.head.levels if levels is None else levels)
        several = [windows.seeing(model.shape.context) for windows in several]
        with torch.inference_mode():
            batches = [next(windows.to(model.device).batches(len(windows))) for windows in several]
            both = self.answered(Batch(*(torch.cat(x) for x in zip(*batches, strict=True))), levels)
            point, spread = (x.split([len(windows) for windows in several]) for x in both)
            parts = [self.part(*each) for each in zip(several, batches, point, spread, strict=True)]
        return [self.tabled(windows, [part], levels) for windows, part in zip(several, parts, strict=True)]

    def part(self, windows: Windows, batch: Batch, point: Tensor, spread: Tensor) -> tuple[np.ndarray, ...]:
        """What a forecast table needs of a batch: cutoffs, values, steps that count, points and quantiles."""
        y = torch.where(batch.target_observed, classed(self.model, batch, batch.target), torch.nan)
        return tuple(x.cpu().numpy() for x in (batch.cutoff, y, windows.counts(batch.clock), point, spread))

    def tabled(
        self, windows: Windows, parts: Sequence[tuple[np.ndarray, ...]], levels: Sequence[float]
    ) -> pd.DataFrame:
        cutoff, y, counts, point, spread = (np.concatenate(x) for x in zip(*parts, strict=True))
        names = self.model.head.classes or levels
        return tabulate(windows.panel, windows.window.gap, cutoff, y, point, spread, names, counts)

    def mean(self, windows: Windows) -> pd.Series:
        """The mean of each forecast, from quantiles all over its law; refused for a head that knows a few only."""
        if self.model.head.classes or self.model.head.span != (0.0, 1.0):
            name = self.config["head"]["name"]
            raise Refusal(f"mean: head={name} has no whole law, so no mean; head=normal or student has one", "levels")
        return self.forecast(windows, EVENLY).filter(regex=r"^q0\.").mean(axis=1)

    def answered(self, batch: Batch, levels: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Points [b horizon c] and quantiles [b horizon c q], within bounds; of classes numbers and probabilities.

        The model is in evaluation.
        """
        model, data = self.model, self.config["data"]
        if model.head.classes:
            params = model(batch).params
            spread = torch.cat((model.head.quantiles(params, levels), model.head.probabilities(params)), -1)
            return spread.argmax(-1).double(), spread
        low, high = (end if x is None else x for x, end in ((data["min"], -math.inf), (data["max"], math.inf)))
        point, spread = model.forecast(batch, levels)
        return point.clamp(low, high), spread.clamp(low, high)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, are made of plain values and arrays: no module travels, nor its trainer."""
        values = {name: x for name, x in vars(self).items() if name != "model"}
        return copied, (self.model.arrays, self.model.shape, values)

    def save(self, folder: Path) -> None:
        borders = [x.tolist() if isinstance(x, np.ndarray) else x for x in self.borders]
        document = {
            "config": self.config,
            "layout": asdict(self.layout),
            "statistics": self.statistics.plain(),
            "borders": borders,
            "shape": asdict(self.model.shape),
            "record": self.record,
            "calibration": None if self.calibration is None else self.calibration.plain(),
        }
        artifact.save(folder, self.model.state_dict(), document)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises Refusal for a folder that holds no forecaster, or one that is not what was saved."""
        try:
            document = artifact.document(folder)
            found = read(document)
            weights = artifact.weights(folder, document, found.sizes())
            model = found.model(weights)
        except Exception as error:  # whatever a hostile file may lead to ends as a refusal
            if isinstance(error, Refusal) and str(folder) in str(error):
                raise
            said = error if isinstance(error, Refusal) else repr(error)
            raise Refusal(f"{folder} holds a damaged forecaster: {said}", "damaged") from error
        statistics, borders = found.statistics, found.borders
        return cls(found.config, found.layout, statistics, borders, model, found.record, None, found.calibration)


def copied(arrays: Mapping[str, np.ndarray], shape: Shape, values: dict[str, Any]) -> Fitted:
    """What `Fitted.__reduce__` took apart; forecasts equal those of the first to the last bit."""
    weights = {name: torch.tensor(x) for name, x in arrays.items()}
    return Fitted(model=build.restored(values["config"], shape, values["statistics"].scaling, weights), **values)


def asked(levels: Any) -> list[float] | None:
    """Levels that a user asks for, ascending; None for those of the head. Refuses what is no list of such numbers."""
    if levels is None:
        return None
    found = list(levels) if isinstance(levels, Sequence | np.ndarray) and not isinstance(levels, str) else []
    if not found or not all(isinstance(x, float | np.floating) and 0 < x < 1 for x in found):
        raise Refusal(f"levels={levels}: expected a list of numbers between 0 and 1, [0.1,0.5,0.9]", "levels")
    return sorted(map(float, found))
