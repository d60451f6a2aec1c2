"""What mkdocs puts into pages, so that nothing is written twice: yaml, help and docstrings, from the files themselves.

A line `<!-- yaml conf/model/*.yaml -->` becomes the files that there are, `<!-- python forecast/model/*.py -->` their
docstrings, `<!-- help -->` what `forecast <command> --help` begins with.
"""

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"^<!-- (yaml|python|help) ?(\S*) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    return MARK.sub(lambda found: WAYS[found[1]](found[2]), markdown)


def files(pattern: str) -> list[Path]:
    """The files of a pattern that are parts; what a part shares has a name that begins with _, or is called base."""
    found = [path for path in sorted(ROOT.glob(pattern)) if path.stem != "base" and path.stem[0] != "_"]
    assert found, f"{pattern}: there is no such file"
    return found


def yaml(pattern: str) -> str:
    """Files as they are; those of a group under the words that choose them."""
    return "\n\n".join(f"### {title(path)}\n\n```yaml\n{path.read_text().rstrip()}\n```" for path in files(pattern))


def title(path: Path) -> str:
    place = path.relative_to(ROOT / "conf").with_suffix("").as_posix()
    return f"`{place.replace('/', '=', 1) if '/shared/' not in place else place}`"


def python(pattern: str) -> str:
    """The docstrings of each file and of the class that it is called after; helpers are left out."""
    parts = []
    for path in files(pattern):
        names = [x.name for x in ast.parse(path.read_text()).body if isinstance(x, ast.ClassDef)]
        own = [name for name in names if name.lower() == path.stem.replace("_", "")]
        place = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        parts.append(f"::: {place}\n    options:\n      members: [{', '.join(own)}]")
    return "\n\n".join(parts)


def commands(_: str) -> str:
    """Each command, what it does, and its keys."""
    parts = []
    for path in files("forecast/command/*.py"):
        tree = ast.parse(path.read_text())
        main = next(x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == "main")
        keys = (ROOT / "conf" / f"{path.stem}.yaml").read_text().split("\n\n", 1)[1].rstrip()
        said = f"{(ast.get_docstring(tree) or '').split(chr(10))[0]}.\n\n{ast.get_docstring(main)}"
        parts.append(f"## forecast {path.stem}\n\n{said[0].upper()}{said[1:]}\n\n```yaml\n{keys}\n```")
    return "\n\n".join(parts)


WAYS = {"yaml": yaml, "python": python, "help": commands}
