"""Data cards: counts are exact, seasons are measured on train rows alone, and what is suggested fits the data."""

import json
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast import config
from forecast.contract import Window
from forecast.data import grid as grids
from forecast.data import panel, scaler, table
from forecast.data.card import FEW, WORST, card, shown
from forecast.data.clock import Clock
from forecast.data.grid import Borders, Grid
from forecast.data.module import SeriesDataModule
from forecast.data.season import SAMPLE, seasons, strength
from forecast.data.suggestion import parts, suggested
from forecast.data.table import Table

CSV = config.composed("train", ["data=csv"])["data"]


def laid(frame: pd.DataFrame, **data: object) -> tuple[dict, Table, Grid, Borders]:
    """A frame on the road of training: settings, table, grid and borders."""
    given = {**CSV, **data}
    checked = table.table(frame, given, "DataFrame")
    grid = grids.grid(checked, 0)
    return given, checked, grid, grid.borders(given["split"], given["split_each"])


def made(frame: pd.DataFrame, **data: object) -> dict:
    given, checked, grid, borders = laid(frame, **data)
    return card(given, len(frame), checked, grid, borders)


def hourly(rows: int = 24 * 70, freq: str = "h", tz: str | None = None, noise: float = 0.1) -> pd.DataFrame:
    """A wave of a day on a level of ten."""
    stamps, rng = pd.date_range("2024-01-01", periods=rows, freq=freq, tz=tz), np.random.default_rng(rows)
    y = 10 + np.sin(2 * np.pi * np.arange(rows) / 24) + noise * rng.standard_normal(rows)
    return pd.DataFrame({"ds": stamps, "y": y})


def test_counts_are_those_of_the_file():
    frame = hourly(1000)
    frame.loc[[10, 11, 500], "y"] = 0.0
    frame.loc[[20, 30], "y"] = -1.5
    frame.loc[[40, 50, 60, 999], "y"] = np.nan  # the last row is not counted: it is the known future
    frame = frame.assign(wind=np.where(np.arange(1000) < 100, np.nan, 1.0), day=1.0).assign(kind="home")
    frame = frame.drop(index=[100, 101, 102, 103, 104, 300, 301])
    found = made(frame, target=["y"], past=["wind"], future=["day"], static=["kind"])
    assert json.loads(json.dumps(found)) == found  # plain types
    assert found["rows"] == 993
    assert found["gaps"] == {
        "stamps": 7,
        "count": 2,
        "longest": {"steps": 5, "series": "y", "first": "2024-01-05 04:00", "last": "2024-01-05 08:00"},
    }
    assert found["span"] == ["2024-01-01 00:00", "2024-02-11 14:00"]
    assert found["series"] == {
        "count": 1, "length": {"min": 999, "median": 999, "max": 999}, "constant": 0, "empty": 0,
    }  # fmt: skip
    assert found["missing"] == pytest.approx(10 / 999)
    observed = frame["y"].dropna()
    assert len(observed) == 989
    expected = {"mean": observed.mean(), "std": observed.std(ddof=0), "min": -1.5, "max": observed.max()}
    expected |= {"zeros": 3 / 989, "negative": 2 / 989, "outliers": 5 / 989}
    assert found["values"] == pytest.approx(expected)
    (one,) = found["each"]
    assert one.pop("name") == "y" and one == pytest.approx({"length": 999, "missing": 10 / 999, **expected})
    assert found["covariates"] == [
        {"name": "wind", "role": "past", "missing": pytest.approx(107 / 999), "constant": True},
        {"name": "day", "role": "future", "missing": pytest.approx(7 / 1000), "constant": True},
        {"name": "kind", "role": "static", "missing": 0.0, "constant": True},
    ]
    assert found["duplicates"] == 0


def test_a_wide_file_counts_its_rows_once_and_its_series_each():
    frame = hourly(500).assign(z=5.0).drop(index=[7, 8])
    twice = pd.concat([frame, frame.iloc[:3]])
    found = made(twice, duplicates="mean")
    assert (found["rows"], found["duplicates"], found["gaps"]["stamps"], found["gaps"]["count"]) == (501, 3, 2, 1)
    found = made(frame.rename(columns={"y": "a"}))
    assert (found["gaps"]["stamps"], found["gaps"]["count"]) == (2, 1)
    assert [(x["name"], x["length"]) for x in found["each"]] == [("a", 500), ("z", 500)]
    assert found["series"]["constant"] == 1
    joint = made(frame.rename(columns={"y": "a"}), joint=True)
    assert joint["gaps"] == {**found["gaps"], "longest": {**found["gaps"]["longest"], "series": "series"}}
    assert joint["each"] == found["each"]


