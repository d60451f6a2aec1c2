"""The console script: help is complete, at hand at once, and needs nothing but the standard library."""

import ast
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import pytest
import yaml

import forecast
from forecast import cli
from forecast.cli import COMMANDS, CONF, main

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "hydra", "omegaconf", "lightning", "pandas", "numpy", "matplotlib", "sklearn", "yaml"}
QUESTIONS = [[], ["--help"], ["--version"], ["--commands"], ["tran"], *([name, "--help"] for name in COMMANDS)]


@pytest.fixture
def said(monkeypatch, capsys):
    """What `forecast ...` answers: exit code, stdout, stderr."""

    def answer(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["forecast", *words])
        code = main()
        return code, *capsys.readouterr()

    return answer


def process(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_there_is_a_command_for_each_file_of_the_folder():
    files = {path.stem for path in (ROOT / "forecast" / "command").glob("*.py")} - {"__init__"}
    assert set(COMMANDS) == files >= {"train", "predict", "backtest", "score"}
    assert all((CONF / f"{name}.yaml").is_file() for name in COMMANDS)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_usage_lists_the_commands_and_what_each_does(said, words):
    code, out, error = said(*words)
    assert code == 0 and not error
    for name in COMMANDS:
        text = (ROOT / "forecast" / "command" / f"{name}.py").read_text()
        first = ast.get_docstring(ast.parse(text)).splitlines()[0]
        assert re.search(rf"^  {name} +{re.escape(first)}$", out, re.MULTILINE)
    assert max(map(len, out.split("\n"))) <= 120


def test_the_version_is_that_of_the_package(said):
    assert said("--version") == (0, f"forecast {version('forecast')}\n", "")


def test_commands_are_listed_for_completion(said):
    code, out, _ = said("--commands")
    assert code == 0 and out.split() == COMMANDS


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("tran", "train"), ("trian", "train"), ("scores", "score"), ("prediction", "predict"), ("back-test", "backtest")],
)
def test_a_command_that_is_mistyped_gets_the_nearest(said, typed, meant):
    code, out, error = said(typed, "data=load")
    assert code == 2 and not out
    assert f"no command '{typed}'; did you mean '{meant}'?" in error and error.count("\n") == 1


@pytest.mark.parametrize("typed", ["xyz", "--halp", "", "context=24", "__init__", "../run"])
def test_a_word_that_is_no_command_gets_the_list(said, typed):
    code, out, error = said(typed)
    assert code == 2 and not out and ", ".join(COMMANDS) in error


def settings(text: str) -> dict[str, str]:
    """Top-level keys of a yaml and what its comments say about them."""
    return dict(re.findall(r"^(\w+):[^#\n]*(?:# *(.*))?$", text, re.MULTILINE))


def written(name: str) -> str:
    """The yaml of a command; check has the keys of training."""
    return (CONF / f"{'train' if name == 'check' else name}.yaml").read_text()


