"""GluonTS' DeepAR: 120 steps, the likelihood of a normal law, forecasts step by step (one sample path each)."""

import time

import pandas as pd
from gluonts.dataset.split import split  # type: ignore[import-not-found]
from gluonts.itertools import Cached  # type: ignore[import-not-found]
from gluonts.torch.distributions import NormalOutput  # type: ignore[import-not-found]
from gluonts.torch.model.deepar import DeepAREstimator  # type: ignore[import-not-found]
from lightning.pytorch import Callback

from peers.task import BATCH, CONTEXT, HIDDEN, HORIZON, RATE, TEST, TRAIN, TRAINER, Task


def measure(task: Task) -> None:
    values = task.matrix()
    first = pd.Period("2016-07-01", freq="h")
    series = [{"start": first, "target": each, "item_id": str(i)} for i, each in enumerate(values)]
    border = int(values.shape[1] * TRAIN)
    train = [{**each, "target": each["target"][:border]} for each in series]
    estimator = DeepAREstimator(
        freq="h", prediction_length=HORIZON, context_length=CONTEXT, num_layers=1, hidden_size=HIDDEN, lr=RATE,
        dropout_rate=0.0, distr_output=NormalOutput(), scaling=False, lags_seq=[1], time_features=[],
        batch_size=BATCH, num_batches_per_epoch=len(values) * (border - CONTEXT - HORIZON + 1) // BATCH,
        num_parallel_samples=1,
        trainer_kwargs={  # it insists on checkpoints
            **TRAINER, "enable_checkpointing": True, "max_epochs": 1000, "callbacks": [task.callback(Callback)],
        },
    )  # fmt: skip
    predictor = estimator.train(train, cache_data=True)
    task.trained()
    cached = Cached(estimator.create_transformation().apply(train, is_train=True))
    loader = estimator.create_training_data_loader(cached, estimator.create_lightning_module())
    task.load(lambda: loader)
    if task.rolling:
        origin = int(values.shape[1] * TEST)
        _, test = split(series, offset=origin)
        asked = test.generate_instances(HORIZON, windows=values.shape[1] - origin - HORIZON + 1, distance=1)
        began = time.perf_counter()
        found = list(predictor.predict(asked.input))
        task.forecast(len(found), time.perf_counter() - began)
