"""Configuration -> objects, by name: a part is the file that its yaml names, and the folder is the registry.

Nothing in a configuration is ever imported by path. A part of somebody else's package is found through an entry
point (`[project.entry-points."forecast.backbone"]`): what pip installed is trusted, what a file says is not.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from forecast import training
from forecast.alone import alone
from forecast.backbone.base import Stack
from forecast.contract import Layer, Normalizer, Scaling, Shape
from forecast.error import Refusal, nearest
from forecast.evaluation.baseline import chosen
from forecast.evaluation.conformal import Calibration, learnt
from forecast.head._law import ascending
from forecast.head.base import Head
from forecast.model.base import Model, Parts
from forecast.setting import built, fits, verify, wanted, whole

HERE = Path(__file__).resolve().parent
Names = Sequence[str]
DATA: dict[str, Any] = {  # what each key of conf/data may hold
    "name": str | None, "path": str | None,
    "time": str | Names | None, "id": str | None, "target": Names | None, "joint": bool, "past": Names,
    "future": Names, "static": Names, "categorical": Names, "series": Sequence[str | int] | None, "freq": str | None,
    "season": int | None, "split": Sequence[float | str], "split_each": bool, "train_window": int | None,
    "half_life": float | None, "scaler": str, "pooled": bool, "capacity": str | None,
    "fill": Literal["last", "linear", "season", "zero"], "observed": bool, "calendar": Names | None,
    "holidays": str | None, "latitude": float | None, "min": float | None, "max": float | None,
    "lag": Mapping[str, int] | None, "issued": str | None, "oracle": Names, "delimiter": str | None,
    "decimal": Literal[".", ","] | None,
    "thousands": str | None, "encoding": str | None, "header": int | None, "missing": Sequence[str | float],
    "dates": str | Names | None, "tz": str | None, "stamp": Literal["begin", "end", "count"] | None, "day": str | None,
    "duplicates": Literal["first", "last", "mean"] | None, "resample": Literal["mean", "sum", "repeat"] | None,
    "max_gap": int | None, "memory": int, "start": str | None, "label": Mapping[str, Sequence[str | int]] | None,
}  # fmt: skip
TEXTS: dict[str, Any] = {  # what keys beside the groups may hold
    "anchor": str | None, "issue": str | None, "folder": str | None, "run": str | None, "baselines": str | Names,
}  # fmt: skip
KEEPS = {"none": ("real", "positive", "count"), "capacity": ("real", "positive")}  # scalers; the others shift
SUPPORTS = {
    "positive": ("numbers above 0, to be scaled only", "data.scaler=none or capacity, and normalizer=none or mean"),
    "count": ("whole numbers, to be left as they are", "data.scaler=none and normalizer=none"),
}
CALIBRATIONS = ("split", "cqr", "online")  # what conformal.learnt does, with other numbers
VALUES = ("autoregressive",)  # models that learn from every value and forecast along paths of them
INSTANTIATED = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
RESOLVER = re.compile(r"\$\{[\w.]+:")
ABOVE_ZERO = ("season", "train_window", "half_life", "header")
POSITIVE = ("context", "horizon", "stride")


def names(group: str) -> list[str]:
    """The parts of a group: the files of its folder, and what installed packages offer."""
    return sorted({*files(group), *(point.name for point in entry_points(group=f"forecast.{group}"))})


def files(group: str) -> list[str]:
    """The parts of a group that are files of ours."""
    return [path.stem for path in (HERE / group).glob("[a-z]*.py") if path.stem != "base"]


def kind(group: str, name: Any) -> type:
    """The class of a part: the first that its file defines."""
    if name in files(group):
        module = import_module(f"forecast.{group}.{name}")
        return next(x for x in vars(module).values() if inspect.isclass(x) and x.__module__ == module.__name__)
    if name not in names(group):
        raise Refusal(
            f"{group}={name}: no such part{nearest(str(name), names(group))} ({', '.join(names(group))})", "part"
        )
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


def check(config: Mapping[str, Any]) -> None:
    """Refuses values that can't be right, before any data is read."""
    literal(config, "")
    for key in POSITIVE:
        whole(config, key, 1)
    whole(config, "gap", 0)
    whole(config, "seed", 0)
    for key in ("test_stride", "batch_size", "windows_per_epoch"):
        if config[key] is not None:
            whole(config, key, 1)
    for key, hint in TEXTS.items():
        if not fits(config[key], hint):
            raise Refusal(f"{key}={config[key]}: expected {wanted(hint)}; in quotes a number is text", "config")
    training.check(config)
    chosen(config["baselines"])
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
    head = part("head", config["head"])
    told(config, head)
    calibration(config["calibrate"], head)


def told(config: Mapping[str, Any], head: Head) -> None:
    """Refuses classes of what is neither the change since the last value nor a label, and labels that are changed."""
    data, model, name = config["data"], config["model"], config["head"]["name"]
    if data["label"] is None and not head.classes:
        return
    if model["name"] in VALUES:
        raise Refusal(
            f"model={model['name']} goes on from values, which head={name} does not give: use model=direct", "config"
        )
    found = {"data.scaler": data["scaler"], "normalizer": list(config["normalizer"])}
    found |= {"model.skip": model.get("skip", "none"), "horizon": config["horizon"], "gap": config["gap"]}
    wanted, why = {"normalizer": ["last"], "model.skip": "none"}, f"head={name} tells changes since the last value"
    if data["label"] is not None:
        if data["start"] is None or [len({*map(str, x)}) for x in data["label"].values()] != [len(head.classes)]:
            raise Refusal(
                f"data.label={data['label']}: expected one column and its labels, as many as head=direction has "
                f"classes (head.classes={[*head.classes]}), beside data.start",
                "config",
            )
        wanted = {"data.scaler": "none", "normalizer": ["none"], "model.skip": "none", "horizon": 1, "gap": 0}
        why = "a label is one step after the values, and left as it is"
    for key, value in wanted.items():
        if found[key] != value:
            raise Refusal(f"{key}={found[key]}: {why}; use {key}={value}", "config")


