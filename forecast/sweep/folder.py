"""Run folders: each belongs to one run, and a refused run leaves none."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import TextIO

from forecast.error import CannotWrite, Refusal

LOCK = ".lock"
TRIES = 100  # to make a folder whose parents vanish


def stamp() -> str:
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


def claim(folder: Path) -> Path:
    """Makes a folder that nobody else has; if the name is taken, the next free number is added.

    mkdir is atomic: of two runs that start at once, one gets the next number.
    """
    number = vanished = 0
    try:
        while True:
            folder.parent.mkdir(parents=True, exist_ok=True)
            candidate = folder.with_name(f"{folder.name}-{number}") if number else folder
            try:
                candidate.mkdir()
                return candidate
            except FileExistsError:
                number += 1
            except FileNotFoundError:  # a run that was refused has just taken its empty parents away
                vanished += 1
                if vanished == TRIES:
                    raise
    except OSError as error:
        raise CannotWrite(f"{folder} can't be made: {error.strerror or error}", "cannot-write") from error


@contextmanager
def claimed(folder: Path, given: Path | None = None) -> Iterator[Path]:
    """A folder of this run's own, gone again if the run is refused; or `given`, the one that a sweep made for it."""
    if given is not None:
        yield given
        return
    own = claim(folder)
    try:
        yield own
    except Refusal:
        rmtree(own, ignore_errors=True)
        release(own.parent)
        raise


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """A folder of which one process at a time is in charge; whatever ends that process gives it up.

    Raises Refusal if another one has it, CannotWrite if it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise CannotWrite(f"{folder} can't be made: {error.strerror or error}", "cannot-write") from error
    with file:
        lock(file, Refusal(f"{folder}: another sweep is at work there", "in-use"))
        yield folder


def lock(file: TextIO, refusal: Refusal) -> None:
    """Keeps a file for this process until it is closed; raises the refusal if another one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise refusal from error
    except OSError:  # a file system without locks
        pass


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Keeps what forecast logs meanwhile in a file as well, which no other process may do at the same time."""
    try:
        handler = logging.FileHandler(path)
    except OSError as error:
        raise CannotWrite(f"{path} could not be written: {error.strerror or error}", "cannot-write") from error
    logging.getLogger("forecast").addHandler(handler)
    try:
        assert handler.stream is not None
        lock(handler.stream, Refusal(f"{path.parent}: another process is at work on this run", "busy"))
        yield
    finally:
        logging.getLogger("forecast").removeHandler(handler)
        handler.close()


def release(folder: Path) -> None:
    """Removes a folder and those above it as long as they are empty."""
    with suppress(OSError):
        for each in (folder, *folder.parents):
            if each.resolve() == Path.cwd():
                break
            each.rmdir()
