"""Runs each job of a sweep in a process of its own, so that one that is killed or hangs takes no other with it."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from forecast.error import ForecastError, Interrupted
from forecast.sweep.job import FOLDER, OUTPUT, Job, read
from forecast.sweep.job import jobs as jobs_of

PLUGINS = "hydra_plugins.forecast"  # Hydra takes plugins of such modules only; ours are registered in code
ROOT = Path(__file__).resolve().parents[2]
GRACE = 20.0  # seconds in which a job that is told to stop may save what it has
log = logging.getLogger(__name__)


@dataclass
class ProcessesConf:
    _target_: str = f"{PLUGINS}.Processes"


class Processes(Launcher):
    """The launcher of `-m`: `sweep.jobs` children at once, each `python -m forecast <command> <overrides>`."""

    __module__ = PLUGINS

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        paths = hydra_context.config_loader.get_search_path().get_path()
        self.flags = [f"--config-dir={x.path.removeprefix('file://')}" for x in paths if x.provider == "command-line"]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Every job's end, as Hydra wants it: nothing, or what went wrong."""
        settings = self.config.sweep
        command = [sys.executable, "-P", "-m", "forecast", self.config.hydra.job.config_name, *self.flags]
        waiting = []
        for overrides in job_overrides:
            (name,) = [x.split("=", 1)[1] for x in overrides if x.startswith("hydra.sweep.subdir=")]
            own = [x for x in overrides if not x.startswith("hydra.")]
            waiting.append((Path(self.config.hydra.sweep.dir) / name, [*command, *own]))
        ended = run(waiting, settings.jobs, settings.timeout)
        return [returned(ended[folder]) for folder, _ in waiting]


def returned(job: Job) -> JobReturn:
    if job.state == "done":
        return JobReturn(status=JobStatus.COMPLETED, overrides=job.overrides)
    return JobReturn(status=JobStatus.FAILED, overrides=job.overrides, _return_value=ForecastError(job.reason))


def run(commands: Sequence[tuple[Path, list[str]]], jobs: int, timeout: float | None) -> dict[Path, Job]:
    """Runs commands, each with a job's folder, so many at once; returns how the jobs ended.

    What they print goes into their folders. If this process is told to stop, so are they, and by force if it is told
    again; if it dies, they die.
    """
    waiting, running, ended = list(commands), dict[Path, Child](), dict[Path, Job]()
    environment = shares(jobs)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                folder, command = waiting.pop(0)
                running[folder] = Child(folder, command, environment)
            for folder, child in list(running.items()):
                if child.over(timeout):
                    ended[folder] = child.end(timeout)
                    del running[folder]
            time.sleep(0.02)
    finally:
        for child in running.values():
            child.signal(signal.SIGTERM)
        with suppress(KeyboardInterrupt):
            for child in running.values():
                child.wait()
        for child in running.values():
            child.stop()
            child.account("interrupted")
        for folder, _ in waiting:
            read(folder).ended("failed", Interrupted.exit, "not begun", cut=True)
    return ended


def shares(jobs: int) -> Mapping[str, str]:
    """The environment of jobs: each has its share of the cores, unless the user has said how many threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {} if jobs == 1 else {"OMP_NUM_THREADS": str(max(1, cores // jobs))}
    return {**threads, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class Child:
    """A process that is a job, in a process group of its own: what it starts is stopped with it."""

    def __init__(self, folder: Path, command: list[str], environment: Mapping[str, str]):
        self.folder, self.started = folder, time.monotonic()
        log.info("job %s: %s", folder.name, " ".join(differing(read(folder))))
        with (folder / OUTPUT).open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, FOLDER: str(folder.resolve())},
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def over(self, timeout: float | None) -> bool:
        return self.process.poll() is not None or (timeout is not None and self.seconds > timeout)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait(self) -> None:
        """Lets a process that was told to stop save what it has."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)

    def stop(self) -> None:
        """Stops the process, and what it has left behind, by force."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def end(self, timeout: float | None) -> Job:
        """How the job ended, after stopping it if it is late."""
        late = self.process.poll() is None
        if late:
            self.signal(signal.SIGTERM)
            self.wait()
        self.stop()
        job = self.account(f"stopped after {timeout:g} s (sweep.timeout)" if late else None)
        log.info("job %s: %s, %.1f s%s", job.name, job.state, self.seconds, f": {job.reason}" if job.reason else "")
        return job

    def account(self, why: str | None) -> Job:
        """The job's own account of its end; if it could give none, or was cut off from outside, one for it."""
        job, code = read(self.folder), self.process.returncode
        if job.state == "running" or (why is not None and job.cut):
            job = job.ended("failed", code, why or reason(code, self.folder / OUTPUT), cut=True)
        return job


def differing(job: Job) -> list[str]:
    """What a job is told that another of its sweep is not; of a first job all."""
    others = [set(x.overrides) for x in jobs_of(job.folder.parent) if x.folder != job.folder]
    shared = set.intersection(*others) if others else set()
    return [x for x in job.overrides if x not in shared]


def reason(code: int, output: Path) -> str:
    """Why a process ended that did not say it in its job's record."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1] if code == 2 and lines else f"ended with exit code {code} and without a word"
