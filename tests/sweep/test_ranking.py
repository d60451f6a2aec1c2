"""The table of a sweep: best first, what failed is named."""

import io
from pathlib import Path

import pandas as pd
import pytest

from forecast.artifact import plain
from forecast.sweep.ranking import ranking

SCORES = {"0": 0.5, "1": 0.25, "2": 0.75, "10": 0.3}


def job(sweep: Path, name: str, score: float | None, **overrides: str) -> Path:
    """A finished job, as `forecast train` leaves it."""
    (sweep / name).mkdir(parents=True)
    manifest = {
        "overrides": {"backbone": "lstm", "seed": name, **overrides},
        "score": {"name": "val/mae", "value": score},
        "scores": {"mae": None if score is None else 100 * score, "skill": 0.125, "rmse": 7.0},
        "cost": {"seconds": 12.5},
    }
    (sweep / name / "manifest.json").write_text(plain(manifest))
    return sweep / name


@pytest.fixture
def sweep(tmp_path) -> Path:
    for name, score in SCORES.items():
        job(tmp_path / "sweep", name, score)
    (tmp_path / "sweep" / "multirun.yaml").touch()
    return tmp_path / "sweep"


def read(text: str) -> pd.DataFrame:
    """The printed table, as an eye reads it."""
    table = "\n".join(line for line in text.split("\n") if line and ":" not in line)
    return pd.read_csv(io.StringIO(table), sep=r"\s+", dtype={"job": str})


def test_jobs_are_ranked_by_their_validation_score(sweep):
    text = ranking(sweep)
    found = read(text)
    assert found["job"].tolist() == ["1", "10", "0", "2"] == sorted(SCORES, key=SCORES.__getitem__)
    assert found["val/mae"].tolist() == sorted(SCORES.values())
    assert found["mae"].tolist() == [25, 30, 50, 75] and (found["skill"] == 0.125).all()
    assert (found["seconds"] == 12.5).all() and found["seed"].astype(str).tolist() == found["job"].tolist()
    assert text.endswith(f"sweep: {sweep}") and "failed" not in text


def test_the_ranking_is_written_beside_the_jobs(sweep):
    ranking(sweep)
    found = pd.read_csv(sweep / "ranking.csv", dtype={"job": str})
    assert found["job"].tolist() == ["1", "10", "0", "2"]
    assert list(found.columns) == ["job", "backbone", "seed", "val/mae", "mae", "skill", "seconds"]
    job(sweep, "11", 0.125)
    ranking(sweep)
    assert pd.read_csv(sweep / "ranking.csv")["job"].tolist() == [11, 1, 10, 0, 2]


def test_jobs_that_failed_are_named_in_their_order(sweep):
    for name in ("12", "3"):
        (sweep / name / "tensorboard").mkdir(parents=True)
    assert "failed: 3, 12\n" in ranking(sweep)
    assert read(ranking(sweep))["job"].tolist() == ["1", "10", "0", "2"]


def test_a_score_that_is_no_number_comes_last(sweep):
    job(sweep, "4", float("nan"))
    job(sweep, "5", 0.01)
    ranking(sweep)
    assert pd.read_csv(sweep / "ranking.csv")["job"].tolist() == [5, 1, 10, 0, 2, 4]


def test_a_sweep_of_which_no_score_is_a_number_is_listed(tmp_path):
    job(tmp_path, "0", None)
    job(tmp_path, "1", None)
    assert "sweep:" in ranking(tmp_path) and len(pd.read_csv(tmp_path / "ranking.csv")) == 2


def test_jobs_may_differ_in_the_keys_that_they_set(sweep):
    job(sweep, "6", 0.6, head="point")
    ranking(sweep)
    found = pd.read_csv(sweep / "ranking.csv", index_col="job")
    assert found["head"].isna().sum() == 4 and found.loc[6, "head"] == "point"


@pytest.mark.parametrize("failed", [0, 2])
def test_a_sweep_without_a_finished_job_says_so(tmp_path, failed):
    for i in range(failed):
        (tmp_path / str(i)).mkdir()
    assert ranking(tmp_path) == f"sweep: {tmp_path} (no job finished)"
    assert not (tmp_path / "ranking.csv").exists()


def test_many_jobs_and_long_values_are_all_printed(tmp_path):
    for i in range(80):
        job(tmp_path, str(i), i / 7, data="x" * 60)
    text = ranking(tmp_path)
    assert sum("x" * 60 in line for line in text.split("\n")) == 80
