"""The best job of a sweep as an experiment of its own, which composes to what the job was trained with."""

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from forecast.sweep.job import Job


def experiment(job: Job, groups: Collection[str], told: str) -> str:
    """A job's overrides as the yaml of an experiment; `told` says in its first comment what it is the best of."""
    parsed = {x.key_or_group: x.value() for x in OverridesParser.create().parse_overrides(job.overrides)}
    chosen = [{f"override /{key}": value} for key, value in parsed.items() if key in groups and key != "experiment"]
    base = [parsed["experiment"]] if parsed.get("experiment") else []
    values: dict[str, Any] = {}
    for key, value in parsed.items():
        if key not in groups:
            *path, last = key.split(".")
            inner = values
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
    tree = {"defaults": [*base, *chosen, "_self_"], **values}
    head = f"# @package _global_\n# {command(job.folder.parent)}\n# {told}\n"
    return head + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def command(sweep: Path) -> str:
    """What trains the best job of a sweep again."""
    return f"forecast train --config-dir {shlex.quote(str(sweep))} experiment=best"


def path(sweep: Path) -> Path:
    """Where `--config-dir <sweep>` finds it."""
    return sweep / "experiment" / "best.yaml"
