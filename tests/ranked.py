"""What test_ranks.py has done by several processes; imports little, so that these begin soon."""

import logging
import os
import signal
import sys
import time
from pathlib import Path

from forecast.error import Diverged


def work(does: str, pids: str, *given: object) -> str:
    """Rank 1 comes to some end, unless it waits; the others would go on for minutes."""
    rank = int(os.environ["LOCAL_RANK"])
    (Path(pids) / str(rank)).write_text(str(os.getpid()))
    logging.getLogger("forecast.data").warning("rank %d is here", rank)
    if rank:
        print("noise of rank", rank)
        print("noise of rank", rank, file=sys.stderr)
    if does == "returns":
        return f"{rank} of {os.environ['WORLD_SIZE']}"
    if rank != 1 or does == "waits":
        time.sleep(300)
    if does == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "diverges":
        raise Diverged("the loss became nan", "diverged")
    raise KeyError("a fault of ours")
