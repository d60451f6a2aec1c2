"""Configuration -> objects, by name: a part is the file that its yaml names, and the folder is the registry.

Nothing in a configuration is ever imported by path. A part of somebody else's package is found through an entry
point (`[project.entry-points."forecast.backbone"]`): what pip installed is trusted, what a file says is not.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn

from forecast.board.progress import Lines, progress
from forecast.board.tensorboard import logger
from forecast.contract import Scaling, Shape
from forecast.error import Refusal, nearest
from forecast.model.base import Model, Parts

HERE = Path(__file__).resolve().parent
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
POSITIVE = ("context", "horizon", "stride", "batch_size")


def names(group: str) -> list[str]:
    """The parts of a group: the files of its folder, and what installed packages offer."""
    files = [path.stem for path in (HERE / group).glob("[a-z]*.py") if path.stem != "base"]
    return sorted({*files, *(point.name for point in entry_points(group=f"forecast.{group}"))})


def kind(group: str, name: Any) -> type:
    """The class of a part: the only one that its file defines."""
    if name not in names(group):
        raise Refusal(
            f"{group}={name}: no such part{nearest(str(name), names(group))} ({', '.join(names(group))})", "part"
        )
    if (HERE / group / f"{name}.py").is_file():
        module = import_module(f"forecast.{group}.{name}")
        return next(x for x in vars(module).values() if inspect.isclass(x) and x.__module__ == module.__name__)
    return next(iter(entry_points(group=f"forecast.{group}", name=name))).load()


def part(group: str, config: Mapping[str, Any], *given: Any) -> Any:
    """Builds a part from its yaml: `name` and the keyword-only arguments of its class, no more and no less.

    Raises Refusal for an unknown name, a missing, unknown or ill-typed key, or a value that the part refuses.
    """
    settings = {key: value for key, value in config.items() if key != "name"}
    made = kind(group, config.get("name"))
    hints = typing.get_type_hints(made.__init__)
    known = [key for key, p in inspect.signature(made).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for key in settings:
        if key not in known:
            raise Refusal(f"{group}.{key}: '{config['name']}' has no such setting{nearest(key, known)}", "config")
    for key in known:
        if key not in settings:
            raise Refusal(f"{group}.{key} is missing: '{config['name']}' needs it", "config")
        if not fits(settings[key], hints[key]):
            wanted = hints[key].__name__ if inspect.isclass(hints[key]) else str(hints[key]).replace("typing.", "")
            raise Refusal(f"{group}.{key}={settings[key]}: expected {wanted}", "config")
    try:
        return made(*given, **settings)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{group}={config['name']} can't be built: {error}", "config") from error


def fits(value: Any, hint: Any) -> bool:
    """Whether a yaml value is of an annotated type (numbers, text, None, unions and sequences of them)."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, list | tuple) and all(fits(each, inside[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, types.NoneType if hint is None else hint)


def check(config: Mapping[str, Any]) -> None:
    """Refuses values that can't be right, before any data is read."""
    for key in (*POSITIVE, "gap", "seed"):
        least = 1 if key in POSITIVE else 0
        if not isinstance(config[key], int) or isinstance(config[key], bool) or config[key] < least:
            raise Refusal(f"{key}={config[key]}: expected a whole number of at least {least}", "config")
    if config["test_stride"] is not None and (not isinstance(config["test_stride"], int) or config["test_stride"] < 1):
        raise Refusal(f"test_stride={config['test_stride']}: expected a whole number of at least 1, or null", "config")
    if "true" in str(config["trainer"].get("precision")) and not str(config["trainer"]["precision"]).startswith(
        ("32", "64")
    ):
        raise Refusal(
            f"trainer.precision={config['trainer']['precision']} would round the scaler's numbers; use bf16-mixed",
            "config",
        )
    for group in ("model", "backbone", "head"):
        kind(group, config[group].get("name"))
    for name in config["normalizer"]:
        kind("normalizer", name)
    for key in ("past", "future", "static", "split"):
        if not isinstance(config["data"][key], list):
            raise Refusal(f"data.{key}={config['data'][key]}: expected a list such as [a,b]", "config")
    if config["data"]["target"] is not None and not isinstance(config["data"]["target"], list):
        raise Refusal(f"data.target={config['data']['target']}: expected a list such as [price]", "config")


def model(config: Mapping[str, Any], shape: Shape, scaling: Scaling) -> Model:
    """The model of a configuration, with its backbone, head and normalizers."""
    parts = Parts(
        head=part("head", config["head"]),
        normalizers=[part("normalizer", {"name": k, **(v or {})}, shape) for k, v in config["normalizer"].items()],
        scaling=scaling,
        optimize=optimizer(config["optimizer"], config["scheduler"]),
        seed=config["seed"],
    )

    def make_backbone(features: int) -> nn.Module:
        return part("backbone", config["backbone"], features)

    return part("model", config["model"], shape, make_backbone, parts)


def width(config: Mapping[str, Any]) -> int:
    """Numbers that the head wants for each step and channel."""
    return part("head", config["head"]).width


def optimizer(config: Mapping[str, Any], schedule: Mapping[str, Any]) -> Callable[[lightning.LightningModule], Any]:
    """What Lightning's configure_optimizers returns, as a function of the module."""
    settings = {key: value for key, value in config.items() if key != "name"}
    if config["name"] not in OPTIMIZERS:
        raise Refusal(f"optimizer={config['name']}: expected one of {', '.join(OPTIMIZERS)}", "part")
    if schedule["name"] not in ("none", "cosine"):
        raise Refusal(f"scheduler={schedule['name']}: expected none or cosine", "part")

    def optimize(module: lightning.LightningModule) -> Any:
        try:
            made = OPTIMIZERS[config["name"]](module.parameters(), **settings)
        except (ValueError, TypeError) as error:
            raise Refusal(f"optimizer={config['name']}: {error}", "config") from error
        if schedule["name"] == "none":
            return made
        last = schedule["lowest"] * settings["lr"]
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(made, max(1, module.trainer.max_epochs or 1), last)
        return {"optimizer": made, "lr_scheduler": cosine}

    return optimize


def trainer(config: Mapping[str, Any], checkpoints: Path, folder: Path | None) -> lightning.Trainer:
    """A fresh Trainer: best checkpoint kept, early stopping, progress; TensorBoard if there is a run folder."""
    wanted = config["callbacks"]
    callbacks: list[lightning.Callback] = [ModelCheckpoint(dirpath=checkpoints, **wanted["checkpoint"])]
    if wanted["early_stopping"] is not None:
        callbacks.append(EarlyStopping(**wanted["early_stopping"]))
    settings = dict(config["trainer"])
    if settings["enable_progress_bar"]:
        shown = progress(wanted["progress"]["refresh_rate"])
        callbacks.append(shown)
        settings["enable_progress_bar"] = not isinstance(shown, Lines)
    board = logger(folder) if folder is not None and config["logger"]["name"] == "tensorboard" else False
    try:
        return lightning.Trainer(**settings, callbacks=callbacks, logger=board, default_root_dir=checkpoints)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise Refusal(f"trainer: {error}", "config") from error
