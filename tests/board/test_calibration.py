"""Reliability and PIT: what is drawn against counts done by hand, and forecasts of which the truth is known."""

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tables import NINE, forecasts

from forecast.board.calibration import pit, reliability


def drawn(draw, table):
    axes = Figure().subplots()
    draw(axes, table)
    return axes


def points(table) -> tuple[np.ndarray, np.ndarray]:
    (line,) = [x for x in drawn(reliability, table).lines if x.get_label() == "forecast"]
    return line.get_xdata(), line.get_ydata()


def heights(table) -> np.ndarray:
    return np.array([bar.get_height() for bar in drawn(pit, table).patches])


def normal(width: float, bias: float = 0.0, rows: int = 20_000) -> pd.DataFrame:
    """Quantiles of a normal law of another width and middle than that of y."""
    rng = np.random.default_rng(1)
    table = forecasts(horizon=24, cutoffs=rows // 24, levels=())
    columns = {f"q{x:g}": bias + width * NormalDist().inv_cdf(x) for x in NINE}
    return table.assign(y=rng.standard_normal(len(table)), point=bias, **columns)


def test_quantiles_that_hold_lie_on_the_diagonal_and_make_a_flat_histogram():
    levels, share = points(normal(1.0))
    assert list(levels) == list(NINE) and share == pytest.approx(levels, abs=0.015)
    assert heights(normal(1.0)) == pytest.approx(np.ones(10), abs=0.08)


@pytest.mark.parametrize(("width", "bias"), [(0.6, 0.0), (1.8, 0.0), (1.0, 0.7)])
def test_quantiles_that_do_not_hold_are_seen(width, bias):
    levels, share = points(normal(width, bias))
    law = NormalDist()
    expected = [law.cdf(bias + width * law.inv_cdf(x)) for x in levels]
    assert share == pytest.approx(expected, abs=0.015)
    edges = [0, *expected, 1]
    assert heights(normal(width, bias)) / 10 == pytest.approx(np.diff(edges), abs=0.01)


def test_rows_without_y_are_left_out_and_a_tie_is_held_to_lie_where_it_should():
    table = forecasts(levels=(0.25, 0.75)).assign(y=np.nan)
    table.loc[:3, "y"] = table["q0.25"]
    levels, share = points(table)
    assert list(levels) == [0.25, 0.75] and list(share) == [0.25, 1]  # at q0.25, below q0.75
    assert heights(table) == pytest.approx([4, 0, 0])


def test_a_forecast_that_holds_looks_so_where_half_of_y_is_at_a_bound():
    """As the sun at night: quantiles up to the median are 0, and so is y."""
    table = forecasts(cutoffs=400)
    columns, y = table.filter(regex=r"^q0\.").columns, np.random.default_rng(1).uniform(-1, 1, len(table)).clip(0)
    table = table.assign(y=y, **{name: max(0.0, 2 * float(name[1:]) - 1) for name in columns})
    levels, share = points(table)
    assert np.abs(share - levels).max() < 0.05 and np.ptp(heights(table)) < 0.5


def test_uneven_levels_keep_the_area_of_one():
    table = forecasts(levels=(0.01, 0.1, 0.5, 0.975), cutoffs=30)
    bars = drawn(pit, table).patches
    assert [bar.get_width() for bar in bars] == pytest.approx([0.01, 0.09, 0.4, 0.475, 0.025])
    assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1)


@pytest.mark.parametrize("draw", [reliability, pit])
def test_a_table_without_y_says_so(draw):
    table = forecasts().assign(y=np.nan)
    before = table.copy(deep=True)
    axes = drawn(draw, table)
    assert [x.get_text() for x in axes.texts] == ["no y is observed yet"] and not axes.lines
    pd.testing.assert_frame_equal(table, before)
