"""The console script: picks the command with the standard library alone, so that help answers at once."""

import ast
import difflib
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"
COMMANDS = sorted(path.stem for path in (HERE / "command").glob("[a-z]*.py"))


def main() -> int:
    """Runs `forecast <command> key=value ...` and returns the exit code; a reader that has seen enough is no error."""
    try:
        return chosen()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def chosen() -> int:
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help", "help"):
        print(usage())
        return 0
    if command == "--version":
        print(f"forecast {version('forecast')}")
        return 0
    if command == "--commands":  # for tab completion
        print(*COMMANDS)
        return 0
    if command in ("--completion", "--complete"):
        from forecast.completion import SCRIPTS, complete

        word = rest[0] if rest else ""
        if command == "--complete":
            return complete(word, COMMANDS)
        if word not in SCRIPTS:
            print(f"forecast --completion: for which shell? Expected one of {', '.join(SCRIPTS)}", file=sys.stderr)
            return 2
        print(SCRIPTS[word], end="")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        print(f"forecast: no command '{command}'{hint} ({', '.join(COMMANDS)})", file=sys.stderr)
        return 2
    if {"-h", "--help"} & set(rest):
        print(explained(command))
        return 0
    from forecast.run import run

    return run(command, rest)


def usage() -> str:
    """The commands, each with the first line of its file."""
    return "\n".join(
        [
            "forecast <command> key=value ...     (forecast <command> --help explains the keys)",
            "",
            *(f"  {name:<10} {described(name)}" for name in COMMANDS),
            "",
            "  forecast train                                          the bundled load series",
            "  forecast train data.path=my.csv data.target=[price] horizon=24 context=168",
            "  forecast train -m backbone=rnn,lstm,gru seed=1,2,3      a sweep, with a ranked table at its end",
        ]
    )


def described(command: str) -> str:
    """The first line of a command's docstring, read as text."""
    tree = ast.parse((HERE / "command" / f"{command}.py").read_text())
    return (ast.get_docstring(tree) or "").split("\n")[0]


def explained(command: str) -> str:
    """A command's keys: its yaml with the comments, and the parts that its groups choose from."""
    texts = [(CONF / f"{command}.yaml").read_text()]
    if "\n  - train\n" in texts[0]:  # a command with the keys of training
        texts.append((CONF / "train.yaml").read_text())
    groups = re.findall(r"^  - (\w+): \[?(\w+)\]?$", texts[-1], re.MULTILINE)
    lines = [f"forecast {command} key=value ...     {described(command)}", ""]
    lines += "".join(text.split("\n\n", 1)[1] for text in texts).rstrip().split("\n")
    for group, default in groups:
        parts = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        lines += ["", f"{group}={'|'.join(parts)}"]
        usual = CONF / group / f"{'csv' if group == 'data' else default}.yaml"
        body = usual.read_text().rstrip().split("\n") if usual.is_file() else []
        lines += [f"  {group}.{line}" if line[:1].isalpha() else f"  {line}" for line in body if ": {}" not in line]
    if groups:
        lines += ["", "-m, --multirun    a sweep over comma-separated values: backbone=rnn,lstm seed=1,2,3"]
        for path in sorted((CONF / "sweep").glob("*.yaml")):
            settings = path.read_text().rstrip().split("\nsweep:\n")[1].split("\n")
            lines += ["", f"sweep={path.stem}", *(f"  sweep.{line.strip()}" for line in settings)]
        lines += [""]
    lines += ["--cfg job         print the composed configuration and stop"]
    lines += ["--config-dir DIR  a folder with configurations of your own"]
    return "\n".join(lines)
