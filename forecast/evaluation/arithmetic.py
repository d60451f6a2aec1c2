"""One arithmetic for a whole forecast table and for groups of its rows: scores are made of means over rows."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from forecast.evaluation.table import levels_of, numbers

AT_ONCE = 1 << 16  # rows whose terms are in memory at once: few enough for the processor's cache
Divisors = Mapping[str, Mapping[str, float]]  # of errors in scores, by name, then by `unique_id`


@np.errstate(over="ignore", invalid="ignore")
def measured(table: pd.DataFrame, group: np.ndarray, groups: int, divisors: Divisors) -> dict[str, np.ndarray]:
    """The scores of each group of a checked table [group]; NaN in those without an observed y.

    What no float can hold is infinite: shares of a y next to 0, squares of errors beyond 1e154.
    """
    found, levels = means(table, group, groups, divisors), list(levels_of(table))
    result = {
        "mae": found["mae"],
        "rmse": np.sqrt(found["mse"]),
        "mse": found["mse"],
        "bias": found["bias"],
        "mape": found["mape"],
        "smape": found["smape"],
        "nd": share(found["mae"], found["size"]),
        "r2": 1 - share(found["mse"], found["above squared"] - found["above"] ** 2),
    }
    if "naive_error" in divisors:
        result["mase"] = found["mase"]
    if "naive_square" in divisors:
        result["rmsse"] = np.sqrt(found["rmsse"])
    if "scale" in divisors:
        result |= {name: found[name] for name in ("mae_scaled", "mse_scaled")}
    return result | (of_quantiles(found, levels) if levels else {})


def of_quantiles(found: Mapping[Any, np.ndarray], levels: list[float]) -> dict[str, np.ndarray]:
    """The scores of quantiles, from means; the Winkler score is the sum of two pinball losses over the lower level."""
    result = {f"pinball_{100 * level:g}": found["pinball", level] for level in levels}
    result["crps"] = 2 * np.mean([found["pinball", level] for level in levels], 0)
    result["wql"] = share(result["crps"], found["size"])
    for low, high in pairs(levels):
        name = f"{100 * (high - low):g}"
        result |= {f"coverage_{name}": found["inside", low], f"width_{name}": found["width", low]}
        result[f"winkler_{name}"] = (found["pinball", low] + found["pinball", high]) / low
    gaps = [np.maximum(0, np.maximum(found["below", x] - x, x - found["at most", x])) for x in levels]
    return result | {"calibration": np.mean(gaps, 0)}


def share(part: np.ndarray, whole: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Quotients, and something else where the divisor is not above 0."""
    return np.divide(part, whole, out=np.full_like(part, otherwise), where=whole > 0)


def pairs(levels: list[float]) -> list[tuple[float, float]]:
    """Levels that lie symmetrically around the middle, the widest interval first."""
    upper = {round(1 - level, 9): level for level in levels if level > 0.5}
    return [(level, upper[round(level, 9)]) for level in levels if round(level, 9) in upper]


def means(table: pd.DataFrame, group: np.ndarray, groups: int, divisors: Divisors) -> dict[Any, np.ndarray]:
    """The mean of each term over the rows of each group where it is defined [group]."""
    sums: dict[Any, np.ndarray] = {}
    counted: dict[Any, Any] = {}
    levels = list(levels_of(table))
    for where, rows in blocks(table, group, groups, divisors):
        for name, values, among in terms(rows, levels):
            summed = np.bincount(where, values, groups) if groups > 1 else values.sum(keepdims=True)
            sums[name] = sums.get(name, 0.0) + summed
            counted[name] = among
    return {name: share(total, sums[counted[name]]) for name, total in sums.items()}


def blocks(
    table: pd.DataFrame, group: np.ndarray, groups: int, divisors: Divisors
) -> Iterator[tuple[np.ndarray, dict[Any, np.ndarray]]]:
    """Pieces of the rows with an observed y: the group of each, and its numbers; of a level, its quantile."""
    y = numbers(table, "y")
    seen, origin = ~np.isnan(y), np.zeros(groups)
    origin[group[seen]] = y[seen]
    columns = {"y": y, "point": numbers(table, "point")}
    columns |= {level: numbers(table, name) for level, name in levels_of(table).items()}
    looked = {"origin": (group, origin)}
    if divisors:
        series, names = pd.factorize(table["unique_id"], use_na_sentinel=False)
        names = pd.Series(names, dtype=object)
        looked |= {name: (series, names.map(values).to_numpy("float64")) for name, values in divisors.items()}
    rows_at_once = max(AT_ONCE, groups)  # so that adding up the groups' sums is no more work than the rows' terms
    for begin in range(0, len(y), rows_at_once):
        part = begin + np.flatnonzero(seen[begin : begin + rows_at_once])
        rows = {name: column[part] for name, column in columns.items()}
        yield group[part], rows | {name: values[number[part]] for name, (number, values) in looked.items()}


def terms(rows: Mapping[Any, np.ndarray], levels: list[float]) -> Iterator[tuple[Any, np.ndarray, Any]]:
    """What scores are means of: its name, values [row], and the name of the term that counts the rows of its mean."""
    y, point = rows["y"], rows["point"]
    error, size, above = np.abs(point - y), np.abs(y), y - rows["origin"]
    yield "rows", np.ones_like(y), "rows"
    yield "mae", error, "rows"
    yield "mse", np.square(error), "rows"
    yield "bias", point - y, "rows"
    yield "size", size, "rows"
    yield "above", above, "rows"  # some y of the group: where y is constant, its variance is exactly 0
    yield "above squared", np.square(above), "rows"
    yield "not zero", (size > 0).astype("float64"), "not zero"
    yield "mape", 100 * share(error, size, 0.0), "not zero"
    yield "smape", 200 * share(error, size + np.abs(point), 0.0), "rows"
    if "scale" in rows:
        yield "mae_scaled", error / rows["scale"], "rows"
        yield "mse_scaled", np.square(error / rows["scale"]), "rows"
    for name, divisor, power in (("mase", "naive_error", 1), ("rmsse", "naive_square", 2)):
        if divisor in rows:
            yield divisor, (rows[divisor] > 0).astype("float64"), divisor
            yield name, share(error**power, rows[divisor], 0.0), divisor
    for level in levels:
        below = y - rows[level]
        yield ("pinball", level), np.maximum(level * below, (level - 1) * below), "rows"
        yield ("below", level), (below < 0).astype("float64"), "rows"
        yield ("at most", level), (below <= 0).astype("float64"), "rows"
    for low, high in pairs(levels):
        yield ("inside", low), ((rows[low] <= y) & (y <= rows[high])).astype("float64"), "rows"
        yield ("width", low), rows[high] - rows[low], "rows"
