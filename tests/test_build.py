"""From yaml to objects: names of files only, no key too many or too few, and every refusal before anything happens."""

import inspect
import sys
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import lightning
import pytest
import torch
import yaml
from conftest import DIRECT, QUICK
from torch import nn

from forecast import Forecaster, build, config, training
from forecast.cli import main
from forecast.contract import Scaling, Shape
from forecast.data.synthetic import panel
from forecast.error import Refusal

GROUPS = ("model", "backbone", "head", "normalizer")
SHAPE = Shape(48, 24, 0, channels=1, past=0, future=0, static=0, cardinalities=(3,), season=4, series=2, width=9)
SCALING = Scaling("standard", torch.zeros(2, 1).double(), torch.ones(2, 1).double())


@pytest.fixture(autouse=True, scope="module")
def quick():
    """The installed packages looked through once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(entry_points))
        yield


@cache
def stacked(name: str) -> dict:
    return config.composed("train", [f"backbone={name}"])["backbone"]


def settings(group: str, name: str) -> dict:
    """What a yaml says of a part, `name` included."""
    if group == "backbone":
        return dict(stacked(name))
    found = yaml.safe_load((config.CONF / group / f"{name}.yaml").read_text())
    return {"name": name, **found[name]} if group == "normalizer" else found


PARTS = [(group, path.stem) for group in GROUPS for path in sorted((config.CONF / group).glob("*.yaml"))]
KEYS = [(group, name, key) for group, name in PARTS for key in settings(group, name) if key != "name"]
every = pytest.mark.parametrize(("group", "name"), PARTS)
everylayer = pytest.mark.parametrize("name", build.names("backbone"))
everykey = pytest.mark.parametrize(("group", "name", "key"), KEYS)


@cache
def composed() -> dict:
    return config.composed("train", [*DIRECT, "trainer.accelerator=cpu"])


def changed(path: str, value: object) -> dict:
    """The configuration of `train` with one key changed or added, by its dotted path."""
    found = deepcopy(composed())
    *parents, key = path.split(".")
    node = found
    for parent in parents:
        node = node[parent]
    node[key] = value
    return found


def assembled(wanted: dict) -> lightning.LightningModule:
    """Everything that `build` makes of a configuration."""
    build.check(wanted)
    net = build.model(wanted, SHAPE, SCALING)
    net.trainer = training.trainer(wanted, Path("checkpoints"), Path("run"))
    net.configure_optimizers()
    return net


def made(group: str, wanted: dict) -> Any:
    """A part, or a backbone of it, as `build` makes it."""
    return build.backbone(wanted, 3) if group == "backbone" else build.part(group, wanted, *given(group))


def parameters(group: str, name: str) -> dict[str, inspect.Parameter]:
    """What a part may be set: the parameters of its class; a layer's and those of the stack for a backbone."""
    classes = [build.kind(group, settings(group, name)["name"])] + [build.Stack] * (group == "backbone")
    return {key: x for each in classes for key, x in inspect.signature(each).parameters.items()}


def given(group: str) -> tuple:
    """What `build` gives a part besides its settings."""

    def backbone(features: int) -> nn.Module:
        return build.backbone(composed()["backbone"], features)

    head = build.part("head", composed()["head"])
    parts = build.Parts(head, [], SCALING, lambda module: None, training.emphasis(composed()["loss"], SHAPE.horizon), 1)
    return {"model": (SHAPE, backbone, parts), "backbone": (), "head": (), "normalizer": (SHAPE,)}[group]


def test_the_configuration_as_it_comes_is_assembled():
    assembled(composed())


@pytest.mark.parametrize("group", GROUPS)
def test_each_file_has_its_yaml_and_is_found_by_its_name(group):
    named = {name: settings(group, name)["name"] for each, name in PARTS if each == group}
    assert build.names(group) == sorted(set(named.values()))
    assert all(named[name] == name for name in build.names(group))  # the others are presets of these


@every
def test_the_keys_of_a_yaml_are_the_keyword_only_parameters_of_its_class(group, name):
    found = parameters(group, name).values()
    known = [x.name for x in found if x.kind is x.KEYWORD_ONLY]
    assert sorted(known) == sorted(settings(group, name).keys() - {"name"})
    assert all(x.default is x.empty and x.kind is not x.VAR_KEYWORD for x in found)


