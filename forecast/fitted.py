"""Fitted: what fitting leaves behind, and all that a forecaster is when it is saved."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from forecast import artifact, build
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
        """The windows whose targets came to be known after the validation part: what calibration learns from online."""
        window = origin_window(self.config, panel.layout.clock, self.statistics.season)
        begin = torch.as_tensor(self.borders_of(panel)[1])
        return Windows.between(panel, window, begin, (panel.first + panel.lengths).max())

    def issued(
        self, windows: Windows, levels: Sequence[float] | None = None, before: Windows | None = None
    ) -> pd.DataFrame:
        """The forecast table of windows, calibrated if calibration was learnt, after what came of those `before`."""
        if self.calibration is None:
            return self.forecast(windows, levels)
        tables = [self.forecast(x) for x in (before, windows) if x is not None and len(x)]
        table = self.calibrated(pd.concat(tables, ignore_index=True), windows.panel).tail(len(tables[-1]))
        table = table.reset_index(drop=True)
        return table if levels is None else at_levels(table, levels)

    def calibrated(self, table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
        """A forecast table with its quantiles moved as calibration has learnt, within the bounds of the data."""
        data = self.config["data"]
        assert self.calibration is not None
        return self.calibration.calibrated(table, divisors(panel, self.statistics)[0], data["min"], data["max"])

    def forecast(self, windows: Windows, levels: Sequence[float] | None = None) -> pd.DataFrame:
        """The forecast table of windows."""
        model, gap, data = self.model.eval(), windows.window.gap, self.config["data"]
        levels = sorted(model.head.levels if levels is None else levels)
        windows = windows.seeing(model.shape.context)  # origins may have a longer one
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
            model = found.model()
            model.load_state_dict(weights)
        except Exception as error:  # whatever a hostile file may lead to ends as a refusal
            if isinstance(error, Refusal) and str(folder) in str(error):
                raise
            said = error if isinstance(error, Refusal) else repr(error)
            raise Refusal(f"{folder} holds a damaged forecaster: {said}", "damaged") from error
        statistics, borders = found.statistics, found.borders
        return cls(found.config, found.layout, statistics, borders, model, found.record, None, found.calibration)
