"""How fast does training run on a GPU? Networks, number formats, compiled or not, beside the bare loop.

    python benchmarks/gpu.py [batch [steps [device]]]

The LSTM task of speed.py (64 units, context 96, horizon 24, Adam) on a made-up panel of 1,000 series of 2,000 rows that
lies on the GPU, in batches of 1,024. Windows a second from the end of the first tenth of the steps (500) to that of the
last, between two waits for the GPU; its use in percent is the mean of what nvidia-smi says meanwhile, memory the most
that PyTorch had of it. On the device `cpu` the same runs in fp32 without these two.
"""

import logging
import statistics
import subprocess
import sys
import threading
import time
import warnings

import lightning
import numpy as np
import pandas as pd
import torch
from torch import nn

from forecast import Forecaster, training
from peers.bare import Network
from peers.task import CLIP, CONTEXT, HORIZON, RATE

NETWORKS = {
    "lstm": ["model=direct", "backbone=lstm", "model.hidden=0"],
    "gru": ["model=direct", "backbone=gru", "model.hidden=0"],
    "mingru": ["model=direct", "backbone=mingru", "model.hidden=0"],
    "segment": ["model=segment", "backbone=gru"],
}
FORMATS = {"fp32": [], "tf32": ["tf32=true"], "bf16": ["trainer.precision=bf16-mixed"]}


class Meter:
    """Notes the ends of steps, and what the GPU does between the first tenth of them and the last."""

    def __init__(self, steps: int, device: str):
        self.first, self.steps, self.cuda = max(1, steps // 10), steps, device == "cuda"
        self.count, self.ended, self.used = 0, threading.Event(), list[float]()

    def step(self) -> bool:
        """Whether there were enough."""
        self.count += 1
        if self.count == self.first:
            self.wait()
            self.began = time.perf_counter()
            if self.cuda:
                torch.cuda.reset_peak_memory_stats()
                threading.Thread(target=self.watch, daemon=True).start()
        if self.count == self.steps:
            self.wait()
            self.seconds = time.perf_counter() - self.began
            self.ended.set()
        return self.count >= self.steps

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def watch(self) -> None:
        asked = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self.ended.wait(0.2):
            self.used.append(float(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]))

    def told(self, name: str, batch: int) -> str:
        speed = batch * (self.steps - self.first) / self.seconds
        used = f"{statistics.mean(self.used):.0f}" if self.used else "-"
        memory = f"{torch.cuda.max_memory_allocated() / (1 << 20):,.0f}" if self.cuda else "-"
        return f"| {name} | {speed:,.0f} | {used} | {memory} |"


def panel() -> pd.DataFrame:
    x, rng = np.arange(2000), np.random.default_rng(7)
    y = np.sin(2 * np.pi * x / 24 + rng.uniform(0, 6, (1000, 1))) + rng.normal(0, 0.3, (1000, len(x)))
    ds = np.tile(pd.date_range("2020", periods=len(x), freq="h"), len(y))
    return pd.DataFrame({"unique_id": np.repeat([f"s{i:03}" for i in range(len(y))], len(x)), "ds": ds, "y": y.ravel()})


def bare(frame: pd.DataFrame, batch: int, meter: Meter, device: str) -> None:
    values = torch.tensor(frame["y"].to_numpy("float32").reshape(1000, -1), device=device)
    rows, length, flat = values.shape[1], CONTEXT + HORIZON, values.flatten()
    view = flat.as_strided((len(flat) - length + 1, length), (1, 1))
    starts = (torch.arange(1000)[:, None] * rows + torch.arange(rows // 2)).flatten().to(device)
    network = Network(1000).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    while True:
        for numbers in starts[torch.randperm(len(starts), device=device)].split(batch)[:-1]:
            window = view.index_select(0, numbers)
            loss = nn.functional.mse_loss(network(window[:, :CONTEXT], None), window[:, CONTEXT:])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            if meter.step():
                return


def ours(frame: pd.DataFrame, batch: int, meter: Meter, device: str, words: list[str]) -> None:
    class Clock(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop |= meter.step()

    def clocked(*given, **named):
        trainer = made(*given, **named)
        trainer.callbacks.append(Clock())
        return trainer

    made, training.trainer = training.trainer, clocked
    quiet = [
        "logger=none",
        "callbacks=plain",
        "callbacks.figures=null",
        "callbacks.early_stopping=null",
        "trainer.enable_progress_bar=false",
    ]
    fixed = [f"context={CONTEXT}", f"horizon={HORIZON}", f"batch_size={batch}", "data.split=[0.78,0.02,0.2]"]
    task = [
        "data.calendar=[]",
        "normalizer=[none]",
        "head=point",
        "head.loss=mse",
        f"optimizer.lr={RATE}",
        "trainer.limit_val_batches=1",
    ]
    where = [f"trainer.accelerator={'gpu' if device == 'cuda' else device}", f"trainer.max_epochs={meter.steps}"]
    try:
        Forecaster(overrides=[*quiet, *fixed, *task, *where, *words]).fit(frame)
    finally:
        training.trainer = made


def main(batch: int = 1024, steps: int = 500, device: str = "cuda") -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, batches of {batch:,}\n")
    print("| | windows/s | GPU used, % | GPU memory, MiB |\n|---|---|---|---|")
    frame, meter = panel(), Meter(steps, device)
    bare(frame, batch, meter, device)
    print(meter.told("the bare loop, lstm, fp32", batch), flush=True)
    for network, own in NETWORKS.items():
        for form, words in FORMATS.items():
            for compiled in ("false", "true") if device == "cuda" or form == "fp32" else ():
                meter = Meter(steps, device)
                ours(frame, batch, meter, device, [*own, *words, f"compile={compiled}"])
                print(meter.told(f"{network}, {form}{', compiled' * (compiled == 'true')}", batch), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