@everylayer
def test_a_layer_and_the_stack_share_no_setting(name):
    own, shared = (set(inspect.signature(each).parameters) for each in (build.kind("backbone", name), build.Stack))
    assert own & shared == {"features"}


@every
def test_a_part_is_the_first_class_of_its_file_and_called_as_it_is(group, name):
    first = build.kind(group, settings(group, name)["name"])
    inside = [x for x in vars(sys.modules[first.__module__]).values() if inspect.isclass(x)]
    assert next(x for x in inside if x.__module__ == first.__module__) is first
    file = first.__module__.rpartition(".")[2].replace("_", "")
    assert first.__name__.lower() == file or file == "none"
    part = made(group, settings(group, name))
    assert isinstance(part.layers[0] if group == "backbone" else part, first)


@everykey
def test_an_unknown_key_is_refused_by_its_nearest(group, name, key):
    wanted = settings(group, name)
    hint = f"{group}.{key[:-1]}: '{wanted['name']}' has no such setting; did you mean '{key}'"
    with pytest.raises(Refusal, match=hint):
        made(group, wanted | {key[:-1]: 1})


@everykey
def test_a_missing_key_is_refused(group, name, key):
    wanted = settings(group, name)
    del wanted[key]
    with pytest.raises(Refusal, match=f"{group}.{key} is missing"):
        made(group, wanted)


def test_a_backbones_yaml_without_what_all_share_is_told_how_to_get_it():
    with pytest.raises(Refusal, match=r"defaults: \[shared/stack\]"):
        build.backbone({"name": "mingru", "hidden_size": 4}, 3)


def test_a_backbone_of_ones_own_folder_has_what_all_share(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine" / "backbone").mkdir(parents=True)
    (tmp_path / "mine/backbone/wide.yaml").write_text("defaults: [shared/stack]\nname: mingru\nhidden_size: 100\n")
    (tmp_path / "mine/backbone/deep.yaml").write_text("defaults: [gru, _self_]\nlayers: 3\nresidual: true\n")
    expected = {
        "wide": settings("backbone", "mingru") | {"hidden_size": 100, "norm": True},
        "deep": settings("backbone", "gru") | {"layers": 3, "residual": True, "norm": True},
    }
    for name, wanted in expected.items():
        words = ["--config-dir", "mine", f"backbone={name}", "backbone.norm=true", "--cfg", "job"]
        monkeypatch.setattr(sys, "argv", ["forecast", "train", *words])
        assert main() == 0
        found = yaml.safe_load(capfd.readouterr().out)["backbone"]
        assert found == wanted and build.backbone(found, 3).size == wanted["hidden_size"]


WRONG = {int: (1.5, True, "1", None, [1]), float: (True, "1.0", None, [1.0]), bool: (1, "true", None), str: (5, None)}


@everykey
def test_an_ill_typed_value_is_refused(group, name, key):
    hint = parameters(group, name)[key].annotation
    for value in (*WRONG.get(hint, ("text",)), {"a": 1}, object()):
        with pytest.raises(Refusal, match=rf"{group}\.{key}=.*: expected "):
            made(group, settings(group, name) | {key: value})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("backbone.hidden_size", x) for x in (0, -1)),
        *(("backbone.layers", x) for x in (0, -1)),
        *((f"backbone.{key}", x) for key in ("dropout", "zoneout") for x in (2.0, -0.1, float("nan"))),
        *(("backbone.dilations", x) for x in ([], [0], [1, 2])),
        *(("backbone", settings("backbone", name) | {"hidden_size": 0}) for name in build.names("backbone")),
        *(("backbone", settings("backbone", "slstm") | {"heads": x}) for x in (0, -1, 3, 65)),
        ("model.hidden", -1),
        *(("model.dropout", x) for x in (2.0, -0.1)),
        ("model.embedding", -1),
        *(("head.levels", x) for x in ([], [0.9, 0.5], [0.0, 0.5], [0.1, 0.2])),
        ("head", {"name": "point", "loss": "rmse"}),
        ("backbone", settings("backbone", "rnn") | {"nonlinearity": "sine"}),
    ],
)
def test_an_impossible_value_is_refused(path, value):
    with pytest.raises(Refusal, match=f"^{path.split('.')[0]}"):
        build.model(changed(path, value), SHAPE, SCALING)


