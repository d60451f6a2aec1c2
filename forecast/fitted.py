"""Fitted: what fitting leaves behind, and all that a forecaster is when it is saved."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from forecast import artifact, build
from forecast.contract import Shape
from forecast.data.grid import Borders
from forecast.data.layout import Layout
from forecast.data.panel import Panel
from forecast.data.scaler import Statistics
from forecast.error import Refusal
from forecast.evaluation.conformal import Calibration
from forecast.model.base import Model


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
        weights, document = artifact.load(folder)
        try:
            layout, statistics = Layout.of(document["layout"]), Statistics.of(document["statistics"])
            shape = Shape(**{**document["shape"], "cardinalities": tuple(document["shape"]["cardinalities"])})
            model = build.model(document["config"], shape, statistics.scaling)
            model.load_state_dict(weights)
            train, val, test = (np.array(x) if isinstance(x, list) else x for x in document["borders"])
            found, record = document.get("calibration"), document["record"]
            calibration = None if found is None else Calibration.of(found)
            return cls(document["config"], layout, statistics, (train, val, test), model, record, None, calibration)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise Refusal(f"{folder} holds a damaged forecaster: {error!r}", "damaged") from error
