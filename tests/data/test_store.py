"""A panel in files gives what it gives in memory, to the last bit; a file that was changed is refused."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
import yaml

from forecast.config import CONF
from forecast.contract import Window
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import scaler
from forecast.data.store import stored
from forecast.data.table import table
from forecast.data.windows import Windows
from forecast.error import CannotWrite, Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
WINDOW = Window(context=12, horizon=4, stride=1, gap=1, anchor=None)


@pytest.fixture(scope="module")
def panel():
    hours = pd.date_range("2024-01-01", periods=200, freq="h")
    frame = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": hours, "y": range(i, 200 + i), "wind": 0.5 * i, "kind": name})
        for i, name in enumerate(["a", "b", "c"])
    ).drop(index=[7, 8])
    data = DATA | {"past": ["wind"], "static": ["kind"]}
    grid = grids.grid(table(frame, data, "DataFrame"), 5)
    return panels.panel(grid, scaler.learn(grid, int(grid.first[0]) + 120, data))


def tensors(panel):
    return {name: x for name, x in vars(panel).items() if isinstance(x, torch.Tensor)}


def test_every_window_of_a_stored_panel_equals_that_in_memory(panel, tmp_path):
    found = stored(panel, tmp_path / "panel")
    for name, x in tensors(panel).items():
        assert (y := getattr(found, name)).dtype == x.dtype and torch.equal(x, y), name
    order = torch.randperm(300)
    batches = [Windows.between(x, WINDOW, int(panel.first[0]), 10**9).batch(order) for x in (panel, found)]
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True)) and len(batches[0].y) == 300
    assert {name: x for name, x in vars(panel).items() if name not in tensors(panel)}.items() <= vars(found).items()


def test_the_same_panel_uses_its_files_again_and_another_has_its_own(panel, tmp_path):
    stored(panel, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    stored(panel, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    other = stored(replace(panel, y=panel.y + 1), tmp_path)
    new = set(tmp_path.iterdir()) - set(before)
    assert torch.equal(other.y, panel.y + 1) and [path.name[:2] for path in new] == ["y-"]


@pytest.mark.parametrize("harm", [lambda x: x[:-1], lambda x: x[:-1] + b"\x01", lambda x: x + b"\0", lambda _: b""])
def test_a_file_that_was_changed_is_refused(panel, tmp_path, harm):
    stored(panel, tmp_path)
    path = next(tmp_path.glob("y-*"))
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(Refusal, match="delete it") as refusal:
        stored(panel, tmp_path)
    assert refusal.value.code == "stale" and path.name in str(refusal.value)


def test_what_a_process_changes_in_a_stored_panel_never_reaches_the_files(panel, tmp_path):
    stored(panel, tmp_path).y.fill_(0.0)
    assert torch.equal(stored(panel, tmp_path).y, panel.y)


def test_a_write_that_fails_leaves_nothing_behind(panel, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("forecast.atomic.os.fsync", full)
    with pytest.raises(CannotWrite, match="No space left"):
        stored(panel, tmp_path)
    assert not list(tmp_path.iterdir())
