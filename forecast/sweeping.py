"""A sweep from the command line: its folder before the first job, its table, figures and best job after the last."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import pandas as pd
import yaml

from forecast import atomic, config
from forecast.error import Refusal
from forecast.sweep.best import command, experiment, path
from forecast.sweep.folder import LOCK, claim, held, release, stamp
from forecast.sweep.job import OVER, Job, jobs
from forecast.sweep.ranking import importance, ranked, ranking, score_of, swept
from forecast.sweep.study import JOURNAL
from forecast.sweep.sweeper import SETTINGS

SIZE = (8.5, 4.0)  # inches of a figure


def wanted(rest: list[str]) -> bool:
    """Whether a command line asks for a sweep; raises Refusal if it only says how."""
    many = bool({"-m", "--multirun"} & set(rest))
    said = [x for x in rest if re.match(r"sweep[.=]", x)]
    if said and not many:
        raise Refusal(f"{said[0]}: this is for a sweep, which -m asks for", "config")
    return many


def folder(rest: list[str]) -> Path:
    """The folder that a sweep names, where it may go on, or else one of its own."""
    named = [x.split("=", 1)[1].strip("'\"") for x in rest if x.startswith("sweep.folder=")]
    if not named or named[-1] in ("null", ""):
        return claim(Path("outputs") / "sweep" / stamp())
    return Path(named[-1])


def overrides(rest: list[str], sweep: Path) -> list[str]:
    """A command line as Hydra takes it: the group `sweep` stands in no command's defaults, so that no run has it."""
    chosen = [x.split("=", 1)[1] for x in rest if x.startswith("sweep=")]
    launcher = [] if any(x.startswith("hydra/launcher=") for x in rest) else ["hydra/launcher=processes"]
    own = [f"hydra.sweep.dir={config.quoted(str(sweep))}", f"+sweep={chosen[-1] if chosen else 'grid'}", *launcher]
    left = [x for x in rest if not x.startswith("sweep=")]
    first = next((i for i, x in enumerate(left) if "=" in x and not x.startswith("-")), len(left))
    return [*left[:first], *own, *left[first:]]


@contextmanager
def begun(rest: list[str]) -> Iterator[Path]:
    """The folder of a sweep, which no other has meanwhile; at the end it is concluded, however it ends."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    with held(folder(rest)) as sweep:
        before = signal.signal(signal.SIGTERM, stop)  # as Ctrl-C: jobs are told to stop
        try:
            yield sweep
        finally:
            signal.signal(signal.SIGTERM, before)
            conclude(sweep)


def conclude(sweep: Path) -> None:
    """Prints how the jobs compare and leaves it in the sweep's folder; of a sweep that was refused nothing stays."""
    known = jobs(sweep)
    if all(job.code == 2 and not job.trained for job in known):
        return refused(sweep, known)
    objectives = tuple(yaml.safe_load((sweep / SETTINGS).read_text()).get("objectives", ["score"]))
    table, keys = ranked(sweep, objectives), swept(sweep)
    atomic.write(sweep / "sweep.csv", table.to_csv(index=False))
    lines = ["", ranking(table, keys)]
    score, done = score_of(table), table[table["state"] == "done"]
    if len(done) and score != "score":
        best = next(job for job in known if job.name == done["job"].iloc[0])
        groups = {x.name for x in config.CONF.iterdir() if x.is_dir()}
        said = f"The best of {len(known)} jobs: {score} {done[score].iloc[0]:.6g}, job {best.name}."
        atomic.write(path(sweep), experiment(best, groups, said))
        draw(sweep, table, keys, objectives)
        lines.append(f"best: {command(sweep)}")
    if not table["state"].isin(OVER).all():
        lines.append(f"again: the same command with {config.typed('sweep.folder', sweep)} tries only what is not done")
    print("\n".join([*lines, f"sweep: {sweep}"]))
    return None


def refused(sweep: Path, known: list[Job]) -> None:
    """Says why each job was refused, and takes away what the sweep has made."""
    for job in known:
        print(f"job {job.name}: {job.reason}", file=sys.stderr)
        rmtree(job.folder)
    for name in (SETTINGS, JOURNAL, LOCK):
        (sweep / name).unlink(missing_ok=True)
    release(sweep)


def draw(sweep: Path, table: pd.DataFrame, keys: list[str], objectives: tuple[str, ...]) -> None:
    """history.png, importance.png where jobs differ, front.png of two objectives."""
    from forecast.board import figure, trials  # after the jobs: matplotlib

    score, title = score_of(table), f"{sweep.name}: {len(table)} jobs"
    found = {"history": partial(trials.history, table=table, score=score)}
    if keys and table[score].nunique() > 1:
        found["importance"] = partial(trials.importance, shares=importance(table, keys, score), score=score)
    if len(objectives) > 1:
        first, other = [score if x == "score" else x for x in objectives[:2]]
        found["front"] = partial(trials.front, table=table, score=first, other=other)
    for name, each in found.items():
        atomic.write(sweep / f"{name}.png", figure.png(figure.alone(each, title, SIZE)))
