"""The data module: parts by date without a shared target, and what a real Trainer gets from it, also resumed."""

from dataclasses import replace
from functools import cache
from itertools import chain

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback

from forecast.config import CONF
from forecast.contract import Batch, Window
from forecast.data.grid import grid
from forecast.data.module import PARTS, SeriesDataModule
from forecast.data.order import Order
from forecast.data.panel import Panel, panel
from forecast.data.scaler import learn
from forecast.data.table import table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
SPLIT = ["2024-03-29", "2024-03-31", "2024-04-02"]
WINDOW = Window(context=6, horizon=4, stride=3, gap=1)
PLAIN = {"train_window": None, "half_life": None, "weights": None, "windows_per_epoch": None}


def made(split=SPLIT, spans=((0, 150), (20, 60), (90, 60)), window=WINDOW, tz=None, begin="2024-03-27", freq="h"):
    """Several series that begin and end at different times, and where the parts end."""
    blocks = []
    for i, (first, rows) in enumerate(spans):
        ds = pd.date_range(begin, periods=first + rows, freq=freq, tz=tz)[first:]
        blocks.append(pd.DataFrame({"unique_id": f"s{i}", "ds": ds, "y": np.arange(float(rows)) + 1000 * i}))
    laid = grid(table(pd.concat(blocks), DATA | {"freq": freq}, "my.csv"), window.ahead)
    borders = laid.borders(split)
    return panel(laid, learn(laid, borders[0], DATA)), borders


def stamps(found: Panel, windows) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """The first and last stamp of each window's targets."""
    batch = windows.batch(torch.arange(len(windows)))
    number = found.first[windows.series] + batch.cutoff - found.offsets[windows.series]
    first = found.layout.clock.stamps((number + windows.window.gap + 1).numpy())
    last = found.layout.clock.stamps((number + windows.window.ahead).numpy())
    return list(zip(first, last, strict=True))


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
def test_targets_of_each_part_lie_between_its_dates(tz):
    found, borders = made(tz=tz)
    dates = [pd.Timestamp(date, tz=tz) for date in ("2024-03-01", *SPLIT)]
    for i, part in enumerate(PARTS):
        spans = stamps(found, SeriesDataModule.cut(found, replace(WINDOW, stride=1), borders, part))
        assert all(dates[i] <= first and last < dates[i + 1] for first, last in spans)
        if i:  # some series goes on through every border: targets begin right behind it and reach the next one
            assert min(first for first, _ in spans) == dates[i]
        assert max(last for _, last in spans) == dates[i + 1] - pd.Timedelta("1h")


def test_a_last_part_without_an_end_reaches_the_end_of_the_longest_series():
    found, borders = made(split=SPLIT[:2])
    assert borders[2] is None
    spans = stamps(found, SeriesDataModule.cut(found, replace(WINDOW, stride=1), borders, "test"))
    assert max(last for _, last in spans) == pd.Timestamp("2024-03-27") + pd.Timedelta(hours=149)


@pytest.mark.parametrize("border", [0, 1])
def test_a_border_at_the_first_of_january_1970_is_a_border(border):
    """Its number is 0 on the clock: no reason to take it for none."""
    dates = ["1969-12-20", "1970-01-20"]
    dates[border] = "1970-01-01"
    found, borders = made(dates, [(0, 200)], begin="1969-10-01", freq="D")
    assert borders[border] == 0
    for part, (begin, end) in zip(PARTS, [("1969", dates[0]), dates, (dates[1], "1970-12-31")], strict=True):
        for first, last in stamps(found, SeriesDataModule.cut(found, WINDOW, borders, part)):
            assert pd.Timestamp(begin) <= first and last < pd.Timestamp(end)


def test_training_uses_the_stride_validation_every_window_and_neither_the_anchor():
    found, borders = made()
    data = SeriesDataModule(found, replace(WINDOW, anchor="00:00"), borders, **PLAIN, batch_size=8, seed=1)
    dense = {part: SeriesDataModule.cut(found, replace(WINDOW, stride=1), borders, part) for part in PARTS}
    for series in range(3):
        train = data.windows["train"].starts[data.windows["train"].series == series]
        assert torch.equal(train, dense["train"].starts[dense["train"].series == series][::3])
    assert torch.equal(data.windows["val"].starts, dense["val"].starts)
    test = stamps(found, SeriesDataModule.cut(found, replace(WINDOW, anchor="00:00"), borders, "test"))
    assert [first for first, _ in test] == [pd.Timestamp(day) for day in ("2024-03-31", "2024-04-01", "2024-04-01")]


