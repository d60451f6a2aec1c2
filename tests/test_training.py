"""What trains a model, by tiny runs beside sums done by hand; and every bad value refused before any data is read."""

import math
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import lightning
import pytest
import torch
import yaml
from conftest import DIRECT
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.profilers import SimpleProfiler
from safetensors.torch import load_file
from test_build import assembled, changed
from torch import Tensor, nn

from forecast import Forecaster, artifact, build, config, recipe, training
from forecast.contract import Batch
from forecast.data import panel as panels
from forecast.data import scaler
from forecast.data.order import Order
from forecast.data.synthetic import panel
from forecast.error import Refusal
from forecast.model.base import Model, matrices

TINY = [
    *DIRECT,
    "trainer.accelerator=cpu",
    "context=8",
    "horizon=4",
    "batch_size=8",
    "windows_per_epoch=40",
    "logger=none",
]
TINY += ["backbone.hidden_size=3", "data=csv", "scheduler=none", "trainer.max_epochs=1"]
TINY += ["callbacks.early_stopping=null", "trainer.enable_progress_bar=false", "trainer.gradient_clip_val=null"]
SGD = ["optimizer=sgd", "optimizer.momentum=0"]
STEPS = 5  # an epoch


@pytest.fixture(autouse=True, scope="module")
def quick():
    """The installed packages looked through once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "entry_points", cache(build.entry_points))
        yield


class Log(Callback):
    """Notes the weights and the learning rate around each step; stops after `stop` steps, as an interruption does."""

    def __init__(self, stop: int | None = None):
        self.stop, self.weights, self.rates = stop, [], []

    def on_train_batch_start(self, trainer, model, *_):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        if not self.weights:
            self.weights.append([x.detach().clone() for x in model.parameters()])

    def on_train_batch_end(self, trainer, model, *_):
        self.weights.append([x.detach().clone() for x in model.parameters()])
        if len(self.rates) == self.stop:
            trainer.save_checkpoint("stopped.ckpt")
            raise KeyError("stopped")


@cache
def composed(*overrides: str) -> dict:
    return config.composed("train", overrides)


def settings_of(*overrides: str) -> dict:
    """The tiny run's settings with overrides: a group's yaml, or a key and its value (composing takes its time)."""
    found = deepcopy(composed(*TINY))
    for text in overrides:
        path, _, value = text.partition("=")
        *parents, key = path.split(".")
        node = found
        for parent in parents:
            node = node[parent]
        group = not parents and (config.CONF / key).is_dir()
        node[key] = deepcopy(composed(text)[key]) if group else yaml.safe_load(value)
        if path == "callbacks":
            node[key]["early_stopping"] = None
    return found


@cache
def frame(series: int = 1):
    return panel(series=series, rows=200, freq="h", seed=1)


def prepared(*overrides: str, series: int = 1):
    """Settings, data module and a fresh model of the tiny run."""
    settings = settings_of(*overrides)
    build.check(settings)
    grid, borders = recipe.laid(settings, recipe.opened(settings["data"], frame(series)))
    statistics = scaler.learn(grid, borders[0], settings["data"])
    found = panels.panel(grid, statistics)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build.model(settings, recipe.shape_of(found, statistics, settings), statistics.scaling)
    return settings, recipe.datamodule(settings, found, borders), model


def run(*overrides: str, stop: int | None = None, resume: str | None = None) -> tuple[Log, Model, lightning.Trainer]:
    """A tiny run: what was noted, the trained model, its trainer."""
    settings, data, model = prepared(*overrides)
    log, made = Log(stop), training.trainer(settings, Path(mkdtemp(dir=".")), None)
    made.callbacks.append(log)
    made.fit(model, datamodule=data, ckpt_path=resume)
    return log, model, made


def trained(model: Model, batch: Batch) -> Tensor:
    model.on_train_epoch_start()
    return model.training_step(batch, 0)


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (config.CONF / group).glob("*.yaml"))


def yaml_of(group: str, name: str) -> dict:
    return yaml.safe_load((config.CONF / group / f"{name}.yaml").read_text())


def test_each_name_of_a_table_has_its_yaml():
    assert sorted(training.OPTIMIZERS) == names("optimizer") and sorted(training.SCHEDULES) == names("scheduler")
    assert sorted(training.AVERAGES) == sorted(set(names("callbacks")) - {"plain"})


TABLE = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_an_optimizer_is_torchs_own_with_the_settings_of_its_yaml(name):
    wanted = yaml_of("optimizer", name)
    net = nn.Linear(3, 2)
    made = training.optimizer(wanted, {"name": "none"})(net)
    assert type(made) is TABLE[name]
    assert [group["params"] for group in made.param_groups] == [[net.weight], [net.bias]]
    assert {key: made.param_groups[0][key] for key in wanted if key != "name"} == {
        key: value for key, value in wanted.items() if key != "name"
    }


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_an_optimizer_is_fused_but_where_gradients_are_scaled(name):
    """There clipping would see the scaled ones."""
    for precision in training.PRECISIONS:
        made = training.optimizer(yaml_of("optimizer", name), {"name": "none"}, precision)(nn.Linear(3, 2))
        assert bool(made.defaults.get("fused")) == (precision != "16-mixed" and name != "rmsprop")


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_weight_decay_shrinks_matrices_and_tables_only(name):
    net = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.GRU(2, 2), nn.Embedding(3, 2))
    for x in net.parameters():
        x.grad = torch.zeros_like(x)
    before = [x.detach().clone() for x in net.parameters()]
    training.optimizer(yaml_of("optimizer", name) | {"weight_decay": 0.1}, {"name": "none"})(net).step()
    for x, old in zip(net.parameters(), before, strict=True):
        assert ((x - old) * old < 0).all() if x.ndim > 1 else torch.equal(x, old)


def test_l1_adds_the_sum_of_absolute_weights_to_the_training_loss_only():
    _, data, plain = prepared()
    _, _, sparse = prepared("loss.l1=0.5")
    batch = data.windows["train"].batch(torch.arange(6))
    extra = sum(x.abs().sum() for name, x in plain.named_parameters() if "bias" not in name)
    torch.testing.assert_close(trained(sparse, batch), trained(plain, batch) + 0.5 * extra)
    assert plain.validated([batch]) == sparse.validated([batch])
    assert 0 < len(matrices(plain)) < len(list(plain.parameters()))


# --- schedules ---


def epochs(log: Log) -> list[float]:
    """The learning rate of each epoch, as a share of the first."""
    assert all(len(set(log.rates[i : i + STEPS])) == 1 for i in range(0, len(log.rates), STEPS))
    return [rate / log.rates[0] for rate in log.rates[::STEPS]]


@pytest.mark.parametrize("lowest", [0, 0.01])
def test_the_cosine_falls_from_lr_to_its_lowest_share_after_the_last_epoch(lowest):
    log, _, _ = run("scheduler=cosine", "trainer.max_epochs=5", f"scheduler.lowest={lowest}")
    assert epochs(log) == pytest.approx([lowest + (1 - lowest) * (1 + math.cos(math.pi * i / 5)) / 2 for i in range(5)])


def test_exponential_falls_by_a_factor_each_epoch():
    log, _, _ = run("scheduler=exponential", "scheduler.factor=0.5", "trainer.max_epochs=3")
    assert epochs(log) == pytest.approx([1, 0.5, 0.25])


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 1, 1, 0.5, 0.5, 0.25, 0.25]), (2, [1] * 6 + [0.5])])
def test_plateau_falls_when_validation_has_not_improved_for_longer_than_its_patience(every, expected):
    words = ["scheduler=plateau", "scheduler.patience=1", "optimizer.lr=1.0e-7", "trainer.max_epochs=7"]
    log, _, _ = run(*words, f"trainer.check_val_every_n_epoch={every}")
    assert epochs(log) == pytest.approx(expected)


@pytest.mark.parametrize(("accumulate", "last"), [(1, 0.001), (1, 0), (5, 0.001)])
def test_onecycle_rises_and_falls_by_the_step_and_ends_with_the_last(accumulate, last):
    words = ["scheduler=onecycle", "trainer.max_epochs=4", "scheduler.warmup=0.5", "scheduler.first=0.1"]
    log, _, made = run(*words, f"scheduler.lowest={last}", f"trainer.accumulate_grad_batches={accumulate}")
    rates = [rate / made.optimizers[0].param_groups[0]["max_lr"] for rate in log.rates[::accumulate]]
    top = rates.index(max(rates))
    assert len(rates) == made.global_step == 20 // accumulate and top == len(rates) // 2 - 1
    assert [rates[0], rates[top], rates[-1]] == pytest.approx([0.1, 1, last])
    assert all((a < b) == (i < top) for i, (a, b) in enumerate(pairwise(rates)))


def test_without_a_schedule_the_rate_stays():
    assert epochs(run("trainer.max_epochs=3")[0]) == [1, 1, 1]


CASES = [[f"scheduler={name}"] for name in names("scheduler")] + [[f"callbacks={name}"] for name in training.AVERAGES]
for case in CASES:
    if case == ["scheduler=plateau"]:
        case += ["scheduler.patience=0", "optimizer.lr=1.0e-7"]  # falls every epoch but the first
RATES = {"scheduler=cosine": 3, "scheduler=exponential": 3, "scheduler=onecycle": 15, "scheduler=plateau": 2}


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(case):
    """From the end of the first epoch, where the last checkpoint was written, and from within the second."""
    words = [*case, "trainer.max_epochs=3"]
    log, expected, _ = run(*words)
    assert len(set(log.rates)) == RATES.get(case[0], 1)
    with pytest.raises(KeyError, match="stopped"):
        run(*words, stop=STEPS + 2)
    last = max(Path().glob("*/last.ckpt"), key=lambda path: path.stat().st_mtime_ns)  # of the run that was stopped
    for checkpoint, steps in ((last, STEPS), ("stopped.ckpt", STEPS + 2)):
        resumed, model, _ = run(*words, resume=str(checkpoint))
        assert resumed.rates == log.rates[steps:]
        for name, x in model.state_dict().items():
            assert torch.equal(x, expected.state_dict()[name]), name


# --- steps ---


def lengths(log: Log) -> Tensor:
    """The change of all weights in each step, over the learning rate: the gradient that was used."""
    flat = [torch.cat([x.flatten() for x in weights]) for weights in log.weights]
    return torch.stack([(b - a) / rate for (a, b), rate in zip(pairwise(flat), log.rates, strict=True)])


def test_gradients_are_clipped_by_norm_or_value():
    free = lengths(run(*SGD)[0])[0]
    norm, most = float(free.norm()), float(free.abs().max())
    by_norm = lengths(run(*SGD, f"trainer.gradient_clip_val={norm / 3}")[0])[0]
    torch.testing.assert_close(by_norm, free / 3, rtol=1e-3, atol=1e-5)
    words = [f"trainer.gradient_clip_val={most / 3}", "trainer.gradient_clip_algorithm=value"]
    by_value = lengths(run(*SGD, *words)[0])[0]
    torch.testing.assert_close(by_value, free.clamp(-most / 3, most / 3), rtol=1e-3, atol=1e-5)
    assert (free.abs() > most / 3).any() and (free.abs() < most / 3).any()


@pytest.mark.parametrize("count", [48, 44, 37, 33])
def test_two_accumulated_batches_are_one_of_twice_the_size(count):
    """Also where the last step has fewer windows, or one."""
    words = (*SGD, "loss.l1=0.01", f"windows_per_epoch={count}")
    _, once, whole = run(*words, "batch_size=16")
    _, twice, halves = run(*words, "trainer.accumulate_grad_batches=2")
    assert whole.global_step == halves.global_step == 3
    for name in ("train/loss", "train/gradient_norm", "val/loss"):
        pair = [made.callback_metrics[name] for made in (whole, halves)]
        torch.testing.assert_close(*pair, rtol=1e-5, atol=0)
    other = run(*words)[1]
    for a, b, c in zip(once.parameters(), twice.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        assert not torch.allclose(a, c, rtol=1e-5, atol=1e-6)


# --- averages ---


def average(log: Log, name: str) -> list[Tensor]:
    """What the weights after each step make, written out: decay 0.9; or the mean of those from step 3 (of 5) on."""
    after = log.weights[1:]
    if name == "swa":
        return [torch.stack(each[int(0.5 * STEPS) :]).mean(0) for each in zip(*after, strict=True)]
    found = after[0]
    for n, weights in enumerate(after[1:], 1):
        decay = min(0.2, (1 + n) / (10 + n))
        found = [decay * a + (1 - decay) * b for a, b in zip(found, weights, strict=True)]
    return found


@pytest.mark.parametrize("name", training.AVERAGES)
def test_what_is_validated_and_saved_is_the_average(name, monkeypatch):
    log, kept, made = Log(), [], training.trainer

    def trainer(*given):
        kept.append(made(*given))
        kept[0].callbacks.append(log)
        return kept[0]

    monkeypatch.setattr(training, "trainer", trainer)
    number = {"ema": "callbacks.averaging.decay=0.2", "swa": "callbacks.averaging.start=0.5"}[name]
    words = [*TINY, f"callbacks={name}", number, "callbacks.early_stopping=null", "optimizer.lr=0.05"]
    fitted = Forecaster(overrides=words).fit(frame())
    fitted.save("saved")
    weights = load_file(Path("saved") / artifact.WEIGHTS)
    expected = dict(zip((x for x, _ in fitted.fitted.model.named_parameters()), average(log, name), strict=True))
    assert weights.keys() == expected.keys() and len(log.rates) == STEPS
    for key, last in zip(expected, log.weights[-1], strict=True):
        torch.testing.assert_close(weights[key], expected[key], rtol=1e-5, atol=1e-7)
        assert not torch.allclose(weights[key], last, rtol=1e-3)
    score = float(kept[0].checkpoint_callback.best_model_score)
    assert score == pytest.approx(fitted.fitted.record["val/loss"], rel=1e-5)


class Elsewhere(Callback):
    """Has batches gathered on another device: PyTorch's one without memory, in the place of a GPU."""

    def on_train_end(self, trainer, pl_module):
        place = torch.device("meta")
        trainer.datamodule.on_after_batch_transfer((torch.arange(2, device=place), torch.ones(2, device=place)), 0)
        assert trainer.datamodule.near["val"].starts.device == place


