"""Several processes: they train the model that one trains, a run is written once, and one that dies ends the job."""

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ranked
import torch
from conftest import DIRECT

from forecast import Forecaster, config, device, ranks
from forecast.data.synthetic import panel
from forecast.error import Diverged, ForecastError, Interrupted
from forecast.signals import handled

SMALL = (
    *DIRECT,
    "context=12",
    "horizon=4",
    "backbone.hidden_size=4",
    "trainer.accelerator=cpu",
    "callbacks.figures=null",
)
HARD = (  # all that a batch may be weighed by; 37 windows an epoch make the last step a short one
    "windows_per_epoch=37", "trainer.max_epochs=3", "loss.horizon=0.8", "loss.spike=3", "loss.series={s1: 3}",
    "loss.spike_from=0.7", "loss.l1=0.001", "data.half_life=100", "callbacks.early_stopping=null", "logger=none",
)  # fmt: skip
TWO = ("trainer=ddp", "trainer.devices=2")
CHECKOUT = Path(config.CONF).parent


def begun(folder: Path, call: list[str], **kept: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"} | kept
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(call, cwd=folder, env=environment, **pipes)


def shown(folder: Path, *words: str, **kept: str) -> subprocess.Popen:
    """The console script in a folder, in a process of its own."""
    return begun(folder, [sys.executable, "-m", "forecast", *words], **kept)


def ended(process: subprocess.Popen, seconds: float = 300) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=seconds)
    return process.returncode, out, error


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Two hourly series in which values are missing."""
    found = panel(series=2, rows=300, freq="h", seed=1)
    return found.assign(y=found["y"].where(np.random.default_rng(1).random(len(found)) > 0.2))


def one(rows: pd.DataFrame, *words: str) -> Forecaster:
    """The same trained in this process."""
    return Forecaster(data="csv", overrides=[*SMALL, *HARD, *words]).fit(rows)


def same(a: Forecaster, b: Forecaster) -> None:
    """Weights equal to 1e-6, scores and their rows to what that makes of them."""
    theirs = b.fitted.model.state_dict()
    for name, x in a.fitted.model.state_dict().items():
        assert float((x - theirs[name]).abs().max()) <= 1e-6, name
    for key in ("val/loss", "val/mae", "val/mse", "epochs", "steps"):
        assert a.fitted.record[key] == pytest.approx(b.fitted.record[key], rel=1e-5), key


@pytest.fixture(scope="module")
def pair(rows, tmp_path_factory):
    """A run of two processes by the console script: its folder's parent, exit code, stdout, stderr."""
    folder = tmp_path_factory.mktemp("pair")
    rows.to_csv(folder / "my.csv", index=False)
    words = ("train", "data.path=my.csv", *SMALL, *HARD, *TWO, "batch_size=8")
    return folder, *ended(shown(folder, *words))


def test_two_processes_train_as_one_with_the_same_global_batch(pair, rows):
    folder, code, _, error = pair
    assert code == 0, error
    (run,) = folder.glob("outputs/*/*/*")
    made = Forecaster.load(run)
    alone = one(rows, "batch_size=8")
    same(made, alone)
    told = (run / "train.log").read_text().splitlines()
    losses = re.findall(r"train/loss ([\d.]+), val/loss ([\d.]+)", "\n".join(told))
    assert len(losses) == 3 and float(losses[-1][1]) == pytest.approx(made.fitted.record["val/loss"], abs=1e-3)


def test_forecasts_of_two_processes_are_every_window_once_in_order(pair, rows):
    (run,) = pair[0].glob("outputs/*/*/*")
    found = pd.read_csv(run / "forecast.csv", parse_dates=["ds", "cutoff"])
    expected = one(rows, "batch_size=8").backtest()
    assert not found.duplicated(["unique_id", "ds", "cutoff"]).any()
    assert found[["unique_id", "ds", "cutoff"]].astype(str).equals(expected[["unique_id", "ds", "cutoff"]].astype(str))
    values = found.columns.drop(["unique_id", "ds", "cutoff"])
    np.testing.assert_allclose(found[values], expected[values], rtol=1e-5)


