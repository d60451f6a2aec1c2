"""Runs that are stopped or killed at any moment go on to what they would have been, to the last bit."""

import json
import os
import shlex
import signal
import subprocess
import sys
from io import BytesIO
from itertools import count
from pathlib import Path
from shutil import copytree

import lightning
import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_training import prepared

from forecast import Forecaster, config, training
from forecast.checkpoint import Files
from forecast.continuation import continued, resumable, told
from forecast.data.synthetic import panel
from forecast.error import Interrupted, Refusal
from forecast.interruption import Interruption
from forecast.learning import fit
from forecast.model.base import Model
from forecast.sweep.folder import logged

HERE = Path(__file__).parent
KILL, TERM, INT, USR1 = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1

# --- in this process: what has to survive, and the moments that Lightning knows ---


class Telling(lightning.Callback):
    """Has training interrupted at a moment: in a step of the run, or in a batch of validation."""

    def __init__(self, moment: str, number: int):
        self.moment, self.number, self.rates, self.since = moment, number, [], 0

    def now(self, trainer, moment: str) -> None:
        self.number -= moment == self.moment
        if moment == self.moment and self.number == 0:
            self.since = len(self.rates)
            next(x for x in trainer.callbacks if isinstance(x, Interruption)).tell(TERM, None)

    def on_train_batch_start(self, trainer, *_):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.now(trainer, "step")

    def on_validation_batch_start(self, trainer, *_):
        self.now(trainer, "validation")


FILES, NUMBERS = Files("a sha256"), count()


def go(words: tuple[str, ...], folder: Path, moment: str = "never", number: int = 0):
    """Trains, from the newest checkpoint in the folder on; learning rates, weights, the best ones, what was logged."""
    settings, data, model = prepared(*words)
    made, telling = training.trainer(settings, folder, None), Telling(moment, number)
    made.callbacks.append(telling)
    made.strategy.checkpoint_io = FILES
    newest = FILES.newest(folder)
    torch.seed()  # another process begins with other random numbers
    try:
        fit(made, model, data, newest)
    except Interrupted:
        more = len(telling.rates) - telling.since  # a step at most, and none once validation has begun
        assert more <= (made.accumulate_grad_batches if moment == "step" else 0)
        return telling.rates
    best = FILES.load_checkpoint(made.checkpoint_callback.best_model_path)["state_dict"]
    shown = {key: float(x) for key, x in made.callback_metrics.items() if not key.endswith(("second", "mib"))}
    return telling.rates, dict(model.state_dict()), best, shown, made.current_epoch, made.global_step


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(x, other[name]) for name, x in one.items())


THREE = ("trainer.max_epochs=3",)  # of 5 steps, with 3 batches of validation each
CASES = {
    "plain": (*THREE, "callbacks=plain"),
    "ema": THREE,
    "swa": (*THREE, "callbacks=swa", "callbacks.averaging.start=0.3"),
    "plateau": (*THREE, "scheduler=plateau", "scheduler.patience=0", "optimizer.lr=1.0e-7"),
    "onecycle": (*THREE, "scheduler=onecycle"),
    "dropout, clipping": (*THREE, "backbone.dropout=0.3", "backbone.layers=2", "trainer.gradient_clip_val=0.1"),
    "early stopping": (
        "trainer.max_epochs=6",
        "optimizer.lr=1.0e-9",
        "callbacks.early_stopping={monitor: val/loss, patience: 2, min_delta: 0.1}",
    ),
    "steps": ("trainer.max_epochs=9", "trainer.max_steps=15"),
    "accumulated": (*THREE, "trainer.accumulate_grad_batches=2"),
    "seldom validated": ("trainer.max_epochs=4", "trainer.check_val_every_n_epoch=2"),
}
MOMENTS = [("step", 1), ("step", 8), ("step", 10), ("validation", 1), ("validation", 5), ("step", 15)]
EVERY = [(case, *moment) for case in CASES for moment in MOMENTS]
FEW = [("plain", "step", 1), ("plain", "step", 8), ("plain", "step", 15), ("ema", "validation", 5)]
FEW += [("plateau", "step", 8), ("early stopping", "step", 10), ("steps", "step", 15), ("accumulated", "step", 8)]
WHOLE = {}


def words_of(case: str) -> tuple[str, ...]:
    return (*CASES[case], "trainer.limit_val_batches=3")


