"""From table to panel: a complete grid, room for the future, causal filling, masks, codes; where parts end."""

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.config import CONF, composed
from forecast.data import almanac
from forecast.data.grid import Grid, grid
from forecast.data.lines import BUNDLED
from forecast.data.panel import Panel, filled, panel
from forecast.data.reader import read
from forecast.data.scaler import Statistics, learn
from forecast.data.table import again, table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
ROLES = DATA | {"id": "unique_id", "target": ["load", "price"], "joint": True, "past": ["p"], "future": ["f", "g"]}
ROLES |= {"static": ["size", "kind", "area"], "freq": "h"}
SPANS = [(0, 40), (5, 30), (9, 12)]  # (first hour, hours)
AHEAD = 4
NAMES = ["load", "price", "p", "f", "g"]


def frame_of(seed: int = 0) -> pd.DataFrame:
    """Three series with holes in every column, and every seventh stamp of the second missing altogether."""
    rng, blocks = np.random.default_rng(seed), []
    for i, (first, rows) in enumerate(SPANS):
        ds = pd.date_range("2024-01-01", periods=first + rows, freq="h")[first:]
        block = pd.DataFrame(10 * i + rng.normal(size=(rows, 5)), columns=NAMES)
        block = block.mask(rng.random(block.shape) < 0.25).assign(ds=ds, unique_id=f"s{i}", size=float(i))
        blocks.append(block.assign(kind="ab"[i % 2], area=["n", "s", "w"][i]))
    blocks[1] = blocks[1].drop(index=range(7, 28, 7))
    return pd.concat(blocks, ignore_index=True)


def made(frame: pd.DataFrame) -> tuple[Grid, Statistics, Panel]:
    laid = grid(table(frame, ROLES, "test"), AHEAD)
    statistics = learn(laid, int(laid.first.min()) + 25, DATA)
    return laid, statistics, panel(laid, statistics)


# --- the grid ---


def test_every_stamp_has_its_row_and_missing_stamps_have_empty_rows():
    frame = frame_of()
    laid, _, _ = made(frame)
    assert laid.lengths.tolist() == [rows for _, rows in SPANS] and len(laid.y) == sum(laid.lengths) + 3 * AHEAD
    assert laid.names == ("s0", "s1", "s2")
    written = frame.set_index(["unique_id", "ds"])
    stamps = laid.layout.clock.stamps(laid.ordinals)
    for i, name in enumerate(laid.names):
        for row in range(laid.offsets[i], laid.offsets[i + 1]):
            found = np.concatenate((laid.y[row], laid.past[row], laid.future[row]))
            key = (name, stamps[row])
            expected = written.loc[key, NAMES].to_numpy("float64") if key in written.index else np.full(5, np.nan)
            np.testing.assert_array_equal(found, expected)


def test_the_room_after_each_series_is_empty_and_as_long_as_asked():
    table_ = table(frame_of(), ROLES, "test")
    for ahead in (0, 1, 9):
        laid = grid(table_, ahead)
        assert np.diff(laid.offsets).tolist() == [rows + ahead for _, rows in SPANS]
        room = np.concatenate([np.arange(rows + ahead) >= rows for _, rows in SPANS])
        assert np.isnan(laid.y[room]).all() and np.isnan(laid.future[room]).all() and room.sum() == 3 * ahead


def test_numbers_of_the_clock_go_on_through_the_room_and_restart_with_each_series():
    laid, _, found = made(frame_of())
    first = laid.layout.clock.ordinals(pd.DatetimeIndex(["2024-01-01"]))[0]
    expected = [first + start + step for start, rows in SPANS for step in range(rows + AHEAD)]
    series = torch.arange(len(SPANS)).repeat_interleave(found.offsets.diff())
    assert laid.ordinals.tolist() == found.clock(torch.arange(len(series)), series).tolist() == expected
    assert found.first.tolist() == [first + start for start, _ in SPANS]


def test_missing_stamps_are_logged(caplog):
    with caplog.at_level(logging.INFO, "forecast"):
        made(frame_of())
    assert "test: 3 stamps were missing" in caplog.text


def test_a_grid_that_would_be_almost_empty_is_refused():
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=40, freq="D"), "y": np.arange(40.0)})
    assert len(grid(table(frame, DATA | {"freq": "h"}, "my.csv"), 0).y) == 937  # short data are let through
    wrong = table(frame, DATA | {"freq": "min"}, "my.csv")
    with pytest.raises(Refusal, match=r"my.csv: on a grid of min 56121 of 56161 rows.*data.freq") as refusal:
        grid(wrong, 0)
    assert refusal.value.code == "gap"


