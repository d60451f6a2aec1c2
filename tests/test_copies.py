"""A forecaster in somebody's program: copied to processes, beside other threads, in a Hydra app, without a trace."""

import copy
import io
import logging
import multiprocessing
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK
from hydra import initialize_config_dir, main
from hydra.core.global_hydra import GlobalHydra
from joblib import Parallel, delayed

from forecast import Forecaster
from forecast.alone import LOCK
from forecast.config import CONF
from forecast.data.synthetic import panel

DROPPING = ("model.dropout=0.5", "trainer.limit_train_batches=15", "batch_size=16")


def rows(seed: int = 1) -> pd.DataFrame:
    return panel(series=2, rows=300, freq="h", seed=seed)


def forecaster(*overrides: str, **given) -> Forecaster:
    return Forecaster(
        context=24, horizon=6, overrides=[*QUICK, "trainer.enable_progress_bar=false", *overrides], **given
    )


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return forecaster("calibrate=split", "data.fill=linear", "data.observed=true").fit(rows())


@pytest.fixture(scope="module")
def dropping() -> Forecaster:
    return forecaster(*DROPPING).fit(rows())


def forecasts(made: Forecaster) -> tuple[pd.DataFrame, ...]:
    """Of its own panel, with and without calibration's levels, and of rows that it is given."""
    return made.predict(), made.predict(rows(2), levels=[0.25]), made.backtest(stride=20)


