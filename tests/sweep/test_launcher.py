"""Jobs in processes of their own: however one ends, it is known, and the others go on."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from forecast.sweep.job import FOLDER, OUTPUT, begun, jobs, own, read
from forecast.sweep.launcher import GRACE, run, shares

PREFIX = """
import os, signal, subprocess, sys, time
from pathlib import Path
from forecast.error import CannotWrite, Diverged, Pruned, Refusal
from forecast.sweep.job import own, told
with told(own()):
    print("begun", flush=True)
"""
ENDS = {  # the last: whether a training can go on, which something else ended
    "works": ("pass", "done", 0, "", False),
    "refuses": ("raise Refusal('no such column', 'data')", "failed", 2, "no such column", False),
    "diverges": ("raise Diverged('the loss is nan', 'nan')", "failed", 3, "the loss is nan", False),
    "finds no room": ("raise CannotWrite('no room')", "failed", 4, "no room", True),
    "pruned": ("raise Pruned('epoch 3', 'pruned')", "pruned", 6, "epoch 3", False),
    "raises": ("raise RuntimeError('a fault')", "failed", 1, "RuntimeError('a fault')", False),
    "exits": ("sys.exit(75)", "failed", 75, "SystemExit(75)", True),
    "vanishes": ("os._exit(9)", "failed", 9, "ended with exit code 9 and without a word", True),
    "nothing": ("os._exit(0)", "failed", 0, "ended with exit code 0 and without a word", True),
    "killed": ("os.kill(os.getpid(), 9)", "failed", -9, "killed by SIGKILL", True),
    "hangs": ("time.sleep(60)", "failed", -15, "stopped after 3 s (sweep.timeout)", True),
}


def command(code: str) -> list[str]:
    """A job that does not take seconds to begin."""
    return [sys.executable, "-c", PREFIX + "    " + code.replace("\n", "\n    ")]


def made(sweep: Path, codes: list[str]) -> list[tuple[Path, list[str]]]:
    return [(begun(sweep, [f"seed={i}"]).folder, command(code)) for i, code in enumerate(codes)]


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked for its exit code does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def waited(question, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not question() and time.monotonic() < end:
        time.sleep(0.02)
    return question()


def test_however_a_job_ends_it_is_known_and_the_others_go_on():
    commands = made(Path("sweep"), [code for code, *_ in ENDS.values()])
    ended = run(commands, jobs=4, timeout=3.0)
    for (name, (_, *end)), (folder, _) in zip(ENDS.items(), commands, strict=True):
        job = ended[folder]
        assert [job.state, job.code, job.reason, job.cut] == end, name
        assert job == read(folder)
        assert (folder / OUTPUT).read_text().startswith("begun"), name


@pytest.mark.parametrize("jobs", [1, 3])
def test_so_many_jobs_run_at_once(jobs):
    """Each job counts those that run beside it, and stays until it has seen as many as may be, or for a while."""
    code = f"""
me = Path("running", str(os.getpid()))
me.touch()
seen, end = 0, time.monotonic() + ({jobs} > 1) * 5 + 0.2
while seen < {jobs} + ({jobs} == 1) and time.monotonic() < end:
    seen = max(seen, len(list(Path("running").iterdir())))
    time.sleep(0.01)
Path("seen", me.name).write_text(str(seen))
time.sleep(0.1)
me.unlink()"""
    for name in ("running", "seen"):
        Path(name).mkdir()
    run(made(Path("sweep"), [code] * 3), jobs, None)
    assert {int(path.read_text()) for path in Path("seen").iterdir()} == {jobs}


def test_what_a_job_has_started_ends_with_it():
    code = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path("child").write_text(str(child.pid))
os._exit(9)"""
    run(made(Path("sweep"), [code]), 1, None)
    assert waited(lambda: not alive(int(Path("child").read_text())))