def test_series_too_short_for_a_part_are_left_out_and_all_too_short_are_refused():
    found, borders = made(spans=[(0, 150), (0, 5)])
    assert set(SeriesDataModule.cut(found, WINDOW, borders, "train").series.tolist()) == {0}
    with pytest.raises(Refusal, match=r"my.csv.* in train: .* 48 rows there.* 50 .*horizon.* 7 .*Lower") as refusal:
        SeriesDataModule.cut(found, replace(WINDOW, horizon=50), borders, "train")
    assert refusal.value.code == "too-short"
    with pytest.raises(Refusal, match=r"my.csv.* in train: .* 150 in all.* 4 .* 149 others"):
        SeriesDataModule.cut(found, replace(WINDOW, context=148), borders, "train")
    long = replace(WINDOW, context=90)  # the context of val reaches back to the start
    assert len(SeriesDataModule.cut(found, long, borders, "val")) and len(
        SeriesDataModule.cut(found, long, borders, "test")
    )
    with pytest.raises(Refusal, match="in train"):
        SeriesDataModule(found, long, borders, **PLAIN, batch_size=8, seed=1)


# --- with a real Trainer ---


class Recorder(lightning.LightningModule):
    """Notes the windows that each step gets."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": []}

    def note(self, part: str, batch: Batch) -> torch.Tensor:
        batch.check()
        self.seen[part].append(batch.cutoff[batch.weight > 0].tolist())
        return self.weight * batch.weight.sum()

    def training_step(self, batch, _):
        return self.note("train", batch)

    def validation_step(self, batch, _):
        self.note("val", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(kind: type[lightning.Trainer] = lightning.Trainer, **settings) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return kind(**quiet, enable_checkpointing=False, num_sanity_val_steps=0, **settings)


def data_of(batch_size: int, draw: int | None = None) -> SeriesDataModule:
    found, borders = made()
    settings = PLAIN | {"windows_per_epoch": draw}
    return SeriesDataModule(found, WINDOW, borders, **settings, batch_size=batch_size, seed=3)


@pytest.mark.parametrize(
    ("count", "draw", "said", "expected"),
    [(100, None, None, 16), (3200, None, None, 100), (9000, None, None, 256), (9000, 1600, None, 50),
     (100, None, 256, 256), (9000, None, 7, 7)],
)  # fmt: skip
def test_batches_of_few_windows_are_smaller_unless_their_size_is_said(count, draw, said, expected):
    window, train = Window(context=6, horizon=4), count + 9
    split = [str(pd.Timestamp("2024-03-27") + pd.Timedelta(hours=hours)) for hours in (train, train + 20)]
    found, borders = made(split, [(0, train + 40)], window)
    settings = PLAIN | {"windows_per_epoch": draw}
    module = SeriesDataModule(found, window, borders, **settings, batch_size=said, seed=3)
    assert len(module.windows["train"]) == count and module.batch_size == expected


def test_a_trainer_gets_every_window_once_an_epoch_in_another_order_each_time():
    data, model = data_of(7), Recorder()
    trainer(max_epochs=3).fit(model, datamodule=data)
    steps = -(-len(data.windows["train"]) // 7)
    assert len(data.windows["train"]) % 7 and len(data.windows["val"]) % 7, "the last batch has to be a short one"
    epochs = [list(chain(*model.seen["train"][i * steps : (i + 1) * steps])) for i in range(3)]
    expected = sorted((data.windows["train"].starts + WINDOW.context - 1).tolist())
    assert len(model.seen["train"]) == 3 * steps and all(sorted(epoch) == expected for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert list(chain(*model.seen["val"])) == 3 * (data.windows["val"].starts + WINDOW.context - 1).tolist()


def drawn(draw: int | None, epochs: int, seed: int = 3, world: int = 1) -> list[list[int]]:
    """The numbers that each epoch takes of 20 windows in batches of 2, of all ranks side by side."""
    found = []
    for epoch in range(epochs):
        ranks = [
            Order(20, 2, draw=draw, seed=seed, rank=rank, world=world, position=lambda epoch=epoch: (epoch, 0))
            for rank in range(world)
        ]
        assert {len(rank) for rank in ranks} == {-(-min(draw or 20, 20) // 2)} == {len(list(ranks[0]))}
        steps = list(zip(*ranks, strict=True))
        found.append([n for step in steps for n in torch.stack([x for x, _ in step], 1).flatten().tolist()])
        padded = [w for step in steps for w in torch.stack([x for _, x in step], 1).flatten().tolist()]
        found[-1] = [n for n, weight in zip(found[-1], padded, strict=True) if weight]
    return found


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("draw", [1, 6, 7, 13, 19])
def test_an_epoch_draws_so_many_windows_and_the_next_one_others(draw, world):
    turn = 20 // draw  # epochs until too few are left, and the draw begins again
    epochs = drawn(draw, 12 * turn, world=world)
    assert all(len(set(epoch)) == len(epoch) == draw for epoch in epochs), "without replacement"
    for i in range(0, len(epochs), turn):
        assert len(set(chain(*epochs[i : i + turn]))) == turn * draw, "none twice before it begins again"
    assert set(chain(*epochs)) == set(range(20)), "every window sooner or later"
    assert epochs[:turn] != epochs[turn : 2 * turn]
    assert epochs == drawn(draw, 12 * turn) and epochs != drawn(draw, 12 * turn, seed=4)


def test_as_many_windows_as_there_are_or_more_are_all_of_them_in_the_same_order():
    assert drawn(20, 3) == drawn(1000, 3) == drawn(None, 3)


def test_a_trainer_takes_only_the_windows_of_the_draw():
    model = Recorder()
    trainer(max_epochs=2).fit(model, datamodule=data_of(2, 5))
    sizes = [len(batch) for batch in model.seen["train"]]
    assert sizes == [2, 2, 1, 2, 2, 1] and len(set(chain(*model.seen["train"]))) == 10


@cache
def uninterrupted() -> list[list[int]]:
    """The train windows of each step of two epochs."""
    whole = Recorder()
    trainer(max_epochs=2).fit(whole, datamodule=data_of(2))
    return whole.seen["train"]


class Stop(Callback):
    """Saves and stops after so many steps, as an interruption does."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.steps:
            trainer.save_checkpoint("stopped.ckpt")
            trainer.should_stop = True
            raise KeyError("stopped")


