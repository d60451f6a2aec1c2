"""Windows: each possible one exactly once, none across a border, every batch equal to plain slicing; their order."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.config import CONF
from forecast.contract import Window
from forecast.data.grid import grid
from forecast.data.order import Order
from forecast.data.panel import Panel, panel
from forecast.data.scaler import learn
from forecast.data.table import table
from forecast.data.windows import Windows
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
ROLES = DATA | {"id": "unique_id", "target": ["load", "price"], "joint": True, "past": ["p"], "future": ["f", "g"]}
ROLES |= {"static": ["size", "kind"], "freq": "h"}
SIZES = st.builds(
    Window, context=st.integers(1, 6), horizon=st.integers(1, 4), stride=st.integers(1, 5), gap=st.integers(0, 3)
)
SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 30)), min_size=1, max_size=4)  # (first row, rows)


def made(spans, ahead: int, tz: str | None = None, begin: str = "2024-03-30") -> Panel:
    """Series of two channels with covariates, holes in all of them and no two equal numbers."""
    rng, blocks = np.random.default_rng(0), []
    for i, (first, rows) in enumerate(spans):
        ds = pd.date_range(begin, periods=first + rows, freq="h", tz=tz)[first:]
        block = pd.DataFrame(rng.normal(size=(rows, 5)), columns=["load", "price", "p", "f", "g"])
        block = block.mask(rng.random(block.shape) < 0.2)
        blocks.append(block.assign(ds=ds, unique_id=f"s{i}", size=float(i), kind="ab"[i % 2]))
    laid = grid(table(pd.concat(blocks), ROLES, "test"), ahead)
    return panel(laid, learn(laid, int(laid.first.min()) + 15, DATA | {"scaler": "none"}))


def possible(panel: Panel, window: Window, begin: int, end: int) -> list[int]:
    """The starts of all windows, row by row of each series, from the definition."""
    starts = []
    for offset, first, rows in zip(panel.offsets.tolist(), panel.first.tolist(), panel.lengths.tolist(), strict=False):
        fit = []
        for start in range(rows):
            targets = range(start + window.context + window.gap, start + window.length)
            if all(row < rows and begin <= first + row < end for row in targets):
                fit.append(offset + start)
        starts += fit[:: window.stride]
    return starts


def check_windows(panel: Panel, window: Window, begin: int, end: int, starts: torch.Tensor) -> None:
    """Each window once; as many as the closed formula says; contexts in their series, targets in their part."""
    rows = panel.lengths.numpy()
    low = np.maximum(begin - panel.first.numpy(), window.context + window.gap)
    high = np.minimum(end - panel.first.numpy(), rows) - window.horizon
    assert len(starts) == np.where(high >= low, (high - low) // window.stride + 1, 0).sum()
    assert starts.tolist() == possible(panel, window, begin, end)
    series = np.searchsorted(panel.offsets.numpy(), starts.numpy(), side="right") - 1
    within = starts.numpy() - panel.offsets.numpy()[series]
    first, last = within + window.context + window.gap, within + window.length - 1
    assert (within >= 0).all() and (last < rows[series]).all()
    assert (panel.first.numpy()[series] + first >= begin).all() and (panel.first.numpy()[series] + last < end).all()


@settings(max_examples=40, deadline=None)
@given(spans=SPANS, window=SIZES, cut=st.tuples(st.integers(-3, 45), st.integers(0, 45)))
def test_every_possible_window_is_used_exactly_once_and_stays_in_its_part_and_series(spans, window, cut):
    found = made(spans, window.ahead)
    begin = int(found.first.min()) + cut[0]
    windows = Windows.between(found, window, begin, begin + cut[1])
    check_windows(found, window, begin, begin + cut[1], windows.starts)
    assert len(windows) == len(windows.starts)


@settings(max_examples=15, deadline=None)
@given(spans=SPANS, window=SIZES, cuts=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_parts_that_touch_share_no_target_and_leave_none_out(spans, window, cuts):
    """With horizon 1 and no stride every row behind a context is the target of exactly one window of one part."""
    window = Window(window.context, 1, gap=window.gap)
    found = made(spans, window.ahead)
    begin, end = int(found.first.min()), int((found.first + found.lengths).max())
    ends = [begin, begin + cuts[0], begin + sum(cuts), max(end, begin + sum(cuts) + 1)]
    parts = [Windows.between(found, window, *pair).starts for pair in pairwise(ends)]
    rows = torch.cat(parts) + window.length - 1
    expected = [
        row
        for offset, length in zip(found.offsets.tolist(), found.lengths.tolist(), strict=False)
        for row in range(offset + window.length - 1, offset + length)
    ]
    assert sorted(rows.tolist()) == expected


@settings(max_examples=10, deadline=None)
@given(tails=st.lists(st.integers(0, 12), min_size=1, max_size=3), window=SIZES)
def test_rows_after_the_last_value_of_a_series_are_no_targets(tails, window):
    """They are its known future; rows without a value before it count."""
    window = replace(window, stride=1)
    blocks = []
    for i, tail in enumerate(tails):
        y = np.where(np.arange(30) < 30 - tail, 1.0, np.nan)
        y[5:9] = np.nan
        blocks.append(
            pd.DataFrame({"unique_id": f"s{i}", "ds": pd.date_range("2024-01-01", periods=30, freq="h"), "y": y})
        )
    laid = grid(table(pd.concat(blocks), DATA | {"freq": "h"}, "test"), window.ahead)
    found = panel(laid, learn(laid, int(laid.first[0]) + 15, DATA))
    assert found.lengths.tolist() == [30 - tail for tail in tails]
    starts = Windows.between(found, window, int(laid.first[0]), 10**9).starts
    expected = [i * (30 + window.ahead) + k for i, tail in enumerate(tails) for k in range(31 - tail - window.length)]
    assert starts.tolist() == expected


def test_a_panel_shorter_than_a_window_has_none():
    window = Window(context=6, horizon=1)
    assert len(Windows.between(made([(0, 2)], window.ahead), window, 0, 10**9)) == 0


WINDOW, BEGIN, END = Window(context=3, horizon=2, gap=1, stride=1), 10, 22  # a part of the panel below
SERIES = [(0, 25), (4, 30), (9, 14)]


def planted(name: str, panel: Panel) -> torch.Tensor:
    """The starts that a faulty `between` would give."""
    begin = int(panel.first.min()) + BEGIN
    right = Windows.between(panel, WINDOW, begin, begin + END - BEGIN).starts
    one_series = torch.arange(begin - int(panel.first[0]) - 4, len(panel.y) - WINDOW.length)
    return {
        "shifted by one": right + 1,
        "last window lost": right[:-1],
        "first window twice": torch.cat((right[:1], right)),
        "target one row over the end": Windows.between(panel, WINDOW, begin, begin + END - BEGIN + 1).starts,
        "target one row before the part": Windows.between(panel, WINDOW, begin - 1, begin + END - BEGIN).starts,
        "context must lie in the part too": Windows.between(panel, WINDOW, begin + 4, begin + END - BEGIN).starts,
        "across series": one_series,
        "gap forgotten": Windows.between(panel, Window(3, 2), begin, begin + END - BEGIN).starts,
        "stride ignored": right.repeat_interleave(2),
    }[name]


@pytest.mark.parametrize(
    "fault",
    [
        "shifted by one",
        "last window lost",
        "first window twice",
        "target one row over the end",
        "target one row before the part",
        "context must lie in the part too",
        "across series",
        "gap forgotten",
        "stride ignored",
    ],
)
def test_the_check_of_windows_catches(fault):
    found = made(SERIES, WINDOW.ahead)
    begin = int(found.first.min()) + BEGIN
    right = Windows.between(found, WINDOW, begin, begin + END - BEGIN)
    check_windows(found, WINDOW, begin, begin + END - BEGIN, right.starts)
    with pytest.raises(AssertionError):
        check_windows(found, WINDOW, begin, begin + END - BEGIN, planted(fault, found))


def sliced(panel: Panel, window: Window, start: int) -> dict[str, torch.Tensor]:
    """One window, cut out of the panel by plain slicing."""
    series = max(i for i in range(len(panel.names)) if int(panel.offsets[i]) <= start)
    middle, issue, stop = start + window.context, start + window.context + window.gap, start + window.length
    return {
        "y": panel.y[start:middle],
        "y_observed": panel.observed[start:middle],
        "past": panel.past[start:middle],
        "past_observed": panel.past_observed[start:middle],
        "future": panel.future[start:stop],
        "future_observed": panel.future_observed[start:stop],
        "target": panel.y[issue:stop],
        "target_observed": panel.observed[issue:stop],
        "clock": panel.clock(torch.arange(start, stop), torch.tensor(series)),
        "static": panel.static[series],
        "codes": panel.codes[series],
        "series": panel.slots[series],
        "cutoff": torch.tensor(middle - 1),
        "weight": torch.tensor(1.0),
    }


def check_batch(panel: Panel, window: Window, starts: torch.Tensor, batch) -> None:
    batch.check()
    for i, start in enumerate(starts.tolist()):
        for name, expected in sliced(panel, window, start).items():
            got = getattr(batch, name)[i]
            assert got.dtype == expected.dtype and torch.equal(got, expected), name


@settings(max_examples=15, deadline=None)
@given(spans=SPANS, window=SIZES, data=st.data())
def test_every_field_of_a_batch_equals_plain_slicing(spans, window, data):
    found = made(spans, window.ahead)
    windows = Windows.between(found, window, int(found.first.min()), int((found.first + found.lengths).max()))
    numbers = data.draw(st.lists(st.integers(0, len(windows) - 1), max_size=8)) if len(windows) else []
    numbers = torch.tensor(numbers, dtype=torch.int64)
    check_batch(found, window, windows.starts[numbers], windows.batch(numbers))


@pytest.mark.parametrize("field", ["y", "target", "past", "future", "clock", "static", "codes", "series", "cutoff"])
def test_the_check_of_batches_catches_a_field_of_the_neighbouring_window(field):
    found = made(SERIES, WINDOW.ahead)
    windows = Windows.between(found, WINDOW, 0, 10**6)
    numbers = torch.arange(len(windows))
    batch = windows.batch(numbers)
    check_batch(found, WINDOW, windows.starts, batch)
    with pytest.raises(AssertionError, match=field):
        check_batch(found, WINDOW, windows.starts, batch._replace(**{field: getattr(batch, field).roll(1, 0)}))


def test_weights_are_handed_on_times_what_a_window_counts_itself():
    windows, numbers = Windows.between(made(SERIES, WINDOW.ahead), WINDOW, 0, 10**6), torch.tensor([2, 0, 1])
    given = torch.tensor([1.5, 0.0, 2.0])
    assert windows.batch(numbers, given).weight.tolist() == given.tolist()
    own = Windows(windows.panel, WINDOW, windows.starts, torch.arange(1.0, len(windows) + 1))
    assert own.batch(numbers).weight.tolist() == [3, 1, 2] and own.batch(numbers, given).weight.tolist() == [4.5, 0, 4]
    for other in (own.to(torch.device("cpu")), own.seeing(WINDOW.context - 1)):
        assert other.batch(numbers).weight.tolist() == [3, 1, 2]


@pytest.mark.parametrize("tz", [None, "UTC", "Europe/Berlin", "America/New_York"])
def test_the_clock_of_a_window_shows_the_local_hour_of_each_step_over_the_nights_of_change(tz):
    for begin in ("2024-03-08", "2024-03-29", "2024-10-25", "2024-11-01"):  # two are near the night, two far from it
        found = made([(0, 120), (7, 90)], WINDOW.ahead, tz, begin)
        assert len(found.shift) == (len(found.y) if tz in ("Europe/Berlin", "America/New_York") else 0)
        windows = Windows.between(found, WINDOW, 0, 10**9)
        hours = pd.date_range(begin, periods=200, freq="h", tz=tz).hour.to_numpy()
        for batch in windows.batches(64):
            series = torch.searchsorted(found.offsets, batch.cutoff, right=True) - 1
            last = batch.cutoff - found.offsets[series] + torch.tensor([0, 7])[series]
            steps = last[:, None] + torch.arange(WINDOW.length) - WINDOW.context + 1
            assert (batch.clock % 24).tolist() == hours[steps].tolist()


def test_the_views_do_not_copy_the_panel():
    found = made(SERIES, WINDOW.ahead)
    windows = Windows.between(found, WINDOW, 0, 10**6)
    assert windows.views.keys() >= {"y", "observed", "past", "past_observed", "future", "future_observed"}
    for name, view in windows.views.items():
        assert view.untyped_storage().data_ptr() == getattr(found, name).untyped_storage().data_ptr(), name
    found.y[5] = 12345.0
    assert (windows.batch(torch.tensor([0])).target == 12345.0).any()


@pytest.mark.parametrize("size", [1, 4, 7, 1000])
def test_batches_hold_every_window_in_order_and_keep_the_last_batch(size):
    windows = Windows.between(made(SERIES, WINDOW.ahead), WINDOW, 0, 10**6)
    assert len(windows) % 4 and len(windows) % 7, "the last batch has to be a short one"
    batches = list(windows.batches(size))
    assert [len(batch.cutoff) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert torch.cat([batch.cutoff for batch in batches]).tolist() == (windows.starts + WINDOW.context - 1).tolist()


@pytest.mark.parametrize("tz", [None, "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(("begin", "days"), [("2024-03-08", 26), ("2024-10-25", 12)])  # both nights of both zones
@pytest.mark.parametrize("anchor", ["00:00", "12:00"])
def test_anchored_windows_start_at_that_local_time_of_every_day(tz, begin, days, anchor):
    window = Window(context=5, horizon=25, gap=2, stride=7, anchor=anchor)  # the stride has no say
    found = made([(0, 24 * days), (30, 100)], window.ahead, tz, begin)
    start, end = int(found.first.min()), int((found.first + found.lengths).max())
    windows = Windows.between(found, window, start, end)
    clock = local_times(found)

    def day(first: int) -> int:
        """Steps until it is that time again: no more have to be there."""
        return next(step for step in range(1, 26) if [*clock, *clock][first + step] == anchor)

    ends = np.repeat((found.offsets[:-1] + found.lengths).numpy(), np.diff(found.offsets.numpy()))
    expected = [row for row in possible(found, Window(5, 1, gap=2), start, end) if clock[row + 7] == anchor]
    expected = [row for row in expected if row + 7 + day(row + 7) <= ends[row]]
    assert windows.starts.tolist() == expected
    assert len(windows) > days - 4
    for apart in (2, 3):  # whole days
        every = Windows.between(found, replace(window, stride=24 * apart + 1), start, end)
        for series in range(2):
            daily = windows.starts[windows.series == series]
            assert every.starts[every.series == series].tolist() == daily[::apart].tolist()


@pytest.mark.parametrize(("rows", "days"), [(24, 1), (25, 2)])
def test_a_night_of_25_hours_is_forecast_only_if_all_of_it_is_there(rows, days):
    window = Window(context=5, horizon=25, gap=2, anchor="00:00")
    found = made([(0, 48 + rows)], window.ahead, "Europe/Berlin", "2024-10-25")
    found = replace(found, lengths=torch.tensor([48 + rows]))
    begin = int(found.first[0])
    assert Windows.between(found, window, begin, begin + 99).starts.tolist() == [17, 41][:days]


def test_known_covariates_of_steps_after_the_last_day_that_counts_are_hidden():
    """The last known ones stand in their place; the calendar goes on, and so do steps of a day that is long enough."""
    window = Window(context=5, horizon=25, gap=2, anchor="00:00")
    found = made([(0, 24 * 6)], window.ahead, "Europe/Berlin", "2024-10-25")
    windows = Windows.between(found, window, 0, 10**9)
    numbers = torch.arange(len(windows))
    batch, plain = windows.batch(numbers), Windows(found, replace(window, anchor=None), windows.starts).batch(numbers)
    long = [day.day == 27 for day in pd.date_range("2024-10-26", periods=len(windows))]  # 25 hours
    assert sum(long) == 1 and len(long) > 2
    for number, whole in enumerate(long):
        future, observed = plain.future[number].clone(), plain.future_observed[number].clone()
        if not whole:
            future[-1, :2], observed[-1, :2] = future[-2, :2], False
        assert torch.equal(batch.future[number], future) and torch.equal(batch.future_observed[number], observed)
        assert torch.equal(batch.target_observed[number, :24], plain.target_observed[number, :24])
        assert not batch.target_observed[number, 24:].any() or whole


def local_times(panel: Panel) -> list[str]:
    """The local time of day of each row."""
    rows = panel.offsets.diff()
    numbers = torch.arange(len(panel.y)) + (panel.first - panel.offsets[:-1]).repeat_interleave(rows)
    return panel.layout.clock.stamps(numbers.numpy()).strftime("%H:%M").tolist()


@settings(max_examples=40, deadline=None)
@given(spans=SPANS, window=SIZES, count=st.integers(1, 2) | st.integers(3, 20))
def test_recent_windows_are_the_newest_of_each_series_whose_targets_do_not_overlap(spans, window, count):
    source, window = made(spans, window.ahead), replace(window, stride=1)
    every = Windows.between(source, window, 0, 1 << 40)
    if not len(every):
        return
    found, names = every.recent(count).starts.tolist(), every.series.unique().tolist()
    newest = [every.starts[every.series == name].flip(0)[:: window.horizon].tolist() for name in names]
    expected = [start for starts in newest for start in starts[: max(1, count // len(names))][::-1]]
    if len(names) <= count:
        assert found == expected
    assert set(found) <= set(expected) and 0 < len(found) <= count


def test_recent_windows_of_a_stride_are_so_far_apart_that_targets_do_not_overlap():
    every = Windows.between(made([(0, 40)], 4), Window(context=3, horizon=4, stride=2), 0, 1 << 40)
    assert every.recent(5).starts.diff().tolist() == [4] * 4 and every.recent(5).starts[-1] == every.starts[-1]
    every = Windows.between(made([(0, 60)], 4), Window(context=3, horizon=5, stride=2), 0, 1 << 40)
    assert every.recent(5).starts.diff().tolist() == [6] * 4 and every.recent(5).starts[-1] == every.starts[-1]


@settings(max_examples=40, deadline=None)
@given(spans=SPANS, window=SIZES, less=st.integers(0, 5))
def test_windows_that_see_less_forecast_the_same(spans, window, less):
    source = made(spans, window.ahead)
    every, context = Windows.between(source, window, 0, 1 << 40), max(1, window.context - less)
    if not len(every):
        return
    numbers = torch.arange(len(every))
    one, other = every.batch(numbers), every.seeing(context).batch(numbers)
    assert torch.equal(one.target, other.target) and torch.equal(one.cutoff, other.cutoff)
    assert torch.equal(one.y[:, -context:], other.y) and torch.equal(one.clock[:, -other.clock.shape[1] :], other.clock)


def future(rows: int, known: int, covariate_to: int) -> pd.DataFrame:
    """Two series; y is known for `known` rows, the covariate f for `covariate_to` rows."""
    ds, step = pd.date_range("2024-01-01", periods=rows, freq="h"), np.arange(rows)
    y, f = np.where(step < known, step, np.nan), np.where(step < covariate_to, step, np.nan)
    one = pd.DataFrame({"unique_id": "a", "ds": ds, "y": y, "f": f})
    return pd.concat([one, one.assign(unique_id="b", y=np.arange(rows) * 1.0)])


def latest(frame: pd.DataFrame, window: Window, **options) -> Windows:
    data = DATA | {"target": ["y"], "future": ["f"], "freq": "h"} | options
    laid = grid(table(frame, data, "my.csv"), window.ahead)
    return Windows.latest(panel(laid, learn(laid, 10**9, DATA)), window)


def test_the_latest_windows_end_with_the_last_observed_row_of_each_series():
    window = Window(context=4, horizon=3, gap=2)
    batch = latest(future(20, 15, 20), window).batch(torch.arange(2))
    assert batch.y[:, :, 0].tolist() == [[11, 12, 13, 14], [16, 17, 18, 19]]
    assert not batch.target_observed.any()
    assert (batch.clock.diff(dim=1) == 1).all() and batch.clock[1, 0] - batch.clock[0, 0] == 5


def test_a_series_without_enough_rows_for_the_latest_window_is_left_out_and_named(caplog):
    window = Window(context=4, horizon=3)
    assert len(latest(future(20, 4, 20), window)) == 2 and "left out" not in caplog.text
    with caplog.at_level("INFO", "forecast"):
        found = latest(future(20, 3, 20), window)
    assert (
        found.series.tolist() == [1] and "1 of 2 series left out" in caplog.text and caplog.text.strip().endswith("a")
    )
    alone = future(20, 3, 20).query("unique_id == 'a'")
    with pytest.raises(Refusal, match=r"my.csv: series 'a' has 3 rows .* needs 4 \(the context\)") as refusal:
        latest(alone, window)
    assert refusal.value.code == "too-short"


def ending(**hours: int) -> pd.DataFrame:
    """Series whose last value is so many hours after the first midnight."""
    days = pd.date_range("2024-01-01", periods=48, freq="h")
    return pd.concat(pd.DataFrame({"unique_id": x, "ds": days[: n + 1], "y": 1.0, "f": 1.0}) for x, n in hours.items())


def test_the_latest_windows_begin_at_the_anchor_and_other_series_are_left_out_or_refused(caplog):
    window = Window(context=4, horizon=24, gap=2, anchor="00:00")
    with caplog.at_level("INFO", "forecast"):
        found = latest(ending(a=1, b=21, c=20, d=45), window)
    assert found.series.tolist() == [1, 3] and found.cutoffs.tolist() == [2 + 26 + 21, 2 + 26 + 22 + 26 + 21 + 26 + 45]
    assert "2 of 4" not in caplog.text and caplog.text.count("1 of 4 series left out") == 2
    late = ending(a=1, b=15, c=10)
    late = late[(late["unique_id"] != "c") | (late["ds"] > "2024-01-01")]  # begins later
    with pytest.raises(Refusal, match="series 'b' would begin at 2024-01-01 18:00:00, but the anchor") as refusal:
        latest(late, window)
    assert refusal.value.code == "anchor"


@pytest.mark.parametrize("short", [5, 7])
def test_of_many_series_that_are_left_out_the_first_five_are_named(short, caplog):
    days = pd.date_range("2024-01-01", periods=20, freq="h")
    rows = [pd.DataFrame({"unique_id": f"s{i}", "ds": days[: 3 if i < short else 20], "y": 1.0}) for i in range(9)]
    with caplog.at_level("INFO", "forecast"):
        assert len(latest(pd.concat(rows).assign(f=1.0), Window(context=4, horizon=3))) == 9 - short
    assert caplog.text.strip().endswith("s0, s1, s2, s3, s4" + " and 2 more" * (short == 7))


@settings(max_examples=40, deadline=None)
@given(spans=SPANS, window=SIZES, data=st.data())
def test_windows_at_cutoffs_are_those_of_all_series_with_a_whole_context_and_a_value_there(spans, window, data):
    found = made(spans, window.ahead)
    ends = torch.cat((found.first + window.context - 1, found.first + found.lengths - 1))  # where it is decided
    near = st.sampled_from((ends[:, None] + torch.arange(-1, 2)).unique().tolist())
    cutoffs = torch.tensor(sorted(data.draw(st.lists(near, min_size=1, max_size=4, unique=True))))
    expected, alone = [], set(cutoffs.tolist())
    for offset, first, length in zip(
        found.offsets.tolist(), found.first.tolist(), found.lengths.tolist(), strict=False
    ):
        for cutoff in cutoffs.tolist():
            if first + window.context - 1 <= cutoff < first + length:
                expected.append(offset + cutoff - first)
                alone.discard(cutoff)
    if alone:
        with pytest.raises(Refusal, match=str(found.layout.clock.stamps(np.array([min(alone)]))[0])) as refusal:
            Windows.at(found, window, cutoffs)
        assert refusal.value.code == "cutoff"
    else:
        assert Windows.at(found, window, cutoffs).cutoffs.tolist() == expected


def test_a_known_covariate_that_ends_before_the_horizon_is_refused_with_the_first_missing_stamp():
    window = Window(context=4, horizon=3, gap=1)
    both = future(20, 15, 20)
    enough = both[(both["unique_id"] == "a") | (both["ds"] < "2024-01-01 12:00")].copy()
    enough.loc[(enough["unique_id"] == "b") & (enough["ds"] >= "2024-01-01 08:00"), "y"] = np.nan
    latest(enough, window).check_future()
    enough.loc[(enough["unique_id"] == "a") & (enough["ds"] >= "2024-01-01 18:00"), "f"] = np.nan
    with pytest.raises(Refusal, match=r"'f' is not known at 2024-01-01 18:00.*'a'.* 4 steps") as refusal:
        latest(enough, window).check_future()
    assert refusal.value.code == "no-future"


@pytest.mark.parametrize("lag", [0, 2])
def test_a_known_covariate_that_is_published_after_its_step_need_not_be_there(lag):
    window, ended = Window(context=4, horizon=3), future(20, 20, 20)
    with pytest.raises(Refusal, match="'f' is not known at 2024-01-01 20:00"):
        latest(ended, window).check_future()
    latest(ended, window, lag={"f": lag}).check_future()


# --- Order ---

WORLDS = st.integers(1, 7)


def epoch(
    windows: int, batch: int, world: int, seed: int | None = 1, number: int = 0, first: int = 0, accumulate: int = 1
):
    """What each rank gets in an epoch: [rank][batch] (numbers, weight)."""
    how = {"seed": seed, "world": world, "accumulate": accumulate, "position": lambda: (number, first)}
    return [list(Order(windows, batch, rank=rank, **how)) for rank in range(world)]


def check_order(ranks, windows: int, batch: int, accumulate: int = 1) -> None:
    """Equal batches for all ranks, every window once, and losses weighted to the mean over an optimizer's step."""
    loss = torch.rand(windows, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slices = len(ranks) * accumulate
    assert {len(batches) for batches in ranks} == {-(-windows // (batch * accumulate)) * accumulate}
    seen = []
    for first in range(0, len(ranks[0]), accumulate):
        step = [each for batches in ranks for each in batches[first : first + accumulate]]
        assert len({len(numbers) for numbers, _ in step}) == 1
        assert all(1 <= len(numbers) == len(weight) <= -(-batch // len(ranks)) for numbers, weight in step)
        real = torch.cat([numbers[weight > 0] for numbers, weight in step])
        mean = sum((weight * loss[numbers]).mean() for numbers, weight in step) / slices
        assert mean == pytest.approx(float(loss[real].mean()), rel=1e-6)
        seen.append(real)
    assert torch.cat(seen).sort().values.tolist() == list(range(windows))
    assert all(len(real) == batch * accumulate for real in seen[:-1])


@settings(max_examples=100, deadline=None)
@given(
    windows=st.integers(1, 60),
    batch=st.integers(1, 9),
    world=WORLDS,
    seed=st.none() | st.integers(0, 2**62),
    accumulate=st.integers(1, 5),
)
def test_every_rank_takes_equal_steps_every_window_comes_once_and_weights_make_the_mean_of_a_step(
    windows, batch, world, seed, accumulate
):
    ranks = epoch(windows, batch, world, seed, accumulate=accumulate)
    check_order(ranks, windows, batch, accumulate)
    assert len(Order(windows, batch, seed=seed, world=world, accumulate=accumulate)) == len(ranks[0])


@pytest.mark.parametrize("fault", ["last batch dropped", "a window twice", "weights of one", "fillers count", "rank"])
def test_the_check_of_the_order_catches(fault):
    ranks = epoch(20, 3, 3)
    check_order(ranks, 20, 3)
    *whole, (numbers, weight) = ranks[2]
    assert float(weight[-1]) == 0.0, "the last slice of the last rank is a short one"
    wrong = {
        "last batch dropped": [steps[:-1] for steps in ranks],
        "a window twice": [*ranks[:2], [*whole, (numbers, weight.clamp(min=0.1))]],
        "weights of one": [[(n, (w > 0).float()) for n, w in steps] for steps in ranks],
        "fillers count": [[(n, torch.ones_like(w)) for n, w in steps] for steps in ranks],
        "rank": [ranks[0], ranks[0], ranks[2]],
    }[fault]
    with pytest.raises(AssertionError):
        check_order(wrong, 20, 3)


def flat(steps) -> list[int]:
    return torch.cat([numbers[weight > 0] for numbers, weight in steps]).tolist()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**62), number=st.integers(0, 1000))
def test_the_order_is_a_pure_function_of_seed_and_epoch(seed, number):
    """Torch's own generator has no say in it and is not moved."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = flat(epoch(50, 8, 1, seed, number)[0])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert one == flat(epoch(50, 8, 1, seed, number)[0])
    assert one != flat(epoch(50, 8, 1, seed, number + 1)[0])
    assert one != flat(epoch(50, 8, 1, seed + 1, number)[0])
    assert one != list(range(50))


def test_without_a_seed_windows_come_as_they_lie_in_every_epoch():
    assert flat(epoch(50, 8, 1, None, 0)[0]) == flat(epoch(50, 8, 1, None, 7)[0]) == list(range(50))


@settings(max_examples=40, deadline=None)
@given(
    windows=st.integers(1, 60),
    batch=st.integers(1, 9),
    world=WORLDS,
    number=st.integers(0, 3),
    accumulate=st.integers(1, 3),
    data=st.data(),
)
def test_the_order_resumes_from_any_position(windows, batch, world, number, accumulate, data):
    whole = epoch(windows, batch, world, number=number, accumulate=accumulate)
    first = data.draw(st.integers(0, len(whole[0])))
    again = epoch(windows, batch, world, number=number, first=first, accumulate=accumulate)
    for kept, resumed in zip(whole, again, strict=True):
        assert len(resumed) == len(kept) - first
        for (numbers, weight), (again, weight_again) in zip(kept[first:], resumed, strict=True):
            assert torch.equal(numbers, again) and torch.equal(weight, weight_again)


@pytest.mark.parametrize("world", [2, 3, 6])
def test_any_number_of_processes_sees_the_same_global_batches(world):
    def steps(size: int, processes: int, accumulate: int = 1) -> list[set[int]]:
        ranks = epoch(50, size, processes, seed=5, number=3, accumulate=accumulate)
        places = range(0, len(ranks[0]), accumulate)
        return [set().union(*(flat(batches[i : i + accumulate]) for batches in ranks)) for i in places]

    assert steps(12, 1) == steps(12, world) == steps(12 // world, 1, accumulate=world)
