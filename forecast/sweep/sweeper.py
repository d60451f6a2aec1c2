"""What is tried in a sweep, and that it goes on after an interruption: what is done is skipped, the rest run again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from forecast import atomic
from forecast.error import ForecastError, Refusal
from forecast.sweep.job import OVER, Job, begun, code_of, jobs, read
from forecast.sweep.launcher import PLUGINS

SETTINGS = "sweep.yaml"


@dataclass
class GridConf:
    _target_: str = f"{PLUGINS}.Grid"
    params: dict[str, Any] | None = None  # what an experiment sweeps over, {seed: "1,2,3"}; the command line goes first


class Grid(Sweeper):
    """The sweeper of `-m`: every combination of the values given."""

    __module__ = PLUGINS

    def __init__(self, params: Mapping[str, Any] | None = None):
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        checked(config.sweep)
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the jobs that are not done yet; raises ForecastError if any failed."""
        assert self.config and self.hydra_context and self.launcher
        wanted = BasicSweeper.split_arguments(self.told(arguments), None)[0]
        self.validate_batch_is_legal(wanted)
        folder = opened(self.config)
        launched(self.launcher, [begun(folder, x) for x in wanted])
        judge(folder)

    def told(self, arguments: Sequence[str]) -> list[Override]:
        """What the jobs are told: overrides other than those of the sweep itself, after those of an experiment."""
        assert self.hydra_context
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = parser.parse_overrides(list(arguments))
        known = {x.key_or_group for x in given}
        own = parser.parse_overrides([f"{key}={value}" for key, value in self.params.items() if key not in known])
        return [x for x in (*own, *given) if x.key_or_group.split(".")[0] != "sweep"]


def opened(config: DictConfig) -> Path:
    """The sweep's folder, with its settings in sweep.yaml."""
    folder = Path(config.hydra.sweep.dir)
    atomic.write(folder / SETTINGS, OmegaConf.to_yaml(config.sweep))
    return folder


def launched(launcher: Launcher, wanted: Sequence[Job]) -> list[Job]:
    """How jobs ended: those that are not over run, by any launcher; one that runs twice in a batch runs once."""
    todo = list({job.folder: job for job in wanted if job.state not in OVER}.values())
    told = [[*job.overrides, f"hydra.sweep.subdir={job.name}"] for job in todo]
    try:
        returns = launcher.launch(told, initial_job_idx=int(todo[0].name)) if todo else []
        errors = [x._return_value if x.status == JobStatus.FAILED else None for x in returns]
    except Exception as error:  # a launcher of somebody else's, whose workers may take it with them
        errors = [error] * len(todo)
    for job, error in zip(todo, errors, strict=True):
        if read(job.folder).state == "running":  # it could not say itself how it ended
            code = 1 if error is None else code_of(error)
            job.ended("failed", code, str(error or "ended without a word"), cut=True)
    return [read(job.folder) for job in wanted]


def judge(sweep: Path) -> None:
    """Raises a ForecastError with the exit code of the first job that failed."""
    known = jobs(sweep)
    failed = [job for job in known if job.state not in OVER]
    if failed:
        error = ForecastError(f"{len(failed)} of {len(known)} jobs failed")
        error.exit = failed[0].code if failed[0].code > 0 else 1
        raise error


def checked(settings: DictConfig) -> DictConfig:
    """Refuses numbers of a sweep that can't be right."""
    for key, least in (("jobs", 1), ("trials", 1), ("startup", 0), ("seed", 0)):
        value = settings.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise Refusal(f"sweep.{key}={value}: expected a whole number of at least {least}", "config")
    timeout = settings.timeout
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise Refusal(f"sweep.timeout={timeout}: expected null or seconds above 0", "config")
    return settings
