"""Checkpoints: whole or not at all, and none that was changed is used."""

import os
import random
from contextlib import suppress
from pathlib import Path
from shutil import copy

import pytest
import torch

from forecast.checkpoint import Files
from forecast.error import CannotWrite, Refusal

FILES = Files("of the data")


def state(step: int) -> dict:
    return {"global_step": step, "state_dict": {"weight": torch.arange(100.0) * step}}


@pytest.fixture
def folder(tmp_path) -> Path:
    """As a run leaves it: the last two checkpoints and the best one."""
    FILES.save_checkpoint(state(1), tmp_path / "best.ckpt")
    for step in (1, 2, 3):
        FILES.save_checkpoint(state(step), tmp_path / "last.ckpt")
    return tmp_path


def step(path: Path) -> int:
    return FILES.load_checkpoint(path)["global_step"]


def test_the_last_two_are_kept_and_nothing_else(folder):
    assert {path.name: step(path) for path in folder.iterdir()} == {"best.ckpt": 1, "before.ckpt": 2, "last.ckpt": 3}
    assert FILES.newest(folder) == folder / "last.ckpt"
    assert FILES.newest(folder / "none") is None


CHANGES = 1000


def test_every_changed_bit_and_every_cut_is_found_and_named(folder):
    """Also in the sha256 itself; no byte of what is left is unpacked."""
    path, drawn = folder / "last.ckpt", random.Random(1)
    whole, undetected = path.read_bytes(), 0
    for number in range(CHANGES):
        content = bytearray(whole)
        if number % 5:
            content[drawn.randrange(len(whole))] ^= 1 << drawn.randrange(8)
        else:
            del content[drawn.randrange(len(whole)) :]
        path.write_bytes(content)
        with suppress(Refusal):
            FILES.load_checkpoint(path)
            undetected += 1
    assert undetected == 0
    with pytest.raises(Refusal, match=f"{path} is damaged"):
        FILES.load_checkpoint(path)
    path.write_bytes(whole)
    assert step(path) == 3


def test_torch_alone_would_find_few(folder, tmp_path):
    """The fault that the test above is for: most flipped bits load without a word."""
    content = bytearray((folder / "last.ckpt").read_bytes()[:-32])
    content[content.index(torch.tensor(99.0 * 3).numpy().tobytes())] ^= 1
    (tmp_path / "flipped").write_bytes(content)
    assert torch.load(tmp_path / "flipped", weights_only=True)["global_step"] == 3


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_of_damaged_ones_each_is_told_of_and_the_one_before_used(folder, caplog):
    flip(folder / "last.ckpt")
    assert FILES.newest(folder) == folder / "before.ckpt"
    assert "last.ckpt is damaged" in caplog.text and "going on from before.ckpt" in caplog.text
    flip(folder / "before.ckpt")
    with pytest.raises(Refusal, match=f"last.ckpt is damaged.*before.ckpt is damaged.*delete {folder}"):
        FILES.newest(folder)


def test_a_damaged_best_one_is_refused(folder):
    flip(folder / "best.ckpt")
    with pytest.raises(Refusal, match=f"best.ckpt is damaged.*delete {folder}"):
        FILES.newest(folder)


def test_checkpoints_on_other_data_are_refused(folder):
    with pytest.raises(Refusal, match="not those that the run began with") as error:
        Files("of other data").newest(folder)
    assert error.value.code == "other-data"


def test_a_checkpoint_that_runs_code_is_refused(folder):
    class Hostile:
        def __reduce__(self):
            return os.system, ("touch ran",)

    FILES.save_checkpoint({**state(4), "hostile": Hostile()}, folder / "last.ckpt")
    with pytest.raises(Exception, match="Weights only"):
        FILES.load_checkpoint(folder / "last.ckpt")
    assert not Path("ran").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_save_that_fails_is_said_and_changes_nothing(folder, monkeypatch, failing):
    def fails(*_):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), fails)
    for name in ("last.ckpt", "best.ckpt"):
        with pytest.raises(CannotWrite, match="No space left on device"):
            FILES.save_checkpoint(state(4), folder / name)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("done", [1, 2])
def test_a_save_that_fails_to_take_its_name_is_said_and_leaves_one_to_go_on_from(folder, monkeypatch, done):
    """After so many moves: of the new one beside the last, and of the last to the one before."""
    move, moves = Path.replace, iter(range(9))

    def fails(path, target):
        if next(moves) >= done:
            raise OSError(28, "No space left on device")
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(CannotWrite, match="No space left on device"):
            FILES.save_checkpoint(state(4), folder / "last.ckpt")
    assert step(FILES.newest(folder)) == 2 + done


@pytest.mark.parametrize("left", range(6))
def test_a_save_that_is_cut_short_leaves_one_to_go_on_from(folder, monkeypatch, left):
    """Killed before each of its steps on the disk; the next save then leaves two again."""

    class Killed(BaseException):
        pass

    steps, done = [(os, "fsync"), (Path, "replace")], [left]

    def counted(called):
        def instead(*given):
            done[0] -= 1
            if done[0] < 0:
                raise Killed
            return called(*given)

        return instead

    with monkeypatch.context() as patch:
        for owner, name in steps:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        with suppress(Killed):
            FILES.save_checkpoint(state(4), folder / "last.ckpt")
    assert step(FILES.newest(folder)) in (3, 4) and step(folder / "best.ckpt") == 1
    FILES.save_checkpoint(state(5), folder / "last.ckpt")
    kept = {path.name: step(path) for path in folder.iterdir()}
    assert kept.pop("last.ckpt") == 5 and kept.pop("before.ckpt") in (3, 4) and kept == {"best.ckpt": 1}


def test_what_a_checkpoint_knows_of_files_lies_beside_it(folder, tmp_path):
    kept = {"dirpath": "/far", "best_model_path": "/far/best.ckpt", "best_k_models": {"/far/best.ckpt": torch.ones(())}}
    kept |= {"kth_best_model_path": "/far/best.ckpt", "last_model_path": "", "monitor": "val/loss"}
    FILES.save_checkpoint({**state(4), "callbacks": {"best": kept, "other": {"x": 1}}}, folder / "last.ckpt")
    (tmp_path / "new").mkdir()
    copy(folder / "last.ckpt", tmp_path / "new")
    found = FILES.load_checkpoint(tmp_path / "new" / "last.ckpt")["callbacks"]
    best = str(tmp_path / "new" / "best.ckpt")
    assert found["best"]["dirpath"] == str(tmp_path / "new") and found["best"]["best_model_path"] == best
    assert list(found["best"]["best_k_models"]) == [best] and found["best"]["last_model_path"] == ""
    assert found["other"] == {"x": 1}
