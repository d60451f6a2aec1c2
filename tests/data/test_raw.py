"""Public files as they were published: every value read equals one that the csv module and datetime give."""

import csv
import gzip
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data.reader import read
from forecast.data.table import table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
EPOCH = datetime(1970, 1, 1)


def lines(path, delimiter=","):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def loaded(path, **data):
    return table(read(path, DATA | data), DATA | data, path.name).frame


def number(cell):
    return math.nan if cell in ("", "?") else float(cell)


def same(frame, expected):
    """`expected` maps (series, naive UTC or zoneless datetime) to the value."""
    stamps = pd.DatetimeIndex(frame["ds"])
    stamps = stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)
    keys = list(zip(frame["unique_id"].astype(str), ((stamps - EPOCH) // pd.Timedelta("1s")).tolist(), strict=True))
    rows = sorted(((name, int((when - EPOCH).total_seconds())), value) for (name, when), value in expected.items())
    assert keys and len(set(keys)) == len(keys) and sorted(keys) == [key for key, _ in rows]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    np.testing.assert_array_equal(frame["y"].to_numpy()[order], [value for _, value in rows])


def test_pjm_load_with_its_duplicates_averaged(real):
    path = real("raw_PJME_hourly.csv")
    with pytest.raises(Refusal, match="4 duplicate stamps"):
        loaded(path)
    found = dict[tuple[str, datetime], list[float]]()
    for stamp, value in lines(path)[1:]:
        found.setdefault(("PJME_MW", datetime.fromisoformat(stamp)), []).append(float(value))
    same(loaded(path, duplicates="mean"), {key: sum(values) / len(values) for key, values in found.items()})


def test_pjm_load_as_the_hours_that_end_at_its_local_stamps(real):
    """Stamps name the ends of hours, so that the hour which autumn doubles, and spring leaves out, falls into place.

    Up to 2013 the file lacks the second of the two; afterwards it has both.
    """
    path = real("raw_PJME_hourly.csv")
    zone, seen, expected = ZoneInfo("America/New_York"), set[datetime](), dict[tuple[str, datetime], float]()
    for stamp, value in lines(path)[1:]:
        begin = datetime.fromisoformat(stamp) - timedelta(hours=1)
        local = begin.replace(tzinfo=zone, fold=int(begin in seen))
        seen.add(begin)
        expected["PJME_MW", local.astimezone(UTC).replace(tzinfo=None)] = float(value)
    same(loaded(path, tz="America/New_York", stamp="end"), expected)


NAMES = "Global_active_power Global_reactive_power Voltage Global_intensity"
NAMES += " Sub_metering_1 Sub_metering_2 Sub_metering_3"


def test_household_meter_with_semicolons_and_question_marks(real):
    path = real("raw_household_power_semicolon.csv")
    head, *rows = lines(path, ";")
    assert head == ["Date", "Time", *NAMES.split()]
    expected = {}
    for date, time, *cells in rows:
        when = datetime.strptime(f"{date} {time}", "%d/%m/%Y %H:%M:%S")
        expected |= {(name, when): number(cell) for name, cell in zip(head[2:], cells, strict=True)}
    same(loaded(path, missing=["?"]), expected)
    with pytest.raises(Refusal, match=r"row 6840, column 'Global_active_power': '\?' is not a number"):
        loaded(path)


@pytest.mark.slow
def test_household_meter_that_passed_through_a_spreadsheet(real):
    path = real("raw_household_power_mixed_dates_2007H1.csv")
    options = {"missing": ["?"], "target": NAMES.split()[:1]}
    with pytest.raises(Refusal, match="'13/1/2007 0:00:00' is written in another way") as refusal:
        loaded(path, **options)
    assert refusal.value.code == "mixed-dates"
    head, *rows = lines(path)
    expected = {}
    for row in rows:
        day, month, year = map(int, row[1].split("/"))
        hour, minute, _ = map(int, row[2].split(":"))
        when = datetime(year % 100 + 2000, month, day, hour, minute)
        expected |= {(name, when): number(row[head.index(name)]) for name in options["target"]}
    mixed = loaded(path, **options, dates=["%d/%m/%y %H:%M:%S", "%d/%m/%Y %H:%M:%S"])
    same(mixed, expected)
    clean = loaded(real("household_power_minute_2007H1.csv"), target=options["target"])
    pd.testing.assert_frame_equal(clean, mixed)


@pytest.mark.parametrize("name", ["opsd_germany_daily.csv", "oil_spot_daily.csv", "gefcom2014_E_load_temperature.csv"])
def test_plain_files(real, name):
    path = real(name)
    head, *rows = lines(path)
    expected = {}
    for stamp, *cells in rows:
        when = datetime.fromisoformat(stamp)
        expected |= {(column, when): number(cell) for column, cell in zip(head[1:], cells, strict=True)}
    same(loaded(path), expected)


@pytest.mark.parametrize("name", ["M4_Hourly_train.csv", "M4_Hourly_test.csv"])
def test_one_series_a_row(real, name):
    path = real(name)
    expected = {}
    for series, *cells in lines(path)[1:]:
        values = [number(cell) for cell in cells]
        while math.isnan(values[-1]):
            values.pop()
        expected |= {(series, datetime(2000, 1, 1) + timedelta(hours=i)): value for i, value in enumerate(values)}
    same(loaded(path, start="2000-01-01", freq="h"), expected)