def test_the_digest_tells_data_apart_and_not_the_order_of_rows():
    frame = frame_of()
    digest = made(frame)[0].digest
    assert made(frame.sample(frac=1, random_state=1).sort_values("unique_id", kind="stable"))[0].digest == digest
    for column, value in (("load", 1e-9), ("p", 1.0), ("g", 1.0), ("size", 1.0)):
        changed = frame.copy()
        changed[column] = changed[column] + value
        assert made(changed)[0].digest != digest, column
    assert made(frame.assign(ds=frame["ds"] + pd.Timedelta("1h")))[0].digest != digest
    assert made(frame.assign(kind=frame["kind"].replace("b", "c")))[0].digest != digest


def test_a_series_is_as_long_as_to_its_last_value_of_any_channel():
    frame = frame_of()
    frame.loc[(frame["unique_id"] == "s0") & (frame["ds"] > "2024-01-02 06:00"), "load"] = np.nan
    frame.loc[(frame["unique_id"] == "s0") & (frame["ds"] > "2024-01-02 08:00"), "price"] = np.nan
    frame.loc[(frame["unique_id"] == "s0") & (frame["ds"] == "2024-01-02 08:00"), "price"] = 1.0
    frame.loc[frame["unique_id"] == "s1", ["load", "price"]] = np.nan
    laid, _, found = made(frame)
    assert found.lengths[:2].tolist() == [33, 0] and laid.lengths[:2].tolist() == [40, 30]


# --- filling ---


def fill_by_hand(values: np.ndarray, offsets: list[int], before: np.ndarray) -> np.ndarray:
    out = values.copy()
    for start, end in pairwise(offsets):
        for column in range(values.shape[1]):
            last = None
            for row in range(start, end):
                if not np.isnan(values[row, column]):
                    last = values[row, column]
                out[row, column] = before[row, column] if last is None else last
    return out


def check_fill(values, offsets, before, found, observed) -> None:
    np.testing.assert_array_equal(observed, ~np.isnan(values))
    np.testing.assert_array_equal(found, fill_by_hand(values, offsets, before))


HOLES = st.lists(st.lists(st.sampled_from([np.nan, 1.0, 2.0, -3.0]), min_size=2, max_size=2), min_size=1, max_size=14)


@settings(max_examples=80, deadline=None)
@given(series=st.lists(HOLES, min_size=1, max_size=3))
def test_missing_values_are_filled_with_the_last_seen_of_their_series(series):
    values = np.concatenate([np.array(rows) for rows in series])
    offsets = np.cumsum([0, *(len(rows) for rows in series)])
    before = 100.0 + np.arange(values.size, dtype="float64").reshape(values.shape)
    check_fill(values, offsets, before, *filled(values, offsets, before))


@pytest.mark.parametrize("fault", ["across series", "from behind", "zeros", "mask"])
def test_the_check_of_filling_catches(fault):
    values = np.array([[np.nan], [1.0], [np.nan], [2.0], [np.nan], [4.0]])
    offsets, before = np.array([0, 4, 6]), np.full((6, 1), 9.0)
    right = filled(values, offsets, before)
    check_fill(values, offsets, before, *right)
    wrong = {
        "across series": lambda: filled(values, np.array([0, 6]), before),
        "from behind": lambda: (filled(values[::-1], offsets, before)[0][::-1], right[1]),
        "zeros": lambda: (np.nan_to_num(values), right[1]),
        "mask": lambda: (right[0], ~right[1]),
    }[fault]()
    with pytest.raises(AssertionError):
        check_fill(values, offsets, before, *wrong)


