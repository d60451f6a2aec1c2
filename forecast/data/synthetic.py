"""Seeded generators of the bundled, purely synthetic datasets and of small test panels.

Run ``python -m forecast.data.synthetic datasets`` to write the three CSV files anew.
Stamps are naive local standard time (no daylight-saving jumps) and mark the start of their hour.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

SEED = 2024
START, END = pd.Timestamp("2023-01-01 00:00"), pd.Timestamp("2024-12-31 23:00")  # of load and prices

# Austrian public holidays: fixed month-days, and days counted from Easter Sunday.
FIXED_HOLIDAYS = {"01-01", "01-06", "05-01", "08-15", "10-26", "11-01", "12-08", "12-25", "12-26"}
EASTER_SUNDAYS = pd.to_datetime(["2023-04-09", "2024-03-31", "2025-04-20"])
EASTER_OFFSETS = [1, 39, 50, 60]  # Easter Monday, Ascension, Whit Monday, Corpus Christi


class Kind(NamedTuple):
    """What the sites of one kind have in common; a bump is (centre hour, width in hours, open, closed)."""

    sites: int
    level: float  # typical kWh per hour
    capacity: float  # kWp of solar per kWh of level
    open_days: int  # of a week, from Monday on
    noise: float  # relative, of one hour
    cooling: float  # relative rise per K above 20 deg C
    base: float  # consumption without any bump, relative to level
    bumps: tuple


KINDS = {
    "home": Kind(8, 0.5, 13, 5, 0.3, 0.01, 0.45, ((7, 1.3, 0.7, 0.2), (12.5, 2.5, 0.2, 0.6), (19.5, 2.3, 1.3, 1.2))),
    "office": Kind(5, 14, 3, 5, 0.06, 0.03, 0.35, ((9.5, 1.9, 0.8, 0.05), (14.5, 2.3, 0.9, 0.05))),
    "shop": Kind(4, 22, 3, 6, 0.07, 0.025, 0.4, ((11, 2.2, 0.7, 0.03), (16.5, 2.4, 0.8, 0.03))),
    "plant": Kind(3, 160, 2, 5, 0.04, 0.004, 0.5, ((8.5, 2.4, 0.5, 0.04), (15.5, 3.2, 0.4, 0.04))),
}


def load(seed: int = SEED) -> pd.DataFrame:
    """Hourly load of a region over two years, then a week of which only the holidays are known.

    Columns time, load (MW), temperature (deg C), holiday (0 or 1); 17 544 + 168 rows.
    """
    rng = np.random.default_rng(seed)
    time = pd.date_range(START, END + pd.Timedelta(days=7), freq="h")
    holiday = _holiday(time)
    temperature = _temperature(rng, time)
    growth = 1 + 0.012 * np.arange(len(time)) / 8766
    residual = 0.034 * _smooth(_wander(rng, len(time), hours=30), hours=3)
    noise = 0.006 * rng.standard_normal(len(time))
    power = 1000 * growth * _demand(time, temperature, holiday) * (1 + residual + noise)
    frame = pd.DataFrame({"time": time, "load": _round(power, 1), "temperature": _round(temperature, 1)})
    frame.loc[time > END, ["load", "temperature"]] = np.nan
    return frame.assign(holiday=holiday.astype(int))


def prices(seed: int = SEED) -> pd.DataFrame:
    """Hourly day-ahead prices of a market zone over two years, then two days with only the forecasts known.

    Columns time, price (EUR/MWh), load_forecast and wind_forecast (MW); 17 544 + 48 rows.
    """
    rng = np.random.default_rng(seed)
    time = pd.date_range(START, END + pd.Timedelta(days=2), freq="h")
    rows = len(time)
    load = 20_000 * _demand(time, _temperature(rng, time), _holiday(time))
    winter = np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 15) / 365.25)
    breeze = _smooth(_wander(rng, rows, hours=30), hours=5)
    wind = 14_000 / (1 + np.exp(1.1 - 0.4 * winter - 1.7 * breeze))
    fuel = 70 * np.exp(0.22 * _wander(rng, rows, hours=60 * 24) - 0.1 * np.arange(rows) / rows)
    outage = 900 * _wander(rng, rows, hours=72)
    tightness = (load - wind + outage) / 20_000  # residual load relative to the mean load
    surplus = 1.7 / (1 + np.exp((tightness - 0.2) / 0.055))
    scarcity = 0.5 * np.exp((tightness - 1.16) / 0.085)
    noise = 6 * _wander(rng, rows, hours=10) + 1.5 * rng.standard_normal(rows)
    price = fuel * (0.3 + 0.95 * tightness + scarcity - surplus) + noise
    frame = pd.DataFrame({"time": time, "price": _round(price, 2)})
    frame.loc[time > END, "price"] = np.nan
    return frame.assign(load_forecast=load.round().astype(int), wind_forecast=wind.round().astype(int))


def energy(seed: int = SEED) -> pd.DataFrame:
    """Hourly consumption and solar yield of 20 sites over spans of 50 to 95 days, with gaps.

    Long, by site and time; columns time, site, kind, capacity (kWp), consumption and solar (kWh); about 34 000 rows.
    """
    rng = np.random.default_rng(seed)
    time = pd.date_range("2024-04-27 00:00", "2024-07-30 23:00", freq="h")
    temperature, cloud = _temperature(rng, time), _smooth(_wander(rng, len(time), hours=20), hours=2)
    kinds = rng.permutation([name for name, kind in KINDS.items() for _ in range(kind.sites)])
    last = np.full(len(kinds), len(time) // 24)
    last[rng.choice(len(kinds), 2, replace=False)] -= [9, 16]  # two sites end some days sooner
    first = np.maximum(last - rng.integers(50, 96, len(kinds)), 0)
    sites = []
    for number, kind in enumerate(kinds):
        site = _site(rng, time, temperature, cloud, kind)
        site.insert(1, "site", f"site{number + 1:02d}")
        sites.append(_with_gaps(rng, site.iloc[24 * first[number] : 24 * last[number]], ["consumption", "solar"]))
    return pd.concat(sites, ignore_index=True)


def panel(series: int, rows: int, freq: str = "h", seed: int = SEED) -> pd.DataFrame:
    """Small long panel for tests: trend, season of 24 rows and noise, with a level and a phase per series.

    Columns unique_id (s0, s1, ...), ds, y (no unit); series * rows rows, by series and time.
    """
    rng = np.random.default_rng(seed)
    step = np.arange(rows)
    level, phase = rng.uniform(50, 150, (series, 1)), rng.uniform(0, 2 * np.pi, (series, 1))
    trend = level * rng.uniform(-0.1, 0.2, (series, 1)) * step / rows
    season = 0.2 * level * np.sin(2 * np.pi * step / 24 + phase)
    y = level + trend + season + 0.02 * level * rng.standard_normal((series, rows))
    names = [f"s{number:0{len(str(series - 1))}d}" for number in range(series)]
    ds = pd.date_range("2024-01-01", periods=rows, freq=freq)
    return pd.DataFrame({"unique_id": np.repeat(names, rows), "ds": np.tile(ds, series), "y": y.ravel()})


def write(folder: str | Path) -> None:
    """Write load.csv, prices.csv and energy.csv of the default seed into a folder, made if missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for make in (load, prices, energy):
        path = folder / f"{make.__name__}.csv"
        make().to_csv(path, index=False, date_format="%Y-%m-%d %H:%M", lineterminator="\n")