@pytest.mark.parametrize("value", [2.0, -0.1])
def test_an_impossible_dropout_is_refused_between_layers_too(value):
    with pytest.raises(Refusal, match="dropout"):
        build.backbone(settings("backbone", "lstm") | {"layers": 2, "dropout": value}, 3)


def test_dilations_that_are_not_one_a_layer_are_refused_with_both_numbers():
    with pytest.raises(Refusal, match=r"\[1, 2, 4\] has 3 numbers for layers=2"):
        build.backbone(settings("backbone", "lstm") | {"layers": 2, "dilations": [1, 2, 4]}, 3)


FITTING = [(3, int), (3, float), (3.5, float), (True, bool), ("a", str), (None, float | None), (2, float | None)]
FITTING += [([0.1, 1], Sequence[float]), ((0.1,), Sequence[float]), ([], list[float]), (["a"], list[str])]
OTHERS = [(3.0, int), (True, int), (True, float), (1, bool), ("3", int), (None, float), ("a", float | None), (5, str)]
OTHERS += [(["a"], Sequence[float]), ("ab", Sequence[str]), ([True], list[int]), (3, list[int]), ({"a": 1}, list[str])]
FITTING += [("a", Literal["a", "b"]), (None, Any), ([1], list[int] | str | int), ("auto", list[int] | str | int)]
OTHERS += [("c", Literal["a", "b"]), (1.5, list[int] | str | int)]


@pytest.mark.parametrize(("pairs", "expected"), [(FITTING, True), (OTHERS, False)])
def test_a_yaml_value_fits_its_annotation_or_not(pairs, expected):
    assert [pair for pair in pairs if build.fits(*pair) is not expected] == []


