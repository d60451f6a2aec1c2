"""Runs side by side: only those that forecast the same rows of the same values are ranked together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pandas as pd

from forecast.board.runs import CLOSE, KEYS, Run
from forecast.error import Refusal
from forecast.evaluation.metrics import classes_of, error_of, scores

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
    return Group(runs[0].data, runs, [np.nan, *(p_value(run.table, runs[0].table) for run in runs[1:])])


def p_value(table: pd.DataFrame, best: pd.DataFrame) -> float:
    """The two-sided p-value of equal accuracy of two tables with the same judged rows; NaN with a single cutoff.

    The paired t-test on the mean loss of each cutoff, which is the Diebold-Mariano test at horizon 1 with the
    correction for few forecasts (F. X. Diebold, R. S. Mariano, "Comparing predictive accuracy", 1995; D. Harvey,
    S. Leybourne, P. Newbold, "Testing the equality of prediction mean squared errors", 1997). Where forecasts
    overlap, losses of neighbouring cutoffs are alike and it is too small.
    """
    from scipy.stats import t

    each = [x.assign(loss=losses(x)).groupby("cutoff")["loss"].mean().dropna().to_numpy() for x in (table, best)]
    distance = each[0] - each[1]
    if len(distance) < 2 or not distance.any():
        return np.nan if len(distance) < 2 else 1.0
    error = distance.std(ddof=1) / len(distance) ** 0.5
    return float(2 * t.sf(abs(distance.mean()) / error, len(distance) - 1)) if error else 0.0


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
