"""Repairs that people ask for by name, each counted in the log: duplicates, gaps, changes of frequency."""

import logging

import numpy as np
import pandas as pd

from forecast.data.clock import Clock
from forecast.data.layout import Layout
from forecast.error import Refusal

log = logging.getLogger(__name__)

RUN = 24  # equal distances in a row make a frequency of their own; fewer are gaps


def distances(long: pd.DataFrame) -> np.ndarray:
    """Nanoseconds from each row to the next of the same series (rows by series and time); -1 after the last."""
    stamps, codes = pd.DatetimeIndex(long["ds"], copy=False).asi8, long["unique_id"].cat.codes.to_numpy()
    found = np.full(len(long), -1)
    np.subtract(stamps[1:], stamps[:-1], out=found[:-1], where=codes[1:] == codes[:-1])
    return found


def frequencies(long: pd.DataFrame) -> list[int]:
    """The steps, in nanoseconds, that a series keeps for a while, ascending: more than one is a change of frequency."""
    found = distances(long)
    edges = np.concatenate(([0], np.flatnonzero(found[1:] != found[:-1]) + 1, [len(found)]))
    steps = found[edges[:-1]][np.diff(edges) >= RUN]
    return sorted({int(step) for step in steps if step > 0})


def resampled(long: pd.DataFrame, clock: Clock, how: str, targets: tuple[str, ...], source: str) -> pd.DataFrame:
    """Rows on the grid of a clock: several become one by mean or sum, or one is repeated.

    Covariates are averaged also where targets are summed. A step whose rows do not cover all of it is missing.
    """
    ahead, steps = distances(long), frequencies(long)
    behind, usual = np.roll(ahead, 1), min(steps, default=0)
    length = np.where(np.isin(ahead, steps), ahead, np.where(np.isin(behind, steps), behind, usual))  # of each interval
    ids, stamps = long["unique_id"], pd.DatetimeIndex(long["ds"])
    values = [name for name in long.columns if name not in ("unique_id", "ds") and long[name].dtype.kind == "f"]
    if how == "repeat":
        times = np.maximum(1, length // clock.unit[1])
        taken = np.repeat(np.arange(len(long)), times)
        turn = np.arange(len(taken)) - np.repeat(np.cumsum(times) - times, times)
        result = long.iloc[taken].reset_index(drop=True)
        result["ds"] = stamps[taken] + pd.to_timedelta(turn * clock.unit[1], unit="ns")
        log.info(
            "%s: resampled to %s by repeat: %d rows became %d; the first step of each has a mean that is measured when "
            "the last is over", source, clock.freq, len(long), len(result),
        )  # fmt: skip
        return result
    number = clock.opening.ordinals(stamps)
    parts = long.assign(step=number, covered=length).groupby(["unique_id", "step"], observed=True, sort=True)
    result = parts.agg({name: "sum" if how == "sum" and name in targets else "mean" for name in values})
    whole = parts[values].count().eq(parts.size(), axis=0)
    steps = result.index.get_level_values("step").to_numpy()
    starts, ends = clock.opening.stamps(steps), clock.opening.stamps(steps + 1)
    covered = parts["covered"].sum().to_numpy() >= (ends.as_unit("ns").asi8 - starts.as_unit("ns").asi8)
    result[values] = result[values].where(whole.mul(covered, axis=0))
    others = [name for name in long.columns if name not in ("unique_id", "ds", *values)]
    result = result.join(parts[others].first()) if others else result
    result = result.reset_index()
    result.insert(1, "ds", clock.stamps(steps))
    log.info(
        "%s: resampled to %s by %s: %d rows became %d, of which %d are not covered and missing",
        source, clock.freq, how, len(long), len(result), int((~covered).sum()),
    )  # fmt: skip
    return result[list(long.columns)].astype({"unique_id": ids.dtype})


def deduplicated(long: pd.DataFrame, twice: np.ndarray, how: str, source: str) -> pd.DataFrame:
    """One row of each stamp: the first or the last of the file, or the mean of the numbers."""
    keys = ["unique_id", "ds"]
    log.info("%s: %d duplicate rows were merged (data.duplicates=%s)", source, int(twice.sum()), how)
    if how in ("first", "last"):
        return long.drop_duplicates(keys, keep=how).reset_index(drop=True)
    numbers = [name for name in long.columns if name not in keys and long[name].dtype.kind == "f"]
    rest = {name: "first" for name in long.columns if name not in (*keys, *numbers)}
    merged = long.groupby(keys, observed=True, sort=False).agg({**dict.fromkeys(numbers, "mean"), **rest})
    return merged.reset_index()[list(long.columns)]


def refuse_change(steps: list[int], source: str) -> None:
    """Refuses a file in which series keep one frequency for a while and then another."""
    if len(steps) > 1:
        names = ", ".join(str(pd.Timedelta(step, "ns")).removeprefix("0 days ") for step in steps)
        raise Refusal(
            f"{source}: the frequency changes, there are steps of {names}; choose one by data.resample=mean (power, "
            "price) or data.resample=sum (energy), to the longest, or data.resample=repeat, to the shortest",
            "mixed-frequency",
        )


def gaps(long: pd.DataFrame, layout: Layout, longest: int | None, source: str) -> None:
    """Says how many stamps are missing; refuses more than `longest` steps in a row that have no target."""
    ordinals = layout.clock.ordinals(pd.DatetimeIndex(long["ds"], copy=False))
    codes = long["unique_id"].cat.codes.to_numpy()
    lasts = np.append(np.flatnonzero(codes[1:] != codes[:-1]), len(codes) - 1)
    firsts = np.append(0, lasts[:-1] + 1)
    if total := int((ordinals[lasts] - ordinals[firsts] + 1).sum()) - len(long):
        log.info("%s: %d stamps were missing; their values count as missing", source, total)
    for name in layout.channels if longest is not None else ():
        rows = np.flatnonzero(long[name].notna())
        steps = np.where(np.diff(codes[rows]) == 0, np.diff(ordinals[rows]) - 1, 0)
        if steps.max(initial=0) > longest:
            row = long.iloc[rows[int(steps.argmax())]]
            raise Refusal(
                f"{source}: {steps.max()} steps have no '{name}' after {row['ds']} of series '{row['unique_id']}', "
                f"more than data.max_gap={longest}; {int((steps > longest).sum())} gaps are as long",
                "long-gap",
            )
