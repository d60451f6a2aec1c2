"""A job of a sweep on disk: what it was told, and how it ended. It says so itself, in its folder, if it still can."""

import json
import math
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

from forecast import atomic
from forecast.error import CannotWrite, ForecastError, Interrupted, Pruned

RECORD, OUTPUT = "job.json", "output.log"
FOLDER = "FORECAST_JOB"  # the environment variable by which a process of its own is told its folder
RESUMABLE = (CannotWrite.exit, Interrupted.exit)  # codes of a training that can go on
OVER = ("done", "pruned")  # what needs no other try
VALUES = {  # what of a manifest may be made small, by its name in sweep.objectives
    "score": ("score", "value"),
    "seconds": ("cost", "seconds"),
    "memory": ("cost", "peak_memory_mib"),
    "parameters": ("record", "parameters"),
}


@dataclass(frozen=True)
class Job:
    """`state` is running, done, pruned or failed; `trial` its number in a study, which stops it early by `pruner`.

    It was `cut` off if something else than itself ended it, so that a training can go on.
    """

    folder: Path
    overrides: list[str]
    state: str = "running"
    code: int = 0
    reason: str = ""
    cut: bool = False
    trial: int | None = None
    pruner: dict[str, Any] | None = None

    def write(self) -> Self:
        """Replaces the record in one step; raises CannotWrite."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        atomic.write(self.folder / RECORD, json.dumps(content, indent=1) + "\n")
        return self

    def ended(self, state: str, code: int, reason: str, cut: bool = False) -> Self:
        return replace(self, state=state, code=code, reason=reason, cut=cut).write()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifest(self) -> dict[str, Any]:
        """What a training wrote about itself; empty before it has, and of other commands."""
        path = self.folder / "manifest.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    @property
    def trained(self) -> bool:
        """Whether there are checkpoints in its folder."""
        return any((self.folder / "checkpoints").glob("*.ckpt"))

    def values(self, names: Sequence[str]) -> list[float]:
        """What came of it, by the names in VALUES; NaN if the job is not done, or came to nothing finite."""
        manifest = self.manifest if self.state == "done" else {}
        found = [manifest.get(group, {}).get(key) for group, key in (VALUES[name] for name in names)]
        return [math.nan if x is None else float(x) for x in found]


def read(folder: Path) -> Job:
    return Job(folder, **json.loads((folder / RECORD).read_text()))


def jobs(sweep: Path) -> list[Job]:
    """The jobs of a sweep in the order of their numbers."""
    folders = [path.parent for path in sweep.glob(f"*/{RECORD}")]
    return [read(folder) for folder in sorted(folders, key=lambda path: (len(path.name), path.name))]


def begun(
    sweep: Path,
    overrides: Sequence[str],
    trial: int | None = None,
    pruner: dict[str, Any] | None = None,
    resume: bool = True,
) -> Job:
    """The job with these overrides: what is known of it if it is over, else a folder for it, emptied of an old try.

    A training that was cut off goes on in its folder, if it may `resume`.
    """
    known = jobs(sweep)
    for job in known:
        if sorted(job.overrides) == sorted(overrides):
            if job.state in OVER:
                return job
            folder = job.folder
            if not (resume and job.trained and (job.cut or job.state == "running")):
                rmtree(folder)
            break
    else:
        folder = sweep / str(max((int(job.name) for job in known), default=-1) + 1)
    folder.mkdir(parents=True, exist_ok=True)
    return Job(folder, list(overrides), trial=trial, pruner=pruner).write()


@contextmanager
def told(folder: Path | None) -> Iterator[None]:
    """Keeps how a job ended in the record that its sweep put into its folder; of several processes the first does."""
    if folder is None or not (folder / RECORD).is_file() or int(os.environ.get("LOCAL_RANK", "0")):
        yield
        return
    job = read(folder)
    try:
        yield
    except Pruned as error:
        job.ended("pruned", error.exit, str(error))
        raise
    except BaseException as error:
        code, why = code_of(error), str(error) if isinstance(error, ForecastError) else repr(error)
        job.ended("failed", code, why, cut=code in RESUMABLE)
        raise
    job.ended("done", 0, "")


def code_of(error: BaseException) -> int:
    """The exit code of a process that such an error ends."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted.exit
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return error.exit if isinstance(error, ForecastError) else 1


def own() -> Path | None:
    """The folder of the job that this process is, which then ends with the sweep that started it, however that ends.

    The sweep holds the other end of this process's standard input, and never writes.
    """
    folder = os.environ.get(FOLDER)
    if folder is None:
        return None

    def watch() -> None:
        os.read(0, 1)  # sys.stdin's lock would be in the way at exit
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    return Path(folder)
