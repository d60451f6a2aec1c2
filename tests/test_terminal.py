"""Tables for people: plain text that programs can read, and rich where there is a terminal; nothing is lost."""

import re
import subprocess
import sys

import pytest

from forecast import terminal

ROWS = [["", "mine", "naive", ""], ["mae", "12.5", "1,534", "in the unit of the data"], ["skill", "", "0", ""]]


@pytest.fixture
def screen(monkeypatch):
    """A terminal of so many columns."""

    def of(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("FORCE_COLOR", "1")

    return of


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_without_a_terminal_text_is_plain_and_in_line():
    assert terminal.table(ROWS, notes=(3,)).split("\n") == [
        "       mine  naive",
        "mae    12.5  1,534  in the unit of the data",
        "skill            0",
    ]


def test_columns_begin_or_end_in_line():
    lines = terminal.table([["a", "b", "c"], ["aa", "bb", "cccc"]], left=(0, 1)).split("\n")
    assert lines == ["a   b      c", "aa  bb  cccc"]


def test_a_terminal_shows_the_same_words_dressed(screen):
    plain = terminal.table(ROWS, notes=(3,))
    screen(100)
    dressed = terminal.table(ROWS, notes=(3,))
    assert "\x1b[1m" in dressed and "\x1b[2m" in dressed
    assert [line.rstrip() for line in bare(dressed).split("\n")] == plain.split("\n")


def test_a_narrow_terminal_does_without_notes(screen):
    screen(30)
    lines = bare(terminal.table(ROWS, notes=(3,))).split("\n")
    assert len(lines) == 3 and "unit" not in "".join(lines) and max(map(len, lines)) <= 30


def test_on_a_narrow_terminal_no_cell_is_cut(screen):
    screen(40)
    text = bare(terminal.table([["job", "path", "score"], ["0", "x" * 90, "0.25"]]))
    assert text.count("x") == 90 and "0.25" in text and max(map(len, text.split("\n"))) <= 40


def test_cells_are_text_and_no_markup(screen):
    screen(100)
    assert "[red]" in bare(terminal.table([["head [bold]"], ["[red]"]]))


def test_rich_is_loaded_only_to_be_seen():
    code = (
        "import sys, forecast.run, forecast.board.summary; from forecast import terminal; "
        "terminal.table([['a'], ['b']]); print('rich' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