def test_what_was_trained_on_another_device_is_judged_where_the_model_is_and_leaves_nothing_there(monkeypatch):
    made, kept = training.trainer, []

    def trainer(*given):
        kept.append(made(*given))
        kept[0].callbacks.append(Elsewhere())
        return kept[0]

    monkeypatch.setattr(training, "trainer", trainer)
    fitted = Forecaster(overrides=TINY).fit(frame()).fitted
    assert math.isfinite(fitted.record["val/loss"]) and fitted.model._trainer is None
    assert {x.panel.y.device.type for x in kept[0].datamodule.near.values()} == {"cpu"}


NOTHING_LEARNT = {
    "callbacks.checkpoint.save_top_k=0": "save_top_k=0",
    "trainer.max_steps=0": "max_steps=0: a training needs steps",
    "trainer.limit_train_batches=0": "limit_train_batches=0: a training needs steps",
    "trainer.limit_val_batches=0": "limit_val_batches=0: a training needs steps",
    "trainer.check_val_every_n_epoch=5": "check_val_every_n_epoch=5 is more than trainer.max_epochs=1",
    "callbacks.early_stopping={monitor: val/los}": r"monitor=val/los: expected .* did you mean 'val/loss'\?",
    "callbacks.checkpoint.monitor=loss": "checkpoint.monitor=loss: expected one of val/loss",
}


