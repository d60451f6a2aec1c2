"""Days as the calendar has them: counted periods and gas days against zoneinfo; each remedy printed is followed."""

import re
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data.reader import read
from forecast.data.table import again, table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
CHANGES = {  # dates on which clocks go forward and back
    "Europe/Madrid": (date(2024, 3, 31), date(2024, 10, 27)),
    "Europe/London": (date(2024, 3, 31), date(2024, 10, 27)),
    "Australia/Sydney": (date(2024, 10, 6), date(2024, 4, 7)),
    "America/New_York": (date(2024, 3, 10), date(2024, 11, 3)),
    "America/Sao_Paulo": (date(2018, 11, 4), date(2018, 2, 17)),  # at midnight
}
ZONES = [(zone, change) for zone, changes in CHANGES.items() for change in changes]


def begins(zone, day, minutes, hour=0):
    """The begins of the periods of one day of a zone that starts at an hour, in UTC."""
    first, end = (
        datetime.combine(x, time(hour), ZoneInfo(zone)).astimezone(UTC) for x in (day, day + timedelta(days=1))
    )
    step = timedelta(minutes=minutes)
    return [first + i * step for i in range((end - first) // step)]


def loaded(path, text, **data):
    path.write_text(text, encoding="utf-8")
    return table(read(path, DATA | data), DATA | data, path.name)


def same(found, instants):
    """The values of a table count its rows, whose stamps are these instants (naive ones if it has no zone)."""
    stamps = pd.DatetimeIndex(found.frame["ds"])
    stamps = stamps if stamps.tz is None else stamps.tz_convert("UTC")
    assert stamps.tolist() == [pd.Timestamp(x) for x in instants]
    assert found.frame["y"].tolist() == list(range(len(instants)))


def periods(zone, change, minutes, base=1, hour=0):
    """Rows (date, number) of three days about a change of clocks, and the begins of their periods."""
    days = [change + timedelta(days=i) for i in (-1, 0, 1)]
    rows = [(day, base + i, x) for day in days for i, x in enumerate(begins(zone, day, minutes, hour))]
    return [(str(day), number) for day, number, _ in rows], [x for _, _, x in rows]


def csv(rows, names="date,period,price"):
    return f"{names}\n" + "".join(f"{','.join(map(str, row))},{i}\n" for i, row in enumerate(rows))


COUNT = {"time": ["date", "period"], "stamp": "count"}


@pytest.mark.parametrize("minutes", [60, 30, 15])
@pytest.mark.parametrize(("zone", "change"), ZONES)
def test_counted_periods_are_those_of_the_calendar(tmp_path, zone, change, minutes):
    for base, hour in ((1, 0), (0, 0), (1, 6)):
        rows, instants = periods(zone, change, minutes, base, hour)
        usual, there = 24 * 60 // minutes, set(Counter(day for day, _ in rows).values())
        assert there == {usual, usual + 60 // minutes} or there == {usual, usual - 60 // minutes}
        data = COUNT | {"tz": zone, "day": f"{hour:02d}:00" if hour else None}
        found = loaded(tmp_path / "my.csv", csv(rows), **data)
        same(found, instants)
        frame = pd.DataFrame(rows, columns=["date", "period"]).assign(price=np.arange(len(rows)))
        frame["date"] = pd.to_datetime(frame["date"])
        same(table(frame, DATA | data, "frame"), instants)
        pd.testing.assert_frame_equal(again(frame[-usual:], found.layout, DATA | data, "new").frame[["ds", "y"]],
                                      found.frame[["ds", "y"]][-usual:].reset_index(drop=True))  # fmt: skip


@pytest.mark.parametrize("minutes", [60, 30, 15])
@pytest.mark.parametrize(("zone", "change"), ZONES)
def test_counted_periods_that_contradict_their_day_are_refused_with_both_counts(tmp_path, zone, change, minutes):
    """In another zone, without one, with the last hour missing or one too many, in hours of the clock."""
    rows, _ = periods(zone, change, minutes)
    last, usual = max(n for day, n in rows if day == str(change)), 24 * 60 // minutes
    step = {"freq": f"{minutes}min"}
    clock = [(day, i + 1) for day in sorted({day for day, _ in rows}) for i in range(usual)]
    cut = [(day, n) for day, n in rows if day != str(change) or n <= usual]
    for wrong, tz, found, wanted in (
        (rows, "Asia/Tokyo", last, usual),
        (rows, None, last, usual),
        (clock, zone, usual, last),
        *([(cut, zone, usual, last)] if last > usual else []),
    ):
        with pytest.raises(Refusal, match=rf"{change} end at {found}, but that day has {wanted} of") as refusal:
            loaded(tmp_path / "my.csv", csv(wrong), **COUNT, **step, tz=tz)
        assert refusal.value.code == "periods"
        assert tz is not None or "data.tz" in str(refusal.value)


def test_periods_missing_inside_a_day_and_where_a_file_begins_and_ends_are_gaps(tmp_path):
    rows, instants = periods("Europe/Madrid", date(2024, 10, 27), 60)
    kept = [i for i in range(len(rows)) if i not in (30, 31, 40) and 7 <= i < 60]
    found = loaded(tmp_path / "my.csv", csv([rows[i] for i in kept]), **COUNT, tz="Europe/Madrid")
    same(found, [instants[i] for i in kept])
    sites = [(f"{row[0]},{row[1]}", site) for row in rows[:50] for site in "ab"]
    found = loaded(tmp_path / "my.csv", csv(sites, "date,period,site,price"), **COUNT, tz="Europe/Madrid", id="site")
    stamps = pd.DatetimeIndex(found.frame["ds"]).tz_convert("UTC")
    assert stamps.tolist() == [pd.Timestamp(x) for x in instants[:50] * 2]


def test_the_last_day_of_a_file_may_be_cut_but_not_where_another_day_would_end(tmp_path):
    rows, instants = AUTUMN
    same(loaded(tmp_path / "my.csv", csv(rows[:-1]), **COUNT, **MADRID), instants[:-1])
    with pytest.raises(Refusal, match="2024-10-27 end at 24, but that day has 25"):
        loaded(tmp_path / "my.csv", csv(rows[: 24 + 24]), **COUNT, **MADRID)


def test_other_faults_are_not_taken_for_gas_days_or_duplicates(tmp_path):
    stacked = csv([("2024-02-13", f"{x:02d}:00") for x in range(24)] * 3, "date,time,price")
    with pytest.raises(Refusal) as refusal:
        loaded(tmp_path / "my.csv", stacked)
    assert refusal.value.code == "duplicate"
    with pytest.raises(Refusal, match=r"hours go from 0 to 24.*data.stamp=count") as refusal:
        loaded(tmp_path / "my.csv", csv([(day, n - 1) for day, n in AUTUMN[0]]), time=["date", "period"])
    assert refusal.value.code == "dst"


def gas(zone, change, hour=6, late=False):
    """Rows (gas date, time of day) of five gas days about a change of clocks, and their instants."""
    zone = ZoneInfo(zone)
    first = datetime.combine(change - timedelta(days=3), time(hour), zone).astimezone(UTC)
    end = datetime.combine(change + timedelta(days=2), time(hour), zone).astimezone(UTC)
    instants = [first + timedelta(hours=i) for i in range((end - first) // timedelta(hours=1))]
    local = [x.astimezone(zone).replace(tzinfo=None) for x in instants]
    rows = [(str((x - timedelta(hours=hour)).date()), f"{x:%H:%M}") for x in local]
    return [(day, "24:00" if late and x == "00:00" else x) for day, x in rows], instants


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("zone", "change"), ZONES[:8])
def test_a_gas_day_is_refused_and_read_as_its_remedy_says(tmp_path, zone, change, late):
    for falling in (False, True):
        rows, instants = gas(zone, change, late=late)
        text = csv(rows, "date,time,price")
        if falling:
            head, *lines = text.splitlines()
            text = "\n".join([head, *reversed(lines)]) + "\n"
        one = re.sub(r"(?m)^(date|\S{10}),", r"\1 ", text)
        for written, columns in ((text, {"time": ["date", "time"]}), (one, {"time": "date time"})):
            with pytest.raises(Refusal) as refusal:
                loaded(tmp_path / "my.csv", written, **columns, tz=zone)
            assert refusal.value.code == "gas-day"
            (day,) = re.findall(r"data.day='(\d\d:\d\d)' if times before", str(refusal.value))
            same(loaded(tmp_path / "my.csv", written, **columns, tz=zone, day=day), instants)
            with pytest.raises(Refusal) as refusal:
                loaded(tmp_path / "my.csv", written, **columns)
            assert refusal.value.code == "gas-day"


def test_dates_that_are_those_of_the_calendar_are_read_though_hours_pass_midnight_under_them(tmp_path):
    rows = [("2024-02-13", f"{x:02d}:00") for x in (*range(6, 24), *range(6))]
    found = loaded(tmp_path / "my.csv", csv(rows, "date,time,price"), day="00:00").frame
    assert found["ds"].tolist() == [pd.Timestamp(2024, 2, 13, x) for x in range(24)]
    assert found["y"].tolist() == [*range(18, 24), *range(18)]


ORDERS = {
    "falling": lambda n, rng: np.arange(n)[::-1],
    "shuffled": lambda n, rng: rng.permutation(n),
    "second half first": lambda n, rng: np.roll(np.arange(n), n // 2),
    "begun within a day": lambda n, rng: np.roll(np.arange(n), 6),
    "days shuffled": lambda n, rng: np.concatenate([rng.permutation(24) + 24 * i for i in range(n // 24)]),
    "days falling, hours rising": lambda n, rng: np.arange(n).reshape(-1, 24)[::-1].ravel(),
    "days rising, hours falling": lambda n, rng: np.arange(n).reshape(-1, 24)[:, ::-1].ravel(),
    "by time of day": lambda n, rng: np.arange(n).reshape(-1, 24).T.ravel(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_files_in_any_order_are_no_gas_days(tmp_path, order):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        count = 24 * int(rng.integers(2, 9))
        stamps = [datetime(2024, 1, 30) + timedelta(hours=i) for i in range(count)]
        lines = [f"{x:%Y-%m-%d},{x:%H:%M},{i}\n" for i, x in enumerate(stamps)]
        text = "date,time,price\n" + "".join(lines[i] for i in ORDERS[order](count, rng))
        same(loaded(tmp_path / "my.csv", text), stamps)
        long = "date,time,site,price\n" + "".join(
            line.replace(":00,", f":00,{site},") for site in "ab" for line in lines
        )
        assert len(loaded(tmp_path / "my.csv", long, id="site").frame) == 2 * count


def month(i):
    return date(1999 + i // 12, i % 12 + 1, 1)


MADRID = {"tz": "Europe/Madrid"}
SPRING, AUTUMN = (periods("Europe/Madrid", change, 60) for change in CHANGES["Europe/Madrid"])
HALVES = periods("Europe/London", date(2024, 10, 27), 30)
NAIVE = [datetime(2024, 2, 13) + timedelta(hours=i) for i in range(30)]
FILES = {  # text, what a user knows of it, and its stamps
    "hours counted to 23": (csv(SPRING[0]), MADRID, SPRING[1]),
    "hours counted to 25": (csv(AUTUMN[0]), MADRID, AUTUMN[1]),
    "counted from 0, to 22": (csv([(day, n - 1) for day, n in SPRING[0]]), MADRID, SPRING[1]),
    "counted from 0, to 24": (csv([(day, n - 1) for day, n in AUTUMN[0]]), MADRID, AUTUMN[1]),
    "settlement periods": (csv(HALVES[0]), {"tz": "Europe/London"}, HALVES[1]),
    "months and years, compact": (csv([(f"{month(i):%Y%m}",) for i in range(30)], "date,price"), {}, "months"),
    "months and short years": (csv([(f"{month(i + 100):%b %y}",) for i in range(30)], "date,price"), {}, "later"),
    "months before years": (csv([(f"{month(i):%m%Y}",) for i in range(30)], "date,price"), {}, None),
    "days of the year": (csv([(f"2024-{i:03d}",) for i in range(1, 31)], "date,price"), {}, "days"),
    "compact hours": (csv([(f"{x:%Y%m%d%H}",) for x in NAIVE], "date,price"), {}, NAIVE),
    "seconds since 1970": (csv([(int(x.replace(tzinfo=UTC).timestamp()),) for x in NAIVE], "date,price"), {}, NAIVE),
    "milliseconds": (csv([(int(x.replace(tzinfo=UTC).timestamp()) * 1000,) for x in NAIVE], "date,price"), {}, NAIVE),
    "units with numbers": (csv(NAIVE_ROWS := [(f"{x:%Y-%m-%d %H:%M}",) for x in NAIVE], "date,price").replace(
        "price\n", "price\n-,10^3 MW\n"), {}, NAIVE),
}  # fmt: skip
STAMPS = {
    "months": [month(i) for i in range(30)],
    "later": [month(i + 100) for i in range(30)],
    "days": [date(2024, 1, i) for i in range(1, 31)],
}


@pytest.mark.parametrize("name", FILES)
def test_a_user_who_does_what_refusals_say_gets_the_file_read_exactly(tmp_path, name):
    text, known, stamps = FILES[name]
    data, said = {}, []
    for _ in range(5):
        try:
            found = loaded(tmp_path / "my.csv", text, **data)
        except Refusal as refusal:
            said.append(str(refusal))
            named = re.search(r"data\.dates='([^']+)'", said[-1])
            options = {
                **({"time": ["date", "period"]} if "data.time=[date,time]" in said[-1] and "period" in text else {}),
                **({"stamp": "count"} if "data.stamp=count" in said[-1] else {}),
                **({"dates": named[1]} if named else {}),
                **(known if "data.tz" in said[-1] and "tz" in known else {}),
            }
            if "row of units, delete it" in said[-1]:
                head, _, *rest = text.splitlines(keepends=True)
                text = head + "".join(rest)
            else:
                assert not options.items() <= data.items(), said  # it says something new
            data |= options
        else:
            break
    else:
        pytest.fail("\n".join(said))
    assert said
    same(found, STAMPS.get(stamps, stamps) if isinstance(stamps, str) else stamps or STAMPS["months"])


def test_hours_whose_last_is_missing_are_read_when_they_are_given_as_said(tmp_path):
    """A row of empty cells; without it nothing tells a gap from a day of 23 hours. Clock times are no numbers."""
    rows = [(x, f"{x:%Y-%m-%d},{x.hour + 1}") for x in (datetime(2024, 2, 13) + timedelta(hours=i) for i in range(72))]
    for gap in (23, 47):
        text = "date,hour,price\n" + "".join(f"{row},{i}\n" for i, (_, row) in enumerate(rows) if i != gap)
        data = {"time": ["date", "hour"], "stamp": "end"}
        with pytest.raises(Refusal, match="row of empty cells") as refusal:
            loaded(tmp_path / "my.csv", text, **data)
        assert refusal.value.code == "dst"
        found = loaded(tmp_path / "my.csv", text + f"{rows[gap][1]},\n", **data).frame
        assert found["ds"].tolist() == [x for x, _ in rows] and found["y"].isna().tolist().index(True) == gap
        clock = re.sub(r"(?m),(\d+),", r",\1:00,", text)
        assert len(loaded(tmp_path / "my.csv", clock, **data).frame) == 71
    text = "date,hour,price\n" + "".join(f"{row},{i}\n" for i, (_, row) in enumerate(rows[:-1]))
    assert len(loaded(tmp_path / "my.csv", text, **data).frame) == 71  # where a file ends it may lack an hour


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"day": "6"}, "anchor", "data.day=6"),
        ({"day": "06:00", "time": "date"}, "config", "none"),
        ({**COUNT, "freq": "D"}, "config", "data.freq=D"),
        ({**COUNT, "tz": "Europe/Madird"}, "config", "Europe/Madird"),
        ({**COUNT, "dates": "%d.%m.%Y"}, "bad-time", "row 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, code, says):
    with pytest.raises(Refusal, match=re.escape(says)) as refusal:
        loaded(tmp_path / "my.csv", csv(AUTUMN[0]), **options)
    assert refusal.value.code == code


def test_units_are_left_out_with_a_remark(tmp_path, caplog):
    caplog.set_level("INFO")
    rows = "".join(f"{x:%Y-%m-%d %H:%M},{i},1\n" for i, x in enumerate(NAIVE))
    same(loaded(tmp_path / "my.csv", "time,load,wind\nUTC,MW,m/s\n" + rows, target=["load"]), NAIVE)
    assert "such as units, are left out (1)" in caplog.text and "'UTC', 'MW', 'm/s'" in caplog.text
    caplog.clear()
    missing = {"target": ["load"], "missing": ["?"]}
    found = loaded(tmp_path / "my.csv", "time,load,wind\n" + rows.replace(",0,1", ",?,?"), **missing).frame
    assert len(found) == 30 and np.isnan(found["y"][0]) and "units" not in caplog.text