PARENT = """
import signal, sys
from pathlib import Path
from forecast.sweep.launcher import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell has put into the background
run([(Path(name), [sys.executable, "-c", sys.argv[1]]) for name in sys.argv[2:]], 2, None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_jobs_end_with_their_sweep(number):
    """Killed, it can tell them nothing: they see that it is gone. Interrupted, it waits for them, and says so."""
    code = 'Path(os.environ["FORECAST_JOB"], "pid").write_text(str(os.getpid()))\ntime.sleep(60)'
    commands = made(Path("sweep"), [code] * 3)
    script = commands[0][1][-1]
    sweep = subprocess.Popen([sys.executable, "-c", PARENT, script, *(str(folder) for folder, _ in commands)])
    pids = [folder / "pid" for folder, _ in commands[:2]]
    assert waited(lambda: all(path.is_file() and path.read_text() for path in pids))
    sweep.send_signal(number)
    assert sweep.wait(30) == -number if number == signal.SIGKILL else sweep.wait(30) != 0
    assert waited(lambda: not any(alive(int(path.read_text())) for path in pids))
    states = [(job.state, job.reason) for job in jobs(Path("sweep"))]
    seen = ("running", "") if number == signal.SIGKILL else ("failed", "interrupted")
    assert states == [seen, seen, ("running", "") if number == signal.SIGKILL else ("failed", "not begun")]
    assert not (commands[2][0] / "pid").exists()


def test_a_second_interruption_does_not_wait_for_jobs_that_take_their_time():
    code = """
signal.signal(15, lambda *_: Path(os.environ["FORECAST_JOB"], "told").touch())
Path(os.environ["FORECAST_JOB"], "ready").touch()
while True:
    time.sleep(60)"""
    commands = made(Path("sweep"), [code] * 2)
    script, folders = commands[0][1][-1], [folder for folder, _ in commands]
    sweep = subprocess.Popen([sys.executable, "-c", PARENT, script, *map(str, folders)], stderr=subprocess.DEVNULL)
    for mark in ("ready", "told"):
        assert waited(lambda mark=mark: all((folder / mark).is_file() for folder in folders)), mark
        sweep.send_signal(signal.SIGINT)
    assert sweep.wait(GRACE / 2) != 0
    assert [(job.state, job.code, job.reason) for job in jobs(Path("sweep"))] == [("failed", -9, "interrupted")] * 2


@pytest.mark.parametrize("end", ["pruned", "refuses", "diverges"])
def test_what_a_job_says_of_its_own_end_counts_when_it_is_told_to_stop(end):
    (code, *said), how = ENDS[end], "def stop(*_):\n    {}\nsignal.signal(15, stop)\ntime.sleep(60)"
    ended = run(made(Path("sweep"), [how.format(code)]), 1, 1.0)
    (job,) = ended.values()
    assert [job.state, job.code, job.reason, job.cut] == said


def test_a_job_that_is_told_to_stop_may_save_what_it_has():
    code = 'signal.signal(15, lambda *_: (Path("saved").touch(), sys.exit(75)))\ntime.sleep(60)'
    ended = run(made(Path("sweep"), [code]), 1, 1.0)
    (job,) = ended.values()
    assert Path("saved").exists() and (job.state, job.code) == ("failed", 75) and "1 s" in job.reason


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize(("state", "cut"), [("running", False), ("failed", True), ("failed", False)])
def test_a_training_that_was_cut_off_keeps_its_folder(state, cut, trained):
    """One that failed by itself, or has no checkpoint yet, is begun anew."""
    job = begun(Path("sweep"), ["seed=1", "context=24"]).ended(state, 1, "why", cut)
    (job.folder / "checkpoints").mkdir()
    if trained:
        (job.folder / "checkpoints" / "last.ckpt").touch()
    again = begun(Path("sweep"), ["context=24", "seed=1"])
    assert (again.folder, again.state, again.cut) == (job.folder, "running", False) and read(job.folder) == again
    assert again.trained == (trained and (cut or state == "running"))


def test_a_sweep_that_was_killed_before_a_record_was_written_goes_on():
    Path("sweep/0").mkdir(parents=True)
    assert begun(Path("sweep"), ["seed=1"]).name == "0"


def test_cores_are_shared_by_jobs_unless_the_user_says_otherwise(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert "OMP_NUM_THREADS" not in shares(1)
    assert shares(2)["OMP_NUM_THREADS"] == str(max(1, cores // 2))
    assert shares(10 * cores)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert shares(2)["OMP_NUM_THREADS"] == "7"


def test_a_process_that_is_no_job_has_no_folder_and_watches_nothing(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    before = threading.active_count()
    assert own() is None and threading.active_count() == before
