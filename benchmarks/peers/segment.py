"""The task by `Forecaster` in segments of 24 steps."""

from peers import ours
from peers.task import Task


def measure(task: Task) -> None:
    ours.measure(task, ["model=segment", "backbone=gru"])
