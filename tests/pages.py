"""The blocks of code on pages of markdown, and the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import yaml

from forecast.config import CONF, composed
from forecast.run import keyed

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r'^(?:<!-- (?P<mark>not run|slow): (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)(?: title="(?P<title>[^"\n]+)")?\n'
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
LANGUAGES = ("python", "sh", "text", "yaml")


class Block(NamedTuple):
    """A block: `title` is the file that it shows, `mark` says that it is not run, or slow, and `why`."""

    language: str
    title: str
    text: str
    mark: str
    why: str


def blocks(path: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return found(path.read_text())


def found(text: str) -> list[Block]:
    return [Block(*((x[name] or "") for name in Block._fields)) for x in FENCE.finditer(text)]


def lines(block: Block) -> list[str]:
    """The lines of a block of commands, continued ones as one, without those that say nothing."""
    whole = block.text.replace("\\\n", " ").splitlines()
    return [line for line in whole if shlex.split(line, comments=True)]


def compose(line: str) -> None:
    """Composes each forecast command of a line: its keys, parts and types are right, if not its values.

    Names in angle brackets stand for anything. Of a sweep the first values are taken.
    """
    words = shlex.split(line, comments=True)
    for i, word in enumerate(words):
        if word == "forecast" and words[i + 1 : i + 2] and not words[i + 1].startswith("-"):
            composable(words[i + 1], [re.sub(r"<\w+>", "x", x) for x in words[i + 2 :]])


def composable(command: str, words: list[str]) -> None:
    settings = {key for file in (CONF / "sweep").glob("*.yaml") for key in yaml.safe_load(file.read_text())["sweep"]}
    unknown = {word[6:].split("=")[0] for word in words if word.startswith("sweep.")} - settings
    assert not unknown, f"no such key of sweep: {unknown}"
    if "--config-dir" in words:  # of the reader's own: what is in it the page itself shows
        place = words.index("--config-dir")
        words = words[:place] + [x for x in words[place + 2 :] if not x.startswith(("data=", "experiment="))]
    launcher = [x for x in words if x.startswith(("hydra/launcher=", "hydra.launcher.", "+hydra.launcher."))]
    plain = [x for x in keyed(command, words) if x != "-m" and not x.startswith("sweep") and x not in launcher]
    drawn = [re.sub(r"=.*(choice|interval)\(([^,]*),.*", r"=\2", x) for x in plain]
    composed(command, [x.split(",")[0] if "[" not in x and "{" not in x else x for x in drawn])