def _smooth(values: np.ndarray, hours: float) -> np.ndarray:
    """Values behind an inertia of so many hours: an exponential mean of the past."""
    return pd.Series(values).ewm(alpha=1 - np.exp(-1 / hours), adjust=False).mean().to_numpy()


def _wander(rng: np.random.Generator, rows: int, hours: float) -> np.ndarray:
    """Stationary AR(1) noise of unit variance whose memory fades by 1/e in so many hours."""
    keep = np.exp(-1 / hours)
    shocks = rng.standard_normal(rows)
    shocks[1:] *= np.sqrt(1 - keep**2) / (1 - keep)
    return _smooth(shocks, hours)


def _bump(hour: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Bell of height one around an hour of the day, across midnight."""
    distance = (hour - centre + 12) % 24 - 12
    return np.exp(-0.5 * (distance / width) ** 2)


def _round(values: np.ndarray, digits: int) -> np.ndarray:
    """Rounded values without negative zeros."""
    return np.round(values, digits) + 0.0


def _holiday(time: pd.DatetimeIndex) -> np.ndarray:
    """True on the hours of public holidays."""
    movable = [day + pd.Timedelta(days=offset) for day in EASTER_SUNDAYS for offset in EASTER_OFFSETS]
    return time.strftime("%m-%d").isin(FIXED_HOLIDAYS) | time.normalize().isin(movable)


def _sun(time: pd.DatetimeIndex) -> np.ndarray:
    """Sine of the sun's height at 48 degrees north in the middle of each hour, negative at night."""
    latitude = np.radians(48)
    tilt = -np.radians(23.44) * np.cos(2 * np.pi * (time.day_of_year.to_numpy() + 10) / 365.25)
    turn = 2 * np.pi * (time.hour.to_numpy() - 11.5) / 24
    return np.sin(latitude) * np.sin(tilt) + np.cos(latitude) * np.cos(tilt) * np.cos(turn)


def _temperature(rng: np.random.Generator, time: pd.DatetimeIndex) -> np.ndarray:
    """Air temperature in deg C: year, day (wider in summer), and weather with a memory of days."""
    summer = -np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 20) / 365.25)
    daily = (3.2 + 1.6 * summer) * np.cos(2 * np.pi * (time.hour.to_numpy() - 15) / 24)
    weather = 3.4 * _smooth(_wander(rng, len(time), hours=84), hours=4) + 0.4 * _wander(rng, len(time), hours=6)
    return 10.5 + 10 * summer + daily + weather


