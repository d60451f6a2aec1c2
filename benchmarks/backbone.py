"""How fast does each backbone train? Forward and backward, beside the LSTM in the same process.

    python benchmarks/backbone.py [rounds]

Batches of 256 windows, 8 features, hidden size 64, contexts 96 and 720, two threads; each backbone of conf/backbone as
its yaml has it, once a round and in turn with the others. Medians over the rounds (five), and ratios of windows a
second to the LSTM's of the same round.
"""

import os
import statistics
import sys
import time

os.environ["OMP_NUM_THREADS"] = "2"

import torch

from forecast import build, config

BATCH, FEATURES, HIDDEN, CONTEXTS = 256, 8, 64, (96, 720)
NAMES = sorted(path.stem for path in (config.CONF / "backbone").glob("*.yaml"))


def made(name):
    wanted = config.composed("train", [f"backbone={name}", f"backbone.hidden_size={HIDDEN}"])
    return build.backbone(wanted["backbone"], FEATURES)


def seconds(net, x):
    """Seconds of one forward and backward pass."""
    began = time.perf_counter()
    out, _ = net(x, net.initial(len(x)))
    out[:, -1].square().mean().backward()
    return time.perf_counter() - began


def main(rounds=5):
    torch.manual_seed(1)
    nets = {name: made(name) for name in NAMES}
    print(f"{'context':>7s} {'backbone':<10s} {'weights':>9s} {'windows/s':>10s} {'x lstm':>7s}")
    for context in CONTEXTS:
        x = torch.randn(BATCH, context, FEATURES)
        for net in nets.values():
            seconds(net, x)
        taken = [{name: seconds(net, x) for name, net in nets.items()} for _ in range(rounds)]
        for name, net in nets.items():
            speed = BATCH / statistics.median(each[name] for each in taken)
            ratio = statistics.median(each["lstm"] / each[name] for each in taken)
            weights = sum(each.numel() for each in net.parameters())
            print(f"{context:>7,} {name:<10s} {weights:>9,} {speed:>10,.0f} {ratio:>7.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
