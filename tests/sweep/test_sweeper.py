"""Sweeps from the command line: what is done is skipped, what failed is tried again, folders never collide."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import QUICK

from forecast.sweep.folder import held
from forecast.sweep.job import begun, jobs, read

HERE = "hydra/launcher=basic"  # jobs in this process: what is tested is not how they run
TRAIN = (*QUICK, "context=48", "horizon=12", "logger=none")


@pytest.fixture
def tables(tmp_path) -> list[str]:
    """Forecast tables to score, which takes no training."""
    for name, error in (("a", 1.0), ("b", 2.0)):
        ds = pd.date_range("2024-01-01", periods=8, freq="h")
        table = pd.DataFrame({"unique_id": "x", "ds": ds, "cutoff": ds[0] - pd.Timedelta("1h"), "y": 1.0})
        table.assign(point=1.0 + error).to_csv(tmp_path / f"{name}.csv", index=False)
    return ["a.csv", "b.csv"]


def when(sweep: str) -> dict[str, int]:
    """When each job's record was last written."""
    return {job.name: (job.folder / "job.json").stat().st_mtime_ns for job in jobs(Path(sweep))}


def test_the_same_command_again_skips_what_is_done_and_tries_what_failed(forecast, tables):
    words = ("score", "-m", HERE, "sweep.folder=mine", "tables=a.csv,b.csv,c.csv", "loss=mae,mse")
    code, out, err = forecast(*words)
    assert code == 2 and "2 of 6 jobs failed" in err
    assert "job 4 failed: tables=c.csv" in out and "sweep.folder=mine" in out
    assert [job.state for job in jobs(Path("mine"))] == ["done"] * 4 + ["failed"] * 2
    before = when("mine")
    Path("c.csv").write_bytes(Path("a.csv").read_bytes())
    code, out, err = forecast(*words)
    assert code == 0 and "failed" not in out + err
    changed = {name for name, time in when("mine").items() if time != before[name]}
    assert changed == {"4", "5"} and {job.state for job in jobs(Path("mine"))} == {"done"}
    forecast(*words)
    assert len(when("mine")) == 6


def test_a_wider_grid_goes_on_with_a_narrower_one(forecast, tables):
    forecast("score", "-m", HERE, "sweep.folder=mine", "tables=a.csv", "loss=mae,mse")
    before = when("mine")
    code, _, _ = forecast("score", "-m", HERE, "sweep.folder=mine", "tables=b.csv,a.csv", "loss=mse,mae")
    after = when("mine")
    assert code == 0 and len(after) == 4 and before.items() <= after.items()
    assert read(Path("mine/2")).overrides == ["tables=b.csv", "loss=mse"]


def test_an_experiment_says_what_it_sweeps_over_and_the_command_line_goes_first(forecast, tmp_path):
    mine = tmp_path / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    params = "    params:\n      seed: 1,2\n      context: 0,-1\n"
    mine.write_text("# @package _global_\nhydra:\n  sweeper:\n" + params)
    words = (f"--config-dir={mine.parents[1]}", HERE, "experiment=mine")
    _, _, err = forecast("train", "-m", *words)
    assert "4 of 4 jobs failed" in err and err.count("context=0:") == err.count("context=-1:") == 2
    _, _, err = forecast("train", "-m", *words, "context=-2")
    assert "2 of 2 jobs failed" in err and err.count("context=-2:") == 2
    assert forecast("train", words[0], words[-1], "context=-3")[2].count("context=-3:") == 1  # without -m one run


