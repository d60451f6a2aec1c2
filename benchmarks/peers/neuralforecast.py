"""NeuralForecast's LSTM: forecasts all steps at once, by one linear unit on each of the last 24 states."""

import time

import torch
from neuralforecast import NeuralForecast  # type: ignore[import-not-found]
from neuralforecast.losses.pytorch import MSE  # type: ignore[import-not-found]
from neuralforecast.models import LSTM  # type: ignore[import-not-found]
from neuralforecast.tsdataset import TimeSeriesDataModule  # type: ignore[import-not-found]
from pytorch_lightning import Callback  # type: ignore[import-not-found]

from peers.task import BATCH, CONTEXT, HIDDEN, HORIZON, RATE, TEST, TRAIN, TRAINER, WARM, Task

SERIES = 32  # of a batch of the loader, from whose windows a batch is drawn


def measure(task: Task) -> None:
    def network(steps, **more):
        return LSTM(
            h=HORIZON, input_size=CONTEXT, encoder_n_layers=1, encoder_hidden_size=HIDDEN, decoder_layers=1,
            decoder_hidden_size=HIDDEN, loss=MSE(), scaler_type="identity", learning_rate=RATE, batch_size=SERIES,
            windows_batch_size=BATCH, inference_windows_batch_size=1024, max_steps=steps, val_check_steps=10**9,
            **TRAINER, **more,
        )  # fmt: skip

    table = task.table()
    stamps = table["ds"].drop_duplicates().sort_values(ignore_index=True)
    network_ = network(WARM + task.steps, callbacks=[task.callback(Callback)])
    forecaster = NeuralForecast(models=[network_], freq="h")
    forecaster.fit(table[table["ds"] < stamps[int(len(stamps) * TRAIN)]])
    task.trained()
    module = TimeSeriesDataModule(forecaster.dataset, batch_size=SERIES)

    def batches():  # as its training step draws them
        for batch in module.train_dataloader():
            windows, static, static_columns, condition, sampled, columns = network_._create_windows(batch, step="train")
            numbers = torch.randperm(len(condition))[:BATCH]
            yield network_._sample_windows(windows, static, static_columns, columns, numbers, condition, sampled)

    task.load(batches)
    if task.rolling:
        forecaster = NeuralForecast(models=[network(1)], freq="h")
        fit, spent = forecaster.fit, []

        def timed(*given, **named):  # a cross-validation begins with a fit
            began = time.perf_counter()
            fit(*given, **named)
            spent.append(time.perf_counter() - began)

        forecaster.fit = timed
        began = time.perf_counter()
        size = len(stamps) - int(len(stamps) * TEST)
        found = forecaster.cross_validation(table, n_windows=None, test_size=size, step_size=1)
        task.forecast(len(found) // HORIZON, time.perf_counter() - began - sum(spent))
