"""Scores as text: a row a metric, a column a model, all in line."""

import numpy as np
import pandas as pd
import pytest

from forecast.board.summary import EXPLAINED, ahead, summary
from forecast.evaluation.metrics import compared

MINE = {"mae": 12.3456, "rmse": 20.0, "smape": 5.4321, "wql": 0.012345, "coverage_80": 0.81, "skill": -0.25}
NAIVE = {"mae": 1534.5, "rmse": 2_345_678.9, "smape": 0.0, "wql": np.nan, "skill": 0.0}


def long(models: dict[str, dict[str, float]]) -> pd.DataFrame:
    rows = [(model, metric, value) for model, found in models.items() for metric, value in found.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value"])


def read(text: str, models: int) -> dict[str, list[str]]:
    """Cells by metric, cut where the header's columns end, as an eye would."""
    header, *lines = text.split("\n")
    ends = [i + 1 for i, (x, y) in enumerate(zip(header, header[1:] + " ", strict=True)) if x != " " and y == " "]
    starts = [max(map(len, (line.split()[0] for line in lines))), *ends]
    assert len(ends) == models
    cut = {line.split()[0]: [line[a:b].strip() for a, b in zip(starts, ends, strict=False)] for line in lines}
    return cut | {"": header.split()}


def test_each_score_stands_under_its_model():
    found = read(summary(long({"direct-lstm": MINE, "seasonal_naive": NAIVE})), 2)
    assert found[""] == ["direct-lstm", "seasonal_naive"]
    assert list(found)[:-1] == list(MINE)
    for metric in MINE:
        for cell, scores in zip(found[metric], (MINE, NAIVE), strict=True):
            value = scores.get(metric, np.nan)
            if np.isnan(value):
                assert cell == ""
            else:
                assert float(cell.replace(",", "")) == pytest.approx(value, rel=1e-3)


def test_columns_end_in_line_and_nothing_trails():
    text = summary(long({"a": MINE, "a-rather-long-name-of-a-model": NAIVE, "b": MINE}))
    lines = text.split("\n")
    assert all(line == line.rstrip() for line in lines) and len(lines) == 1 + len(MINE)
    end = lines[0].index("a-rather-long-name-of-a-model") + len("a-rather-long-name-of-a-model")
    for line in lines[1:3]:
        assert line[end - 1] != " " and line[end] == " "


def test_metrics_are_explained_in_words():
    text = summary(long({"m": MINE}))
    for line in text.split("\n")[1:]:
        assert line.endswith(EXPLAINED[line.split()[0]].format(reference="seasonal naive"))
    assert "per cent" in text and "should be 0.80" in text and "share of seasonal naive's error" in text
    assert summary(long({"m": MINE}), "epf_weekly").endswith("share of epf weekly's error that is gone")


def judged(levels: int) -> pd.DataFrame:
    """All scores of a model with so many quantile levels, beside seasonal naive."""
    table = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=3), "y": [1.0, 2.0, 4.0]})
    table = table.assign(cutoff=pd.Timestamp("2023-12-31"), point=2.0)
    names = {f"q{k / (levels + 1):g}": 1.0 + k for k in range(1, levels + 1)}
    tables = {"mine": table.assign(**names), "seasonal_naive": table}
    return compared(tables, *3 * ({"a": 1.0},))


def test_every_explanation_is_of_a_metric():
    assert set(EXPLAINED) <= set(judged(9)["metric"])


def test_the_table_stays_small_however_many_levels_there_are():
    text, scores = summary(judged(9)), judged(9)
    assert len(text.split("\n")) == 1 + len(EXPLAINED) <= 14 < scores["metric"].nunique() / 2
    assert all(len(line) <= 90 for line in text.split("\n"))
    assert text.split("\n")[1].split()[0] == "mae" and "pinball" not in text
    assert summary(judged(49)).count("\n") == summary(judged(9)).count("\n")


@pytest.mark.parametrize("value", [0.5, 12.25, 1534.5, 98_765.4, 12_345_678.0])
def test_numbers_of_everyday_size_are_written_out(value):
    cell = read(summary(long({"m": {"mae": value}})), 1)["mae"][0]
    assert "e" not in cell and float(cell.replace(",", "")) == pytest.approx(value, rel=1e-3)


def test_one_model_and_one_metric_make_a_table():
    assert summary(long({"m": {"wql": 2.5}})).split("\n") == ["       m", "wql  2.5  weighted quantile loss"]


def test_the_order_is_that_of_the_scores():
    text = summary(long({"z": {"skill": 1.0, "mae": 2.0}, "a": {"mae": 3.0, "rmae": 4.0, "extra": 5.0}}))
    assert [line.split()[0] for line in text.split("\n")] == ["z", "skill", "mae", "rmae"]


def future(series: int) -> pd.DataFrame:
    stamps = pd.date_range("2026-03-01", periods=3, freq="h", tz="Europe/Berlin")
    rows = [(f"s{i}", ds, stamps[0], np.nan, 1234.5678 * i, 10 * i) for i in range(series) for ds in stamps]
    return pd.DataFrame(rows, columns=["unique_id", "ds", "cutoff", "y", "point", "q0.1"])


def test_what_all_rows_share_is_said_once():
    one, several = ahead(future(1), 2).split("\n"), ahead(future(2), 5).split("\n")
    assert one[0] == "unique_id s0, cutoff 2026-03-01 00:00:00+01:00"
    assert one[1].split() == ["ds", "point", "q0.1"]
    assert len(one) == 2 + 2
    assert several[0].startswith("cutoff ")
    assert "unique_id" not in several[0]
    assert several[-1].split() == ["s1", "2026-03-01", "01:00:00+01:00", "1,235", "10"]
    assert len(several) == 2 + 5