@every
def test_an_unknown_part_is_refused_by_its_nearest(group, name):
    name = settings(group, name)["name"]
    with pytest.raises(Refusal, match=f"{group}={name}x: no such part; did you mean '{name}'") as caught:
        made(group, {"name": f"{name}x"})
    assert all(each in str(caught.value) for each in build.names(group))


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A file that appears when the module `evil`, which lies on the path, is imported or called."""
    mark = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\ndef call(*args, **settings): ...\nclass Evil: ..."
    (tmp_path / "evil.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    sys.modules.pop("evil", None)


def test_the_trap_for_imports_works(ran):
    __import__("evil")
    assert ran.exists()


NAMES = ["evil", "evil.call", "evil:Evil", "os", "os.system", "../../x", "../../evil", "base", "__init__", "", None, 5]
NAMES += [["lstm"], {"_target_": "evil.call"}, "forecast.evil", "forecast.head.quantile", "Lstm", "lstm.py", "lstm\n"]


@pytest.mark.parametrize("group", GROUPS)
def test_a_name_that_is_no_file_of_the_folder_is_refused_and_nothing_is_imported(ran, group):
    given(group)  # imports what those of the default configuration need
    before = set(sys.modules)
    for name in NAMES:
        with pytest.raises(Refusal, match="no such part"):
            made(group, {"name": name})
    assert not ran.exists() and set(sys.modules) == before


def groups(node: object, path: str = "") -> list[str]:
    """The dotted paths of all mappings of a configuration."""
    if not isinstance(node, dict):
        return []
    return [path, *(x for key, value in node.items() for x in groups(value, f"{path}.{key}".lstrip(".")))]


@pytest.mark.parametrize("path", groups(composed()))
def test_a_target_anywhere_is_refused_and_nothing_runs(ran, path):
    with pytest.raises(Refusal, match="_target_"):
        assembled(changed(f"{path}._target_".lstrip("."), "evil.call"))
    assert not ran.exists() and "evil" not in sys.modules


@pytest.mark.parametrize(
    ("key", "values"),
    [
        *((key, (0, -1, 1.0, "1", None, True, [1])) for key in ("context", "horizon", "stride")),
        *((key, (-1, 1.0, "1", None, True)) for key in ("gap", "seed")),
        ("seed", (2**64, 10**30)),
        *((key, (0, -1, 1.0, "1", True)) for key in ("test_stride", "batch_size", "windows_per_epoch")),
        ("trainer.precision", ("bf16-true", "16-true", "transformer-engine", "transformer-engine-float16", "half")),
        *((f"data.{key}", ("a", None, 5, {"a": 1})) for key in ("past", "future", "static", "split")),
        ("data.target", ("price", 5)),
        *(("model.name", (x,)) for x in ("dirct", None, 5)),
        *(("backbone.name", (x,)) for x in ("lstn", None, "os")),
        ("head.name", ("quantil", None, "base")),
        ("normalizer", ({"lst": {}}, {"os": {}}, 5, "last")),
    ],
)
def test_a_bad_value_is_refused_before_any_data_is_read(key, values):
    for value in values:
        with pytest.raises(Refusal, match=key.split(".")[0]):
            build.check(changed(key, value))


@pytest.mark.parametrize("key", ["context", "gap", "seed", "test_stride"])
def test_a_good_value_is_not_refused(key):
    for value in (1, 500):
        build.check(changed(key, value))
    build.check(changed("test_stride", None))


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_a_precision_is_refused_or_trains(precision):
    with suppress(Refusal):
        made = Forecaster(context=8, horizon=2, overrides=[*QUICK, f"trainer.precision={precision}"])
        made.fit(panel(series=1, rows=120, freq="h", seed=1))


@pytest.mark.parametrize("value", [5, "x", [1], {"name": "last"}, {"windw": 3}])
def test_settings_of_a_normalizer_that_it_does_not_know_are_refused(value):
    with pytest.raises(Refusal, match="standard"):
        build.model(changed("normalizer", {"standard": value}), SHAPE, SCALING)


CELL = """
from torch import nn
class Helper: ...
class Theirs(nn.Module):
    def __init__(self, features, *, hidden_size: int):
        super().__init__()
        self.net, self.size = nn.Linear(features, hidden_size), hidden_size
    def forward(self, x, state): return self.net(x), state
    def step(self, x, state): return self.net(x), state
    def initial(self, b): return ()
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of somebody else, as pip leaves it: its module, and its entry points in a dist-info folder."""
    (tmp_path / "their_cells.py").write_text(CELL)
    info = tmp_path / "their_cells-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-cells\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[forecast.backbone]\ntheirs = their_cells:Theirs\nlstm = their_cells:Theirs\n"
        "[forecast.cell]\nhidden = their_cells:Theirs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(build, "entry_points", entry_points)
    yield
    sys.modules.pop("their_cells", None)


def test_a_part_of_an_installed_package_is_found_and_forecasts(installed):
    assert "theirs" in build.names("backbone") and "theirs" not in build.names("head")
    assert "their_cells" not in sys.modules  # listing imports nothing
    shared = {key: stacked("lstm")[key] for key in stacked("mingru")}
    wanted = shared | {"name": "theirs", "hidden_size": 4, "layers": 2, "dilations": [1, 3]}
    net = build.model(changed("backbone", wanted), SHAPE, SCALING).backbone
    assert type(net.layers[0]).__name__ == "Theirs" and net.size == 4
    out, state = net(torch.ones(2, 7, SHAPE.features), net.initial(2))
    assert out.shape == (2, 7, 4) and state == ()
    with pytest.raises(Refusal, match="did you mean 'hidden_size'"):
        build.backbone({"name": "theirs", "hidden_siz": 4}, 3)
    with pytest.raises(Refusal, match="no state"):
        build.backbone(wanted | {"zoneout": 0.1}, 3)
    with pytest.raises(Refusal, match="did you mean 'theirs'"):
        build.kind("backbone", "their")
    with pytest.raises(Refusal, match="no such part"):
        build.kind("backbone", "hidden")


def test_a_part_of_an_installed_package_does_not_replace_one_of_ours(installed):
    assert build.names("backbone").count("lstm") == 1
    assert build.kind("backbone", "lstm").__module__ == "forecast.backbone.lstm"


def test_without_the_package_its_part_is_unknown():
    with pytest.raises(Refusal, match="no such part"):
        build.kind("backbone", "theirs")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "segment-gru"),
        (["model=linear"], "linear"),
        (["model=direct", "backbone=dilated"], "direct-dilated-gru"),
        (["model=seq2seq", "backbone=slstm", "backbone.layers=2", "backbone.dilations=[1,2]"], "seq2seq-dilated-slstm"),
    ],
)
def test_a_run_is_called_by_what_it_is_made_of(words, expected):
    assert build.title(config.composed("train", words)) == expected
