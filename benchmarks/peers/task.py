"""The task that every kind does, its data, and the clock that it is measured by."""

import json
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

CONTEXT, HORIZON, BATCH, HIDDEN, RATE, CLIP = 96, 24, 256, 64, 0.005, 1.0
TRAIN, TEST = 0.78, 0.8  # where train ends and the last fifth begins
WARM, LOADED = 5, 2000  # steps that go unmeasured, batches of the loader alone
TRAINER = {
    "accelerator": "cpu",
    "gradient_clip_val": CLIP,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


class Task:
    """One CSV file; figures are of `steps` steps, or what `seconds` allow, of a process `started` at that time."""

    def __init__(self, path: str, started: str, steps: str, seconds: str):
        self.path, self.started, self.steps, self.seconds = Path(path), float(started), int(steps), float(seconds)
        self.at: list[float] = []
        self.found: dict[str, float] = {}

    @property
    def rolling(self) -> bool:
        """Whether forecasts are asked for."""
        return self.path.stem == "ETTh1"

    def matrix(self):
        """Values [series row] as float32, scaled by the train rows of their series."""
        import pandas as pd

        frame = pd.read_csv(self.path, usecols=lambda name: name not in ("date", "ds"))
        long = "unique_id" in frame
        values = frame["y"].to_numpy().reshape(frame["unique_id"].nunique(), -1) if long else frame.to_numpy().T
        train = values[:, : int(values.shape[1] * TRAIN)]
        return ((values - train.mean(1, keepdims=True)) / train.std(1, keepdims=True)).astype("float32")

    def table(self):
        """The same as a DataFrame unique_id, ds, y."""
        import pandas as pd

        frame = pd.read_csv(self.path)
        if "unique_id" not in frame:
            frame = frame.rename(columns={"date": "ds"}).melt("ds", var_name="unique_id", value_name="y")
        return frame.assign(ds=pd.to_datetime(frame["ds"]), y=self.matrix().ravel())

    def step(self) -> bool:
        """Notes that a training step ends, and says whether there were enough."""
        self.at.append(time.time())
        late = len(self.at) > WARM + 3 and self.at[-1] - self.at[WARM] > self.seconds
        return late or len(self.at) >= WARM + self.steps

    def callback(self, base: type):
        """The same as a callback of Lightning, which has two names."""
        task = self

        class Clock(base):
            def on_train_batch_end(self, trainer, *_):
                trainer.should_stop |= task.step()

        return Clock()

    def trained(self) -> None:
        """Windows a second of the median step, seconds to the first one, and the peak of memory until now."""
        spans = sorted(b - a for a, b in zip(self.at[WARM - 1 :], self.at[WARM:], strict=False))
        self.found["training"] = BATCH / spans[len(spans) // 2]
        self.found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.found["first step"] = self.at[0] - self.started

    def load(self, epoch: Callable[[], Iterable]) -> None:
        """Windows a second when batches are made and dropped, in whole epochs if time allows."""
        began, count = time.perf_counter(), 0
        while count < LOADED:
            for _ in epoch():
                count += 1
                if time.perf_counter() - began > self.seconds:
                    break
            else:
                continue
            break
        self.found["loader"] = count * BATCH / (time.perf_counter() - began)

    def forecast(self, windows: int, seconds: float) -> None:
        """Windows a second of all forecasts of the last fifth."""
        rows = self.matrix().shape
        expected = rows[0] * (rows[1] - int(rows[1] * TEST) - HORIZON + 1)
        assert windows == expected, f"{windows} forecasts instead of {expected}"
        self.found["forecasts"] = windows / seconds

    def tell(self) -> None:
        print(json.dumps(self.found))
