"""The task by `Forecaster`, from the CSV file to the forecast table."""

import time
from collections.abc import Sequence

import lightning

from forecast import Forecaster, training, tune_allocator
from forecast.data.order import Order
from forecast.recipe import datamodule
from peers.task import BATCH, CONTEXT, HORIZON, RATE, WARM, Task


def measure(task: Task, network: Sequence[str] = ("model=direct", "backbone=lstm", "model.hidden=0")) -> None:
    tune_allocator()
    made = training.trainer

    def clocked(*given, **named):
        trainer = made(*given, **named)
        trainer.callbacks.append(task.callback(lightning.Callback))
        return trainer

    training.trainer = clocked
    wide = ["data=etth1", "data.joint=false"] if task.rolling else ["data=csv"]
    forecaster = Forecaster(
        overrides=[
            *wide, f"data.path={task.path}", "data.split=[0.78,0.02,0.2]", "data.calendar=[]", f"context={CONTEXT}",
            f"horizon={HORIZON}", f"batch_size={BATCH}", "normalizer=[none]", *network, "head=point", "head.loss=mse",
            f"optimizer.lr={RATE}", "scheduler=none", "logger=none", "callbacks=plain",
            "callbacks.early_stopping=null", "callbacks.figures=null", "trainer.max_epochs=1",
            "trainer.limit_val_batches=1", f"trainer.limit_train_batches={WARM + task.steps}",
            "trainer.enable_progress_bar=false",
        ]
    ).fit()  # fmt: skip
    task.trained()
    fitted = forecaster.fitted
    train = datamodule(fitted.config, fitted.panel, fitted.borders).windows["train"]
    order = Order(len(train), BATCH, seed=1)
    task.load(lambda: (train.batch(numbers, weight) for numbers, weight in order))
    if task.rolling:
        began = time.perf_counter()
        table = forecaster.backtest(stride=1)
        task.forecast(len(table) // HORIZON, time.perf_counter() - began)
