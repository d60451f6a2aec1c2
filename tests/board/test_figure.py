"""Fan charts: what is drawn, what is left out, and that no picture shows a forecast that nobody made."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from tables import NINE, TABLES, forecasts

from forecast.board import figure
from forecast.board.figure import ACTUAL, FORECAST, SERIES, STEPS, chosen, fan, png, successive


def pixels(drawn: Figure, colour: str) -> int:
    """How many pixels inside the axes have exactly a colour."""
    drawn.axes[0].get_legend().remove()
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    box = drawn.axes[0].get_window_extent()
    inside = picture[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].astype(int)
    return int((np.abs(inside - np.array(to_rgb(colour)) * 255) <= 2).all(-1).sum())


def strokes(drawn: Figure) -> list[tuple[float, float]]:
    """From where to where, in days, lines and bands run without a break."""
    axes, found = drawn.axes[0], []
    for line in axes.lines:
        x, y = date2num(line.get_xdata()), np.asarray(line.get_ydata(), dtype="float64")
        found += [(x[i], x[i + 1]) for i in range(len(x) - 1) if np.isfinite(y[i : i + 2]).all()]
    for band in axes.collections:
        corners = [path.vertices[:, 0] for path in band.get_paths() if len(path.vertices)]
        for x in corners:
            stamps = np.unique(x)
            found += pairwise(stamps)
    return found


@pytest.mark.parametrize("actual", ["some", "none"])
@pytest.mark.parametrize("name", TABLES)
def test_every_table_becomes_a_picture_and_nothing_stays_open(name, actual):
    table = forecasts(**TABLES[name])
    table["y"] = np.nan if actual == "none" else table["y"].where(np.arange(len(table)) % 10 != 4)
    before = table.copy(deep=True)
    drawn = fan(table, "a title")
    assert isinstance(drawn, Figure) and "a title" in drawn.get_suptitle()
    names = chosen(table)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == [f"{name}{said}" for name, said in names.items()]
    if table["unique_id"].nunique() <= SERIES or actual == "none":
        assert list(names) == list(table["unique_id"].unique()[:SERIES]) and not any(names.values())
    for axes in drawn.axes:
        legend = axes.get_legend_handles_labels()[1]
        assert ("actual" in legend) == (actual == "some") and "forecast" in legend
        assert len(legend) == len(set(legend))
    if actual == "some":  # drawing is what takes time
        assert png(drawn).startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    pd.testing.assert_frame_equal(table, before)


def test_of_many_series_the_worst_the_middle_and_the_best_are_drawn():
    """By the error as a share of the spread: neither large units nor a constant series look bad."""
    table = forecasts(series=7)
    sizes = {"s0": 5.0, "s1": 1.0, "s2": 7.0, "s3": 3.0, "s4": 2.0, "s5": 6.0}
    noise = np.random.default_rng(0).standard_normal(len(table))
    table["point"] = table["y"] + table["unique_id"].map(sizes).fillna(0) * noise
    table.loc[table["unique_id"] == "s1", ["y", "point"]] *= 1e6
    table.loc[table["unique_id"] == "s6", ["y", "point"]] = 4.0, 5.0
    found = chosen(table.sample(frac=1, random_state=1))
    assert list(found) == ["s2", "s3", "s1"]
    assert [words.split(" (")[0] for words in found.values()] == [", the worst", ", the middle one", ", the best"]
    rows = table[table["unique_id"] == "s2"]
    share = (rows["y"] - rows["point"]).abs().mean() / (rows["y"] - rows["y"].median()).abs().mean()
    assert f"{share:.0%}" in found["s2"]


def test_a_picture_has_the_size_of_its_series():
    height = [fan(forecasts(series=n, cutoffs=1), "").get_size_inches()[1] for n in (1, 3, 4)]
    assert height[0] < height[1] == height[2]


def check(chosen: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Whole forecasts, the last one among them, none across another, in order of time."""
    spans = chosen.groupby("cutoff")["ds"].agg(["min", "max", "size"])
    assert (spans["size"] == rows.groupby("cutoff").size().loc[spans.index]).all()
    assert spans.index[-1] == rows["cutoff"].max()
    assert (spans["min"].iloc[1:].to_numpy() > spans["max"].iloc[:-1].to_numpy()).all()
    assert chosen["ds"].is_monotonic_increasing and chosen["ds"].is_unique
    assert len(chosen) <= STEPS or len(spans) == 1


