"""Memory that is freed is kept for what comes next, instead of being given back and cleared again every step."""

import ctypes
import os
import platform
import sys

LARGE, HEAPS = -3, -8  # of glibc's mallopt: pieces from so many bytes on are the system's; so many heaps
OPTIONS = {  # of glibc's mallopt, and as variables that a new process reads
    "MALLOC_MMAP_MAX_": (-4, 0),
    "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1),
    "MALLOC_ARENA_MAX": (-8, 1),
}


def tune_allocator() -> bool:
    """Lets this process, and those that it starts, keep freed memory in one heap; says whether they do.

    A training step of a recurrent network on a CPU asks for its workspace anew, tens of MiB, and what is fresh from the
    system is cleared page by page: a third of the time. Any time before training will do. Nothing is changed elsewhere
    than on Linux with glibc, beside another allocator, or where one of these options is set already.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or "LD_PRELOAD" in os.environ:
        return False
    if not tuned():
        if OPTIONS.keys() & os.environ.keys():
            return False
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (AttributeError, OSError):
            return False
        if not all(mallopt(*option) for option in OPTIONS.values()):
            return False
        os.environ.update({name: str(value) for name, (_, value) in OPTIONS.items()})
    return True


def tuned() -> bool:
    """Whether this process keeps freed memory, as it was told to or the one that started it."""
    return all(os.environ.get(name) == str(value) for name, (_, value) in OPTIONS.items())


def trim() -> None:
    """Gives back to the system what lies free in a heap that keeps it: holes that nothing may fit into."""
    if tuned():
        give_back()


def lean() -> None:
    """Lets this process give back what it frees, on Linux with glibc: large pieces at once, others by `give_back`.

    Left alone, glibc learns from large pieces that were freed to keep the next ones, in a heap for each thread.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc" and "LD_PRELOAD" not in os.environ and not tuned():
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(LARGE, 1 << 19)
        mallopt(HEAPS, 1)


def give_back() -> None:
    """Gives what lies free in any heap back to the system, on Linux with glibc."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
