"""`forecast fetch` as people type it: the list, one set, and what is refused."""

import gzip
from pathlib import Path

import pytest

from forecast.data.catalog import SETS
from forecast.error import Refusal
from forecast.run import arguments


def test_the_list_has_all_sets_with_size_terms_and_whether_they_are_there(forecast, tmp_path, monkeypatch):
    monkeypatch.setenv("FORECAST_DATA", str(tmp_path))
    Path("ETTh2.csv").touch()
    Path("epf_NP.csv.gz").touch()
    code, out, err = forecast("fetch")
    assert code == 0 and not err
    for x in SETS:
        first, second = next(
            pair for pair in zip(out.split("\n"), out.split("\n")[1:], strict=False) if x.name in pair[0]
        )
        assert first.startswith(x.name) and f"{x.megabytes:g} MB" in first and first.endswith(x.what)
        assert ("there" in first.split()) == (x.name in ("ETTh2", "epf_NP"))
        assert x.licence in second and x.citation in second
    assert str(tmp_path) in out and max(map(len, out.replace(str(tmp_path), "home").split("\n"))) <= 120
    assert sorted(path.name for path in Path().iterdir()) == ["ETTh2.csv", "epf_NP.csv.gz"]


def test_without_the_variable_sets_go_into_datasets(forecast, monkeypatch):
    monkeypatch.delenv("FORECAST_DATA", raising=False)
    assert "into datasets " in forecast("fetch")[1]
    assert not Path("datasets").exists()


@pytest.mark.parametrize("words", [["ETTh1"], ["name=ETTh1"], ["etth1"]])
def test_a_set_that_is_there_is_found_by_its_name(forecast, real, monkeypatch, words):
    content = gzip.decompress(real("ETTh1.csv").read_bytes())
    Path("home").mkdir()
    Path("home/ETTh1.csv").write_bytes(content)
    monkeypatch.setenv("FORECAST_DATA", "home")
    code, out, err = forecast("fetch", *words)
    assert code == 0 and out.startswith("home/ETTh1.csv\n") and "home/ETTh1.csv is there already" in err
    assert "CC BY-ND 4.0" in out and out.endswith("next: forecast train data=etth1\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ETTh3"], "no public set 'ETTh3'; did you mean"),
        (["ETTh1", "ETTm1"], "one name at a time, not ETTh1 and ETTm1"),
        (["nam=ETTh1"], "nam: no such key; did you mean 'name'"),
        (["3"], "no public set '3'"),
    ],
)
def test_what_is_refused_is_said_in_a_line(forecast, words, said):
    code, out, err = forecast("fetch", *words)
    assert code == 2 and not out and said in err and err.count("\n") == 1
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("command", "words", "given"),
    [
        ("fetch", ["ETTh1"], ["name=ETTh1"]),
        ("init", ["my.csv", "freq=h"], ["path=my.csv", "freq=h"]),
        ("score", ["levels=1", "a b.csv"], ["levels=1", "tables=['a b.csv']"]),
        ("score", ["--cfg", "job", "a.csv"], ["--cfg", "job", "tables=['a.csv']"]),
        ("score", ["--cfg=job", "a.csv"], ["--cfg=job", "tables=['a.csv']"]),
        ("score", ["a.csv", "test=dm", "it's.csv"], [r"tables=['a.csv','it\'s.csv']", "test=dm"]),
        ("fetch", [], []),
        ("train", ["horizon"], ["horizon"]),
    ],
)
def test_a_word_without_a_key_belongs_to_the_commands_own(command, words, given):
    assert arguments(command, words) == given


def test_two_words_without_a_key_are_refused():
    with pytest.raises(Refusal, match=r"init takes one path at a time, not a\.csv and b\.csv"):
        arguments("init", ["a.csv", "b.csv"])


def test_a_set_that_did_not_come_says_so_with_its_exit_code(forecast, monkeypatch):
    monkeypatch.setenv("FORECAST_DATA", "home")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    code, out, err = forecast("fetch", "ETTh1")
    assert code == 2 and not out and "gave nothing (ProxyError): is there a network?" in err
    assert not list(Path().iterdir())