def whole(case: str, folder: Path) -> tuple:
    """What a case leads to without an interruption."""
    if case not in WHOLE:
        WHOLE[case] = go(words_of(case), folder)
    return WHOLE[case]


@pytest.mark.parametrize(
    ("case", "moment", "number"), [pytest.param(*x, marks=[] if x in FEW else pytest.mark.slow) for x in EVERY]
)
def test_training_that_is_interrupted_goes_on_to_the_same_end(case, moment, number, tmp_path):
    expected = whole(case, tmp_path / "whole")
    first = go(words_of(case), tmp_path / "run", moment, number)
    rates, weights, best, shown, epochs, steps = go(words_of(case), tmp_path / "run")
    assert isinstance(first, list) and 0 < len(first) <= len(expected[0]), "it was interrupted"
    assert first + rates == expected[0]
    assert equal(best, expected[2]) and (epochs, steps) == expected[4:]
    if rates:  # else training was over, and its best weights are all that is read
        assert equal(weights, expected[1]) and shown == expected[3]


@pytest.mark.parametrize(
    "case", ["early stopping", *(pytest.param(x, marks=pytest.mark.slow) for x in CASES if x != "early stopping")]
)
def test_training_that_is_over_takes_no_further_step(case, tmp_path):
    expected = go(words_of(case), tmp_path)
    rates, _, best, _, epochs, steps = go(words_of(case), tmp_path)
    assert not rates and equal(best, expected[2]) and (epochs, steps) == expected[4:]


def test_a_checkpoint_is_written_every_so_many_minutes(tmp_path):
    """As soon as they are over: at each step but the last of an epoch, which its validation follows."""
    saved = []

    class Kept(Files):
        def save_checkpoint(self, checkpoint, path, storage_options=None):
            saved.append((Path(path).name, checkpoint["global_step"]))
            super().save_checkpoint(checkpoint, path)

    settings, data, model = prepared(*THREE, "callbacks.interruption.minutes=1.0e-9")
    made = training.trainer(settings, tmp_path, None)
    made.strategy.checkpoint_io = Kept("a sha256")
    fit(made, model, data, None)
    assert [step for name, step in saved if name == "last.ckpt"] == [*range(1, 16)]


def test_the_second_signal_is_not_waited_with():
    interruption = Interruption(Path(), minutes=10)
    interruption.tell(TERM, None)
    with pytest.raises(Interrupted, match="SIGTERM and SIGINT"):
        interruption.tell(INT, None)


def test_handlers_of_signals_are_given_back(tmp_path):
    before = {each: signal.getsignal(each) for each in signal.valid_signals() - {KILL, signal.SIGSTOP}}
    go(THREE, tmp_path, "step", 3)
    go(THREE, tmp_path)
    assert {each: signal.getsignal(each) for each in before} == before


