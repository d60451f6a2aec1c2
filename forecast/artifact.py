"""What is written to disk, whole or not at all: files, and a saved forecaster (safetensors + JSON, no pickle)."""

import hashlib
import json
import math
import os
import platform
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from forecast.error import CannotWrite, Refusal

FORMAT = 1
WEIGHTS, DOCUMENT = "model.safetensors", "forecaster.json"


def write(path: Path, content: bytes | str) -> None:
    """Replaces a file in one step: what was there stays intact until the new one is safe on disk."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise CannotWrite(f"{path} could not be written: {error.strerror or error}", "cannot-write") from error


def plain(document: Any) -> str:
    """JSON of plain types; what is not a finite number becomes null."""

    def finite(x: Any) -> Any:
        if isinstance(x, dict):
            return {str(key): finite(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return [finite(value) for value in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(finite(document), indent=1, allow_nan=False) + "\n"


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and document of a saved forecaster; runs no code from the files.

    Raises Refusal if the folder holds none, if a file was changed or cut, or if its format is newer than ours.
    """
    from safetensors.torch import load as unpack

    folder = Path(folder)
    if (folder / "forecaster" / DOCUMENT).is_file():  # a run folder
        folder = folder / "forecaster"
    if not (folder / DOCUMENT).is_file():
        raise Refusal(f"{folder} is no run and no saved forecaster: it holds no {DOCUMENT}", "no-forecaster")
    try:
        document = json.loads((folder / DOCUMENT).read_text())
        version = document["format"]
        if version != FORMAT:
            raise Refusal(f"{folder} has format {version}; this version of forecast reads format {FORMAT}", "format")
        content = (folder / WEIGHTS).read_bytes()
        expected = document["sha256"][WEIGHTS], document["sha256"][DOCUMENT]
        rest = {key: value for key, value in document.items() if key not in ("format", "sha256")}
        found = hashlib.sha256(content).hexdigest(), hashed(rest)
    except Refusal:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(f"{folder} holds a damaged forecaster: {error}", "damaged") from None
    for file, was, now in zip((WEIGHTS, DOCUMENT), expected, found, strict=True):
        if was == now:
            continue
        raise Refusal(f"{folder / file} is not what was saved (its sha256 differs): copy it again", "damaged")
    return unpack(content), document


def environment() -> dict[str, Any]:
    """Versions and code state that a result was made with."""
    packages = ("forecast", "torch", "lightning", "numpy", "pandas", "scikit-learn", "hydra-core")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
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
