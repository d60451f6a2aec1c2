"""Ensemble: several forecasters as one; no look-ahead, equal after saving, weights from the validation part only."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars
import pytest
from conftest import QUICK

from forecast import Ensemble, Forecaster, Refusal
from forecast.cli import main
from forecast.data.synthetic import panel
from forecast.ensemble import DOCUMENT
from forecast.evaluation.ensemble import WAYS, ensemble, learnt
from forecast.evaluation.metrics import scores

HORIZON = 12


def frame(rows: int = 400) -> pd.DataFrame:
    return panel(series=2, rows=rows, freq="h", seed=1)


def forecaster(*overrides: str, **arguments) -> Forecaster:
    return Forecaster(**{"context": 24, "horizon": HORIZON} | arguments, overrides=[*QUICK, *overrides])


def members() -> list[Forecaster]:
    """Two seeds, another context, and another cell: equally good, so that more than one has a weight."""
    return [forecaster(seed=1), forecaster(seed=2), forecaster(context=48), forecaster(backbone="lstm")]


@pytest.fixture(scope="module")
def fitted() -> Ensemble:
    return Ensemble(members(), "weighted").fit(frame())


@pytest.mark.parametrize("how", WAYS)
def test_an_ensemble_is_the_combination_of_its_members(fitted, how):
    made = Ensemble(fitted.members, how)
    made.weights = fitted.weights
    tables = {str(i): x.backtest(stride=5) for i, x in enumerate(fitted.members)}
    expected = ensemble(tables, how, fitted.weights)
    pd.testing.assert_frame_equal(made.backtest(stride=5), expected, check_exact=True)
    future = made.predict()
    assert future["y"].isna().all() and len(future) == 2 * HORIZON
    assert (np.diff(future[[f"q0.{i}" for i in range(1, 10)]].to_numpy(), axis=1) >= 0).all()


def test_members_that_were_fitted_on_frames_of_polars_are_combined_as_such(fitted):
    given = polars.from_pandas(frame())
    made = Ensemble([forecaster(seed=1).fit(given), forecaster(seed=2).fit(given)])
    expected = Ensemble(fitted.members[:2])
    tables = [(x.predict(), x.backtest(stride=5), x.judge(stride=5).scores) for x in (made, expected)]
    for found, table in zip(*tables, strict=True):
        assert isinstance(found, polars.DataFrame)
        pd.testing.assert_frame_equal(found.to_pandas(), table, check_dtype=False)


def test_members_of_other_contexts_meet_on_the_rows_that_all_have():
    short, long = forecaster("data.split=[0.2,0.2,0.6]"), forecaster("data.split=[0.2,0.2,0.6]", context=60)
    data = pd.concat([frame(400), panel(series=1, rows=400, freq="h", seed=2).assign(unique_id="late").iloc[-90:]])
    tables = [x.fit(data[data["unique_id"] != "late"]).backtest(data, stride=5) for x in (short, long)]
    assert len(tables[0]) > len(tables[1])
    found = Ensemble([short, long]).backtest(data, stride=5)
    keys = ["unique_id", "ds", "cutoff"]
    pd.testing.assert_frame_equal(
        found[keys].sort_values(keys, ignore_index=True),
        tables[0].merge(tables[1], on=keys)[keys].sort_values(keys, ignore_index=True),
    )


def test_weights_are_learnt_on_the_validation_part(fitted):
    """From forecasts whose targets all lie there, and they are the best ones for them."""
    first = fitted.members[0]
    train, val, _ = first.fitted.borders
    tables = {str(i): x.fitted.forecast(x.origins(x.panel(None), None, "val")) for i, x in enumerate(fitted.members)}
    begin, end = first.fitted.layout.clock.stamps(np.array([train, val]))
    for each in tables.values():
        assert (each["ds"] >= begin).all() and (each["ds"] < end).all()
    assert fitted.weights == learnt(tables).tolist() and sum(fitted.weights) == pytest.approx(1)
    assert max(fitted.weights) < 0.95
    best = min(scores(x)["wql"] for x in tables.values())
    assert scores(ensemble(tables, "weighted", fitted.weights))["wql"] <= best * (1 + 1e-6)


FUTURES = {"times 50": lambda x: x * 50, "plus 1000": lambda x: x + 1000, "missing": lambda x: x * np.nan}


@pytest.mark.parametrize("how", FUTURES)
def test_nothing_after_the_cutoff_changes_a_forecast(fitted, how):
    """Rows after a cutoff are other ones: what was forecast up to it is bit-identical, what comes later is not."""
    data = frame()
    for way in WAYS:
        made = Ensemble(fitted.members, way)
        made.weights = fitted.weights
        whole = made.backtest(data, stride=5)
        cutoff = whole["cutoff"].iloc[len(whole) // 6]
        other = data.copy()
        after = (other["ds"] > cutoff) & (other["ds"] < other["ds"].max())
        other.loc[after, "y"] = FUTURES[how](other.loc[after, "y"])
        changed = made.backtest(other, stride=5)
        early = whole["cutoff"] <= cutoff
        assert early.sum() > 3 * HORIZON
        one, two = (x[x["cutoff"] <= cutoff].drop(columns="y").reset_index(drop=True) for x in (whole, changed))
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        assert not np.array_equal(whole["point"], changed["point"])


def test_the_test_part_does_not_reach_the_weights(fitted):
    """Other numbers there, or none: the learnt weights are bit-equal; others in the validation part move them."""
    data, clock = frame(), fitted.members[0].fitted.layout.clock
    train, val, _ = fitted.members[0].fitted.borders
    begin, end = clock.stamps(np.array([train, val]))
    for fill in (1e6, np.nan):
        other = data.copy()
        other.loc[(other["ds"] >= end) & (other["ds"] < other["ds"].max()), "y"] = fill
        assert Ensemble(fitted.members, "weighted").learn(other).weights == fitted.weights
    other = data.copy()
    inside = (other["ds"] >= begin) & (other["ds"] < end)
    other.loc[inside, "y"] = np.random.default_rng(0).permutation(other.loc[inside, "y"])
    assert Ensemble(fitted.members, "weighted").learn(other).weights != fitted.weights


@pytest.mark.slow
def test_fitting_an_ensemble_does_not_see_the_test_part():
    """Networks and weights together, refitted from scratch."""
    data = frame()
    base = Ensemble([forecaster(seed=1), forecaster(model="linear")], "weighted").fit(data)
    end = base.members[0].fitted.layout.clock.stamps(np.array([base.members[0].fitted.borders[1]]))[0]
    other = data.assign(y=data["y"].where((data["ds"] < end) | (data["ds"] == data["ds"].max()), -1e5))
    poisoned = Ensemble([forecaster(seed=1), forecaster(model="linear")], "weighted").fit(other)
    assert poisoned.weights == base.weights
    pd.testing.assert_frame_equal(poisoned.predict(data), base.predict(data), check_exact=True)


def test_it_is_judged_beside_its_members_and_the_baseline_on_the_same_rows(fitted):
    judged = fitted.judge(stride=5)
    names = ["weighted of 4", "segment-gru 1", "segment-gru 2", "segment-gru 3", "segment-lstm", "seasonal_naive"]
    assert list(judged.forecasts) == names and list(dict.fromkeys(judged.scores["model"])) == names
    assert len({len(x) for x in judged.forecasts.values()}) == 1
    pd.testing.assert_frame_equal(judged.forecasts["weighted of 4"], fitted.backtest(stride=5), check_exact=True)
    value = judged.scores.set_index(["model", "metric"])["value"]
    assert value["weighted of 4", "skill"] == pytest.approx(
        1 - value["weighted of 4", "mae"] / value["seasonal_naive", "mae"]
    )
    assert np.isfinite(value["weighted of 4", "mase"])


def test_a_loaded_ensemble_is_the_saved_one(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    loaded = Ensemble.load(tmp_path / "saved")
    assert (loaded.how, loaded.weights) == ("weighted", fitted.weights)
    pd.testing.assert_frame_equal(loaded.predict(frame()), fitted.predict(), check_exact=True)
    assert sorted(x.name for x in (tmp_path / "saved").iterdir()) == ["1", "2", "3", "4", DOCUMENT]
    assert {x.suffix for x in (tmp_path / "saved").rglob("*.*")} == {".json", ".safetensors"}
    Ensemble(fitted.members[:2], "mean").save(tmp_path / "saved")
    assert len(Ensemble.load(tmp_path / "saved").members) == 2


def rewritten(folder: Path, change: Callable[[str], str]) -> None:
    text = (folder / DOCUMENT).read_text()
    (folder / DOCUMENT).write_text(change(text))
    assert change(text) != text


DAMAGES = {
    "another way": lambda x: rewritten(x, lambda text: text.replace('"mean"', '"median"')),
    "cut": lambda x: rewritten(x, lambda text: text[:50]),
    "another member": lambda x: forecaster(model="linear", seed=3).fit(frame()).save(x / "1"),
    "a member gone": lambda x: (x / "2" / "forecaster.json").unlink(),
    "a network gone": lambda x: (x / "2" / "model.safetensors").write_bytes(b""),
    "nothing of ours": lambda x: rewritten(x, lambda _: "[]"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_what_is_not_what_was_saved_is_refused(fitted, tmp_path, how):
    Ensemble(fitted.members[:2], "mean").save(tmp_path / "saved")
    DAMAGES[how](tmp_path / "saved")
    with pytest.raises(Refusal) as refusal:
        Ensemble.load(tmp_path / "saved")
    assert refusal.value.code == "damaged" and "saved" in str(refusal.value)


def test_an_ensemble_is_no_one_graph(fitted, forecast):
    fitted.save("kept")
    code, _, said = forecast("export", "run=kept")
    assert code == 2 and "export the runs that it is made of" in said
    assert not Path("kept/export").exists()


def test_a_newer_format_and_an_empty_folder_are_refused(fitted, tmp_path):
    with pytest.raises(Refusal, match=r"is no saved ensemble: it holds no ensemble\.json"):
        Ensemble.load(tmp_path)
    (tmp_path / DOCUMENT).write_text(json.dumps({"format": 2}))
    with pytest.raises(Refusal, match="has format 2"):
        Ensemble.load(tmp_path)


def test_what_can_not_be_an_ensemble_is_refused(fitted):
    with pytest.raises(Refusal, match="expected one of mean, median, weighted"):
        Ensemble(fitted.members, "best")
    with pytest.raises(Refusal, match="needs a forecaster"):
        Ensemble([])
    with pytest.raises(Refusal, match="has not learnt its weights yet"):
        Ensemble(fitted.members, "weighted").predict()
    with pytest.raises(Refusal, match="not fitted yet"):
        Ensemble([forecaster()]).predict()


@pytest.fixture
def runs(fitted, monkeypatch) -> list[str]:
    """Two saved forecasters whose training file is there, and the file."""
    frame().to_csv("my.csv", index=False)
    made = []
    for i, x in enumerate(members()[1::2]):
        x.overrides = [*x.overrides, "data.path=my.csv"]
        x.fit().save(f"run{i}")
        made.append(f"run{i}")
    return made


@pytest.mark.slow
def test_runs_are_combined_on_the_command_line(runs, monkeypatch, capfd):
    def forecast(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["forecast", *words])
        assert main() == 0, capfd.readouterr().err
        return capfd.readouterr().out

    made = Ensemble(runs, "weighted").learn("my.csv")
    out = forecast("predict", "run=[run0,run1]", "ensemble=weighted", "folder=out")
    assert out.endswith("rows in out/forecast.csv\n")
    found = pd.read_csv("out/forecast.csv", parse_dates=["ds", "cutoff"], dtype={"unique_id": str})
    pd.testing.assert_frame_equal(found, made.predict("my.csv"), check_dtype=False, check_exact=True)
    out = forecast("backtest", "run=[run0,run1]", "stride=7")
    assert "mean of 2" in out and out.endswith("run: outputs/ensemble\n")
    (written,) = Path("outputs/ensemble/backtest").glob("*/scores.csv")
    assert set(pd.read_csv(written)["model"]) == {"mean of 2", "segment-gru", "segment-lstm", "seasonal_naive"}
    made.save("kept")
    assert forecast("predict", "run=kept").endswith("run: kept\n") and list(Path("kept/predict").iterdir())
