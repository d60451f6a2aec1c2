"""What PyTorch has once for a whole process, used by one thread at a time and given back as it was."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

LOCK = threading.RLock()


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """Draws from `seed` on, in float32 and with gradients, whatever the caller has set; others wait their turn.

    Random numbers, the default dtype, determinism and cuDNN's choices are one for all threads: what is learnt or built
    here neither sees what another thread does to them nor leaves a trace. Forecasts use none of these and need no turn.
    """
    with LOCK, torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad():
        dtype, benchmark = torch.get_default_dtype(), torch.backends.cudnn.benchmark
        exact = torch.are_deterministic_algorithms_enabled()
        warns = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.backends.cudnn.benchmark = benchmark
            torch.use_deterministic_algorithms(exact, warn_only=warns)