@pytest.mark.parametrize("stop", [1, 4, 9, 10, 12])  # of 10 steps an epoch
def test_a_resumed_run_goes_on_with_the_very_next_batch(stop):
    whole = uninterrupted()
    assert len(whole) == 20
    with pytest.raises(KeyError, match="stopped"):
        trainer(max_epochs=2, callbacks=[Stop(stop)]).fit(Recorder(), datamodule=data_of(2))
    resumed = Recorder()
    trainer(max_epochs=2).fit(resumed, datamodule=data_of(2), ckpt_path="stopped.ckpt")
    assert resumed.seen["train"] == whole[stop:]


def test_a_run_that_ended_with_an_epoch_goes_on_with_the_next_one():
    first, second = Recorder(), Recorder()
    short = trainer(max_epochs=1)
    short.fit(first, datamodule=data_of(2))
    short.save_checkpoint("ended.ckpt")
    trainer(max_epochs=2).fit(second, datamodule=data_of(2), ckpt_path="ended.ckpt")
    assert first.seen["train"] + second.seen["train"] == uninterrupted()


def test_each_rank_gets_its_own_slice():
    def rank(number: int) -> type[lightning.Trainer]:
        return type(
            "Rank",
            (lightning.Trainer,),
            {"global_rank": property(lambda _: number), "world_size": property(lambda _: 3)},
        )

    for part, draw in (("train", None), ("train", 7), ("val", 7)):
        seen = []
        for number in range(3):
            data = data_of(2, draw)
            data.trainer = trainer(rank(number))
            loader = getattr(data, f"{part}_dataloader")()
            assert len(loader) == len(list(loader))
            seen += [n for numbers, weight in loader for n in numbers[weight > 0].tolist()]
        expected = list(range(len(data.windows[part])))
        assert len(set(seen)) == len(seen) == 7 if part == "train" and draw else sorted(seen) == expected


def test_the_panel_moves_to_the_training_device_once_and_batches_are_gathered_there():
    """On PyTorch's device without memory, which every machine has."""
    data, place = data_of(7), torch.device("meta")
    data.trainer = trainer()
    batches = []
    for numbers in (torch.arange(7), torch.arange(7, 10)):
        batches.append(data.on_after_batch_transfer((numbers.to(place), torch.ones(len(numbers), device=place)), 0))
        if len(batches) == 1:
            moved = dict(data.near)
    assert all(x.device.type == "meta" for batch in batches for x in batch)
    assert data.near.keys() == moved.keys() and all(data.near[part] is moved[part] for part in moved)
    assert all(x.panel is moved["train"].panel and x.panel.y.device.type == "meta" for x in moved.values())
    data.teardown("fit")
    assert all(x.panel.y.device.type == "cpu" for x in (*data.near.values(), *data.windows.values()))