def groups(name: str) -> list[tuple[str, str | list[str]]]:
    """The groups that a command chooses parts from, each with its usual part."""
    defaults = yaml.safe_load(written(name))["defaults"]
    pairs = [pair for entry in defaults if isinstance(entry, dict) for pair in entry.items()]
    return [(key, part) for key, part in pairs if key.isidentifier()]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_key(said, name, flag):
    code, out, error = said(name, "context=24", flag)
    assert code == 0 and not error
    text = written(name)
    own = {key: comment for key, comment in settings(text).items() if key not in ("defaults", "hydra")}
    assert set(own) == set(yaml.safe_load(text)) - {"defaults", "hydra"} and own
    for key, comment in own.items():
        assert re.search(rf"^{key}:.*{re.escape(comment)}$", out, re.MULTILINE)
    assert "--config-dir" in out and ("--multirun" in out) == bool(groups(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_the_parts_of_every_group_and_the_keys_of_the_usual_one(said, name):
    out = said(name, "--help")[1]
    for key, part in groups(name):
        files = sorted(path.stem for path in (CONF / key).glob("*.yaml"))
        assert f"\n{key}={'|'.join(files)}\n" in f"{out}\n" and files
        if part is None:
            continue  # no experiment unless one is named
        part = part[0] if isinstance(part, list) else part
        text = (CONF / key / f"{'csv' if key == 'data' else part}.yaml").read_text()
        for setting, comment in settings(text).items():
            if setting != part:  # a normalizer's yaml is one key, its name
                assert re.search(rf"^  {key}\.{setting}:.*{re.escape(comment)}$", out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_key_without_meaning_at_first_sight_is_explained(name):
    """Every key of a command has a comment, but for those whose name says it."""
    text = written(name).partition("\n\n")[2]
    assert {key for key, said in settings(text).items() if not said} <= {"batch_size", "seed", "data"}


def test_a_new_file_is_a_new_command(tmp_path, monkeypatch, said):
    """Help reads the folders: a command is one .py and one .yaml, a part is one .yaml."""
    (tmp_path / "command").mkdir()
    (tmp_path / "conf" / "head").mkdir(parents=True)
    (tmp_path / "command" / "dance.py").write_text('"""dance a little\n\nand more"""\n')
    (tmp_path / "conf" / "dance.yaml").write_text("defaults:\n  - head: toe\n  - _self_\n\nsteps: 3   # how many\n")
    for name in ("toe", "heel"):
        (tmp_path / "conf" / "head" / f"{name}.yaml").write_text(f"name: {name}\nturns: 2   # to the left\n")
    monkeypatch.setattr(cli, "HERE", tmp_path)
    monkeypatch.setattr(cli, "CONF", tmp_path / "conf")
    monkeypatch.setattr(cli, "COMMANDS", ["dance"])
    assert re.search("^  dance +dance a little$", said()[1], re.MULTILINE)
    out = said("dance", "--help")[1]
    for line in ("steps: 3   # how many", "head=heel|toe", "  head.name: toe", "  head.turns: 2   # to the left"):
        assert line in out.split("\n")


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_an_answer_comes_at_once_and_imports_nothing_heavy(words):
    code = (
        "import sys\nfrom forecast.cli import main\ncode = main()\nprint(*sys.modules, file=sys.stderr)\nsys.exit(code)"
    )
    seconds = []
    for _ in range(3):
        start = perf_counter()
        run = process("-c", code, *words)
        seconds.append(perf_counter() - start)
        if seconds[-1] < 1:
            break
    assert run.returncode == (2 if words == ["tran"] else 0)
    imported = {name.split(".")[0] for name in run.stderr.split()}
    assert "forecast" in imported and not imported & HEAVY
    assert min(seconds) < 1


def test_importing_forecast_takes_no_time():
    code = "import sys, time\nstart = time.perf_counter()\nimport forecast\n"
    code += "print(time.perf_counter() - start, *sys.modules)"
    seconds, *imported = min((process("-c", code).stdout.split() for _ in range(3)), key=lambda x: float(x[0]))
    assert float(seconds) < 0.3
    assert not {name.split(".")[0] for name in imported} & (HEAVY | {"jaxtyping"})


def test_public_names_are_there_when_asked_for():
    assert set(forecast.__all__) <= set(dir(forecast))
    for name in forecast.__all__:
        assert getattr(forecast, name).__name__ == name
    with pytest.raises(AttributeError, match="Forcaster"):
        _ = forecast.Forcaster


def test_the_package_runs_as_a_module():
    assert process("-m", "forecast", "--commands").stdout.split() == COMMANDS
    assert process("-m", "forecast", "tran").returncode == 2


def test_the_check_of_imports_catches_one_at_the_top():
    run = process("-c", "import sys, numpy\nfrom forecast.cli import main\nprint(*sys.modules)")
    assert {name.split(".")[0] for name in run.stdout.split()} & HEAVY == {"numpy"}


def test_a_reader_that_has_seen_enough_is_no_error():
    run = subprocess.run(
        f"{sys.executable} -m forecast train --help | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "") and run.stdout.startswith("forecast train")


@pytest.mark.parametrize(
    "typed",
    ["--cfg job horizon=7", "horizon=7 --cfg job", "horizon=7 -c job", "experiment=short --config-dir mine --cfg job"],
)
def test_flags_may_stand_anywhere(tmp_path, forecast, typed):
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "short.yaml").write_text("# @package _global_\nhorizon: 7\n")
    code, out, error = forecast("train", *typed.split())
    assert code == 0 and yaml.safe_load(out)["horizon"] == 7, error
