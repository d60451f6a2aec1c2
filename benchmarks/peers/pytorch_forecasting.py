"""pytorch-forecasting's RecurrentNetwork: 96 steps of an encoder, 24 of a decoder, which forecasts step by step."""

import time

import torch
from lightning.pytorch import Callback, Trainer
from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet  # type: ignore[import-not-found]
from pytorch_forecasting.data import TorchNormalizer  # type: ignore[import-not-found]
from pytorch_forecasting.metrics import MAE  # type: ignore[import-not-found]

from peers.task import BATCH, CONTEXT, HIDDEN, HORIZON, RATE, TEST, TRAIN, TRAINER, Task


def windows(table):
    return TimeSeriesDataSet(
        table, time_idx="step", target="y", group_ids=["unique_id"], min_encoder_length=CONTEXT,
        max_encoder_length=CONTEXT, min_prediction_length=HORIZON, max_prediction_length=HORIZON,
        time_varying_unknown_reals=["y"], target_normalizer=TorchNormalizer(method="identity"),
    )  # fmt: skip


def measure(task: Task) -> None:
    table = task.table()
    table["step"] = table.groupby("unique_id").cumcount()
    rows = table["step"].max() + 1
    train = windows(table[table["step"] < int(rows * TRAIN)])
    network = RecurrentNetwork.from_dataset(
        train, cell_type="LSTM", hidden_size=HIDDEN, rnn_layers=1, dropout=0.0, loss=MAE(), learning_rate=RATE,
        optimizer="adam", logging_metrics=torch.nn.ModuleList([]), log_interval=-1,
    )  # fmt: skip
    loader = train.to_dataloader(train=True, batch_size=BATCH, num_workers=0)
    Trainer(max_epochs=1000, callbacks=[task.callback(Callback)], **TRAINER).fit(network, loader)
    task.trained()
    task.load(lambda: loader)
    if task.rolling:
        began = time.perf_counter()
        test = windows(table[table["step"] >= int(rows * TEST) - CONTEXT])
        found = network.predict(test.to_dataloader(train=False, batch_size=1024, num_workers=0), trainer_kwargs=TRAINER)
        task.forecast(len(found), time.perf_counter() - began)
