"""The jobs of a sweep, best first, and what their differences came from."""

from pathlib import Path

import numpy as np
import pandas as pd

from forecast import terminal
from forecast.sweep.job import OVER, Job, jobs

STATES = ("done", "pruned", "failed", "running")
COLUMNS = ("mae", "skill", "seconds", "state", "reason")
TREES = 200


def ranked(sweep: Path, objectives: tuple[str, ...] = ("score",)) -> pd.DataFrame:
    """One row a job: its overrides, validation score, scores of the test part, cost, state and, if it failed, why.

    The best validation score comes first, jobs without one last. Of several objectives `front` says which jobs no other
    beats in all of them.
    """
    known = jobs(sweep)
    names = [job.manifest["score"]["name"] for job in known if "score" in job.manifest]
    score = names[0] if names else "score"
    table = pd.DataFrame([row(job, score, objectives) for job in known])
    if not len(table):
        return table
    table["state"] = pd.Categorical(table["state"], STATES, ordered=True)
    table = table.sort_values(["state", score], ignore_index=True, kind="stable")
    if len(objectives) > 1:
        table["front"] = table.index.isin(front(table[[score if x == "score" else x for x in objectives]]))
    rest = [x for x in COLUMNS if x in table]
    return table[[*(x for x in table if x not in rest), *rest]]


def front(values: pd.DataFrame) -> pd.Index:
    """The rows that no other beats in all columns (at least as small in each, smaller in one); those without NaN."""
    kept = values.dropna()
    one, other = kept.to_numpy()[:, None], kept.to_numpy()[None]
    beaten = np.any(np.all(other <= one, axis=-1) & np.any(other < one, axis=-1), axis=-1)
    return kept.index[np.flatnonzero(~beaten)]


def row(job: Job, score: str, objectives: tuple[str, ...]) -> dict[str, object]:
    manifest = job.manifest
    found: dict[str, object] = {"job": job.name, **dict(x.split("=", 1) for x in job.overrides)}
    found[score] = job.values(["score"])[0]
    found |= dict(zip(objectives, job.values(objectives), strict=True)) if len(objectives) > 1 else {}
    found |= {name: manifest.get("scores", {}).get(name) for name in ("mae", "skill")}
    found |= {"seconds": manifest.get("cost", {}).get("seconds"), "state": job.state, "reason": job.reason}
    return {key: x for key, x in found.items() if key != "score" or score == "score"}


def swept(sweep: Path) -> list[str]:
    """The keys that differ between the jobs of a sweep."""
    told = [dict(x.split("=", 1) for x in job.overrides) for job in jobs(sweep)]
    return [key for key in dict.fromkeys(key for each in told for key in each) if len({x.get(key) for x in told}) > 1]


def importance(table: pd.DataFrame, keys: list[str], score: str) -> pd.Series:
    """The share of each key in what a forest explains of the score's differences; they add up to 1, or are all 0.

    Source: L. Breiman, "Random forests", 2001 (mean decrease in impurity; values that are no numbers are codes).
    """
    from sklearn.ensemble import RandomForestRegressor

    done = table[table[score].notna()]
    numbers = done[keys].apply(pd.to_numeric, errors="coerce")
    codes = done[keys].apply(lambda x: pd.factorize(x)[0])
    found = numbers.where(numbers.notna().all(), codes)
    shares = RandomForestRegressor(TREES, random_state=0).fit(found, done[score]).feature_importances_
    return pd.Series(shares, keys).sort_values(ascending=False)


def score_of(table: pd.DataFrame) -> str:
    """The column by which jobs are ranked; the overrides stand before it."""
    return next(x for x in map(str, table) if x.startswith("val/") or x == "score")


def ranking(table: pd.DataFrame, keys: list[str]) -> str:
    """The table for people: jobs that are done, by what differs between them; of the others what became of them."""
    columns, done = list(table), table[table["state"] == "done"]
    after = done[[x for x in columns[columns.index(score_of(table)) :] if x not in ("state", "reason")]]
    numbers = done[keys].apply(pd.to_numeric, errors="coerce").astype(float)  # also if there are none
    told = done[keys].where(numbers.isna() | (numbers % 1 == 0), numbers)
    shown = pd.concat([done[["job"]], told, after.dropna(axis=1, how="all")], axis=1)
    text = shown.map(lambda x: number(x) if isinstance(x, float) else str(x))
    lines = [terminal.table([list(map(str, shown)), *text.to_numpy().tolist()])] if len(done) else []
    pruned = ", ".join(table.loc[table["state"] == "pruned", "job"])
    lines += [f"stopped early as others did better: {pruned}"] if pruned else []
    failed = table[~table["state"].isin(OVER)]
    return "\n".join([*lines, *(f"job {x.job} {x.state}: {x.reason}" for x in failed.itertuples())])


def number(x: float) -> str:
    """Four digits, and all of those before the point."""
    return f"{x:.0f}" if 1e3 <= abs(x) < 1e9 else f"{x:.4g}"
