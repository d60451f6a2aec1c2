"""Darts' BlockRNNModel: forecasts all steps at once, by one linear unit on each of the last 24 states."""

import time

import pandas as pd
from darts import TimeSeries  # type: ignore[import-not-found]
from darts.models import BlockRNNModel  # type: ignore[import-not-found]
from pytorch_lightning import Callback  # type: ignore[import-not-found]

from peers.task import BATCH, CONTEXT, HIDDEN, HORIZON, RATE, TEST, TRAIN, TRAINER, Task


def measure(task: Task) -> None:
    values = task.table()
    stamps = pd.DatetimeIndex(values["ds"].unique())
    values = values["y"].to_numpy().reshape(-1, len(stamps), 1)
    series = [TimeSeries.from_times_and_values(stamps, each) for each in values]
    train = [each[: int(len(stamps) * TRAIN)] for each in series]
    model = BlockRNNModel(
        input_chunk_length=CONTEXT, output_chunk_length=HORIZON, model="LSTM", hidden_dim=HIDDEN, n_rnn_layers=1,
        batch_size=BATCH, optimizer_kwargs={"lr": RATE},
        pl_trainer_kwargs={**TRAINER, "callbacks": [task.callback(Callback)]},
    )  # fmt: skip
    model.fit(train, epochs=1000)
    task.trained()
    loader = model.trainer.train_dataloader
    task.load(lambda: loader)
    if task.rolling:
        began = time.perf_counter()
        found = model.historical_forecasts(
            series, start=int(len(stamps) * TEST), start_format="position", forecast_horizon=HORIZON, stride=1,
            retrain=False, last_points_only=False, verbose=False,
        )  # fmt: skip
        task.forecast(sum(map(len, found)), time.perf_counter() - began)
