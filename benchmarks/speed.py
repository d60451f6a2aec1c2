"""How fast is it? Ratios measured side by side in one run; absolute figures belong to one machine.

    FORECAST_DATA=<folder with ETTh1.csv> python benchmarks/speed.py [rounds]

Training through the Trainer against a bare torch loop on the same windows (LSTM, hidden 64, one layer, context 96,
horizon 24, batch 256, float32, two threads), the loader alone, peak memory, and what a user waits for.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"

import lightning
import torch
from torch import nn

from forecast import Forecaster, build, config, training
from forecast.data import panel as panels
from forecast.data import scaler
from forecast.recipe import datamodule, laid, opened, shape_of

STEPS, WARM = 60, 5
TASK = [
    "data=etth1", "data.calendar=[]", "context=96", "horizon=24", "batch_size=256", "model.hidden=0", "head=point",
    "head.loss=mse", "logger=none", "callbacks.early_stopping=null", "trainer.max_epochs=1",
    "trainer.limit_val_batches=1", f"trainer.limit_train_batches={STEPS + WARM}", "trainer.enable_progress_bar=false",
]  # fmt: skip


class Clock(lightning.Callback):
    def __init__(self):
        self.at = []

    def on_train_batch_end(self, *_):
        self.at.append(time.perf_counter())


def windows(settings):
    """The module that the Forecaster would build, and the model's shape and scaling."""
    grid, borders = laid(settings, opened(settings["data"], None))
    statistics = scaler.learn(grid, borders[0], settings["data"])
    panel = panels.panel(grid, statistics)
    module = datamodule(settings, panel, borders)
    return module, shape_of(panel, statistics, settings), statistics.scaling


def ours(settings, module, shape, scaling):
    """Windows a second of training steps through the Trainer, default settings."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = training.trainer(settings, Path(scratch), None)
        trainer.callbacks.append(clock)
        trainer.fit(build.model(settings, shape, scaling), datamodule=module)
    return 256 * STEPS / (clock.at[-1] - clock.at[WARM - 1])


def bare(module):
    """The same network, windows, loss, clipping and optimizer as one writes them by hand."""
    panel, starts = module.panel, module.windows["train"].starts
    scale = panel.y.double()
    rows = torch.cat(
        [(part - part[:8640].mean()) / part[:8640].std() for part in scale.split(panel.offsets.diff().tolist())]
    )
    flat = rows.float().flatten()
    view = flat.as_strided((len(flat) - 119, 120), (1, 1))
    lstm, head = nn.LSTM(1, 64, batch_first=True), nn.Linear(64, 24)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.005)
    at = []
    for numbers in torch.randperm(len(starts)).split(256)[: STEPS + WARM]:
        window = view.index_select(0, starts[numbers])
        out, _ = lstm(window[:, :96, None])
        loss = nn.functional.mse_loss(head(out[:, -1]), window[:, 96:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        at.append(time.perf_counter())
    return 256 * STEPS / (at[-1] - at[WARM - 1])


def loader(module):
    """Windows a second of the loader alone, batches of 256 gathered and dropped."""
    part, order = module.windows["train"], torch.randperm(len(module.windows["train"]))
    began = time.perf_counter()
    for numbers in order.split(256):
        part.batch(numbers, None)
    return len(order) / (time.perf_counter() - began)


def spread(values, form="{:,.0f}"):
    return f"{form.format(statistics.median(values))}  ({form.format(min(values))} to {form.format(max(values))})"


def command(*words):
    """Seconds, and peak memory in MiB, of one process."""
    script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"  # fmt: skip # noqa: E501
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=scratch, check=True
        )
        return time.perf_counter() - began, float(run.stdout)


FIRST = """
import sys, time
began = float(sys.argv[1])
from lightning.pytorch.callbacks import Callback
import forecast.training as training
class Stop(Callback):
    def on_train_batch_end(self, *_):
        print(time.time() - began, flush=True)
        raise KeyboardInterrupt
made = training.trainer
def trainer(*arguments):
    found = made(*arguments)
    found.callbacks.append(Stop())
    return found
training.trainer = trainer
from forecast.run import run
run("train", ["folder=first"])
"""


def first_step():
    """Seconds from the start of the process to the end of the first training step of `forecast train`."""
    with tempfile.TemporaryDirectory() as scratch:
        run = subprocess.run(
            [sys.executable, "-c", FIRST, str(time.time())], capture_output=True, text=True, cwd=scratch, check=False
        )
        return float(run.stdout.split("\n")[0])


def main(rounds=5):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    settings = config.composed("train", TASK)
    assert Forecaster(overrides=TASK).settings() == settings
    module, shape, scaling = windows(settings)
    hand, trainer = [], []
    for _ in range(rounds):
        hand.append(bare(module))
        trainer.append(ours(settings, module, shape, scaling))
    print(f"bare loop, windows/s             {spread(hand)}")
    print(f"through the Trainer              {spread(trainer)}")
    print(f"ratio                            {spread([b / a for a, b in zip(hand, trainer, strict=True)], '{:.2f}')}")
    print(f"loader alone, windows/s          {spread([loader(module) for _ in range(rounds)])}")
    python = [sys.executable, "-m", "forecast"]
    for name, words in {
        "import forecast": [sys.executable, "-c", "import forecast"],
        "forecast --help": [*python, "--help"],
        "forecast train --help": [*python, "train", "--help"],
    }.items():
        print(f"{name + ', s':32s} {spread([command(*words)[0] for _ in range(rounds)], '{:.2f}')}")
    print(f"start to first step, s           {spread([first_step() for _ in range(rounds)], '{:.2f}')}")
    memory = [command(*python, "train", *TASK, "trainer.limit_val_batches=1.0")[1] for _ in range(min(rounds, 3))]
    print(f"peak memory of that training, MiB {spread(memory)}")
    seconds, peak = command(*python, "train")
    print(f"forecast train, as it is: {seconds:.1f} s, {peak:.0f} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
