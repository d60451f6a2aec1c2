"""The sweeper `sweep=optuna`: what is tried next is drawn from what was seen, and a study keeps it."""

import math
from dataclasses import dataclass
from typing import Any

from forecast.error import Refusal, nearest
from forecast.sweep import study as studies
from forecast.sweep.job import VALUES, Job, begun
from forecast.sweep.launcher import PLUGINS
from forecast.sweep.sweeper import Grid, GridConf, judge, launched, opened


@dataclass
class SearchConf(GridConf):
    _target_: str = f"{PLUGINS}.Search"


class Search(Grid):
    """Trials of an Optuna study, `sweep.jobs` at once: the next ones are drawn when all of them are over.

    So the same seed draws the same trials, whichever is faster.
    """

    __module__ = PLUGINS

    def sweep(self, arguments: list[str]) -> None:
        assert self.config and self.launcher
        settings, overrides = self.config.sweep, self.told(arguments)
        fixed = [
            f"{x.get_key_element()}={x.get_value_element_as_str()}" for x in overrides if not x.is_sweep_override()
        ]
        space = {x.get_key_element(): studies.distribution(x) for x in overrides if x.is_sweep_override()}
        targets = wanted(settings.objectives, settings.pruner)
        epochs = self.config.get("trainer", {}).get("max_epochs")
        early = studies.early(settings.pruner, settings.startup, epochs)
        if not space:
            raise Refusal("sweep=optuna: give at least one key a space, seed=choice(1,2)", "config")
        studies.sampler(settings.sampler, settings.seed)  # refuses before there is a folder
        folder = opened(self.config)
        study = studies.opened(folder, None, studies.pruner(early), len(targets))
        studies.alike(study, fixed)
        study.sampler = studies.sampler(settings.sampler, settings.seed + len(study.trials))  # draws no number twice
        left, resume = settings.trials - retried(study), "seconds" not in targets  # of one that goes on, the last try's
        while left > 0:
            trials = [study.ask(space) for _ in range(min(settings.jobs, left))]
            told = [[*fixed, *(f"{key}={x}" for key, x in trial.params.items())] for trial in trials]
            self.validate_batch_is_legal(told)
            given = [begun(folder, x, t._trial_id, early, resume) for x, t in zip(told, trials, strict=True)]
            for trial, job in zip(trials, launched(self.launcher, given), strict=True):
                conclude(study, trial, job, targets)
            left -= len(trials)
        judge(folder)


def wanted(names: Any, pruner: str | None) -> list[str]:
    """The objectives; raises Refusal for unknown ones."""
    names = [names] if isinstance(names, str) else list(names or [])
    unknown = [x for x in names if x not in VALUES]
    if unknown or not names or len(set(names)) < len(names):
        hint = nearest(str(unknown[0]), VALUES) if unknown else ""
        raise Refusal(f"sweep.objectives={names}: expected some of {', '.join(VALUES)}, each once{hint}", "config")
    if pruner is not None and names != ["score"]:
        raise Refusal(f"sweep.pruner={pruner} needs sweep.objectives=[score]: it compares validation losses", "config")
    return names


def retried(study: Any) -> int:
    """Draws again what failed or was cut off, as the next trials; returns how many trials are over."""
    states = studies.library().trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)
    known = study.get_trials(deepcopy=False)
    over = [x for x in known if x.state in (states.COMPLETE, states.PRUNED)]
    again = [x.params for x in over] + [x.system_attrs["fixed_params"] for x in known if x.state == states.WAITING]
    for trial in known:
        if trial.state == states.FAIL and trial.params not in again:
            study.enqueue_trial(trial.params)
            again.append(trial.params)
    return len(over)


def conclude(study: Any, trial: Any, job: Job, targets: list[str]) -> None:
    """Tells a study how a trial ended; one without a finite value of each objective has failed."""
    states = studies.library().trial.TrialState
    values = job.values(targets)
    if job.state == "pruned":
        study.tell(trial, state=states.PRUNED)
    elif all(map(math.isfinite, values)):
        study.tell(trial, values)
    else:
        study.tell(trial, state=states.FAIL)
