"""The forecast table: every cell against a construction of its own from stamps and loops."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.contract import Window
from forecast.data import grid as grids
from forecast.data import panel as panels
from forecast.data import scaler, table
from forecast.data.forecasts import tabulate
from forecast.data.panel import Panel
from forecast.data.windows import Windows

GRIDS = {
    "hours": ("2024-02-28 05:00", "h", None),
    "spring night": ("2024-03-30 12:00", "h", "Europe/Berlin"),  # 02:00 is missing on the 31st
    "autumn night": ("2024-10-26 12:00", "h", "Europe/Berlin"),  # 02:00 comes twice on the 27th
    "quarter hours": ("2024-10-27 00:00", "15min", "Europe/Berlin"),
    "days of a zone": ("2024-03-25", "D", "Europe/Berlin"),
    "business days": ("2024-01-04", "B", None),
    "weeks": ("2023-12-06", "W-WED", None),
    "month ends": ("2023-11-30", "ME", None),
}
LEVELS = (0.05, 0.1 + 0.2, 0.5)  # not quite 0.3
NAMES = ["q0.05", "q0.3", "q0.5"]
LENGTHS = {"a": (0, 31), "b": (3, 20), "c": (8, 12)}  # first step and rows; series are sorted by name


@pytest.fixture(scope="module")
def csv(request) -> dict:
    """The keys of conf/data/csv.yaml."""
    return yaml.safe_load((request.config.rootpath / "conf/data/csv.yaml").read_text())


@dataclass
class Case:
    """A panel and what it was made of: `stamps` of each series, with those that follow its last row."""

    panel: Panel
    window: Window
    stamps: dict[str, pd.DatetimeIndex]
    labels: dict[str, list[str]]


def case(csv: dict, grid: str, window: Window, layout: str) -> Case:
    """Series of different spans: `long` (an id and one target), `joint` (an id and channels) or `wide` (targets)."""
    begin, freq, tz = GRIDS[grid]
    spans = {"series": LENGTHS["a"]} if layout == "wide" else LENGTHS
    whole = pd.date_range(begin, periods=60, freq=freq, tz=tz).as_unit("ns")
    frames = []
    for name, (first, rows) in spans.items():
        values = {target: np.arange(rows) + 0.5 for target in ("v", "u")}
        frames.append(pd.DataFrame({"site": name, "ds": whole[first : first + rows], **values}))
    settings = {**csv, "target": ["v"] if layout == "long" else ["v", "u"], "joint": layout == "joint"}
    frame = pd.concat(frames, ignore_index=True)
    frame, settings = (frame.drop(columns="site"), settings) if layout == "wide" else (frame, settings | {"id": "site"})
    laid = grids.grid(table.table(frame, settings, "test"), window.ahead)
    learnt = scaler.learn(laid, int(laid.first.min()) + 10, {**csv, "calendar": []})
    stamps = {name: whole[first : first + rows + window.ahead] for name, (first, rows) in spans.items()}
    labels = {name: [name] if layout == "long" else [f"{name}/v", f"{name}/u"] for name in spans}
    if layout == "wide":
        stamps, labels = {"v": stamps["series"], "u": stamps["series"]}, {"v": ["v"], "u": ["u"]}
    return Case(panels.panel(laid, learnt), window, stamps, labels)


def cutoffs(made: Case, stride: int) -> list[tuple[str, int]]:
    """Series and last row seen of windows that follow each other by `stride`, also beyond the last row."""
    last = made.window.context - 1
    return [
        (name, i) for name, stamps in made.stamps.items() for i in range(last, len(stamps) - made.window.ahead, stride)
    ]


def row(made: Case, name: str, i: int) -> int:
    """The panel's row of row i of a series."""
    before = list(made.stamps)[: list(made.stamps).index(name)]
    return sum(len(made.stamps[each]) for each in before) + i


