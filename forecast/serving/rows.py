"""A CSV file -> every series on its grid, end to end, in numpy alone; what is not written plainly is refused."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forecast.data.fill import filled
from forecast.error import Refusal, nearest
from forecast.serving.steps import Steps

MISSING = ("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A", "n/a", "#N/A")
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


@dataclass(frozen=True)
class Series:
    """The tensors of `forecast.data.panel.Panel` that a predictor needs, as arrays [row column] or one row a series."""

    names: tuple[str, ...]
    y: np.ndarray
    observed: np.ndarray
    past: np.ndarray
    past_observed: np.ndarray
    future: np.ndarray
    future_observed: np.ndarray
    static: np.ndarray
    codes: np.ndarray
    slots: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    numbers: np.ndarray


class Rows:
    """A file's columns as text, and as what a document of an export says that they are."""

    def __init__(self, source: str, document: Mapping[str, Any]):
        self.source, self.known = source, document
        reading = document["reading"]
        self.missing = [*MISSING, *map(str, reading["missing"])]
        try:
            with Path(source).open(newline="", encoding="utf-8-sig") as file:
                lines = [line for line in csv.reader(file, delimiter=reading["delimiter"] or ",") if line]
        except (OSError, UnicodeError) as error:
            raise Refusal(f"{source} can't be read as UTF-8 text: {error}", "unreadable") from None
        if len(lines) < 2:
            raise Refusal(f"{source} has no rows under its header", "empty-file")
        names = [name.strip() for name in lines[0]]
        wrong = next((i for i, line in enumerate(lines) if len(line) != len(names)), None)
        if wrong is not None:
            raise Refusal(
                f"{source}, row {wrong}: {len(lines[wrong])} cells where the header has {len(names)}", "ragged"
            )
        self.count, self.columns = len(lines) - 1, dict(zip(names, zip(*lines[1:], strict=True), strict=True))

    def text(self, name: str) -> np.ndarray:
        if name not in self.columns:
            near = nearest(name, self.columns) or f"; it has {', '.join(self.columns)}"
            raise Refusal(f"{self.source} has no column '{name}'{near}", "no-column")
        return np.strings.strip(np.array(self.columns[name]))

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where missing."""
        text = self.text(name)
        missing = np.isin(text, self.missing)
        try:
            values = np.where(missing, "nan", text).astype("float64")
            wrong = ~missing & (~np.isfinite(values) | (np.strings.find(text, "_") >= 0))
        except ValueError:  # now each by itself, so that the wrong one can be named
            values, wrong = np.empty(0), ~missing & np.array([re.fullmatch(NUMBER, x) is None for x in text.tolist()])
        if wrong.any():
            row = int(wrong.argmax())
            raise Refusal(
                f"{self.source}, row {row + 1}, column '{name}': '{text[row]}' is not a number such as 12.5",
                "not-a-number",
            )
        sentinels = [float(x) for x in self.missing if re.fullmatch(r"[+-]?\d+(\.\d*)?", x)]
        return np.where(np.isin(values, sentinels), np.nan, values)

    def words(self, name: str) -> np.ndarray:
        """A column of categories as text, whole numbers without a decimal point, "" where missing."""
        cells, place = np.unique(self.text(name), return_inverse=True)
        found = ["" if x in self.missing else re.sub(r"^(-?\d+)\.0+$", r"\1", x) for x in cells.tolist()]
        return np.array(found)[place]

    def encoded(self, names: Sequence[str], times: int) -> np.ndarray:
        """Covariates [row column] as networks see them: in deviations, or a column of 0 and 1 for each category."""
        columns = [np.empty((self.count, 0))]
        for name in names:
            if name in self.known["scales"]:
                loc, scale = self.known["scales"][name]
                columns.append((self.numbers(name)[:, None] - loc) / scale)
                continue
            words = self.words(name)[:, None]
            one = (words == np.array(self.known["categories"][name])).astype("float64")
            columns.append(np.where(words == "", np.nan, one))
        return np.tile(np.concatenate(columns, 1), (times, 1))

    def series(self, steps: Steps) -> Series:
        """All series of the file on the grid; each has room for the future after its last row."""
        columns, known = self.known["columns"], self.known
        one = columns["id"] is None
        ids = np.full(self.count, "series") if one else self.text(columns["id"])
        if (ids == "").any():
            raise Refusal(f"{self.source}, row {(ids == '').argmax() + 1}: the series has no name", "no-id")
        _, groups = np.unique(ids, return_inverse=True)
        numbers = steps.numbers(self.text(columns["time"]), known["reading"]["tz"], groups, self.source)
        values = [self.numbers(name) for name in columns["target"]]
        for name, found in zip(columns["target"], values, strict=True):
            if known.get("scaler") == "log1p" and (found <= -1).any():
                row = int((found <= -1).argmax())
                raise Refusal(
                    f"{self.source}, row {row + 1}, column '{name}': {found[row]:g} has no logarithm; "
                    "data.scaler=log1p takes values above -1",
                    "scaler",
                )
        times = 1 if columns["joint"] else len(values)
        labels, y = ids, np.stack(values, 1)
        if not columns["joint"] and (one or times > 1):  # each target is a series
            labels = np.concatenate(
                [np.full(self.count, x) if one else np.char.add(ids, f"/{x}") for x in columns["target"]]
            )
            y, numbers = np.concatenate(values)[:, None], np.tile(numbers, times)
        names, codes = np.unique(labels, return_inverse=True)
        if one and times > 1:  # as the targets are
            order = np.array([np.flatnonzero(names == x)[0] for x in columns["target"]])
            names, codes = names[order], np.argsort(order)[codes]
        order = np.lexsort((numbers, codes))
        twice = (np.diff(codes[order]) == 0) & (np.diff(numbers[order]) == 0)
        if twice.any():
            row = int(order[1:][twice][0])
            raise Refusal(
                f"{self.source}, row {row % self.count + 1}: this stamp of series '{labels[row]}' is there twice",
                "duplicate",
            )
        return self.laid(names, codes, numbers, y, times, steps)

    def laid(
        self, names: np.ndarray, codes: np.ndarray, numbers: np.ndarray, y: np.ndarray, times: int, steps: Steps
    ) -> Series:
        """Rows of series `codes` at the grid's `numbers`, gaps filled as in training."""
        known, window = self.known, self.known["window"]
        first, last = np.full((2, len(names)), [[np.iinfo("int64").max], [np.iinfo("int64").min]])
        np.minimum.at(first, codes, numbers)
        np.maximum.at(last, codes, numbers)
        offsets = np.concatenate(([0], np.cumsum(last - first + 1 + window["gap"] + window["horizon"])))
        rows, total = offsets[codes] + numbers - first[codes], int(offsets[-1])
        if total > 4 * len(numbers) + 1000 + len(names) * (window["gap"] + window["horizon"]):
            raise Refusal(f"{self.source}: most steps of {steps.freq} would be empty between these stamps", "gap")

        def spread(found: np.ndarray) -> np.ndarray:
            whole = np.full((total, found.shape[1]), np.nan)
            whole[rows] = found
            return whole

        place = {name: i + 1 for i, name in enumerate(known["series"])}
        slots = np.array([place.get(name, 0) for name in names.tolist()])
        before = np.repeat(np.array(known["middle"])[slots], np.diff(offsets), 0)
        whole, observed = filled(spread(y), offsets, before, known["fill"], known["season"])
        ends = np.maximum.reduceat(np.where(observed.any(1), np.arange(1, total + 1), 0), offsets[:-1])
        grid = np.arange(total) + np.repeat(first - offsets[:-1], np.diff(offsets))
        masks, days = observed[:, : observed.shape[1] if known["masks"] else 0], steps.features(grid)
        given = [spread(self.encoded(known["columns"][kind], times)) for kind in ("past", "future")]
        (past, past_seen), (future, future_seen) = (filled(values, offsets, 0.0) for values in given)
        static, codes_of = self.constants(codes, len(names), times)
        return Series(
            tuple(names.tolist()), whole, observed, np.concatenate((past, masks), 1, dtype="float32"), past_seen,
            np.concatenate((future, days), 1, dtype="float32"), future_seen, static, codes_of, slots, offsets,
            np.maximum(ends - offsets[:-1], 0), grid,
        )  # fmt: skip

    def constants(self, codes: np.ndarray, count: int, times: int) -> tuple[np.ndarray, np.ndarray]:
        """Static numbers and categories, one row a series: the first that is given."""
        numbers, categories = [np.empty((count, 0), "float32")], [np.empty((count, 0), "int64")]
        for name in self.known["columns"]["static"]:
            if name in self.known["scales"]:
                found = np.tile(self.numbers(name), times)
                there = ~np.isnan(found)
            else:
                found = np.tile(self.words(name), times)
                there = found != ""
            rows = np.flatnonzero(there)
            series, begin = np.unique(codes[rows], return_index=True)
            if (found[rows] != found[rows][begin][np.searchsorted(series, codes[rows])]).any():
                raise Refusal(f"{self.source}: static column '{name}' changes within a series", "static")
            one = np.zeros(count, found.dtype)
            one[series] = found[rows][begin]
            if name in self.known["scales"]:
                loc, scale = self.known["scales"][name]
                given = np.isin(np.arange(count), series)
                numbers.append(np.where(given, (one - loc) / scale, 0.0)[:, None].astype("float32"))
            else:
                place = {x: i + 1 for i, x in enumerate(self.known["categories"][name])}
                categories.append(np.array([[place.get(x, 0)] for x in one.tolist()]))
        return np.concatenate(numbers, 1), np.concatenate(categories, 1)