def test_one_process_writes_and_speaks(pair):
    folder, _, out, error = pair
    (run,) = folder.glob("outputs/*/*/*")
    assert {path.name for path in folder.iterdir()} == {"my.csv", "outputs"}
    assert {path.name for path in run.iterdir()} >= {"config.yaml", "forecaster", "forecast.csv", "manifest.json"}
    assert out.count("run: ") == 1 and f"run: {run.relative_to(folder)}" in out
    lines = error.splitlines()
    assert [x.split(":")[0] for x in lines] == ["epoch 1", "epoch 2", "epoch 3"], error
    assert json.loads((run / "manifest.json").read_text())["overrides"]["trainer.devices"] == "2"


# --- what a process that fails does to the others ---


ENDS = {
    "is killed": (ForecastError, r"^rank 1 of 2 was killed by SIGKILL; the other processes were stopped$"),
    "diverges": (Diverged, "^the loss became nan$"),
    "fails": (ForecastError, r"(?s)^rank 1 of 2 ended with code 1\n.*in work\n.*KeyError: 'a fault of ours'$"),
}


@pytest.mark.parametrize(
    "does", ["is killed", *(pytest.param(x, marks=pytest.mark.slow) for x in ENDS if x != "is killed")]
)
def test_a_rank_that_ends_early_ends_all_and_is_named(does, tmp_path, capfd):
    kind, words = ENDS[does]
    began = time.monotonic()
    with pytest.raises(ForecastError, match=words) as raised:
        ranks.spread(2, ranked.work, does, str(tmp_path))
    assert type(raised.value) is kind and time.monotonic() - began < 60
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_ranks_are_started_leaves_none_behind(number, tmp_path, monkeypatch):
    """SLURM is told to send the second one."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    kill = threading.Thread(target=lambda: (waited_for(tmp_path), os.kill(os.getpid(), number)))
    kill.start()
    began = time.monotonic()
    with pytest.raises(Interrupted, match=number.name), handled(lambda *_: None):
        ranks.spread(2, ranked.work, "waits", str(tmp_path), np.zeros(20_000_000))
    kill.join()
    assert time.monotonic() - began < 60
    assert not [x for x in multiprocessing.active_children() if x.is_alive()]


def waited_for(folder: Path) -> None:
    while not list(folder.iterdir()):
        time.sleep(0.01)


def test_a_rank_that_was_killed_is_named_and_not_those_that_failed_without_it(tmp_path):
    said = str(ranks.culprit(["its peer is gone", None, None], [1, -9, 1], tmp_path))
    assert said == "rank 1 of 3 was killed by SIGKILL; the other processes were stopped"


@pytest.mark.slow
def test_ranks_together_are_one_call(tmp_path, caplog, capfd):
    """The first answers and is heard, also by what keeps logs in files; no rank writes on the terminal."""
    assert ranks.spread(3, ranked.work, "returns", str(tmp_path)) == "0 of 3"
    assert [(x.name, x.getMessage()) for x in caplog.records] == [("forecast.data", "rank 0 is here")]
    assert capfd.readouterr() == ("", "")


# --- slow proofs by the console script ---

LONG = ("windows_per_epoch=400", "batch_size=2", "trainer.max_epochs=500", "callbacks.early_stopping=null")


def spawned(parent: int) -> list[int]:
    """The processes that a run has started, in the order of their ranks."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(x) for x in found if b"spawn_main" in Path(f"/proc/{x}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["begins", "trains", "trains on", "trains still", "trains long"])
def test_a_killed_rank_ends_the_console_script(moment, rows, tmp_path):
    rows.to_csv(tmp_path / "my.csv", index=False)
    process = shown(tmp_path, "train", "data.path=my.csv", *SMALL, *LONG, *TWO)
    try:
        begun = time.monotonic()
        while not list(tmp_path.glob("outputs/*/*/*/checkpoints/*")) and moment != "begins":
            assert process.poll() is None and time.monotonic() - begun < 200
            time.sleep(0.1)
        time.sleep(len(moment) / 3)
        while len(found := spawned(process.pid)) < 2:
            time.sleep(0.1)
        os.kill(found[1], signal.SIGKILL)
        killed = time.monotonic()
        code, _, error = ended(process, 60)
    finally:
        process.kill()
    assert code == 1 and error.splitlines()[-1].startswith("forecast train: rank 1 of 2 was killed by SIGKILL"), error
    assert "Traceback" not in error and time.monotonic() - killed < 60


