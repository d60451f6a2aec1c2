"""The loop that one writes by hand, with the allocator as `forecast` sets it."""

from forecast import tune_allocator
from peers import bare
from peers.task import Task


def measure(task: Task) -> None:
    assert tune_allocator()
    bare.measure(task)
