"""Errors as pictures: the numbers drawn against sums done by hand, and tables that are hard to draw."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from tables import classes, forecasts

from forecast.board.error import MOST, autocorrelation, by_step, calendar, correlations, judged, residuals, steps
from forecast.board.figure import FORECAST
from forecast.board.rhythm import rhythm


def drawn(draw, *given):
    axes = Figure().subplots()
    draw(axes, *given)
    return axes


def holed(table: pd.DataFrame, every: int = 10) -> pd.DataFrame:
    return table.assign(y=table["y"].where(np.arange(len(table)) % every != 4))


@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("stride", [7, 24, 72])
def test_the_error_of_a_step_is_the_mean_over_all_forecasts(stride, gap):
    table = holed(forecasts(series=3, stride=stride, gap=gap))
    found = by_step(table.sample(frac=1, random_state=0))
    expected = [[] for _ in range(24)]
    for _, rows in table.groupby(["unique_id", "cutoff"]):
        for step, (y, point) in enumerate(zip(rows["y"], rows["point"], strict=True)):
            if not np.isnan(y):
                expected[step].append(abs(y - point))
    assert found.index.tolist() == list(range(1, 25))
    assert found.to_numpy() == pytest.approx([np.mean(x) for x in expected], rel=1e-12)


def test_a_model_is_drawn_beside_its_baselines():
    table = forecasts(cutoffs=4)
    tables = {"mine": table, "naive": table.assign(point=90.0), "other": table.assign(point=80.0)}
    axes = drawn(steps, tables)
    assert axes.get_legend_handles_labels()[1] == list(tables)
    for line, each in zip(axes.lines, tables.values(), strict=True):
        assert np.array_equal(line.get_ydata(), by_step(each))
    assert axes.lines[0].get_color() == FORECAST and len({line.get_color() for line in axes.lines}) == 3
    assert axes.get_ylim()[0] == 0


def test_of_classes_the_error_is_the_share_of_wrong_ones():
    table = classes()
    assert by_step(table).to_numpy() == pytest.approx(
        [(table["y"] != table["point"])[i::3].mean() for i in range(3)], rel=1e-12
    )
    assert drawn(steps, {"mine": table}).get_ylabel() == "share of wrong classes"


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
def test_the_map_is_of_hours_and_weekdays_of_the_local_clock(tz):
    """The night in March on which an hour is left out is among the days."""
    table = holed(forecasts(cutoffs=20, begin="2024-03-20", tz=tz))
    cells = drawn(calendar, table).images[0].get_array()
    for weekday, hour in ((0, 0), (2, 13), (6, 3), (6, 23)):
        rows = [x.weekday() == weekday and x.hour == hour for x in table["ds"]]
        expected = (table["y"] - table["point"]).abs()[rows].mean()
        assert cells[weekday, hour] == pytest.approx(expected, rel=1e-12)
    assert cells.shape == (7, 24)


@pytest.mark.parametrize(
    ("kind", "rows", "columns"),
    [
        ({"freq": "D", "horizon": 7, "cutoffs": 20}, 7, 12),
        ({"freq": "B", "horizon": 5, "cutoffs": 20}, 5, 12),
        ({"freq": "MS", "horizon": 12, "cutoffs": 3, "begin": "2020-12-01"}, 3, 12),
        ({"freq": "W", "horizon": 4, "cutoffs": 20}, 2, 12),
        ({"freq": "15min", "horizon": 96, "cutoffs": 9}, 7, 24),
        ({"freq": "24h", "horizon": 2, "cutoffs": 9, "begin": "2024-03-25 06:00", "tz": "Europe/Berlin"}, 7, 12),
    ],
)
def test_the_map_fits_the_step_of_the_data(kind, rows, columns):
    table = forecasts(**kind)
    if kind["freq"] == "24h":  # gas days: stamped at one local time of day, one of them 23 hours long
        for name in ("ds", "cutoff"):
            table[name] = (table[name].dt.tz_localize(None).dt.normalize() + pd.Timedelta("6h")).dt.tz_localize(
                kind["tz"]
            )
    axes = drawn(calendar, table)
    assert axes.images[0].get_array().shape == (rows, columns)
    local = table["ds"].dt.tz_localize(None)
    if columns == 12:
        place = local.dt.month == local.iloc[0].month
        place &= (local.dt.year == local.iloc[0].year) if kind["freq"] in ("MS", "W") else (local.dt.day_of_week == 1)
        expected = (table["y"] - table["point"]).abs()[place].mean()
        row = 0 if kind["freq"] in ("MS", "W") else 1
        assert axes.images[0].get_array()[row, local.iloc[0].month - 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "steps", "unit"),
    [
        ({}, 24, "day"),
        ({"tz": "Europe/Berlin", "begin": "2024-10-26"}, 24, "day"),
        ({"freq": "15min", "horizon": 96}, 96, "day"),
        ({"freq": "D", "horizon": 7}, 7, "week"),
        ({"freq": "B", "horizon": 5}, 5, "week"),
        ({"freq": "W", "horizon": 4}, 52, "year"),
        ({"freq": "MS", "horizon": 12}, 12, "year"),
        ({"freq": "ME", "horizon": 12}, 12, "year"),
        ({"freq": "QS", "horizon": 4}, 4, "year"),
        ({"freq": "YS", "horizon": 4}, 1, "year"),
        ({"horizon": 1, "stride": 24}, 24, "day"),
        ({"horizon": 1, "cutoffs": 1}, 24, "day"),
    ],
)
def test_the_rhythm_of_a_table_is_found(kind, steps, unit):
    assert rhythm(forecasts(**kind))[1:] == (steps, unit)


def by_hand(table: pd.DataFrame, lag: int, step: pd.Timedelta) -> tuple[float, int]:
    """The mean of products of standardised errors `lag` steps apart, pair by pair."""
    products = []
    for _, rows in judged(table).groupby("unique_id"):
        rows = rows.sort_values("cutoff").drop_duplicates("ds", keep="last")
        e = dict(zip(rows["ds"], (rows["error"] - rows["error"].mean()) / rows["error"].std(ddof=0), strict=True))
        products += [e[ds] * e[ds + lag * step] for ds in e if ds + lag * step in e]
    return float(np.mean(products)), len(products)


@settings(max_examples=15, deadline=None)
@given(
    series=st.integers(1, 3),
    stride=st.sampled_from([1, 7, 24, 72]),
    every=st.sampled_from([3, 10, 1000]),
    tz=st.sampled_from([None, "Europe/Berlin"]),
)
def test_autocorrelations_are_means_over_the_pairs_that_are_there(series, stride, every, tz):
    table = holed(forecasts(series, 8, stride=stride, begin="2024-03-29", tz=tz), every)
    before = table.copy(deep=True)
    found, pairs = correlations(table.sample(frac=1, random_state=0), 30)
    for lag in (1, 2, 5):
        if lag <= len(found):
            r, count = by_hand(table, lag, pd.Timedelta("1h"))
            assert pairs[lag - 1] == count and found[lag - 1] == pytest.approx(r, rel=1e-9, abs=1e-9)
    pd.testing.assert_frame_equal(table, before)


def noise(n: int, memory: float, series: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = forecasts(series=series, cutoffs=n // 24, levels=())
    errors = rng.standard_normal((series, len(table) // series))
    for t in range(1, errors.shape[1]):
        errors[:, t] += memory * errors[:, t - 1]
    return table.assign(point=table["y"] - errors.ravel())


def test_white_noise_stays_within_its_bounds_and_a_memory_does_not():
    found, pairs = correlations(noise(24_000, 0.0), 48)
    assert 0.85 < (np.abs(found) < 1.96 / np.sqrt(pairs)).mean() < 1
    found, _ = correlations(noise(24_000, 0.8), 10)
    assert found == pytest.approx(0.8 ** np.arange(1, 11), abs=0.05)


def test_business_days_follow_each_other_over_weekends():
    table = forecasts(freq="B", horizon=5, cutoffs=30)
    e = judged(table)["error"].to_numpy()
    z = (e - e.mean()) / e.std()
    found, pairs = correlations(table, 5)
    assert found == pytest.approx([(z[:-k] * z[k:]).mean() for k in range(1, 6)]) and pairs[0] == len(z) - 1


@pytest.mark.parametrize("most", [1, 12, MOST])
def test_there_are_not_more_lags_than_a_quarter_of_the_steps(most):
    assert len(correlations(forecasts(cutoffs=4), most)[0]) == min(most, 24)


def test_the_errors_of_several_series_are_each_in_their_own_unit():
    table = noise(2400, 0.0, series=2)
    loud = table["unique_id"] == "s1"
    table.loc[loud, "point"] = table["y"] - 1000 * (table["y"] - table["point"])
    bars = drawn(residuals, table).patches
    assert max(abs(bar.get_x()) for bar in bars) < 6
    assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(0.99, abs=0.002)
    one = drawn(residuals, table[loud])
    assert f"deviation {judged(table[loud])['error'].std(ddof=0):.3g}" in one.get_title(loc="right")


@pytest.mark.parametrize("draw", [calendar, residuals, autocorrelation, lambda axes, x: steps(axes, {"mine": x})])
@pytest.mark.parametrize("case", ["no y", "no error", "the same error", "one row", "two rows"])
def test_tables_that_say_nothing_are_drawn_as_such(draw, case):
    table = forecasts(series=2)
    if case == "no y":
        table["y"] = np.nan
    elif case.endswith("error"):
        table["y"] = table["point"] + (case == "the same error")
    else:
        table = forecasts(horizon=1, cutoffs=1 if case == "one row" else 2)
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    draw(axes, table)
    figure.canvas.draw()
    said = [text.get_text() for text in axes.texts]
    if case == "no y":
        assert len(said) == 1 and ("no y" in said[0] or "too few" in said[0])
    if draw in (residuals, autocorrelation) and case == "no error":
        assert said in (["all errors are 0"], ["too few errors that vary for an autocorrelation"])
