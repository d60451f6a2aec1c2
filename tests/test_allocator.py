"""Memory that was freed is used again, in the process that is told to keep it and in those that it starts."""

import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"
USE = """
import ctypes, resource, subprocess, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]
def use():
    place = libc.malloc(50 << 20)
    libc.memset(place, 1, 50 << 20)
    libc.free(place)
"""
COUNT = """
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)
"""
TUNE = "import forecast\nprint(forecast.tune_allocator(), forecast.tune_allocator(), flush=True)\n"
CHILD = f"subprocess.run([sys.executable, '-c', {USE + COUNT!r}], check=True)\n"


def said(script: str, **environment: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


@pytest.mark.skipif(not GLIBC, reason="only glibc has these options; elsewhere nothing is changed")
def test_freed_memory_is_not_asked_for_again():
    plain, child = map(int, said(USE + COUNT + CHILD))
    first, second, tuned, inherited = said(USE + TUNE + COUNT + CHILD)
    assert first == second == "True"
    assert min(plain, child) > 10_000  # each page of each use; fewer where pages are huge
    assert max(int(tuned), int(inherited)) < min(plain, child) / 100


HELD = """
from pathlib import Path
def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) // 256
"""
HOLE = """
from forecast.allocator import trim
below = libc.malloc(100 << 20)
above = libc.malloc(100)
libc.memset(below, 1, 100 << 20)
libc.free(below)
before = held()
trim()
print(before - held())
"""


@pytest.mark.skipif(not GLIBC, reason="only glibc has these options; elsewhere nothing is changed")
def test_what_lies_free_in_the_heap_can_be_given_back():
    assert int(said(USE + TUNE + HELD + HOLE)[-1]) > 90


TRAINING = """
import lightning
from forecast import Forecaster, training
from forecast.data.synthetic import panel
class Held(lightning.Callback):
    def on_train_end(self, *given):
        print(held())
made = training.callbacks
training.callbacks = lambda *given: [*made(*given), Held()]
words = ["model=direct", "backbone=lstm", "context=96", "horizon=24", "trainer.max_epochs=1", "logger=none"]
words += ["trainer.limit_train_batches=12"]
words += ["trainer.accelerator=cpu", "trainer.limit_val_batches=1", "callbacks.figures=null"]
words += ["trainer.enable_progress_bar=false"]
Forecaster(data="csv", overrides=words).fit(panel(series=4, rows=1500, freq="h", seed=1))
"""
UNSETTLED = "from forecast.settling import Settling\nSettling.on_train_batch_end = lambda *given: None\n"


@pytest.mark.slow
@pytest.mark.skipif(not GLIBC, reason="only glibc has these options; elsewhere nothing is changed")
def test_training_settles_on_less_memory():
    settled, unsettled = (int(said(TUNE + HELD + how + TRAINING)[-1]) for how in ("", UNSETTLED))
    assert settled < unsettled - 20


@pytest.mark.parametrize("mine", [{"MALLOC_ARENA_MAX": "4"}, {"LD_PRELOAD": ""}])
def test_what_the_user_has_set_is_left_alone(mine):
    script = TUNE + "import os; print({k: v for k, v in os.environ.items() if k.startswith('MALLOC')} == %s)"
    kept = {name: value for name, value in mine.items() if name != "LD_PRELOAD"}
    assert said(script % kept, **mine) == ["False", "False", "True"]
