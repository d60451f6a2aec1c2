"""What this machine can't do is refused before any data is read; number formats and the compiler leave no trace."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_training import settings_of

from forecast import Forecaster, WindowedRegressor, config, device, learning
from forecast.data.synthetic import panel
from forecast.error import Refusal

LACKING = {
    "trainer.accelerator=gpu": "trainer.accelerator=gpu: PyTorch finds no GPU .* use trainer.accelerator=auto or cpu",
    "trainer.accelerator=cuda": "trainer.accelerator=cuda: PyTorch finds no GPU",
    "trainer.strategy=ddp_spawn": "trainer.strategy=ddp_spawn: expected one of auto, ddp ",
    "trainer.strategy=fsdp": "trainer.strategy=fsdp: expected one of auto, ddp ",
    "trainer.precision=16-mixed": "trainer.precision=16-mixed needs a GPU: use bf16-mixed or 32-true",
    "tf32=true": "tf32=true: only NVIDIA GPUs .* use tf32=false",
    "trainer.devices=0": "trainer can't be built",
}


@pytest.mark.parametrize("word", LACKING)
def test_what_a_machine_has_not_is_refused_before_data_is_read(word, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["trainer.accelerator=cpu", word, "data.path=there-is-no-such-file.csv"]
    with pytest.raises(Refusal, match=LACKING[word]):
        Forecaster(data="csv", overrides=words).fit()


def test_a_processor_without_bfloat16_is_refused(monkeypatch):
    def unable(*_):
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(torch.nn.LSTM, "forward", unable)
    with pytest.raises(Refusal, match=r"this processor has no bfloat16 .* use 32-true"):
        device.able(settings_of("trainer.precision=bf16-mixed"))


ELASTIC = {"TORCHELASTIC_RUN_ID": "1", "GROUP_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
STARTED = {  # what a process is told that another program started as the last of four, on the second of two nodes
    "torchrun": ELASTIC | {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"},
    "slurm": {
        "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NAME": "load", "SLURM_JOB_ID": "7",
        "SLURM_NODELIST": "a[1-2]", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NNODES": "2",
    },
}  # fmt: skip


@pytest.mark.parametrize("by", STARTED)
def test_processes_that_another_program_started_know_their_rank_and_number(by, monkeypatch):
    for key, value in STARTED[by].items():
        monkeypatch.setenv(key, value)
    words = ("trainer.strategy=ddp", "trainer.devices=2")
    found = device.able(settings_of(*words, "trainer.num_nodes=2"))
    assert (device.rank(found), found.num_processes, device.processes(found)) == (3, 2, 0)
    with pytest.raises(Refusal, match=r"trainer\.devices and trainer\.num_nodes"):
        device.able(settings_of("trainer.strategy=ddp", "trainer.devices=3", "trainer.num_nodes=2"))


@pytest.mark.parametrize(
    ("words", "count"),
    [((), 0), (("trainer.strategy=ddp", "trainer.devices=2"), 2), (("trainer.devices=3",), 3)],
)
def test_one_device_is_trained_on_here_and_several_by_as_many_processes(words, count):
    found = device.able(settings_of(*words))
    assert (device.rank(found), device.processes(found)) == (0, count)


def test_a_regressor_refuses_several_devices():
    words = ["trainer.accelerator=cpu", "trainer.devices=2"]
    with pytest.raises(Refusal, match=r"one process: use trainer\.devices=1"):
        WindowedRegressor(overrides=words).fit([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [1.0, 2.0, 3.0])


def switches() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_float32_of_a_gpu_is_exact_or_tf32_in_products_and_recurrent_layers_alike(tf32):
    before = switches()
    with device.float32(tf32, torch.device("cuda")):
        assert switches() == ("high" if tf32 else "highest", tf32)
    assert switches() == before
    with device.float32(tf32, torch.device("cpu")):
        assert switches() == before


def test_training_asks_for_the_float32_of_the_configuration(monkeypatch):
    asked, float32 = [], device.float32

    def noted(tf32, place):
        asked.append((tf32, place.type))
        return float32(tf32, place)

    monkeypatch.setattr(learning.device, "float32", noted)
    words = ["context=8", "horizon=4", "trainer.accelerator=cpu", "trainer.max_epochs=1", "windows_per_epoch=8"]
    Forecaster(data="csv", overrides=words).fit(panel(series=1, rows=200, freq="h", seed=1))
    assert asked == [(False, "cpu")]


COMPILED = """
import sys
import torch
from forecast import Forecaster
from forecast.data.synthetic import panel
from torch._dynamo.utils import counters
words = ["model=direct", "context=12", "horizon=4", "backbone.hidden_size=4", "trainer.accelerator=cpu",
         "windows_per_epoch=37", "batch_size=8", "trainer.max_epochs=1", "callbacks.figures=null", *sys.argv[1:]]
rows = panel(series=2, rows=300, freq="h", seed=1)
eager = Forecaster(data="csv", overrides=words).fit(rows)
assert not counters["frames"]
made = Forecaster(data="csv", overrides=[*words, "compile=true"]).fit(rows)
made.save("saved")
a, b = (x.fitted.model.state_dict() for x in (eager, Forecaster.load("saved")))
assert a.keys() == b.keys() and counters["stats"]["unique_graphs"] > 0
print(max(float((a[name] - b[name]).abs().max()) for name in a), sum(counters["graph_break"].values()))
"""


def compiled(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    """Apart, as annotations that are checked would break the graph."""
    around = {"PYTHONPATH": str(Path(config.CONF).parent), "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")}
    call = [sys.executable, "-c", COMPILED, *words]
    return subprocess.run(call, cwd=folder, env=around | environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mingru", "lstm"])
def test_a_compiled_network_learns_the_same(backbone, tmp_path):
    """In one graph, but for PyTorch's own recurrent kernels, which stay as they are."""
    run = compiled(tmp_path, f"backbone={backbone}", PATH=sys.exec_prefix + "/bin:/usr/bin:/bin")
    assert run.returncode == 0, run.stderr
    apart, breaks = map(float, run.stdout.split())
    assert apart < 1e-5 and (breaks == 0) == (backbone == "mingru")


@pytest.mark.slow
def test_without_a_compiler_compiling_is_refused(tmp_path):
    run = compiled(tmp_path, CXX="no-such-compiler", PATH="")
    last = run.stderr.splitlines()[-1]
    assert run.returncode and "compile=true: PyTorch can't compile for cpu here" in last and "compile=false" in last