def assert_equal(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def weights(made: Forecaster) -> dict[str, np.ndarray]:
    return made.fitted.model.arrays


def by_spawn(made: Forecaster) -> list[pd.DataFrame]:
    """The methods themselves travel, so that the other process imports no test."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        given = [(made.predict,), (made.predict, rows(2)), (made.backtest,)]
        works = [pool.submit(*x, **y) for x, y in zip(given, ({}, {"levels": [0.25]}, {"stride": 20}), strict=True)]
        return [work.result() for work in works]


def frozen(made: Forecaster) -> Forecaster:
    """A copy out of memory that may not be written to, as joblib maps large arrays."""
    buffers = []
    content = pickle.dumps(made, protocol=5, buffer_callback=buffers.append)
    assert buffers
    return pickle.loads(content, buffers=[bytes(x) for x in buffers])  # noqa: S301


def by_loky(made: Forecaster) -> tuple[pd.DataFrame, ...]:
    back = Parallel(n_jobs=2, max_nbytes=1000)(delayed(copy.deepcopy)(x) for x in (made, made))
    return forecasts(back[1])


COPIES = {
    "copy": lambda made: forecasts(copy.copy(made)),
    "deepcopy": lambda made: forecasts(copy.deepcopy(made)),
    "pickle": lambda made: forecasts(pickle.loads(pickle.dumps(made))),  # noqa: S301  the user's own doing
    "read-only": lambda made: forecasts(frozen(made)),
    "spawn": by_spawn,
    "loky": by_loky,
}


@pytest.mark.parametrize("way", [pytest.param(x, marks=[pytest.mark.slow] * (x in ("loky", "spawn"))) for x in COPIES])
def test_a_copy_forecasts_the_same(fitted, way):
    assert_equal(COPIES[way](fitted), forecasts(fitted))


def test_a_copy_is_its_own(fitted):
    found = copy.deepcopy(fitted)
    with torch.no_grad():
        for weight in found.fitted.model.parameters():
            weight.zero_()
    found.fitted.panel.y.zero_()
    assert not found.predict()["point"].equals(fitted.predict()["point"])
    assert_equal(forecasts(fitted), forecasts(copy.deepcopy(fitted)))


def test_a_copy_holds_no_module(fitted):
    """No class of torch, Lightning or a part is in it: what builds a model is told by plain values."""
    modules = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str):
            modules.add(module)
            return super().find_class(module, name)

    Reader(io.BytesIO(pickle.dumps(fitted))).load()
    assert "forecast.fitted" in modules
    assert not [x for x in modules if x.split(".")[0] in ("lightning", "torch") or x.startswith("forecast.backbone")]


def test_an_unfitted_copy_can_be_fitted():
    made = copy.deepcopy(forecaster())
    assert np.isfinite(made.fit(rows()).predict()["point"]).all()


def test_fits_in_threads_give_the_weights_of_one_after_the_other():
    """Dropout draws from the one random state that torch has for all threads."""
    makes = [lambda seed=seed: weights(forecaster(*DROPPING, seed=seed).fit(rows(seed))) for seed in (1, 2)]
    expected = [make() for make in makes]
    with ThreadPoolExecutor(2) as pool:
        found = [x.result() for x in [pool.submit(make) for make in makes]]
    for one, other in zip(found, expected, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in other)


def test_forecasts_and_copies_while_another_thread_fits(fitted, dropping):
    expected = forecasts(fitted)
    with ThreadPoolExecutor(3) as pool:
        fit = pool.submit(lambda: weights(forecaster(*DROPPING).fit(rows())))
        works = [pool.submit(forecasts, fitted), pool.submit(lambda: forecasts(copy.deepcopy(fitted)))]
        for work in works:
            assert_equal(work.result(), expected)
        assert all(np.array_equal(x, weights(dropping)[name]) for name, x in fit.result().items())


def test_forecasts_wait_for_nobody(fitted):
    with LOCK, ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(fitted.predict).result(timeout=60)) == 12


def world() -> dict[str, object]:
    """What fitting might change and has to leave: of torch, numpy, Python, logging and Hydra."""
    states = torch.random.get_rng_state().tolist(), str(np.random.get_state())  # beartype draws from Python's own
    loggers = {name: logging.getLogger(name) for name in ("", "forecast", "hydra", "lightning.pytorch", "py.warnings")}
    return {
        "random": states,
        "dtype": torch.get_default_dtype(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark),
        "warnings": list(warnings.filters),
        "logging": {name: (x.level, list(x.handlers), x.propagate, x.disabled) for name, x in loggers.items()},
        "hooks": (sys.excepthook, threading.excepthook, warnings.showwarning),
        "hydra": GlobalHydra.instance().hydra,
    }


SURROUNDINGS = {
    "usual": lambda: torch.set_default_dtype(torch.float32),
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "no gradients": lambda: torch.set_grad_enabled(False),
    "other seed": lambda: torch.manual_seed(9),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_fitting_leaves_the_world_as_it_was(dropping, surroundings, tmp_path):
    """And gives the same weights and forecasts whatever it is like."""
    kept = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    try:
        SURROUNDINGS[surroundings]()
        before = world()
        made = forecaster(*DROPPING).fit(rows())
        made.save(tmp_path / "made")
        forecast, again = made.predict(), copy.deepcopy(Forecaster.load(tmp_path / "made")).predict(rows())
        after = world()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(kept[0])
        torch.use_deterministic_algorithms(kept[1])
    assert before == after
    assert all(np.array_equal(x, weights(made)[name]) for name, x in weights(dropping).items())
    assert_equal([forecast, again], [dropping.predict()] * 2)


PLAIN = """
import random
from forecast import Forecaster
from forecast.data.synthetic import panel
before = random.getstate()
Forecaster(context=24, horizon=6, overrides=["trainer.max_epochs=1"]).fit(panel(series=1, rows=300)).predict()
assert random.getstate() == before
"""


@pytest.mark.slow
def test_fitting_leaves_the_random_numbers_of_python():
    """In a process of its own, as the hook that checks types in tests draws some."""
    subprocess.run([sys.executable, "-c", PLAIN], check=True, timeout=300)


def test_it_works_within_an_initialised_hydra():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        forecaster().fit(rows()).predict()
        assert GlobalHydra.instance().hydra is mine


def test_it_works_in_an_app_of_hydra(tmp_path, monkeypatch):
    """Their configuration, their run folder and their Hydra stay theirs."""
    (tmp_path / "theirs.yaml").write_text("depth: 3\nhydra: {run: {dir: theirs}}\n")
    monkeypatch.setattr(sys, "argv", ["app", "depth=4"])
    seen = {}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    @main(config_path=str(tmp_path), config_name="theirs", version_base="1.3")
    def app(config) -> None:
        mine = GlobalHydra.instance().hydra
        seen["table"] = forecaster(seed=config.depth).fit(rows()).predict()
        seen["same"] = GlobalHydra.instance().hydra is mine and mine is not None

    try:
        app()
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], root.level = handlers, level
        logging.root.manager._clear_cache()
    assert seen["same"]
    assert_equal([seen["table"]], [forecaster(seed=4).fit(rows()).predict()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs", "theirs.yaml"]


@pytest.mark.slow
def test_it_travels_by_ray(fitted):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        asked = ray.remote(lambda made: [made.predict(), made.backtest(stride=20)])  # travels by value, unlike a test
        assert_equal(ray.get(asked.remote(fitted)), [fitted.predict(), fitted.backtest(stride=20)])
    finally:
        ray.shutdown()
