"""`forecast reproduce`: the same data, configuration and seed give the same weights; what differs is named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK

from forecast import Ensemble, Forecaster, artifact, atomic, reproduction
from forecast.artifact import DOCUMENT, WEIGHTS
from forecast.data.synthetic import panel

SMALL = (*QUICK, "context=24", "horizon=6", "logger=none", "data.split=[0.5,0.3,0.2]", "trainer.max_epochs=1")
WITH = ("data.past=[wind]", "data.future=[plan]", "data.static=[kind]", "calibrate=split", "model.dropout=0.1")


def rows() -> pd.DataFrame:
    made = panel(series=2, rows=260, freq="h", seed=1)
    rng = np.random.default_rng(1)
    made["wind"], made["plan"] = rng.normal(size=(2, len(made)))
    return made.assign(kind=made["unique_id"].map({"s0": "home", "s1": "shop"}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a CSV and a run of it, as `forecast train` leaves it."""
    home = tmp_path_factory.mktemp("reproduction")
    rows().to_csv(home / "my.csv", index=False)
    made = Forecaster(overrides=[*SMALL, *WITH, f"data.path={home / 'my.csv'}"]).fit()
    made.save(home / "run" / "forecaster")
    return home


def verdicts(out: str) -> dict[str, str]:
    return {line[:19].strip(): line[19:28].strip() for line in out.split("\n") if line and not line.startswith("run:")}


def test_a_run_of_the_command_line_is_reproduced(forecast, csv):
    """To the last bit, in a folder of its own; the run stays as it was."""
    assert forecast("train", f"data.path={csv}", *SMALL, "folder=run")[0] == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    code, out, error = forecast("reproduce", "run")
    assert code == 0, error
    assert set(verdicts(out).values()) == {"equal"}
    assert set(verdicts(out)) >= {"data", "configuration", "versions", "machine", "threads", "git", "weights"}
    again = Path(out.strip().split("\n")[-1].removeprefix("run: ")) / "forecaster"
    assert (again / WEIGHTS).read_bytes() == before[Path("run/forecaster") / WEIGHTS]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_covariates_dropout_and_calibration_are_reproduced(forecast, trained):
    code, out, error = forecast("reproduce", f"run={trained / 'run'}", "folder=again")
    assert code == 0 and set(verdicts(out).values()) == {"equal"}, error


@pytest.mark.slow
def test_an_ensemble_of_seeds_is_reproduced(forecast, trained):
    overrides = [*SMALL, f"data.path={trained / 'my.csv'}"]
    Ensemble([Forecaster(seed=seed, overrides=overrides).fit() for seed in (1, 2)], "weighted").learn().save("two")
    code, out, error = forecast("reproduce", "two", "folder=again")
    assert code == 0, error
    assert out.count("to the last bit") == 2 and "weights of members equal" in out
    document = json.loads(Path("two/ensemble.json").read_text())
    atomic.write(Path("two/ensemble.json"), json.dumps(signed({**document, "weights": [0.5, 0.5]})))
    code, out, error = forecast("reproduce", "two", "folder=other")
    assert code == 5 and "these differ: weights of members" in error


def signed(document: dict) -> dict:
    kept = {key: value for key, value in document.items() if key not in ("format", "sha256")}
    return {**document, "sha256": artifact.hashed(kept)}


def test_other_data_are_told_before_any_training(forecast, trained, monkeypatch):
    """By both hashes; also where they lie now."""
    changed = rows()
    changed.loc[40, "wind"] += 1e-9
    changed.to_csv("other.csv", index=False)
    monkeypatch.setattr(reproduction, "repeated", None)
    code, out, error = forecast("reproduce", f"run={trained / 'run'}", "data.path=other.csv")
    was = json.loads((trained / "run" / "forecaster" / DOCUMENT).read_text())["record"]["data"]["sha256"]
    assert code == 5 and not out and "other.csv is not what" in error and was in error
    assert sorted(path.name for path in Path().iterdir()) == ["other.csv"]
    assert not (trained / "run" / "reproduce").exists()


def test_data_may_have_moved(forecast, trained):
    rows().to_csv("moved.csv", index=False)
    code, out, error = forecast("reproduce", f"run={trained / 'run'}", "data.path=moved.csv", "folder=again")
    assert code == 0 and set(verdicts(out).values()) == {"equal"}, error


@pytest.mark.parametrize("run", ["nowhere", ""])
def test_what_is_no_run_is_refused(forecast, run):
    code, _, error = forecast("reproduce", f"run={run}")
    assert code == 2 and error.count("\n") == 1


def test_data_that_are_gone_are_refused(forecast, trained):
    code, _, error = forecast("reproduce", f"run={trained / 'run'}", "data.path=gone.csv")
    assert code == 2 and "no such file" in error


def altered(trained: Path, **changes) -> Path:
    """A run that says something else of itself, signed anew."""
    shutil.copytree(trained / "run", "altered")
    made = Forecaster.load(trained / "run").fitted
    record = {**made.record, "made": {**made.record["made"], **changes.pop("made", {})}}
    state = {name: x.clone() for name, x in made.model.state_dict().items()}
    for name, value in changes.pop("weights", {}).items():
        state[name].view(-1)[0] += value
    made.model.load_state_dict(state)
    replace(made, record=record, **changes).save(Path("altered/forecaster"))
    return Path("altered")


def test_versions_machine_and_code_are_told_and_don_t_decide(forecast, trained):
    """Weights are equal all the same; what differs is told from then to now."""
    versions = json.loads((trained / "run/forecaster" / DOCUMENT).read_text())["record"]["made"]["versions"]
    made = {"versions": {**versions, "torch": "1.0.0"}, "threads": 64, "git": "abc"}
    code, out, error = forecast("reproduce", str(altered(trained, made=made)), "folder=again")
    assert code == 0, error
    assert {key for key, said in verdicts(out).items() if said == "DIFFERS"} == {"versions", "threads", "git"}
    assert f"torch 1.0.0 -> {versions['torch']}" in out and "64 -> 1" in out


def test_one_bit_of_a_weight_is_found(forecast, trained):
    name = next(iter(Forecaster.load(trained / "run").fitted.model.state_dict()))
    run = altered(trained, weights={name: 1e-6})
    code, out, error = forecast("reproduce", str(run), "folder=again")
    assert code == 5 and "these differ: weights" in error
    assert verdicts(out)["weights"] == "DIFFERS" and "1 of" in out and verdicts(out)["statistics"] == "equal"


def test_other_statistics_are_found(forecast, trained):
    statistics = Forecaster.load(trained / "run").fitted.statistics
    run = altered(trained, statistics=replace(statistics, loc=statistics.loc + 1e-9))
    code, out, error = forecast("reproduce", str(run), "folder=again")
    assert code == 5 and verdicts(out)["statistics"] == "DIFFERS" and "statistics" in error


def test_training_that_depends_on_anything_else_is_found(forecast, trained, monkeypatch):
    """Planted: the order of batches, or the weights that training begins with, from another seed."""
    real = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: real(seed + 1))
    code, out, _ = forecast("reproduce", f"run={trained / 'run'}", "folder=again")
    assert code == 5 and verdicts(out)["weights"] == "DIFFERS"
