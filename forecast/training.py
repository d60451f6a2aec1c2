"""What trains a model: optimizer, emphasis of the loss, trainer and its callbacks.

Optimizers, loggers, and the schedules and averages of `schedule`, come from short closed tables of names.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn

from forecast.board.progress import progress
from forecast.board.tensorboard import flat, logger
from forecast.board.watch import Figures
from forecast.error import Refusal, nearest
from forecast.interruption import Interruption
from forecast.model.base import Emphasis, matrices
from forecast.schedule import AVERAGES, ENDING, FROM_0, SCHEDULES, Averaging, Plateau
from forecast.setting import built, fits, verify, whole
from forecast.settling import Settling
from forecast.sweep import pruning

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")  # a true half would round the scaler's numbers
LOGGERS: dict[Any, Callable[[Path, int | None], Any]] = {"tensorboard": logger, "none": lambda folder, since: False}
OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
NOTHING = nullcontext()
MONITORED = ("val/loss", "val/mae", "val/mse", "train/loss")
CENTRED = ("standard", "robust", "log1p", "asinh")  # scalers whose unit is a standard deviation from the middle


def check(config: Mapping[str, Any]) -> None:
    """Refuses settings of training that can't be right, before any data is read."""
    settings, average = config["trainer"], config["callbacks"]["averaging"]
    verify("trainer", "Trainer", settings, lightning.Trainer)
    whole(settings, "accumulate_grad_batches", 1, "trainer.")
    whole(settings, "check_val_every_n_epoch", 1, "trainer.")
    chosen_by_validation(settings, config["callbacks"])
    if settings["precision"] not in PRECISIONS:
        raise Refusal(f"trainer.precision={settings['precision']}: expected one of {', '.join(PRECISIONS)}", "config")
    for key in ("compile", "tf32"):
        if not isinstance(config[key], bool):
            raise Refusal(f"{key}={config[key]}: expected true or false", "config")
    if config["logger"]["name"] not in LOGGERS:
        raise Refusal(f"logger={config['logger']['name']}: expected one of {', '.join(LOGGERS)}", "part")
    callbacks(config, Path())
    optimizer(config["optimizer"], config["scheduler"], settings["precision"])
    parts = {"scheduler": config["scheduler"]}
    if average is not None:
        chosen("callbacks.averaging", average, AVERAGES)
        parts["callbacks.averaging"] = average
    for key, part in parts.items():
        if part["name"] in ENDING and (settings["max_epochs"] or 0) < 1:
            raise Refusal(
                f"{key}={part['name']} needs a last epoch: set trainer.max_epochs, or choose another", "config"
            )
    emphasis(config["loss"], config["horizon"])
    if config["loss"]["spike"] is not None and config["data"]["scaler"] not in CENTRED:
        raise Refusal(
            f"loss.spike counts in standard deviations, which data.scaler={config['data']['scaler']} does not learn: "
            f"use one of {', '.join(CENTRED)}",
            "config",
        )


