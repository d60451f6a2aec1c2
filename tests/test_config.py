"""Composing the yaml tree: plain types, every character kept, a typo answered with the nearest key, from any place."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import forecast
from forecast import config
from forecast.error import Refusal

ROOT = Path(forecast.__file__).parents[1]
COMMANDS = sorted(path.stem for path in (ROOT / "forecast" / "command").glob("[a-z]*.py"))
QUICK = settings(max_examples=40, deadline=None)


def leaves(node: object) -> list[object]:
    if isinstance(node, dict):
        return [x for key, value in node.items() for x in (key, *leaves(value))]
    return [x for value in node for x in leaves(value)] if isinstance(node, list) else [node]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_to_plain_types(command):
    found = config.composed(command)
    assert type(found) is dict and "hydra" not in found
    assert {type(x) for x in leaves(found)} <= {str, int, float, bool, type(None)}
    assert json.loads(json.dumps(found)) == found


SWEEP = config.CONF / "sweep"  # of a sweep, not of a run: no command has it among its defaults
YAMLS = [found for x in sorted(config.CONF.iterdir()) if x != SWEEP and (found := sorted(x.glob("*.yaml")))]


@pytest.mark.parametrize("number", range(max(map(len, YAMLS))))
def test_every_yaml_composes(number):
    """The first of each group together, then the second of each, ... and around again where a group is shorter."""
    chosen = {paths[0].parent.name: paths[number % len(paths)].stem for paths in YAMLS}
    written = {group: f"[{name}]" if group == "normalizer" else name for group, name in chosen.items()}
    found = config.composed("train", [f"{group}={name}" for group, name in written.items()])
    assert list(found["normalizer"]) == [chosen["normalizer"]]
    for group in chosen.keys() & found.keys():
        if "name" in found[group]:
            usual = {"csv": None, "dilated": "gru"}  # one is a frame, the other a preset
            assert found[group]["name"] == usual.get(chosen[group], chosen[group])


def test_every_yaml_at_the_top_is_a_commands_or_shared():
    assert sorted(path.stem for path in config.CONF.glob("*.yaml")) == sorted([*COMMANDS, "command"])


def test_normalizers_compose_in_the_order_given():
    found = config.composed("train", ["normalizer=[standard,last]"])
    assert list(found["normalizer"]) == ["standard", "last"]


def test_configurations_of_two_calls_share_nothing():
    first = config.composed("train")
    first["data"]["past"].append("x")
    first["backbone"]["layers"] = 99
    assert config.composed("train") != first


AWKWARD = [
    *("1e5", "null", "[a,b]", "{a: 1}", "a=b", "x,y", "true", "1", "", " ", "  a ", "~x", "+x", "a: b", "# no comment"),
    *("it's", '"', "'", "''", "'a'", "Größe.csv", "数据", "a\tb", "a\nb", "a\rb", "(1", "a)", "[", "???", "@x", "*&%"),
    *("C:\\new\\x", "a\\\\b", "back\\", "two\\\\", "\\'", "a\\'b", 'a\\"b', "\\", "back\\\n", "'\n"),
    *("$", "a$b", "${seed}", "${", "${oc.env:HOME}", "\\${seed}", "\\\\${seed}", "${a}'\\"),
]
text = st.text(st.one_of(st.sampled_from("\\'\"${}[]()=,:~ 1e"), st.characters(exclude_categories=["Cs"])))


def kept(**values: object) -> dict:
    """What Hydra's parser and OmegaConf make of values that were set by `override`."""
    parsed = OverridesParser.create().parse_overrides([config.override(key, value) for key, value in values.items()])
    return config.plain(OmegaConf.create({found.key_or_group: found.value() for found in parsed}))


@pytest.mark.parametrize("value", AWKWARD)
def test_an_override_keeps_this_string_alone_and_in_a_list(value):
    assert kept(run=value, levels=[value, [value]]) == {"run": value, "levels": [value, [value]]}


def test_a_composed_configuration_keeps_them_all():
    found = config.composed("predict", [config.override("run", AWKWARD[-1]), config.override("levels", AWKWARD)])
    assert (found["run"], found["levels"]) == (AWKWARD[-1], AWKWARD)


@QUICK
@given(run=text, folder=text, levels=st.lists(text, max_size=4))
def test_an_override_keeps_every_string_alone_and_in_a_list(**values):
    assert kept(**values) == values


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False))


@QUICK
@given(run=numbers, folder=numbers, levels=st.lists(numbers, max_size=4))
def test_an_override_keeps_numbers_and_none_with_their_types(**values):
    assert repr(kept(**values)) == repr(values)