def test_a_job_that_was_cut_off_is_made_anew(forecast, tables):
    words = ("score", "-m", HERE, "sweep.folder=mine", "tables=a.csv,b.csv")
    forecast(*words)
    record = Path("mine/1/job.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "running"}))
    Path("mine/1/leftover").touch()
    assert forecast(*words)[0] == 0
    assert read(Path("mine/1")).state == "done" and not Path("mine/1/leftover").exists()


def test_a_sweep_of_which_every_job_is_refused_leaves_nothing_but_what_was_there(forecast, tables):
    before = sorted(path.name for path in Path().iterdir())
    code, out, err = forecast("score", "-m", HERE, "tables=no.csv,none.csv")
    assert code == 2 and "job 0: tables=no.csv" in err and "job 1: tables=none.csv" in err and "sweep:" not in out
    assert sorted(path.name for path in Path().iterdir()) == before
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    assert forecast("score", "-m", HERE, "sweep.folder=mine", "tables=no.csv,none.csv")[0] == 2
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


def test_a_refusal_takes_away_no_training_that_was_cut_off(forecast):
    job = begun(Path("mine"), ["tables=no.csv"]).ended("failed", 75, "interrupted", cut=True)
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints/last.ckpt").touch()
    code, out, _ = forecast("score", "-m", HERE, "sweep.folder=mine", "tables=no.csv,none.csv")
    assert code == 2 and "job 0 failed: tables=no.csv" in out and read(job.folder).trained


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sweep.jobs=2",), "-m asks for"),
        (("sweep=optuna",), "-m asks for"),
        (("-m", "sweep=optun"), "did you mean 'optuna'"),
        (("-m", "sweep.job=2"), "did you mean 'sweep.jobs'"),
        (("-m", "sweep.jobs=0"), "sweep.jobs=0: expected a whole number of at least 1"),
        (("-m", "sweep.timeout=-1"), "sweep.timeout=-1: expected null or seconds"),
        (("-m", "backbone=gruu,lstm"), "did you mean 'gru'"),
        (("-m", "sweep=optuna", "seed=1"), "give at least one key a space"),
        (("-m", "sweep=optuna", "seed=1,2", "sweep.sampler=tpee"), "did you mean 'tpe'"),
        (("-m", "sweep=optuna", "seed=1,2", "sweep.trials=0"), "sweep.trials=0"),
        (("-m", "sweep=optuna", "seed=1,2", "sweep.pruner=mean"), "expected median, hyperband or null"),
        (("-m", "sweep=optuna", "seed=1,2", "sweep.objectives=[score,second]"), "did you mean 'seconds'"),
        (("-m", "sweep=optuna", "seed=1,2", "sweep.objectives=[score,seconds]", "sweep.pruner=median"), "needs sweep"),
        (("-m", "optimizer.lr=interval(0,1)"), "does not support sweep type"),
    ],
)
def test_a_sweep_that_can_not_be_is_refused_before_anything_is_written(forecast, tables, words, said):
    before = sorted(path.name for path in Path().iterdir())
    code, _, err = forecast("train", *words)
    assert code == 2 and said in err and "Traceback" not in err
    assert sorted(path.name for path in Path().iterdir()) == before


def test_of_two_sweeps_in_one_folder_the_second_is_refused_and_touches_nothing(forecast, tables):
    words = ("score", "-m", HERE, "sweep.folder=mine", "tables=a.csv")
    forecast(*words)
    before = {path: path.stat().st_mtime_ns for path in Path("mine").rglob("*")}
    with held(Path("mine")):
        code, _, err = forecast(*words, "loss=mse")
    assert code == 2 and "mine: another sweep is at work there" in err
    assert {path: path.stat().st_mtime_ns for path in Path("mine").rglob("*")} == before
    assert forecast(*words, "loss=mse")[0] == 0 and len(jobs(Path("mine"))) == 2


def test_a_sweep_folder_that_can_not_be_made_is_said(forecast, tables):
    Path("afile").touch()
    code, _, err = forecast("score", "-m", "sweep.folder=afile/x", "tables=a.csv,b.csv")
    assert code == 4 and "afile/x can't be made" in err and "Traceback" not in err