def chosen_by_validation(settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuses a training without steps or without validation, which chooses the weights."""
    for key in ("max_epochs", "max_steps", "limit_train_batches", "limit_val_batches"):
        if settings.get(key) == 0:
            raise Refusal(f"trainer.{key}=0: a training needs steps, and validation to choose its weights", "config")
    epochs, every = settings["max_epochs"] or -1, settings["check_val_every_n_epoch"]
    if 0 < epochs < every:
        raise Refusal(
            f"trainer.check_val_every_n_epoch={every} is more than trainer.max_epochs={epochs}: nothing would be "
            "validated",
            "config",
        )
    if wanted["checkpoint"].get("save_top_k") == 0:
        raise Refusal("callbacks.checkpoint.save_top_k=0: the best weights are what a training is for; use 1", "config")
    for key in ("checkpoint", "early_stopping"):
        name = (wanted[key] or {}).get("monitor")
        if name is not None and name not in MONITORED:
            raise Refusal(
                f"callbacks.{key}.monitor={name}: expected one of {', '.join(MONITORED)}"
                f"{nearest(str(name), MONITORED)}",
                "config",
            )


def chosen(group: str, config: Any, table: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The function of a table that a yaml names, with its settings.

    Raises Refusal for an unknown name, a missing, unknown or ill-typed key, a share that is not between 0 and 1.
    """
    name = config.get("name") if isinstance(config, Mapping) else None
    if not isinstance(name, str) or name not in table:
        raise Refusal(f"{group}={config}: expected the name and settings of one of {', '.join(table)}", "part")
    settings = {key: value for key, value in config.items() if key != "name"}
    own = [x for x in inspect.signature(table[name]).parameters.values() if x.kind is x.KEYWORD_ONLY]
    verify(group, name, settings, table[name], len(inspect.signature(table[name]).parameters) - len(own))
    for key, hint in ((x.name, x.annotation) for x in own):
        if key not in settings:
            raise Refusal(f"{group}.{key} is missing: '{name}' needs it", "config")
        value = settings[key]
        if hint is int and value < 0:
            raise Refusal(f"{group}.{key}={value}: expected a whole number of at least 0", "config")
        if hint is float and not (0 < value < 1 or (value == 0 and key in FROM_0)):
            raise Refusal(f"{group}.{key}={value}: expected a share between 0 and 1", "config")
    return partial(table[name], **settings)


def optimizer(
    config: Mapping[str, Any], schedule: Mapping[str, Any], precision: str = "32-true"
) -> Callable[[lightning.LightningModule], Any]:
    """What Lightning's configure_optimizers returns, as a function of the module.

    Weight decay acts on the parameters of two axes and more: matrices and tables, not biases, norms and gains. All are
    updated in one call (`fused`), which takes a fourth of the time, but where gradients are scaled until they are
    clipped: a fused optimizer would want them so.
    """
    name, settings = config["name"], {key: value for key, value in config.items() if key != "name"}
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise Refusal(f"optimizer={name}: expected one of {', '.join(OPTIMIZERS)}", "part")
    verify("optimizer", name, settings, OPTIMIZERS[name], 1)
    if "fused" in inspect.signature(OPTIMIZERS[name]).parameters:
        settings = {**settings, "fused": precision != "16-mixed"}
    built(f"optimizer={name}", OPTIMIZERS[name], [nn.Parameter(torch.zeros(1))], **settings)
    scheduled = chosen("scheduler", schedule, SCHEDULES)

    def optimize(module: lightning.LightningModule) -> Any:
        decayed = matrices(module)
        rest = [x for x in module.parameters() if x.ndim < 2]
        groups = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]
        made = OPTIMIZERS[name]([group for group in groups if group["params"]], **settings)
        found = scheduled(made, module)
        return {"optimizer": made, "lr_scheduler": found} if found else made

    return optimize


def emphasis(config: Mapping[str, Any], horizon: int) -> Emphasis:
    """The emphasis that `loss` asks for."""
    series = config["series"]
    if not fits(series, Mapping[str | int, float] | None) or not all(map(positive, (series or {}).values())):
        raise Refusal(f"loss.series={series}: expected names with numbers above 0, {{north: 2}}, or null", "config")
    for key, none in (("spike", None), ("spike_from", 0), ("l1", 0)):
        if config[key] != none and not (fits(config[key], float) and positive(config[key])):
            raise Refusal(
                f"loss.{key}={config[key]}: expected {'null' if none is None else none} or a number above 0", "config"
            )
    spike = 1.0 if config["spike"] is None else config["spike"]
    return Emphasis(weights(config["horizon"], horizon), spike, config["spike_from"], config["l1"])