def test_a_panel_is_the_grid_filled_and_masked_and_covariates_are_scaled_once():
    laid, statistics, found = made(frame_of())
    offsets = laid.offsets.tolist()
    loc = np.repeat(statistics.loc[1:], np.diff(offsets), 0)
    rows = np.concatenate([np.arange(rows + AHEAD) < min(rows, 25 - first) for first, rows in SPANS])
    for series in range(3):  # before the first value stands the mean of the series' train rows
        part = slice(*offsets[series : series + 2])
        np.testing.assert_allclose(loc[part][0], np.nanmean(laid.y[part][rows[part]], 0), rtol=1e-12)
    check_fill(laid.y, offsets, loc, found.y.numpy(), found.observed.numpy())
    zeros = np.zeros((len(laid.y), 2))
    for values, mine, observed in (
        (laid.past, found.past, found.past_observed),
        (laid.future, found.future[:, :2], found.future_observed[:, :2]),
    ):
        scaled = (values - np.nanmean(values[rows], 0)) / np.nanstd(values[rows], 0)
        np.testing.assert_allclose(mine.numpy(), fill_by_hand(scaled, offsets, zeros), rtol=1e-5, atol=1e-6)
        assert (observed.numpy() == ~np.isnan(values)).all()
    assert found.y.dtype == torch.float64 and found.past.dtype == found.future.dtype == torch.float32
    assert all(x.isfinite().all() for x in (found.y, found.past, found.future, found.static))


@settings(max_examples=8, deadline=None)
@given(hour=st.integers(26, 40), value=st.floats(-1e6, 1e6) | st.just(np.nan))
def test_nothing_is_filled_from_later_rows(hour, value):
    """Changing all values from an hour on leaves every row before it as it was, to the last bit."""
    frame = frame_of()
    changed = frame.copy()
    changed.loc[changed["ds"] >= pd.Timestamp("2024-01-01") + pd.Timedelta(hours=hour), NAMES] = value
    (laid, _, one), (_, _, other) = made(frame), made(changed)
    before = torch.from_numpy(laid.ordinals < laid.first.min() + hour)
    for name in ("y", "observed", "past", "past_observed", "future", "future_observed"):
        assert torch.equal(getattr(one, name)[before], getattr(other, name)[before]), name


def test_calendar_columns_stand_after_the_known_covariates_and_are_always_observed():
    laid = grid(table(frame_of(), ROLES, "test"), AHEAD)
    statistics = learn(laid, int(laid.first.min()) + 25, DATA | {"calendar": almanac.NAMES})
    found = panel(laid, statistics)
    cycles = almanac.features(laid.layout.clock, laid.ordinals, statistics.calendar)
    assert statistics.calendar == ("hour", "weekday", "month", "dayofyear")
    assert torch.equal(found.future[:, 2:], torch.from_numpy(cycles)) and found.future.shape[1] == 2 + 8
    assert found.future_observed[:, 2:].all()
    bare = replace(statistics, calendar=())
    assert panel(laid, bare).future.shape[1] == 2


def test_absent_roles_have_zero_columns():
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=30, freq="h"), "y": np.arange(30.0)})
    laid = grid(table(frame, DATA, "test"), 2)
    found = panel(laid, learn(laid, int(laid.first[0]) + 20, DATA | {"calendar": []}))
    for name in ("past", "past_observed", "future", "future_observed"):
        assert getattr(found, name).shape == (32, 0), name
    assert found.static.shape == found.codes.shape == (1, 0)


def test_categories_are_coded_from_one_and_numbers_are_scaled():
    _, _, found = made(frame_of())
    assert found.codes.tolist() == [[1, 1], [2, 2], [1, 3]]
    sizes = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(found.static.numpy()[:, 0], (sizes - sizes.mean()) / sizes.std(), rtol=1e-6)


def fresh(frame: pd.DataFrame) -> Panel:
    """New rows, laid out and scaled as the data of `made` were."""
    laid, statistics, _ = made(frame_of())
    return panel(grid(again(frame, laid.layout, DATA, "new"), AHEAD), statistics)


def test_new_rows_of_known_series_give_the_panel_of_the_old_ones():
    _, _, old = made(frame_of())
    new = fresh(frame_of())
    assert new.slots.tolist() == old.slots.tolist() == [1, 2, 3]
    for name in ("y", "past", "future", "static", "codes", "shift"):
        assert torch.equal(getattr(new, name), getattr(old, name)), name


def test_known_series_keep_their_slots_in_any_order_and_unseen_ones_have_slot_zero():
    frame = frame_of().replace({"unique_id": {"s0": "new"}})
    new = fresh(pd.concat([frame[frame["unique_id"] == name] for name in ("s2", "new", "s1")]))
    assert dict(zip(new.names, new.slots.tolist(), strict=True)) == {"s2": 3, "new": 0, "s1": 2}


