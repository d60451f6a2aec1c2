"""A loss or weights that are not finite: training ends at that step, names the windows, and keeps what was finite."""

import re
from pathlib import Path
from types import MethodType

import numpy as np
import pytest
import torch
from test_training import prepared

from forecast import WindowedRegressor, training
from forecast.checkpoint import Files
from forecast.error import Diverged
from forecast.learning import fit
from forecast.model._finite import Finite

FILES = Files("a sha256")
WORDS = ("trainer.max_epochs=3", "trainer.limit_val_batches=2")  # 5 steps an epoch


def diverging(step: int, windows: slice, value: float, folder: Path, *words: str):
    """Trains until the loss of some windows of a step is not finite: trainer, model, error, the batch's cutoffs."""
    settings, data, model = prepared(*WORDS, *words, series=2)
    objective, seen = type(model).objective, []

    def infected(self, batch):
        seen.append(batch.cutoff)
        loss = objective(self, batch)
        if len(seen) == step:
            loss = loss.clone()
            loss[windows] = loss[windows] * value
        return loss

    model.objective = MethodType(infected, model)
    made = training.trainer(settings, folder, None)
    made.strategy.checkpoint_io = FILES
    with pytest.raises(Diverged) as error:
        fit(made, model, data, None)
    return made, data, model, str(error.value), seen[-1]


@pytest.mark.parametrize("words", [(), ("callbacks=plain",), ("trainer.accumulate_grad_batches=2",)])
@pytest.mark.parametrize(("step", "value"), [(1, float("nan")), (7, float("inf")), (15, -float("inf"))])
def test_training_ends_at_the_step_whose_loss_is_not_finite(tmp_path, words, step, value):
    made, _, model, said, _ = diverging(step, slice(2, 4), value, tmp_path, *words)
    assert made.fit_loop.epoch_loop.batch_progress.total.ready == step
    assert "loss became" in said and "lower optimizer.lr" in said
    assert all(x.isfinite().all() for x in model.state_dict().values()), "the step was not taken"
    kept = sorted(path.name for path in tmp_path.glob("*.ckpt"))
    assert kept == ([] if step < 6 else ["best.ckpt", "last.ckpt"] if step < 11 else ["before.ckpt", *kept[1:]])
    for name in kept:
        content = FILES.load_checkpoint(tmp_path / name)
        weights = [*content["state_dict"].values(), *content.get("current_model_state", {}).values()]
        assert content["global_step"] < step and all(x.isfinite().all() for x in weights)


def test_the_windows_are_named_by_series_and_cutoff(tmp_path):
    _, data, _, said, cutoffs = diverging(3, slice(2, 5), float("nan"), tmp_path)
    panel = data.panel
    for row in cutoffs[2:5].tolist():
        series = int((panel.offsets[1:] <= row).sum())
        hour = panel.first[series] + row - panel.offsets[series]
        name = f"{panel.names[series]} at {panel.layout.clock.stamps(np.array([int(hour)]))[0]}"
        assert name in said
    assert "in epoch 1, after step 2, on 3 windows" in said and len(re.findall(" at ", said)) == 3


def test_of_many_windows_the_first_are_named(tmp_path):
    assert "on 8 windows" in diverging(1, slice(0, 8), float("nan"), tmp_path, "batch_size=8")[3]
    said = diverging(1, slice(0, 20), float("nan"), tmp_path, "batch_size=20")[3]
    assert "on 20 windows" in said and "and 12 more)" in said and len(re.findall(" at ", said)) == 8


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    settings, data, model = prepared(*WORDS, "callbacks.interruption.minutes=1.0e-9")
    made = training.trainer(settings, tmp_path, None)
    made.limit_val_batches = 0
    made.strategy.checkpoint_io = FILES

    def poison(optimizer):
        """When the loss of the fourth step is known already."""
        if model.global_step == 3:
            next(model.parameters()).data[0] = torch.nan

    model.on_before_zero_grad = poison
    with pytest.raises(Diverged, match="weights became infinite or not a number in epoch 1, after step 4"):
        fit(made, model, data, None)
    kept = FILES.load_checkpoint(tmp_path / "last.ckpt")
    assert kept["global_step"] == 3 and all(x.isfinite().all() for x in kept["state_dict"].values())


def test_a_regressor_names_windows_too():
    rows = np.random.default_rng(1).normal(size=(60, 8))
    words = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip_val=null", "head=point", "batch_size=16"]
    with pytest.raises(Diverged, match=r"became (nan|inf).* windows \("):
        WindowedRegressor(overrides=[*words, "trainer.accelerator=cpu"]).fit(rows, rows[:, :1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_asked_a_step_later_and_not_waited_for():
    finite, said = Finite(), []

    def tell(what, cutoffs):
        said.append((what, cutoffs.tolist()))
        return Diverged(what)

    each = torch.ones(3, 2, 1, device="cuda")
    each[1] = torch.nan
    finite.note(each.mean(), each, torch.arange(3), tell)
    assert not said
    with pytest.raises(Diverged):
        finite.note(torch.ones((), device="cuda"), torch.ones_like(each), torch.arange(3), tell)
    assert said == [("training loss became nan", [1])]
    finite.note(each.mean(), each, torch.arange(3), tell)
    with pytest.raises(Diverged):
        finite.check(tell)
