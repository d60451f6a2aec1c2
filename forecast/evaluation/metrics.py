"""Scores of forecast tables: anybody's `unique_id, ds, cutoff, y, point, q0.1 ...`, in float64, each row counted once.

Rows without an observed y are left out. e = point - y; a mean is over all rows, of the table or of a group of them.
"Unit" is that of y; all other scores have none. A score that would be divided by nothing is NaN.

Of the point forecast, which is the median where there are quantiles:

    mae       mean |e|, in the unit
    rmse      sqrt(mean e^2), in the unit
    mse       mean e^2, in the unit squared
    bias      mean e, in the unit: above 0 where forecasts are too high
    mape      mean 100 |e| / |y|, in per cent, over the rows where y is not 0   (others divide by a tiny number there)
    smape     mean 200 |e| / (|y| + |point|), 0 where both are 0, in per cent   (M4 competition, 2020)
    nd        sum |e| / sum |y|, normalised deviation   (H.-F. Yu, N. Rao, I. Dhillon, "Temporal regularized matrix
              factorization", 2016)
    r2        1 - sum e^2 / sum (y - mean y)^2; NaN where y is constant
    mase      mean |e| / d, d = mean |y_t - y_{t-season}| of the series' train rows (R. Hyndman, A. Koehler, 2006)
    rmsse     sqrt(mean e^2 / d), d = mean (y_t - y_{t-season})^2 of the series' train rows (the same; M5 competition,
              2022, with season 1); both leave out the rows of series whose d is 0 or unknown
    mae_scaled, mse_scaled   mean |e / s| and mean (e / s)^2 with s the deviation that the scaler learnt for the series

Of quantiles q at levels a, where "below" is y < q; levels are named in per cent, 10 for 0.1:

    pinball_10   mean of a (y - q), or (a - 1) (y - q) below, in the unit   (R. Koenker, G. Bassett, 1978)
    crps         mean over levels of 2 pinball, in the unit: the integral over all levels that is the continuous ranked
                 probability score, as far as equidistant levels tell (F. Laio, S. Tamea, 2007)
    wql          crps / mean |y|                                 (weighted quantile loss; GluonTS, M5)
    coverage_80  share of y inside q0.1 ... q0.9, edges included; and so for each pair of levels a and 1 - a
    width_80     mean q0.9 - q0.1, in the unit
    winkler_80   mean of the width and of 2 / 0.2 times the distance of a y outside, in the unit   (interval score;
                 R. Winkler, 1972; T. Gneiting, A. Raftery, 2007)
    calibration  mean over levels of |share of y below q - a|; 0 as well where y often equals q, if a lies between the
                 share of y below and that of y not above

Relative to a reference forecast of the same rows:

    rmae      mae / mae of the reference
    skill     1 - rmae: the share of the reference's error that is gone; of classes the same with 1 - accuracy
    owa       mean of smape and mase, each divided by the reference's   (M4 competition, 2020: its reference is Naive2)

Tables of classes have scores of their own: see `classes`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from forecast.evaluation.arithmetic import measured
from forecast.evaluation.classes import told
from forecast.evaluation.group import grouped
from forecast.evaluation.table import checked, classes_of

REFERENCE = "seasonal_naive"
DIVISORS = ("scale", "naive_error", "naive_square")
Divisor = Mapping[str, float] | None


def scores(
    table: pd.DataFrame, scale: Divisor = None, naive_error: Divisor = None, naive_square: Divisor = None
) -> dict[str, float]:
    """The scores of one forecast table; of one without `point` the median q0.5 is scored.

    `scale`, `naive_error` and `naive_square`, each by `unique_id`, add the scaled ones, mase and rmsse. Raises Refusal
    for a table that can't be scored.
    """
    table = checked(table)
    whole = scored(table, np.broadcast_to(0, len(table)), 1, (scale, naive_error, naive_square))
    return {name: float(values[0]) for name, values in whole.items()}


def by(
    table: pd.DataFrame, key: str, scale: Divisor = None, naive_error: Divisor = None, naive_square: Divisor = None
) -> pd.DataFrame:
    """The same scores of groups of rows: a row a group with an observed y, a column a metric.

    `key` is `unique_id`, `step` (the place of ds among all rows of its series and cutoff, from 1 on), `hour`, `weekday`
    (0 is Monday; both of the local ds) or `cutoff`. Raises Refusal for another one.
    """
    table = checked(table)
    group, names = grouped(table, key)
    result = pd.DataFrame(scored(table, group, len(names), (scale, naive_error, naive_square)), names)
    return result[np.bincount(group, table["y"].notna(), len(names)) > 0]


def scored(table: pd.DataFrame, group: np.ndarray, groups: int, divisors: Sequence[Divisor]) -> dict[str, np.ndarray]:
    """The scores of each group of a checked table [group]."""
    if classes_of(table):
        return told(table, group, groups)
    given = {name: values for name, values in zip(DIVISORS, divisors, strict=True) if values is not None}
    return measured(table, group, groups, given)


def error_of(result: Mapping[str, float]) -> float:
    """The error that skill is about: of values the mean absolute one, of classes the share of wrong ones."""
    return result["mae"] if "mae" in result else 1 - result["accuracy"]


def compared(
    tables: Mapping[str, pd.DataFrame],
    scale: Divisor = None,
    naive_error: Divisor = None,
    naive_square: Divisor = None,
    *,
    reference: str = REFERENCE,
) -> pd.DataFrame:
    """Scores of several forecasts of the same rows: model, metric, value; relative to that of `reference` if there."""
    every = {name: scores(table, scale, naive_error, naive_square) for name, table in tables.items()}
    if reference in every:
        for result in every.values():
            result |= relative(result, every[reference])
    rows = [(name, metric, value) for name, result in every.items() for metric, value in result.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value"])


def relative(result: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """rmae, skill and owa of scores in relation to those of a reference."""

    def ratio(one: float, other: float) -> float:
        return one / other if other > 0 else float("nan")

    share = ratio(error_of(result), error_of(reference))
    if "mae" not in result:
        return {"skill": 1 - share}
    owa = [ratio(result[name], reference[name]) for name in ("smape", "mase") if name in result]
    return {"rmae": share, "skill": 1 - share} | ({"owa": float(np.mean(owa))} if len(owa) == 2 else {})
