"""forecast score: one table or several, what is printed, written and refused."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.command.score import named
from forecast.error import Refusal
from forecast.evaluation.metrics import scores


def table(deviation: float, seed: int, days: int = 40, tz: str | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2024-01-01", periods=24 * days, freq="h", tz=tz)
    y = 50 + 10 * np.sin(np.arange(24 * days) / 4)
    point = y + deviation * rng.standard_normal(len(y))
    made = pd.DataFrame({"unique_id": "a", "ds": ds, "cutoff": (ds[::24] - pd.Timedelta("1h")).repeat(24), "y": y})
    return made.assign(point=point, **{f"q{x / 10:g}": point + deviation * (x - 5) / 3 for x in range(1, 10)})


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    made = {"good": table(1, 1), "other": table(1.02, 2), "bad": table(4, 3).iloc[24:]}
    for name, each in made.items():
        each.to_csv(f"{name}.csv", index=False)
    return made


def test_several_tables_are_scored_on_the_rows_that_all_have(forecast, tables):
    code, out, err = forecast("score", "good.csv", "other.csv", "bad.csv")
    assert code == 0 and "24 of 960 of good, 24 of 960 of other, 0 of 936 of bad" in err
    lines = out.split("\n")
    assert lines[0].split() == ["good", "other", "bad"]
    mae = [f"{scores(each.loc[24:])['mae']:,.4g}" for each in tables.values()]
    assert lines[1].split()[:4] == ["mae", *mae]
    assert "Giacomini-White (conditional), loss mae, 39 cutoffs" in out
    assert "model confidence set, 95%: good (1.000), other" in out and "left out: bad (<0.001)" in out
    assert sorted(x.name for x in Path().iterdir()) == ["bad.csv", "good.csv", "other.csv"]


def test_what_is_written_is_what_was_found(forecast, tables):
    words = ["loss=pinball", "test=dm", "ensemble=mean", "folder=out"]
    code, out, _ = forecast("score", "good.csv", "bad.csv", *words)
    assert code == 0 and out.endswith("scores.csv, significance.csv, significance.png in out\n")
    written = pd.read_csv("out/scores.csv").set_index(["model", "metric"])["value"]
    assert written["good", "wql"] == pytest.approx(scores(tables["good"].loc[24:])["wql"], rel=1e-12)
    assert set(written.index.levels[0]) == {"good", "bad", "mean ensemble"}
    found = pd.read_csv("out/significance.csv")
    assert set(found["test"]) == {"dm"} and set(found["loss"]) == {"pinball"} and found["step"].nunique() == 24
    whole = found[found["step"].isna()].set_index(["row", "column"])["p"]
    assert whole["bad", "good"] < 1e-6 < 0.9 < whole["good", "bad"] and len(whole) == 6
    assert Path("out/significance.png").read_bytes().startswith(b"\x89PNG")
    forecast("score", "good.csv", "bad.csv", *words)
    assert Path("out-1/scores.csv").read_bytes() == Path("out/scores.csv").read_bytes()
    assert Path("out-1/significance.csv").read_bytes() == Path("out/significance.csv").read_bytes()


def test_one_table_is_scored_alone(forecast, tables):
    code, out, _ = forecast("score", "good.csv", "folder=out")
    assert code == 0 and "Giacomini" not in out and [x.name for x in Path("out").iterdir()] == ["scores.csv"]
    assert forecast("score", "tables=good.csv")[1] == forecast("score", "good.csv")[1]


def test_too_few_cutoffs_are_scored_but_not_tested(forecast):
    for name in ("one", "two"):
        table(1, len(name), days=5).to_csv(f"{name} of mine.csv", index=False)
    code, out, err = forecast("score", "one of mine.csv", "two of mine.csv")
    assert code == 0 and "one of mine" in out and "Giacomini" not in out
    assert "nothing is tested: a test needs 10 cutoffs, the tables share 5" in err


def test_times_with_offsets_are_matched_across_the_spring_night(forecast):
    """In March a local CSV changes its offset from +01:00 to +02:00."""
    whole = table(1, 1, days=120, tz="Europe/Berlin")
    whole.to_csv("one.csv", index=False)
    other = table(1, 2, days=120, tz="Europe/Berlin")
    other.assign(ds=other["ds"].dt.tz_convert("UTC"), cutoff=other["cutoff"].dt.tz_convert("UTC")).to_csv("two.csv")
    code, out, err = forecast("score", "one.csv", "two.csv")
    assert code == 0 and "left out" not in err and "loss mae, 120 cutoffs" in out


def test_tables_of_one_name_are_called_by_their_folders(forecast, tables):
    for folder in ("runs/direct-lstm/1", "runs/linear/2"):
        Path(folder).mkdir(parents=True)
        shutil.copy(f"{'good' if 'lstm' in folder else 'bad'}.csv", f"{folder}/forecast.csv")
    _, out, _ = forecast("score", "runs/direct-lstm/1/forecast.csv", "runs/linear/2/forecast.csv")
    assert out.split("\n")[0].split() == ["direct-lstm/1", "linear/2"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.csv", "b.csv"], ["a", "b"]),
        (["x/a.csv", "y/b.csv"], ["a", "b"]),
        (["x/f.csv", "y/f.csv"], ["x", "y"]),
        (["x/f.csv", "f.csv"], ["x/f", "f"]),
        (["o/x/1/f.csv", "o/y/1/f.csv", "o/y/2/f.csv"], ["x/1", "y/1", "y/2"]),
        (["o/x/f.csv", "o/y/f.csv", "o/y/g.csv"], ["x/f", "y/f", "y/g"]),
    ],
)
def test_names_are_as_short_as_they_can_be_told_apart(paths, names):
    assert named([Path(x) for x in paths]) == names


def test_a_file_that_is_named_twice_is_refused():
    with pytest.raises(Refusal, match=r"x/\.\./a\.csv is named twice|a\.csv is named twice"):
        named([Path("a.csv"), Path("x/../a.csv")])


CLASSES = {"point": 0.0, "p_down": 0.5, "p_up": 0.5}
REFUSED = {
    "no table": (None, [], "which tables? Name their files"),
    "twice": (None, ["good.csv", "./good.csv"], "is named twice"),
    "the same word": (None, ["good.csv", "good.csv"], "is named twice"),
    "a row twice": (pd.concat([table(1, 1)] * 2), ["it.csv"], "twice: a forecast table has one row"),
    "no forecast": (pd.DataFrame({"ds": ["2024-01-01"], "y": [1.0]}), ["good.csv", "it.csv"], "it.csv: a forecast"),
    "classes": (table(1, 1).assign(y=1.0, **CLASSES), ["good.csv", "it.csv"], "good is of values; it is of the cla"),
    "another y": (table(1, 1).assign(y=7.0), ["good.csv", "it.csv"], "don't forecast the same"),
    "other rows": (table(1, 1).assign(unique_id="b"), ["good.csv", "it.csv"], "share no row"),
    "ensemble": (None, ["good.csv", "bad.csv", "ensemble=weighted"], "ensemble=weighted: expected mean or median"),
    "ensemble of one": (None, ["good.csv", "ensemble=mean"], "needs two tables"),
    "test": (None, ["good.csv", "bad.csv", "test=wg"], "test=wg: expected one of dm, gw"),
    "loss": (None, ["good.csv", "bad.csv", "loss=mape"], "loss=mape: expected one of mae"),
    "level": (None, ["good.csv", "bad.csv", "level=5"], "level=5: expected a number between 0 and 1"),
    "draws": (None, ["good.csv", "bad.csv", "draws=0"], "draws=0: expected a whole number"),
    "statistic": (None, ["good.csv", "bad.csv", "statistic=r"], "statistic=r: expected one of range, max"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_scored_is_refused_in_a_line(forecast, tables, case):
    made, words, said = REFUSED[case]
    if made is not None:
        made.to_csv("it.csv", index=False)
    code, out, err = forecast("score", *words, "folder=out")
    line = err.strip().split("\n")[-1]
    assert code == 2 and not out and said in line and not Path("out").exists()
