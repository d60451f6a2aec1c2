"""One kind in a process of its own, measured: prints a line of JSON.

python -m peers <kind> <csv file> <time at the start> <steps> <seconds a figure at most>
"""

import importlib
import logging
import sys
import warnings

import torch

from peers.task import Task

warnings.filterwarnings("ignore")
for name in ("pytorch_lightning", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.ERROR)
torch.set_num_threads(2)
task = Task(*sys.argv[2:])
importlib.import_module(f"peers.{sys.argv[1]}").measure(task)
task.tell()
