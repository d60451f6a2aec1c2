"""PIT values: evenly spread under a true law, by hand between levels, at ties and outside."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from forecast.error import Refusal
from forecast.evaluation.pit import histogram, pit

LEVELS = (0.1, 0.3, 0.8)


def table(y: list[float], *quantiles: float, levels: tuple[float, ...] = LEVELS) -> pd.DataFrame:
    frame = pd.DataFrame({"unique_id": "a", "ds": range(len(y)), "cutoff": 0, "y": y, "point": 0.0})
    law = {f"q{level!r}": x for level, x in zip(levels, quantiles, strict=True)}
    return pd.concat([frame, pd.DataFrame(law, index=frame.index)], axis=1)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (-1.0, 0.05),  # below q0.1: the middle of 0 to 0.1
        (15.0, 0.2),  # half way from q0.1 = 10 to q0.3 = 20
        (20.0, 0.3),
        (60.0, 0.7),  # four fifths of the way to q0.8 = 70
        (71.0, 0.9),  # above: the middle of 0.8 to 1
        (10.0, 0.05),
        (70.0, 0.9),
        (np.nan, np.nan),
    ],
)
def test_a_value_by_hand(y, expected):
    assert pit(table([y, 0.0], 10.0, 20.0, 70.0))[0] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("quantiles", "spans"),
    [((5, 5, 9), (0, 0.3)), ((1, 5, 5), (0.3, 1)), ((5, 5, 5), (0, 1)), ((1, 5, 9), (0.3, 0.3))],
)
def test_where_y_equals_quantiles_it_is_spread_over_their_levels(quantiles, spans):
    made = table([5.0], *map(float, quantiles))
    low, high = spans
    assert pit(made)[0] == pytest.approx((low + high) / 2)
    found = histogram(made, 20)
    edges = np.arange(21) / 20
    cumulative = np.clip((edges - low) / (high - low), 0, 1) if high > low else np.where(edges == low, 0.5, edges > low)
    np.testing.assert_allclose(found["share"], np.diff(cumulative), atol=1e-12)


def test_quantiles_that_cross_are_put_in_order():
    y = [-1.0, 5.0, 15.0, 25.0]
    np.testing.assert_array_equal(pit(table(y, 20.0, 0.0, 10.0)), pit(table(y, 0.0, 10.0, 20.0)))


def test_the_values_of_a_true_law_are_spread_evenly():
    levels = tuple(np.round(np.linspace(0.01, 0.99, 99), 2).tolist())
    true = (np.arange(20_000) + 0.5) / 20_000
    made = table(norm.ppf(true).tolist(), *norm.ppf(levels).tolist(), levels=levels)
    np.testing.assert_allclose(pit(made), true, atol=5e-3)
    np.testing.assert_allclose(histogram(made, 10)["share"], 0.1, atol=1e-3)
    narrow = histogram(made.assign(y=1.5 * made["y"]))["share"].to_numpy()
    assert narrow[0] > 0.15 < narrow[-1] and narrow[4] < 0.08 > narrow[5]
    high = histogram(made.assign(y=made["y"] - 1))["share"]
    assert high.is_monotonic_decreasing


@settings(max_examples=50, deadline=None)
@given(
    y=st.lists(st.integers(-3, 12) | st.just(np.nan), min_size=1, max_size=20).filter(lambda x: not all(np.isnan(x))),
    quantiles=st.tuples(*[st.integers(0, 9)] * 3),
    bins=st.integers(1, 13),
)
def test_values_and_shares_lie_where_they_must(y, quantiles, bins):
    made = table([float(x) for x in y], *map(float, quantiles))
    values, found = pit(made), histogram(made, bins)
    assert (np.isnan(values) == np.isnan(made["y"])).all()
    seen = made["y"].notna().to_numpy()
    assert ((values[seen] > 0) & (values[seen] < 1)).all()
    order = np.argsort(made["y"].to_numpy()[seen])
    assert (np.diff(values[seen][order]) >= 0).all()
    assert len(found) == bins and (found["share"] >= -1e-12).all() and found["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(found["upper"] - found["lower"], 1 / bins)


def test_a_table_without_quantiles_is_refused():
    made = table([1.0], 0.0, 1.0, 2.0)[["unique_id", "ds", "cutoff", "y", "point"]]
    for function in (pit, histogram):
        with pytest.raises(Refusal, match="no quantiles") as refusal:
            function(made)
        assert refusal.value.code == "levels"
