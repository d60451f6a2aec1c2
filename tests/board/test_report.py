"""The report: its numbers are those of the runs, only what is alike is ranked, and nobody's text becomes markup."""

import json
import re
import shlex
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import QUICK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from forecast.board import drawing, leaderboard, report, runs
from forecast.config import composed
from forecast.data.synthetic import panel
from forecast.error import Refusal
from forecast.evaluation.metrics import compared

EVIL = "</script><b>evil & 'quoted' \"twice\""
NINE = tuple(i / 10 for i in range(1, 10))


def forecasts(
    series=("a",), cutoffs=10, horizon=24, stride=24, levels=NINE, noise=1.0, seed=0, tz=None, begin="2024-03-25"
) -> pd.DataFrame:
    """Forecasts of a wave; the seed changes the errors and not the values."""
    stamps = pd.date_range(begin, periods=1 + stride * (cutoffs - 1) + horizon, freq="h", tz=tz)
    at = (stride * np.arange(cutoffs)[:, None] + np.arange(1, horizon + 1)).ravel()
    rng, parts = np.random.default_rng(seed), []
    for i, name in enumerate(series):
        wave = 100 + 20 * np.sin(np.arange(len(stamps)) / 4 + i) + np.random.default_rng(i).standard_normal(len(stamps))
        point = wave[at] + noise * rng.standard_normal(len(at))
        part = pd.DataFrame({"unique_id": name, "ds": stamps[at], "y": wave[at], "point": point})
        part.insert(2, "cutoff", stamps[stride * np.arange(cutoffs)].repeat(horizon))
        parts.append(part.assign(**{f"q{x:g}": point + 4 * noise * (x - 0.5) for x in levels}))
    return pd.concat(parts, ignore_index=True)


def directions(**kwargs) -> pd.DataFrame:
    """Forecasts of two classes."""
    table = forecasts(levels=(), **kwargs)
    up = 1 / (1 + np.exp(table["point"] - 100))
    return table.assign(y=1.0 * (table["y"] < 100), point=1.0 * (up > 0.5), p_down=1 - up, **{"p_<u>": up})


