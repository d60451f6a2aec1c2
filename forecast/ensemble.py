"""Ensemble: several forecasters as one, over seeds, contexts or runs: fit, predict, backtest, judge, save, load."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pandas as pd

from forecast import artifact, atomic
from forecast.data.frame import as_pandas, kind_of, same_kind
from forecast.error import Refusal
from forecast.evaluation.baseline import BASELINES, TRAINED
from forecast.evaluation.ensemble import WAYS, ensemble, learnt
from forecast.evaluation.metrics import compared
from forecast.evaluation.shared import shared
from forecast.fold import Refit
from forecast.forecaster import Forecaster, Judgement
from forecast.recipe import Frame, divisors
from forecast.setting import fits

log = logging.getLogger(__name__)

DOCUMENT = "ensemble.json"
FORMAT = 1


class Ensemble:
    """Forecasters, or folders of runs, whose forecasts are combined on the rows that all of them have.

    `how` is mean, median or weighted: then weights are learnt from the forecasts of the validation part, which is also
    what chose the weights of each network. Members may differ in anything but what they forecast.
    """

    def __init__(self, members: Sequence[Forecaster | Path | str], how: str = "mean"):
        if how not in WAYS:
            raise Refusal(f"ensemble={how}: expected one of {', '.join(WAYS)}", "config")
        if not members:
            raise Refusal("an ensemble needs a forecaster at least", "config")
        self.members = [x if isinstance(x, Forecaster) else Forecaster.load(x) for x in members]
        self.how = how
        self.weights: list[float] | None = None
        self.kind = self.members[0].kind

    def fit(self, frame: Frame | None = None) -> Self:
        """Fits every member on a DataFrame or CSV file (default: each its `data.path`), then learns weights if any."""
        self.kind, frame = kind_of(frame), as_pandas(frame)
        for member in self.members:
            member.fit(frame)
        return self.learn()

    def learn(self, frame: Frame | None = None) -> Self:
        """Learns the weights of a `weighted` ensemble of fitted members: of loaded ones from their training data."""
        frame = as_pandas(frame)
        if self.how == "weighted":
            parts = [x.fitted.forecast(x.origins(x.panel(frame), None, "val")) for x in self.members]
            tables = self.named(parts)
            weights = learnt(tables).tolist()
            log.info("weights: %s", ", ".join(f"{x} {y:.3f}" for x, y in zip(tables, weights, strict=True)))
            self.weights = weights
        return self

    @same_kind
    def predict(self, frame: Frame | None = None, *, levels: Sequence[float] | None = None) -> pd.DataFrame:
        """Forecasts what follows the last observed row of each series; the forecast table, as of a Forecaster."""
        return self.combined([as_pandas(x.predict(frame, levels=levels)) for x in self.members])

    @same_kind
    def backtest(
        self, frame: Frame | None = None, *, stride: int | None = None, levels: Sequence[float] | None = None
    ) -> pd.DataFrame:
        """Forecasts from rolling origins over the test part; the forecast table with y, as of a Forecaster."""
        return self.combined([as_pandas(x.backtest(frame, stride=stride, levels=levels)) for x in self.members])

    def judge(
        self,
        frame: Frame | None = None,
        *,
        stride: int | None = None,
        baselines: Sequence[str] | str | None = None,
        refit: Refit | None = None,
        folder: Path | str | None = None,
    ) -> Judgement:
        """The backtest beside those of the members and the baselines of the first one, and the scores of all."""
        kind, frame = self.kind if frame is None else kind_of(frame), as_pandas(frame)
        first, judged = self.members[0], []
        for i, member in enumerate(self.members, 1):
            kept = None if folder is None else Path(folder) / str(i)
            judgement = member.judge(frame, stride=stride, baselines=baselines, refit=refit, folder=kept)
            judged.append({name: as_pandas(table) for name, table in judgement.forecasts.items()})
        own = [next(iter(forecasts.values())) for forecasts in judged]
        beside = {name: table for name, table in judged[0].items() if name in (*BASELINES, *TRAINED)}
        forecasts = shared({self.name: self.combined(own), **self.named(own), **beside})
        scores = compared(forecasts, *divisors(first.panel(frame), first.fitted.statistics))
        return Judgement(forecasts, scores).told(kind)

    @property
    def name(self) -> str:
        """What scores call this model."""
        return f"{self.how} of {len(self.members)}"

    def named(self, tables: Sequence[pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """Tables of the members by their names, which are numbered where they are alike."""
        names = [x.name for x in self.members]
        often = Counter(names)
        names = [f"{name} {names[:i].count(name) + 1}" if often[name] > 1 else name for i, name in enumerate(names)]
        return dict(zip(names, tables, strict=True))

    def combined(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        if self.how == "weighted" and self.weights is None:
            raise Refusal(
                "this ensemble has not learnt its weights yet: call fit, or learn(training data)", "not-fitted"
            )
        return ensemble(self.named(tables), self.how, self.weights)

    def save(self, folder: Path | str) -> None:
        """Writes every member into a folder of its own, then what holds them together: no pickle, no training data."""
        folder, hashes = Path(folder), {}
        for i, member in enumerate(self.members, 1):
            member.save(folder / str(i))
            hashes[str(i)] = digest(folder / str(i))
        document = {"how": self.how, "weights": self.weights, "members": hashes}
        atomic.write(
            folder / DOCUMENT, artifact.plain({"format": FORMAT, "sha256": artifact.hashed(document), **document})
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """A saved ensemble; forecasts equal the saved one's to the last bit.

        Raises Refusal for a folder that holds none, or one of which a part is not what was saved.
        """
        folder = Path(folder)
        if not (folder / DOCUMENT).is_file():
            raise Refusal(f"{folder} is no saved ensemble: it holds no {DOCUMENT}", "no-forecaster")
        try:
            document = artifact.parsed(artifact.inside(folder, DOCUMENT).read_bytes())
            version, expected = document.pop("format"), document.pop("sha256", None)
            if version != FORMAT:
                raise Refusal(f"{folder} has format {version}; this version reads format {FORMAT}", "format")
            hashes, weights = document["members"], document["weights"]
            numbers = [str(i) for i in range(1, len(hashes) + 1)]
            each = fits(weights, Sequence[float] | None) and len(weights or numbers) == len(numbers)
            if list(hashes) != numbers or not each:
                raise ValueError("members are numbered from 1, and have a weight each or none")
            same = all(digest(artifact.inside(folder, x)) == y for x, y in hashes.items())
            if artifact.hashed(document) != expected or not same:
                raise Refusal(f"{folder} is not what was saved (a sha256 differs): copy it again", "damaged")
            made = cls([folder / x for x in hashes], document["how"])
            made.weights = weights
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, Refusal):
                raise
            raise Refusal(f"{folder} holds a damaged ensemble: {error!r}", "damaged") from error
        return made


def digest(folder: Path) -> str:
    """The hash of a saved member's document, which holds that of its weights."""
    return hashlib.sha256((folder / artifact.DOCUMENT).read_bytes()).hexdigest()


def opened(run: str | list[str] | None, how: str, command: str) -> tuple[Forecaster | Ensemble, str | None, Path]:
    """What `run=` names, one run, a saved ensemble or several runs: forecaster, training file and folder for results.

    Several are combined by `how`, with weights learnt on the validation part of the training file of the first.
    """
    if not run:
        raise Refusal(f"which run? Name its folder: forecast {command} run=outputs/...", "config")
    runs = [run] if isinstance(run, str) else run
    if len(runs) > 1:
        made, home = Ensemble(runs, how), Path("outputs") / "ensemble"
    elif (Path(runs[0]) / DOCUMENT).is_file():
        made, home = Ensemble.load(runs[0]), Path(runs[0])
    else:
        made, home = Forecaster.load(runs[0]), Path(runs[0])
    first = made.members[0] if isinstance(made, Ensemble) else made
    source = first.fitted.config["data"]["path"]
    if isinstance(made, Ensemble) and made.weights is None:
        made.learn(source)
    return made, source, home / command
