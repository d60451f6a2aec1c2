"""How fast is it? Ratios of medians, each figure from processes of its own that take turns; one machine's own figures.

    FORECAST_DATA=<folder with ETTh1.csv> python benchmarks/speed.py [rounds [etth1 | panel | long ...]]

The task: LSTM of 64 units, context 96, horizon 24, batches of 256, Adam, float32, two threads, on ETTh1 (7 series of
17,420), a panel (1,000 of 2,000) and one long series (1,000,000). Beside `Forecaster` stands the bare loop that one
writes by hand for the same windows, with the allocator as it is and tuned. Training is the median of steps; forecasts
are those of all windows of the last fifth, with their table.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"

STEPS, WARM, CONTEXT, HORIZON, BATCH = 60, 5, 96, 24, 256
KINDS = {"bare": "the bare loop", "tuned": "the bare loop, allocator tuned", "forecast": "forecast"}
DATA = {"etth1": "ETTh1", "panel": "1,000 x 2,000", "long": "1 x 1,000,000"}


def write(folder: Path) -> None:
    """The two made-up sets as CSV files."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    for name, (series, rows) in {"panel": (1000, 2000), "long": (1, 1_000_000)}.items():
        x = np.arange(rows)
        a, b, p, q = rng.uniform(0.5, 2, (4, series, 1))
        y = (
            a * np.sin(2 * np.pi * x / 24 + p)
            + b * np.sin(2 * np.pi * x / 168 + q)
            + rng.normal(0, 0.3, (series, rows))
        )
        stamps = pd.date_range("1900", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M")
        frame = pd.DataFrame(
            {
                "unique_id": np.repeat([f"s{i:04}" for i in range(series)], rows),
                "ds": np.tile(stamps, series),
                "y": y.ravel().round(4),
            }
        )
        frame.to_csv(folder / f"{name}.csv", index=False)


def steps(at: list[float]) -> float:
    """Windows a second of the median step after the first ones."""
    return BATCH / statistics.median(b - a for a, b in zip(at[WARM - 1 :], at[WARM:], strict=False))


def loaded(gather, starts) -> float:
    """Windows a second when batches are gathered in random order and dropped."""
    import torch

    chosen = starts[torch.randperm(len(starts))[: 2000 * BATCH]].split(BATCH)
    began = time.perf_counter()
    for numbers in chosen:
        gather(numbers)
    return sum(map(len, chosen)) / (time.perf_counter() - began)


def bare(path: Path, tuned: bool) -> dict[str, float]:
    """The task as one writes it by hand."""
    import pandas as pd
    import torch
    from torch import nn

    if tuned:
        from forecast import tune_allocator

        assert tune_allocator()
    frame = pd.read_csv(path)
    wide = (
        frame.drop(columns=frame.columns[0]) if "unique_id" not in frame else frame.pivot_table("y", "ds", "unique_id")
    )
    values = torch.tensor(wide.to_numpy("float32").T.copy())
    train = int(values.shape[1] * 0.78)
    values = (values - values[:, :train].mean(1, keepdim=True)) / values[:, :train].std(1, keepdim=True)
    length, rows, flat = CONTEXT + HORIZON, values.shape[1], values.flatten()
    view = flat.as_strided((len(flat) - length + 1, length), (1, 1))
    series = torch.arange(len(values))[:, None] * rows
    starts = (series + torch.arange(train - length + 1)).flatten()
    lstm, head = nn.LSTM(1, 64, batch_first=True), nn.Linear(64, HORIZON)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer, at = torch.optim.Adam(parameters, lr=0.005), []
    for numbers in starts[torch.randperm(len(starts))[: BATCH * (STEPS + WARM)]].split(BATCH):
        window = view.index_select(0, numbers)
        out, _ = lstm(window[:, :CONTEXT, None])
        loss = nn.functional.mse_loss(head(out[:, -1]), window[:, CONTEXT:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        at.append(time.time())
    found = {"training": steps(at), "first step": at[0] - float(sys.argv[3]), "peak": peak()}
    found["loader"] = loaded(lambda numbers: view.index_select(0, numbers), starts)
    if path.stem == "ETTh1":
        last = (series + torch.arange(int(rows * 0.8) - CONTEXT, rows - length + 1)).flatten()
        began = time.perf_counter()
        with torch.inference_mode():
            answers = [head(lstm(view.index_select(0, x)[:, :CONTEXT, None])[0][:, -1]) for x in last.split(BATCH)]
            torch.cat(answers).numpy()
        found["forecasts"] = len(last) / (time.perf_counter() - began)
    return found


def ours(path: Path) -> dict[str, float]:
    """The same through `Forecaster`."""
    import lightning

    from forecast import Forecaster, training, tune_allocator
    from forecast.recipe import datamodule

    tune_allocator()
    at = []

    class Clock(lightning.Callback):
        def on_train_batch_end(self, *_):
            at.append(time.time())

    made = training.trainer

    def clocked(*given, **named):
        trainer = made(*given, **named)
        trainer.callbacks.append(Clock())
        return trainer

    training.trainer = clocked
    own = ["data=etth1", f"data.path={path}", "data.split=[0.78,0.02,0.2]", "data.joint=false"]
    forecaster = Forecaster(
        overrides=[
            *(own if path.stem == "ETTh1" else ["data=csv", f"data.path={path}", "data.split=[0.78,0.02,0.2]"]),
            "data.calendar=[]", f"context={CONTEXT}", f"horizon={HORIZON}", f"batch_size={BATCH}", "model.hidden=0",
            "head=point", "head.loss=mse", "logger=none", "callbacks.early_stopping=null", "callbacks.figures=null",
            "trainer.max_epochs=1", "trainer.limit_val_batches=1", f"trainer.limit_train_batches={STEPS + WARM}",
            "trainer.enable_progress_bar=false",
        ]
    ).fit()  # fmt: skip
    found = {"training": steps(at), "first step": at[0] - float(sys.argv[3]), "peak": peak()}
    fitted = forecaster.fitted
    module = datamodule(fitted.config, fitted.panel, fitted.borders)
    train = module.windows["train"]
    import torch

    found["loader"] = loaded(lambda numbers: train.batch(numbers, None), torch.arange(len(train)))
    if path.stem == "ETTh1":
        began = time.perf_counter()
        table = forecaster.backtest(stride=1)
        found["forecasts"] = len(table) / HORIZON / (time.perf_counter() - began)
    return found


def peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(kind: str, path: Path) -> None:
    """What a process of its own does."""
    import warnings

    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    print(json.dumps(ours(path) if kind == "forecast" else bare(path, kind == "tuned")))


def ran(*words: str) -> tuple[float, str]:
    """Seconds and the last line of one process."""
    with tempfile.TemporaryDirectory() as scratch:
        began = time.time()
        run = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=scratch, check=False)
        if run.returncode:
            raise SystemExit(f"{' '.join(words)}\n{run.stderr[-2000:]}")
        return time.time() - began, (run.stdout.splitlines() or [""])[-1]


def line(name: str, values: list[float], form: str) -> str:
    middle, low, high = (form.format(x) for x in (statistics.median(values), min(values), max(values)))
    return f"| {name} | {middle} | {low} to {high} |"


def main(rounds: int, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch))
        etth1 = Path(os.environ["FORECAST_DATA"]) / "ETTh1.csv"
        paths = {"etth1": etth1 if etth1.is_file() else etth1.with_suffix(".csv.gz")}
        paths |= {name: Path(scratch) / f"{name}.csv" for name in ("panel", "long")}
        for name in names:
            source = paths[name]
            if source.suffix == ".gz":
                import gzip

                source = Path(scratch) / "ETTh1.csv"
                source.write_bytes(gzip.decompress(paths[name].read_bytes()))
            found = {kind: [] for kind in KINDS}
            for _ in range(rounds):
                for kind in KINDS:  # taking turns
                    found[kind].append(json.loads(ran(__file__, kind, str(source), str(time.time()))[1]))
            print(f"\n### {DATA[name]}\n\n| figure | median | from, to |\n|---|---|---|")
            for kind, label in KINDS.items():
                for key, unit, form in (
                    ("training", "windows/s", "{:,.0f}"), ("loader", "windows/s", "{:,.0f}"),
                    ("forecasts", "windows/s", "{:,.0f}"), ("peak", "MiB", "{:.0f}"), ("first step", "s", "{:.1f}"),
                ):  # fmt: skip
                    if key in found[kind][0]:
                        print(line(f"{label}: {key}, {unit}", [x[key] for x in found[kind]], form))
            for key in ("training", "forecasts"):
                for kind in ("bare", "tuned"):
                    if key in found[kind][0]:
                        pairs = zip(found["forecast"], found[kind], strict=True)
                        print(
                            line(f"**{key}, x {KINDS[kind]}**", [a[key] / b[key] for a, b in pairs], "{:.2f}"),
                            flush=True,
                        )
    print("\n### What one waits for\n\n| figure | median | from, to |\n|---|---|---|")
    for words in (["-c", "import forecast"], ["-m", "forecast", "--help"], ["-m", "forecast", "train", "--help"]):
        label = " ".join(words).removeprefix("-c ").removeprefix("-m ")
        print(line(f"{label}, s", [ran(*words)[0] for _ in range(rounds)], "{:.2f}"))
    print(line("forecast train as it is, s", [ran("-m", "forecast", "train")[0] for _ in range(2)], "{:.1f}"))


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] in KINDS:
        one(sys.argv[1], Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or list(DATA))
