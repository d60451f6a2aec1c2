"""A run that goes on in its folder: the settings it was begun with, whether it is finished, how to go on with it."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from forecast.board.tensorboard import flat
from forecast.config import completed, typed
from forecast.error import CannotWrite, Interrupted, Refusal
from forecast.learning import PLACES

CONFIG, MANIFEST = "config.yaml", "manifest.json"  # what a run writes first and last
COMMAND = "# forecast train"
MOST = 5  # settings that a refusal names


def continued(
    config: Mapping[str, Any], overrides: Sequence[str], folder: Path | None
) -> tuple[dict[str, Any], list[str], Path | None]:
    """The settings to train with, the overrides that made them, and the folder of the run that goes on, if one does.

    It goes on if `run` names it, or if it lies in the `folder` of a sweep's job. Raises Refusal if there is none and
    nothing but `run` is given, or if the `overrides` that were typed are not those that it was begun with.
    """
    typed = [x for x in overrides if not x.startswith("run=")]
    named = Path(config["run"]) if config["run"] else None
    home = named or folder
    if home is None or not (home / CONFIG).is_file():
        if named is not None and (named.exists() or not typed):
            found = f"holds no {CONFIG}" if named.exists() else "is not there"
            raise Refusal(
                f"run={named}: no run has begun in this folder, which {found}; to begin one, name a new folder and the "
                "run's keys: forecast train run=outputs/mine data.path=my.csv",
                "no-run",
            )
        return {**config, "folder": config["run"] or config["folder"], "run": None}, typed, None
    was, own = begun(home)
    if typed:
        sides = ({key: x for key, x in side.items() if key not in PLACES} for side in (own, config))
        old, new = (set(flat(side).items()) for side in sides)
        if other := sorted({key.replace("/", ".") for key, _ in old ^ new}, key=partial(later, typed)):
            more = f" and {len(other) - MOST} more" if len(other) > MOST else ""
            raise Refusal(
                f"run={home} was begun with other settings ({', '.join(other[:MOST])}{more}): leave out all keys but "
                "run, or begin another run",
                "config",
            )
    return own, was, home


def later(typed: Sequence[str], key: str) -> tuple[bool, str]:
    """By which settings are sorted, so that those that were typed come first."""
    keys = [x.split("=", 1)[0] for x in typed]
    return not any(key == x or key.startswith(f"{x}.") for x in keys), key


def told(overrides: Sequence[str]) -> str:
    """The first line of a run's settings: the command that they were made by."""
    return f"{COMMAND} {shlex.join(overrides)}"


def begun(run: Path) -> tuple[list[str], dict[str, Any]]:
    """What a run was told when it began, and its settings. Raises Refusal if they can't be read."""
    try:
        text = (run / CONFIG).read_text()
        first = text.split("\n", 1)[0]
        words = shlex.split(first.removeprefix(COMMAND)) if first.startswith(COMMAND) else []
        found = OmegaConf.to_container(OmegaConf.create(text))
        assert isinstance(found, dict)
        return words, completed({str(key): value for key, value in found.items()})
    except Exception as error:
        raise Refusal(f"{run / CONFIG} holds no settings of a run: {error!r}", "damaged") from error


def finished(run: Path) -> float | None:
    """The score of a run that is finished, None if it is not."""
    path = run / MANIFEST
    return json.loads(path.read_text())["score"]["value"] if path.is_file() else None


@contextmanager
def resumable(run: Path) -> Iterator[None]:
    """Adds to an error after which a run can go on how it does."""
    try:
        yield
    except (CannotWrite, Interrupted) as error:
        again = f"{error}; to go on: forecast train {typed('run', run)}"
        raise (Interrupted(again) if isinstance(error, Interrupted) else CannotWrite(again, error.code)) from error
