"""Forecast tables of every kind that boards draw."""

import numpy as np
import pandas as pd

NINE = tuple(i / 10 for i in range(1, 10))


def forecasts(
    series: int = 1,
    cutoffs: int = 5,
    horizon: int = 24,
    stride: int | None = None,
    levels: tuple[float, ...] = NINE,
    begin: str = "2024-03-25",
    tz: str | None = None,
    freq: str = "h",
    gap: int = 0,
) -> pd.DataFrame:
    """Forecasts of a daily wave whose errors and bands grow with the step."""
    rng = np.random.default_rng(series)
    stride = stride or horizon
    stamps = pd.date_range(begin, periods=1 + gap + stride * (cutoffs - 1) + horizon, freq=freq, tz=tz)
    at = (stride * np.arange(cutoffs)[:, None] + np.arange(gap + 1, gap + 1 + horizon)).ravel()
    step = np.tile(np.arange(1, horizon + 1), cutoffs)
    parts = []
    for i in range(series):
        y = 100 + 20 * np.sin(2 * np.pi * np.arange(len(stamps)) / 24 + i) + rng.standard_normal(len(stamps))
        point = y[at] + 0.3 * step**0.5 * rng.standard_normal(len(at))
        part = pd.DataFrame({"unique_id": f"s{i}", "ds": stamps[at]})
        part["cutoff"] = stamps[stride * np.arange(cutoffs)].repeat(horizon)
        part = part.assign(y=y[at], point=point)
        parts.append(part.assign(**{f"q{x:g}": point + 10 * (x - 0.5) * step**0.5 for x in levels}))
    return pd.concat(parts, ignore_index=True)


TABLES = {
    "one series": {},
    "three series": {"series": 3},
    "twenty series": {"series": 20},
    "two levels": {"levels": (0.1, 0.9)},
    "three levels": {"levels": (0.05, 0.5, 0.95)},
    "only the median": {"levels": (0.5,)},
    "no quantiles": {"levels": ()},
    "overlapping": {"stride": 7},
    "with holes": {"stride": 72},
    "a gap": {"gap": 5},
    "one forecast": {"cutoffs": 1},
    "one step": {"horizon": 1, "cutoffs": 30},
    "a single row": {"horizon": 1, "cutoffs": 1},
    "long": {"horizon": 500, "cutoffs": 2},
    "spring night": {"begin": "2024-03-30", "tz": "Europe/Berlin"},
    "autumn night": {"begin": "2024-10-26", "tz": "Europe/Berlin"},
    "business days": {"freq": "B", "horizon": 5},
    "months": {"freq": "MS", "horizon": 12},
    "quarter hours": {"freq": "15min", "horizon": 96},
}


def classes(series: int = 2, cutoffs: int = 40, seed: int = 0) -> pd.DataFrame:
    """Forecasts of two classes, right three times in four."""
    rng = np.random.default_rng(seed)
    table = forecasts(series=series, cutoffs=cutoffs, horizon=3, levels=())
    y = rng.integers(0, 2, len(table)).astype("float64")
    point = np.where(rng.random(len(table)) < 0.75, y, 1 - y)
    return table.assign(y=y, point=point, p_down=0.8 - 0.6 * point, p_up=0.2 + 0.6 * point)
