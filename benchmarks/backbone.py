"""How fast does each backbone train? Forward and backward, beside the LSTM in the same process.

    python benchmarks/backbone.py [rounds]

Batches of 256 windows, 8 features, hidden size 64, contexts 96 and 720, two threads; each backbone of conf/backbone as
its yaml has it, once a round and in turn with the others; then whole models that forecast 24 steps of one channel:
direct-lstm and segment (of GRUs, as SegRNN is). Medians over the rounds (five), and ratios of windows a second to those
of the LSTM (or direct-lstm) in the same round.
"""

import os
import statistics
import sys
import time
from functools import partial

os.environ["OMP_NUM_THREADS"] = "2"

import torch

from forecast import build, check, config

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


def whole(words, context):
    """A model, and windows for it."""
    wanted = config.composed("train", [*words, f"backbone.hidden_size={HIDDEN}"])
    shape = check.facts(context, 24, 24, build.width(wanted))
    return build.model(wanted, shape, check.scales(shape, "real")), check.windows(shape, b=BATCH)


def learnt(net, batch):
    """Seconds of one training step, without the optimizer's."""
    began = time.perf_counter()
    net.on_train_epoch_start()
    net.training_step(batch, 0).backward()
    return time.perf_counter() - began


def compared(context, works, rounds, of):
    """Prints how fast each works beside the one called `of`; `works` has a network and a timed call by name."""
    for _, call in works.values():
        call()
    taken = [{name: call() for name, (_, call) in works.items()} for _ in range(rounds)]
    for name, (net, _) in works.items():
        speed = BATCH / statistics.median(each[name] for each in taken)
        ratio = statistics.median(each[of] / each[name] for each in taken)
        weights = sum(each.numel() for each in net.parameters())
        print(f"{context:>7,} {name:<12s} {weights:>9,} {speed:>10,.0f} {ratio:>7.2f}", flush=True)


def main(rounds=5):
    torch.manual_seed(1)
    nets = {name: made(name) for name in NAMES}
    print(f"{'context':>7s} {'':<12s} {'weights':>9s} {'windows/s':>10s} {'x lstm':>7s}")
    for context in CONTEXTS:
        x = torch.randn(BATCH, context, FEATURES)
        compared(context, {name: (net, partial(seconds, net, x)) for name, net in nets.items()}, rounds, "lstm")
    for context in CONTEXTS:
        models = {"direct-lstm": whole(["model=direct", "backbone=lstm"], context)}
        models["segment-gru"] = whole(["model=segment", "backbone=gru"], context)
        works = {name: (net, partial(learnt, net, batch)) for name, (net, batch) in models.items()}
        compared(context, works, rounds, "direct-lstm")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