def test_ctrl_c_is_not_ignored_after_one_that_came_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(Model, "setup", lambda *_, **__: os.kill(os.getpid(), INT))
    before = signal.signal(INT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            go(THREE, tmp_path)
        assert signal.getsignal(INT) is signal.default_int_handler
    finally:
        signal.signal(INT, before)


# --- in processes of their own: real signals ---

SMALL = ["context=48", "horizon=12", "batch_size=16", "backbone.hidden_size=8", "backbone.dropout=0.2"]
SMALL += ["trainer.max_epochs=3", "trainer.limit_train_batches=5", "trainer.limit_val_batches=2"]
PLAIN = ["train", "data.path=my.csv", "data.id=unique_id", *SMALL]
QUIET = [*PLAIN, "logger=none"]


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Runs the command line in a process that gets a signal at a moment: (how it ended, what it said)."""
    home = tmp_path_factory.mktemp("runs")
    panel(series=2, rows=420, freq="h", seed=1).to_csv(home / "my.csv", index=False)
    begun = [sys.executable, HERE / "dying.py"]
    surrounding = {**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        begun, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=home, env=surrounding
    ) as server:

        def run(*words, **settings):
            server.stdin.write(json.dumps({"words": words, "out": "said.txt", **settings}) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline()), (home / "said.txt").read_text()

        run.home = home
        yield run
        server.stdin.close()


@pytest.fixture(scope="module")
def uninterrupted(processes):
    assert processes(*QUIET, "folder=whole")[0] == 0
    return results(processes.home / "whole")


def kept(run: Path) -> dict:
    """The last checkpoint of a run, without the sha256 behind it."""
    content = (run / "checkpoints" / "last.ckpt").read_bytes()[:-32]
    return torch.load(BytesIO(content), weights_only=True)


def results(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("forecaster/model.safetensors", "forecast.csv", "scores.csv")]


KILLS = {  # 3 epochs of 5 steps and 2 batches of validation, 2 or 3 files an epoch
    "before the first step": ("start", 1),
    "in the first step": ("step", 1),
    "in the second step": ("step", 2),
    "in the last step of an epoch": ("step", 5),
    "in the first step of an epoch": ("step", 6),
    "in the middle": ("step", 8),
    "in the last step": ("step", 15),
    "in the first validation": ("validation", 1),
    "in the second validation": ("validation", 4),
    "in the last validation": ("validation", 6),
    "after validation": ("validated", 2),
    "after an epoch": ("epoch", 1),
    "after the last epoch": ("epoch", 3),
    "packing the first checkpoint": ("packing", 1),
    "packing the last checkpoint": ("packing", 6),
    "writing the first best checkpoint": ("writing", 3),
    "writing a checkpoint": ("writing", 9),
    "renaming a checkpoint": ("renaming", 6),
    "renaming a checkpoint half done": ("renaming", 8),
    "at the end of training": ("end", 1),
    "judging": ("judging", 1),
    "saving": ("saving", 1),
}
DEFAULT = ("in the middle", "in the second validation", "renaming a checkpoint half done")


@pytest.mark.parametrize("when", [x if x in DEFAULT else pytest.param(x, marks=pytest.mark.slow) for x in KILLS])
def test_a_run_that_is_killed_goes_on_to_the_same_end(processes, uninterrupted, when):
    folder = f"killed {when}"
    moment, number = KILLS[when]
    code, _ = processes(*QUIET, f"folder={folder}", moment=moment, number=number)
    assert code == -KILL and not (processes.home / folder / "manifest.json").exists()
    if "half done" in when:
        names = {path.name for path in (processes.home / folder / "checkpoints").iterdir()}
        assert names == {"best.ckpt", "before.ckpt", "next.ckpt"}
    code, said = processes("train", f"run={folder}")
    assert code == 0, said
    assert results(processes.home / folder) == uninterrupted


STOPS = {
    "before training": ("start", 1),
    "in the first step": ("step", 1),
    "in the last step of an epoch": ("step", 10),
    "in validation": ("validation", 4),
    "saving": ("packing", 2),
    "in the last step": ("step", 15),
    "judging": ("judging", 1),
}


@pytest.mark.parametrize(
    ("when", "by"),
    [
        pytest.param(when, by, marks=[] if (when, by) in [("in validation", TERM)] else pytest.mark.slow)
        for when in STOPS
        for by in (TERM, INT)
    ],
)
def test_a_signal_ends_a_run_with_75_and_the_line_that_goes_on(processes, uninterrupted, when, by):
    folder, (moment, number) = f"stopped {when} by {by.name}", STOPS[when]
    code, said = processes(*QUIET, f"folder={folder}", moment=moment, number=number, signal=by)
    assert code == 75
    line = said.strip().split("\n")[-1]
    assert f"interrupted by {by.name}" in line and line.endswith(f"forecast train 'run={folder}'")
    if moment in ("step", "validation"):
        step = int(line.split("after step ")[1].split(";")[0])
        assert kept(processes.home / folder)["global_step"] == step
    code, said = processes("train", f"run={folder}")
    assert code == 0, said
    assert results(processes.home / folder) == uninterrupted


@pytest.mark.slow
def test_a_run_may_be_interrupted_again_and_again(processes, uninterrupted):
    """The command that began it goes on with it as well, as SLURM does that runs a script again."""
    begun = [*QUIET, "run=again"]
    asked = {"environment": {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "a", "SLURM_NODELIST": "here"}}
    asked["environment"] |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for number, by in ((4, USR1), (3, TERM), (3, KILL)):
        code, said = processes(*begun, moment="step", number=number, signal=by, **asked)
        assert code == (-KILL if by == KILL else 75), said
        assert "scontrol" not in said and "Traceback" not in said
    steps = kept(processes.home / "again")["global_step"]
    assert steps == 7
    assert processes(*begun, **asked)[0] == 0
    assert results(processes.home / "again") == uninterrupted
    before = {path: path.stat().st_mtime_ns for path in (processes.home / "again").rglob("*")}
    code, said = processes(*begun)
    assert code == 0 and "this run is finished" in said and said.endswith("run: again\n")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    overrides = json.loads((processes.home / "again" / "manifest.json").read_text())["overrides"]
    assert overrides["horizon"] == "12" and "run" not in overrides


@pytest.mark.usefixtures("uninterrupted")  # whose settings it has
def test_a_run_that_is_at_work_is_left_alone(processes):
    folder = processes.home / "busy"
    folder.mkdir()
    (folder / "config.yaml").write_text((processes.home / "whole" / "config.yaml").read_text())
    with logged(folder / "train.log"):
        code, said = processes("train", "run=busy")
    assert code == 2 and "another process is at work on this run" in said
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "train.log"}


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run, but for times and memory."""
    events = EventAccumulator(str(run / "tensorboard"), {"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.endswith(("second", "mib"))]
    return {tag: [(x.step, x.value) for x in events.Scalars(tag)] for tag in tags}


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "number", "by"), [("step", 13, TERM), ("validation", 4, TERM), ("step", 8, KILL)])
def test_tensorboard_shows_each_point_once(processes, moment, number, by):
    folder = f"events {moment} {number} {by}"
    if not (processes.home / "shown").exists():
        assert processes(*PLAIN, "folder=shown")[0] == 0
    processes(*PLAIN, f"folder={folder}", moment=moment, number=number, signal=by)
    assert processes("train", f"run={folder}")[0] == 0
    found, expected = scalars(processes.home / folder), scalars(processes.home / "shown")
    assert found == expected and len(expected["train/loss"]) == len(expected["val/loss"]) == 3


@pytest.mark.slow
def test_points_that_are_logged_again_are_shown_once(processes):
    """Validation has been logged when its checkpoint can't be written, so it is there twice."""
    if not (processes.home / "shown").exists():
        assert processes(*PLAIN, "folder=shown")[0] == 0
    assert processes(*PLAIN, "folder=twice", limit=30_000)[0] == 4
    assert processes("train", "run=twice")[0] == 0
    everything = EventAccumulator(
        str(processes.home / "twice" / "tensorboard"), {"scalars": 0}, purge_orphaned_data=False
    ).Reload()
    assert len(everything.Scalars("val/loss")) == 4
    assert scalars(processes.home / "twice") == scalars(processes.home / "shown")


# --- what can't be written ---


def test_a_full_disk_is_an_error_and_the_run_goes_on_once_there_is_room(processes, uninterrupted):
    """The second best checkpoint is too large for it: what was there before is what the run goes on from."""
    code, said = processes(*QUIET, "folder=full", moment="epoch", number=9, limit=30_000)
    assert code == 4 and "could not be written: File too large" in said and "to go on: forecast train run=full" in said
    code, said = processes("train", "run=full")
    assert code == 0, said
    assert results(processes.home / "full") == uninterrupted


@pytest.mark.slow
def test_events_that_can_not_be_written_end_a_run(processes):
    code, said = processes(*PLAIN, "folder=no events", events=14)
    assert code == 4 and "No space left on device" in said and "to go on: forecast train" in said
    assert (processes.home / "no events" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("events", [0, 3, 9])
def test_and_it_goes_on_later(processes, events):
    folder = f"no events {events}"
    code, said = processes(*PLAIN, f"folder={folder}", events=events)
    assert code == 4 and "No space left on device" in said
    code, said = processes("train", f"run={folder}")
    assert code == 0, said
    assert results(processes.home / folder)[0] == results(processes.home / "whole")[0]


# --- what is refused ---


REFUSED = {
    "no such folder": (["run=nowhere"], "no run has begun in this folder, which is not there"),
    "a folder of somebody else": (["run=theirs"], "which holds no config.yaml"),
    "with other keys, too": (["run=theirs", *PLAIN[1:]], "which holds no config.yaml"),
    "other settings": (["run=mine", *PLAIN[1:], "horizon=13", "seed=2"], r"settings \(horizon, seed\): leave out"),
    "some of its settings": (["run=mine", "horizon=12"], r"batch_size, context, data.future and \d+ more\): leave out"),
    "settings that can't be read": (["run=broken"], "holds no settings of a run"),
}


@pytest.fixture
def begun():
    """The settings of a run that has begun, in a folder of its own."""
    composed = config.composed("train", PLAIN[1:])
    for name, text in {
        "theirs/file": "x",
        "broken/config.yaml": "- [",
        "mine/config.yaml": f"{told(PLAIN[1:])}\n{yaml.safe_dump(composed)}",
    }.items():
        Path(name).parent.mkdir()
        Path(name).write_text(text)
    return composed


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_go_on_is_refused(begun, case):
    words, expected = REFUSED[case]
    with pytest.raises(Refusal, match=expected):
        continued(config.composed("train", words), words, None)


def test_a_run_goes_on_with_what_it_was_begun_with(begun):
    """By its folder alone, by the command that began it, or as a sweep's job; another folder of a sweep begins one."""
    for words, folder in ((["run=mine"], None), (["run=mine", *PLAIN[1:]], None), (PLAIN[1:], Path("mine"))):
        found = continued(config.composed("train", words), words, folder)
        assert found == (begun, PLAIN[1:], Path("mine"))
    assert continued(begun, PLAIN[1:], Path("theirs")) == (begun, PLAIN[1:], None)
    words = ["run=new", *PLAIN[1:]]
    assert continued(config.composed("train", words), words, None) == ({**begun, "folder": "new"}, PLAIN[1:], None)


def test_a_folder_with_a_comma_is_one_folder():
    with pytest.raises(Interrupted) as error, resumable(Path("a, b")):
        raise Interrupted("interrupted")
    word = shlex.split(str(error.value).split("forecast ")[1])[1]
    assert OverridesParser.create().parse_override(word).value() == "a, b"


@pytest.fixture(scope="module")
def stopped(processes):
    """A run that was stopped, to be copied."""
    processes(*QUIET, "folder=stopped", moment="step", number=8, signal=TERM)
    return processes.home / "stopped"


def copied(stopped: Path) -> Path:
    return copytree(stopped, stopped.with_name(f"copy-{next(NUMBERS)}"))


@pytest.mark.slow
def test_other_data_are_refused(processes, stopped):
    mine, before = processes.home / "my.csv", (processes.home / "my.csv").read_text()
    rows = before.split("\n")
    mine.write_text(before.replace(rows[5], f"{rows[5].rsplit(',', 1)[0]},1.5"))
    try:
        code, said = processes("train", f"run={stopped}")
    finally:
        mine.write_text(before)
    assert code == 2 and "the data are not those that the run began with" in said


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(processes, stopped, uninterrupted):
    run = copied(stopped)
    flip(run / "checkpoints" / "last.ckpt")
    code, said = processes("train", f"run={run}")
    assert code == 0 and "last.ckpt is damaged" in said and "going on from before.ckpt" in said
    assert results(run) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [["best.ckpt"], ["last.ckpt", "before.ckpt"]])
def test_a_run_without_a_sound_checkpoint_is_refused(processes, stopped, damaged):
    run = copied(stopped)
    for name in damaged:
        flip(run / "checkpoints" / name)
    code, said = processes("train", f"run={run}")
    assert code == 2 and f"{damaged[-1]} is damaged" in said and f"delete {run / 'checkpoints'}" in said


@pytest.mark.slow
def test_a_run_may_have_moved(processes, stopped, uninterrupted):
    """Also the best checkpoint, which an epoch that was done before may hold."""
    run = copied(stopped)
    stopped.rename(processes.home / "away")
    try:
        code, said = processes("train", f"run={run}")
    finally:
        (processes.home / "away").rename(stopped)
    assert code == 0, said
    assert results(run) == uninterrupted


@pytest.mark.slow
def test_a_forecaster_goes_on_in_python(tmp_path):
    """Without `resume` it begins anew in the same folder."""
    frame = panel(series=1, rows=420, freq="h", seed=1)
    words = [*SMALL, "data=csv", "trainer.enable_progress_bar=false", "logger=none"]
    expected = Forecaster(overrides=words).fit(frame).predict()
    done = Forecaster(overrides=words)
    done.fit(frame, folder=tmp_path)
    assert done.fit(frame, folder=tmp_path, resume=True).predict().equals(expected)
    assert done.fit(frame, folder=tmp_path).predict().equals(expected)
