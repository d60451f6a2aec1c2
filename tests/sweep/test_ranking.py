"""The table of a sweep: best first, what came to nothing below, and what the differences came from."""

import io
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.artifact import plain
from forecast.sweep.job import begun, jobs
from forecast.sweep.ranking import front, importance, ranked, ranking, swept

SCORES = [0.5, 0.25, 0.75, 0.3]


def job(sweep: Path, score: float | None, *overrides: str, state: str = "done", reason: str = "") -> str:
    """A job as a sweep and `forecast train` leave it; its name."""
    made = begun(sweep, ["backbone=lstm", *overrides])
    manifest = {
        "score": {"name": "val/mae", "value": score},
        "scores": {"mae": None if score is None else 100 * score, "skill": 0.125, "rmse": 7.0},
        "cost": {"seconds": 12.5, "peak_memory_mib": 300},
        "record": {"parameters": 1000},
    }
    if state == "done":
        (made.folder / "manifest.json").write_text(plain(manifest))
    made.ended(state, 0 if state == "done" else 3, reason)
    return made.name


@pytest.fixture
def sweep(tmp_path) -> Path:
    for i, score in enumerate(SCORES):
        job(tmp_path / "sweep", score, f"seed={i}")
    return tmp_path / "sweep"


def read(text: str) -> pd.DataFrame:
    """The printed table, as an eye reads it."""
    table = "\n".join(line for line in text.split("\n") if line and ":" not in line)
    return pd.read_csv(io.StringIO(table), sep=r"\s+", dtype={"job": str})


def test_jobs_are_ranked_by_their_validation_score(sweep):
    table = ranked(sweep)
    assert table["job"].tolist() == ["1", "3", "0", "2"] and table["val/mae"].tolist() == sorted(SCORES)
    assert (table["mae"] == 100 * table["val/mae"]).all() and table["seed"].tolist() == table["job"].tolist()
    expected = ["job", "backbone", "seed", "val/mae", "mae", "skill", "seconds", "state", "reason"]
    assert list(table.columns) == expected
    shown = read(ranking(table, swept(sweep)))
    assert list(shown.columns) == ["job", "seed", "val/mae", "mae", "skill", "seconds"]  # backbone is the same in all
    assert shown["job"].tolist() == table["job"].tolist() and (shown["seconds"] == 12.5).all()


def test_what_came_to_nothing_stands_below_with_its_reason(sweep):
    job(sweep, None, "seed=5", state="failed", reason="the loss is nan")
    job(sweep, None, "seed=6", state="pruned", reason="epoch 3")
    job(sweep, None, "seed=7", state="running")
    job(sweep, float("nan"), "seed=8")
    job(sweep, 0.01, "seed=9")
    table = ranked(sweep)
    assert table["job"].tolist() == ["8", "1", "3", "0", "2", "7", "5", "4", "6"]
    assert table["state"].tolist() == ["done"] * 6 + ["pruned", "failed", "running"]
    lines = ranking(table, swept(sweep)).split("\n")
    assert lines[-3:-1] == ["stopped early as others did better: 5", "job 4 failed: the loss is nan"]


def test_a_sweep_of_which_nothing_is_done_is_listed(tmp_path):
    job(tmp_path, None, "seed=1", state="failed", reason="no")
    table = ranked(tmp_path)
    assert ranking(table, swept(tmp_path)) == "job 0 failed: no" and len(table) == 1
    job(tmp_path, None, "head=point", state="failed", reason="nor that")
    assert ranking(ranked(tmp_path), swept(tmp_path)) == "job 0 failed: no\njob 1 failed: nor that"


def test_jobs_may_differ_in_the_keys_that_they_set(sweep):
    name = job(sweep, 0.6, "head=point")
    table = ranked(sweep).set_index("job")
    assert table["head"].isna().sum() == 4 and table.loc[name, "head"] == "point" and pd.isna(table.loc[name, "seed"])
    assert swept(sweep) == ["seed", "head"]
    assert "point" in ranking(ranked(sweep), swept(sweep))


def test_numbers_are_short_and_words_whole(tmp_path):
    for i in range(12):
        job(tmp_path, i / 7, f"optimizer.lr={0.123456789 / 10**i!r}", f"data.path={'x' * 60}{i % 2}")
    text = ranking(ranked(tmp_path), swept(tmp_path))
    assert sum("x" * 60 in line for line in text.split("\n")) == 12
    assert "0.1235" in text and "0.12345" not in text and "1.235e-09" in text


@pytest.mark.parametrize("count", [1, 2, 30])
def test_the_front_holds_what_no_other_beats(count):
    values = pd.DataFrame(np.random.default_rng(1).integers(0, 8, (count, 2)).astype(float), columns=["a", "b"])
    values.loc[count] = [np.nan, 0.0]

    def beaten(i: int) -> bool:
        one = values.loc[i].tolist()
        rest = [values.loc[j].tolist() for j in range(count)]
        return any(x <= one[0] and y <= one[1] and [x, y] != one for x, y in rest)

    assert front(values).tolist() == [i for i in range(count) if not beaten(i)]


def test_several_objectives_stand_in_the_table_with_their_front(sweep):
    table = ranked(sweep, ("score", "memory", "parameters"))
    assert (table["memory"] == 300).all() and (table["parameters"] == 1000).all()
    assert table["front"].tolist() == [True, False, False, False]  # equal cost: the best score beats all


def test_importance_is_of_what_moves_the_score(tmp_path):
    """Of a full grid the score depends on a word by 90 %, on a number by 10 %, and on a third key not at all."""
    for word, number, other in itertools.product("abc", (1, 2, 3, 4), "xyz"):
        score = 3 * "bac".index(word) * np.sqrt(1.5) / np.sqrt(5) * np.sqrt(1.25) + number
        job(tmp_path, score, f"model={word}", f"n={number}", f"seed={other}")
    table = ranked(tmp_path)
    shares = importance(table, swept(tmp_path)[:3], "val/mae")
    assert shares.sum() == pytest.approx(1) and list(shares.index) == ["model", "n", "seed"]
    explained = table.groupby("model")["val/mae"].transform("mean").var() / table["val/mae"].var()
    assert shares["model"] == pytest.approx(explained, abs=0.06) and shares["seed"] < 0.02


def test_jobs_are_in_the_order_of_their_numbers(tmp_path):
    for i in range(11):
        job(tmp_path, 0.1, f"seed={i}")
    assert [x.name for x in jobs(tmp_path)] == [str(i) for i in range(11)]
