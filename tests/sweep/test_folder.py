"""Run folders: one run each, and none that a refused run leaves behind."""

import logging
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Barrier

import pytest

from forecast.error import CannotWrite, Diverged, Refusal
from forecast.sweep.folder import claim, claimed, logged, release, stamp

MANY = 20


def test_twenty_threads_get_twenty_folders():
    start = Barrier(MANY, timeout=30)

    def one(_):
        start.wait()
        return claim(Path("outputs/a/run"))

    with ThreadPoolExecutor(MANY) as pool:
        found = list(pool.map(one, range(MANY)))
    check(found)


def test_twenty_processes_get_twenty_folders(tmp_path):
    """Each waits for the same file, then claims the same name."""
    code = """
import sys, time
from pathlib import Path
from forecast.sweep.folder import claim
print(flush=True)
while not Path("go").exists():
    time.sleep(0.001)
print(claim(Path("outputs/a/run")))
"""
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(MANY)]
    for run in runs:
        run.stdout.readline()
    Path("go").touch()
    check([Path(run.communicate()[0].strip()) for run in runs])


def check(found: list[Path]) -> None:
    """As many folders as claims, numbered without a hole."""
    names = {"run", *(f"run-{number}" for number in range(1, MANY))}
    assert len(found) == len(set(found)) == MANY
    assert {path.name for path in Path("outputs/a").iterdir()} == {path.name for path in found} == names


def test_the_check_of_claims_catches_two_that_share_a_folder():
    """The fault: between the question whether a folder is there and its making, somebody else comes."""
    asked = Barrier(MANY, timeout=30)

    def looking(folder: Path) -> Path:
        number = 0
        while (each := folder.with_name(f"{folder.name}-{number}") if number else folder).exists():
            number += 1
        asked.wait()
        each.mkdir(parents=True, exist_ok=True)
        return each

    with ThreadPoolExecutor(MANY) as pool:
        found = list(pool.map(looking, [Path("outputs/a/run")] * MANY))
    with pytest.raises(AssertionError):
        check(found)


def test_a_taken_name_gets_the_next_number_even_if_a_file_took_it():
    Path("run").mkdir()
    Path("run/inside").touch()
    Path("run-1").touch()
    assert [claim(Path("run")).name for _ in range(2)] == ["run-2", "run-3"]
    assert Path("run/inside").exists() and Path("run-1").is_file()


def test_a_claim_survives_that_another_run_takes_its_empty_parents_away(monkeypatch):
    """A refused run releases outputs/a just when the next one has seen that it is there."""
    make, taken = Path.mkdir, []

    def mkdir(path, *arguments, **settings):
        if path.name == "run" and not taken:
            taken.append(release(path.parent))
        return make(path, *arguments, **settings)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert claim(Path("outputs/a/run")).is_dir() and taken


def test_a_folder_that_can_not_be_made_is_said():
    Path("file").write_text("x")
    for folder in ("file/run", "file/far/run"):
        with pytest.raises(CannotWrite, match=folder) as error:
            claim(Path(folder))
        assert error.value.exit == 4 and error.value.code == "cannot-write"
    assert Path("file").read_text() == "x"


def written(folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("x")


def ended(folder: Path, error: BaseException) -> Path:
    """The folder of a run that wrote something and then ended with an error."""
    own = []

    def run():
        with claimed(folder) as found:
            own.append(found)
            written(found)
            raise error

    with pytest.raises(type(error)):
        run()
    return own[0]


@pytest.mark.parametrize("relative", [True, False])
def test_a_refused_run_leaves_neither_its_folder_nor_empty_ones_above(tmp_path, relative):
    ended(Path("" if relative else tmp_path) / "outputs/load/lstm/now", Refusal("no"))
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())


def test_a_refused_run_leaves_what_others_have():
    with claimed(Path("outputs/load/other")) as other:
        written(other)
    assert ended(Path("outputs/load/now"), Refusal("no")).name == "now"
    assert ended(Path("outputs/load/other"), Refusal("no")).name == "other-1"
    assert [path.name for path in Path("outputs/load").iterdir()] == ["other"]
    assert (other / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize(
    "error", [Diverged("nan"), CannotWrite("full"), RuntimeError("a fault"), KeyboardInterrupt(), SystemExit(1)]
)
def test_a_run_that_ends_in_any_other_way_keeps_its_folder(error):
    assert (ended(Path("outputs/load/now"), error) / "checkpoints" / "last.ckpt").exists()


def test_a_run_that_ends_well_keeps_its_folder():
    with claimed(Path("outputs/load/now")) as run:
        written(run)
    assert (run / "checkpoints" / "last.ckpt").exists()


def test_a_given_folder_is_used_as_it_is():
    given = Path("outputs/sweep/0")
    given.mkdir(parents=True)
    with claimed(Path("outputs/load/now"), given) as run:
        written(run)
    assert run == given and (given / "checkpoints").is_dir() and not Path("outputs/load").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_logged_meanwhile_is_kept_in_a_file(fails):
    log = logging.getLogger("forecast.anywhere")
    log.warning("before")
    with suppress(RuntimeError), logged(Path("train.log")):
        log.warning("meanwhile")
        logging.getLogger("lightning").warning("somebody else")
        if fails:
            raise RuntimeError
    log.warning("after")
    assert Path("train.log").read_text() == "meanwhile\n"
    assert not logging.getLogger("forecast").handlers


def test_release_stops_at_the_first_folder_that_is_not_empty(tmp_path):
    Path("a/b/c/d").mkdir(parents=True)
    Path("a/file").touch()
    release(Path("a/b/c/d"))
    assert [str(path) for path in sorted(Path().rglob("*"))] == ["a", "a/file"]
    release(Path("a"))
    release(Path("nowhere/at/all"))
    assert Path("a/file").exists() and tmp_path.is_dir()


def test_release_never_takes_the_working_folder(tmp_path):
    Path("a/b").mkdir(parents=True)
    release(tmp_path / "a" / "b")
    assert tmp_path.is_dir() and not Path("a").exists()
    release(tmp_path)
    assert tmp_path.is_dir()


def test_a_stamp_sorts_by_time_and_is_a_name_everywhere():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", stamp())
    assert abs((datetime.now() - datetime.strptime(stamp(), "%Y-%m-%d_%H-%M-%S")).total_seconds()) < 60
