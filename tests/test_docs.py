"""Every block of code in README and docs: python and commands run as they stand, on a page from top to bottom.

What a reader can't run on a laptop, or what would not end, says so above it (`<!-- not run: why -->`), and is composed.
"""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import LANGUAGES, PAGES, ROOT, Block, blocks, compose, found, lines

from forecast.config import CONF

DOCS = [path for path in PAGES if path.is_relative_to(ROOT / "docs")]
FILES = [path for path in DOCS if any(block.title.endswith(".py") for block in blocks(path))]  # run by test_readme
QUICK = [path for path in DOCS if path.parent.name in ("explanation", "reference")]  # in seconds


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def walk(each: list[Block], forecast, slowly: bool = False) -> None:
    """Runs the blocks of a page one after the other: those of python share their names, all share a folder."""
    names: dict[str, object] = {}
    for block in each:
        if block.mark == "not run" or (block.mark == "slow" and not slowly):
            continue
        if block.language == "yaml":
            known(block)
        if block.language == "python" and not block.title:
            exec(compile(block.text, "a page", "exec"), names)
        for line in lines(block) if block.language == "sh" else []:
            run(line, forecast)


def run(line: str, forecast) -> None:
    """Runs a line: `forecast` in this process; a comment `# refused` says that exit code 2 is meant."""
    program, *words = shlex.split(line, comments=True)
    wanted = 2 if line.endswith("# refused") else 0
    if program == "forecast":
        code, _, said = forecast(*words)
    else:
        assert program == "python", f"{line}: what runs it?"
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        code, said = done.returncode, done.stderr
    assert code == wanted, f"{line}\nexit code {code}, not {wanted}: {said[-2000:]}"


def known(block: Block) -> None:
    """A snippet of yaml is called after the file it could stand in: keys and kinds of values are those of that file."""
    assert block.title.startswith("in "), f"after which file is this called? {block.text}"
    usual = yaml.safe_load((ROOT / block.title[3:]).read_text())
    given = yaml.safe_load(block.text)
    assert given.keys() <= usual.keys(), f"{block.title}: no such key: {given.keys() - usual.keys()}"
    assert all(type(x) is type(usual[key]) or usual[key] is None for key, x in given.items())


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_has_blocks_that_can_be_checked(path):
    text = path.read_text()
    each = blocks(path)
    assert len(each) == len(re.findall(r"^```", text, re.MULTILINE)) / 2, "a block is not closed, or not at its margin"
    assert {block.language for block in each} <= {*LANGUAGES}
    for block in each:
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "yaml" and path in DOCS and path not in FILES:
            known(block)


COMMANDS = list(
    dict.fromkeys(
        line
        for path in PAGES
        if path not in FILES
        for block in blocks(path)
        if block.language == "sh"
        for line in lines(block)
    )
)  # fmt: skip


@pytest.mark.parametrize("line", [line for line in COMMANDS if re.search(r"\bforecast [a-z]", line)])
def test_a_command_composes(line):
    compose(line)


@pytest.mark.parametrize("path", QUICK, ids=name)
def test_a_quick_page_runs(path, forecast):
    walk(blocks(path), forecast)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings(
    "ignore:Creating legend with loc:UserWarning"
)  # of matplotlib, where a second is not enough
@pytest.mark.parametrize("path", [path for path in DOCS if path not in FILES], ids=name)
def test_a_page_runs_from_top_to_bottom(path, forecast):
    walk(blocks(path), forecast, slowly=True)


@pytest.mark.parametrize(
    "fault",
    [
        "```python\nassert 1 == 2\n```",
        "```python\nfrom forecast import Forcaster\n```",
        "```sh\nforecast describe data=loads\n```",
        "```sh\nforecast describe data=load folder=b  # refused\n```",
        "```sh\npython -c 1/0\n```",
        '```yaml title="in conf/data/csv.yaml"\npasts: [temperature]\n```',
        '```yaml title="in conf/data/csv.yaml"\npast: temperature\n```',
    ],
)
def test_a_wrong_block_is_found(fault, forecast):
    with pytest.raises((AssertionError, ImportError)):
        walk(found(fault), forecast)


@pytest.mark.parametrize(
    "line",
    [
        "forecast train modle=linear",
        "forecast train -m sweep.job=2 seed=1,2",
        "torchrun -m forecast train trainer.nodes=2",
        "forecast predict run=outputs/<time> level=[0.5]",
    ],
)
def test_a_wrong_command_is_found(line):
    with pytest.raises((AssertionError, ValueError)):
        compose(line)


def test_the_site_names_all_pages():
    """What is not in the navigation is found by nobody."""
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"^ +- (\S+\.md)$", text[text.index("\nnav:") :], re.MULTILINE))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in DOCS}


def test_the_reference_shows_every_yaml():
    text = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    shown = {path for pattern in re.findall(r"<!-- yaml (\S+) -->", text) for path in ROOT.glob(pattern)}
    groups = {path for path in CONF.rglob("*.yaml") if path.parent != CONF}
    assert shown == groups | {CONF / "train.yaml"}


def test_the_site_builds_without_a_warning(tmp_path):
    """Links, anchors and docstrings are there; nothing is loaded from elsewhere."""
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?https?://(?!localhost)[^>]+>', page.read_text())
