"""forecast init: the draft says what was found, every name survives, and the command it ends with works."""

import json
import shlex
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import QUICK
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from forecast import config
from forecast.command.init import named, scalar

TINY = ("trainer=debug", "logger=none", *QUICK[3:])
DRAFT = Path("conf/data/my.yaml")


def last(out: str) -> str:
    (line,) = (x for x in out.split("\n") if x.startswith("next: "))
    return line.removeprefix("next: ")


def frame(rows: int, freq: str = "h") -> pd.DataFrame:
    rng = np.random.default_rng(rows)
    y = 10 + np.sin(2 * np.pi * np.arange(rows) / 24) + 0.1 * rng.standard_normal(rows)
    return pd.DataFrame({"time": pd.date_range("2020-01-01", periods=rows, freq=freq), "load": y.round(4)})


def twice(rows: int) -> pd.DataFrame:
    found = frame(rows)
    return pd.concat([found, found.iloc[:3]])


def sites(rows: int) -> pd.DataFrame:
    return pd.concat([frame(rows).assign(site=name, kind="home") for name in ("007", "NA", "x")])


FILES = {
    "hours": (frame(600), [], {"freq": "h", "season": 24, "target": ["load"], "time": "time"}, set()),
    "few hours": (frame(60), [], {"season": 1}, {"horizon=6", "context=12"}),
    "days": (frame(120, "D"), [], {"freq": "D"}, {"horizon=12", "context=24"}),
    "months": (frame(60, "MS"), [], {"freq": "MS"}, {"horizon=6", "context=12"}),
    "quarter hours": (frame(1500, "15min"), ["data.season=4"], {"season": 4}, {"horizon=96", "context=384"}),
    "duplicates": (twice(600), ["data.duplicates=mean"], {"duplicates": "mean"}, set()),
    "sites": (
        sites(400),
        ["data.id=site", "data.static=[kind]"],
        {"id": "site", "static": ["kind"], "target": ["load"]},
        {"context=96"},
    ),
    "date and time": (
        frame(600).assign(Date=lambda x: x["time"].dt.date, Time=lambda x: x["time"].dt.time)[["Date", "Time", "load"]],
        [],
        {"time": ["Date", "Time"]},
        set(),
    ),
}


DAILY = ("hours", "sites", "date and time")  # the others are slow


@pytest.mark.parametrize("case", [pytest.param(x, marks=[pytest.mark.slow] * (x not in DAILY)) for x in FILES])
def test_the_command_it_ends_with_trains_on_the_draft(forecast, case):
    """... and judges it beside the very baseline that init scored, to the last digit shown."""
    table, overrides, expected, sizes = FILES[case]
    table.to_csv("my.csv", index=False)
    code, out, err = forecast("init", "path=my.csv", *overrides)
    assert code == 0, err
    draft = yaml.safe_load(DRAFT.read_text())
    assert draft["defaults"] == ["csv"] and draft["name"] == "my" and draft["path"] == "my.csv"
    assert {key: draft[key] for key in expected} == expected
    program, *words = shlex.split(last(out))
    assert (program, words[:4]) == ("forecast", ["train", "--config-dir", "conf", "data=my"])
    assert {word for word in words[4:] if "=" in word} == sizes
    assert Path.cwd().joinpath("conf").exists() and not Path("outputs").exists()
    code, trained, err = forecast(*words, *TINY)
    assert code == 0, err
    (scores,) = Path("outputs/my").glob("*/*/scores.csv")
    naive = pd.read_csv(scores).set_index(["model", "metric"])["value"]["seasonal_naive"]
    for metric in ("mae", "mase", "mae_scaled"):
        (shown,) = (line.split()[1] for line in out.split("\n") if line.startswith(f"{metric} "))
        assert shown == f"{naive[metric]:,.4g}"
        assert shown in trained
    assert out.index("seasonal_naive") < out.index("last_value")


def test_the_baselines_are_those_of_the_table(forecast):
    """The value a season before and the last one, at origins a horizon apart, worked out by hand."""
    frame(600).to_csv("my.csv", index=False)
    _, out, _ = forecast("init", "path=my.csv")
    y, begin = frame(600)["load"].to_numpy(), pd.Timestamp(yaml.safe_load(DRAFT.read_text())["split"][1])
    first = int((begin - pd.Timestamp("2020-01-01")) / pd.Timedelta("1h"))
    origins = range(first, 600 - 24 + 1, 24)
    errors = [np.abs(y[i : i + 24] - past) for i in origins for past in (y[i - 24 : i], y[i - 1])]
    (line,) = (x.split() for x in out.split("\n") if x.startswith("mae "))
    assert line[1:3] == [f"{np.mean(errors[0::2]):,.4g}", f"{np.mean(errors[1::2]):,.4g}"]


def test_a_bare_file_means_its_path_and_other_columns_are_named(forecast):
    frame(600).assign(y=lambda x: x["load"], wind=1.0, note="a").to_csv("my.csv", index=False)
    code, out, _ = forecast("init", "my.csv")
    assert code == 0 and yaml.safe_load(DRAFT.read_text())["target"] == ["y"]
    assert "there are also load, wind" in DRAFT.read_text() and DRAFT.read_text() in out


