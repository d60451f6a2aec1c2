"""Forecasts of an exported forecaster with numpy and ONNX Runtime alone: no torch, no pandas.

    python -m forecast.serving.onnx <folder> rows.csv forecast.csv

`rows.csv` has the columns of the training data, separated by commas, with stamps such as 2024-02-13 15:00; the table is
that of `forecast predict`. Forecast may be installed without what it needs else: pip install --no-deps forecast.
"""

import csv
import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forecast.error import ForecastError, Refusal
from forecast.evaluation.offset import moved
from forecast.serving.rows import Rows, Series
from forecast.serving.session import Session
from forecast.serving.steps import Steps

log = logging.getLogger(__name__)

FORMAT = 1
GRAPH, DOCUMENT = "model.onnx", "export.json"
AT_ONCE = 256  # windows forecast in one batch


class Predictor:
    """An export folder, opened: its files are what was written, or they are refused."""

    def __init__(self, folder: Path | str, threads: int = 0):
        folder = Path(folder)
        try:
            self.known: dict[str, Any] = json.loads((folder / DOCUMENT).read_text())
            content = (folder / GRAPH).read_bytes()
            rest = {key: value for key, value in self.known.items() if key not in ("format", "sha256")}
            text = json.dumps(rest, sort_keys=True).encode()
            found = {GRAPH: hashlib.sha256(content).hexdigest(), DOCUMENT: hashlib.sha256(text).hexdigest()}
            same = self.known["format"] == FORMAT and found == self.known["sha256"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refusal(f"{folder} is no export of a forecaster: {error}", "no-forecaster") from None
        if not same:
            raise Refusal(f"{folder} is not what was exported (format {FORMAT}, sha256): export it again", "damaged")
        self.session = Session(content, threads)
        self.steps = Steps(**self.known["clock"])

    def predict(self, source: str) -> dict[str, list[Any]]:
        """The forecast table, as columns, of what follows the last value of each series of a CSV file."""
        series, window = Rows(source, self.known).series(self.steps), self.known["window"]
        starts, which = self.latest(series, source)
        batch = self.windows(series, starts, which)
        self.check_future(series, batch, which, source)
        parts = [
            self.session({name: x[i : i + AT_ONCE] for name, x in batch.items()})
            for i in range(0, len(starts), AT_ONCE)
        ]
        point, spread = (np.concatenate(part) for part in zip(*parts, strict=True))
        cutoff = series.numbers[starts + window["context"] - 1]
        return self.table(series, which, cutoff, point, spread, self.counts(batch["clock"]))

    def table(
        self,
        series: Series,
        which: np.ndarray,
        cutoff: np.ndarray,
        point: np.ndarray,
        spread: np.ndarray,
        counts: np.ndarray,
    ) -> dict[str, list[Any]]:
        """Columns of windows of the series `which`, by window, channel and step that counts."""
        count, horizon, channels = point.shape
        steps = np.repeat(
            cutoff[:, None] + np.arange(1, horizon + 1) + self.known["window"]["gap"], channels, 0
        ).ravel()
        names, slots = self.labels(series, which), np.repeat(series.slots[which], channels)
        deviation = np.array(self.known["deviation"])[slots, np.tile(np.arange(channels), count)]
        point = np.moveaxis(point, 2, 1).reshape(count * channels, horizon)
        spread = np.moveaxis(spread, 2, 1).reshape(count * channels * horizon, -1)
        point, spread = self.finished(names, point, spread, deviation, steps)
        kept = np.repeat(counts, channels, 0).ravel()
        columns = {
            "unique_id": np.repeat(names, horizon)[kept].tolist(),
            "ds": self.steps.stamps(steps[kept]),
            "cutoff": self.steps.stamps(np.repeat(cutoff, channels * horizon)[kept]),
            "y": [""] * int(kept.sum()),
            "point": point[kept].tolist(),
        }
        learnt = self.known["calibration"]
        levels = self.known["levels"] if learnt is None else learnt["levels"]
        heads = [f"p_{x}" for x in self.known["classes"]] or [f"q{x:g}" for x in levels]
        return columns | dict(zip(heads, spread[kept].T.tolist(), strict=True))

    def latest(self, series: Series, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the contexts of the newest windows start, and of which series they are."""
        window = self.known["window"]
        which = np.flatnonzero(series.lengths >= window["context"])
        if not len(which):
            raise Refusal(
                f"{source}: series '{series.names[0]}' has {series.lengths[0]} rows up to its last value; a forecast "
                f"needs {window['context']} (the context)",
                "too-short",
            )
        starts = series.offsets[which] + series.lengths[which] - window["context"]
        if window["day"] is not None:
            phase, period = window["day"]
            first = self.steps.count(series.numbers[starts + window["context"] + window["gap"]])
            right = first % period == phase
            if not right.any():
                raise Refusal(
                    f"{source}: the forecast would not begin at the anchor, {window['anchor']}: end the data "
                    f"{window['gap'] + 1} steps before it",
                    "anchor",
                )
            starts, which = starts[right], which[right]
        if len(which) < len(series.names):
            log.warning(
                "%s: %d series are left out, too short or not at the anchor", source, len(series.names) - len(which)
            )
        return starts, which

    def windows(self, series: Series, starts: np.ndarray, which: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors of a batch, by name."""
        window = self.known["window"]
        context, length = window["context"], window["context"] + window["gap"] + window["horizon"]
        seen, whole = (starts[:, None] + np.arange(size) for size in (context, length))
        batch = {
            "y": series.y[seen],
            "y_observed": series.observed[seen],
            "past": series.past[seen],
            "past_observed": padded(series.past_observed, series.past.shape[1])[seen],
            "future": series.future[whole],
            "future_observed": padded(series.future_observed, series.future.shape[1])[whole],
            "clock": self.steps.count(series.numbers[whole.ravel()]).reshape(whole.shape),
            "static": series.static[which],
            "codes": series.codes[which],
            "series": series.slots[which],
        }
        beyond = ~self.counts(batch["clock"])
        if beyond.any():  # steps after the last day that counts: known covariates stay as they were
            columns = series.future_observed.shape[1]
            ahead = batch["future"][:, -window["horizon"] :, :columns]
            last = (~beyond).sum(1) - 1
            ahead[:] = np.where(beyond[..., None], ahead[np.arange(len(ahead)), last][:, None], ahead)
            batch["future_observed"][:, -window["horizon"] :, :columns] &= ~beyond[..., None]
        for field, column, steps in window["hidden"]:
            values, observed = batch[field][..., column], batch[f"{field}_observed"][..., column]
            size = min(steps, values.shape[1])
            values[:, -size:] = values[:, -size - 1, None] if size < values.shape[1] else 0.0
            observed[:, -size:] = False
        return batch

    def counts(self, clock: np.ndarray) -> np.ndarray:
        """The steps of the horizon that lie in the local days which it is to cover: without an anchor, all."""
        window = self.known["window"]
        first = clock[:, -window["horizon"] :]
        if window["day"] is None or window["horizon"] < window["day"][1]:
            return np.ones(first.shape, bool)
        phase, period = window["day"]
        days = (first - phase) // period
        return days - days[:, :1] < window["horizon"] // period

    def check_future(self, series: Series, batch: dict[str, np.ndarray], which: np.ndarray, source: str) -> None:
        """Refuses a known covariate that is unknown where a forecast needs it."""
        window = self.known["window"]
        context, gap = window["context"], window["gap"]
        missing = ~batch["future_observed"][:, context:, : series.future_observed.shape[1]]
        missing[:, gap:] &= self.counts(batch["clock"])[..., None]
        for field, column, steps in window["hidden"]:
            if field == "future":
                missing[:, max(0, gap + window["horizon"] - steps) :, column] = False
        if missing.any():
            i, step, _ = (int(x[0]) for x in missing.nonzero())
            raise Refusal(
                f"{source}: a known covariate is missing {step + 1} steps after the last value of series "
                f"'{series.names[which[i]]}': append rows with {', '.join(self.known['columns']['future'])}",
                "no-future",
            )

    def labels(self, series: Series, which: np.ndarray) -> np.ndarray:
        """The `unique_id` of each window and channel."""
        columns, names = self.known["columns"], [series.names[i] for i in which]
        if not columns["joint"]:
            return np.array(names)
        joined = [x if columns["id"] is None else f"{name}/{x}" for name in names for x in columns["target"]]
        return np.array(joined)

    def finished(
        self, names: np.ndarray, point: np.ndarray, spread: np.ndarray, deviation: np.ndarray, numbers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Point [row] and spread [row level], calibrated, and within the bounds of the data.

        `point` is [window-and-channel step], as `names` and `deviation` are; `numbers` are the steps of rows.
        """
        horizon, learnt = point.shape[1], self.known["calibration"]
        low, high = self.known["min"], self.known["max"]
        point = point.ravel()
        if not self.known["classes"]:
            point, spread = np.clip(point, low, high), np.clip(spread, low, high)
        if learnt is None:
            return point, spread
        number = np.zeros(len(point), "int64")
        if learnt["by"] == "step":
            number = np.tile(np.arange(1, horizon + 1), len(names))
        elif learnt["by"] == "hour":
            number = self.steps.local(numbers) // 3600 % 24
        place = {(name, step): i + 1 for i, (name, step) in enumerate(learnt["groups"])}
        owner = np.repeat(np.array([""] * len(names) if learnt["pooled"] else names), horizon)
        group = [place.get(key, 0) for key in zip(owner.tolist(), number.tolist(), strict=True)]
        levels = tuple(learnt["levels"])
        if learnt["around"] == "point":
            values = np.repeat(point[:, None], len(levels), 1)
        else:
            values = spread[:, [self.known["levels"].index(level) for level in levels]]
        offsets = np.array(learnt["offsets"])[group] * np.repeat(deviation, horizon)[:, None]
        point, spread = moved(values, point, levels, learnt["symmetric"], offsets)
        return np.clip(point, low, high), np.clip(spread, low, high)


def padded(observed: np.ndarray, columns: int) -> np.ndarray:
    """Masks with more columns that are never missing."""
    return np.pad(observed, ((0, 0), (0, columns - observed.shape[1])), constant_values=True)


def main(words: Sequence[str]) -> int:
    if len(words) != 3:
        print(str(__doc__).split("\n\n")[1].strip(), file=sys.stderr)
        return 2
    try:
        columns = Predictor(words[0]).predict(words[1])
        with Path(words[2]).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    except (ForecastError, OSError) as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit", 4)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
