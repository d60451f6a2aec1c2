"""Shapes in annotations are checked in every test: jaxtyping and beartype hook into the import of forecast."""

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks of tests are small: a second thread only waits

import pytest
from jaxtyping import config, install_import_hook

TENSORS = (
    "contract",
    "backbone",
    "head",
    "normalizer",
    "model",
    "data.windows",
    "data.known",
    "data.order",
    "evaluation.baseline",
)
install_import_hook([f"forecast.{name}" for name in TENSORS], "beartype.beartype")

DIRECT = (
    "model=direct",
    "backbone=lstm",
    "normalizer=[none]",
    "callbacks=plain",
)  # whose arithmetic tests write out by hand
QUICK = (
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=4",
    "trainer.limit_val_batches=1",
    "backbone.hidden_size=8",
)


@pytest.fixture
def real():
    """A file of the folder FORECAST_DATA; the test is skipped where there is none."""

    def path(name: str) -> Path:
        folder = os.environ.get("FORECAST_DATA")
        for candidate in (name, f"{name}.gz"):
            if folder and (Path(folder) / candidate).is_file():
                return Path(folder) / candidate
        pytest.skip(f"needs {name}: FORECAST_DATA does not name a folder that holds it")

    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in a folder of its own, so that none can write into the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked: while a model is traced, sizes are tensors."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.fixture
def forecast(monkeypatch, capfd):
    """Runs the console script in this process: (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        from forecast.cli import main

        monkeypatch.setattr(sys, "argv", ["forecast", *words])
        try:
            code = main()
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def csv(tmp_path) -> str:
    """A small hourly CSV in the test's folder."""
    from forecast.data.synthetic import panel

    panel(series=1, rows=420, freq="h", seed=1)[["ds", "y"]].to_csv(tmp_path / "my.csv", index=False)
    return "my.csv"


@pytest.fixture(scope="session")
def chromium():
    """A headless browser, to look at pages with."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs a Chromium: apt-get install chromium, or CHROMIUM=/path/to/one")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