def test_a_resampled_file_has_no_count_of_duplicates():
    frame = hourly(600)
    assert made(frame, resample="mean", freq="2h")["duplicates"] is None


def test_many_series_are_quick_and_show_the_worst():
    count, rows = 20_000, 30
    rng = np.random.default_rng(1)
    y = rng.standard_normal((count, rows)) + np.arange(count)[:, None]
    y[7] = np.nan  # without values,
    y[11] = 4.0  # constant,
    y[[3, 5], 2:12] = np.nan  # a third missing,
    y[9, 5] = 1e6  # an outlier
    frame = pd.DataFrame({"unique_id": np.repeat([f"s{i:05d}" for i in range(count)], rows), "y": y.ravel()})
    frame["ds"] = np.tile(pd.date_range("2024-01-01", periods=rows), count)
    prepared = laid(frame)
    start = perf_counter()
    found = card(prepared[0], len(frame), *prepared[1:])
    assert perf_counter() - start < 5
    assert [x["name"] for x in found["each"]][:4] == ["s00007", "s00011", "s00003", "s00005"]
    assert len(found["each"]) == WORST < FEW and found["series"]["empty"] == 1 and found["series"]["constant"] == 1
    assert found["series"]["length"] == {"min": 0, "median": 30, "max": 30}
    assert 0 < SAMPLE < count and set(found["seasons"]) == {"week", "year"}
    assert found["seasons"]["year"]["strength"] is None and found["seasons"]["week"]["strength"] < 0.35


@pytest.mark.parametrize("season", [5, 24])
@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0])
def test_strength_is_the_share_of_variance_that_a_season_explains(season, ratio):
    expected = ratio / (ratio + 1 - 1 / season)  # of the noise the trend takes a share
    rng, clock = np.random.default_rng(3), np.arange(400 * season)
    wave = np.sqrt(2 * ratio) * np.sin(2 * np.pi * clock / season)
    y = wave + rng.standard_normal(len(clock))
    assert strength(y, clock, season) == pytest.approx(expected, abs=0.03)
    assert strength(y + 0.01 * clock, clock, season) == pytest.approx(strength(y, clock, season), abs=0.01)
    holes = np.where(rng.random(len(clock)) < 0.2, np.nan, y)
    assert strength(holes, clock, season) == pytest.approx(expected, abs=0.04)


def test_noise_has_no_season_however_few_there_are():
    rng = np.random.default_rng(4)
    found = [strength(rng.standard_normal(5 * 24), np.arange(5 * 24), 24) for _ in range(200)]
    assert np.mean(found) < 0.12 and np.min(found) == 0
    assert strength(np.ones(100), np.arange(100), 24) == 0
    assert np.isnan(strength(np.arange(71.0), np.arange(71), 24)) and np.isnan(strength(np.empty(0), np.arange(0), 2))
    assert np.isnan(strength(np.full(100, np.nan), np.arange(100), 24))


@settings(max_examples=30, deadline=None)
@given(
    shift=st.integers(-1000, 1000), level=st.floats(-1e6, 1e6), scale=st.floats(1e-3, 1e3), season=st.integers(2, 30)
)
def test_strength_knows_neither_unit_nor_level_nor_where_the_clock_begins(shift, level, scale, season):
    rng, clock = np.random.default_rng(season), np.arange(20 * season)
    y = np.sin(2 * np.pi * clock / season) + rng.standard_normal(len(clock))
    assert strength(level + scale * y, clock + shift, season) == pytest.approx(strength(y, clock, season), abs=1e-5)


def test_the_week_of_hours_is_that_of_the_daily_means():
    """A wave of a day says nothing about the week; days that differ do."""
    frame = hourly(24 * 7 * 20)
    found = made(frame)["seasons"]
    assert found["day"]["strength"] > 0.95 and found["week"]["strength"] < 0.15
    weekend = pd.DatetimeIndex(frame["ds"]).day_of_week > 4
    found = made(frame.assign(y=frame["y"] - 3 * weekend))["seasons"]
    assert found["day"]["strength"] > 0.5 and found["week"]["strength"] > 0.95


def test_a_local_day_stays_a_season_over_changes_of_the_clock():
    stamps = pd.date_range("2024-01-01", periods=24 * 365, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"ds": stamps, "y": np.where(stamps.hour == 8, 5.0, 0.0)})
    assert made(frame)["seasons"]["day"]["strength"] > 0.99


@pytest.mark.parametrize(
    ("freq", "expected"),
    [
        ("h", {"day": 24, "week": 168, "year": 8766}),
        ("15min", {"day": 96, "week": 672, "year": 35064}),
        ("7min", {"week": 1440, "year": 75137}),
        ("D", {"week": 7, "year": 365}),
        ("2D", {"year": 183}),
        ("B", {"week": 5, "year": 261}),
        ("W", {"year": 52}),
        ("MS", {"year": 12}),
        ("QE", {"year": 4}),
        ("YS", {}),
    ],
)
def test_seasons_of_a_frequency(freq, expected):
    assert seasons(Clock(freq)) == expected


