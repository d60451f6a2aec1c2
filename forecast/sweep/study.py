"""Optuna's part of a sweep: the study in its journal, samplers and pruners by name. Needs the extra `optuna`."""

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from forecast.error import Refusal, nearest

JOURNAL, NAME, FIXED = "study.journal", "sweep", "fixed"
NEEDS_OPTIMIZE = ("bruteforce",)  # stops the study from inside Optuna's own loop; sweep=grid does what it does
ROUND = 1e-9  # of a step: how far from a whole number of steps the end of a range may be


def library() -> Any:
    """Optuna, which says only what matters; raises Refusal where it is not installed."""
    try:
        import optuna  # type: ignore[import-not-found]
    except ImportError as error:
        raise Refusal("sweep=optuna needs Optuna: python -m pip install 'forecast[optuna]'", "extra") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def opened(sweep: Path, sampler: Any = None, pruner: Any = None, objectives: int = 1) -> Any:
    """The study of a sweep; one that is there goes on. Raises Refusal if it has another number of objectives."""
    optuna = library()
    journal = optuna.storages.journal
    storage = journal.JournalStorage(journal.JournalFileBackend(str(sweep / JOURNAL)))
    directions = ["minimize"] * objectives
    study = optuna.create_study(
        study_name=NAME, storage=storage, sampler=sampler, pruner=pruner, directions=directions, load_if_exists=True
    )
    if len(study.directions) != objectives:
        raise Refusal(
            f"{sweep / JOURNAL}: this study has {len(study.directions)} objectives, not {objectives}; name another "
            "sweep.folder, or the objectives that it had",
            "config",
        )
    return study


def alike(study: Any, fixed: Sequence[str]) -> None:
    """Keeps what all trials of a study are told; refuses to go on with trials that are told something else."""
    told = sorted(fixed)
    if (known := study.user_attrs.get(FIXED, told)) != told:
        other = ", ".join(sorted({*known} ^ {*told}))
        raise Refusal(
            f"sweep=optuna: the trials so far were told something else ({other}), and can't be compared with new ones: "
            "name another sweep.folder",
            "config",
        )
    study.set_user_attr(FIXED, told)


def sampler(name: str, seed: int) -> Any:
    """Optuna's sampler of that name: RandomSampler is random."""
    optuna = library()
    names = [x for x in optuna.samplers.__all__ if x.endswith("Sampler")]
    classes = {x.removesuffix("Sampler").lower(): getattr(optuna.samplers, x) for x in names}
    known = {key: made for key, made in classes.items() if key not in NEEDS_OPTIMIZE and seeded(made)}
    if name not in known:
        raise Refusal(
            f"sweep.sampler={name}: no such sampler{nearest(str(name), known)} ({', '.join(sorted(known))})", "config"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return known[name](seed=seed)
        except ImportError as error:
            raise Refusal(f"sweep.sampler={name}: {error}", "extra") from error


def seeded(made: Any) -> bool:
    """Whether a class needs no more than a seed."""
    parameters = inspect.signature(made).parameters.values()
    return "seed" in {x.name for x in parameters} and not any(
        x.default is x.empty and x.kind in (x.POSITIONAL_OR_KEYWORD, x.KEYWORD_ONLY) for x in parameters
    )


def pruner(settings: Mapping[str, Any] | None) -> Any:
    """The pruner with these settings (see `early`), the same in every process; None prunes nothing.

    Sources: D. Golovin et al., "Google Vizier: a service for black-box optimization", 2017 (the median stopping rule);
    L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", 2018.
    """
    optuna = library()
    if settings is None:
        return optuna.pruners.NopPruner()
    if settings["name"] == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=1)
    return optuna.pruners.HyperbandPruner(max_resource=settings["epochs"])


def early(name: str | None, startup: int, epochs: Any) -> dict[str, Any] | None:
    """The settings of a pruner by name; Hyperband plans with the number of epochs."""
    if name is None:
        return None
    if name not in ("median", "hyperband"):
        raise Refusal(f"sweep.pruner={name}: expected median, hyperband or null", "config")
    if name == "median":
        return {"name": name, "startup": startup}
    if not isinstance(epochs, int) or epochs < 2:
        raise Refusal(f"sweep.pruner=hyperband plans with at least 2 epochs: trainer.max_epochs={epochs}", "config")
    return {"name": name, "startup": startup, "epochs": epochs}


def distribution(override: Override) -> Any:
    """What a trial draws a value from: a choice, a range, an interval; in its logarithm if tagged log.

    Raises Refusal for an interval or range that is empty or can't be tagged so.
    """
    kinds, value, key = library().distributions, override.value(), override.key_or_group
    tags = set(getattr(value, "tags", ()))
    if tags - {"log"} or (tags and override.is_choice_sweep()):
        raise Refusal(f"{key}: the tag {', '.join(sorted(tags))} means nothing here; log does, of numbers", "config")
    try:
        if isinstance(value, IntervalSweep):
            assert value.start is not None and value.end is not None
            whole = isinstance(value.start, int) and isinstance(value.end, int)
            made = kinds.IntDistribution if whole else kinds.FloatDistribution
            return made(value.start, value.end, log="log" in tags)
        if isinstance(value, RangeSweep):
            return stepped(kinds, list(value.range()), value.step, "log" in tags)
        return kinds.CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise Refusal(f"{override.input_line}: {error}", "config") from error


def stepped(kinds: Any, values: list[Any], step: Any, log: bool) -> Any:
    """Equally spaced numbers; a range that falls has the same ones as one that rises."""
    if not values:
        raise Refusal("a range without values", "config")
    low, high, step = min(values), max(values), abs(step)
    if all(isinstance(x, int) for x in values):
        return kinds.IntDistribution(low, high, log=log) if log else kinds.IntDistribution(low, high, step=step)
    high = low + step * math.floor((high - low) / step + ROUND)
    return kinds.FloatDistribution(low, high, log=log) if log else kinds.FloatDistribution(low, high, step=step)
