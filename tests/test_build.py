"""From yaml to objects: names of files only, no key too many or too few, and every refusal before anything happens."""

import inspect
import math
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
from conftest import QUICK
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from forecast import Forecaster, build, config
from forecast.contract import Scaling, Shape
from forecast.data.synthetic import panel
from forecast.error import Refusal

GROUPS = ("model", "backbone", "head", "normalizer")
SHAPE = Shape(8, 5, 0, channels=1, past=0, future=0, static=0, cardinalities=(3,), season=4, series=2, width=9)
SCALING = Scaling("standard", torch.zeros(2, 1).double(), torch.ones(2, 1).double())


@pytest.fixture(autouse=True, scope="module")
def quick():
    """The installed packages looked through once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(entry_points))
        yield


def settings(group: str, name: str) -> dict:
    """What a yaml says of a part, `name` included."""
    found = yaml.safe_load((config.CONF / group / f"{name}.yaml").read_text())
    return {"name": name, **found[name]} if group == "normalizer" else found


PARTS = [(group, path.stem) for group in GROUPS for path in sorted((config.CONF / group).glob("*.yaml"))]
KEYS = [(group, name, key) for group, name in PARTS for key in settings(group, name) if key != "name"]
every = pytest.mark.parametrize(("group", "name"), PARTS)
everykey = pytest.mark.parametrize(("group", "name", "key"), KEYS)


@cache
def composed() -> dict:
    return config.composed("train", ["trainer.accelerator=cpu"])


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
    net.trainer = build.trainer(wanted, Path("checkpoints"), Path("run"))
    net.configure_optimizers()
    return net


def given(group: str) -> tuple:
    """What `build` gives a part besides its settings."""

    def backbone(features: int) -> nn.Module:
        return build.part("backbone", composed()["backbone"], features)

    head = build.part("head", composed()["head"])
    parts = build.Parts(head, [], SCALING, lambda module: None, 1)
    return {"model": (SHAPE, backbone, parts), "backbone": (3,), "head": (), "normalizer": (SHAPE,)}[group]


def test_the_configuration_as_it_comes_is_assembled():
    assembled(composed())


@pytest.mark.parametrize("group", GROUPS)
def test_each_file_has_its_yaml_and_is_found_by_its_name(group):
    assert build.names(group) == [name for each, name in PARTS if each == group]


@every
def test_the_keys_of_a_yaml_are_the_keyword_only_parameters_of_its_class(group, name):
    made = build.kind(group, name)
    parameters = inspect.signature(made).parameters.values()
    known = [x.name for x in parameters if x.kind is x.KEYWORD_ONLY]
    assert sorted(known) == sorted(settings(group, name).keys() - {"name"})
    assert all(x.default is x.empty and x.kind is not x.VAR_KEYWORD for x in parameters)


@every
def test_a_part_is_the_only_class_of_its_file(group, name):
    made = build.kind(group, name)
    inside = [x for x in vars(sys.modules[made.__module__]).values() if inspect.isclass(x)]
    assert [x for x in inside if x.__module__ == made.__module__] == [made]
    assert isinstance(build.part(group, settings(group, name), *given(group)), made)


@everykey
def test_an_unknown_key_is_refused_by_its_nearest(group, name, key):
    wanted = settings(group, name) | {f"{key[:-1]}": 1}
    with pytest.raises(Refusal, match=f"{group}.{key[:-1]}: '{name}' has no such setting; did you mean '{key}'"):
        build.part(group, wanted, *given(group))


@everykey
def test_a_missing_key_is_refused(group, name, key):
    wanted = settings(group, name)
    del wanted[key]
    with pytest.raises(Refusal, match=f"{group}.{key} is missing"):
        build.part(group, wanted, *given(group))


WRONG = {int: (1.5, True, "1", None, [1]), float: (True, "1.0", None, [1.0]), bool: (1, "true", None), str: (5, None)}


@everykey
def test_an_ill_typed_value_is_refused(group, name, key):
    hint = inspect.signature(build.kind(group, name)).parameters[key].annotation
    for value in (*WRONG.get(hint, ("text",)), {"a": 1}, object()):
        with pytest.raises(Refusal, match=rf"{group}\.{key}=.*: expected "):
            build.part(group, settings(group, name) | {key: value}, *given(group))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("backbone.hidden_size", x) for x in (0, -1)),
        *(("backbone.layers", x) for x in (0, -1)),
        *(("backbone.dropout", x) for x in (2.0, -0.1, float("nan"))),
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
        build.part("backbone", settings("backbone", "lstm") | {"layers": 2, "dropout": value}, 3)


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
    with pytest.raises(Refusal, match=f"{group}={name}x: no such part; did you mean '{name}'") as caught:
        build.part(group, {"name": f"{name}x"}, *given(group))
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
    needs, before = given(group), set(sys.modules)
    for name in NAMES:
        with pytest.raises(Refusal, match="no such part"):
            build.part(group, {"name": name}, *needs)
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
        *((key, (0, -1, 1.0, "1", None, True, [1])) for key in ("context", "horizon", "stride", "batch_size")),
        *((key, (-1, 1.0, "1", None, True)) for key in ("gap", "seed")),
        ("seed", (2**64, 10**30)),
        ("test_stride", (0, -1, 1.0, "1", True)),
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


TABLE = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def test_each_optimizer_of_the_table_has_its_yaml():
    assert sorted(build.OPTIMIZERS) == sorted(path.stem for path in (config.CONF / "optimizer").glob("*.yaml"))


@pytest.mark.parametrize("name", build.OPTIMIZERS)
def test_an_optimizer_is_torchs_own_with_the_settings_of_its_yaml(name):
    wanted = yaml.safe_load((config.CONF / "optimizer" / f"{name}.yaml").read_text())
    net = nn.Linear(3, 2)
    made = build.optimizer(wanted, {"name": "none"})(net)
    assert type(made) is TABLE[name] and made.param_groups[0]["params"] == list(net.parameters())
    assert {key: made.param_groups[0][key] for key in wanted if key != "name"} == {
        key: value for key, value in wanted.items() if key != "name"
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("optimizer.name", x) for x in ("admw", None, "_target_", ["adam"])),
        *(("optimizer.lr", x) for x in (-1.0, "fast", None)),
        *(("scheduler.name", x) for x in ("cosin", None, ["none"])),
        ("optimizer.lrr", 0.1),
        ("scheduler", {"name": "cosine"}),
        *(("scheduler", {"name": "cosine", "lowest": x}) for x in ("low", None, -1.0, [0.1])),
        ("scheduler", {"name": "cosine", "lowest": 0.1, "lowst": 0.1}),
    ],
)
def test_a_bad_optimizer_or_scheduler_is_refused(path, value):
    with pytest.raises(Refusal, match=path.split(".")[0]):
        assembled(changed(path, value))


def test_a_misspelt_setting_of_an_optimizer_is_refused_at_once_by_its_nearest():
    with pytest.raises(Refusal, match=r"optimizer\.momentun.*did you mean 'momentum'"):
        build.optimizer({"name": "sgd", "lr": 0.1, "momentun": 0.9}, {"name": "none"})


def rates(epochs: int, lowest: float) -> list[float]:
    """The learning rate of each epoch under the cosine schedule, from 0.1 on."""
    wanted = changed("scheduler", {"name": "cosine", "lowest": lowest}) | {"optimizer": {"name": "sgd", "lr": 0.1}}
    wanted["trainer"] = {**wanted["trainer"], "max_epochs": epochs}
    net = assembled(wanted)
    made, seen = net.configure_optimizers(), []
    for _ in range(epochs):
        seen.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"].step()
    return seen


@pytest.mark.parametrize("epochs", [2, 5, 10])
def test_the_cosine_falls_from_lr_to_its_lowest_share_after_the_last_epoch(epochs):
    share = [0.01 + 0.99 * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs)]
    assert rates(epochs, 0.01) == pytest.approx([0.1 * x for x in share])


def test_the_cosine_of_a_single_epoch_is_lr():
    assert rates(1, 0.5) == [0.1]


def test_a_cosine_without_a_last_epoch_is_refused():
    wanted = changed("scheduler", {"name": "cosine", "lowest": 0.01})
    wanted["trainer"] |= {"max_epochs": -1, "max_steps": 10}
    with pytest.raises(Refusal, match="scheduler"):
        assembled(wanted)


def test_no_scheduler_keeps_the_rate():
    net = assembled(changed("scheduler", {"name": "none"}))
    assert isinstance(net.configure_optimizers(), torch.optim.Adam)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("trainer.accelerator", x) for x in ("foo", "tpu")),
        *(("trainer.devices", x) for x in (-5, 0, "x")),
        *(("trainer.limit_train_batches", x) for x in (-1, "x", 1.5)),
        *(("trainer.max_epochs", x) for x in (-2, "x")),
        *(("trainer.accumulate_grad_batches", x) for x in (0, "x")),
        ("trainer.strategy", "foo"),
        ("trainer.precision", "foo"),
        ("trainer.gradient_clip_algorithm", "foo"),
        ("trainer.gradient_clip_val", "x"),
        ("trainer.max_steps", -2),
        ("trainer.max_time", "x"),
        ("trainer.check_val_every_n_epoch", 0),
        ("trainer.epochs", 3),
        ("callbacks.checkpoint.mode", "foo"),
        ("callbacks.checkpoint.save_top_k", "x"),
        ("callbacks.checkpoint.folder", "x"),
        ("callbacks.early_stopping.mode", "foo"),
        ("callbacks.early_stopping.patienc", 3),
        ("logger.name", "tensorbord"),
    ],
)
def test_a_trainer_that_cannot_be_is_refused(path, value):
    with pytest.raises(Refusal):
        build.trainer(changed(path, value), Path("checkpoints"), Path("run"))


def test_a_trainer_is_as_its_configuration_says(tmp_path):
    wanted = changed("trainer.max_epochs", 3)
    made = build.trainer(wanted, tmp_path / "checkpoints", tmp_path / "run")
    stopping = made.early_stopping_callback
    assert made.max_epochs == 3 and made.gradient_clip_val == wanted["trainer"]["gradient_clip_val"]
    assert made.checkpoint_callback.dirpath == str(tmp_path / "checkpoints")
    assert isinstance(stopping, EarlyStopping)
    assert stopping.patience == wanted["callbacks"]["early_stopping"]["patience"]
    assert made.logger is not None
    bare = build.trainer(changed("callbacks.early_stopping", None), tmp_path / "checkpoints", None)
    assert bare.early_stopping_callback is None and bare.logger is None
    assert build.trainer(changed("logger.name", "none"), tmp_path, tmp_path / "run").logger is None


CELL = """
from torch import nn
class Helper: ...
class Theirs(nn.Module):
    def __init__(self, features, *, hidden_size: int):
        super().__init__()
        self.net, self.size, self.directions = nn.Linear(features, hidden_size), hidden_size, 1
    def forward(self, x, state): return self.net(x), state
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
    net = build.model(changed("backbone", {"name": "theirs", "hidden_size": 4}), SHAPE, SCALING)
    assert type(net.backbone).__name__ == "Theirs" and net.backbone.size == 4
    with pytest.raises(Refusal, match="did you mean 'hidden_size'"):
        build.part("backbone", {"name": "theirs", "hidden_siz": 4}, 3)
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
