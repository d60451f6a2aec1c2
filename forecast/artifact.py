"""A saved forecaster on disk: safetensors and JSON, no pickle.

What is read may come from anybody, and a sha256 only says that it is what was saved: a document is data, never code,
and is held against sizes before anything is made of them.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forecast.allocator import tuned
from forecast.atomic import write
from forecast.error import Refusal
from forecast.upgrade import FORMAT, upgraded

WEIGHTS, DOCUMENT = "model.safetensors", "forecaster.json"
LARGEST = 1 << 28  # bytes of a document


def plain(document: Any) -> str:
    """JSON of plain types, each key on a line of its own; what is not a finite number becomes null."""

    def finite(x: Any) -> Any:
        if isinstance(x, dict):
            return {str(key): finite(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return [finite(value) for value in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    def lines(x: Any, margin: str = "\n") -> str:
        if not isinstance(x, dict) or not x:
            return json.dumps(x, allow_nan=False, separators=(",", ":"))
        deeper = margin + " "
        return (
            "{"
            + ",".join(f"{deeper}{json.dumps(key)}: {lines(value, deeper)}" for key, value in x.items())
            + f"{margin}}}"
        )

    return lines(finite(document)) + "\n"


def save(folder: Path, weights: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Writes a forecaster: weights, then the document that holds their sha256."""
    from safetensors.torch import save as pack

    content = pack({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    write(Path(folder) / WEIGHTS, content)
    document = json.loads(plain(document))
    hashes = {WEIGHTS: hashlib.sha256(content).hexdigest(), DOCUMENT: hashed(document)}
    document = {"format": FORMAT, "sha256": hashes, **document}
    write(Path(folder) / DOCUMENT, plain(document))


def hashed(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def document(folder: Path) -> dict[str, Any]:
    """The document of a saved forecaster, as this version of forecast writes it; nothing of it is trusted yet.

    Raises Refusal if the folder holds none, if it was changed or cut, or if its format is not known.
    """
    folder = home(folder)
    try:
        if (path := inside(folder, DOCUMENT)).stat().st_size > LARGEST:
            raise ValueError(f"{DOCUMENT} has {path.stat().st_size} bytes")
        found = parsed(path.read_bytes())
        number = found["format"]
        if type(number) is not int or not 1 <= number <= FORMAT:
            expected = f"this version of forecast reads formats up to {FORMAT}"
            raise Refusal(f"{folder} has format {number}; {expected}", "format")
        kept = {key: value for key, value in found.items() if key not in ("format", "sha256")}
        same = found["sha256"][DOCUMENT] == hashed(kept)
    except Refusal:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refusal(f"{folder} holds a damaged forecaster: {error!r}", "damaged") from None
    if not same:
        raise Refusal(f"{folder / DOCUMENT} is not what was saved (its sha256 differs): copy it again", "damaged")
    return upgraded(found)


def weights(folder: Path, document: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a saved forecaster, which has these tensors, no more and no less; `wanted` may lie on meta.

    Names and shapes in the header are compared before any number is read. Raises Refusal for other ones, for weights
    that the document does not know, and for numbers that are not finite.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load as unpack

    path = inside(home(folder), WEIGHTS)
    try:
        with safe_open(path, "pt") as header:
            alike({name: tuple(header.get_slice(name).get_shape()) for name in header.keys()}, wanted)  # noqa: SIM118
            if header.metadata():
                raise ValueError("there is metadata, of which a forecaster has none")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != document["sha256"].get(WEIGHTS):
            raise ValueError("its sha256 differs: copy it again")
        parsed(content[8 : 8 + int.from_bytes(content[:8], "little")])  # no name is there twice
        found = unpack(content)
        for name, tensor in found.items():
            if tensor.dtype != wanted[name].dtype or not torch.isfinite(tensor).all():
                raise ValueError(f"'{name}' has numbers of another type, or some that are not finite")
    except (OSError, ValueError, SafetensorError) as error:
        raise Refusal(f"{path} is not what was saved: {error}", "damaged") from None
    return found


def alike(shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, Tensor]) -> None:
    """Raises ValueError for names and shapes of tensors that are not those that are wanted."""
    expected = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            raise ValueError(f"'{name}' has shape {shapes.get(name)}, in the model {expected.get(name)}")


def home(folder: Path) -> Path:
    """The folder of a saved forecaster: the one that is named, or that of the run."""
    folder = Path(folder)
    if not (folder / DOCUMENT).is_file() and (folder / "forecaster" / DOCUMENT).is_file():
        folder = inside(folder, "forecaster")
    if not (folder / DOCUMENT).is_file():
        raise Refusal(f"{folder} is no run and no saved forecaster: it holds no {DOCUMENT}", "no-forecaster")
    return folder


def inside(folder: Path, name: str) -> Path:
    """What lies in a folder by this name; refused if it is a link out of it, or a device or a pipe."""
    path = folder / name
    if path.resolve().parent != folder.resolve():
        raise Refusal(f"{path} is a link that leads elsewhere: copy what it stands for", "damaged")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise Refusal(f"{path} is no file", "damaged")
    return path


def parsed(text: bytes) -> Any:
    """JSON in which each key is there once and each number is one of 64 bits, neither NaN nor infinite."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"a key is there twice among {', '.join(found)}")
        return found

    def whole(text: str) -> int:
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            raise ValueError(f"{text[:20]} is no number of 64 bits")
        return int(text)

    def real(text: str) -> float:
        if math.isinf(float(text)):
            raise ValueError(f"{text[:20]} is no number of 64 bits")
        return float(text)

    def never(name: str) -> None:
        raise ValueError(f"{name} is no number")

    return json.loads(text, object_pairs_hook=once, parse_int=whole, parse_float=real, parse_constant=never)


@cache
def environment() -> dict[str, Any]:
    """What a result may depend on besides data and configuration: versions, machine, threads, state of the code."""
    packages = ("forecast", "torch", "lightning", "numpy", "pandas", "scikit-learn", "hydra-core")
    kernels = torch.backends.cpu.get_cpu_capability()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()} {kernels}, {os.cpu_count()} cores{gpu}",
        "threads": torch.get_num_threads(),
        "keeps_memory": tuned(),
        "versions": {name: version(name) for name in packages},
        "git": git_state(),
    }


def git_state() -> str | None:
    """The commit that the working folder is at, with `+` if it has changes; None outside a repository."""
    try:
        ask = {"capture_output": True, "text": True, "timeout": 5, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain"], **ask).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