def weights(wanted: Any, horizon: int) -> list[float]:
    """The weights of a horizon's steps, brought to mean 1, so that the learning rate keeps its meaning."""
    found: list[float] = []
    if wanted is None:
        found = [1.0] * horizon
    elif fits(wanted, float) and 0 < wanted <= 1:
        found = [wanted**step for step in range(horizon)]
    elif fits(wanted, Sequence[float]):
        found = list(wanted)
    if len(found) != horizon or min(found) < 0 or not positive(sum(found)):
        raise Refusal(
            f"loss.horizon={wanted}: expected null, a list of horizon={horizon} weights of at least 0, or a factor "
            "from step to step above 0 and at most 1",
            "config",
        )
    mean = sum(found) / horizon
    return [weight / mean for weight in found]


def positive(value: float) -> bool:
    """Whether a number is above 0 and finite."""
    return 0 < value < math.inf


class Unmeasured(PassThroughProfiler):
    """Measures nothing, and takes less time for it than Lightning's own, which is asked forty times a step."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return NOTHING


def trainer(
    config: Mapping[str, Any],
    checkpoints: Path,
    folder: Path | None,
    forecast: Callable[[int], pd.DataFrame] | None = None,
    since: int | None = None,
) -> lightning.Trainer:
    """A fresh Trainer with its callbacks; TensorBoard if there is a run folder, with figures of what is `forecast`.

    Of a run that goes on after a step, what was logged `since` is hidden: it is logged again.
    """
    settings, average = dict(config["trainer"]), config["callbacks"]["averaging"]
    found = [*callbacks(config, checkpoints, forecast), *pruning.callbacks(folder, flat(config))]
    board = LOGGERS[config["logger"]["name"]]
    settings["enable_progress_bar"] = any(isinstance(each, ProgressBar) for each in found)
    settings |= {"callbacks": found, "logger": False if folder is None else board(folder, since)}
    settings["profiler"] = settings.get("profiler") or Unmeasured()
    made = built("trainer", lightning.Trainer, **settings, default_root_dir=checkpoints)
    if average is not None:
        first = 1 + (config["callbacks"]["figures"] is not None)  # figures are of the averaged weights
        share = chosen("callbacks.averaging", average, AVERAGES)
        made.callbacks.insert(first, Averaging(share, made.strategy.root_device))
    return made


def callbacks(
    config: Mapping[str, Any], checkpoints: Path, forecast: Callable[[int], pd.DataFrame] | None = None
) -> list[lightning.Callback]:
    """What watches training: memory, figures, checkpoints, early stopping, a plateau's schedule, signals, progress."""
    wanted, found = config["callbacks"], list[lightning.Callback]([Settling()])
    if wanted["figures"] is not None:
        limits(wanted["figures"])
        found.append(callback("figures", Figures, wanted, forecast=forecast))
    found.append(callback("checkpoint", ModelCheckpoint, wanted, dirpath=checkpoints))
    found.append(callback("interruption", Interruption, wanted, folder=checkpoints))
    if not positive(minutes := wanted["interruption"]["minutes"]):
        raise Refusal(f"callbacks.interruption.minutes={minutes}: expected a number above 0", "config")
    if wanted["early_stopping"] is not None:
        found.append(callback("early_stopping", EarlyStopping, wanted))
    if config["scheduler"]["name"] == "plateau":
        found.append(Plateau())
    if config["trainer"]["enable_progress_bar"]:
        found.append(callback("progress", progress, wanted))
    return found


def limits(config: Mapping[str, Any]) -> None:
    """Refuses limits of the figures drawn during training that can't be kept."""
    for key in ("every_n_epochs", "windows"):
        if key in config:
            whole(config, key, 1, "callbacks.figures.")
    for key, most in (("seconds", math.inf), ("share", 1)):
        if key in config and not (fits(config[key], float) and 0 <= config[key] <= most):
            expected = "a number of at least 0" if most > 1 else "a share between 0 and 1"
            raise Refusal(f"callbacks.figures.{key}={config[key]}: expected {expected}", "config")


def callback(name: str, made: Callable[..., Any], wanted: Mapping[str, Any], **given: Any) -> Any:
    """A callback with the settings of its key."""
    verify("callbacks", name, wanted[name], made)
    return built(f"callbacks.{name}", made, **wanted[name], **given)