@settings(max_examples=40, deadline=None)
@given(
    cutoffs=st.integers(1, 30),
    horizon=st.sampled_from([1, 2, 5, 24, 120, 410]),
    stride=st.integers(1, 60),
    seed=st.integers(0, 9),
    tz=st.sampled_from([None, "Europe/Berlin"]),
)
def test_chosen_forecasts_do_not_overlap(cutoffs, horizon, stride, seed, tz):
    """From the last one back as many as fit: every k-th, where k strides are at least a horizon."""
    rows = forecasts(cutoffs=cutoffs, horizon=horizon, stride=stride, levels=(), begin="2024-10-24", tz=tz)
    chosen = successive(rows.sample(frac=1, random_state=seed))
    check(chosen, rows)
    every = rows["cutoff"].unique()
    expected = every[:: -max(1, -(-horizon // stride))][: max(1, STEPS // horizon)]
    assert set(chosen["cutoff"]) == set(expected)


def test_the_check_of_chosen_forecasts_catches_an_overlap():
    rows = forecasts(horizon=24, stride=12)
    with pytest.raises(AssertionError):
        check(rows.sort_values("ds"), rows)
    with pytest.raises(AssertionError):
        check(successive(rows[rows["cutoff"] < rows["cutoff"].max()]), rows)


def test_what_is_drawn_are_the_numbers_of_the_table():
    table = forecasts(cutoffs=3, levels=(0.1, 0.5, 0.9), tz="Europe/Berlin")
    drawn = fan(table, "")
    blue = [line for line in drawn.axes[0].lines if line.get_color() == FORECAST]
    black = [line for line in drawn.axes[0].lines if line.get_color() == ACTUAL]
    assert np.array_equal(np.concatenate([line.get_ydata() for line in blue]), table["point"])
    assert np.array_equal(np.concatenate([line.get_ydata() for line in black]), table["y"])
    corners = np.concatenate([path.vertices for x in drawn.axes[0].collections for path in x.get_paths()])[:, 1]
    assert set(corners) == {*table["q0.1"], *table["q0.9"]}


def test_bands_pair_levels_around_the_middle():
    labels = fan(forecasts(levels=NINE), "").axes[0].get_legend_handles_labels()[1]
    assert labels[:2] == ["10% to 90%", "40% to 60%"]
    assert not fan(forecasts(levels=(0.5,)), "").axes[0].collections
    columns = forecasts(levels=(0.1, 0.9))
    turned = columns[[*columns.columns[:5], "q0.9", "q0.1"]]
    assert fan(turned, "").axes[0].get_legend_handles_labels()[1][0] == "10% to 90%"


def test_a_level_between_two_per_cent_is_not_rounded():
    labels = fan(forecasts(levels=(0.025, 0.975)), "").axes[0].get_legend_handles_labels()[1]
    assert labels[0] == "2.5% to 97.5%"


@pytest.mark.parametrize("column", ["q0_rank", "quality", "q10"])
def test_a_column_that_is_no_quantile_is_not_drawn(column):
    """Anybody's table may have columns of its own."""
    table = forecasts(levels=(0.1, 0.9)).assign(**{column: 1e9})
    assert fan(table, "").axes[0].get_ylim()[1] < 1e3


def test_nothing_is_drawn_where_no_forecast_is():
    """Of a day forecast every third day, neither a line nor a band runs over the two days between."""
    table = forecasts(cutoffs=4, stride=72)
    longest = max(end - begin for begin, end in strokes(fan(table, "")))
    assert longest == pytest.approx(1 / 24)


def test_consecutive_forecasts_have_one_line_of_actual_values():
    drawn = fan(forecasts(cutoffs=4), "")
    begin, end = zip(*(x for x in strokes(drawn) if x[0] != x[1]), strict=True)
    black = [line for line in drawn.axes[0].lines if line.get_color() == ACTUAL]
    assert len(black) == 1 and len(black[0].get_xdata()) == 96
    assert max(np.subtract(end, begin)) == pytest.approx(1 / 24)


@pytest.mark.parametrize("cutoffs", [1, 40])
def test_forecasts_of_one_step_are_seen(cutoffs):
    assert pixels(fan(forecasts(horizon=1, cutoffs=cutoffs), ""), FORECAST) > 20


def test_a_single_forecast_step_lies_in_a_span_of_its_own_size():
    axes = fan(forecasts(horizon=1, cutoffs=1), "").axes[0]
    assert np.ptp(axes.get_xlim()) < 2  # days, of an hourly series; not years


def test_time_never_runs_backwards():
    """The hour that comes twice in the autumn night is two steps wide."""
    drawn = fan(forecasts(cutoffs=3, begin="2024-10-26", tz="Europe/Berlin"), "")
    steps = [np.diff(date2num(line.get_xdata())) for line in drawn.axes[0].lines if len(line.get_xdata()) > 2]
    assert np.concatenate(steps) == pytest.approx(1 / 24)


def test_pictures_are_the_same_each_time():
    assert png(fan(forecasts(), "a")) == png(fan(forecasts(), "a")) != png(fan(forecasts(), "b"))


def test_pixels_are_found_where_forecasts_are_drawn():
    assert pixels(fan(forecasts(), ""), FORECAST) > 500 and pixels(fan(forecasts(), ""), "#ff0000") == 0


def test_the_numbers_drawn_catch_lines_that_are_swapped(monkeypatch):
    monkeypatch.setattr(figure, "ACTUAL", FORECAST)
    with pytest.raises(AssertionError):
        test_what_is_drawn_are_the_numbers_of_the_table()