def test_an_override_by_a_mapping_is_refused_with_the_remedy():
    with pytest.raises(Refusal, match=r"overrides=\['backbone\.name=value'\]"):
        config.override("backbone", {"name": "lstm"})


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("horizn=3", "did you mean 'horizon'"),
        ("backbone.hiden_size=3", "did you mean 'backbone.hidden_size'"),
        ("trainer.max_epoch=3", "did you mean 'trainer.max_epochs'"),
        ("bakbone=lstm", "did you mean 'backbone'"),
        ("backbone=lstmm", "did you mean 'lstm'"),
        ("normalizer=[standart]", "did you mean 'standard'"),
        ("data=lod", "did you mean 'load'"),
    ],
)
def test_a_typo_is_refused_with_the_nearest_key_or_part(typed, hint):
    with pytest.raises(Refusal, match=typed.split("=")[0]) as caught:
        config.composed("train", [typed])
    assert hint in str(caught.value) and "\n" not in str(caught.value)


NONSENSE = ["zzzzzz=3", "seed", "=3", "", "seed=1,2", "experiment=zzzzzz", "backbone=null", "backbone=5"]
ADDED = ["+zzzzzz=3", "++zzzzzz=3", "~zzzzzz", "~seed", "+backbone._target_=os.system", "backbone._target_=os.system"]


@pytest.mark.parametrize("typed", [*NONSENSE, *ADDED])
def test_what_cannot_be_understood_is_refused(typed):
    with pytest.raises(Refusal):
        config.composed("train", [typed])


def test_a_known_part_lists_the_parts_there_are():
    with pytest.raises(Refusal) as caught:
        config.composed("train", ["backbone=zzz"])
    assert all(path.stem in str(caught.value) for path in (config.CONF / "backbone").glob("*.yaml"))


@pytest.mark.parametrize(
    ("overrides", "name", "path"),
    [
        (["data.path=my.csv"], None, "my.csv"),
        (["seed=3", "data.path=my.csv", "data.target=[a]"], None, "my.csv"),
        (["data=prices", "data.path=newer.csv"], "prices", "newer.csv"),
        (["data.path=newer.csv", "data=prices"], "prices", "newer.csv"),
        ([], "load", "load.csv"),
    ],
)
def test_a_path_alone_selects_any_csv(overrides, name, path):
    found = config.composed("train", overrides)
    assert (found["data"]["name"], found["data"]["path"]) == (name, path)


@pytest.mark.parametrize("command", ["predict", "backtest"])
def test_newer_data_for_a_trained_run_select_no_set(command):
    assert config.composed(command, ["data.path=newer.csv"])["data"] == {"path": "newer.csv"}


@pytest.mark.parametrize("path", ["Größe.csv", "a b.csv", "it's.csv", 'in"ch.csv', "dir(1)/x.csv", "a;b"])
def test_a_path_is_taken_as_typed_on_the_command_line(path):
    assert config.composed("train", [f"data.path={path}"])["data"]["path"] == path


def test_it_composes_inside_a_running_hydra_app(tmp_path, monkeypatch):
    """Somebody's own app keeps its Hydra; what is composed inside it is ours."""
    Path(tmp_path, "app.yaml").write_text(
        "defaults: [_self_, {override hydra/job_logging: none}, {override hydra/hydra_logging: none}]\n"
        "hydra: {output_subdir: null, run: {dir: .}}\nmine: 5\n"
    )
    monkeypatch.setattr(sys, "argv", ["app", "mine=6"])
    seen = {}

    @hydra.main(config_path=str(tmp_path), config_name="app", version_base="1.3")
    def app(theirs):
        outer = GlobalHydra.instance().hydra
        seen["ours"] = config.composed("train", ["seed=7"])
        with pytest.raises(Refusal):
            config.composed("train", ["sed=7"])
        seen["kept"] = GlobalHydra.instance().hydra is outer and HydraConfig.get().job.config_name == "app"
        seen["theirs"] = hydra.compose("app", overrides=["mine=8"])["mine"], theirs["mine"]

    app()
    assert seen["ours"]["seed"] == 7 and "mine" not in seen["ours"]
    assert seen["kept"] and seen["theirs"] == (8, 6)


def test_it_leaves_no_hydra_behind():
    config.composed("train")
    assert not GlobalHydra.instance().is_initialized()


def test_it_composes_in_8_threads_at_once():
    """Threads that change place often, so that two would meet in Hydra's global state if none waited."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda i: config.composed("predict", [f"folder=x{i}"])["folder"], range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert found == [f"x{i}" for i in range(8)] and not GlobalHydra.instance().is_initialized()


def test_the_checkout_holds_conf_and_datasets_once():
    """The wheel's copies would win over what is edited: forecast/conf and forecast/datasets exist in wheels only."""
    assert config.CONF == ROOT / "conf" and config.CONF.is_dir()
    assert not (ROOT / "forecast" / "conf").exists() and not (ROOT / "forecast" / "datasets").exists()
