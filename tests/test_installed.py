"""What pip may install beside forecast: no release that is known to be bad, and what CI installs is within that."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
WANTED = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (HERE / "constraints.txt").read_text(), re.MULTILINE))
BAD = {
    "lightning": ["2.6.2", "2.6.3"],  # somebody else's code was in them
    "hydra-core": ["1.3.7"],  # a configuration can call anything
    "torch": ["2.5.1", "2.10.0"],  # weights_only could be got round
    "pandas": ["2.3.3"],  # a cell such as 2e06918610327a ends the process
}


@pytest.mark.parametrize(("name", "release"), [(name, release) for name, each in BAD.items() for release in each])
def test_a_release_that_is_known_to_be_bad_is_not_installed(name, release):
    assert release not in WANTED[name]


@pytest.mark.parametrize("name", WANTED)
def test_what_ci_installs_is_pinned_and_allowed(name):
    assert PINNED[name] in WANTED[name]
