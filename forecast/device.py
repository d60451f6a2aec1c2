"""What this machine lets a trainer do: devices and processes, number formats, a compiler. What it can't is refused."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import nn

from forecast.error import Refusal
from forecast.model.base import Model
from forecast.setting import FAULTS, built

PLACES = ("accelerator", "devices", "num_nodes", "strategy")  # settings of a trainer that say where it works
STRATEGIES = ("auto", "ddp")  # others divide the model, or lose what training leaves behind


def able(config: Mapping[str, Any]) -> Strategy:
    """How this machine trains with a configuration: the devices and this process's rank among several.

    Raises Refusal if it lacks a device, a number format or a compiler that is asked for, or if torchrun or SLURM
    started another number of processes.
    """
    wanted = config["trainer"]
    if wanted["strategy"] not in STRATEGIES:
        raise Refusal(
            f"trainer.strategy={wanted['strategy']}: expected one of {', '.join(STRATEGIES)} (each process has the "
            "whole model)",
            "config",
        )
    if wanted["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise Refusal(
            f"trainer.accelerator={wanted['accelerator']}: PyTorch finds no GPU on this machine that it can use; use "
            "trainer.accelerator=auto or cpu, or install PyTorch for your GPU (README)",
            "device",
        )
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    found = built("trainer", lightning.Trainer, **{key: wanted[key] for key in PLACES}, **quiet).strategy
    if isinstance(found, DDPStrategy) and found.cluster_environment is not None:
        try:
            found.cluster_environment.validate_settings(found.num_processes, found.num_nodes)
        except FAULTS as error:
            raise Refusal(f"trainer.devices and trainer.num_nodes: {error}", "config") from error
    counts(wanted["precision"], found.root_device)
    if config["tf32"] and found.root_device.type != "cuda":
        raise Refusal("tf32=true: only NVIDIA GPUs have it, and this training has none; use tf32=false", "device")
    if config["compile"]:
        compiles(found.root_device)
    return found


def processes(strategy: Strategy) -> int:
    """How many processes have to be started here; 0 if this one is enough, or another program has started them."""
    if not isinstance(strategy, DDPStrategy) or strategy.cluster_environment is None:
        return 0
    return 0 if strategy.cluster_environment.creates_processes_externally else strategy.num_processes


def leave() -> None:
    """Leaves the other processes: Gloo's threads abort one whose interpreter ends before them (PyTorch #190489)."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def rank(strategy: Strategy) -> int:
    """Which of several processes this is, on all nodes: the first, 0, writes the run."""
    return strategy.global_rank if isinstance(strategy, DDPStrategy) else 0


def counts(precision: str, device: torch.device) -> None:
    """Refuses a number format that a device has not."""
    if precision == "16-mixed" and device.type == "cpu":
        raise Refusal("trainer.precision=16-mixed needs a GPU: use bf16-mixed or 32-true", "device")
    if precision != "bf16-mixed":
        return
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise Refusal("trainer.precision=bf16-mixed: this GPU has no bfloat16; use 16-mixed or 32-true", "device")
    if device.type == "cpu":
        try:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError as error:
            raise Refusal(
                "trainer.precision=bf16-mixed: this processor has no bfloat16 for recurrent networks; use 32-true",
                "device",
            ) from error


def compiles(device: torch.device) -> None:
    """Refuses to compile where the smallest function does not: there is no compiler, or it does not know the device."""
    try:
        torch.compile(torch.neg)(torch.zeros(2, device=device))
    except Exception as error:  # of many kinds, one a backend
        reason = str(error).strip().split("\n")[0]
        raise Refusal(
            f"compile=true: PyTorch can't compile for {device.type} here ({reason}); install a C++ compiler (g++; for "
            "a GPU also triton), or use compile=false",
            "device",
        ) from error


@contextmanager
def float32(tf32: bool, device: torch.device) -> Iterator[None]:
    """Meanwhile a GPU multiplies float32 with 23 bits of fraction, as a CPU does, or faster with the 10 of TF32.

    PyTorch has one switch for products of matrices, which is off, and one for recurrent layers, which is on.
    """
    if device.type != "cuda":
        yield
        return
    products, layers = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = layers


@contextmanager
def compiled(model: Model, wanted: bool) -> Iterator[None]:
    """Meanwhile the network of a model is compiled, if wanted; its weights and their names stay as they are.

    PyTorch's own recurrent layers (lstm, gru, rnn) stay as they are, in fused kernels that compiled code does not have:
    each breaks the graph in two. (Told to trace them, PyTorch 2.13 can't train an LSTM on CPUs, and writes out steps.)
    """
    if not wanted:
        yield
        return
    model.network = torch.compile(model.network)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.network