def test_an_unseen_series_without_any_value_is_filled_with_the_pooled_mean():
    frame = frame_of().replace({"unique_id": {"s1": "new"}})
    frame.loc[frame["unique_id"] == "new", ["load", "price"]] = np.nan
    new, statistics = fresh(frame), made(frame_of())[1]
    place = new.names.index("new")
    rows = new.y[new.offsets[place] : new.offsets[place + 1]]
    assert (rows == torch.from_numpy(statistics.loc[0])).all() and new.slots[place] == 0


def test_a_category_not_seen_in_training_has_code_zero():
    assert fresh(frame_of().replace({"area": {"s": "north-east"}})).codes.tolist() == [[1, 1], [2, 0], [1, 3]]


def test_a_missing_category_is_one_of_its_own_and_not_a_crash():
    """A site whose kind is empty: it trains, and the same emptiness has the same code later."""
    frame = frame_of()
    frame.loc[frame["unique_id"] == "s1", "kind"] = None
    _, statistics, found = made(frame)
    assert len(statistics.categories["kind"]) <= 2
    assert found.codes[0, 0] == found.codes[2, 0] != found.codes[1, 0]


def test_labels_name_each_channel_of_each_series():
    assert made(frame_of())[2].labels == [f"s{i}/{channel}" for i in range(3) for channel in ("load", "price")]


def test_moving_a_panel_keeps_everything():
    _, _, found = made(frame_of())
    moved = found.to(torch.device("cpu"))
    assert moved is not found and moved.names == found.names and moved.layout == found.layout
    assert all(torch.equal(x, getattr(moved, name)) for name, x in vars(found).items() if isinstance(x, torch.Tensor))


def test_tensors_of_a_panel_are_contiguous_rows():
    _, _, found = made(frame_of())
    assert all(x.is_contiguous() for x in vars(found).values() if isinstance(x, torch.Tensor))


# --- where parts end ---


def daily(rows: int, begin: str = "2024-01-01", tz: str | None = None, freq: str = "D") -> Grid:
    ds = pd.date_range(begin, periods=rows, freq=freq, tz=tz)
    return grid(table(pd.DataFrame({"ds": ds, "y": np.arange(float(rows))}), DATA | {"freq": freq}, "test"), 3)


def parts(laid: Grid, split) -> list[int | None]:
    """Rows of each part (of the last one: None if it ends with the data)."""
    train, val, test = laid.borders(split)
    return [train - int(laid.first.min()), val - train, None if test is None else test - val]


