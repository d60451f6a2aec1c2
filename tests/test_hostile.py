"""Forecasters that somebody made up to do harm: each is refused, and nothing of it runs, imports, writes or listens.

Their hashes are right, as an attacker can reckon them too. All are loaded in one process of its own, whose audit hook
writes down what Python is asked to do meanwhile.
"""

import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DIRECT
from safetensors.torch import load, save

from forecast import Ensemble, Forecaster, Refusal
from forecast.artifact import DOCUMENT, WEIGHTS, hashed
from forecast.data.synthetic import panel

Change = Callable[[Path], Any]
QUICK = ["trainer.max_epochs=1", "backbone.hidden_size=8", "logger=none", "trainer.enable_progress_bar=false"]
LOADER = """
import json, os, sys, zoneinfo
from time import perf_counter

import forecast.backbone.gru, safetensors.torch, torch._dynamo
from forecast import Forecaster

sound, canary, folders, faults = json.load(sys.stdin)
for _ in range(2):
    Forecaster.load(sound)
try:
    zoneinfo.ZoneInfo("Mars/Base")  # looks into the package tzdata
except KeyError:
    pass
KINDS = ("exec", "compile", "import", "os.", "subprocess.", "pickle.", "marshal.", "ctypes.", "socket.", "shutil.",
         "tempfile.", "pty.", "webbrowser.", "urllib.", "code.", "sys.addaudithook", "glob.", "mmap.")
ALLOWED = ("os.listdir", "os.scandir")
READABLE = (*map(os.path.realpath, sys.path[1:]), os.path.realpath(os.path.dirname(sound)), *map(str, sys.path[1:]))
seen, watching = [], False

def hook(event, args):
    if not watching:
        return
    if event == "open":
        path, mode, flags = args
        path = os.path.realpath(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
        wrote = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(flags, int) else False
        if wrote or not str(path).startswith(READABLE):
            seen.append(f"open {path} {mode}")
    elif event.startswith(KINDS) and event not in ALLOWED:
        seen.append(f"{event} {args}"[:200])

def peak():  # KiB of this process; getrusage would begin with those of the process that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

from omegaconf import OmegaConf
from forecast import artifact, build, config, document, fitted
OmegaConf.register_new_resolver("run", lambda x: os.system(x))
PLACES = [(artifact, "weights"), (build, "kind"), (config, "completed"), (fitted, "read"), (document.Contents, "sizes")]
sound_code = [(owner, name, getattr(owner, name)) for owner, name in PLACES]
sys.addaudithook(hook)
for folder, fault in zip(folders, faults):
    for owner, name, code in sound_code:
        setattr(owner, name, code)
    if os.path.exists(canary):
        os.remove(canary)
    exec(fault)
    before, started = peak(), perf_counter()
    seen.clear()
    watching = True
    try:
        Forecaster.load(folder)
        said, code = "loaded", None
    except BaseException as error:
        said, code = f"{type(error).__name__}: {error}", getattr(error, "code", None)
    watching = False
    most = peak()
    print(json.dumps([said, code, list(seen), os.path.exists(canary), (most - before) / 1024,
                      perf_counter() - started]), flush=True)
"""


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = str(canary)

    def __reduce__(self):
        return (os.system, (f"touch {self.canary}",))


def forged(folder: Path, change: Callable[[dict[str, Any]], Any], text: Callable[[str], str] = str) -> None:
    """A changed document whose hashes are right again."""
    document = json.loads((folder / DOCUMENT).read_text())
    change(document)
    resigned(folder, document)
    (folder / DOCUMENT).write_text(text((folder / DOCUMENT).read_text()))


def resigned(folder: Path, document: dict[str, Any]) -> None:
    content = (folder / WEIGHTS).read_bytes() if (folder / WEIGHTS).is_file() else b""
    kept = {key: value for key, value in document.items() if key not in ("format", "sha256")}
    hashes = {WEIGHTS: hashlib.sha256(content).hexdigest(), DOCUMENT: hashed(kept)}
    (folder / DOCUMENT).write_text(json.dumps({**document, "sha256": hashes}))