def started(log: str, *words: str) -> subprocess.Popen:
    with Path(log).open("w") as out:
        return subprocess.Popen([sys.executable, "-m", "forecast", *words], stdout=out, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_two_sweeps_at_once_have_folders_of_their_own_and_never_share_one(tables):
    words = ("score", "-m", "tables=a.csv,b.csv")
    apart = [started("apart.log", *words) for _ in range(2)]
    first = started("first.log", *words, "sweep.folder=mine")
    while not Path("mine/0/job.json").exists() and first.poll() is None:
        time.sleep(0.05)
    second = started("second.log", *words, "sweep.folder=mine")
    assert second.wait() == 2 and "another sweep is at work there" in Path("second.log").read_text()
    assert [sweep.wait() for sweep in (*apart, first)] == [0, 0, 0]
    folders = [*Path("outputs/sweep").iterdir(), Path("mine")]
    assert len(folders) == 3
    for folder in folders:
        assert [job.state for job in jobs(folder)] == ["done", "done"]


def killed(words: list[str], folder: str, done: int) -> None:
    """Starts a sweep, and kills it when so many of its jobs are done."""
    sweep = started("killed.log", *words)
    while sum(job.state in ("done", "pruned") for job in jobs(Path(folder))) < done:
        assert sweep.poll() is None, Path("killed.log").read_text()
        time.sleep(0.02)
    sweep.send_signal(signal.SIGKILL)
    assert sweep.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_sweep_goes_on(tables):
    """Killed after two of four: the others are run, the two stay as they are."""
    words = ["score", "-m", "sweep.folder=mine", "tables=a.csv,b.csv", "loss=mae,mse"]
    killed(words, "mine", 2)
    before = when("mine")
    assert [job.state for job in jobs(Path("mine"))] == ["done", "done", "running", "running"]
    assert started("again.log", *words).wait() == 0, Path("again.log").read_text()
    after = when("mine")
    assert {name for name in after if after[name] != before[name]} == {"2", "3"}
    assert [job.state for job in jobs(Path("mine"))] == ["done"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("sweep", ["grid", "optuna"])
def test_a_killed_sweep_of_trainings_goes_on(csv, sweep):
    """Killed after two of six: the two stay as they are, the others are trained, six are ranked."""
    folder = "outputs/mine"
    space = ["seed=1,2", "backbone=rnn,gru,lstm"] if sweep == "grid" else ["optimizer.lr=tag(log,interval(1e-4,1e-2))"]
    trials = ["sweep.trials=6", "sweep.sampler=random"] if sweep == "optuna" else []
    words = ["train", "-m", f"data.path={csv}", *TRAIN, f"sweep={sweep}", *trials, f"sweep.folder={folder}", *space]
    killed(words, folder, 2)
    before = when(folder)
    assert started("again.log", *words).wait() == 0, Path("again.log").read_text()
    after = when(folder)
    assert [after["0"], after["1"]] == [before["0"], before["1"]] and len(after) == 6
    table = pd.read_csv(Path(folder, "sweep.csv"))
    assert (table["state"] == "done").all() and table["val/mae"].is_monotonic_increasing
    if sweep == "optuna":
        assert table["optimizer.lr"].nunique() == 6


def points(run: Path) -> list[list[int]]:
    """The steps of which each process that trained a run has logged the loss."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted((run / "tensorboard").glob("events.*"), key=lambda path: path.stat().st_mtime)
    found = [EventAccumulator(str(file), {"scalars": 0}).Reload() for file in files]
    return [[x.step for x in each.Scalars("train/loss")] for each in found if "train/loss" in each.Tags()["scalars"]]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_of_a_sweep_that_was_cut_off_goes_on_to_the_last_bit(csv, number):
    """Killed, or told to stop: the same command again trains what is left."""
    words = ["train", "-m", f"data.path={csv}", *TRAIN[1:-1], "trainer.max_epochs=60", "trainer.log_every_n_steps=1"]
    words += ["callbacks.early_stopping=null", "seed=1,2"]
    assert started("whole.log", *words, "sweep.folder=whole").wait() == 0, Path("whole.log").read_text()
    last, folder = Path("mine/1/checkpoints/last.ckpt"), Path("mine/1")
    sweep = started("cut.log", *words, "sweep.folder=mine")
    while not last.exists():
        assert sweep.poll() is None, Path("cut.log").read_text()
        time.sleep(0.02)
    sweep.send_signal(number)
    assert sweep.wait() == (-number if number == signal.SIGKILL else 75)
    assert read(folder).trained and not read(folder).manifest
    assert started("again.log", *words, "sweep.folder=mine").wait() == 0, Path("again.log").read_text()
    before, after = points(folder)
    (whole,) = points(Path("whole/1"))
    assert after[0] > 0 and len(after) < len(whole) and {*before, *after} == {*whole}
    for job in "01":
        weights = [Path(sweep, job, "forecaster/model.safetensors").read_bytes() for sweep in ("whole", "mine")]
        assert weights[0] == weights[1]
    tables = [pd.read_csv(f"{sweep}/sweep.csv").drop(columns="seconds") for sweep in ("whole", "mine")]
    pd.testing.assert_frame_equal(*tables)


LAUNCHERS = {
    "joblib": "hydra/launcher=joblib hydra.launcher.n_jobs=2",
    "submitit": "hydra/launcher=submitit_local",
    "ray": "hydra/launcher=ray +hydra.launcher.ray.init.num_cpus=2",  # starts a Ray of its own
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_other_launchers_run_the_same_jobs(csv, launcher):
    """Half of the jobs fail: they are listed, and alone tried again; the rest are as by our own launcher, logs too."""
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    words = ["-m", f"data.path={csv}", *TRAIN, "seed=1,2", "data.scaler=standard,wrong"]
    environment = {key: x for key, x in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def swept(folder: str, *chosen: str) -> pd.DataFrame:
        command = [sys.executable, "-m", "forecast", "train", *words, f"sweep.folder={folder}", *chosen]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert run.returncode == 2 and "2 of 4 jobs failed" in run.stderr, run.stderr
        assert run.stdout.count("data.scaler=wrong: expected one of") == 2
        return pd.read_csv(Path(folder, "sweep.csv"))

    tables = swept("own", "sweep.jobs=2"), swept("other", *LAUNCHERS[launcher].split())
    for column in ("seed", "state", "reason", "val/mae", "mae"):
        pd.testing.assert_series_equal(tables[0][column], tables[1][column], rtol=1e-6)
    for own, other in zip(jobs(Path("own")), jobs(Path("other")), strict=True):
        assert (own.name, own.state, own.code) == (other.name, other.state, other.code)
        if own.state == "done":
            logs = [(job.folder / "train.log").read_text().rpartition(",")[0] for job in (own, other)]  # but its speed
            assert logs[0] == logs[1] != ""
            if launcher != "submitit":  # of which each job may have all cores
                assert own.manifest["threads"] == other.manifest["threads"]
    before = when("other")
    swept("other", *LAUNCHERS[launcher].split())
    assert {name for name, time in when("other").items() if time != before[name]} == {"1", "3"}