def advised(frame: pd.DataFrame, **data: object) -> dict | None:
    _, _, grid, borders = laid(frame, **data)
    return suggested(grid, borders)


def test_the_suggested_season_is_the_one_that_forecasts_best():
    rng = np.random.default_rng(5)
    frame = hourly(24 * 7 * 12)
    weekend = pd.DatetimeIndex(frame["ds"]).day_of_week > 4
    assert advised(frame) == {"season": 24, "horizon": 24, "context": 168}
    assert advised(frame.assign(y=frame["y"] - 3 * weekend))["season"] == 168
    assert advised(frame.assign(y=rng.standard_normal(len(frame)).cumsum()))["season"] == 1
    assert advised(hourly(24 * 3, noise=0.0))["season"] == 1  # train has no three days


FREQS = ["h", "15min", "min", "D", "B", "W", "MS", "QS", "YS"]


ROWS = (5, 6, 8, 10, 17, 40, 100, 1500)
LONG = ("QS", "YS")  # of these stamps can't count 1500 steps


@pytest.mark.parametrize(("freq", "rows"), [(x, n) for x in FREQS for n in ROWS if n <= 100 or x not in LONG])
def test_what_is_suggested_fits(freq, rows):
    """Training with the suggested sizes finds windows in each part, and the baseline's season its context."""
    frame = pd.DataFrame({"ds": pd.date_range("2000-01-01", periods=rows, freq=freq)}).assign(y=np.arange(rows) % 7.0)
    data, checked, grid, borders = laid(frame, split=[0.6, 0.2, 0.2])
    advice = suggested(grid, borders)
    if advice is None:
        assert rows < 8 and parts(grid, borders)[0] < 4
        return
    grid = grids.grid(checked, advice["horizon"])
    rows_of = panel.panel(grid, scaler.learn(grid, borders[0], {**data, "season": advice["season"]}))
    window = Window(context=advice["context"], horizon=advice["horizon"])
    for part in ("train", "val"):
        assert len(SeriesDataModule.cut(rows_of, window, borders, part))
    window = Window(context=max(advice["context"], advice["season"]), horizon=advice["horizon"])
    assert len(SeriesDataModule.cut(rows_of, window, borders, "test"))


def test_series_of_different_lengths_get_sizes_for_one_that_lives_long():
    """The longest train part and the longest test part may be those of two series: neither alone is enough."""
    frame = hourly(1000)
    early = frame.iloc[:600].assign(unique_id="early")
    late = frame.iloc[850:].assign(unique_id="late")
    whole = frame.iloc[500:].assign(unique_id="whole")
    _, _, grid, borders = laid(pd.concat([early, late, whole]))
    assert parts(grid, borders) == (200, 100, 200)


def test_nothing_after_train_changes_seasons_and_suggestions():
    frame = hourly(1500)
    until = int(0.7 * 1500)
    other = frame.assign(y=np.where(np.arange(1500) < until, frame["y"], np.random.default_rng(0).random(1500) * 1e3))
    first, second = made(frame), made(other)
    assert first["seasons"] == second["seasons"] and first["suggested"] == second["suggested"]
    assert first["values"] != second["values"]
    changed = frame.assign(y=np.where(np.arange(1500) < until - 1, frame["y"], -50.0))
    assert made(changed)["seasons"] != first["seasons"]  # the last train row counts


def test_each_series_may_have_its_own_borders():
    frame = pd.concat([hourly(500).assign(unique_id="a"), hourly(900).assign(unique_id="b")])
    found = made(frame, split_each=True)
    assert found["split"] == {"val": "2024-01-15 14:00", "test": "2024-01-17 16:00", "end": None}
    assert found["suggested"]["season"] == 24


def test_what_is_drawn_are_the_first_series_with_their_gaps():
    frame = hourly(300).assign(z=1.0).rename(columns={"y": "a"}).drop(index=[5])
    _, _, grid, _ = laid(frame, joint=True)
    found = shown(grid, 1)
    assert list(found) == ["unique_id", "ds", "y"] and len(found) == 300 and set(found["unique_id"]) == {"a"}
    assert found["y"].isna().to_numpy().nonzero()[0].tolist() == [5]
    assert found["y"].drop(5).to_numpy() == pytest.approx(frame["a"].to_numpy())
    assert list(dict.fromkeys(shown(grid, 9)["unique_id"])) == ["a", "z"]
