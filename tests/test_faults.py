"""The tests can fail: each fault of the register (faults.yaml), planted in a copy, is found by the test that it names.

python -m pytest -m slow -n 0 tests/test_faults.py
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import copytree, ignore_patterns
from xml.etree import ElementTree

import pytest
import yaml

HERE = Path(__file__).resolve().parents[1]
NEEDED = ("forecast", "conf", "datasets", "tests", "pyproject.toml", "constraints.txt")
REGISTER = yaml.safe_load((HERE / "tests" / "faults.yaml").read_text())
FAULTS = {f"{row}: {name}": fault for row, entry in REGISTER.items() for name, fault in entry["faults"].items()}
ROWS = [*(f"D{i}" for i in range(1, 16)), *(f"T{i}" for i in range(1, 14)), *(f"S{i}" for i in range(1, 8))]
BROKEN = r"(Import|ModuleNotFound|Name|UnboundLocal|Attribute|Type|Syntax|Indentation)Error\b"  # nobody planted that


def copied(folder: Path, fault: dict[str, str] | None = None) -> Path:
    """What tests need of the checkout, in a folder, with a fault."""
    for name in NEEDED:
        if (HERE / name).is_dir():
            copytree(HERE / name, folder / name, ignore=ignore_patterns("__pycache__"))
        else:
            (folder / name).write_bytes((HERE / name).read_bytes())
    if fault is not None:
        path = folder / fault["file"]
        path.write_text(path.read_text().replace(fault["text"], fault["fault"]))
    return folder


def outcome(folder: Path, tests: Iterable[str]) -> tuple[int, dict[str, str], str]:
    """The exit code of these tests in a folder, what each one that failed said, and what was printed."""
    call = [sys.executable, "-B", "-m", "pytest", "-n", "0", "-x", "-m", "", "-p", "no:cacheprovider"]
    call += ["--basetemp=scratch", "--junitxml=outcome.xml", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    path = folder / "outcome.xml"
    cases = ElementTree.parse(path).iter("testcase") if path.exists() else ()
    found = [(case, case.find("failure")) for case in cases]
    failed = {
        f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}": failure.attrib["message"]
        for case, failure in found
        if failure is not None
    }
    return done.returncode, failed, done.stdout[-5000:] + done.stderr[-2000:]


def test_every_promise_has_a_fault():
    assert list(REGISTER) == ROWS
    assert all(entry["promise"] and entry["faults"] for entry in REGISTER.values())
    assert len(FAULTS) >= 40


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_can_be_planted_and_its_test_is_there(name):
    fault = FAULTS[name]
    code = (HERE / fault["file"]).read_text()
    assert code.count(fault["text"]) == 1 and fault["fault"] != fault["text"]
    if fault["file"].endswith(".py"):
        ast.parse(code.replace(fault["text"], fault["fault"]))
    file, _, test = fault["test"].partition("::")
    assert re.search(rf"^(async )?def {test.partition('[')[0]}\(", (HERE / file).read_text(), re.MULTILINE)


@pytest.mark.slow
def test_without_a_fault_they_pass(tmp_path):
    code, failed, said = outcome(copied(tmp_path), sorted({fault["test"] for fault in FAULTS.values()}))
    assert code == 0 and not failed, said


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name, tmp_path):
    """By the test itself; the code is not broken in a way that any test would see."""
    test = FAULTS[name]["test"]
    code, failed, said = outcome(copied(tmp_path, FAULTS[name]), [test])
    found = {key: message for key, message in failed.items() if key.split("[")[0] == test.split("[")[0]}
    assert code == 1 and found == failed and len(failed) == 1, said
    assert not any(re.match(BROKEN, message) for message in found.values()), said
