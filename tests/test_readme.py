"""What the README shows works as it stands there."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from forecast.check import CONTRACTS
from forecast.config import CONF, composed
from forecast.data.synthetic import panel
from forecast.run import keyed

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for _, block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("forecast ") and "=" in line and "..." not in line.split("#")[0] and "<" not in line
]


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


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_readme_compose(line):
    _, command, *words = shlex.split(line)
    if command == "score":
        words = keyed(command, words)
    known = {key for file in (CONF / "sweep").glob("*.yaml") for key in yaml.safe_load(file.read_text())["sweep"]}
    assert {word[6:].split("=")[0] for word in words if word.startswith("sweep.")} <= known
    words = [
        re.sub(r"=.*(choice|interval)\(([^,]*),.*", r"=\2", word) for word in words if not word.startswith("sweep")
    ]
    overrides = [word.split(",")[0] if "[" not in word else word for word in words if word != "-m"]
    assert composed(command, overrides)


@pytest.mark.slow
def test_the_cell_of_the_readme_works_as_it_is_written(tmp_path):
    """Its two files, put into a copy of the package, are found, keep all contracts, and train."""
    for folder in ("forecast", "conf", "datasets"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    code = next(block for language, block in BLOCKS if language == "python" and "class Leaky" in block)
    text = next(block for language, block in BLOCKS if language == "yaml" and "name: leaky" in block)
    (tmp_path / "forecast" / "backbone" / "leaky.py").write_text(code)
    (tmp_path / "conf" / "backbone" / "leaky.yaml").write_text(text)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        sizes = ["backbone=leaky", "backbone.hidden_size=8", "model.hidden=8"]
        command = [sys.executable, "-m", "forecast", *words, *sizes]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    checked = run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("kept") == len(CONTRACTS) + 1 and "BROKEN" not in checked.stdout
    trained = run("train", "trainer=debug", "context=24", "batch_size=8", "test_stride=500", "logger=none")
    assert trained.returncode == 0, trained.stderr
    assert list(tmp_path.glob("outputs/load/direct-leaky/*/forecaster/forecaster.json"))


def test_the_tree_of_the_readme_is_the_tree():
    named = set(re.findall(r"\b(\w+)/ ", README[README.index("## The house") :])) & {
        p.name for p in (ROOT / "forecast").iterdir()
    }
    folders = {path.name for path in (ROOT / "forecast").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert named == folders


def test_nothing_stands_in_the_way_of_the_configuration():
    assert not (ROOT / "forecast" / "conf").exists()
    assert not (ROOT / "forecast" / "datasets").exists()