@pytest.mark.parametrize(
    ("rows", "split", "expected"),
    [
        (7588, [0.7, 0.1, 0.2], [5311, 760, None]),  # exchange: test has the last 1517
        (17420, [0.7, 0.1, 0.2], [12194, 1742, None]),
        (17420, [8640, 2880, 2880], [8640, 2880, 2880]),  # ETTh1
        (100, [0.7, 0.1, 0.2], [70, 10, None]),
        (100, [0.6, 0.2, 0.2], [60, 20, None]),
        (100, [0.29, 0.51, 0.2], [29, 51, None]),  # 100 * 0.29 is 28.999999999999996
        (100, [0.2, 0.22, 0.58], [20, 22, None]),
        (100, [0.5, 0.2, 0.2], [50, 20, 20]),
        (10, [0.7, 0.1, 0.2], [7, 1, None]),
        (20, [10, 5, 5], [10, 5, None]),
    ],
)
def test_fractions_and_rows_cut_the_span(rows, split, expected):
    assert parts(daily(rows), split) == expected


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(30, 400), train=st.integers(10, 80), test=st.integers(10, 80))
def test_three_fractions_use_every_row_and_round_down_train_and_test(rows, train, test):
    if train + test > 90:
        train, test = train // 2, test // 2
    laid = daily(400)
    laid = replace(laid, offsets=np.array([0, rows + laid.ahead]))
    found = laid.borders([train / 100, 1 - train / 100 - test / 100, test / 100])
    first = int(laid.first[0])
    assert found == (first + rows * train // 100, first + rows - rows * test // 100, None)


def test_dates_are_the_first_steps_of_val_and_test_for_all_series():
    laid, _, _ = made(frame_of())
    first = int(laid.first.min())
    assert laid.borders(["2024-01-01 20:00", "2024-01-02"]) == (first + 20, first + 24, None)
    assert laid.borders(["2024-01-01 20:00", "2024-01-02", "2024-01-02 10:00"]) == (first + 20, first + 24, first + 34)
    assert laid.borders(["2024-01-01 19:10", "2024-01-01 23:59"]) == (first + 20, first + 24, None)


def test_fractions_are_of_the_span_from_the_first_start_to_the_last_end():
    frame = frame_of()
    laid, _, _ = made(frame[(frame["unique_id"] != "s0") | (frame["ds"] < "2024-01-01 20:00")])
    assert laid.lengths.tolist() == [20, 30, 12]  # from hour 0 to hour 35
    assert parts(laid, [0.6, 0.2, 0.2]) == [21, 7, None]


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/New_York"])
def test_dates_are_local_ones_where_stamps_have_a_zone(tz):
    laid = daily(24 * 60, "2024-03-01", tz, "h")
    ends = laid.borders(["2024-03-15", "2024-04-05 06:00"])
    stamps = laid.layout.clock.stamps(np.array(ends[:2]))
    assert [x.strftime("%Y-%m-%d %H:%M") for x in stamps] == ["2024-03-15 00:00", "2024-04-05 06:00"]
    assert laid.borders(["2024-03-15T12:00Z", "2024-04-05 06:00"])[0] == laid.number(
        str(pd.Timestamp("2024-03-15T12:00Z").tz_convert(tz))
    )


@pytest.mark.parametrize(
    ("freq", "date", "step"),
    [
        ("D", "2024-03-01", "2024-03-01"),
        ("B", "2024-03-02", "2024-03-04"),  # a Saturday
        ("B", "2024-03-04", "2024-03-04"),
        ("W-MON", "2024-03-05", "2024-03-11"),
        ("MS", "2024-03-02", "2024-04-01"),
        ("ME", "2024-03-01", "2024-03-31"),
        ("QS", "2024-03-01", "2024-04-01"),
        ("h", "2024-01-02 05:30", "2024-01-02 06:00"),
    ],
)
def test_a_date_between_two_steps_means_the_next_one(freq, date, step):
    laid = daily(200, freq=freq)
    assert laid.layout.clock.naive(np.array([laid.number(date)]))[0] == pd.Timestamp(step)


@pytest.mark.parametrize(
    "split",
    [
        [0.5, 0.5],
        [0.7, 0.3, 0.0],
        [0.0, 0.5, 0.5],
        [1.0, 0.0, 0.0],
        [0.7, 0.2, 0.2],
        [0.9, 0.9, 0.9],
        [-0.1, 0.6, 0.5],
        [100, 5, 5],
        [50, 60, 5],
        [60, 0, 10],
        ["2024-02-01"],
        ["2024-02-10", "2024-02-01"],
        ["2023-01-01", "2024-02-01"],
        ["2024-02-01", "2025-02-01"],
        ["2025-02-01", "2025-03-01", "2025-04-01"],
        ["2024-02-01", 5],
        [],
    ],
)
def test_a_split_that_leaves_a_part_without_rows_is_refused(split):
    with pytest.raises(Refusal, match=r"data.split=.*2024-01-01.*2024-04-09.*three fractions.*rows.*dates") as refusal:
        daily(100).borders(split)
    assert refusal.value.code == "split"


@pytest.mark.parametrize("date", ["soon", "03/02/2024", "1.3.2024"])
def test_a_split_at_something_that_is_no_date_is_refused(date):
    """Nor is what may be the second of March as well as the third of February."""
    with pytest.raises(Refusal, match=rf"data.split: '{date}' is not a date") as refusal:
        daily(100).borders(["2024-02-01", date])
    assert refusal.value.code == "split"


SETS = sorted(path.stem for path in (CONF / "data").glob("*.yaml") if path.stem != "csv")
PARTS = {"etth1": [8640, 2880, 2880], "ettm1": [34560, 11520, 11520], "exchange": [5311, 760, None]}
PARTS |= {"epf_np": [26184, 8760, None], "epf_pjm": [26184, 8760, None]}  # test: the last 728 days


@pytest.mark.parametrize("name", SETS)
def test_every_data_set_of_the_house_is_cut_into_three_parts_as_in_the_literature(real, name):
    config = composed("train", [f"data={name}"])["data"]
    bundled = (BUNDLED / config["path"]).is_file()
    path = BUNDLED / config["path"] if bundled else real(config["path"])
    laid = grid(table(read(path, config), config, str(path)), 96)
    found = parts(laid, config["split"])
    assert found == PARTS.get(name, found) and min(found[:2]) > 24
    assert name not in ("epf_np", "epf_pjm") or laid.lengths[0] - sum(found[:2]) == 728 * 24