def put(path: str, value: Any) -> Change:
    """Sets one dotted key of the document; `@` is the first key or place."""

    def change(folder: Path) -> None:
        def inner(document: dict[str, Any]) -> None:
            *way, last = path.split("/")
            node: Any = document
            for key in way:
                node = node[int(key) if isinstance(node, list) else key]
            node[int(last) if isinstance(node, list) else last] = value

        forged(folder, inner)

    return change


def drop(key: str) -> Change:
    return lambda folder: forged(folder, lambda document: document.pop(key))


def raw(path: str, number: str) -> Change:
    """A number as text that Python's writer would not write."""

    def change(folder: Path) -> None:
        put(path, "@@")(folder)
        document = json.loads((folder / DOCUMENT).read_text())
        kept = {key: value for key, value in document.items() if key not in ("format", "sha256")}
        document["sha256"][DOCUMENT] = hashlib.sha256(
            json.dumps(kept, sort_keys=True).replace('"@@"', number).encode()
        ).hexdigest()
        (folder / DOCUMENT).write_text(json.dumps(document).replace('"@@"', number))

    return change


def weighed(change: Callable[[dict[str, torch.Tensor]], Any], metadata: dict[str, str] | None = None) -> Change:
    """Other tensors in a file that is sound."""

    def inner(folder: Path) -> None:
        tensors = load((folder / WEIGHTS).read_bytes())
        change(tensors)
        wrote(folder, save(tensors, metadata))

    return inner


