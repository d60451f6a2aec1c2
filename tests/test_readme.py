"""What the README shows works as it stands there."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pages import ROOT, blocks, lines

from forecast.check import CONTRACTS
from forecast.data.synthetic import panel

README = (ROOT / "README.md").read_text()
BLOCKS = [(block.language, block.text) for block in blocks(ROOT / "README.md")]


def test_the_readme_opens_with_the_two_commands():
    assert BLOCKS[0][1].splitlines() == [
        "python -m pip install -c constraints.txt -e . && forecast train",
        "python -m pip install -c constraints.txt -e '.[test]' && pytest",
    ]


def test_the_python_of_the_readme_runs():
    blocks = [block for language, block in BLOCKS if language == "python" and "class " not in block]
    panel(series=1, rows=600, freq="h", seed=1)[["ds", "y"]].rename(columns={"ds": "time"}).to_csv(
        "my.csv", index=False
    )
    assert len(blocks) == 2
    exec(compile("\n".join(blocks), "README.md", "exec"), {})
    assert Path("my-forecaster/forecaster.json").is_file()


def test_the_data_set_of_the_readme_is_one(forecast):
    text = next(block for language, block in BLOCKS if language == "yaml" and "name: meter" in block)
    file = Path("conf/data/meter.yaml")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    stamps = pd.date_range("2024-07-05", periods=4320, freq="h")
    rows = pd.DataFrame({"time": stamps, "consumption": stamps.hour + 1.0, "temperature": 15.0})
    rows.to_csv("meter.csv", index=False)
    code, out, err = forecast("describe", "--config-dir", "conf", "data=meter")
    assert code == 0 and "target 'consumption'" in out and "test from 2024-11-26" in out, err


def test_the_tables_of_the_readme_are_what_the_benchmarks_found(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    results = importlib.import_module("results")
    shown = README.split(results.MARKS[0])[1].split(results.MARKS[1])[0].strip()
    found = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    assert shown == results.readme(found).strip(), "run python benchmarks/results.py readme"
    assert shown != results.readme(found.replace("gluonts |", "gluonts | 1", 1)).strip()


def test_the_ledger_is_what_the_results_say():
    """The accuracy that RESULTS.md shows is the mean over the seeds of accuracy.csv."""
    found = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    ledger = pd.read_csv(ROOT / "benchmarks" / "accuracy.csv").groupby("experiment")
    lines = re.findall(r"^\| (\w+) \| (\w+) \| ([\d.]+) ", found, re.MULTILINE)
    assert {name for name, *_ in lines} == set(ledger.groups)
    for name, score, value in lines:
        assert f"{ledger.get_group(name)[score].mean():.4f}" == value


@pytest.fixture
def copy(tmp_path):
    """A copy of the package, into which files are put by their paths, and commands run there by a new process."""
    for folder in ("forecast", "conf", "datasets"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def run(files: dict[str, str], *commands: list[str]) -> list[str]:
        for path, text in files.items():
            (tmp_path / path).write_text(text)
        said = []
        for words in commands:
            command = [sys.executable, "-m", "forecast", *words]
            environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
            done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            said.append(done.stdout)
        return said

    return run


@pytest.mark.slow
def test_the_cell_of_the_readme_works_as_it_is_written(tmp_path, copy):
    """Its two files are found, keep all contracts, and train."""
    code = next(block for language, block in BLOCKS if language == "python" and "class Leaky" in block)
    text = next(block for language, block in BLOCKS if language == "yaml" and "name: leaky" in block)
    sizes = ["backbone=leaky", "backbone.hidden_size=8", "model.hidden=8"]
    train = ["train", *sizes, "trainer=debug", "context=24", "batch_size=8", "test_stride=500", "logger=none"]
    files = {"forecast/backbone/leaky.py": code, "conf/backbone/leaky.yaml": text}
    checked, _ = copy(files, ["check", *sizes], train)
    assert checked.count("kept") == len(CONTRACTS) + 1 and "BROKEN" not in checked
    assert list(tmp_path.glob("outputs/load/segment-leaky/*/forecaster/forecaster.json"))


@pytest.mark.slow
def test_the_head_of_the_documents_works_as_it_is_written(tmp_path, copy):
    page = blocks(ROOT / "docs" / "how-to" / "extend.md")
    files = {block.title: block.text for block in page if block.title}
    commands = [shlex.split(line)[1:] for block in page if block.language == "sh" for line in lines(block)]
    checked, _ = copy(files, *commands)
    assert checked.count("kept") == len(CONTRACTS) + 1 and "BROKEN" not in checked
    scores = pd.read_csv(tmp_path / "outputs" / "laplace" / "scores.csv")
    assert {"pinball_10", "coverage_80"} <= set(scores["metric"])


def test_the_tree_of_the_readme_is_the_tree():
    named = set(re.findall(r"\b(\w+)/ ", README[README.index("## The house") :])) & {
        p.name for p in (ROOT / "forecast").iterdir()
    }
    folders = {path.name for path in (ROOT / "forecast").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert named == folders


def test_nothing_stands_in_the_way_of_the_configuration():
    assert not (ROOT / "forecast" / "conf").exists()
    assert not (ROOT / "forecast" / "datasets").exists()
