"""A panel in files: tensors that the operating system pages in as windows are gathered, instead of lying in memory."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from forecast.atomic import write
from forecast.data.panel import Panel
from forecast.error import CannotWrite, Refusal

BLOCK = 1 << 22  # bytes that are hashed and written at once


def stored(panel: Panel, folder: Path) -> Panel:
    """The same panel with tensors that lie in files of `folder`, each named by the sha256 of its bytes.

    A file that is already there is used again. Raises Refusal if its bytes are not those of its name, CannotWrite if
    the folder can't be written. Tensors without entries stay in memory.
    """
    tensors = {name: x for name, x in vars(panel).items() if isinstance(x, Tensor)}
    return replace(panel, **{name: mapped(x, name, Path(folder)) for name, x in tensors.items() if x.numel()})


def mapped(tensor: Tensor, name: str, folder: Path) -> Tensor:
    """A tensor's content as a tensor over a file, which is written unless it is there. Changes stay in memory."""
    tensor = tensor.detach().cpu().contiguous()
    digest = sha256(blocks(tensor))
    path = folder / f"{name}-{digest[:32]}.bin"
    if not path.exists():
        write(path, blocks(tensor))
    try:
        with path.open("rb") as file:
            found = sha256(iter(lambda: file.read(BLOCK), b""))
    except OSError as error:
        raise CannotWrite(f"{path} can't be read again: {error.strerror or error}", "cannot-write") from error
    if found != digest:
        raise Refusal(f"{path} is not what was stored (its sha256 differs): delete it and run again", "stale")
    flat = torch.from_file(str(path), shared=False, size=tensor.numel(), dtype=tensor.dtype)
    return flat.view(tensor.shape)


def blocks(tensor: Tensor) -> Iterator[memoryview]:
    """The bytes of a contiguous tensor, so many at a time."""
    flat = tensor.flatten().view(torch.uint8).numpy()
    for start in range(0, len(flat), BLOCK):
        yield flat[start : start + BLOCK].data


def sha256(pieces: Iterator[bytes] | Iterator[memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
