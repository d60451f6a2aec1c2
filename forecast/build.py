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
from typing import Any, Literal

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
SCHEDULES = {"none": {}, "cosine": {"lowest": float}}
LOGGERS: dict[Any, Callable[[Path], Any]] = {"tensorboard": logger, "none": lambda folder: False}
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")  # a true half would round the scaler's numbers
FAULTS = (ValueError, TypeError, RuntimeError, ImportError, ZeroDivisionError, MisconfigurationException)
Names = Sequence[str]
DATA: dict[str, Any] = {  # what each key of conf/data may hold
    "time": str | Names | None, "id": str | None, "target": Names | None, "joint": bool, "past": Names,
    "future": Names, "static": Names, "categorical": Names, "series": Sequence[str | int] | None, "freq": str | None,
    "season": int | None, "split": Sequence[float | str], "split_each": bool, "train_window": int | None,
    "half_life": float | None, "scaler": str, "pooled": bool, "capacity": str | None,
    "fill": Literal["last", "linear", "season", "zero"], "observed": bool, "calendar": Names | None,
    "holidays": str | None, "latitude": float | None, "min": float | None, "max": float | None,
    "lag": Mapping[str, int] | None, "issued": str | None, "oracle": Names, "delimiter": str | None,
    "decimal": Literal[".", ","] | None,
    "thousands": str | None, "encoding": str | None, "header": int | None, "missing": Sequence[str | float],
    "dates": str | Names | None, "tz": str | None, "stamp": Literal["begin", "end"] | None,
    "duplicates": Literal["first", "last", "mean"] | None, "resample": Literal["mean", "sum", "repeat"] | None,
    "max_gap": int | None, "memory": int, "start": str | None,
}  # fmt: skip
ABOVE_ZERO = ("season", "train_window", "half_life", "header")
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
    verify(group, config["name"], settings, made, len(given))
    for key, parameter in inspect.signature(made).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and key not in settings:
            raise Refusal(f"{group}.{key} is missing: '{config['name']}' needs it", "config")
    return built(f"{group}={config['name']}", made, *given, **settings)


def verify(group: str, name: str, settings: Mapping[str, Any], made: Callable[..., Any], given: int = 0) -> None:
    """Refuses settings of a part that its class does not have, or that are of another type than it says.

    Of its parameters the first `given` are not settings.
    """
    hints = typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    known = list(inspect.signature(made).parameters)[given:]
    for key, value in settings.items():
        if key not in known:
            raise Refusal(f"{group}.{key}: '{name}' has no such setting{nearest(key, known)}", "config")
        if not fits(value, hints.get(key, Any)):
            hint = hints[key].__name__ if inspect.isclass(hints[key]) else str(hints[key]).replace("typing.", "")
            raise Refusal(f"{group}.{key}={value}: expected {hint}", "config")


def built(what: str, made: Callable[..., Any], *given: Any, **settings: Any) -> Any:
    """Calls `made`; what it says against its arguments becomes a Refusal."""
    try:
        return made(*given, **settings)
    except (Refusal, *FAULTS) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{what} can't be built: {error}", "config") from error


def fits(value: Any, hint: Any) -> bool:
    """Whether a yaml value is of an annotated type (numbers, text, None, unions and sequences of them)."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if origin is Literal:
        return value in inside
    if origin is not None and issubclass(origin, Mapping):
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(fits(key, inside[0]) and fits(each, inside[1]) for key, each in pairs)
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, list | tuple) and all(fits(each, inside[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, types.NoneType if hint is None else origin or hint)


def whole(config: Mapping[str, Any], key: str, least: int) -> None:
    value = config[key]
    if not fits(value, int) or not least <= value < 2**63:
        raise Refusal(f"{key}={value}: expected a whole number of at least {least}", "config")


def check(config: Mapping[str, Any]) -> None:
    """Refuses values that can't be right, before any data is read."""
    without_targets(config, "")
    for key in POSITIVE:
        whole(config, key, 1)
    whole(config, "gap", 0)
    whole(config, "seed", 0)
    if config["test_stride"] is not None:
        whole(config, "test_stride", 1)
    if config["trainer"]["precision"] not in PRECISIONS:
        raise Refusal(
            f"trainer.precision={config['trainer']['precision']}: expected one of {', '.join(PRECISIONS)}", "config"
        )
    if config["logger"]["name"] not in LOGGERS:
        raise Refusal(f"logger={config['logger']['name']}: expected one of {', '.join(LOGGERS)}", "part")
    for group in ("model", "backbone", "head"):
        kind(group, config[group].get("name"))
    if not isinstance(config["normalizer"], Mapping):
        raise Refusal(f"normalizer={config['normalizer']}: expected names in a list, normalizer=[last]", "config")
    for name in config["normalizer"]:
        kind("normalizer", name)
    data = config["data"]
    for key, hint in DATA.items():
        if not fits(data[key], hint):
            raise Refusal(f"data.{key}={data[key]}: expected {wanted(hint)}", "config")
    for key in ABOVE_ZERO:
        if data[key] is not None and data[key] <= 0:
            raise Refusal(f"data.{key}={data[key]}: expected a number above 0", "config")
    if data["latitude"] is not None and not -90 < data["latitude"] < 90:
        raise Refusal(f"data.latitude={data['latitude']}: expected degrees between -90 and 90", "config")
    if None not in (data["min"], data["max"]) and data["min"] >= data["max"]:
        raise Refusal(f"data.min={data['min']} is not below data.max={data['max']}", "config")