def _demand(time: pd.DatetimeIndex, temperature: np.ndarray, holiday: np.ndarray) -> np.ndarray:
    """Expected load of a region relative to its yearly mean: kind of day, darkness, season, temperature."""
    hour, weekday = time.hour.to_numpy(), time.day_of_week.to_numpy()
    sunday = holiday | (weekday == 6)
    saturday = ~sunday & (weekday == 5)
    workday = 0.69 + 0.24 * _bump(hour, 8.7, 2.1) + 0.25 * _bump(hour, 13, 3.2) + 0.27 * _bump(hour, 19, 2.5)
    weekend = 0.655 + 0.19 * _bump(hour, 11.5, 3.0) + 0.20 * _bump(hour, 19.3, 2.7)
    profile = np.select([sunday, saturday], [weekend, weekend + 0.07 * _bump(hour, 11, 4)], workday)
    dark = 0.06 / (1 + np.exp(12 * _sun(time))) * _bump(hour, 18.5, 5)
    lull = np.where(time.strftime("%m-%d").isin([f"12-{day}" for day in range(24, 32)]), 0.96, 1.0)
    felt = _smooth(temperature, hours=8)
    weather = 0.015 * np.maximum(15 - felt, 0) + 0.014 * np.maximum(felt - 21, 0)
    return lull * (profile + dark) * (1.02 + weather)


def _site(
    rng: np.random.Generator, time: pd.DatetimeIndex, temperature: np.ndarray, cloud: np.ndarray, name: str
) -> pd.DataFrame:
    """One site of a kind under the weather of the region, without gaps; columns as of energy, less site."""
    kind, hour, rows = KINDS[name], time.hour.to_numpy(), len(time)
    level = kind.level * np.exp(0.3 * rng.standard_normal())
    capacity = round(kind.capacity * level * rng.uniform(0.7, 1.3), 1)
    closed = _holiday(time) | (time.day_of_week.to_numpy() >= kind.open_days)
    shift, noise = rng.normal(0, 0.5), kind.noise * rng.standard_normal(rows) + 0.06 * _wander(rng, rows, hours=48)
    bumps = sum(np.where(closed, rest, work) * _bump(hour, at + shift, width) for at, width, work, rest in kind.bumps)
    cooling = 1 + kind.cooling * np.maximum(_smooth(temperature, hours=4) - 20, 0)
    own = 0.25 * _wander(rng, rows, hours=3)
    clear = 0.25 + 0.75 / (1 + np.exp(1.8 * (cloud + own) - 0.8))
    solar = capacity * rng.uniform(0.75, 0.9) * np.maximum(_sun(time), 0) ** rng.uniform(1.1, 1.3) * clear
    consumption = level * (kind.base + bumps) * cooling * np.exp(noise)
    frame = pd.DataFrame({"time": time, "kind": name, "capacity": capacity})
    return frame.assign(consumption=_round(consumption, 2), solar=_round(solar, 2))


def _with_gaps(rng: np.random.Generator, frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Frame with 0.6 % of the cells empty at random and, in half of the sites, all of 4 to 30 hours."""
    lost = rng.random((len(frame), len(columns))) < 0.006
    if rng.random() < 0.5:
        start, length = rng.integers(0, len(frame) - 30), rng.integers(4, 31)
        lost[start : start + length] = True
    frame[columns] = frame[columns].mask(lost)
    return frame


if __name__ == "__main__":
    write(*sys.argv[1:])
