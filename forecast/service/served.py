"""Forecasters by name, each with what it takes: the fields of a row, forecasts from rows, rows that it is told."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from forecast import artifact, ensemble
from forecast.data.forecasts import history
from forecast.data.panel import Panel
from forecast.data.windows import Windows
from forecast.ensemble import Ensemble
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.forecaster import Forecaster
from forecast.recipe import AT_ONCE, window_of
from forecast.service import rows
from forecast.service.limits import Answered, Limits

JSON, CSV = "application/json", "text/csv"


class Question(NamedTuple):
    """A request: its body of a media type; of the answer the form, levels (None: the trained ones) and past values."""

    content: bytes
    media: str
    form: str = "json"
    levels: tuple[float, ...] | None = None
    past: int = 0


class Answer(NamedTuple):
    """The forecast table, and the last values before it: `unique_id, ds, y`."""

    table: pd.DataFrame
    past: pd.DataFrame | None = None


class Served:
    """A saved forecaster or ensemble under its name. One thread at a time may ask it."""

    def __init__(self, name: str, folder: Path, limits: Limits):
        self.name, self.limits, self.told, self.series = name, limits, 0, set[str]()
        several = (folder / ensemble.DOCUMENT).is_file()
        self.forecaster = Ensemble.load(folder) if several else Forecaster.load(folder)
        members = self.forecaster.members if isinstance(self.forecaster, Ensemble) else [self.forecaster]
        self.members: list[Fitted] = [x.fitted for x in members]
        self.fields = {name: kind for x in self.members for name, kind in fields(x).items()}
        first = self.members[0]
        self.plain = not several and first.calibration is None and not first.config["data"]["label"]

    def forecasts(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """What is answered to each of several questions about the same levels: by one call of the network, if it can.

        Alone a forecast is that of `Forecaster.predict` to the last bit, in a common call it is the same to 1e-5
        standard deviations.
        """
        if len(questions) == 1 or not self.plain:
            return [attempt(self.forecast, question) for question in questions]
        asked = [attempt(self.windows, question) for question in questions]
        there = [x for x in asked if isinstance(x, Windows)]
        if not there or sum(map(len, there)) > AT_ONCE:
            return [attempt(self.forecast, question) for question in questions]
        try:
            tables = iter(self.members[0].forecasts(there, questions[0].levels))
        except Refusal as error:  # of levels, which all of them have
            return [x if isinstance(x, Exception) else error for x in asked]
        pairs = zip(asked, questions, strict=True)
        return [x if isinstance(x, Exception) else Answer(next(tables), latest(x.panel, y.past)) for x, y in pairs]

    def forecast(self, question: Question) -> Answer:
        """The forecast table of a body, as `predict` makes it of its rows; and their last values, if wanted."""
        frame = self.frame(question)
        if isinstance(self.forecaster, Ensemble):
            panel = self.forecaster.members[0].panel(frame) if question.past else None
            return Answer(self.forecaster.predict(frame, levels=question.levels), latest(panel, question.past))
        panel = self.forecaster.panel(frame)
        return Answer(self.forecaster.ahead(panel, question.levels), latest(panel, question.past))

    def windows(self, question: Question) -> Windows:
        """The windows after the last row of a body."""
        assert isinstance(self.forecaster, Forecaster)
        panel = self.forecaster.panel(self.frame(question))
        found = Windows.latest(panel, window_of(self.members[0].config, panel.layout.clock))
        found.check_future()
        return found

    def observe(self, question: Question) -> Answer:
        """Takes the rows of a body to those it was told before, and forecasts what follows.

        Refused rows leave the ones before as they were.
        """
        if isinstance(self.forecaster, Ensemble):
            raise Answered(
                409, f"{self.name} is an ensemble, which can't be told rows: name one forecaster", "ensemble"
            )
        found = self.rows(question) if question.media == JSON else self.frame(question)
        if self.told + len(found) > self.limits.kept:
            raise Answered(
                413,
                f"{self.name} was told {self.told} rows; it keeps {self.limits.kept} (limits.kept)",
                "too-many-rows",
            )
        series = self.series | ids(found, self.members[0].layout.id)
        self.check(len(series))
        table = self.forecaster.observe(found)
        self.told, self.series = self.told + len(found), series
        return Answer(table)

    def rows(self, question: Question) -> list[rows.Row]:
        return rows.checked(rows.loaded(question.content, self.limits.rows), self.fields)

    def frame(self, question: Question) -> pd.DataFrame:
        """The rows of a body, of which the answer isn't longer than it may be either."""
        if question.media == CSV:
            names = [name for name, kind in self.fields.items() if kind in ("name", "category")]
            frame = rows.read(question.content, self.members[0].reading, names, self.limits.rows)
        else:
            frame = rows.framed(self.rows(question), self.fields)
        self.check(len(ids(frame, self.members[0].layout.id)), len(question.levels or ()))
        return frame

    def check(self, series: int, levels: int = 0) -> None:
        """Refuses so many series that their forecast would be too long; `levels` 0: the trained ones."""
        first = self.members[0]
        ahead = series * len(first.layout.target) * first.config["horizon"]
        wide = max(1.0, (levels or len(first.model.head.levels)) / 10)
        if ahead * wide > self.limits.rows:
            raise rows.too_many(f"{series} series, whose forecast has {ahead} rows", int(self.limits.rows / wide))

    def card(self) -> dict[str, Any]:
        """What the forecaster is and takes, as plain types."""
        first = self.members[0]
        layout, clock, data = first.layout, first.layout.clock, first.record["data"]
        return {
            "name": self.name,
            "model": self.forecaster.name,
            "members": [x.name for x in self.members],
            "fields": self.fields,
            "target": list(layout.target),
            "past": list(layout.past),
            "future": list(layout.future),
            "static": list(layout.static),
            "context": first.config["context"],
            "gap": first.config["gap"],
            "horizon": first.config["horizon"],
            "frequency": clock.freq,
            "zone": clock.tz,
            "levels": list(first.model.head.levels),
            "classes": list(first.model.head.classes),
            "data": {name: data.get(name) for name in ("series", "rows", "sha256")},
            "version": first.record["made"]["versions"]["forecast"],
        }