@pytest.mark.slow
def test_a_run_that_is_told_to_stop_takes_its_processes_along(rows, tmp_path):
    rows.to_csv(tmp_path / "my.csv", index=False)
    process = shown(tmp_path, "train", "data.path=my.csv", *SMALL, *LONG, *TWO)
    try:
        while not list(tmp_path.glob("outputs/*/*/*/checkpoints/*")):
            assert process.poll() is None
            time.sleep(0.1)
        found = spawned(process.pid)
        process.terminate()
        code, _, error = ended(process, 60)
    finally:
        process.kill()
    assert code == 75 and len(found) == 2 and "Traceback" not in error, error
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)


@pytest.mark.slow
def test_a_sweep_of_runs_by_two_processes(rows, tmp_path):
    rows.to_csv(tmp_path / "my.csv", index=False)
    words = ("data.path=my.csv", *SMALL, *HARD, *TWO, "batch_size=8")
    code, _, error = ended(shown(tmp_path, "train", "-m", *words, "seed=1,2"))
    assert code == 0, error
    (sweep,) = tmp_path.glob("outputs/sweep/*")
    assert {path.name for path in tmp_path.glob("outputs/*")} == {"sweep"}
    assert {path.parent.name for path in sweep.glob("*/manifest.json")} == {"0", "1"}
    for job, seed in (("0", 1), ("1", 2)):
        same(Forecaster.load(sweep / job), one(rows, "batch_size=8", f"seed={seed}"))
        assert (sweep / job / "output.log").read_text().count("run: ") == 1


# --- processes that other programs start: torchrun on two nodes, SLURM ---

NODES = (*SMALL, *HARD, "trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2", "batch_size=8")


def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def agents(folder: Path, *words: str) -> list[subprocess.Popen]:
    """What each of two nodes runs, by torchrun; both have this machine's network and disk."""
    where = f"--rdzv-endpoint=127.0.0.1:{port()}"
    call = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", where, "--rdzv-id=1", "--local-addr=127.0.0.1"]
    call = [sys.executable, "-m", "torch.distributed.run", *call, "-m", "forecast", "train", *words]
    return [begun(folder, call) for _ in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["torchrun", "slurm"])
def test_two_nodes_train_as_one_process(by, rows, tmp_path):
    rows.to_csv(tmp_path / "my.csv", index=False)
    words = ("data.path=my.csv", *NODES)
    if by == "torchrun":
        nodes = agents(tmp_path, *words)
    else:  # what srun --nodes=2 --ntasks-per-node=1 tells each of its tasks
        job = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "load", "SLURM_NNODES": "2"}
        job |= {"SLURM_JOB_ID": str(port()), "SLURM_NODELIST": "127.0.0.1", "SLURM_LOCALID": "0"}
        ids = [{"SLURM_PROCID": str(i), "SLURM_NODEID": str(i)} for i in range(2)]
        nodes = [shown(tmp_path, "train", *words, **job, **each) for each in ids]
    results = [ended(node) for node in nodes]
    assert [code for code, _, _ in results] == [0, 0], results
    (run,) = tmp_path.glob("outputs/*/*/*")
    same(Forecaster.load(run), one(rows, "batch_size=8"))
    assert {path.name for path in tmp_path.iterdir()} == {"my.csv", "outputs"}
    assert sum(out.count("run: ") for _, out, _ in results) == 1
    assert sum(error.count("epoch 3: ") for _, _, error in results) == 1


@pytest.mark.slow
def test_a_killed_rank_ends_both_nodes(rows, tmp_path):
    rows.to_csv(tmp_path / "my.csv", index=False)
    nodes = agents(tmp_path, "data.path=my.csv", *NODES, *LONG)
    try:
        while not list(tmp_path.glob("outputs/*/*/*/checkpoints/*")):
            assert all(node.poll() is None for node in nodes)
            time.sleep(0.1)
        (rank,) = Path(f"/proc/{nodes[1].pid}/task/{nodes[1].pid}/children").read_text().split()
        os.kill(int(rank), signal.SIGKILL)
        killed = time.monotonic()
        results = [ended(node, 60) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert all(code for code, _, _ in results) and time.monotonic() - killed < 60
    assert any("Signal 9 (SIGKILL)" in error and re.search(r"rank +: [01] ", error) for _, _, error in results), results


def test_a_process_leaves_the_others_before_it_ends(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/met", rank=0, world_size=1)
    for _ in range(2):  # each training of a process asks for it
        device.leave()
        assert not torch.distributed.is_initialized()
