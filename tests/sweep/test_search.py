"""Searches by Optuna: trials counted, drawn once, tried again, stopped early. Jobs are a function of two keys."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import QUICK
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from forecast.error import CannotWrite, Diverged, ForecastError, Pruned, Refusal
from forecast.sweep import study as studies
from forecast.sweep.job import jobs, told
from forecast.sweep.pruning import Pruning, callbacks
from forecast.sweep.search import Search

SETTINGS = {
    "jobs": 1, "timeout": None, "trials": 12, "sampler": "tpe", "seed": 1, "objectives": ["score"], "pruner": None,
    "startup": 2,
}  # fmt: skip
SPACE = ["x=interval(0.0,1.0)", "kind=choice(a,b)"]


class Launcher:
    """Runs jobs at once: each is worth (x - 0.3)^2, kind b 0.1 more, and costs x seconds. `fails` is asked first."""

    def __init__(self, fails=lambda number, x: None):
        self.fails, self.seen = fails, []

    def launch(self, job_overrides, initial_job_idx):
        return [self.job(dict(x.split("=", 1) for x in overrides)) for overrides in job_overrides]

    def job(self, keys) -> JobReturn:
        x, folder = float(keys["x"]), Path("sweep", keys["hydra.sweep.subdir"])
        self.seen.append((x, keys["kind"]))
        try:
            with told(folder):
                self.fails(len(self.seen) - 1, x)
                value = (x - 0.3) ** 2 + 0.1 * (keys["kind"] == "b")
                manifest = {"score": {"name": "val/mae", "value": value}, "cost": {"seconds": x, "peak_memory_mib": 1}}
                (folder / "manifest.json").write_text(json.dumps(manifest))
        except ForecastError as error:
            return JobReturn(status=JobStatus.FAILED, _return_value=error)
        return JobReturn(status=JobStatus.COMPLETED)


def search(launcher: Launcher, space: list[str] = SPACE, params=None, **settings) -> optuna.Study:
    """Runs a search in the folder `sweep` as the command line does; `params` are an experiment's. Returns the study."""
    made = Search(params)
    made.config = OmegaConf.create({"hydra": {"sweep": {"dir": "sweep"}}, "sweep": {**SETTINGS, **settings}})
    loader = SimpleNamespace(load_sweep_config=lambda **_: None)
    made.hydra_context, made.launcher = SimpleNamespace(config_loader=loader), launcher
    try:
        made.sweep([*space, "seed=7", "+sweep=optuna", "sweep.trials=3"])
    finally:
        Path("sweep").mkdir(exist_ok=True)
        study = studies.opened(Path("sweep"), objectives=len(settings.get("objectives", ["score"])))
    return study


def counts(study: optuna.Study) -> dict[str, int]:
    return pd.Series([x.state.name for x in study.trials]).value_counts().to_dict()