@pytest.mark.parametrize("word", NOTHING_LEARNT)
def test_a_training_that_would_choose_no_weights_is_refused_before_data_are_read(word):
    words = [word if x.split("=")[0] == word.split("=")[0] else x for x in TINY]
    with pytest.raises(Refusal, match=NOTHING_LEARNT[word]):
        Forecaster(overrides=[*words, word]).fit("there is no such file.csv")


def test_a_training_that_ends_before_any_validation_is_refused():
    with pytest.raises(Refusal, match="ended before any validation"):
        Forecaster(overrides=[*TINY, "trainer.max_time='00:00:00:00'"]).fit(frame())


def test_a_fit_does_not_go_on_from_another_one(monkeypatch, tmp_path):
    """Of a folder that another fit had: one that dies at once leaves nothing of that one to go on from."""
    words = [*TINY, "trainer.max_epochs=2"]
    expected = Forecaster(overrides=words, seed=2).fit(frame()).predict()
    Forecaster(overrides=words, seed=1).fit(frame(), folder=tmp_path)
    with pytest.raises(Refusal, match="settings are not those"):
        Forecaster(overrides=words, seed=2).fit(frame(), folder=tmp_path, resume=True)
    with monkeypatch.context() as patched:
        patched.setattr(lightning.Trainer, "fit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Forecaster(overrides=words, seed=2).fit(frame(), folder=tmp_path)
    found = Forecaster(overrides=words, seed=2).fit(frame(), folder=tmp_path, resume=True)
    pytest.importorskip("pandas").testing.assert_frame_equal(found.predict(), expected, check_exact=True)


# --- emphasis ---

EMPHASES = {
    "loss.horizon=[1,2,3,0]": (2 / 3, 4 / 3, 2, 0),
    "loss.horizon=[2,2,2,2]": (1, 1, 1, 1),
    "loss.horizon=0.5": (32 / 15, 16 / 15, 8 / 15, 4 / 15),
    "loss.spike=3": (1, 1, 1, 1),
}


@pytest.mark.parametrize("words", [("data.scaler=standard",), ("data.scaler=asinh",)])
@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("emphasis", EMPHASES)
def test_training_weighs_steps_by_the_formula_on_any_number_of_ranks_and_validation_does_not(emphasis, world, words):
    _, data, model = prepared(emphasis, "loss.spike_from=0.7", *words)
    _, _, plain = prepared(*words)
    whole = data.windows["train"].batch(torch.arange(13))
    with torch.no_grad():
        mapped = model(whole)
        scaled = model.scaling.apply(whole.target, whole.series)
        loss = model.head.loss(mapped.params, ((scaled - mapped.loc) / mapped.scale).float()) * whole.target_observed
        deviations = (whole.target - model.loc[whole.series][:, None]).abs() / model.scale[whole.series][:, None]
        weight = torch.tensor(EMPHASES[emphasis])[:, None].expand_as(loss)
        if "spike" in emphasis:
            weight = torch.where(deviations > 0.7, 3.0, 1.0)
            assert 0.1 < (weight > 1).float().mean() < 0.9
        ranks = [next(iter(Order(13, 13, rank=rank, world=world))) for rank in range(world)]
        parts = [trained(model, Batch(*(x[mine] for x in whole))._replace(weight=weight)) for mine, weight in ranks]
    torch.testing.assert_close(torch.stack(parts).mean(), (loss * weight).mean(), rtol=1e-5, atol=0)
    assert model.validated([whole]) == plain.validated([whole])


def test_an_emphasis_is_of_the_last_steps_where_a_model_learns_from_its_context_too():
    words = ["model=autoregressive", "model.lags=[2]", "loss.horizon=[0,0,0,1]"]
    _, data, model = prepared(*words)
    batch = data.windows["train"].batch(torch.arange(6))
    with torch.no_grad():
        loss = model.objective(batch)
        found = trained(model, batch)
    weight = torch.tensor([1.0] * 6 + [0, 0, 0, 4])[:, None]  # context 8, of which the first 2 steps are only read
    torch.testing.assert_close(found, (loss * weight).mean())
    for one in ("loss.horizon=0.5", "loss.spike=2"):
        with pytest.raises(Refusal, match="gap"):
            prepared("model=autoregressive", "gap=1", one)
    prepared("model=autoregressive", "gap=1", "loss.l1=0.1")


def test_series_weigh_as_named_in_training_and_alike_in_validation():
    names = sorted(set(frame(3)["unique_id"]))
    _, data, _ = prepared(f"loss.series={{{names[0]}: 4, {names[2]}: 0.5}}", "data.half_life=50", series=3)
    _, plain, _ = prepared("data.half_life=50", series=3)
    numbers = torch.arange(len(plain.windows["train"]))
    batch, other = (x.windows["train"].batch(numbers) for x in (data, plain))
    share = batch.weight / other.weight
    series = plain.windows["train"].series
    torch.testing.assert_close(share / share[series == 1].mean(), torch.tensor([4, 1, 0.5])[series])
    assert float(batch.weight.mean()) == pytest.approx(1)
    assert (data.windows["val"].batch(torch.arange(9)).weight == 1).all()
    with pytest.raises(Refusal, match=f"loss.series: .* no series '{names[0]}x'; did you mean"):
        prepared(f"loss.series={{{names[0]}x: 2}}", series=3)


# --- refusals ---

SHARES = (0, 1, -0.1, 1.5, "x", None, True, [0.1])
SCHEDULED = [
    (name, key) for name in names("scheduler") for key, value in yaml_of("scheduler", name).items() if value != name
]


@pytest.mark.parametrize(("name", "key"), SCHEDULED)
def test_a_setting_of_a_schedule_is_refused_if_missing_misspelt_or_out_of_range(name, key):
    wanted = yaml_of("scheduler", name)
    wrong = (-1, 1.5, "x", None, True) if key == "patience" else SHARES[key == "lowest" :]
    bad = [wanted | {key: x} for x in wrong] + [{k: v for k, v in wanted.items() if k != key}, wanted | {f"{key}s": 1}]
    for each in bad:
        with pytest.raises(Refusal, match=rf"scheduler\.{key}"):
            build.check(changed("scheduler", each))


EMA, SWA = ({"name": name, key: 0.5} for name, key in (("ema", "decay"), ("swa", "start")))


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("optimizer.name", ("admw", None, "_target_", ["adam"])),
        ("optimizer.lr", (-1.0, "fast", None)),
        ("optimizer.lrr", (0.1,)),
        ("scheduler.name", ("cosin", None, ["none"])),
        ("scheduler", ({"name": "none", "factor": 0.5},)),
        (
            "callbacks.averaging",
            ("ema", 5, {}, {"name": "emma"}, {"name": "ema"}, EMA | {"start": 0.5}, {"decay": 0.5}),
        ),
        ("callbacks.averaging", [EMA | {"decay": x} for x in SHARES] + [SWA | {"start": x} for x in SHARES[1:]]),
        ("callbacks.checkpoint.mode", ("foo",)),
        ("callbacks.checkpoint.save_top_k", ("x",)),
        ("callbacks.checkpoint.folder", ("x",)),
        ("callbacks.early_stopping.mode", ("foo",)),
        ("callbacks.early_stopping.patienc", (3,)),
        ("callbacks.figures.every_n_epochs", (0, 1.5, "x", None)),
        ("callbacks.figures.windows", (0, -3, True)),
        ("callbacks.figures.seconds", (-1, "x", None, math.nan)),
        ("callbacks.figures.share", (-0.1, 1.5, "x", math.nan)),
        ("callbacks.figures.evry", (3,)),
        ("callbacks.interruption.minutes", (-1, 0, "x", math.nan, None)),
        ("callbacks.figures", ({"seconds": 3.0},)),
        ("trainer.epochs", (3,)),
        ("trainer.precision", ("bf16-true", "16-true", "transformer-engine", "half")),
        ("trainer.accumulate_grad_batches", (0, "x")),
        ("trainer.check_val_every_n_epoch", (0,)),
        ("logger.name", ("tensorbord",)),
        ("windows_per_epoch", (0, -1, 1.5, "x", True)),
        ("loss.horizon", (0, -1, 1.5, "x", True, [], [1] * 23, [0] * 24, [-1] + [1] * 23, [math.nan] * 24, ["x"] * 24)),
        ("loss.series", (["a"], 3, {"a": 0}, {"a": -1}, {"a": "x"}, {"a": math.inf}, {"a": True})),
        ("loss.spike", (0, -1, "x", True, math.nan, math.inf)),
        ("loss.spike_from", (-1, None, "x", math.nan)),
        ("loss.l1", (-1, None, "x", math.inf)),
    ],
)
def test_a_bad_value_is_refused_before_any_data_is_read(path, values):
    for value in values:
        with pytest.raises(Refusal, match=path.replace("callbacks.", "callbacks.|").split(".")[0]):
            build.check(changed(path, value))


