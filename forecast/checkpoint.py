"""Checkpoints of a run: written whole or not at all, each with its sha256, and verified before they are used."""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from forecast import atomic
from forecast.error import CannotWrite, Refusal

log = logging.getLogger(__name__)

DIGEST = 32  # bytes of a sha256, the last of a file
LAST, NEXT, BEFORE = "last.ckpt", "next.ckpt", "before.ckpt"  # what a run goes on from


class Files(CheckpointIO):
    """How Lightning writes and reads the checkpoints of a run on data and by settings with these hashes.

    No pickle runs code. The last.ckpt that is there already is kept as before.ckpt.
    """

    def __init__(self, data: str, settings: str = ""):
        self.data, self.settings = data, settings

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises CannotWrite; what was there before is then as it was."""
        packed, path = io.BytesIO(), Path(path)
        torch.save({**checkpoint, "data": self.data, "settings": self.settings}, packed)
        content = packed.getvalue()
        content += hashlib.sha256(content).digest()
        if path.name != LAST:
            atomic.write(path, content)
            return
        atomic.write(path.with_name(NEXT), content)
        try:
            if path.exists():
                path.replace(path.with_name(BEFORE))  # killed here, there are before.ckpt and next.ckpt
            path.with_name(NEXT).replace(path)
        except OSError as error:
            raise CannotWrite(f"{path} could not be written: {error.strerror or error}", "cannot-write") from error

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Raises Refusal for a file that is not what was saved, or was saved on other data or by other settings."""
        path = Path(path)
        content = path.read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise Refusal(f"{path} is damaged: its sha256 is not that of what was saved", "damaged")
        found = torch.load(io.BytesIO(content[:-DIGEST]), map_location=map_location or "cpu", weights_only=True)
        if found["data"] != self.data:
            raise Refusal(
                f"{path}: the data are not those that the run began with (sha256 {found['data']}, now {self.data}): "
                "bring them back, or begin another run",
                "other-data",
            )
        if found.get("settings", self.settings) != self.settings:  # older ones have none
            raise Refusal(
                f"{path}: the settings are not those that the run began with: bring them back, or begin another run",
                "other-settings",
            )
        return moved(found, path.parent)

    def forget(self, folder: Path) -> None:
        """Takes away the checkpoints of another training in this folder, which this one is not to go on from."""
        for path in (*folder.glob("best*.ckpt"), *(folder / name for name in (LAST, NEXT, BEFORE))):
            path.unlink(missing_ok=True)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)

    def newest(self, folder: Path) -> Path | None:
        """The newest sound checkpoint to go on from, None if there is none; each damaged one is told of.

        Raises Refusal if none is sound, or the best one is not.
        """
        damaged = []
        for path in folder.glob("best*.ckpt"):
            damaged += self.damage(path)
        for name in (LAST, NEXT, BEFORE) if not damaged else ():
            if (folder / name).exists():
                if not (found := self.damage(folder / name)):
                    for error in damaged:
                        log.warning("%s; going on from %s", error, name)
                    return folder / name
                damaged += found
        if damaged:
            raise Refusal(
                f"{', and '.join(map(str, damaged))}; delete {folder} and give the same command again: the run then "
                "begins anew, and ends with the same result",
                "damaged",
            )
        return None

    def damage(self, path: Path) -> list[Refusal]:
        """What is said of a checkpoint that is damaged. Raises Refusal for one of other data or settings."""
        try:
            self.load_checkpoint(path)
        except Refusal as error:
            if error.code != "damaged":
                raise
            return [error]
        return []


def moved(checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A checkpoint whose run may have moved since: what it knows of files lies beside it."""

    def beside(path: str) -> str:
        return str(folder.resolve() / Path(path).name) if path else path

    for state in checkpoint.get("callbacks", {}).values():
        if "best_k_models" in state:
            state["dirpath"] = str(folder.resolve())
            state["best_k_models"] = {beside(path): score for path, score in state["best_k_models"].items()}
            state |= {key: beside(x) for key, x in state.items() if key.endswith("_model_path")}
    return checkpoint
