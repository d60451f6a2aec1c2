"""Tab completion: commands at once, keys and parts by Hydra, in each shell that is installed."""

import os
import shutil
import subprocess
import sys

import pytest

from forecast.cli import COMMANDS
from forecast.completion import SCRIPTS

ASKED = "forecast train model=l"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("forecast ", COMMANDS),
        ("forecast  tr", ["train"]),
        ("forecast nothing model=", []),
        ("forecast train --c", []),
        ("forecast train model=se", ["model=segment", "model=seq2seq"]),
        ("forecast train --config-dir x data.path=Größe.csv model=linear model.i", ["model.individual="]),
        ("forecast train data.split_", ["data.split_each="]),
        ("forecast predict lev", ["levels="]),
        ("forecast train run=outp", []),
    ],
)
def test_a_line_is_completed(forecast, line, expected):
    code, out, err = forecast("--complete", line)
    assert (code, out.split(), err) == (0, expected, "")


def test_an_unknown_shell_is_named(forecast):
    code, out, err = forecast("--completion", "tcsh")
    assert code == 2 and not out and "bash, zsh, fish" in err


BASH = f'eval "$1"; COMP_LINE="{ASKED}" COMP_POINT={len(ASKED)}; _forecast; echo "${{COMPREPLY[@]}}"'
ZSH = f'compdef() {{ }}; eval "$1"; compadd() {{ print -r -- $@ }}; words=({ASKED}); CURRENT=3; _forecast'
FISH = f'echo $argv[2] | source; complete -C "{ASKED}"'
ASK = {"bash": ["--norc", "-c", BASH], "zsh": ["-fc", ZSH], "fish": ["--no-config", "-c", FISH]}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_of_a_shell_completes_in_it(forecast, tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    starter = tmp_path / "forecast"
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m forecast "$@"\n')
    starter.chmod(0o755)
    script = forecast("--completion", shell)[1]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    words = [shell, *ASK[shell], shell, script]
    done = subprocess.run(words, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    # bash counts = as the end of a word
    assert done.stdout.split()[-1] == ("linear" if shell == "bash" else "model=linear")
