"""How long does a forecast over HTTP take? Throughput, p50 and p99 at 50 requests a second, and memory.

    python benchmarks/serve.py [seconds [model ...]]

A forecaster of the bundled load series (context 168, horizon 24, nine quantiles; defaults but for the model, barely
trained, which does not change its speed) is served by a process of its own on one thread. A request brings 200 rows as
JSON, 24 of them with the future alone. First 16 clients ask as often as they are answered, then 50 requests a second
come, each when it is due, however late the answers before it are; latency counts from then. Memory is what the process
has after the first forecasts, and the most that it had until the end.
"""

import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import httpx2 as httpx
import numpy as np
import pandas as pd

from forecast import Forecaster, terminal
from forecast.data.lines import find
from machine import processor

CLIENTS, RATE, ROWS, AHEAD = 16, 50, 200, 24
SHORT = ["trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer.limit_val_batches=1"]
JSON = {"Content-Type": "application/json"}


def main() -> None:
    terminal.hush()
    seconds, models = float((sys.argv[1:] or ["20"])[0]), sys.argv[2:] or ["segment", "direct"]
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}")
    frame = pd.read_csv(find("load.csv"), parse_dates=[0])
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            Forecaster(data="load", model=model, overrides=SHORT).fit().save(folder)
            for together in (1, 16):
                print(f"{model}, together={together}: {measured(folder, frame, together, seconds)}", flush=True)


def measured(folder: str, frame: pd.DataFrame, together: int, seconds: float) -> str:
    command = [sys.executable, "-m", "forecast", "serve", f"run={folder}", "port=0", f"together={together}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = [process.stdout.readline().strip() for _ in range(2)][1]
        return asyncio.run(asked(url, process.pid, frame, seconds))
    finally:
        process.terminate()
        process.wait()


async def asked(url: str, pid: int, frame: pd.DataFrame, seconds: float) -> str:
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        fields = (await client.get("/card")).json()["forecasters"][0]["fields"]
        body = content(frame, list(fields))
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await client.post("/forecast", content=body, headers=JSON)).status_code)

        for _ in range(5):
            await ask()
        if set(statuses) != {200}:
            raise SystemExit((await client.post("/forecast", content=body, headers=JSON)).text)
        idle, end = memory(pid, "VmRSS"), time.perf_counter() + seconds

        async def client_of_many() -> None:
            while time.perf_counter() < end:
                await ask()

        before = len(statuses)
        begin = time.perf_counter()
        await asyncio.gather(*(client_of_many() for _ in range(CLIENTS)))
        rate = (len(statuses) - before) / (time.perf_counter() - begin)
        times: list[float] = []

        async def due(at: float) -> None:
            await asyncio.sleep(at - time.perf_counter())
            await ask()
            times.append(time.perf_counter() - at)

        begin = time.perf_counter() + 0.1
        await asyncio.gather(*(due(begin + i / RATE) for i in range(int(RATE * seconds))))
        p50, p99 = np.quantile(times, [0.5, 0.99]) * 1e3
        above = memory(pid, "VmHWM") - idle
    fine = f"{statuses.count(200)} of {len(statuses)} answered 200"
    return (
        f"{rate:.0f} requests a second; at {RATE} a second p50 {p50:.1f} ms, p99 {p99:.1f} ms; {fine}; "
        f"{idle:.0f} MiB idle, at most {above:.0f} above"
    )


def content(frame: pd.DataFrame, fields: list[str]) -> bytes:
    """The last rows up to a horizon after the newest load, as JSON."""
    end = int(frame["load"].notna().to_numpy().nonzero()[0][-1]) + 1 + AHEAD
    rows = frame.iloc[end - ROWS : end][fields].astype({fields[0]: str}).astype(object)
    return json.dumps({"rows": rows.where(rows.notna(), None).to_dict("records")}).encode()


def memory(pid: int, name: str) -> float:
    """MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().split("\n")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
