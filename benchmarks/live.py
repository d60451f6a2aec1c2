"""Time from a new row to the next forecast: `observe` told one row of one series, beside `predict` on all rows.

    python benchmarks/live.py [rounds]

Default model (lstm of 64 units, context 168, horizon 24, nine levels) on the bundled load, one thread. The first rows
go unmeasured. It also says how much of the time the network itself takes in torch.
"""

import sys
from time import perf_counter

import numpy as np
import torch

from forecast import Forecaster
from forecast.data.synthetic import panel
from forecast.memory import Memory


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    rows = panel(series=1, rows=4000 + rounds, freq="h", seed=1)[["ds", "y"]]
    made = Forecaster(data="csv", overrides=["trainer=debug", "logger=none"]).fit(rows[:3000])
    times: dict[str, list[float]] = {"observe": [], "observe by onnx": [], "the network in torch": [], "predict": []}
    for name, onnx in (("observe", False), ("observe by onnx", True)):
        made.memory = Memory(rows[:3980])
        for known in range(3980, 4000 + rounds):
            row = {"ds": rows["ds"][known], "y": float(rows["y"][known])}
            begun = perf_counter()
            made.observe(row, onnx=onnx)
            taken = perf_counter() - begun
            if known >= 4000:
                times[name].append(taken)
    live, model = made.memory.live, made.fitted.model.eval()
    assert live is not None
    batch = live.windows.batch(torch.tensor([live.place - live.windows.window.context]))
    with torch.inference_mode():
        for _ in range(rounds):
            begun = perf_counter()
            model.forecast(batch, model.head.levels)
            times["the network in torch"].append(perf_counter() - begun)
    for _ in range(5):
        begun = perf_counter()
        made.predict(rows)
        times["predict"].append(perf_counter() - begun)
    for name, found in times.items():
        low, middle, high = 1e3 * np.quantile(found, (0, 0.5, 0.99))
        print(f"{name:20} median {middle:8.3f} ms   least {low:8.3f}   99 of 100 below {high:8.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
