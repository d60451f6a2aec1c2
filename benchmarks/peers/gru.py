"""The task by `Forecaster`, with a GRU."""

from peers import ours
from peers.task import Task


def measure(task: Task) -> None:
    ours.measure(task, ["model=direct", "backbone=gru", "model.hidden=0"])
