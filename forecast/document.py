"""What a saved forecaster's document may say: read as data, key by key, before a model is made of it.

No name in it is imported (`build` looks it up in a folder), no interpolation is resolved, no path is opened, and every
size is held against what else is said before anything of that size is made.
"""

import re
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from forecast import build, config
from forecast.alone import alone
from forecast.contract import Shape
from forecast.data.grid import Borders
from forecast.data.layout import Layout
from forecast.data.scaler import SCALERS, Statistics
from forecast.error import Refusal
from forecast.evaluation.conformal import Calibration
from forecast.model.base import Model
from forecast.setting import fits, wanted, whole

KEYS = {"format", "sha256", "config", "layout", "statistics", "borders", "shape", "record", "calibration"}
LARGEST = 1 << 20  # steps of a window, and whole numbers among the settings of a part
SAME = {"kind": "scaler", "fill": "fill", "masks": "observed", "holidays": "holidays", "latitude": "latitude"}
PARTS = ("model", "backbone", "head", "normalizer")


class Contents(NamedTuple):
    """A document, read and checked."""

    config: dict[str, Any]
    layout: Layout
    statistics: Statistics
    borders: Borders
    shape: Shape
    record: dict[str, Any]
    calibration: Calibration | None

    def model(self, weights: Mapping[str, torch.Tensor]) -> Model:
        """The model with these weights."""
        return build.restored(self.config, self.shape, self.statistics.scaling, weights)

    def sizes(self) -> Mapping[str, torch.Tensor]:
        """The tensors that the model has, without their memory."""
        with alone(0), torch.device("meta"):
            return build.model(self.config, self.shape, self.statistics.scaling).state_dict()


def read(document: Mapping[str, Any]) -> Contents:
    """The contents of a document of today's format.

    Raises Refusal, or what Python raises on a value of another type, for one that `Fitted.save` can't have written.
    """
    if document.keys() != KEYS:
        odd = sorted(document.keys() ^ KEYS)
        raise Refusal(f"{', '.join(odd)}: these keys are missing, or are not those of a forecaster", "damaged")
    build.literal(document["record"], "record.")
    settings = config.completed(document["config"])
    bounded(settings)
    build.check(settings)
    layout = Layout.of(typed("layout", Layout, document["layout"]))
    ticking(layout)
    statistics = Statistics.of(typed("statistics", Statistics, document["statistics"]))
    numbers(statistics, len(layout.channels), settings["data"])
    found = typed("shape", Shape, document["shape"])
    shape = Shape(**{**found, "cardinalities": tuple(found["cardinalities"])})
    agreed(shape, settings, layout, statistics)
    learnt = document["calibration"]
    calibration = None if learnt is None else Calibration.of(typed("calibration", Calibration, learnt))
    borders = bordered(document["borders"], len(statistics.names))
    return Contents(settings, layout, statistics, borders, shape, dict(document["record"]), calibration)


def typed(what: str, kind: type, plain: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON has them, each of its type; arrays and nested ones are checked by others."""
    hints = typing.get_type_hints(kind)
    if not isinstance(plain, dict) or plain.keys() != hints.keys():
        raise Refusal(f"{what} has other keys than {', '.join(hints)}", "damaged")
    for key, hint in hints.items():
        nested = {"clock", "groups", "columns"}
        if hint is not np.ndarray and key not in nested and not fits(plain[key], hint):
            raise Refusal(f"{what}.{key}={str(plain[key])[:80]}: expected {wanted(hint)}", "damaged")
    return plain


def bounded(settings: Mapping[str, Any]) -> None:
    """Refuses sizes beyond reason: those that no weight has for an axis would be found out by running out of memory."""

    def large(node: Any) -> bool:
        inside = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
        return (isinstance(node, int) and abs(node) > LARGEST) or any(map(large, inside))

    for key in ("context", "horizon", "gap", *PARTS):
        if large(settings[key]):
            raise Refusal(f"{key}={str(settings[key])[:80]}: expected whole numbers up to {LARGEST}", "damaged")


def ticking(layout: Layout) -> None:
    """Refuses a frequency or a time zone that is none; those of dateutil are names of files."""
    clock = layout.clock
    layout.check()
    whole(vars(clock), "phase", -(2**63), "clock.")
    whole(vars(clock), "time", 0, "clock.")
    if clock.unit[1] < 1 or not fits(clock.tz, str | None) or re.match("dateutil|.*[.][.]", clock.tz or ""):
        raise Refusal(f"clock.tz={clock.tz}: expected the name of a time zone", "damaged")
    pd.Timestamp(0, tz="UTC").tz_convert(clock.tz)


def numbers(statistics: Statistics, channels: int, data: Mapping[str, Any]) -> None:
    """Refuses statistics of another size or manner than their series, channels and configuration have."""
    size = (len(statistics.names) + 1, channels)
    arrays = {key: x for key, x in vars(statistics).items() if isinstance(x, np.ndarray)}
    for key, x in arrays.items():
        if x.shape != size or ("naive" not in key and not np.isfinite(x).all()) or (key != "loc" and (x < 0).any()):
            raise Refusal(f"statistics.{key} has shape {x.shape}, or odd numbers: expected {size}", "damaged")
    if data["scaler"] not in SCALERS or not (statistics.scale > 0).all():
        raise Refusal(f"data.scaler={data['scaler']}: expected a scaler, and scales above 0", "damaged")
    for key, name in SAME.items():
        if getattr(statistics, key) != data[name]:
            raise Refusal(f"statistics.{key}={getattr(statistics, key)}, but data.{name}={data[name]}", "damaged")
    for name, pair in statistics.columns.items():
        if len(pair) != 2 or not np.isfinite(np.array(pair, "float64")).all() or not pair[1] > 0:
            raise Refusal(f"statistics.columns.{name}={pair}: expected a level and a scale", "damaged")
    whole(vars(statistics), "season", 1, "statistics.")


def agreed(shape: Shape, settings: Mapping[str, Any], layout: Layout, statistics: Statistics) -> None:
    """Refuses a shape that is not the one of its configuration, layout and statistics."""
    counts = {name: len(x) + 1 for name, x in statistics.categories.items() if name in layout.static}
    same = {key: settings[key] for key in ("context", "horizon", "gap")}
    same |= {"channels": len(layout.channels), "season": statistics.season, "series": len(statistics.names) + 1}
    same |= {"cardinalities": tuple(counts[name] for name in layout.static if name in counts)}
    same |= {"width": build.width(settings), "static": len(layout.static) - len(counts)}
    for key in ("past", "future"):
        whole(vars(shape), key, 0, "shape.")
        same[key] = min(getattr(shape, key), LARGEST)
    for key, value in same.items():
        if getattr(shape, key) != value:
            raise Refusal(f"shape.{key}={getattr(shape, key)}: by what else is said it is {value}", "damaged")


def bordered(plain: Any, series: int) -> Borders:
    """Where train, val and test end: numbers of steps, one for all or one a series; test may have no end."""
    each = [plain[i] if isinstance(plain[i], list) else [plain[i]] * series for i in range(len(plain))]
    known = [x for i, x in enumerate(each) if i < 2 or x != [None] * series]
    if len(each) != 3 or any(len(x) != series or any(type(y) is not int for y in x) for x in known):
        raise Refusal("borders: expected three numbers of steps, each for all series or one a series", "damaged")
    train, val, test = (np.array(x) if isinstance(x, list) else x for x in plain)
    return train, val, test