def literal(node: Any, path: str) -> None:
    """Refuses what would name code to call: Hydra's `_target_` and the like, and resolvers, wherever they stand."""
    for key, value in node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ():
        if key in INSTANTIATED:
            raise Refusal(f"{path}{key}={value}: a part is named by its file, never by an import path", "config")
        for text in (key, value):
            if isinstance(text, str) and RESOLVER.search(text):
                raise Refusal(f"{path}{key}={value}: a resolver (${{name:...}}) is not taken as a value", "config")
        literal(value, f"{path}{key}.")


def calibration(config: Mapping[str, Any], head: Head) -> Callable[..., Calibration] | None:
    """What learns a calibration from a forecast table and the deviation of each series; None for calibrate=none.

    Raises Refusal for settings that are unknown or can't be right, and for a head whose forecasts can't be calibrated.
    """
    if not isinstance(config, Mapping) or config.get("name") not in ("none", *CALIBRATIONS):
        raise Refusal(f"calibrate={config}: expected one of none, {', '.join(CALIBRATIONS)}", "part")
    if dict(config) == {"name": "none"}:
        return None
    learn = training.chosen("calibrate", config, dict.fromkeys(CALIBRATIONS, learnt))
    if config["rate"] is not None and not 0 < config["rate"] < 1:
        raise Refusal(f"calibrate.rate={config['rate']}: expected null or a share between 0 and 1", "config")
    ascending(config["levels"], "calibrate.levels")
    if head.classes or (config["around"] == "quantiles" and not head.levels):
        remedy = "use calibrate=none" if head.classes else "use calibrate=split, or calibrate.around=point"
        raise Refusal(f"calibrate={config['name']}: this head has no quantiles to calibrate; {remedy}", "config")
    return learn


def title(config: Mapping[str, Any]) -> str:
    """What a configuration is called in scores and folders: `direct-lstm`, `direct-dilated-gru`, `linear`."""
    name, backbone = config["model"].get("name"), config["backbone"]
    if not getattr(kind("model", name), "recurrent", True):
        return name
    return "-".join([name, *(["dilated"] if backbone.get("dilations") else []), str(backbone.get("name"))])


def model(config: Mapping[str, Any], shape: Shape, scaling: Scaling) -> Model:
    """The model of a configuration, with its backbone, head and normalizers."""
    head = part("head", config["head"])
    normalizers = {name: normalizer(name, settings, shape) for name, settings in config["normalizer"].items()}
    supported(config["head"]["name"], head, normalizers, scaling.kind)
    parts = Parts(
        head=head,
        normalizers=list(normalizers.values()),
        scaling=scaling,
        optimize=training.optimizer(config["optimizer"], config["scheduler"], config["trainer"]["precision"]),
        emphasis=training.emphasis(config["loss"], shape.horizon),
        seed=config["seed"],
    )

    def make_backbone(features: int) -> Stack:
        return backbone(config["backbone"], features)

    return part("model", config["model"], shape, make_backbone, parts)


def restored(config: Mapping[str, Any], shape: Shape, scaling: Scaling, weights: Mapping[str, Tensor]) -> Model:
    """The model of a configuration with weights that were learnt; no random number of the caller is drawn."""
    with alone(config["seed"]):
        made = model(config, shape, scaling)
    made.load_state_dict(weights)
    return made


def supported(name: str, head: Head, normalizers: Mapping[str, Normalizer], kind: str) -> None:
    """Refuses a head whose law does not survive what is done to its targets."""
    done = {f"data.scaler={kind}": KEEPS.get(kind, ("real",))}
    done |= {f"normalizer={key}": each.keeps for key, each in normalizers.items()}
    for what, keeps in done.items():
        if head.support not in keeps:
            law, remedy = SUPPORTS[head.support]
            raise Refusal(f"head={name} is a law of {law}; {what} does more to them: use {remedy}", "config")


def backbone(config: Mapping[str, Any], features: int) -> Stack:
    """Layers of the named part, stacked: the settings of `Stack` are the same for all backbones, the rest the part's.

    Raises Refusal as `part` does.
    """
    shared = list(inspect.signature(Stack).parameters)[2:]
    own = list(inspect.signature(kind("backbone", config.get("name"))).parameters)[1:]
    for key in config.keys() - {"name"}:
        if key not in (*shared, *own):
            hint = nearest(key, [*shared, *own])
            raise Refusal(f"backbone.{key}: '{config['name']}' has no such setting{hint}", "config")
    for key in shared:
        if key not in config:
            remedy = "begin its yaml with `defaults: [shared/stack]`"
            raise Refusal(f"backbone.{key} is missing: every backbone needs it; {remedy}", "config")
    settings = {key: config[key] for key in shared}
    verify("backbone", config["name"], settings, Stack, 2)
    rest = {key: value for key, value in config.items() if key not in shared}

    def make_layer(width: int) -> Layer:
        return part("backbone", rest, width)

    return built(f"backbone={config['name']}", Stack, features, make_layer, **settings)


def normalizer(name: str, settings: Any, shape: Shape) -> Any:
    """A normalizer, whose yaml is its name over its settings."""
    if not isinstance(settings, Mapping) or "name" in settings:
        raise Refusal(f"normalizer.{name}={settings}: expected the settings of '{name}'", "config")
    return part("normalizer", {"name": name, **settings}, shape)


def width(config: Mapping[str, Any]) -> int:
    """Numbers that the head wants for each step and channel."""
    return part("head", config["head"]).width