@pytest.mark.parametrize("kind", ["none", "capacity", "minmax"])
def test_spikes_need_a_scaler_that_knows_deviations(kind):
    wanted = changed("data.scaler", kind)
    build.check(wanted)
    with pytest.raises(Refusal, match=rf"loss\.spike .*data\.scaler={kind}"):
        build.check(wanted | {"loss": {**wanted["loss"], "spike": 2}})


def test_a_misspelt_setting_of_an_optimizer_is_refused_by_its_nearest():
    with pytest.raises(Refusal, match=r"optimizer\.momentun.*did you mean 'momentum'"):
        training.optimizer({"name": "sgd", "lr": 0.1, "momentun": 0.9}, {"name": "none"})


@pytest.mark.parametrize(
    ("path", "value"),
    [*(("scheduler", yaml_of("scheduler", x)) for x in ("cosine", "onecycle")), ("callbacks.averaging", SWA)],
)
def test_what_needs_a_last_epoch_is_refused_without_one(path, value):
    wanted = changed(path, value)
    wanted["scheduler"] = wanted["scheduler"] if path == "scheduler" else {"name": "none"}
    build.check(wanted)
    for epochs in (-1, None):
        wanted["trainer"] |= {"max_epochs": epochs, "max_steps": 10}
        with pytest.raises(Refusal, match=rf"^{path}=.*trainer\.max_epochs"):
            build.check(wanted)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("trainer.accelerator", x) for x in ("foo", "tpu")),
        *(("trainer.devices", x) for x in (-5, 0, "x")),
        *(("trainer.limit_train_batches", x) for x in (-1, "x", 1.5)),
        *(("trainer.max_epochs", x) for x in (-2, "x")),
        ("trainer.strategy", "foo"),
        ("trainer.gradient_clip_algorithm", "foo"),
        ("trainer.gradient_clip_val", "x"),
        ("trainer.max_steps", -2),
        ("trainer.max_time", "x"),
    ],
)
def test_a_trainer_that_cannot_be_is_refused(path, value):
    with pytest.raises(Refusal, match=r"trainer|scheduler"):
        assembled(changed(path, value))


def test_a_trainer_is_as_its_configuration_says(tmp_path):
    wanted = changed("trainer.max_epochs", 3)
    made = training.trainer(wanted, tmp_path / "checkpoints", tmp_path / "run")
    stopping = made.early_stopping_callback
    assert made.max_epochs == 3 and made.gradient_clip_val == wanted["trainer"]["gradient_clip_val"]
    assert made.checkpoint_callback.dirpath == str(tmp_path / "checkpoints")
    assert isinstance(stopping, EarlyStopping)
    assert stopping.patience == wanted["callbacks"]["early_stopping"]["patience"]
    assert made.logger is not None
    bare = training.trainer(changed("callbacks.early_stopping", None), tmp_path / "checkpoints", None)
    assert bare.early_stopping_callback is None and bare.logger is None
    assert training.trainer(changed("logger.name", "none"), tmp_path, tmp_path / "run").logger is None
    profiled = wanted | {"trainer": wanted["trainer"] | {"profiler": "simple"}}
    assert type(training.trainer(profiled, tmp_path, None).profiler) is SimpleProfiler
    with made.profiler.profile("a hook"), made.profiler.profile("a hook within a hook"):
        assert type(made.profiler) is training.Unmeasured
