"""How long does one forecast take? Eager torch, torch.compile and ONNX Runtime, one thread, one batch.

    python benchmarks/latency.py [seconds [model ...]]

Models with the weights that they are made with, of the bundled load series (context 168, horizon 24, nine quantiles):
the defaults but for what the name says; first the one of speed.py (context 96, a point). A figure is p50 / p99 in
milliseconds over so many seconds of calls (default 3) after three calls to warm up; compiling takes its time before.
"""

import os
import platform
import sys
import time
import warnings

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from forecast import build, config
from forecast.data.windows import Windows
from forecast.learning import prepared
from forecast.recipe import laid, opened, shape_of, window_of
from forecast.serving.graph import graph, outputs
from machine import processor

CASES = {
    "task of speed.py": [
        "model=direct",
        "backbone=lstm",
        "normalizer=[none]",
        "context=96",
        "head=point",
        "model.hidden=0",
    ],
    "direct-lstm": ["model=direct", "backbone=lstm"],
    "segment-gru": [],
    "autoregressive-lstm": ["model=autoregressive", "backbone=lstm"],
}
BATCHES = (1, 256)
ENDLESS = ("autoregressive-lstm",)  # a loop that torch.compile unrolls: not done after minutes


def made(overrides):
    """A model and its newest windows, 256 of them."""
    settings = config.composed("train", ["data.past=[]", *overrides])
    grid, borders = laid(settings, opened(settings["data"], None))
    panel, statistics = prepared(settings, grid, borders)
    model = build.model(settings, shape_of(panel, statistics, settings), statistics.scaling).eval()
    end = int((panel.first + panel.lengths).max())
    windows = Windows.between(panel, window_of(settings, panel.layout.clock), end - 24 - 255, end)
    return model, windows


def timed(seconds, call, *given):
    """p50 / p99 of a call in milliseconds, and how often it was made."""
    for _ in range(3):
        call(*given)
    spent, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(spent) < 5:
        began = time.perf_counter()
        call(*given)
        spent.append(1000 * (time.perf_counter() - began))
    return f"{np.percentile(spent, 50):.2f} / {np.percentile(spent, 99):.2f} ({len(spent)})"


def compiled(model, batch, seconds):
    try:
        fast = torch.compile(outputs)
        began = time.perf_counter()
        fast(model, batch)
        took = time.perf_counter() - began
        return f"{timed(seconds, fast, model, batch)}, compiled in {took:.0f} s"
    except Exception as error:
        return f"fails: {type(error).__name__}: {str(error).splitlines()[0][:80]}"


def main(seconds=3.0, *names):
    import onnxruntime

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch._dynamo.config.allow_rnn = True
    print(f"{processor()}, {os.cpu_count()} cores, one used, {platform.system()}, python {platform.python_version()}")
    print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for name in names or CASES:
        model, windows = made(CASES[name])
        began = time.perf_counter()
        content = graph(model)
        print(f"\n{name}: graph of {len(content) / 1024:.0f} KiB in {time.perf_counter() - began:.1f} s")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for b in BATCHES:
            batch = windows.batch(torch.arange(len(windows) - b, len(windows)))
            fed = {x.name: getattr(batch, x.name).numpy() for x in session.get_inputs()}
            with torch.inference_mode():
                print(f"  batch {b:<4} eager         {timed(seconds, outputs, model, batch)}", flush=True)
                print(f"  batch {b:<4} ONNX Runtime  {timed(seconds, session.run, None, fed)}", flush=True)
                told = "left out, minutes" if name in ENDLESS else compiled(model, batch, seconds)
                print(f"  batch {b:<4} compiled      {told}", flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]), *sys.argv[2:])
