"""Runs side by side: only those that forecast the same rows of the same values are ranked together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pandas as pd

from forecast.board.runs import CLOSE, KEYS, Run
from forecast.error import Refusal
from forecast.evaluation import significance
from forecast.evaluation.metrics import error_of, scores
from forecast.evaluation.table import classes_of

METRICS = ("mae", "rmse", "mase", "skill", "wql", "coverage_80", "accuracy", "f1", "log_loss", "brier")


@dataclass(frozen=True)
class Group:
    """Runs that forecast the same rows, best first, and how likely each one's distance from the best is chance."""

    data: str
    runs: list[Run]
    p: list[float]

    @property
    def beside(self) -> dict[str, dict[str, float]]:
        """The models that were scored beside the runs; where they differ, the first."""
        return {model: found for run in reversed(self.runs) for model, found in run.beside.items()}


def groups(runs: Sequence[Run], others: Sequence[Run] = ()) -> tuple[list[Group], dict[str, str]]:
    """Groups of runs in the order of their data's names, and why others (foreign tables) belong to none."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    reasons: dict[str, list[str]] = {}
    for other in others:
        near = [rows for rows in found.values() if shared(other, rows[0])]
        why = [] if near else ["it shares no row with any run (unique_id, ds and cutoff, time zone included)"]
        for rows in near:
            try:
                rows.append(matched(other, rows[0]))
            except Refusal as error:
                why.append(str(error))
        if len(why) == max(1, len(near)):
            reasons[other.name] = why
    made = [ranked(rows) for rows in found.values()]
    made.sort(key=lambda group: (group.data, -len(group.runs), group.runs[0].name))
    return made, {name: "; ".join(why) for name, why in reasons.items()}


def shared(run: Run, other: Run) -> int:
    """How many steps two runs both forecast; none, if one forecasts other classes."""
    keys = [x.table[KEYS] for x in (run, other)]
    alike = [x.kind for x in keys[0].dtypes] == [x.kind for x in keys[1].dtypes]
    if not alike or list(classes_of(run.table)) != list(classes_of(other.table)):
        return 0
    return len(keys[0].merge(keys[1], on=KEYS))


def matched(run: Run, other: Run) -> Run:
    """A foreign run on the judged rows of another; skill is against the baseline that was scored beside that one.

    Raises Refusal if rows are missing, or y is not the same.
    """
    rows = judged(other.table)
    both = rows.merge(run.table, on=KEYS, suffixes=("_other", ""))
    both = both[both["y"].notna()]
    if len(both) < len(rows):
        raise Refusal(f"it has {len(both):,} of the {len(rows):,} rows of '{other.data}'", "other-rows")
    away = (both["y"] - both["y_other"]).abs() > CLOSE * both["y_other"].abs()
    if away.any():
        row = both[away].iloc[0]
        raise Refusal(
            f"its y is {row['y']:g} where that of '{other.data}' is {row['y_other']:g} "
            f"('{row['unique_id']}', {row['ds']})",
            "other-rows",
        )
    table = both.assign(y=both["y_other"])[run.table.columns].sort_values(KEYS, ignore_index=True)
    found = scores(table)
    for naive in other.beside.values():
        if naive.get("skill") == 0 and error_of(naive) > 0:
            found["skill"] = 1 - error_of(found) / error_of(naive)
    return replace(run, table=table, scores=found, data=other.data)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """What is judged: keys and values of the rows whose y was observed."""
    return table.loc[table["y"].notna(), [*KEYS, "y"]]


def key(run: Run) -> str:
    """What runs must share to be compared: the rows that are judged, their values, and the classes if there are any."""
    digest = sha256(repr(list(classes_of(run.table))).encode())
    digest.update(pd.util.hash_pandas_object(judged(run.table), index=False).to_numpy().tobytes())
    return digest.hexdigest()


def ranked(runs: list[Run]) -> Group:
    runs = sorted(runs, key=lambda run: (error_of(run.scores), run.name))
    return Group(runs[0].data, runs, chances(runs))


def chances(runs: Sequence[Run]) -> list[float]:
    """How likely the first run is no better than each other: Diebold-Mariano, one-sided; NaN with too few cutoffs."""
    unknown = [np.nan] * len(runs)
    if len(runs) < 2:
        return unknown
    whole, _ = significance.losses({str(i): run.table for i, run in enumerate(runs)}, "mae")
    if significance.lacking(whole):
        return unknown
    found = significance.tested(whole, "dm", None)
    p = found[found["column"] == "0"].set_index("row")["p"]
    return [np.nan, *(float(p[str(i)]) for i in range(1, len(runs)))]


def losses(table: pd.DataFrame) -> np.ndarray:
    """|y - point| of each row, of classes whether the forecast is wrong; NaN where y was not observed."""
    distance = np.abs(table["y"].to_numpy("float64") - table["point"].to_numpy("float64"))
    return np.where(np.isnan(distance), np.nan, distance > 0) if classes_of(table) else distance


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """The leaderboard as a table: a row a run, best first in each group; `group` numbers what can be compared."""
    rows = []
    for number, group in enumerate(groups, 1):
        for run, p in zip(group.runs, group.p, strict=True):
            rows.append(
                {
                    "group": number,
                    "data": group.data,
                    "run": run.name,
                    "model": run.model,
                    **{name: run.scores.get(name, np.nan) for name in METRICS},
                    "p_best": p,
                    "seconds": run.seconds,
                    "parameters": run.parameters,
                    "peak_memory_mib": run.peak_memory_mib,
                    "date": run.date,
                    "seed": run.seed,
                    "sha256": run.sha256,
                    "overrides": run.overrides,
                }
            )
    return pd.DataFrame(rows).astype({"parameters": "Int64", "seed": "Int64"})