def test_in_a_checkout_the_command_needs_no_folder_of_configurations(forecast, csv, monkeypatch):
    copytree(config.CONF, "conf")
    monkeypatch.setattr(config, "CONF", Path("conf").resolve())
    _, out, err = forecast("init", f"path={csv}")
    assert last(out) == "forecast train data=my context=120", err
    assert forecast(*shlex.split(last(out))[1:], *TINY)[0] == 0


REFUSED = {
    "no file": ([], "forecast init my.csv"),
    "missing file": (["path=mi.csv"], "did you mean 'my.csv'"),
    "a set of the package": (["path=load.csv"], "a data set 'load' already"),
    "the rules of any CSV": (["path=my.csv", "name=csv"], "a data set 'csv' already"),
    "a number as name": (["path=my.csv", "name=2024"], "name=2024: expected letters"),
    "a path as name": (["path=my.csv", "name=../my"], "expected letters"),
    "nothing as name": (["path=my.csv", "name=true"], "expected letters"),
    "too short": (["path=short.csv"], "too short: train, val and test have (3, 1, 1) rows"),
    "no parts": (["path=my.csv", "data.split=[0.9,0.2,0.1]"], "data.split"),
    "unknown key": (["path=my.csv", "data.duplicate=mean"], "did you mean 'data.duplicates'"),
    "duplicates": (["path=twice.csv"], "data.duplicates=first, last or mean"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_is_refused_and_nothing_written(forecast, csv, case):
    frame(5).to_csv("short.csv", index=False)
    twice(600).to_csv("twice.csv", index=False)
    before = sorted(Path().rglob("*"))
    words, says = REFUSED[case]
    code, out, err = forecast("init", *words)
    assert code == 2 and says in err and "Traceback" not in err and not out
    assert sorted(Path().rglob("*")) == before


def test_a_draft_is_never_overwritten(forecast, csv):
    assert forecast("init", f"path={csv}")[0] == 0
    DRAFT.write_text("mine")
    code, _, err = forecast("init", f"path={csv}")
    assert code == 2 and "name=..." in err and DRAFT.read_text() == "mine"
    assert forecast("init", f"path={csv}", "name=other")[0] == 0 and Path("conf/data/other.yaml").is_file()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("my.csv", "my"),
        ("/a/b/My data (1).csv.gz", "My_data_1"),
        ("2024.csv", "data_2024"),
        ("null.csv", "data_null"),
        ("数据.csv", "data"),
        ("a-b_c.csv", "a-b_c"),
        ("_x.csv", "x"),
        ("True.csv", "data_True"),
    ],
)
def test_a_set_is_called_as_its_file(path, name):
    assert named(None, path) == name


AWKWARD = ["a: b", "it's", "${x}", "Größe, MW", '"q"', "# c", "null", "1e5", "???", "[x]", "y z", "-", "\\${a}", "007"]


def test_awkward_columns_go_through_the_draft_unchanged(forecast):
    """Read by Hydra, not only as yaml."""
    values = pd.DataFrame({name: frame(100)["load"] + i for i, name in enumerate(AWKWARD)})
    values.insert(0, "my time", frame(100)["time"])
    values.to_csv("my.csv", index=False)
    code, _, err = forecast("init", "path=my.csv", "data.time=my time", f"data.past={config.written(AWKWARD[:3])}")
    assert code == 0, err
    code, _, err = forecast("describe", "--config-dir", "conf", "data=my", "folder=card")
    assert code == 0, err
    found = json.loads(Path("card/card.json").read_text())
    assert found["columns"] == {"time": "my time", "id": None, "target": AWKWARD[3:]}
    assert [x["name"] for x in found["covariates"]] == AWKWARD[:3]


pieces = st.sampled_from(["${", "\\${", "x", "e", "1", " ", *"\\'\"$}[]()=,:~#-?&*!|>%@`\n\t"])
letters = st.lists(st.one_of(pieces, st.characters(exclude_categories=["Cs"])), max_size=8).map("".join)


@settings(max_examples=200, deadline=None)
@given(names=st.lists(letters, max_size=4), alone=letters, lag=st.dictionaries(letters, st.integers(-9, 9), max_size=2))
def test_any_name_is_read_back_as_it_was(names, alone, lag):
    text = f"target: {scalar(names)}  # a comment\ntime: {scalar(alone)}  # another\nlag: {scalar(lag)}\n"
    assert len(text.splitlines()) == 3
    Path("any.yaml").write_text(text, encoding="utf-8")
    assert config.plain(OmegaConf.load("any.yaml")) == {"target": names, "time": alone, "lag": lag}


@pytest.mark.parametrize("value", [None, True, 3, -2.5, 0.7, "yes", "Grid load forecast", "a.csv", "2024-01-01", "\t"])
def test_a_value_keeps_its_type(value):
    assert config.plain(OmegaConf.create(f"x: {scalar(value)}")) == {"x": value}
