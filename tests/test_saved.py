"""Forecasters that were saved: those of older formats load, each part comes back, and no training data are inside."""

import json
import re
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK

from forecast import Forecaster, Refusal, artifact, document, upgrade
from forecast.artifact import DOCUMENT, FORMAT, WEIGHTS
from forecast.config import CONF, override
from forecast.data.synthetic import panel

KEPT = Path(__file__).parent / "artifacts"
MORE = 200_000  # bytes beside the weights
NAMES = {group: sorted(x.stem for x in (CONF / group).glob("*.yaml")) for group in ("model", "backbone", "head")}
NORMALIZERS = sorted(x.stem for x in (CONF / "normalizer").glob("*.yaml"))
COVARIATES = ("data.past=[wind]", "data.future=[plan]", "data.static=[size,kind]")
TINY = (*QUICK, *COVARIATES, "trainer.max_epochs=1", "data.split=[0.5,0.3,0.2]", "logger=none")
COUNTED = ["data.scaler=none", "normalizer=[none]"]
LAWS = {"lognormal": COUNTED, "negative_binomial": COUNTED, "direction": ["normalizer=[last]"]}
OWN = {"segment": ["model.length=6"], "autoregressive": ["data.past=[]", "model.paths=5"]}
EVERY = {
    **{f"model {x}": [f"model={x}", *OWN.get(x, [])] for x in NAMES["model"]},
    **{f"backbone {x}": [f"backbone={x}"] for x in NAMES["backbone"]},
    **{f"head {x}": [f"head={x}", *LAWS.get(x, [])] for x in NAMES["head"]},
    **{f"normalizer {x}": [f"normalizer=[{x}]"] for x in NORMALIZERS},
    **{f"calibrate {x}": [f"calibrate={x}"] for x in ("split", "cqr", "online")},
    **{f"scaler {x}": [f"data.scaler={x}"] for x in ("asinh", "log1p", "robust", "minmax")},
    "split of each series": ["data.split_each=true"],
    "an ${interpolation} as name": [override("data.id", "${seed}")],
    "bounds, season, masks": ["data.min=0", "data.season=12", "data.observed=true"],
}


@cache
def frame() -> pd.DataFrame:
    """Two series of whole numbers with every kind of covariate."""
    made = panel(series=2, rows=260, freq="h", seed=1)
    rng = np.random.default_rng(1)
    made["y"] = made["y"].clip(lower=1).round()
    made["wind"], made["plan"] = rng.normal(size=(2, len(made)))
    codes = made["unique_id"].astype("category").cat.codes
    made["size"], made["kind"] = codes * 10.0, codes.map({0: "home", 1: "shop"})
    late = made.groupby("unique_id").cumcount() >= 250
    made.loc[late, ["y", "wind"]] = np.nan
    return made.assign(**{"${seed}": made["unique_id"]})


@cache
def trained(*overrides: str) -> Forecaster:
    return Forecaster(context=24, horizon=6, overrides=[*TINY, *overrides]).fit(frame())


@pytest.mark.parametrize("what", EVERY)
def test_each_part_comes_back_and_forecasts_the_same_to_the_last_bit(what, tmp_path):
    made = trained(*EVERY[what])
    made.save(tmp_path / "saved")
    loaded = Forecaster.load(tmp_path / "saved")
    pd.testing.assert_frame_equal(loaded.predict(frame()), made.predict(), check_exact=True)
    loaded.save(tmp_path / "again")
    for name in (WEIGHTS, DOCUMENT):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def formats() -> list[str]:
    return sorted(path.name for path in KEPT.iterdir() if path.is_dir())


@pytest.mark.parametrize("number", formats())
def test_a_forecaster_of_each_format_forecasts_what_it_did_when_it_was_saved(number):
    expected = pd.read_csv(KEPT / number / "forecast.csv", parse_dates=["ds", "cutoff"])
    loaded = Forecaster.load(KEPT / number)
    found = loaded.predict(KEPT / "rows.csv")
    keys = ["unique_id", "ds", "cutoff"]
    assert list(found.columns) == list(expected.columns) and len(found)
    assert (found[keys].to_numpy() == expected[keys].to_numpy()).all()
    values = expected.columns.difference([*keys, "y"])
    scale = loaded.fitted.statistics.deviation.max()
    assert np.abs(found[values] - expected[values]).to_numpy().max() < 1e-6 * scale


def test_every_format_is_kept_and_small():
    """A folder is called by its format, and a second one of that format also by what is in it."""
    assert {number.partition("-")[0] for number in formats()} == {str(number) for number in range(1, FORMAT + 1)}
    for number in formats():
        assert json.loads((KEPT / number / DOCUMENT).read_text())["format"] == int(number.partition("-")[0])
        assert sum(path.stat().st_size for path in (KEPT / number).iterdir()) < 60_000


def test_what_older_formats_had_not_is_not_known():
    statistics = Forecaster.load(KEPT / "1").fitted.statistics
    assert np.isnan(statistics.naive_square).all() and np.isfinite(statistics.naive_error[1:]).all()
    scores = Forecaster.load(KEPT / "1").judge(KEPT / "rows.csv").scores.groupby("metric")["value"].first()
    assert np.isfinite(scores["mase"]) and np.isnan(scores["rmsse"])