def fields(fitted: Fitted) -> dict[str, str]:
    """The columns that a row has to have, each with the kind of its cells."""
    layout, named = fitted.layout, fitted.config["data"]["time"]
    time = [layout.time] if isinstance(named, str | None) else list(named)
    found = dict.fromkeys(time, "time")
    if fitted.config["data"]["stamp"] == "count":
        found[time[-1]] = "period"
    found |= {name: "name" for name in [layout.id] if name} | {name: "time" for name in [layout.issued] if name}
    others = (*layout.target, *layout.past, *layout.future, *layout.static)
    return found | {name: "category" if name in layout.categorical else "number" for name in others}


def ids(found: pd.DataFrame | list[rows.Row], name: str | None) -> set[str]:
    """The series that rows are of; of a forecaster without a column of names it is one."""
    if isinstance(found, list):
        return {str(row[name]) for row in found} if name else {""}
    return set(map(str, found[name].unique())) if name in found else {""}


def latest(panel: Panel | None, count: int) -> pd.DataFrame | None:
    """The last so many values of each series."""
    return None if panel is None or not count else history(panel).groupby("unique_id", sort=False).tail(count)


def attempt(made: Callable[[Question], Any], question: Question) -> Any:
    """What is made of a question, or why it can't be."""
    try:
        return made(question)
    except Exception as error:
        return error


def found(run: Any) -> dict[str, Path]:
    """The saved forecasters and ensembles that `run=` names, by name: one, several, or a folder that holds some.

    One is called as its folder, several by their paths below the folder that they share.
    """
    if not run:
        raise Refusal("which run? Name its folder: forecast serve run=outputs/...", "config")
    named = [Path(str(x)) for x in (run if isinstance(run, list) else [run])]
    folders = list(dict.fromkeys(folder.resolve() for path in named for folder in saved(path)))
    if len(folders) == 1:
        return {folders[0].name: folders[0]}
    shared = Path(os.path.commonpath([folder.parent for folder in folders]))
    return {folder.relative_to(shared).as_posix(): folder for folder in folders}


def saved(path: Path) -> list[Path]:
    """The folder, if it is a run or something saved, else those inside it; refused if there is none."""
    if holds(path):
        return [path]
    inside = [x.parent for name in (artifact.DOCUMENT, ensemble.DOCUMENT) for x in path.rglob(name)]
    homes = sorted({x.parent if x.name == "forecaster" else x for x in inside})
    ensembles = [x for x in homes if (x / ensemble.DOCUMENT).is_file()]
    homes = [x for x in homes if not set(x.parents) & set(ensembles)]
    if not homes:
        raise Refusal(
            f"{path} holds no saved forecaster: name the folder of a run, or one with several", "no-forecaster"
        )
    return homes


def holds(path: Path) -> bool:
    there = (artifact.DOCUMENT, ensemble.DOCUMENT, f"forecaster/{artifact.DOCUMENT}")
    return any((path / name).is_file() for name in there)