def headed(change: Callable[[dict[str, Any]], Any], length: int | None = None, more: bytes = b"") -> Change:
    """Another header over the same bytes; a header as text if `change` gives one."""

    def inner(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        text = change(header)
        text = json.dumps(header).encode() if text is None else text
        wrote(folder, struct.pack("<Q", len(text) if length is None else length) + text + content[8 + size :] + more)

    return inner


def wrote(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    resigned(folder, json.loads((folder / DOCUMENT).read_text()))


def pickled(name: str) -> Change:
    def change(folder: Path) -> None:
        content = pickle.dumps(Payload(folder.parent / "canary"))
        wrote(folder, content) if name == WEIGHTS else (folder / name).write_bytes(content)

    return change


def checkpoint(folder: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"weight": Payload(folder.parent / "canary")}, buffer)
    wrote(folder, buffer.getvalue())


def link(name: str) -> Change:
    """A file that lies elsewhere, and is sound there."""

    def change(folder: Path) -> None:
        elsewhere = folder.parent / f"elsewhere-{folder.name}"
        elsewhere.mkdir()
        (folder / name).rename(elsewhere / name)
        (folder / name).symlink_to(elsewhere / name)

    return change


def linked_folder(folder: Path) -> None:
    elsewhere = folder.parent / f"elsewhere-{folder.name}"
    folder.rename(elsewhere)
    folder.mkdir()
    (folder / "forecaster").symlink_to(elsewhere)


def pipe(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def device(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("/dev/zero")


def folder_as_file(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()


def sparse(name: str, size: int) -> Change:
    def change(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(size)

    return change


def evil_part(folder: Path) -> None:
    """A Python file where a name with dots would lead."""
    evil = folder.parent / "evil.py"
    evil.write_text(f"open({str(folder.parent / 'canary')!r}, 'w')\nclass Evil: pass\n")
    put("config/backbone/name", os.path.relpath(evil.with_suffix(""), Path(__file__).parents[1] / "forecast/backbone"))(
        folder
    )


def yaml_document(folder: Path) -> None:
    (folder / DOCUMENT).write_text(f"!!python/object/apply:os.system ['touch {folder.parent / 'canary'}']\n")


def deep(path: str) -> Change:
    return raw(path, "[" * 100_000 + "]" * 100_000)


def twice(folder: Path) -> None:
    text = (folder / DOCUMENT).read_text().strip().removesuffix("}")
    (folder / DOCUMENT).write_text(f'{text}, "config": {{"_target_": "os.system"}}}}')


TARGET = {"_target_": "os.system", "command": "touch canary"}
HOSTILE: dict[str, Change] = {
    "weights: a pickle": pickled(WEIGHTS),
    "weights: a checkpoint of torch": checkpoint,
    "weights: empty": lambda folder: wrote(folder, b""),
    "weights: header of 2^63 bytes": headed(lambda _: None, 2**63),
    "weights: header of 2^64-1 bytes": headed(lambda _: None, 2**64 - 1),
    "weights: header longer than the file": headed(lambda _: None, 90_000_000),
    "weights: header of length 0": headed(lambda _: None, 0),
    "weights: header is no JSON": headed(lambda _: b"\x80\x04K\x01."),
    "weights: header nests deep": headed(lambda _: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "weights: offsets overlap": headed(lambda x: [y.update(data_offsets=[0, 1024]) for y in x.values()] and None),
    "weights: a name twice": headed(lambda x: (json.dumps(x)[:-1] + "," + json.dumps(x)[1:]).encode()),
    "weights: bytes behind the last tensor": headed(lambda _: None, more=b"\x80\x04K\x01."),
    "weights: a shape of 2^62": headed(lambda x: x["decode.3.weight"].update(shape=[2**62, 4])),
    "weights: a shape below 0": headed(lambda x: x["decode.3.weight"].update(shape=[-1, 128])),
    "weights: a shape turned": headed(lambda x: x["decode.3.weight"]["shape"].reverse()),
    "weights: another type": headed(lambda x: x["decode.3.weight"].update(dtype="F64")),
    "weights: another type of this size": headed(lambda x: x["decode.3.weight"].update(dtype="I32")),
    "weights: a type of this size in all": headed(lambda x: [y.update(dtype="I32") for y in x.values()] and None),
    "weights: one more": weighed(lambda x: x.update(more=torch.zeros(1))),
    "weights: one less": weighed(lambda x: x.pop("decode.3.weight")),
    "weights: a name that is a path": weighed(lambda x: x.update({"../../evil": x.pop("decode.3.weight")})),
    "weights: NaN": weighed(lambda x: x["decode.3.weight"].fill_(torch.nan)),
    "weights: infinite": weighed(lambda x: x["decode.3.bias"].fill_(torch.inf)),
    "weights: metadata": weighed(lambda _: None, {"_target_": "os.system"}),
    "weights: none": lambda folder: (folder / WEIGHTS).unlink(),
    "weights: a link": link(WEIGHTS),
    "weights: a device": device,
    "weights: a pipe": pipe(WEIGHTS),
    "weights: a folder": folder_as_file,
    "weights: a terabyte of nothing": sparse(WEIGHTS, 1 << 40),
    "document: a pickle": pickled(DOCUMENT),
    "document: a link": link(DOCUMENT),
    "document: a pipe": pipe(DOCUMENT),
    "document: yaml with a tag": yaml_document,
    "document: a terabyte of nothing": sparse(DOCUMENT, 1 << 40),
    "document: a key twice": twice,
    "document: nests deep": deep("record/deep"),
    "run: forecaster is a link": linked_folder,
    "format: newer": put("format", 99),
    "format: 0": put("format", 0),
    "format: below 0": put("format", -1),
    "format: text": put("format", "2"),
    "format: true": put("format", True),
    "format: a list": put("format", [2]),
    "target: on top": put("_target_", "os.system"),
    "target: in the configuration": put("config/_target_", "os.system"),
    "target: in a part": put("config/backbone/_target_", "torch.hub.load"),
    "target: in a nested part": put("config/trainer/callbacks", [TARGET]),
    "target: in a normalizer": put("config/normalizer/none", TARGET),
    "target: deep in a list": put("config/data/past", [[[TARGET]]]),
    "target: in metadata": put("record/data", TARGET),
    "target: in the layout": put("layout/clock", {"freq": "h", **TARGET}),
    "target: in statistics": put("statistics/columns", {"a": TARGET}),
    "target: in calibration": put("calibration", TARGET),
    "target: partial": put("config/optimizer/_partial_", True),
    "yaml: a tag as name": put("config/model/name", "!!python/object/apply:os.system [id]"),
    "resolver: environment": put("config/data/path", "${oc.env:HOME}"),
    "resolver: of hydra": put("config/folder", "${hydra:runtime.cwd}"),
    "resolver: in a name": put("config/backbone/name", "${oc.env:BACKBONE,lstm}"),
    "resolver: in a list": put("config/data/target", ["${oc.decode:y}"]),
    "resolver: in a key": put("config/data/lag", {"${oc.env:HOME}": 1}),
    "resolver: nested": put("config/data/id", "${oc.${x:env}:HOME}"),
    "resolver: in metadata": put("record/note", "${oc.env:HOME}"),
    "interpolation as a size": put("config/backbone/hidden_size", "${horizon}"),
    "name: a path": evil_part,
    "name: an absolute path": put("config/backbone/name", "/evil"),
    "name: a call": put("config/backbone/name", "os.system"),
    "name: a module of ours": put("config/backbone/name", "forecast.backbone.lstm"),
    "name: the base of parts": put("config/backbone/name", "base"),
    "name: what parts share": put("config/backbone/name", "_scan"),
    "name: the package": put("config/backbone/name", "__init__"),
    "name: of another group": put("config/backbone/name", "../model/direct"),
    "name: with a zero byte": put("config/backbone/name", "lstm\x00.evil"),
    "name: look-alike letters": put("config/backbone/name", "lѕtm"),
    "name: none": put("config/backbone/name", None),
    "name: a list": put("config/backbone/name", ["lstm"]),
    "name: of a model": put("config/model/name", "..base"),
    "name: of a head": put("config/head/name", "posix.system"),
    "name: of a normalizer": put("config/normalizer", {"../evil": {}}),
    "name: of an optimizer": put("config/optimizer/name", "torch.load"),
    "name: of a schedule": put("config/scheduler/name", "__import__"),
    "name: of a logger": put("config/logger/name", "wandb"),
    "name: of a scaler": put("statistics/kind", "pickle"),
    "name: of a calibration": put("config/calibrate", {"name": "os.system"}),
    "name: of a baseline": put("config/baselines", ["os.system"]),
    "part: another one": put("config/backbone/name", "gru"),
    "part: a setting it has not": put("config/backbone/evil", 1),
    "size: 10^12": put("config/backbone/hidden_size", 10**12),
    "size: a million": put("config/backbone/hidden_size", 10**6),
    "size: of 200 digits": raw("config/backbone/hidden_size", "9" * 200),
    "size: of 10000 digits": raw("config/backbone/hidden_size", "9" * 10_000),
    "size: NaN": raw("config/backbone/hidden_size", "NaN"),
    "size: infinite": raw("config/backbone/hidden_size", "Infinity"),
    "size: 1e999": raw("config/backbone/hidden_size", "1e999"),
    "size: 8.0": put("config/backbone/hidden_size", 8.0),
    "size: below 0": put("config/backbone/hidden_size", -8),
    "size: 0": put("config/backbone/hidden_size", 0),
    "size: true": put("config/backbone/hidden_size", True),
    "size: text": put("config/backbone/hidden_size", "8"),
    "size: another": put("config/backbone/hidden_size", 9),
    "size: 10^9 layers": put("config/backbone/layers", 10**9),
    "size: a million layers": put("config/backbone/layers", 10**6),
    "size: a horizon of 10^12": put("config/horizon", 10**12),
    "size: a horizon of 10^8": put("config/horizon", 10**8),
    "size: a context of 10^12": put("config/context", 10**12),
    "size: a hidden layer of 10^12": put("config/model/hidden", 10**12),
    "shape: a horizon of 10^12": put("shape/horizon", 10**12),
    "shape: NaN": raw("shape/future", "NaN"),
    "shape: below 0": put("shape/future", -1),
    "shape: 8.0": put("shape/future", 8.0),
    "shape: true": put("shape/channels", True),
    "shape: 10^12 covariates": put("shape/future", 10**12),
    "shape: 10^12 series": put("shape/series", 10**12),
    "shape: 10^12 categories": put("shape/cardinalities", [10**12]),
    "shape: a key less": lambda folder: forged(folder, lambda x: x["shape"].pop("width")),
    "shape: a key more": put("shape/evil", 1),
    "layout: other channels": lambda folder: forged(folder, lambda x: x["layout"].update(target=["a"] * 2, joint=True)),
    "layout: columns of another type": put("layout/target", [1]),
    "clock: a frequency that is none": put("layout/clock/freq", "__import__('os')"),
    "clock: a time zone that is a path": put("layout/clock/tz", "../../../../etc/passwd"),
    "clock: a time zone that is a file": put("layout/clock/tz", "dateutil//etc/passwd"),
    "clock: a time zone that is none": put("layout/clock/tz", "Mars/Base"),
    "statistics: another size": put("statistics/loc", [[0.0]]),
    "statistics: ragged": put("statistics/loc", [[0.0], [0.0, 1.0], []]),
    "statistics: text": put("statistics/loc", [["a"], ["b"], ["c"]]),
    "statistics: a scale of 0": put("statistics/scale/1", [0.0]),
    "statistics: a scale below 0": put("statistics/scale/1", [-1.0]),
    "statistics: no scale": put("statistics/scale/1", [None]),
    "statistics: a season of 0": put("statistics/season", 0),
    "statistics: a season of 1.5": put("statistics/season", 1.5),
    "statistics: filled by a call": put("statistics/fill", "os.system"),
    "borders: text": put("borders", ["a", "b", "c"]),
    "borders: two": put("borders", [1, 2]),
    "borders: a mapping": put("borders", {"a": 1}),
    "calibration: text": put("calibration", "offsets"),
    "calibration: a key": put("calibration", {"around": "point"}),
    **{f"without {key}": drop(key) for key in ("config", "layout", "statistics", "borders", "shape", "record")},
    "without hashes": lambda folder: (folder / DOCUMENT).write_text(
        json.dumps({**json.loads((folder / DOCUMENT).read_text()), "sha256": {}})
    ),
}

HARMLESS: dict[str, Change] = {  # what they name is looked at when somebody asks for these data, and never by loading
    "a secret file as data": put("config/data/path", "/etc/passwd"),
    "a pipe as data": put("config/data/path", "/dev/stdin"),
    "an interpolation as name": put("config/data/id", "${seed}"),
    "a folder of runs": put("config/folder", "/etc"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A forecaster of two series."""
    frame = panel(series=2, rows=300, freq="h", seed=1)
    overrides = [*DIRECT, *QUICK, "data.id=unique_id", "data.time=ds", "data.target=[y]"]
    overrides += ["data.calendar=[hour,weekday,month,dayofyear]"]  # columns enough for a planted size to be felt
    made = Forecaster(context=24, horizon=6, overrides=overrides).fit(frame)
    made.save(folder := tmp_path_factory.mktemp("hostile") / "sound")
    return folder


@pytest.fixture(scope="module")
def results(sound) -> dict[str, list[Any]]:
    """What became of each: what was said, its code, what was seen, whether the canary sings, MiB and seconds."""
    planted = {name: (HOSTILE | PLANTED)[which] for name, (which, _) in FAULTS.items()}
    changes, folders = [*HOSTILE.values(), *HARMLESS.values(), *planted.values()], list[str]()
    for number, change in enumerate(changes):
        folder = sound.parent / str(number)
        folder.mkdir()
        folders.append(str(folder))
        for name in (WEIGHTS, DOCUMENT):
            (folder / name).write_bytes((sound / name).read_bytes())
        change(folder)
    faults = [*[""] * (len(HOSTILE) + len(HARMLESS)), *(code for _, code in FAULTS.values())]
    given = json.dumps([str(sound), str(sound.parent / "canary"), folders, faults])
    done = subprocess.run([sys.executable, "-c", LOADER], input=given, capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(changes), f"{len(lines)} of {len(changes)} were tried: {done.stderr[-3000:]}"
    hostile = lines[: len(HOSTILE)]
    refused = sum(said.startswith("Refusal") for said, *_ in hostile)
    executed = sum(bool(seen) or sings for _, _, seen, sings, *_ in hostile)
    print(f"\n{len(hostile)} hostile forecasters tried, {refused} refused, {executed} executed")
    return dict(zip([*HOSTILE, *HARMLESS, *FAULTS], lines, strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_forecaster_is_refused_and_nothing_of_it_runs(results, name):
    said, code, seen, sings, grown, seconds = results[name]
    assert said.startswith("Refusal") and code
    assert seen == [] and not sings
    assert grown < 100 and seconds < 5, f"{grown:.0f} MiB more, {seconds:.1f} s"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_configuration_names_is_not_opened_by_loading(results, name):
    said, _, seen, sings, *_ = results[name]
    assert said == "loaded" and seen == [] and not sings


ENSEMBLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a member elsewhere": lambda x: x.update(members={"../other": x["members"]["1"]}),
    "an absolute member": lambda x: x.update(members={"/tmp": x["members"]["1"]}),
    "a member of no number": lambda x: x.update(members={"1": x["members"]["1"], "..": x["members"]["1"]}),
    "a way that is a call": lambda x: x.update(how="os.system"),
    "weights as text": lambda x: x.update(weights=["1"]),
    "weights of others": lambda x: x.update(weights=[0.5, 0.5]),
    "members as a list": lambda x: x.update(members=["1"]),
}


def grouped(sound: Path, folder: Path, change: Callable[[dict[str, Any]], Any] = bool) -> Path:
    """A saved ensemble of one whose document was changed and signed again."""
    Ensemble([Forecaster.load(sound)]).save(folder)
    document = json.loads((folder / "ensemble.json").read_text())
    change(document)
    kept = {key: value for key, value in document.items() if key not in ("format", "sha256")}
    (folder / "ensemble.json").write_text(json.dumps({**document, "sha256": hashed(kept)}))
    return folder


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_hostile_ensemble_is_refused(sound, tmp_path, name):
    assert Ensemble.load(grouped(sound, tmp_path / "sound")).how == "mean"
    Forecaster.load(sound).save(tmp_path / "other")
    with pytest.raises(Refusal):
        Ensemble.load(grouped(sound, tmp_path / "hostile", ENSEMBLES[name]))


def test_a_member_that_is_a_link_is_refused(sound, tmp_path):
    folder = grouped(sound, tmp_path / "hostile")
    (folder / "1").rename(tmp_path / "elsewhere")
    (folder / "1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="link"):
        Ensemble.load(folder)


FAULTS = {  # that a loader might have: which forecaster it falls for, and the code
    "unpickles weights": (
        "weights: a pickle",
        "import pickle\nartifact.weights = lambda at, *_: pickle.loads((at / 'model.safetensors').read_bytes())",
    ),
    "trusts checkpoints": (
        "weights: a checkpoint of torch",
        "import torch\nartifact.weights = lambda at, *_: torch.load(at / 'model.safetensors', weights_only=False)",
    ),
    "resolves": (
        "resolver: of a program",
        "config.completed = lambda x: OmegaConf.to_container(OmegaConf.create(x), resolve=True)",
    ),
    "imports by name": (
        "name: of a module",
        "import importlib\nwas = build.kind\n"
        "build.kind = lambda group, x: importlib.import_module(x) if x == 'this' else was(group, x)",
    ),
    "opens data": (
        "data elsewhere",
        "was = fitted.read\nfitted.read = lambda x: (open(x['config']['data']['path']), was(x))[1]",
    ),
    "believes sizes": (
        "size: too large",
        "document.Contents.sizes = lambda x: build.model(x.config, x.shape, x.statistics.scaling).state_dict()",
    ),
}
PLANTED: dict[str, Change] = {
    "resolver: of a program": lambda folder: put("config/folder", f"${{run:'touch {folder.parent / 'canary'}'}}")(
        folder
    ),
    "name: of a module": put("config/backbone/name", "this"),
    "data elsewhere": put("config/data/path", "/etc/hostname"),
    "size: too large": put("config/model/hidden", 1_000_000),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_loader_with_a_fault_would_be_caught(results, fault):
    with pytest.raises(AssertionError):
        test_a_hostile_forecaster_is_refused_and_nothing_of_it_runs(results, fault)