def arrays(windows: int, horizon: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, point and quantiles of which no two values are equal; some y are missing."""
    shape = (windows, horizon, channels)
    point = np.arange(np.prod(shape), dtype="float64").reshape(shape)
    quantiles = point[..., None] + np.array([0.1, 0.2, 0.3])
    return np.where(point % 7 == 3, np.nan, -point), point, quantiles


def constructed(made: Case, seen: list[tuple[str, int]], y: np.ndarray, point: np.ndarray, quantiles: np.ndarray):
    """The table in plain loops: series, then channel, then cutoff, then step."""
    rows = []
    for name, stamps in made.stamps.items():
        for channel, label in enumerate(made.labels[name]):
            for number, (series, i) in sorted(enumerate(seen), key=lambda x: x[1][1]):
                for step in range(made.window.horizon) if series == name else ():
                    at = number, step, channel
                    ds, cutoff = stamps[i + made.window.gap + 1 + step], stamps[i]
                    rows.append([label, ds, cutoff, y[at], point[at], *quantiles[at]])
    return pd.DataFrame(rows, columns=["unique_id", "ds", "cutoff", "y", "point", *NAMES])


def check(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found.columns) == list(expected.columns)
    for stamp in ("ds", "cutoff"):
        assert str(found[stamp].dt.tz) == str(expected[stamp].dt.tz)
        assert (found[stamp] == expected[stamp]).all()
    assert found["unique_id"].tolist() == expected["unique_id"].tolist()
    assert all(isinstance(name, str) for name in found["unique_id"])
    numbers = ["y", "point", *(x for x in NAMES if x in expected)]
    assert (found[numbers].dtypes == "float64").all()
    assert np.array_equal(found[numbers], expected[numbers], equal_nan=True)
    assert isinstance(found.index, pd.RangeIndex) and len(found) == len(expected)


@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("layout", ["long", "joint", "wide"])
@pytest.mark.parametrize("grid", GRIDS)
def test_each_cell_stands_where_it_belongs(csv, grid, layout, gap):
    made = case(csv, grid, Window(1, 3, 1, gap), layout)  # the first row of each series is a cutoff
    seen = cutoffs(made, 2)
    parts = arrays(len(seen), 3, made.panel.y.shape[1])
    rows = np.array([row(made, *each) for each in seen])
    check(tabulate(made.panel, gap, rows, *parts, LEVELS), constructed(made, seen, *parts))


@settings(max_examples=25, deadline=None)
@given(
    grid=st.sampled_from(list(GRIDS)),
    layout=st.sampled_from(["long", "joint", "wide"]),
    horizon=st.integers(1, 6),
    gap=st.integers(0, 4),
    stride=st.integers(1, 9),
)
def test_windows_of_a_panel_become_the_rows_that_they_forecast(csv, grid, layout, horizon, gap, stride):
    """From Windows to the table: where a row is observed, its y is the value of the data at its stamp."""
    made = case(csv, grid, Window(4, horizon, stride, gap), layout)
    end = int((made.panel.first + made.panel.lengths).max())
    windows = Windows.between(made.panel, made.window, int(made.panel.first.min()), end)
    batches = list(windows.batches(5))
    cutoff = np.concatenate([x.cutoff.numpy() for x in batches])
    y = np.concatenate([x.target.numpy() for x in batches])
    found = tabulate(made.panel, gap, cutoff, y, -y, y[..., None][..., :0], ())
    seen = [
        (name, i) for name, i in cutoffs(made, stride) if i + horizon + gap < len(made.stamps[name]) - gap - horizon
    ]
    check(found, constructed(made, seen, *parted(made, seen)).drop(columns=NAMES))


def parted(made: Case, seen: list[tuple[str, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y as in the data (row i has i + 0.5), point its negative, quantiles that nobody looks at."""
    gap, horizon = made.window.gap, made.window.horizon
    ahead = np.array([i for _, i in seen])[:, None] + np.arange(gap + 1, gap + 1 + horizon)
    y = np.repeat(ahead[..., None] + 0.5, made.panel.y.shape[1], 2)
    return y, -y, np.zeros((*y.shape, len(NAMES)))


def test_forecasts_are_sorted_by_cutoff_whatever_the_order_of_the_windows(csv):
    made = case(csv, "hours", Window(4, 3, 1, 1), "joint")
    seen = cutoffs(made, 2)
    seen = [seen[i] for i in np.random.default_rng(0).permutation(len(seen))]
    parts = arrays(len(seen), 3, 2)
    rows = np.array([row(made, *each) for each in seen])
    check(tabulate(made.panel, 1, rows, *parts, LEVELS), constructed(made, seen, *parts))


def test_the_night_of_25_hours_has_25_rows(csv):
    made = case(csv, "autumn night", Window(4, 25, 1, 0), "wide")
    cutoff = 11  # 23:00; the local day from 00:00 to 23:00 follows
    parts = arrays(1, 25, 1)
    found = tabulate(made.panel, 0, np.array([cutoff]), *parts, LEVELS)
    assert found["ds"].dt.date.nunique() == 1 and found["ds"].is_monotonic_increasing
    assert found["ds"].dt.hour.tolist() == [0, 1, 2, 2, *range(3, 24)]
    assert str(found["cutoff"].iloc[0]) == "2024-10-26 23:00:00+02:00"


def test_without_levels_there_are_no_quantiles(csv):
    made = case(csv, "hours", Window(4, 3), "long")
    y, point, _ = arrays(2, 3, 1)
    found = tabulate(made.panel, 0, np.array([5, 9]), y, point, np.empty((2, 3, 1, 0)), ())
    assert list(found.columns) == ["unique_id", "ds", "cutoff", "y", "point"] and len(found) == 6


@pytest.mark.parametrize("fault", ["stamps", "gap", "channels", "steps"])
def test_the_construction_catches(csv, fault):
    """... a stamp one step off, a gap that is ignored, and values of other channels or steps."""
    made = case(csv, "business days", Window(4, 3, 1, 2), "joint")
    seen = cutoffs(made, 3)
    parts = arrays(len(seen), 3, 2)
    rows = np.array([row(made, *each) for each in seen])
    expected = constructed(made, seen, *parts)
    check(tabulate(made.panel, 2, rows, *parts, LEVELS), expected)
    turned = [np.flip(x, 2 if fault == "channels" else 1) if fault in ("channels", "steps") else x for x in parts]
    wrong = tabulate(made.panel, 0 if fault == "gap" else 2, rows + (fault == "stamps"), *turned, LEVELS)
    with pytest.raises(AssertionError):
        check(wrong, expected)
