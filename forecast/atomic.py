"""Files that are written whole or not at all: what was there before stays intact until the new one is safe on disk."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from forecast.error import CannotWrite


def write(path: Path, content: bytes | str | Iterable[bytes | memoryview]) -> None:
    """Replaces a file in one step by text (UTF-8), bytes, or pieces of them one after the other.

    Makes the folders above it. Raises CannotWrite; then nothing has changed.
    """
    path = Path(path)
    pieces = [content.encode()] if isinstance(content, str) else [content] if isinstance(content, bytes) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            for piece in pieces:
                file.write(piece)
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


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
