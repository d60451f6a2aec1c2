"""The loop that one writes by hand, with the allocator as `forecast` sets it."""

from torch import nn

from forecast import tune_allocator
from peers import bare
from peers.task import Task


def measure(task: Task, kind: type[nn.Module] = bare.Network) -> None:
    assert tune_allocator()
    bare.measure(task, kind)