@pytest.mark.parametrize(("number", "which"), [("1", 1), ("2-segments", 2)])
def test_the_test_of_older_formats_catches_a_missing_upgrade(number, which, monkeypatch):
    monkeypatch.setitem(upgrade.UPGRADES, which, lambda document: document)
    with pytest.raises(Refusal, match=r"damaged|not what was saved"):
        test_a_forecaster_of_each_format_forecasts_what_it_did_when_it_was_saved(number)


def test_a_key_that_came_later_takes_its_default(tmp_path):
    """And what is there stays, also where it is none."""
    made = trained()
    settings = json.loads(json.dumps(made.fitted.config))
    del settings["anchor"], settings["loss"]["l1"], settings["backbone"]["norm"], settings["calibrate"]
    settings["callbacks"]["early_stopping"] = None
    replace(made.fitted, config=settings).save(tmp_path)
    found = Forecaster.load(tmp_path).fitted.config
    assert found == {**made.fitted.config, "callbacks": settings["callbacks"]}


def test_a_saved_forecaster_knows_what_it_was_made_with(tmp_path, forecast, csv):
    """And of a run how it scored."""
    run = tmp_path / "run"
    assert (
        forecast("train", f"data.path={csv}", f"folder={run}", *QUICK, "context=24", "horizon=6", "logger=none")[0] == 0
    )
    saved = json.loads((run / "forecaster" / DOCUMENT).read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(saved) == document.KEYS
    assert saved["record"]["scores"] == manifest["scores"] and "mae" in manifest["scores"]
    assert saved["record"]["data"]["sha256"] == manifest["record"]["data"]["sha256"]
    assert saved["record"]["made"]["versions"] == manifest["versions"] and manifest["versions"]["torch"]
    assert manifest["threads"] == torch.get_num_threads() and manifest["python"]


@cache
def many(series: int) -> Forecaster:
    rows = panel(series=series, rows=120, freq="h", seed=1)
    overrides = [
        *QUICK,
        "trainer.limit_train_batches=1",
        "calibrate=split",
        "calibrate.by=null",
        "calibrate.pooled=false",
    ]
    return Forecaster(context=24, horizon=6, overrides=[*overrides, "logger=none"]).fit(rows)


def beside(folder: Path) -> int:
    """Bytes of a saved forecaster that are not weights."""
    size = (folder / WEIGHTS).stat().st_size
    (header,) = struct.unpack("<Q", (folder / WEIGHTS).read_bytes()[:8])
    return sum(path.stat().st_size for path in folder.iterdir()) - size + header + 8


@pytest.mark.parametrize("series", [2, 500])
def test_a_saved_forecaster_is_its_weights_and_a_little_more(series, tmp_path):
    many(series).save(tmp_path)
    assert beside(tmp_path) < MORE


def test_a_series_adds_a_few_hundred_bytes(tmp_path):
    """Its name, two numbers to scale it by, three to score it by, and what calibration learnt of it alone."""
    for series in (2, 500):
        many(series).save(tmp_path / str(series))
    assert beside(tmp_path / "500") - beside(tmp_path / "2") < 400 * 498


def windows(values: np.ndarray, length: int) -> set[bytes]:
    """Values that follow each other, as bytes."""
    return {values[i : i + length].tobytes() for i in range(len(values) - length + 1)}


def leaked(folder: Path, rows: pd.DataFrame, length: int = 3) -> list[str]:
    """Series of which `length` values that follow each other stand in a saved forecaster, as text or as floats."""
    content = b"".join((folder / name).read_bytes() for name in (WEIGHTS, DOCUMENT))
    kept = [x for each in numbers(json.loads((folder / DOCUMENT).read_text())) for x in windows(np.array(each), length)]
    found = []
    for name, y in rows.groupby("unique_id")["y"]:
        values = y.to_numpy("float64")
        packed = windows(values.astype("float32"), length) | windows(values, length)
        if windows(values, length) & set(kept) or any(x in content for x in packed):
            found.append(str(name))
    return found


def numbers(node: Any) -> list[list[float]]:
    """All lists of numbers in a document, and those of nested ones, flat."""
    if isinstance(node, dict):
        return [each for x in node.values() for each in numbers(x)]
    if not isinstance(node, list):
        return []
    flat = pd.Series(re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", json.dumps(node))).astype("float64").tolist()
    return [flat, *(each for x in node for each in numbers(x) if isinstance(x, dict))]


@pytest.mark.parametrize("series", [2, 500])
def test_no_window_of_training_values_is_inside(series, tmp_path):
    many(series).save(tmp_path)
    rows = panel(series=series, rows=120, freq="h", seed=1)
    assert leaked(tmp_path, rows[rows["unique_id"].isin(rows["unique_id"].unique()[:20])]) == []


@pytest.mark.parametrize("kind", ["floats of 32 bits", "floats of 64 bits", "text"])
def test_the_test_of_training_values_catches_some(kind, tmp_path):
    made, rows = many(2), panel(series=2, rows=120, freq="h", seed=1)
    some = rows["y"].to_numpy("float64")[40:46]
    made.save(tmp_path)
    if kind == "text":
        replace(made.fitted, record={**made.fitted.record, "head": some.tolist()}).save(tmp_path)
    else:
        values = some.astype("float32" if "32" in kind else "float64")
        weights = {**made.fitted.model.state_dict(), "rows": torch.from_numpy(values)}
        artifact.save(tmp_path, weights, json.loads((tmp_path / DOCUMENT).read_text()))
    assert leaked(tmp_path, rows) == ["s0"]
