"""Figures during training: when they are drawn, of what, at what cost, and that nothing is kept of them."""

import gc
import os
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK
from matplotlib.figure import Figure
from tables import classes, forecasts
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forecast.board import watch
from forecast.board.tensorboard import logger
from forecast.board.watch import Figures
from forecast.contract import Window
from forecast.data.module import SeriesDataModule
from forecast.data.synthetic import panel
from forecast.forecaster import Forecaster
from forecast.schedule import AVERAGES

OFTEN = ("callbacks.figures.seconds=0", "callbacks.figures.share=1.0", "callbacks.figures.windows=6")
SMALL = (*QUICK, "context=48", "horizon=12", "trainer.max_epochs=4", "trainer.enable_progress_bar=false", *OFTEN)


def frame(series: int = 1) -> pd.DataFrame:
    return panel(series=series, rows=900, freq="h", seed=1)[["unique_id", "ds", "y"]]


def fitted(folder: Path | None, *words: str, series: int = 1) -> Forecaster:
    return Forecaster(overrides=[*SMALL, *words]).fit(frame(series), folder=folder)


def images(folder: Path) -> dict[str, list[int]]:
    """The steps at which figures were written, by tag."""
    events = EventAccumulator(str(folder / "tensorboard"), {"images": 0}).Reload()
    return {tag: [x.step for x in events.Images(tag)] for tag in events.Tags()["images"]}


@pytest.fixture
def ages(monkeypatch):
    """Training takes ages, so that no drawing takes too large a share of it."""
    monkeypatch.setattr(watch, "perf_counter", count(0, 1000).__next__)


@pytest.mark.usefixtures("ages")
@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4]), (3, [3])])
def test_figures_are_drawn_every_so_many_epochs(tmp_path, every, epochs):
    made = fitted(tmp_path, f"callbacks.figures.every_n_epochs={every}")
    steps = [made.fitted.record["steps"] * epoch // 4 for epoch in epochs]
    assert images(tmp_path) == {"val/forecast": steps, "val/by_step": steps}


@pytest.mark.parametrize(
    "word", ["callbacks.figures=null", "logger=none", "callbacks.figures.seconds=30", "callbacks.figures.share=0"]
)
def test_a_run_may_have_none(tmp_path, word, monkeypatch):
    """Nor has a short one by default; a share of nothing allows one drawing, whose cost nobody knows yet."""
    drawn = []
    monkeypatch.setattr(watch, "draw", lambda *given: drawn.append(given))
    fitted(tmp_path, word)
    assert len(drawn) == (word == "callbacks.figures.share=0")


def test_without_a_folder_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr(watch, "draw", lambda *given: pytest.fail("drawn"))
    fitted(None)


@pytest.mark.usefixtures("ages")
@pytest.mark.parametrize("average", [None, *AVERAGES])
def test_figures_are_of_the_newest_validation_windows_and_of_the_weights_that_are_judged(
    tmp_path, monkeypatch, average
):
    tables = []
    monkeypatch.setattr(watch, "draw", lambda board, table, step: tables.append(table))
    words = () if average is None else (f"callbacks={average}", "callbacks.early_stopping=null")
    words = (*words, "callbacks.checkpoint.monitor=null")  # the weights that are kept are the last
    made = fitted(tmp_path, *words)
    table, layout = tables[-1], made.fitted.layout
    end = layout.clock.stamps(np.array([made.fitted.borders[1]]))[0]
    assert len(tables) == 4 and len(table) == 6 * 12 and table["ds"].is_unique
    assert table["ds"].max() == end - pd.Timedelta("1h")
    assert table["y"].to_numpy() == pytest.approx(frame().set_index("ds")["y"].loc[table["ds"]].to_numpy())
    val = SeriesDataModule.cut(made.panel(None), Window(48, 12), made.fitted.borders, "val")
    pd.testing.assert_frame_equal(made.fitted.forecast(val.recent(6)), table)
    assert not np.allclose(tables[0]["point"], table["point"])


def test_training_is_the_same_with_and_without(tmp_path):
    """A model that draws random numbers when it forecasts is the hardest case."""
    words = ("model=autoregressive", "head=normal", "trainer.max_epochs=2")
    one = fitted(tmp_path / "a", *words)
    other = fitted(tmp_path / "b", *words, "callbacks.figures=null")
    assert images(tmp_path / "a") and not images(tmp_path / "b")
    for x, y in zip(one.fitted.model.parameters(), other.fitted.model.parameters(), strict=True):
        assert torch.equal(x, y)


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self, monkeypatch):
        self.now, self.drawn = 0.0, list[float]()
        monkeypatch.setattr(watch, "perf_counter", lambda: self.now)

    def draw(self, cost: float):
        def drawing(*given):
            self.drawn.append(self.now)
            self.now += cost

        return drawing


