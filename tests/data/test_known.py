"""What is known when: covariates hidden until they are published, days of 23 to 25 hours, filling that looks back only.

Each is checked against its definition in plain loops, and by changing what must not be seen.
"""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from forecast.config import CONF, composed
from forecast.contract import Window
from forecast.data.grid import grid
from forecast.data.panel import Panel, panel
from forecast.data.scaler import learn
from forecast.data.table import table
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.recipe import window_of

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
ROLES = DATA | {"target": ["price"], "past": ["load", "flow"], "future": ["wind", "plan"], "freq": "h", "calendar": []}
NAMES = ("load", "flow", "wind", "plan")


def frame(rows: int = 24 * 12, begin: str = "2024-03-25", tz: str | None = "Europe/Berlin", freq: str = "h"):
    """Hours around a change of clocks; covariates are whole numbers, all different, some missing."""
    rng = np.random.default_rng(0)
    values = rng.permutation(5 * rows).reshape(rows, 5).astype("float64")
    made = pd.DataFrame(values, columns=["price", *NAMES]).mask(rng.random((rows, 5)) < 0.1)
    made.iloc[[0, -1]] = values[[0, -1]]
    return made.assign(ds=pd.date_range(begin, periods=rows, freq=freq, tz=tz))


def laid(data: pd.DataFrame, ahead: int = 25, **options) -> Panel:
    checked = grid(table(data, ROLES | {"scaler": "none"} | options, "test"), ahead)
    learnt = learn(checked, int(checked.first[0]) + len(data) // 2, ROLES | {"scaler": "none"} | options)
    return panel(checked, replace(learnt, columns=dict.fromkeys(learnt.columns, (0.0, 1.0))))


def settings(*overrides: str) -> dict:
    return composed("train", ["data=csv", *overrides])


LAGS = {"load": 2, "flow": -3, "wind": -20, "plan": 0, "price": -24}


def expected(data: pd.DataFrame, start: int, window: Window, lag: dict[str, int], issue: pd.Timestamp):
    """Value and mask of each covariate at each step of a window: the last one known at the issue, by its stamp."""
    first = max(0, start - 1000)
    found = {}
    for name in NAMES:
        length = window.context if name in ("load", "flow") else window.length
        values, seen, last = [], [], 0.0
        for row in range(first, start + length):
            published = data["ds"].iloc[row] + timedelta(hours=1 + lag[name]) if name in lag else None
            if name in ("load", "flow") and published is None:
                published = data["ds"].iloc[row] + timedelta(hours=1)
            known = published is None or published <= issue
            there = known and not np.isnan(data[name].iloc[row])
            last = data[name].iloc[row] if there else last
            values.append(last)
            seen.append(there)
        found[name] = values[start - first :], seen[start - first :]
    return found


CASES = {
    "at the cutoff": ({}, LAGS | {"load": 0}),
    "late by two hours": ({}, {"load": 2}),
    "a late target": ({"gap": 4}, {"price": 3, "load": 1}),
    "with a gap": ({"gap": 3}, {"load": 2, "flow": 0, "wind": -5}),
    "gate closure": ({"anchor": "00:00", "issue": "12:00", "gap": 0}, LAGS),
    "gate closure and gap": ({"anchor": "00:00", "issue": "10:00", "gap": 5}, LAGS),
    "all hidden": ({}, {"load": 500, "wind": 500}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_holds_what_was_published_by_the_issue(case):
    keys, lag = CASES[case]
    data = frame(24 * 6, tz="UTC")
    made = laid(data, lag=lag)
    config = {"context": 30, "horizon": 24, "stride": 5, "gap": 0, "anchor": None, "issue": None} | keys
    window = window_of(config, made.layout.clock)
    windows = Windows.between(made, window, 0, 10**9)
    assert len(windows) > 2
    for number, start in enumerate(windows.starts.tolist()):
        batch = windows.batch(torch.tensor([number]))
        target = data["ds"].iloc[start + window.context + window.gap]
        issue = target - timedelta(hours=window.gap - max(0, lag.get("price", 0)))
        if config["issue"]:
            day = target - timedelta(days=1)
            issue = day.replace(hour=int(config["issue"][:2]))
        for name, (values, seen) in expected(data, start, window, lag, issue).items():
            field, names = ("past", made.past_names) if name in made.past_names else ("future", made.future_names)
            column = names.index(name)
            assert getattr(batch, f"{field}_observed")[0, :, column].tolist() == seen, name
            known = [v if s or any(seen[: i + 1]) else None for i, (v, s) in enumerate(zip(values, seen, strict=True))]
            got = getattr(batch, field)[0, :, column].tolist()
            assert [g for g, k in zip(got, known, strict=True) if k is not None] == [k for k in known if k is not None]


def test_what_is_not_published_does_not_matter():
    """Numbers published after the issue are replaced by wild ones: the batch stays equal to the last bit."""
    data = frame(24 * 6, tz="UTC")
    config = {"context": 30, "horizon": 24, "stride": 1, "gap": 0, "anchor": "00:00", "issue": "12:00"}
    made = laid(data, lag=LAGS)
    window = window_of(config, made.layout.clock)
    windows = Windows.between(made, window, 0, 10**9)
    number = len(windows) - 1
    target = data["ds"].iloc[int(windows.starts[number]) + window.context]
    issue = target - timedelta(hours=12)
    other = data.copy()
    for name, lag in LAGS.items():
        late = other["ds"] + timedelta(hours=1 + lag) > issue
        assert late.any()
        other.loc[late, name] = 1e6
    other.loc[other["ds"] >= target, "price"] = -1e6
    changed = Windows.between(laid(other, lag=LAGS), window, 0, 10**9).batch(torch.tensor([number]))
    before = windows.batch(torch.tensor([number]))
    for name in ("y", "past", "past_observed", "future", "future_observed"):
        assert torch.equal(getattr(before, name), getattr(changed, name)), name
    other.loc[~(other["ds"] + timedelta(hours=1 + LAGS["load"]) > issue), "load"] += 1
    seen = Windows.between(laid(other, lag=LAGS), window, 0, 10**9).batch(torch.tensor([number]))
    assert not torch.equal(seen.past, before.past)


@pytest.mark.parametrize(
    ("overrides", "lag", "words"),
    [
        (["issue='12:00'", "anchor='00:00'"], {}, "is 'price' known up to there"),
        (["issue='12:00'", "anchor='12:00'"], {"price": -24}, "a time of day before the anchor"),
        (["issue='12:00'"], {}, "needs an anchor"),
        (["issue='12:10'", "anchor='00:00'"], {}, "issue=12:10: expected a time of day on the grid"),
        (["issue='12:00'", "anchor='00:00'"], {"price": 0}, "set gap=12"),
        ([], {"price": 3}, "set gap=3"),
        ([], {"prise": 3}, "can't be named here"),
    ],
)
def test_an_issue_that_cannot_be_is_refused(overrides, lag, words):
    def tried():
        made = laid(frame(24 * 6), lag=lag)
        return Windows.between(made, window_of(settings("context=30", *overrides), made.layout.clock), 0, 10**9)

    with pytest.raises(Refusal, match=words):
        tried()


@pytest.mark.parametrize("gap", [3, 5])
def test_the_gap_that_a_late_target_asks_for_is_enough(gap):
    made = laid(frame(24 * 6), lag={"price": 3})
    assert len(Windows.between(made, window_of(settings("context=30", f"gap={gap}"), made.layout.clock), 0, 10**9)) > 2


@pytest.mark.parametrize(("issue", "anchor", "wall", "most"), [("12:00", "00:00", 12, 12), ("20:00", "06:00", 10, 11)])
def test_the_lead_is_that_of_the_longest_night(issue, anchor, wall, most):
    for tz, steps in ((None, wall), ("UTC", wall), ("Europe/Berlin", most), ("America/New_York", most)):
        assert laid(frame(24 * 6, tz=tz)).layout.clock.between(issue, anchor) == steps


def test_a_day_ahead_price_that_is_published_a_day_before_needs_no_gap():
    made = laid(frame(24 * 6), lag={"price": -24})
    window = window_of(settings("context=30", "anchor='00:00'", "issue='12:00'"), made.layout.clock)
    assert len(Windows.between(made, window, 0, 10**9)) > 2


@pytest.mark.parametrize(("freq", "day"), [("h", 24), ("15min", 96)])
@pytest.mark.parametrize(("begin", "odd"), [("2024-03-28", -1), ("2024-10-24", 1)])
@pytest.mark.parametrize("days", [1, 2])
def test_the_steps_that_count_are_those_of_whole_local_days(freq, day, begin, odd, days):
    """Days of 23, 24, 25 hours and 92, 96, 100 quarters; the horizon is that of the longest."""
    hour = day // 24
    data = frame(8 * day, begin, freq=freq)
    horizon = days * day + hour
    made = laid(data, ahead=horizon, freq=freq)
    window = Window(context=day, horizon=horizon, anchor="00:00")
    windows = Windows.between(made, window, 0, 10**9)
    counts = windows.counts(windows.batch(torch.arange(len(windows))).clock).sum(1).tolist()
    local = data["ds"].dt.tz_localize(None).dt.normalize()
    per_day = local.value_counts()
    assert {day, day + odd * hour} <= set(per_day)
    for start, count in zip(windows.starts.tolist(), counts, strict=True):
        first = local.iloc[start + window.context]
        assert count == sum(per_day[first + timedelta(days=i)] for i in range(days))
    batch = windows.batch(torch.arange(len(windows)))
    assert not batch.target_observed[..., 0].logical_and(~windows.counts(batch.clock)).any()


# --- filling ---


def defined(y: list[float], fill: str, season: int, middle: float, start: int, end: int) -> list[float]:
    """A context [start, end) filled by definition: from what lies before, and for a line also after, in it."""
    found = []
    for i in range(start, end):
        before = [j for j in range(i + 1) if not np.isnan(y[j])]
        phase = [j for j in before if (i - j) % season == 0]
        after = [j for j in range(i, end) if not np.isnan(y[j])]
        if not np.isnan(y[i]):
            found.append(y[i])
        elif fill == "zero":
            found.append(0.0)
        elif fill == "season" and phase:
            found.append(y[phase[-1]])
        elif fill == "linear" and after and before:
            a, b = before[-1], after[0]
            found.append(y[a] + (i - a) / (b - a) * (y[b] - y[a]))
        elif fill == "season":
            found.append(defined(found_so_far(y, season, i), "last", season, middle, i, i + 1)[0])
        else:
            found.append(y[before[-1]] if before else middle)
    return found


def found_so_far(y: list[float], season: int, end: int) -> list[float]:
    """The values up to `end`, with those that the season fills."""
    filled = []
    for i in range(end + 1):
        phase = [j for j in range(i + 1) if not np.isnan(y[j]) and (i - j) % season == 0]
        filled.append(y[phase[-1]] if phase else np.nan)
    return filled


@pytest.mark.parametrize("fill", ["last", "linear", "season", "zero"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_missing_values_are_filled_by_what_was_seen(fill, share):
    rng = np.random.default_rng(3)
    data = frame(100, tz="UTC")
    data["price"] = np.where(rng.random(100) < share, np.nan, rng.permutation(100) * 1.0)
    data.loc[99, "price"] = 1.0
    made = laid(data, fill=fill, season=7, scaler="standard")
    window = Window(context=20, horizon=5)
    windows = Windows.between(made, window, 0, 10**9)
    y = data["price"].tolist()
    middle = float(np.nanmean(data["price"][:50]))
    for number, start in enumerate(windows.starts.tolist()):
        found = windows.batch(torch.tensor([number])).y[0, :, 0].tolist()
        np.testing.assert_allclose(found, defined(y, fill, 7, middle, start, start + 20), rtol=1e-12)


@pytest.mark.parametrize("fill", ["last", "linear", "season", "zero"])
def test_filling_sees_nothing_after_the_cutoff(fill):
    data = frame(100, tz="UTC")
    window = Window(context=20, horizon=5)
    base = Windows.between(laid(data, fill=fill, season=7), window, 0, 10**9)
    data.loc[75:, "price"] = np.where(np.arange(25) % 2, 1e9, np.nan)
    changed = Windows.between(laid(data, fill=fill, season=7), window, 0, 10**9)
    early = base.starts + 20 <= 75
    numbers = early.nonzero().flatten()
    assert torch.equal(base.batch(numbers).y, changed.batch(numbers).y)


def test_networks_see_the_masks_only_when_told():
    plain, seen = laid(frame(100)), laid(frame(100), observed=True)
    assert seen.past.shape[1] == plain.past.shape[1] + 1 and seen.past_names[-1] == ""
    assert torch.equal(seen.past[:, -1].bool(), seen.observed[:, 0]) and not seen.observed.all()


# --- categories, days ---


def test_categories_that_change_in_time_are_columns_of_their_own_and_new_ones_are_none(caplog):
    data = frame(40, tz="UTC").assign(load=["a", "b", None, "c"] * 10)
    data.loc[30:, "load"] = ["b", "new"] * 5
    with caplog.at_level("INFO", "forecast"):
        made = laid(data, categorical=["load"])
    columns = [i for i, name in enumerate(made.past_names) if name == "load"]
    found = made.past[:40, columns]
    assert found.shape[1] == 3 and "'load' has categories that training had not: new" in caplog.text
    for row, label in enumerate(data["load"]):
        one = [float(label == x) for x in "abc"]
        if isinstance(label, str):
            assert found[row].tolist() == one
        assert made.past_observed[row, columns].tolist() == [isinstance(label, str)] * 3


def test_numbers_can_be_categories():
    data = frame(40).assign(plan=np.arange(40) % 3, load=1.0)
    made = laid(data, categorical=["plan", "load"])
    assert made.future_names.count("plan") == 3 and made.past_names.count("load") == 1


def test_holidays_and_daylight_are_known_ahead():
    plain = laid(frame(24 * 4, "2024-12-22"))
    more = laid(frame(24 * 4, "2024-12-22"), holidays="DE", latitude=52.5)
    added = more.future[:, plain.future.shape[1] :]
    assert added.shape[1] == 4 and more.future_observed[:, -4:].all()
    assert added[24 * 3 : 24 * 4, 0].eq(1).all() and added[: 24 * 3, 0].eq(0).all()  # 25 December
    np.testing.assert_allclose(added[:, 3] * 24, 7.65, atol=0.1)  # Berlin, in hours, at the solstice