def wanted(hint: Any) -> str:
    """An annotated type in words."""
    inside = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(wanted, inside))
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, inside))}"
    if inside and issubclass(typing.get_origin(hint), Mapping):
        return "names with whole numbers, {load: 2}"
    if inside:
        return f"a list of {wanted(inside[0])}, [a,b]"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(hint, "null")


def without_targets(node: Any, path: str) -> None:
    """Refuses Hydra's `_target_`, which would name code to call, wherever it stands."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key == "_target_":
            raise Refusal(f"{path}{key}={value}: a part is named by its file, never by an import path", "config")
        without_targets(value, f"{path}{key}.")


def model(config: Mapping[str, Any], shape: Shape, scaling: Scaling) -> Model:
    """The model of a configuration, with its backbone, head and normalizers."""
    parts = Parts(
        head=part("head", config["head"]),
        normalizers=[normalizer(name, settings, shape) for name, settings in config["normalizer"].items()],
        scaling=scaling,
        optimize=optimizer(config["optimizer"], config["scheduler"]),
        seed=config["seed"],
    )

    def make_backbone(features: int) -> nn.Module:
        return part("backbone", config["backbone"], features)

    return part("model", config["model"], shape, make_backbone, parts)


def normalizer(name: str, settings: Any, shape: Shape) -> nn.Module:
    """A normalizer, whose yaml is its name over its settings."""
    if not isinstance(settings, Mapping) or "name" in settings:
        raise Refusal(f"normalizer.{name}={settings}: expected the settings of '{name}'", "config")
    return part("normalizer", {"name": name, **settings}, shape)


def width(config: Mapping[str, Any]) -> int:
    """Numbers that the head wants for each step and channel."""
    return part("head", config["head"]).width


def optimizer(config: Mapping[str, Any], schedule: Mapping[str, Any]) -> Callable[[lightning.LightningModule], Any]:
    """What Lightning's configure_optimizers returns, as a function of the module."""
    settings = {key: value for key, value in config.items() if key != "name"}
    made = OPTIMIZERS.get(str(config["name"]))
    if made is None:
        raise Refusal(f"optimizer={config['name']}: expected one of {', '.join(OPTIMIZERS)}", "part")
    verify("optimizer", config["name"], settings, made, 1)
    if schedule.keys() - {"name"} != SCHEDULES.get(str(schedule["name"]), {"": None}).keys():
        wanted = "; ".join(f"{name} with {list(keys) or 'nothing else'}" for name, keys in SCHEDULES.items())
        raise Refusal(f"scheduler={dict(schedule)}: expected {wanted}", "part")
    for key, hint in SCHEDULES[schedule["name"]].items():
        if not fits(schedule[key], hint) or not 0 <= schedule[key] <= 1:
            raise Refusal(f"scheduler.{key}={schedule[key]}: expected a share between 0 and 1", "config")

    def optimize(module: lightning.LightningModule) -> Any:
        optimizer = built(f"optimizer={config['name']}", made, module.parameters(), **settings)
        if schedule["name"] == "none":
            return optimizer
        epochs = module.trainer.max_epochs
        if not epochs or epochs < 1:
            raise Refusal("scheduler=cosine needs a last epoch: set trainer.max_epochs, or scheduler=none", "config")
        lowest = schedule["lowest"] * settings["lr"]
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, lowest)
        return {"optimizer": optimizer, "lr_scheduler": cosine}

    return optimize


def trainer(config: Mapping[str, Any], checkpoints: Path, folder: Path | None) -> lightning.Trainer:
    """A fresh Trainer: best checkpoint kept, early stopping, progress; TensorBoard if there is a run folder."""
    wanted, settings = config["callbacks"], dict(config["trainer"])
    verify("trainer", "Trainer", settings, lightning.Trainer)
    whole(settings, "accumulate_grad_batches", 1)
    whole(settings, "check_val_every_n_epoch", 1)
    callbacks: list[lightning.Callback] = [callback("checkpoint", ModelCheckpoint, wanted, dirpath=checkpoints)]
    if wanted["early_stopping"] is not None:
        callbacks.append(callback("early_stopping", EarlyStopping, wanted))
    if settings["enable_progress_bar"]:
        shown = callback("progress", progress, wanted)
        callbacks.append(shown)
        settings["enable_progress_bar"] = not isinstance(shown, Lines)
    board = LOGGERS.get(config["logger"]["name"])
    if board is None:
        raise Refusal(f"logger={config['logger']['name']}: expected one of {', '.join(LOGGERS)}", "part")
    settings |= {"callbacks": callbacks, "logger": board(folder) if folder is not None else False}
    made = built("trainer", lightning.Trainer, **settings, default_root_dir=checkpoints)
    if settings["precision"] == "bf16-mixed" and made.strategy.root_device.type == "cpu":
        try:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError as error:
            raise Refusal(
                "trainer.precision=bf16-mixed: this processor has no bfloat16 for recurrent networks; use 32-true",
                "config",
            ) from error
    return made


def callback(name: str, made: Callable[..., Any], wanted: Mapping[str, Any], **given: Any) -> Any:
    """A callback with the settings of its key."""
    verify("callbacks", name, wanted[name], made)
    return built(f"callbacks.{name}", made, **wanted[name], **given)