def fails_at(*numbers: int, error: BaseException):
    def fails(number: int, x: float) -> None:
        if number in numbers:
            raise error

    return fails


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=choice(32,64,128)", CategoricalDistribution(["32", "64", "128"])),
        ("a=x,'y z'", CategoricalDistribution(["x", "'y z'"])),
        ("a=[1,2],[3]", CategoricalDistribution(["[1,2]", "[3]"])),
        ("a=true,null", CategoricalDistribution(["True", "null"])),
        ("a=int(interval(0,1))", IntDistribution(0, 1)),
        ("a=interval(0.5,1)", FloatDistribution(0.5, 1)),
        ("a=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("a=tag(log,int(interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("a=range(1,8)", IntDistribution(1, 7)),
        ("a=range(8,1,-3)", IntDistribution(2, 8, step=3)),
        ("a=range(1,9,3)", IntDistribution(1, 7, step=3)),
        ("a=range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
    ],
)
def test_hydras_grammar_becomes_what_trials_draw_from(text, expected):
    (override,) = OverridesParser.create().parse_overrides([text])
    assert studies.distribution(override) == expected


@pytest.mark.parametrize(
    "text", ["a=tag(lin,interval(1,2))", "a=tag(log,choice(1,2))", "a=interval(2,1)", "a=tag(log,interval(0,1))"]
)
def test_a_space_that_is_none_is_refused(text):
    (override,) = OverridesParser.create().parse_overrides([text])
    with pytest.raises(Refusal, match="a"):
        studies.distribution(override)


def test_a_search_finds_what_is_best_and_keeps_what_it_saw():
    study = search(launcher := Launcher(), trials=40)
    assert counts(study) == {"COMPLETE": 40} and len(jobs(Path("sweep"))) == len(set(launcher.seen))
    assert study.best_value < 1e-3 and study.best_params["kind"] == "a"
    tried = np.array([x for x, _ in launcher.seen])
    assert np.abs(tried[20:] - 0.3).mean() < 0.6 * np.abs(tried[:10] - 0.3).mean()
    assert all(job.overrides[0] == "seed=7" and len(job.overrides) == 3 for job in jobs(Path("sweep")))


def test_what_an_experiment_sweeps_over_is_searched_but_for_keys_of_the_command_line():
    search(launcher := Launcher(), SPACE[:1], params={"seed": "1,2", "kind": "a,b"}, sampler="random")
    assert {kind for _, kind in launcher.seen} == {"a", "b"}
    assert all(job.overrides[0] == "seed=7" and len(job.overrides) == 3 for job in jobs(Path("sweep")))


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_same_seed_draws_the_same_trials_and_another_one_others(at_once, tmp_path, monkeypatch):
    seen = []
    for i, seed in enumerate((1, 1, 2)):
        (tmp_path / str(i)).mkdir()
        monkeypatch.chdir(tmp_path / str(i))
        search(launcher := Launcher(), seed=seed, jobs=at_once)
        seen.append(launcher.seen)
    assert seen[0] == seen[1] != seen[2] and len(seen[0]) == 12


@pytest.mark.parametrize("name", ["tpe", "random", "gp", "nsgaii", "nsgaiii", "qmc"])
def test_every_sampler_draws_and_goes_on(name):
    search(Launcher(), sampler=name, trials=3, startup=1)
    study = search(Launcher(), sampler=name, trials=5)
    assert counts(study) == {"COMPLETE": 5}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_that_goes_on_draws_no_trial_twice(sampler):
    first, second = Launcher(), Launcher()
    search(first, sampler=sampler, trials=6)
    study = search(second, sampler=sampler, trials=15)
    assert counts(study) == {"COMPLETE": 15} and len(second.seen) == 9
    assert len({x for x, _ in first.seen + second.seen}) == 15


def test_what_failed_is_listed_and_tried_again_by_the_same_command():
    with pytest.raises(ForecastError, match="2 of 12 jobs failed") as error:
        search(first := Launcher(fails_at(3, 5, error=Diverged("nan"))))
    assert error.value.exit == 3
    study = search(second := Launcher())
    assert second.seen == [first.seen[3], first.seen[5]]
    assert counts(study) == {"COMPLETE": 12, "FAIL": 2}
    assert [job.state for job in jobs(Path("sweep"))] == ["done"] * 12
    search(third := Launcher())
    assert not third.seen


def test_a_search_does_not_go_on_with_trials_that_were_told_something_else():
    search(Launcher())
    with pytest.raises(Refusal, match=r"told something else \(horizon=3\).*another sweep.folder"):
        search(Launcher(), [*SPACE, "horizon=3"], trials=14)
    search(again := Launcher(), trials=14)
    assert len(again.seen) == 2


def test_what_fails_again_counts_as_one_trial():
    for _ in range(3):
        with pytest.raises(ForecastError, match="1 of 5 jobs failed"):
            search(Launcher(fails), trials=5, sampler="random")
    study = studies.opened(Path("sweep"))
    assert counts(study) == {"COMPLETE": 4, "FAIL": 3} and len(jobs(Path("sweep"))) == 5


def fails(number: int, x: float) -> None:
    """The first trial of a random sampler with seed 1 always fails."""
    if math.isclose(x, 0.417022004702574):
        raise Diverged("nan")


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_interrupted_search_goes_on_with_what_it_was_at(at_once):
    """The trial that was cut off is run again first; then as many as are left."""
    with pytest.raises(KeyboardInterrupt):
        search(first := Launcher(fails_at(7, error=KeyboardInterrupt())), jobs=at_once)
    study = search(second := Launcher(), jobs=at_once)
    done = 7
    assert second.seen[0] == first.seen[7] and len(second.seen) == 12 - done
    assert counts(study)["COMPLETE"] == 12 and counts(study).get("RUNNING", 0) == 0
    assert len(jobs(Path("sweep"))) == 12


def test_a_combination_that_was_seen_is_not_run_again():
    study = search(launcher := Launcher(), ["x=choice(0.1)", "kind=choice(a,b)"], trials=20, jobs=4)
    assert counts(study) == {"COMPLETE": 20} and len(launcher.seen) == len(set(launcher.seen)) == 2


def test_several_objectives_are_made_small_together():
    study = search(Launcher(), objectives=["score", "seconds"], trials=30)
    assert len(study.directions) == 2 and counts(study) == {"COMPLETE": 30}
    best = [x.params["x"] for x in study.best_trials]
    assert len(best) > 2 and max(best) < 0.35  # a larger x costs more and scores worse
    with pytest.raises(Refusal, match="2 objectives, not 1"):
        search(Launcher())


def test_a_job_without_a_finite_value_has_failed_for_the_study():
    class Empty(Launcher):
        def job(self, keys):
            found = super().job(keys)
            path = Path("sweep", keys["hydra.sweep.subdir"], "manifest.json")
            path.write_text(json.dumps({"score": {"name": "val/mae", "value": None}}))
            return found

    assert counts(search(Empty(), trials=3)) == {"FAIL": 3}


def test_what_a_search_needs_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(Refusal, match=r"pip install 'forecast\[optuna\]'"):
        studies.library()


class Trainer(SimpleNamespace):
    """Of Lightning's what the callback asks for: an epoch's validation loss."""

    sanity_checking, is_global_zero, global_step, logger, max_epochs = False, True, 5, None, 8
    strategy = SimpleNamespace(broadcast=lambda x: x)


class Curves(Launcher):
    """Jobs of eight epochs, whose losses go down to x; they end early if the callback says so."""

    def __init__(self):
        super().__init__(self.trained)
        self.epochs = []

    def trained(self, number: int, x: float) -> None:
        (callback,) = callbacks(sorted(Path("sweep").glob("[0-9]*"), key=lambda path: int(path.name))[number], {"x": x})
        self.epochs.append(0)
        callback.on_fit_start(Trainer(), None)
        for epoch in range(8):
            self.epochs[-1] += 1
            metrics = {"val/loss": abs(x - 0.3) + 1 / (1 + epoch)}
            callback.on_validation_end(Trainer(callback_metrics=metrics, current_epoch=epoch), None)


@pytest.mark.parametrize(("pruner", "epochs"), [("median", 8), ("hyperband", 8)])
def test_bad_trials_are_stopped_early(pruner, epochs):
    made = Curves()
    kept = Search.sweep

    def sweep(self, arguments):
        self.config.trainer = {"max_epochs": epochs}
        return kept(self, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Search, "sweep", sweep)
        study = search(made, pruner=pruner, trials=20, sampler="random", startup=6)
    states = [x.state for x in study.trials]
    assert 4 <= states.count(TrialState.PRUNED) <= 16 and states[:6] == [TrialState.COMPLETE] * 6
    for trial, job, seen in zip(study.trials, jobs(Path("sweep")), made.epochs, strict=True):
        assert job.state == ("pruned" if trial.state == TrialState.PRUNED else "done")
        assert len(trial.intermediate_values) == seen and (seen < 8 or job.state == "done")
    away = np.array([abs(x - 0.3) for x, _ in made.seen])
    stopped = np.array([state == TrialState.PRUNED for state in states])
    assert away[stopped].mean() > away[~stopped].mean()


def test_a_trial_that_goes_on_is_judged_by_the_epochs_before_too():
    """Cut off after four epochs, whose losses its checkpoint keeps; it goes on as another trial."""
    kept = {}

    def half(number: int, x: float) -> None:
        (callback,) = callbacks(Path("sweep/0"), {})
        if number:
            callback.load_state_dict(kept)
        callback.on_fit_start(Trainer(), None)
        for epoch in range(4 * number, 4 * number + 4):
            metrics = {"val/loss": 1 / (1 + epoch)}
            callback.on_validation_end(Trainer(callback_metrics=metrics, current_epoch=epoch), None)
        kept.update(callback.state_dict())
        if not number:
            raise CannotWrite("no room")

    launcher = Launcher(half)
    with pytest.raises(ForecastError):
        search(launcher, pruner="median", trials=1)
    study = search(launcher, pruner="median", trials=1)
    assert counts(study) == {"FAIL": 1, "COMPLETE": 1}
    assert study.trials[-1].intermediate_values == {epoch: 1 / (1 + epoch) for epoch in range(8)}


@pytest.mark.parametrize(("objectives", "goes_on"), [(["score"], True), (["score", "seconds"], False)])
def test_a_trial_whose_seconds_count_is_made_anew(objectives, goes_on):
    found = []

    def cut(number: int, x: float) -> None:
        last = Path("sweep/0/checkpoints/last.ckpt")
        found.append(last.exists())
        last.parent.mkdir(exist_ok=True)
        last.touch()
        if not number:
            raise CannotWrite("no room")

    launcher = Launcher(cut)
    with pytest.raises(ForecastError):
        search(launcher, objectives=objectives, trials=1)
    search(launcher, objectives=objectives, trials=1)
    assert found == [False, goes_on]


def test_a_run_that_is_no_trial_is_never_stopped(tmp_path):
    assert callbacks(None, {}) == [] == callbacks(tmp_path, {})
    search(Launcher(), trials=1)
    assert callbacks(Path("sweep/0"), {}) == []


@pytest.mark.slow
def test_a_search_with_pruning_in_processes_of_their_own(forecast, csv):
    """Learning rates that hardly move the weights are stopped; every trial that ran is in TensorBoard's HParams."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    space = ["optimizer.lr=tag(log,interval(1e-9,1e-1))", "backbone.hidden_size=choice(4,8)"]
    options = ["sweep=optuna", "sweep.trials=8", "sweep.pruner=median", "sweep.startup=2", "sweep.jobs=2"]
    words = [*QUICK, "context=48", "horizon=12", "trainer.max_epochs=4", "callbacks.early_stopping=null"]
    code, out, err = forecast("train", "-m", f"data.path={csv}", *words[1:], *options, "sweep.folder=mine", *space)
    assert code == 0, err
    table = pd.read_csv("mine/sweep.csv")
    assert len(table) == 8 and set(table["state"]) == {"done", "pruned"}
    assert "stopped early as others did better" in out
    for job in jobs(Path("mine")):
        events = EventAccumulator(str(job.folder / "tensorboard")).Reload()
        assert "hparams" in events.Tags().get("plugins", ["hparams"]) and events.PluginTagToContent("hparams")
    done = table[table["state"] == "done"]
    assert done["optimizer.lr"].median() > table.loc[table["state"] == "pruned", "optimizer.lr"].median()


def test_a_pruned_run_says_at_which_epoch(tmp_path):
    callback = Pruning(tmp_path, 0, {"name": "median", "startup": 0}, {})
    callback.trial = SimpleNamespace(report=lambda *_: None, should_prune=lambda: True)
    with pytest.raises(Pruned, match=r"epoch 3: val/loss=0.5"):
        callback.on_validation_end(Trainer(callback_metrics={"val/loss": 0.5}, current_epoch=3), None)
    callback.on_validation_end(Trainer(callback_metrics={"val/loss": math.nan}, current_epoch=3), None)
    callback.on_validation_end(Trainer(callback_metrics={"val/loss": 0.5}, current_epoch=7), None)  # the last