def made(folder: Path, table: pd.DataFrame, *, model="direct-lstm", overrides=None, data="load", sha256="f" * 64):
    """A run folder as `forecast train` leaves it, of forecasts that are given."""
    naive = table.assign(point=np.roll(table["y"].fillna(0.0), 24))
    scores = compared({model: table, "seasonal_naive": naive})
    folder.mkdir(parents=True)
    table.to_csv(folder / "forecast.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump({"context": 48, "note": EVIL}))
    manifest = {
        "overrides": overrides or {},
        "seed": 7,
        "record": {"parameters": 1234, "data": {"source": f"/data/{data}.csv", "sha256": sha256}},
        "cost": {"seconds": 12.5, "peak_memory_mib": 300},
        "versions": {"forecast": "0.1.0"},
        "git": "0123abc+",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return scores


class Page(HTMLParser):
    """What a browser would see: tags with attributes, rows of cells, and the text of each script."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.rows, self.scripts, self.shown, self.inside = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.inside = [tag, attrs]
        if tag == "tr":
            self.rows.append({})
        if "data-name" in attrs:
            self.rows[-1][attrs["data-name"]] = attrs["data-value"]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.inside[:1] == ["script"]:
            self.scripts[-1] += data
            return
        self.shown.append(data)
        if self.inside and "data-name" in self.inside[1]:
            self.rows[-1].setdefault("text", {})[self.inside[1]["data-name"]] = data.strip()

    def handle_endtag(self, tag):
        self.inside = []

    @property
    def runs(self) -> dict[str, dict]:
        return {row["name"]: row for row in self.rows if row.get("name")}

    @property
    def data(self) -> list:
        return json.loads(self.scripts[0])


def reported(root: Path = Path("outputs"), extra: tuple[str, ...] = ()) -> Page:
    found, left_out = runs.found(root)
    groups, reasons = leaderboard.groups(found, [x for path in extra for x in runs.foreign(Path(path))])
    return Page(report.page(groups, {**left_out, **reasons}, "Forecast report"))


def test_every_number_of_the_leaderboard_is_that_of_the_scores(tmp_path):
    outputs = tmp_path / "outputs"
    scores = {
        name: made(outputs / name, table)
        for name, table in {
            "load/direct-lstm/2026-01-02_03-04-05": forecasts(seed=1),
            "sweep/2026-01-03_03-04-05/0": forecasts(seed=2, noise=2.0),
            "sweep/2026-01-03_03-04-05/1": forecasts(seed=3, levels=()),
            "mine": directions(),
        }.items()
    }
    page = reported(outputs)
    assert set(page.runs) == set(scores)
    for name, found in scores.items():
        own = found[found["model"] == "direct-lstm"].set_index("metric")["value"]
        row = page.runs[name]
        for metric in set(own.index) & set(report.HEADINGS):
            assert float(row[metric]) == own[metric]
            assert float(row["text"][metric].replace(",", "")) == pytest.approx(own[metric], rel=6e-4, abs=6e-4)
        assert {"seconds": "12.5", "parameters": "1234", "peak_memory_mib": "300"}.items() <= row.items()
    assert page.runs["load/direct-lstm/2026-01-02_03-04-05"]["date"] == "2026-01-02 03:04"
    assert not {"wql", "coverage_80"} & set(page.runs["mine"]) and "mae" not in page.runs["mine"]
    naive = [float(row["mae"]) for row in page.rows if row.get("name") == "" and "mae" in row]
    every = pd.concat(scores.values())
    assert naive[0] in every.loc[(every["model"] == "seasonal_naive") & (every["metric"] == "mae"), "value"].tolist()


def test_the_best_run_is_named_and_others_have_a_p_value(tmp_path):
    """Best by error, among runs only; alone, a run has nothing to be told from."""
    for name, noise in {"fair": 2.0, "good": 1.0, "poor": 50.0}.items():
        made(tmp_path / name, forecasts(noise=noise, seed=len(name)))
    made(tmp_path / "alone", forecasts(series=("b",)))
    page = reported(tmp_path)
    boards = [[], []]
    for row in page.rows:
        if "mae" in row:
            boards[page.runs.get("alone") is not row and "p" in row].append((row["name"], row.get("text", {}).get("p")))
    assert boards[0] == [("alone", None), ("", None)]
    assert [name for name, _ in boards[1]] == ["good", "fair", "", "poor"]
    assert [p for _, p in boards[1]] == ["best", "<0.001", None, "<0.001"]


def test_nobodys_text_becomes_markup(tmp_path):
    """Names of series, folders, files, classes, values on the command line, configurations."""
    name = "<img src=x onerror=alert(1)>"
    made(tmp_path / "outputs" / name, forecasts(series=(EVIL, "b")), model=EVIL, data="<i>", overrides={"x": EVIL})
    made(tmp_path / "outputs" / "classes", directions(series=(EVIL,)))
    (tmp_path / "outputs" / "</dd><u>" / "x").mkdir(parents=True)
    (tmp_path / "outputs" / "</dd><u>" / "config.yaml").write_text("")
    (tmp_path / "outputs" / "</dd><u>" / "train.log").write_text("")
    page = reported(tmp_path / "outputs")
    assert not {"b", "img", "i", "u"} & {tag for tag, _ in page.tags}
    assert all(not key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert len(page.scripts) == 3
    assert {x["name"] for group in page.data for x in group["series"]} == {EVIL, "b"}
    text = "".join(page.shown)
    assert EVIL in text and "</dd><u>" in text and name in text
    assert page.data[0]["classes"] == [] and page.data[1]["classes"] == ["down", "<u>"]


def test_the_page_loads_nothing(tmp_path):
    made(tmp_path / "outputs" / "x", forecasts())
    page = reported(tmp_path / "outputs")
    links = [
        attrs[key] for _, attrs in page.tags for key in ("src", "href", "data", "action", "srcset") if key in attrs
    ]
    assert links and all(link.startswith("#") or link == "data:," for link in links)
    assert not {"iframe", "img", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    css, js = ((Path(report.__file__).parent / f"report.{kind}").read_text() for kind in ("css", "js"))
    assert not re.search(r"url\(|@import", css) and not re.search(r"https?:|fetch\(|import\(|XMLHttp", js)
    assert page.scripts[1].count("plotly.js v") == 1


def test_the_report_is_the_same_each_time_and_a_run_costs_little(tmp_path):
    for i in range(4):
        made(tmp_path / "outputs" / f"run{i}", forecasts(series=tuple("abcd"), cutoffs=42, seed=i))
    first, second = reported(tmp_path / "outputs"), reported(tmp_path / "outputs")
    assert first.tags == second.tags and first.scripts == second.scripts and first.rows == second.rows
    assert len(first.scripts[0]) < 4 * 130_000


def test_only_runs_that_forecast_the_same_are_ranked_together(tmp_path):
    tables = {
        "one": forecasts(seed=1),
        "two": forecasts(seed=2),
        "hidden": forecasts(seed=2).assign(y=lambda x: x["y"].where(x.index != 3)),
        "shorter": forecasts(cutoffs=9),
        "other-cutoffs": forecasts(horizon=12, stride=12, cutoffs=20),
        "other-values": forecasts().assign(y=lambda x: x["y"] + 1e-9),
        "other-series": forecasts(series=("b",)),
        "classes": directions(),
    }
    for name, table in tables.items():
        made(tmp_path / name, table.sample(frac=1, random_state=1) if name == "two" else table)
    groups, _ = leaderboard.groups(runs.found(tmp_path)[0])
    assert sorted(sorted(run.name for run in group.runs) for group in groups) == sorted(
        [["one", "two"], *([name] for name in tables if name not in ("one", "two"))]
    )


def test_runs_on_other_columns_of_the_same_data_are_compared_and_it_is_said(tmp_path):
    made(tmp_path / "one", forecasts(seed=1), sha256="a" * 64)
    assert "versions of these data" not in "".join(reported(tmp_path).shown)
    made(tmp_path / "two", forecasts(seed=2), sha256="b" * 64)
    assert "trained on 2 versions of these data" in "".join(reported(tmp_path).shown)


@settings(max_examples=8, deadline=None)
@given(cutoffs=st.integers(10, 40), noise=st.sampled_from([0.5, 1.0, 1.1]), seed=st.integers(1, 99))
def test_significance_is_the_paired_test_of_the_losses_of_cutoffs(cutoffs, noise, seed):
    one = forecasts(series=("a", "b"), cutoffs=cutoffs)
    two = forecasts(series=("a", "b"), cutoffs=cutoffs, noise=noise, seed=seed)
    means = [[(x["y"] - x["point"]).abs().mean() for _, x in table.groupby("cutoff")] for table in (one, two)]
    expected = ttest_rel(*means, alternative="less").pvalue  # that the first, the best, is better
    assert chances(one, two) == pytest.approx([expected], rel=1e-9)
    assert chances(two, one) == pytest.approx([1 - expected], rel=1e-9)


def chances(*tables: pd.DataFrame) -> list[float]:
    return leaderboard.chances([SimpleNamespace(table=each) for each in tables])[1:]


def test_significance_where_there_is_nothing_to_test():
    one = forecasts(cutoffs=20)
    assert chances(one, one)[0] >= 0.5
    assert np.isnan(chances(one[:24], forecasts(seed=2)[:24])).all() and chances(one) == []


def test_a_foreign_table_of_many_models_joins_the_runs_that_it_shares_rows_with(tmp_path):
    """Columns of neuralforecast; more rows than the runs have, in another order, with an index."""
    theirs = forecasts(cutoffs=12, seed=5).sample(frac=1, random_state=1)
    wide = theirs[["unique_id", "ds", "cutoff", "y"]].assign(
        **{
            "NHITS": 0.0,
            "NHITS-median": theirs["point"],
            "NHITS-lo-80": theirs["q0.1"],
            "NHITS-hi-80": theirs["q0.9"],
            "LSTM": theirs["point"] + 1,
            "note": "text",
        }
    )
    wide.to_csv(tmp_path / "theirs.csv")
    scores = made(tmp_path / "outputs" / "mine", forecasts(seed=1))
    page = reported(tmp_path / "outputs", extra=(str(tmp_path / "theirs.csv"),))
    row, other = page.runs["theirs.csv: NHITS"], page.runs["theirs.csv: LSTM"]
    same = theirs.merge(forecasts()[["unique_id", "ds", "cutoff"]])
    mae = (same["y"] - same["point"]).abs().mean()
    naive = scores.set_index(["model", "metric"])["value"]["seasonal_naive", "mae"]
    assert float(row["mae"]) == pytest.approx(mae, rel=1e-12)
    assert float(row["skill"]) == pytest.approx(1 - mae / naive, rel=1e-12)
    inside = ((same["q0.1"] <= same["y"]) & (same["y"] <= same["q0.9"])).mean()
    assert float(row["coverage_80"]) == pytest.approx(inside) and other["coverage_80"] == ""
    assert float(other["mae"]) == pytest.approx((same["y"] - same["point"] - 1).abs().mean(), rel=1e-12)
    assert len(page.data[0]["runs"]) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x[x["ds"].dt.day != 27], "it has 216 of the 240 rows of 'load'"),
        (lambda x: x.assign(y=x["y"] + 1), "its y is"),
        (lambda x: x.assign(ds=x["ds"] + pd.Timedelta("10min")), "shares no row"),
        (lambda x: x.assign(ds=range(len(x)), cutoff=0), "shares no row"),
        (lambda x: x.assign(**{k: x[k].dt.tz_localize("Asia/Tokyo") for k in ("ds", "cutoff")}), "shares no row"),
        (lambda x: directions(), "shares no row"),
    ],
)
def test_a_foreign_table_of_something_else_is_left_out_with_the_reason(tmp_path, change, reason):
    made(tmp_path / "mine", forecasts())
    change(forecasts(seed=5)).to_csv(tmp_path / "theirs.csv", index=False)
    page = reported(tmp_path, extra=(str(tmp_path / "theirs.csv"),))
    assert set(page.runs) == {"mine"} and reason in "".join(page.shown)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "can't be read"),
        ("unique_id,ds,cutoff,y\na,2024-01-01,2024-01-01,1\n", "needs the column 'point'"),
        ("unique_id,ds,y,point\na,2024-01-01,1,1\n", "needs the column 'cutoff'"),
        ("unique_id,ds,cutoff,y,point\na,soon,2024-01-01,1,1\n", "soon"),
        ("unique_id,ds,cutoff,y,point\na,2024-01-01,2024-01-01,1,x\n", "is not a number"),
        ("unique_id,ds,cutoff,y,point\n" + 2 * "a,2024-01-01,2024-01-01,1,1\n", "forecasts a step again"),
    ],
)
def test_a_file_that_is_no_forecast_table_is_refused(tmp_path, text, words):
    (tmp_path / "theirs.csv").write_text(text)
    with pytest.raises(Refusal, match=re.escape(words)) as found:
        runs.foreign(tmp_path / "theirs.csv")
    assert "theirs.csv" in str(found.value)


DAMAGES = {
    "manifest is missing": lambda run: (run / "manifest.json").unlink(),
    "manifest is cut": lambda run: (run / "manifest.json").write_text("{"),
    "manifest is a list": lambda run: (run / "manifest.json").write_text("[]"),
    "manifest lacks a key": lambda run: (run / "manifest.json").write_text('{"seed": 1}'),
    "scores are missing": lambda run: (run / "scores.csv").unlink(),
    "scores are of others": lambda run: (run / "scores.csv").write_text("model,metric,value\na,mae,3\n"),
    "scores are empty": lambda run: (run / "scores.csv").write_text("model,metric,value\n"),
    "scores are nothing": lambda run: (run / "scores.csv").write_text(""),
    "forecasts are binary": lambda run: (run / "forecast.csv").write_bytes(b"\xff\xfe\x00"),
    "forecasts are none": lambda run: (run / "forecast.csv").write_text("unique_id,ds,cutoff,y,point\n"),
    "forecasts are a folder": lambda run: [(run / "forecast.csv").unlink(), (run / "forecast.csv").mkdir()],
    "config is missing": lambda run: (run / "config.yaml").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_and_stops_nothing(tmp_path, forecast, damage):
    made(tmp_path / "outputs" / "whole", forecasts())
    made(tmp_path / "outputs" / "hurt", forecasts(seed=2))
    DAMAGES[damage](tmp_path / "outputs" / "hurt")
    found, left_out = runs.found(Path("outputs"))
    assert [run.name for run in found] == ["whole"] and set(left_out) == {"hurt"} and len(left_out["hurt"]) > 10
    code, out, _ = forecast("report", "outputs/")
    assert code == 0 and f"left out: hurt: {left_out['hurt']}" in out
    assert left_out["hurt"] in "".join(Page(Path("outputs/report.html").read_text()).shown)


def test_the_command_writes_a_page_and_a_table(tmp_path, forecast):
    for i, noise in enumerate((2.0, 1.0, 3.0)):
        made(tmp_path / "outputs" / f"run{i}", forecasts(seed=i, noise=noise))
    forecasts(seed=9, noise=4.0).to_csv("theirs.csv", index=False)
    code, out, err = forecast("report", "outputs/", "extra=[theirs.csv]")
    assert code == 0 and not err and "best of 4 is direct-lstm (run1)" in out
    table = pd.read_csv("outputs/leaderboard.csv")
    assert table["run"].tolist() == ["run1", "run0", "run2", "theirs.csv: theirs"]
    assert np.isnan(table["p_best"][0]) and (table["p_best"][1:] < 0.05).all()
    assert {"data", "model", "mae", "skill", "seconds", "parameters", "date", "sha256"} <= set(table.columns)
    before = Path("outputs/report.html").read_bytes()
    assert forecast("report")[0] == 0  # outputs is what is meant
    assert forecast("report", "folder=elsewhere", "extra=[theirs.csv]")[0] == 0
    assert Path("elsewhere/report.html").read_bytes() == before != Path("outputs/report.html").read_bytes()
    assert len(pd.read_csv("outputs/leaderboard.csv")) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report"], "path=outputs: there is no such folder"),
        (["report", "there"], "there holds no finished run: make one with forecast train"),
        (["report", "ther"], "did you mean 'there'?"),
        (["report", "there", "extra=theirs.csv"], "expected a list of CSV files"),
        (["report", "there", "extra=[nix.csv]"], "no finished run"),
        (["report", "a", "b"], "one path at a time"),
    ],
)
def test_what_can_not_be_reported_is_refused_and_nothing_is_written(tmp_path, forecast, words, said):
    (tmp_path / "there").mkdir()
    code, _, err = forecast(*words)
    assert code == 2 and said in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("package", ["plotly", "jinja2"])
def test_without_its_packages_the_report_says_what_to_install(tmp_path, forecast, monkeypatch, package):
    made(tmp_path / "outputs" / "run", forecasts())
    for name in [x for x in sys.modules if x.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = forecast("report")
    assert code == 2 and "pip install 'forecast[report]'" in err
    assert not list((tmp_path / "outputs").glob("*.*"))


def test_a_real_run_can_be_repeated_from_the_page(forecast):
    """The command composes to the configuration of the run, whatever was typed."""
    panel(series=2, rows=420, freq="h", seed=1).to_csv("my data.csv", index=False)
    words = ["data.path=my data.csv", "context=48", "horizon=12", "normalizer=[last]", "loss.series={s0: 2}", *QUICK]
    assert forecast("train", *words)[0] == 0
    assert forecast("report")[0] == 0
    (config,) = Path("outputs").rglob("config.yaml")
    text = Path("outputs/report.html").read_text()
    page = Page(text)
    command = next(x for x in page.shown if x.startswith("forecast train"))
    program, verb, *overrides = shlex.split(command)
    assert (program, verb) == ("forecast", "train") and "seed=1" in overrides
    assert composed("train", overrides) == yaml.safe_load(config.read_text())
    (row,) = page.runs.values()
    scores = pd.read_csv(config.parent / "scores.csv").set_index(["model", "metric"])["value"]
    assert float(row["mae"]) == scores["segment-gru", "mae"] and float(row["parameters"]) > 0
    assert config.read_text() in "".join(page.shown)


def test_errors_by_step_hour_and_level_are_means_over_all_rows():
    table = runs.timed(forecasts(series=("a", "b"), cutoffs=20, tz="Europe/Berlin", begin="2024-10-20"))
    error = (table["y"] - table["point"]).abs()
    ahead = ((table["ds"] - table["cutoff"]) / pd.Timedelta("1h")).round()
    expected = [error[ahead == step].mean() for step in range(1, 25)]
    assert drawing.by_step(table).tolist() == pytest.approx(expected, rel=1e-3)
    week = drawing.by_hour(table)
    zoned = table["ds"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    for day, hour in ((0, 0), (6, 2), (3, 23)):
        rows = (zoned.dt.day_of_week == day) & (zoned.dt.hour == hour)
        assert week["loss"][day][week["hours"].index(hour)] == pytest.approx(error[rows].mean(), rel=1e-4)
    found = drawing.reliability(table)
    assert found["level"] == list(NINE) and found["rows"] == len(table)
    assert found["share"][2] == pytest.approx((table["y"] <= table["q0.3"]).mean(), rel=1e-4)


def test_unobserved_values_count_nowhere():
    table = forecasts(cutoffs=20)
    hidden = table["y"].where(table.index % 5 != 0)
    part = runs.timed(table.assign(y=hidden))
    error = (hidden - table["point"]).abs()
    assert drawing.by_step(part).iloc[4] == pytest.approx(error[table.index % 24 == 4].mean(), rel=1e-4)
    assert drawing.reliability(part)["rows"] == hidden.notna().sum()
    assert (
        drawing.drawn(leaderboard.ranked([runs.Run("x", "m", part, {"mae": 1.0})]))["series"][0]["y"].count(None) > 50
    )


def test_charts_of_forecasts_are_the_numbers_of_the_table_and_short():
    table = runs.timed(forecasts(series=tuple("abcdefghijklmnopqrstuvwxyz"), cutoffs=50, horizon=48, stride=24))
    group = leaderboard.ranked([runs.Run("x", "m", table, {"mae": 1.0})])
    found = drawing.drawn(group)
    assert len(found["series"]) == drawing.SERIES and "20 of 26 series" in found["shown"]
    assert sum(len(x["x"]) for x in found["series"]) <= drawing.ROWS
    axis, run = found["series"][3], found["runs"][0]
    rows = table[
        (table["unique_id"] == "d") & table["cutoff"].isin(table["cutoff"].unique()[-1 : -len(axis["x"]) : -2])
    ]
    rows = rows.tail(len(axis["x"]))
    assert pd.to_datetime(pd.Series(axis["x"])).tolist() == rows["ds"].tolist()
    assert run["series"][3]["point"] == pytest.approx(rows["point"], rel=1e-4)
    assert run["bands"] == ["10% to 90%", "20% to 80%"] or run["bands"] == ["10% to 90%", "30% to 70%"]
    assert run["series"][3]["spread"][0] == pytest.approx(rows["q0.1"], rel=1e-4)
    assert axis["breaks"] == list(range(0, len(rows), 48)) and axis["holes"] == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.floats(-1e200, 1e200), st.just(float("nan"))), max_size=9), st.sampled_from([0.0, 1e6]))
def test_drawn_numbers_are_rounded_to_a_small_share_of_their_range(values, level):
    """Also where all values are large and alike."""
    array = np.array(values, dtype="float64") + level
    found = drawing.numbers(pd.Series(array))
    assert [x is None for x in found] == np.isnan(array).tolist()
    if (seen := array[~np.isnan(array)]).size:
        size = np.ptp(seen) or np.abs(seen).max()
        assert np.abs(np.array([x for x in found if x is not None]) - seen).max() <= 1e-4 * size


def test_nothing_is_drawn_between_forecasts_that_leave_a_hole():
    rows = runs.timed(forecasts(stride=72, cutoffs=4))
    assert drawing.axis(rows)["holes"] == [24, 48, 72]
    single = runs.timed(forecasts(stride=1, horizon=1, cutoffs=30))
    assert drawing.axis(single)["breaks"] == []
    assert drawing.axis(single.drop(range(10, 20)).reset_index(drop=True))["breaks"] == [10]


@pytest.mark.parametrize("begin", ["2024-03-29", "2024-10-25"])
def test_time_never_runs_backwards_and_the_zone_is_said(tmp_path, begin):
    """Over a change of the clock, stamps are drawn at the offset of the last row, which the axis names."""
    forecasts(tz="Europe/Berlin", begin=begin, cutoffs=4).to_csv(tmp_path / "x.csv", index=False)
    (run,) = runs.foreign(tmp_path / "x.csv")
    found = drawing.times(run.table)
    stamps = pd.to_datetime(pd.Series(found["x"]))
    assert (stamps.diff().dropna() == pd.Timedelta("1h")).all()
    assert found["zone"] == ("UTC+02:00" if begin < "2024-04" else "UTC+01:00")
    assert stamps.iloc[-1] == run.table["local"].iloc[-1]
    assert drawing.times(runs.timed(forecasts()))["zone"] == ""


def test_steps_that_are_counted_have_no_hours():
    table = forecasts(cutoffs=3)
    table = runs.timed(table.assign(ds=np.arange(len(table)), cutoff=np.arange(len(table)) // 24 * 24 - 1))
    assert drawing.by_hour(table) is None and drawing.times(table) == {"x": list(range(72)), "zone": ""}
    monthly = forecasts(cutoffs=2, horizon=12, stride=12)
    monthly["ds"] = pd.date_range("2020-01-01", periods=24, freq="MS")
    assert drawing.by_hour(runs.timed(monthly.assign(cutoff=monthly["ds"].min()))) is None


def test_the_wheel_holds_the_page():
    builder = pytest.importorskip("hatchling.builders.wheel")
    wheel = builder.WheelBuilder(str(Path(report.__file__).parents[2]))
    paths = {file.distribution_path for file in wheel.recurse_included_files()}
    assert {f"forecast/board/report.{kind}" for kind in ("html", "css", "js", "py")} | {
        "forecast/conf/report.yaml"
    } <= paths
