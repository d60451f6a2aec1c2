"""A fitted forecaster -> a folder that forecasts without torch: `model.onnx` and `export.json`."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from forecast import artifact, atomic
from forecast.contract import Window
from forecast.data.known import unknown
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.recipe import window_of
from forecast.serving.graph import faithful
from forecast.serving.onnx import DOCUMENT, FORMAT, GRAPH

SECOND = 1_000_000_000  # nanoseconds
UNREAD = (
    "series", "label", "start", "issued", "stamp", "dates", "day", "decimal", "thousands", "encoding", "header",
    "resample", "duplicates", "max_gap", "holidays",
)  # fmt: skip


def export(fitted: Fitted, folder: Path) -> float:
    """Writes the folder and returns how far its forecasts lie off at most, in standard deviations of y.

    Raises Refusal, before anything is written, for a forecaster that can't be exported, forecasts that are not the
    same, and a folder with other files.
    """
    if folder.exists() and (not folder.is_dir() or {x.name for x in folder.iterdir()} - {GRAPH, DOCUMENT}):
        raise Refusal(f"{folder} is there and holds other files: name another by folder=...", "folder")
    able(fitted)
    content, off = faithful(fitted.model)
    plain = json.loads(artifact.plain(document(fitted)))
    hashes = {GRAPH: hashlib.sha256(content).hexdigest(), DOCUMENT: artifact.hashed(plain)}
    atomic.write(folder / GRAPH, content)
    atomic.write(folder / DOCUMENT, artifact.plain({"format": FORMAT, "sha256": hashes, **plain}))
    return off


def able(fitted: Fitted) -> None:
    """Refuses what the predictor can't read or do."""
    data, clock = fitted.config["data"], fitted.layout.clock
    found = {f"data.{key}": data[key] for key in UNREAD if data[key] not in (None, [])}
    if isinstance(data["time"], list):
        found["data.time"] = data["time"]
    if data["fill"] == "linear":
        found["data.fill"] = "linear"
    if fitted.calibration is not None and fitted.calibration.rate is not None:
        found["calibrate.rate"] = fitted.calibration.rate
    kind, length, _ = clock.unit
    if kind != "ns" or length % SECOND or clock.phase % SECOND:
        found["data.freq"] = clock.freq
    if found:
        key, value = next(iter(found.items()))
        raise Refusal(
            f"{key}={value}: what forecasts from an export, with numpy and ONNX Runtime alone, can't do this; use "
            "forecast predict",
            "export",
        )


def document(fitted: Fitted) -> dict[str, Any]:
    """All that the predictor needs to know, in plain types; calendars in seconds."""
    layout, statistics, shape, data = fitted.layout, fitted.statistics, fitted.model.shape, fitted.config["data"]
    window, clock, head = window_of(fitted.config, layout.clock), layout.clock, fitted.model.head
    return {
        "forecast": version("forecast"),
        "name": fitted.name,
        "columns": {key: getattr(layout, key) for key in ("time", "id", "target", "past", "future", "static", "joint")},
        "reading": {key: data[key] for key in ("delimiter", "missing", "tz")},
        "clock": {
            "freq": clock.freq,
            "step": clock.unit[1] // SECOND,
            "phase": clock.phase // SECOND,
            "tz": clock.tz,
            "calendar": statistics.calendar,
            "latitude": statistics.latitude,
        },
        "window": {
            "context": shape.context,
            "gap": shape.gap,
            "horizon": shape.horizon,
            "anchor": window.anchor,
            "day": None if window.anchor is None else clock.at(window.anchor),
            "hidden": hidden(fitted, window),
        },
        "series": statistics.names,
        "middle": statistics.middle.tolist(),
        "deviation": statistics.deviation.tolist(),
        "scales": statistics.columns,
        "categories": statistics.categories,
        "fill": statistics.fill,
        "scaler": statistics.kind,
        "season": statistics.season,
        "masks": statistics.masks,
        "levels": head.levels,
        "classes": head.classes,
        "min": None if head.classes else data["min"],
        "max": None if head.classes else data["max"],
        "calibration": None if fitted.calibration is None else fitted.calibration.plain(),
    }


def hidden(fitted: Fitted, window: Window) -> list[tuple[str, int, int]]:
    """Columns that are not known up to their end when a forecast is issued."""
    layout, known = fitted.layout, fitted.statistics.categories
    names = {kind: [x for name in getattr(layout, kind) for x in [name] * len(known.get(name, ("",)))]
             for kind in ("past", "future")}  # fmt: skip
    panel: Any = SimpleNamespace(layout=layout, past_names=names["past"], future_names=names["future"])
    return unknown(panel, window)
