"""What is drawn of which table: every kind of it, readable, and left as it was."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tables import TABLES, classes, forecasts

from forecast.board.attention import attention
from forecast.board.figure import alone
from forecast.board.rhythm import Rhythm
from forecast.board.sheet import SMALL, curves, sheets, singles

ERRORS = ["error/by_step", "error/by_calendar", "error/residuals", "error/autocorrelation"]
CALIBRATION = ["calibration/reliability", "calibration/pit"]
LABELLED = ("quarter hours", "business days", "months", "one step", "a single row")
HOUR = Rhythm(pd.Timedelta("1h"), 24, "day")


def legible(drawn: Figure) -> None:
    """No two labels of an axis touch, there are not too many, and none is cut off."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    width, height = canvas.get_width_height()
    for axes in drawn.axes:
        shown = ((axes.get_xticklabels(), 0), (axes.get_yticklabels(), 1)) if axes.axison else ()
        for labels, side in shown:
            boxes = [x.get_window_extent() for x in labels if x.get_text() and x.get_visible()]
            low, high = axes.get_window_extent().get_points()[:, side]
            boxes = [x for x in boxes if low - 1 <= x.get_points()[:, side].mean() <= high + 1]
            boxes.sort(key=lambda x: x.get_points()[0, side])
            assert len(boxes) <= 14, f"{axes.get_title(loc='left')}: {len(boxes)} labels"
            for one, next_ in pairwise(boxes):
                assert one.get_points()[1, side] <= next_.get_points()[0, side] + 1
            for box in boxes:
                (left, bottom), (right, top) = box.get_points()
                assert left >= -1 and bottom >= -1 and right <= width + 1 and top <= height + 1


@pytest.mark.parametrize("name", TABLES)
def test_every_table_gets_its_sheets(name):
    table = forecasts(**TABLES[name])
    table["y"] = table["y"].where(np.arange(len(table)) % 10 != 4)
    if len(table) == 1:
        table["y"] = 1.0
    tables = {"mine": table, "seasonal_naive": table.assign(point=100.0)[["unique_id", "ds", "cutoff", "y", "point"]]}
    before = {each: x.copy(deep=True) for each, x in tables.items()}
    found = sheets(tables, "a title")
    several = len([x for x in table.columns if x.startswith("q")]) > 1
    assert list(found) == ["forecast", "errors", *(["calibration"] if several else [])]
    assert len([x for x in found["errors"].axes if x.get_title(loc="left")]) == 4
    for drawn in list(found.values())[1:]:
        assert "a title" in drawn.get_suptitle()
        if name in LABELLED:  # drawing is what takes time
            legible(drawn)
    for each, x in tables.items():
        pd.testing.assert_frame_equal(x, before[each])
    assert plt.get_fignums() == []


def test_a_crowded_axis_is_not_legible():
    drawn = Figure(layout="constrained")
    axes = drawn.subplots()
    axes.set_xticks(range(13), ["a rather long label"] * 13)
    with pytest.raises(AssertionError):
        legible(drawn)
    axes.set_xticks(range(40), ["a"] * 40)
    with pytest.raises(AssertionError, match="40 labels"):
        legible(drawn)


@pytest.mark.parametrize("horizon", [2, 25, 96, 720])
def test_steps_of_any_horizon_are_legible(horizon):
    drawn = singles({"mine": forecasts(horizon=horizon, cutoffs=3, levels=())}, "")["error/by_step"]
    legible(drawn)
    ticks = [int(x) for x in drawn.axes[0].get_xticks()]
    assert min(ticks) >= 1 and max(ticks) <= horizon and (horizon % 24 or horizon % (ticks[-1] - ticks[-2]) == 0)


def test_each_picture_has_a_tag_of_its_own():
    found = singles({"mine": forecasts()}, "a title", np.full((24, 48), 1 / 48))
    assert list(found) == ["forecast/fan", *ERRORS, *CALIBRATION, "attention/weights"]
    assert all("a title" in drawn.get_suptitle() for drawn in found.values())
    for tag in ERRORS + CALIBRATION:
        legible(found[tag])
    assert list(singles({"mine": forecasts(levels=())}, "")) == ["forecast/fan", *ERRORS]


def test_of_classes_there_are_a_confusion_matrix_and_where_it_is_wrong():
    table = classes()
    before = table.copy(deep=True)
    tables = {"mine": table, "seasonal_naive": table.assign(point=1.0)}
    assert list(singles(tables, "")) == ["forecast/confusion", *ERRORS[:2]]
    found = sheets(tables, "")
    assert list(found) == ["forecast", "errors"] and found["forecast"].get_label() == "confusion"
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("made", [forecasts, classes])
def test_the_future_which_nobody_has_seen_is_drawn_too(made):
    table = made().assign(y=np.nan)
    for drawn in sheets({"mine": table}, "").values():
        FigureCanvasAgg(drawn).draw()


def test_curves_are_the_errors_by_step_under_the_names_that_every_run_has():
    table = forecasts(cutoffs=9)
    found = curves({"direct-lstm (oracle)": table, "seasonal_naive": table.assign(point=90.0)})
    assert list(found) == ["by_step/model", "by_step/seasonal_naive"]
    error = (table["y"] - table["point"]).abs().to_numpy().reshape(9, 24).mean(0)
    assert found["by_step/model"].to_numpy() == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize(("context", "marks"), [(168, 7), (24, 1), (12, 0), (1000, 41)])
def test_attention_is_drawn_with_its_days_marked(context, marks):
    weights = np.random.default_rng(0).random((24, context))
    drawn = alone(lambda axes: attention(axes, weights, HOUR), "a title", SMALL)
    axes = drawn.axes[0]
    assert np.array_equal(axes.images[0].get_array(), weights)
    assert list(axes.images[0].get_extent()) == [-context - 0.5, -0.5, 24.5, 0.5]  # the last step seen is -1
    legible(drawn)
    lines = [x for found in axes.collections for x in found.get_segments()]
    assert len(lines) == (marks - (context == 24 * marks) if marks else 0)
    if marks:
        days = {-x for x, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
        assert all(day % 24 == 0 for day in days) and axes.get_xlabel().startswith("days")
