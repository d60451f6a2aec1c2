"""Several processes that do one work together, each with its rank; to their caller they are one function call."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe, active_children
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from forecast.error import ForecastError, Interrupted
from forecast.signals import handled
from forecast.terminal import hush

GRACE = 3.0  # seconds in which the others may end by themselves when one has failed
STOPPED = 10.0  # seconds in which they may end when they are told to


class Voice(logging.Handler):
    """Sends what is logged to the process that started this one."""

    def __init__(self, end: Connection):
        super().__init__()
        self.end = end

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None  # what can be sent
        self.end.send(record)


def spread(count: int, work: Callable[..., Any], *given: Any) -> Any:
    """What rank 0 of `count` new processes returns from work(*given), which each of them calls.

    Lightning finds its rank in their environment. What rank 0 logs is logged here; the others say nothing. When one
    fails, all are stopped: raises the ForecastError that it raised, or one (code "rank") that names a rank which failed
    otherwise or was killed, or Interrupted if this process was told to stop. Each process has a copy of what is given.
    """
    from lightning.fabric.plugins.environments.lightning import find_free_network_port
    from torch.multiprocessing.spawn import spawn

    with TemporaryDirectory() as scratch:
        ends = [Pipe(duplex=False) for _ in range(count)]
        level = logging.getLogger("forecast").getEffectiveLevel()
        words = [end for _, end in ends], find_free_network_port(), scratch, level, work, given
        processes: list[Any] = []
        with forwarded(processes) as told, ended(processes):
            started = spawn(begin, words, nprocs=count, join=False)
            assert started is not None
            processes += started.processes
            for _, end in ends:
                end.close()
            if told:  # while they were started
                stopped(processes)
            answers, codes = followed(processes, [end for end, _ in ends])
        for answer in answers:
            if isinstance(answer, ForecastError | Interrupted):
                raise answer
        if told:
            raise Interrupted(f"interrupted by {signal.Signals(told[0]).name}")
        if any(codes):
            raise culprit(answers, codes, Path(scratch))
        return answers[0]


def begin(
    rank: int,
    ends: Sequence[Connection],
    port: int,
    scratch: str,
    level: int,
    work: Callable[..., Any],
    given: Sequence[Any],
) -> None:
    """What each process does: sends what work(*given) returns, or what it raises, and ends with its code."""
    for other in {*range(len(ends))} - {rank}:
        ends[other].close()
    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": len(ends), "NODE_RANK": 0}
    os.environ |= {key: str(value) for key, value in places.items()} | {"LOCAL_RANK": str(rank)}
    if rank:
        said = os.open(heard(scratch, rank), os.O_WRONLY | os.O_CREAT)
        for stream in (1, 2):
            os.dup2(said, stream)
    hush()
    ours = logging.getLogger("forecast")
    ours.propagate = False
    ours.setLevel(level)
    ours.addHandler(logging.NullHandler() if rank else Voice(ends[rank]))
    try:
        ends[rank].send(work(*given))
    except ForecastError as error:
        ends[rank].send(error)
        sys.exit(error.exit)
    except KeyboardInterrupt as stop:
        ends[rank].send(stop if isinstance(stop, Interrupted) else Interrupted("interrupted"))
        sys.exit(Interrupted.exit)
    except Exception:
        ends[rank].send(traceback.format_exc())
        sys.exit(1)


def heard(scratch: Path | str, rank: int) -> Path:
    """What a rank but the first wrote to its terminal."""
    return Path(scratch) / f"rank-{rank}"


def followed(processes: Sequence[BaseProcess], ends: Sequence[Connection]) -> tuple[list[Any], list[int]]:
    """What each rank answered at last, and the code with which it ended (0 as well if it was stopped here)."""
    answers: list[Any] = [None] * len(ends)
    codes = [0] * len(ends)
    living: dict[Any, int] = {process.sentinel: rank for rank, process in enumerate(processes)}
    voices = {end: rank for rank, end in enumerate(ends)}
    while living or voices:
        for ready in wait([*living, *voices]):
            if isinstance(ready, Connection):
                try:
                    said = ready.recv()
                except EOFError:
                    del voices[ready]
                    continue
                if isinstance(said, logging.LogRecord):
                    logging.getLogger(said.name).handle(said)
                else:
                    answers[voices[ready]] = said
            elif ready in living:
                rank = living.pop(ready)
                processes[rank].join()
                if processes[rank].exitcode and not any(codes):
                    codes = stopped(processes)
    return answers, codes


@contextmanager
def ended(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """No process outlives an error here, not even one that was just being started."""
    before = set(active_children())
    try:
        yield
    except BaseException:
        for process in {*processes, *active_children()} - before:
            process.kill()
        raise


def stopped(processes: Sequence[BaseProcess]) -> list[int]:
    """Ends all processes as one has failed; the codes of those that ended by themselves, of others 0."""
    waited(processes, GRACE)
    codes = [process.exitcode or 0 for process in processes]
    for process in processes:
        process.terminate()
    waited(processes, STOPPED)
    for process in processes:
        process.kill()
        process.join()
    return codes


def waited(processes: Sequence[BaseProcess], seconds: float) -> None:
    """Until all have ended, but not longer."""
    end = monotonic() + seconds
    for process in processes:
        process.join(max(0.0, end - monotonic()))


@contextmanager
def forwarded(processes: Sequence[BaseProcess]) -> Iterator[list[int]]:
    """Meanwhile a signal to stop goes on to the processes, which end as they do on it; the list tells which came."""
    told: list[int] = []

    def forward(number: int, frame: Any) -> None:
        told.append(number)
        for process in processes:
            if process.is_alive():
                os.kill(process.pid or 0, number)

    with handled(forward):
        yield told


def culprit(answers: Sequence[Any], codes: Sequence[int], scratch: Path) -> ForecastError:
    """What is raised for ranks that ended with codes: names one that was killed, else one that failed, and why."""
    rank = min((i for i, code in enumerate(codes) if code), key=lambda i: (codes[i] >= 0, i))
    name = f"rank {rank} of {len(codes)}"
    if codes[rank] < 0:
        how = f"was killed by {signal.Signals(-codes[rank]).name}; the other processes were stopped"
        return ForecastError(f"{name} {how}", "rank")
    said = answers[rank] or (heard(scratch, rank).read_text(errors="replace") if rank else "")
    return ForecastError(f"{name} ended with code {codes[rank]}\n{said}".rstrip(), "rank")
