"""The yaml tree: where it lies, how it is composed from Python, and what a user meant who mistyped a key."""

import json
import math
import re
import shlex
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from forecast.error import Refusal, nearest

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"
NAMED = ("model", "backbone", "head", "optimizer", "scheduler", "logger", "calibrate")  # groups whose yaml has a name
LOCK = threading.RLock()


def composed(command: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration of a command as plain types; works inside somebody's own Hydra app and from threads.

    Raises Refusal for an unknown key or part, or a value that Hydra's grammar refuses.
    """
    with LOCK:
        world = GlobalHydra.instance()
        outer, world.hydra = world.hydra, None
        try:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                found = compose(command, overrides=complete(command, overrides))
            return plain(found)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            if isinstance(error, Refusal):
                raise
            raise Refusal(explained(error, command), "config") from error
        finally:
            GlobalHydra.instance().hydra = outer


def completed(found: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of an older release, with keys that came since at their defaults, which do what was done then."""
    names = {group: found[group].get("name") for group in NAMED if group in found}
    parts = [f"{group}={name}" for group, name in names.items() if known(group, name)]
    normalizers = override("normalizer", [x for x in found["normalizer"] if known("normalizer", x)])
    return merged(defaults(("data=csv", normalizers, *parts)), found)


@lru_cache(maxsize=64)
def defaults(overrides: tuple[str, ...]) -> dict[str, Any]:
    """The configuration of training with these overrides, composed once: a sixth of a second, more than a small fit.

    All who ask share it: who changes it copies it first.
    """
    return composed("train", overrides)


def known(group: str, name: Any) -> bool:
    """Whether a part has a yaml among ours; those of somebody else's package have not."""
    return isinstance(name, str) and name.isidentifier() and (CONF / group / f"{name}.yaml").is_file()


def merged(usual: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What is found, with what is usual where it has nothing."""
    nested = {key for key in usual.keys() & found.keys() if all(isinstance(x[key], Mapping) for x in (usual, found))}
    inner = {key: merged(usual[key], found[key]) for key in found if key in nested}
    return {**found, **{key: value for key, value in usual.items() if key not in found}, **inner}


def plain(config: Any) -> dict[str, Any]:
    """A composed configuration as dicts and lists, interpolations resolved."""
    found = OmegaConf.to_container(config, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def checked(config: Any) -> dict[str, Any]:
    """The same, with names of folders that are text, as a number in a yaml is not (`run: 2024`)."""
    found = plain(config)
    for key, several in (("run", True), ("folder", False)):
        names = found.get(key)
        for name in names if several and isinstance(names, list) else [names]:
            if name is not None and not isinstance(name, str):
                raise Refusal(f"{key}={name}: expected text; in quotes a number is one: {key}=\"'{name}'\"", "config")
    return found


def override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar, with the value's type and every character kept."""
    if isinstance(value, Mapping):
        raise Refusal(f"{key}={value}: name single settings by overrides=['{key}.name=value']", "config")
    return f"{key}={written(value)}"


def written(value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def quoted(value: str) -> str:
    """Text in quotes: backslashes count double before a quote or `${`, and both lose their meaning by one more."""
    value = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return "'" + re.sub(r"(\\*)('|\Z)", lambda x: x[1] * 2 + ("\\'" if x[2] else ""), value) + "'"


def typed(key: str, path: Path) -> str:
    """An override that names a path, as one types it into a shell."""
    return shlex.quote(f"{key}={quoted(str(path)) if ',' in str(path) else path}")  # else Hydra would take several


def complete(command: str, overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra takes them: awkward values quoted; `data.path=...` alone means any CSV, not the default."""
    launcher = any(x.startswith("hydra/launcher=") for x in overrides)  # most of what Ray may be told has no default
    for text in overrides:
        if text.startswith("="):
            raise Refusal(f"'{text}': expected key=value", "config")
        if text.startswith(("+", "~")) and not (launcher and text.startswith("+hydra.launcher.")):
            raise Refusal(f"{text}: keys can't be added or deleted, only set (null switches off)", "config")
    result = [text if text.startswith("-") else readable(text) for text in overrides]
    keys = [text.split("=", 1)[0].lstrip("+~") for text in result]
    if command in ("train", "describe") and "data.path" in keys and not {"data", "experiment"} & set(keys):
        result.insert(keys.index("data.path"), "data=csv")
    return result


def readable(text: str) -> str:
    """An override as typed, or with its value quoted where Hydra's grammar would refuse it (`data.path=Größe.csv`)."""
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        key, found, value = text.partition("=")
        return f"{key}={quoted(value)}" if found else text
    return text


def explained(error: Exception, command: str) -> str:
    """What Hydra's error means, with the nearest valid key or part."""
    text = str(error).split("\n", 1)[0]
    if isinstance(error, OverrideParseException):
        return f"'{error.override}': expected key=value ({text})"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        parts = sorted(path.stem for path in (CONF / group).glob("*.yaml")) if group else []
        parts = parts or [x.removesuffix(".yaml") for x in ConfigStore.instance().list(group)]  # plugins of Hydra
        return f"{group}={name}: no such part{nearest(name, parts)} ({', '.join(parts)})"
    if several := re.search(r"Ambiguous value for argument '(.+?=(.*))'", text):
        return f"{several[1]}: add -m for a sweep over these values, or write a list: [{several[2]}]"
    if "does not support sweep type" in text:
        return f"{text}: intervals are for sweep=optuna"
    unknown = re.search(r"Could not (?:override|append to config) '([^']+)'|Key '([^']+)' is not in struct", text)
    if unknown is None:
        group = re.search(r"Could not override '([^']+)'", str(error))
        return text if group is None else f"{group[1]}: no such key"
    key = unknown[1] or unknown[2]
    return f"{key}: no such key{nearest(key.lstrip('+'), keys(command))}"


def keys(command: str) -> list[str]:
    """Every dotted key of a command's default configuration, and its groups."""

    def walk(node: Any, prefix: str) -> list[str]:
        if not isinstance(node, Mapping):
            return []
        return [x for key, value in node.items() for x in (f"{prefix}{key}", *walk(value, f"{prefix}{key}."))]

    sweeps = [plain(OmegaConf.load(path)) for path in (CONF / "sweep").glob("*.yaml")]  # only -m takes them in
    return walk(composed(command), "") + [x for each in sweeps for x in walk({"sweep": each["sweep"]}, "")]