@pytest.mark.parametrize(
    ("seconds", "share", "cost", "expected"),
    [(30.0, 1.0, 0.1, 30.0), (0.0, 0.05, 2.0, 40.0), (30.0, 0.05, 0.1, 30.0), (0.0, 1.0, 0.0, 1.0)],
)
def test_drawing_keeps_its_distance_and_its_share(tmp_path, monkeypatch, seconds, share, cost, expected):
    """One validation a second for ten minutes: so often is there a drawing."""
    clock, board = Clock(monkeypatch), logger(tmp_path)
    monkeypatch.setattr(watch, "draw", clock.draw(cost))
    callback = Figures(lambda n: None, every_n_epochs=1, seconds=seconds, share=share, windows=1)
    trainer = SimpleNamespace(logger=board, current_epoch=0, global_step=0, sanity_checking=False, is_global_zero=True)
    callback.on_train_start(trainer, None)
    while clock.now < 600:
        clock.now += 1.0
        callback.on_validation_epoch_end(trainer, None)
    assert np.median(np.diff(clock.drawn)) == pytest.approx(expected, rel=0.06, abs=cost + 1e-9)
    assert len(clock.drawn) * cost <= max(share * clock.now, cost)


@pytest.mark.parametrize(("key", "ours"), [("sanity_checking", True), ("is_global_zero", False)])
def test_only_the_first_process_draws_and_only_real_validations(tmp_path, monkeypatch, key, ours):
    monkeypatch.setattr(watch, "draw", lambda *given: pytest.fail("drawn"))
    state = {"logger": logger(tmp_path), "current_epoch": 0, "global_step": 0, "sanity_checking": False}
    trainer = SimpleNamespace(**(state | {"is_global_zero": True} | {key: ours}))
    callback = Figures(lambda n: None, every_n_epochs=1, seconds=0.0, share=1.0, windows=1)
    callback.on_train_start(trainer, None)
    callback.on_validation_epoch_end(trainer, None)


@pytest.mark.parametrize("made", [forecasts, classes])
def test_what_is_drawn_is_written(tmp_path, made):
    watch.draw(logger(tmp_path), made(), 7)
    assert images(tmp_path) == {"val/forecast": [7], "val/by_step": [7]}


def resident() -> float:
    """The memory of this process, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def alive() -> int:
    gc.collect()
    return sum(type(x) is Figure for x in gc.get_objects())


def rounds(folder: Path, times: int, series: int) -> tuple[int, float]:
    """Figures kept, and MiB that memory grew by, over so many validations after some to warm up."""
    made = fitted(None, series=series)
    val = made.origins(made.panel(None), 12)
    callback = Figures(
        lambda n: made.fitted.forecast(val.recent(n)), every_n_epochs=1, seconds=0.0, share=1.0, windows=8
    )
    trainer = SimpleNamespace(
        logger=logger(folder), current_epoch=0, global_step=0, sanity_checking=False, is_global_zero=True
    )
    callback.on_train_start(trainer, made.fitted.model)
    callback.began = -1e9  # so that the share of the time is no limit
    before = figures = 0.0
    warm = max(2, times // 10)
    for i in range(warm + times):
        if i == warm:
            figures, before = alive(), resident()
        trainer.current_epoch = trainer.global_step = i
        callback.on_validation_epoch_end(trainer, made.fitted.model)
    trainer.logger.finalize("success")
    assert images(folder)["val/forecast"] == list(range(warm + times))[-len(images(folder)["val/forecast"]) :]
    return alive() - int(figures), resident() - before


@pytest.mark.slow
def test_no_figure_is_kept(tmp_path):
    kept, _ = rounds(tmp_path, 4, 1)
    assert kept == 0


@pytest.mark.slow
def test_memory_is_flat_over_200_validations(tmp_path):
    kept, grown = rounds(tmp_path, 200, 1)
    assert kept == 0 and grown < 6
