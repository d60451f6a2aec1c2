"""`forecast check run=...`: a sound forecaster keeps every promise, and each planted fault breaks the one it should."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK

from forecast import Forecaster, promise
from forecast.data import panel as panels
from forecast.data.grid import Grid
from forecast.data.synthetic import panel
from forecast.data.windows import Windows
from forecast.fitted import Fitted

SMALL = (*QUICK, "context=24", "horizon=6", "logger=none", "data.split=[0.5,0.3,0.2]")
WITH = ("data.past=[wind]", "data.future=[plan]", "data.static=[kind]", "calibrate=split")


def frame() -> pd.DataFrame:
    """Two series with covariates of every kind."""
    made = panel(series=2, rows=260, freq="h", seed=1)
    rng = np.random.default_rng(1)
    made["wind"], made["plan"] = rng.normal(size=(2, len(made)))
    made["kind"] = made["unique_id"].map({"s0": "home", "s1": "shop"})
    return made


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster(overrides=[*SMALL, *WITH]).fit(frame())


@pytest.mark.parametrize("kept", promise.PROMISES, ids=lambda x: x.__name__)
def test_a_fitted_forecaster_keeps_every_promise(kept, fitted):
    assert kept(fitted, frame())
    made_up = promise.invented(fitted.fitted)
    assert kept(fitted, made_up) and made_up["unique_id"].nunique() == 2


CELLS = {
    "classes": ["head=direction", "normalizer=[last]"],
    "a positive law": ["head=lognormal", "data.scaler=none", "normalizer=[none]"],
    "counts": ["head=negative_binomial", "data.scaler=none", "normalizer=[none]"],
    "a point": ["head=point", "calibrate=none"],
    "one map": ["model=linear", "normalizer=[last]"],
    "online calibration": ["calibrate=online"],
    "bounds": ["data.min=0", "data.max=1000"],
    "a gap": ["gap=2"],
    "each series by itself": ["data.split_each=true"],
    "targets together": ["data.joint=true", "data.target=[y,wind]"],
}


@pytest.mark.parametrize("cell", CELLS)
def test_other_forecasters_keep_them_as_well(cell):
    rows = frame().assign(y=lambda x: x["y"].clip(lower=1).round())
    made = Forecaster(overrides=[*SMALL, *CELLS[cell]]).fit(rows)
    for kept in promise.PROMISES:
        assert kept(made, rows)


def peeks(patch: pytest.MonkeyPatch) -> None:
    """The context's last value is taken from the target."""
    batch = Windows.batch

    def seen(self: Windows, *given: Any) -> Any:
        found = batch(self, *given)
        return found._replace(y=torch.cat((found.y[:, :-1], found.target[:, :1]), 1))

    patch.setattr(Windows, "batch", seen)


def scales_anew(patch: pytest.MonkeyPatch) -> None:
    """Scaled by all rows that are there, the future among them."""
    made = panels.panel

    def scaled(grid: Grid, statistics: Any) -> Any:
        y = grid.y - np.nanmean(grid.y) + statistics.loc[0]
        return made(replace(grid, y=y), statistics)

    patch.setattr(panels, "panel", scaled)


def late(patch: pytest.MonkeyPatch) -> None:
    """The last row is not used."""
    batch = Windows.batch

    def seen(self: Windows, *given: Any) -> Any:
        found = batch(self, *given)
        return found._replace(y=torch.cat((found.y[:, :1], found.y[:, :-1]), 1))

    patch.setattr(Windows, "batch", seen)


def skips(patch: pytest.MonkeyPatch) -> None:
    """Forecasts are told one step late."""
    told(patch, lambda table: table.assign(ds=table["ds"] + pd.Timedelta("1h")))


def rounds(patch: pytest.MonkeyPatch) -> None:
    """Values pass float32 on their way to the network."""
    batch = Windows.batch
    patch.setattr(Windows, "batch", lambda *x: (y := batch(*x))._replace(y=y.y.float().double()))


def keeps_order(patch: pytest.MonkeyPatch) -> None:
    """Series are known by the place in which they come."""
    grid = Forecaster.grid

    def moved(self: Forecaster, rows: Any) -> Grid:
        found = grid(self, rows)
        return replace(found, y=found.y + (0 if rows["ds"].is_monotonic_increasing or rows.index[0] == 0 else 1))

    patch.setattr(Forecaster, "grid", moved)


def missing(patch: pytest.MonkeyPatch) -> None:
    """A constant series is divided by its spread."""
    told(
        patch,
        lambda x: x.assign(point=x["point"] / (x.groupby("unique_id")["y"].transform("std") > 0).replace(0, np.nan)),
    )


def crosses(patch: pytest.MonkeyPatch) -> None:
    told(patch, lambda table: table.assign(**{"q0.9": 2 * table["q0.1"] - table["q0.5"]}))


def told(patch: pytest.MonkeyPatch, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    issued = Fitted.issued
    patch.setattr(Fitted, "issued", lambda *x: change(issued(*x)))


def forgets(patch: pytest.MonkeyPatch) -> None:
    """Calibration is not saved."""
    load = Forecaster.load.__func__

    def loaded(cls: type[Forecaster], folder: Any) -> Forecaster:
        made = load(cls, folder)
        made.fitted_ = replace(made.fitted, calibration=None)
        return made

    patch.setattr(Forecaster, "load", classmethod(loaded))


FAULTS = {
    peeks: promise.look_ahead,
    scales_anew: promise.look_ahead,
    late: promise.newest,
    skips: promise.newest,
    rounds: promise.units,
    keeps_order: promise.order,
    missing: promise.finite,
    crosses: promise.ordered,
    forgets: promise.saving,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda x: x.__name__)
def test_a_fault_breaks_its_promise_and_is_told_with_its_size(fault, fitted, monkeypatch):
    FAULTS[fault](fitted, frame())
    fault(monkeypatch)
    with pytest.raises(AssertionError, match=r"\d"):
        FAULTS[fault](fitted, frame())


def test_the_command_gives_a_verdict_on_each_promise(forecast, fitted, monkeypatch):
    """With real rows, or with made-up ones where the data were a DataFrame; a broken one ends with exit code 2."""
    fitted.save("saved")
    frame().to_csv("rows.csv", index=False)
    for words, said in ((("rows=rows.csv",), "with rows.csv"), ((), "with made-up rows")):
        code, out, _ = forecast("check", "run=saved", *words)
        assert code == 0 and said in out
        assert out.count("\nkept    ") == len(promise.PROMISES) and "BROKEN" not in out
    crosses(monkeypatch)
    code, out, error = forecast("check", "run=saved", "rows=rows.csv")
    assert code == 2 and "1 of 7 contracts are broken" in error
    assert out.count("BROKEN") == 1 and "steps cross, such as" in out


def test_rows_that_are_not_there_are_refused(forecast, fitted):
    fitted.save("saved")
    code, _, error = forecast("check", "run=saved", "rows=nowhere.csv")
    assert code == 2 and "no such file" in error
