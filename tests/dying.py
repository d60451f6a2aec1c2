"""Runs `forecast` in processes of its own that get a signal at a chosen moment; a test talks to it by lines of JSON.

{"words": ["train", ...], "moment": "step", "number": 3, "signal": 9, "out": "file"} -> how the process ended. Imports
are done once, each run is a fork. Besides, `environment` is set, files can't grow beyond `limit` bytes, and of
TensorBoard's events so many can be written (`events`).
"""

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import lightning

from forecast import artifact, checkpoint, training
from forecast.board import sheet
from forecast.cli import main
from forecast.forecaster import Forecaster


class Dying(lightning.Callback):
    """Sends a signal to its own process at the n-th time that a moment has come."""

    def __init__(self, moment: str, number: int, number_of_signal: int):
        self.moment, self.number, self.signal = moment, number, number_of_signal

    def now(self, moment: str) -> None:
        if moment == self.moment:
            self.number -= 1
            if self.number == 0:
                os.kill(os.getpid(), self.signal)

    def on_train_start(self, *_):
        self.now("start")

    def on_train_batch_start(self, *_):
        self.now("step")

    def on_validation_batch_start(self, *_):
        self.now("validation")

    def on_validation_end(self, *_):
        self.now("validated")

    def on_train_epoch_end(self, *_):
        self.now("epoch")

    def on_train_end(self, *_):
        self.now("end")


def before(owner: object, name: str, dying: Dying, moment: str) -> None:
    """The moment comes whenever a function is called."""
    called = getattr(owner, name)

    def instead(*given, **settings):
        dying.now(moment)
        return called(*given, **settings)

    setattr(owner, name, instead)


def full(after: int) -> None:
    """The disk is full for TensorBoard's events, after so many of them."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    write, left = RecordWriter.write, [after]

    def instead(self, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        write(self, data)

    RecordWriter.write = instead


def one(
    words: list[str],
    out: str,
    moment: str = "never",
    number: int = 1,
    signal: int = 9,
    environment: Mapping[str, str] | None = None,
    limit: int | None = None,
    events: int | None = None,
) -> None:
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sheet.sheets = sheet.singles = lambda *_: {}  # pictures take longer than training; nothing here is about them
    dying, callbacks = Dying(moment, number, signal), training.callbacks
    training.callbacks = lambda *given: [*callbacks(*given), dying]
    before(checkpoint.torch, "save", dying, "packing")
    before(os, "fsync", dying, "writing")  # a temporary file is written
    before(Path, "replace", dying, "renaming")
    before(Forecaster, "judge", dying, "judging")
    before(artifact, "save", dying, "saving")
    os.environ.update(environment or {})
    if events is not None:
        full(events)
    if limit is not None:
        import signal as signals  # what a size limit sends; without it writing fails

        signals.signal(signals.SIGXFSZ, signals.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["forecast", *words]
    code = main()
    sys.stdout.flush()
    os._exit(code)


for line in sys.stdin:
    wanted = json.loads(line)
    child = os.fork()
    if not child:
        try:
            one(**wanted)
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
