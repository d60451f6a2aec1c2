"""The border: every layout gives one and the same kind of table, exact to the last bit; what can't be used is refused
with a code, the place, what was found there, and what to do."""

import gzip
import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.config import CONF
from forecast.data.grid import grid
from forecast.data.layout import Layout
from forecast.data.lines import BUNDLED, find
from forecast.data.reader import read
from forecast.data.table import Table, again, table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())


def loaded(text: str | bytes, **data) -> Table:
    """The table of a CSV file of this content, named my.csv."""
    Path("my.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return table(read("my.csv", DATA | data), DATA | data, "my.csv")


def hourly(rows: int, *columns: str, begin: str = "2024-01-01") -> pd.DataFrame:
    """Stamps `ds` and columns of different numbers."""
    frame = pd.DataFrame({"ds": pd.date_range(begin, periods=rows, freq="h")})
    return frame.assign(**{name: np.arange(rows) * 1.5 + 100 * i for i, name in enumerate(columns)})


def long_frame() -> pd.DataFrame:
    parts = [hourly(6, "y", "z").assign(site=name, kind=kind) for name, kind in (("b", "home"), ("a", "shop"))]
    return pd.concat(parts, ignore_index=True).assign(y=np.arange(12.0))


# --- layouts ---


def test_each_column_of_a_wide_file_is_a_series():
    found = loaded(hourly(5, "load", "price").to_csv(index=False))
    assert found.layout.target == ("load", "price") and found.layout.channels == ("y",)
    assert found.frame.columns.tolist() == ["unique_id", "ds", "y"]
    assert found.frame["unique_id"].tolist() == ["load"] * 5 + ["price"] * 5
    assert found.frame["y"].tolist() == [*(np.arange(5) * 1.5), *(100 + np.arange(5) * 1.5)]
    assert found.frame["ds"].tolist() == 2 * hourly(5)["ds"].tolist()


def test_joint_targets_are_channels_of_one_series():
    found = loaded(hourly(5, "load", "price").to_csv(index=False), joint=True)
    assert found.frame.columns.tolist() == ["unique_id", "ds", "load", "price"] and len(found.frame) == 5
    assert found.layout.channels == ("load", "price") and set(found.frame["unique_id"]) == {"series"}
    assert found.layout.label("series", "price") == "price"


def test_a_long_file_has_a_series_for_each_id():
    frame = long_frame()
    found = loaded(frame.to_csv(index=False), id="site", target=["y"], past=["z"], static=["kind"])
    assert found.frame.columns.tolist() == ["unique_id", "ds", "y", "z", "kind"]
    text = {"unique_id": str, "kind": str, "ds": "datetime64[ns]"}
    pd.testing.assert_frame_equal(
        found.frame.astype(text).sort_values(["unique_id", "ds"], ignore_index=True),
        frame.rename(columns={"site": "unique_id"})[found.frame.columns]
        .astype(text)
        .sort_values(["unique_id", "ds"], ignore_index=True),
    )
    assert found.layout.label("a", "y") == "a"


def test_several_targets_of_a_long_file_are_series_named_id_and_target():
    found = loaded(long_frame().to_csv(index=False), id="site", target=["y", "z"])
    assert set(found.frame["unique_id"].cat.categories) == {"b/y", "a/y", "b/z", "a/z"}
    values = {name: part["y"].tolist() for name, part in found.frame.groupby("unique_id", observed=True)}
    assert values["a/y"] == [6, 7, 8, 9, 10, 11] and values["b/z"] == values["a/z"] == [100 + 1.5 * i for i in range(6)]


def test_joint_targets_of_a_long_file_are_channels_of_each_id():
    found = loaded(long_frame().to_csv(index=False), id="site", target=["y", "z"], joint=True)
    assert set(found.frame["unique_id"].cat.categories) == {"b", "a"} and len(found.frame) == 12
    assert found.layout.label("a", "z") == "a/z"


def test_the_usual_names_need_no_configuration():
    found = loaded(long_frame().rename(columns={"site": "unique_id"}).drop(columns=["z", "kind"]).to_csv(index=False))
    assert (found.layout.time, found.layout.id, found.layout.target) == ("ds", "unique_id", ("y",))
    stamps = hourly(4, "Last").rename(columns={"ds": "Zeit"})
    assert loaded(stamps.to_csv(index=False)).layout.time == "Zeit"
    assert loaded(stamps.assign(Date=stamps["Zeit"]).to_csv(index=False)).layout.time == "Date"


def test_y_is_the_target_where_there_is_one_and_columns_with_a_role_are_none():
    assert loaded(hourly(4, "x", "y").to_csv(index=False)).layout.target == ("y",)
    found = loaded(hourly(4, "a", "b", "c").assign(note="text").to_csv(index=False), past=["a"], future=["c"])
    assert found.layout.target == ("b",)


def test_a_table_has_fixed_types():
    frame = loaded(long_frame().to_csv(index=False), id="site", target=["y"], past=["z"], static=["kind"]).frame
    assert isinstance(frame["unique_id"].dtype, pd.CategoricalDtype) and frame["ds"].dtype == "datetime64[ns]"
    assert frame["y"].dtype == frame["z"].dtype == "float64"
    whole = loaded("ds,y\n2024-01-01,1\n2024-01-02,2\n2024-01-03,\n2024-01-04,4\n").frame
    assert whole["y"].dtype == "float64" and whole["y"].isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize("word", ["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A", "n/a", "#N/A"])
def test_the_usual_words_for_a_missing_value_are_missing_values(word):
    found = loaded(f"ds,y\n2024-01-01,1\n2024-01-02,{word}\n2024-01-03,3\n").frame["y"]
    assert found.isna().tolist() == [False, True, False]


# --- ids, order, exactness ---

IDS = sorted(
    ["007", "NA", "1e5", "7", "nan", "null", "1.0", " x ", "ü/ß", "a,b", '"q"', "0x1F", "True", "-0", "2024-01-01"]
)


@pytest.mark.parametrize("named", ["unique_id", "site"])
@pytest.mark.parametrize("ids", [IDS, ["007", "1e5", "7"], ["1", "1.0"], ["NA"], ["2024-01-01"]])
def test_ids_survive_byte_for_byte(named, ids):
    frame = pd.concat([hourly(4, "y").assign(**{named: name}) for name in ids])
    found = loaded(frame.to_csv(index=False), id=None if named == "unique_id" else named)
    given = table(frame, DATA | {"id": named}, "DataFrame")
    assert sorted(found.frame["unique_id"].cat.categories) == sorted(given.frame["unique_id"].cat.categories) == ids
    assert sorted(grid(found, 1).names) == ids


@pytest.mark.parametrize(
    ("frame", "roles"),
    [
        (hourly(30, "a", "b"), {}),
        (hourly(30, "a", "b"), {"joint": True}),
        (long_frame(), {"id": "site", "target": ["y"], "past": ["z"], "static": ["kind"]}),
    ],
    ids=["wide", "joint", "long"],
)
@pytest.mark.parametrize("seed", range(4))
def test_unsorted_rows_give_the_table_of_sorted_ones_and_are_logged(frame, roles, seed, caplog):
    frame = frame.sort_values([*(["site"] if "site" in frame else []), "ds"])
    with caplog.at_level(logging.INFO, "forecast"):
        expected = loaded(frame.to_csv(index=False), **roles)
        assert "sorted" not in caplog.text
        found = loaded(frame.sample(frac=1, random_state=seed).to_csv(index=False), **roles)
    assert "my.csv: rows were not in time order and have been sorted" in caplog.text
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    assert found.layout == expected.layout


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=20))
def test_numbers_come_through_a_file_to_the_last_bit(values):
    stamps = hourly(len(values))["ds"].astype(str)
    text = "ds,y\n" + "".join(f"{ds},{y!r}\n" for ds, y in zip(stamps, values, strict=True))
    assert loaded(text).frame["y"].to_numpy().tobytes() == np.array(values).tobytes()


def test_a_compressed_file_and_a_dataframe_give_the_same_table():
    frame = hourly(9, "load", "price")
    expected = loaded(frame.to_csv(index=False)).frame
    Path("my.csv.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    pd.testing.assert_frame_equal(table(read("my.csv.gz", DATA), DATA, "my.csv.gz").frame, expected)
    pd.testing.assert_frame_equal(table(frame, DATA, "DataFrame").frame, expected)
    for name in ("ds", "Zeit", None):
        indexed = frame.set_index("ds").rename_axis(name)
        pd.testing.assert_frame_equal(table(indexed, DATA, "DataFrame").frame, expected)


def test_the_callers_dataframe_is_left_as_it_was():
    frame = long_frame().sample(frac=1, random_state=0).set_index("ds")
    before = frame.copy(deep=True)
    found = table(frame, DATA | {"id": "site", "target": ["y"], "static": ["kind"]}, "DataFrame")
    found.frame.loc[:, "y"] = -1.0
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("stamps", "tz"),
    [
        (["2024-03-31 00:00", "2024-03-31 01:00", "2024-03-31 02:00"], None),
        (["2024-03-31T00:00", "2024-03-31T01:00", "2024-03-31T02:00"], None),
        (["2024-03-31T00:00Z", "2024-03-31T01:00Z", "2024-03-31T02:00Z"], "UTC"),
        (["2024-03-31 00:00:00+00:00", "2024-03-31 01:00:00+00:00", "2024-03-31 02:00:00+00:00"], "UTC"),
        (["2024-03-31T00:00+01:00", "2024-03-31T01:00+01:00", "2024-03-31T02:00+01:00"], "UTC+01:00"),
    ],
)
def test_iso_stamps_keep_their_zone(stamps, tz):
    found = loaded("ds,y\n" + "".join(f"{ds},1\n" for ds in stamps))
    assert (found.layout.clock.freq, found.layout.clock.tz) == ("h", tz)
    assert found.frame["ds"].tolist() == [pd.Timestamp(ds) for ds in stamps]


def test_a_dataframe_keeps_its_zone_over_a_change_of_clock():
    ds = pd.date_range("2024-10-26", periods=60, freq="h", tz="Europe/Berlin")
    found = table(pd.DataFrame({"ds": ds, "y": 1.0}), DATA, "DataFrame")
    assert found.layout.clock.tz == "Europe/Berlin" and found.frame["ds"].tolist() == ds.tolist()


# --- refusals ---

DAYS = [f"2024-01-{day:02d}" for day in range(1, 10)]
PLAIN = [f"{day},{i}.5" for i, day in enumerate(DAYS)]


def csv(header: str, rows: list[str], **changed: str) -> str:
    """A file; `row3="..."` changes its third row."""
    rows = [changed.get(f"row{i}", row) for i, row in enumerate(rows, 1)]
    return "\n".join([header, *rows]) + "\n"


SITES = [f"{day},{site},{i}" for site in ("north", "south") for i, day in enumerate(DAYS)]
STATIC = [f"{day},{site},{i},{site}ern" for site in ("north", "south") for i, day in enumerate(DAYS)]
SITE = {"id": "site"}
REFUSED = {
    "nothing in the file": ("", {}, "empty-file", ["my.csv", "empty", "header"]),
    "header only": ("ds,y\n", {}, "empty-file", ["my.csv", "no rows"]),
    "no time": (csv("a,b", ["1,2", "3,4"]), {}, "no-time", ["my.csv", "'a', 'b'", "data.time"]),
    "one column": (csv("day:y", ["2024-01-01:1"]), {}, "no-time", ["my.csv", "delimiter", "data.time"]),
    "time misspelt": (csv("stamp,y", PLAIN), {"time": "stmp"}, "no-time", ["my.csv", "'stmp'", "'stamp'"]),
    "bad time": (
        csv("ds,y", PLAIN, row7="soon,1"),
        {},
        "bad-time",
        ["my.csv", "row 7", "'ds'", "'soon'", "2024-02-13"],
    ),
    "impossible date": (csv("ds,y", PLAIN, row2="2024-02-30,1"), {}, "bad-time", ["row 2", "2024-02-30"]),
    "time missing": (csv("ds,y", PLAIN, row4=",1"), {}, "bad-time", ["my.csv", "row 4", "'ds'"]),
    "offsets": (
        csv("ds,y", ["2024-03-31T00:00+01:00,1", "2024-03-31T03:00+02:00,2", "2024-03-31T04:00+02:00,3"]),
        {},
        "mixed-offsets",
        ["my.csv", "'ds'", "UTC"],
    ),
    "duplicate": (
        csv("ds,y", PLAIN, row6=PLAIN[4]),
        {},
        "duplicate",
        ["my.csv", "1 duplicate", "2024-01-05", "data.id"],
    ),
    "duplicates, wide": (
        csv("ds,a,b,c", [f"{row},1,2" for row in PLAIN], row6=f"{PLAIN[4]},1,2", row9=f"{PLAIN[0]},1,2"),
        {},
        "duplicate",
        ["my.csv", " 2 duplicate", "2024-01-01"],
    ),
    "duplicate, long": (
        csv("ds,site,y", SITES, row14=SITES[11]),
        SITE,
        "duplicate",
        ["my.csv", "1 duplicate", "2024-01-03", "'south'", "data.duplicates"],
    ),
    "target misspelt": (csv("ds,load", PLAIN), {"target": ["laod"]}, "no-column", ["my.csv", "'laod'", "'load'"]),
    "target unknown": (csv("ds,load", PLAIN), {"target": ["qqq"]}, "no-column", ["my.csv", "'qqq'", "['ds', 'load']"]),
    "covariate misspelt": (csv("ds,y", PLAIN), {"past": ["winnd"]}, "no-column", ["my.csv", "'winnd'"]),
    "id misspelt": (csv("ds,site,y", SITES), {"id": "sites"}, "no-column", ["my.csv", "'sites'", "'site'"]),
    "no numbers": (csv("ds,y", [f"{day},high" for day in DAYS]), {}, "no-column", ["my.csv", "data.target"]),
    "ragged row": (csv("ds,y", PLAIN, row8="2024-01-08,7,5"), {}, "ragged", ["my.csv", "line 9"]),
    "word for a number": (
        csv("ds,y", PLAIN, row8="2024-01-08,?", row9="2024-01-09,-"),
        {"target": ["y"]},
        "not-a-number",
        ["my.csv", "row 8", "'y'", "'?'", "2 such"],
    ),
    "word in a covariate": (
        csv("ds,y,wind", [f"{row},1" for row in PLAIN], row3="2024-01-03,1,calm"),
        {"future": ["wind"]},
        "not-a-number",
        ["my.csv", "row 3", "'wind'", "'calm'"],
    ),
    "infinite": (csv("ds,y", PLAIN, row5="2024-01-05,inf"), {}, "infinite", ["my.csv", "row 5", "'y'", "infinite"]),
    "two roles": (csv("ds,y", PLAIN), {"target": ["y"], "past": ["y"]}, "config", ["my.csv", "'y'", "two roles"]),
    "time as target": (csv("ds,y", PLAIN), {"target": ["ds"]}, "config", ["my.csv", "'ds'", "two roles"]),
    "several numbers, long": (
        csv("ds,site,y1,y2", [f"{row},1" for row in SITES]),
        SITE,
        "config",
        ["my.csv", "y1, y2", "data.target"],
    ),
    "static that changes": (
        csv("ds,site,y,kind", STATIC, row15=STATIC[14] + "most"),
        SITE | {"static": ["kind"]},
        "static",
        ["my.csv", "'kind'", "'south'"],
    ),
    "off the grid": (
        csv("ds,y", PLAIN, row5="2024-01-05 07:00,1"),
        {"freq": "D"},
        "wrong-frequency",
        ["my.csv", "data.freq", "2024-01-05 07:00"],
    ),
    "frequency unknown": (csv("ds,y", PLAIN), {"freq": "daily"}, "freq", ["data.freq=daily", "h, 15min, D"]),
    "no frequency": (
        csv("ds,y", [*PLAIN, "2027-05-01,1", "2031-08-09,1"]),
        {},
        "mixed-frequency",
        ["my.csv", "data.freq", "2024-01-01", "2031-08-09"],
    ),
    "too few": (csv("ds,y", PLAIN[:2]), {}, "too-short", ["my.csv", "2 stamps", "data.freq"]),
    "not UTF-8": (
        "ds,Größe\n2024-01-01,1\n".encode("latin-1"),
        {"encoding": "utf-8"},
        "unreadable",
        ["my.csv", "data.encoding"],
    ),
    "more cells than names": (
        csv("ds,y", [f"{row},9" for row in PLAIN]),
        {},
        "ragged",
        ["my.csv", "3 cells", "2 names"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_with_its_place_and_a_remedy(case):
    text, roles, code, words = REFUSED[case]
    with pytest.raises(Refusal) as refusal:
        loaded(text, **roles)
    assert refusal.value.code == code and refusal.value.exit == 2
    assert not [word for word in words if word not in str(refusal.value)], str(refusal.value)


def test_the_file_that_the_refusals_spoil_is_a_good_one():
    assert len(loaded(csv("ds,y", PLAIN)).frame) == 9
    assert len(loaded(csv("ds,site,y", SITES), **SITE).frame) == 18
    assert len(loaded(csv("ds,site,y,kind", STATIC), **SITE, static=["kind"]).frame) == 18


@pytest.mark.parametrize("name", ["y", "ds", "unique_id"])
@pytest.mark.parametrize("role", ["past", "future", "static"])
def test_a_covariate_never_takes_the_place_of_a_column_of_the_table(name, role):
    """A covariate named as the table names its own: a refusal that says so, and never its values as the target's."""
    frame = hourly(9, "price").rename(columns={"ds": "time"}).assign(site="a", **{name: 5.0})
    with pytest.raises(Refusal, match=f"'{name}'"):
        table(frame, DATA | {"time": "time", "id": "site", "target": ["price"], role: [name]}, "my.csv")


def test_a_missing_id_is_refused_with_its_row():
    frame = long_frame()
    frame.loc[7, "site"] = None
    with pytest.raises(Refusal, match=r"(?s)(row 8.*'site'|'site'.*row 8)"):
        table(frame, DATA | {"id": "site", "target": ["y"]}, "my.csv")


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b broken", gzip.compress(b"ds,y\n2024-01-01,1\n" * 99, mtime=0)[:-20], b"plain"]
)
def test_a_broken_compressed_file_is_refused(content):
    Path("my.csv.gz").write_bytes(content)
    with pytest.raises(Refusal, match=r"my.csv.gz can't be read") as refusal:
        read("my.csv.gz", DATA)
    assert refusal.value.code == "unreadable"


def test_a_file_is_found_here_then_in_the_data_folder_then_among_the_bundled_sets(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("FORECAST_DATA", str(folder))
    assert find("load.csv") == BUNDLED / "load.csv"
    (folder / "load.csv.gz").touch()
    assert find("load.csv") == folder / "load.csv.gz"
    (folder / "load.csv").touch()
    assert find("load.csv") == folder / "load.csv"
    Path("load.csv").touch()
    assert find("load.csv") == Path("load.csv")
    assert find(str(folder / "load.csv")) == folder / "load.csv"


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path):
    (tmp_path / "households.csv").touch()
    for wrong, near in (("laod.csv", "load.csv"), ("household.csv", "households.csv")):
        with pytest.raises(Refusal, match=rf"data.path={wrong}: no such file.*did you mean '{near}'") as refusal:
            find(wrong)
        assert refusal.value.code == "missing-file"


# --- new rows for a fitted forecaster ---


def remembered() -> tuple[pd.DataFrame, Layout]:
    ds = pd.date_range("2024-03-30", periods=48, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"stamp": ds, "site": "a", "price": np.arange(48.0), "wind": 1.0, "kind": "x"})
    roles = {"time": "stamp", "id": "site", "target": ["price"], "future": ["wind"], "static": ["kind"]}
    return frame, table(frame, DATA | roles, "old.csv").layout


def test_a_layout_survives_json():
    _, layout = remembered()
    assert Layout.of(json.loads(json.dumps(asdict(layout)))) == layout


def test_new_rows_are_read_as_the_old_ones_were():
    frame, layout = remembered()
    expected = again(frame, layout, DATA, "new.csv").frame
    assert expected["y"].tolist() == list(range(48)) and expected["wind"].tolist() == [1.0] * 48
    for stamps in (frame["stamp"].dt.tz_convert("UTC"), frame["stamp"].dt.tz_convert("UTC").astype(str)):
        new = again(frame.assign(stamp=stamps)[frame.columns[::-1]], layout, DATA, "new.csv").frame
        pd.testing.assert_frame_equal(new, expected)
    one = again(frame[:1], layout, DATA, "new.csv")  # too short to find a frequency, but it is known
    assert len(one.frame) == 1 and one.layout == layout


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda f: f.drop(columns="wind"), "no-column", ["new.csv", "'wind'"]),
        (lambda f: f.drop(columns="price"), "no-column", ["new.csv", "'price'"]),
        (lambda f: f[:0], "empty-file", ["new.csv"]),
        (lambda f: f.assign(stamp=f["stamp"].dt.tz_localize(None)), "wrong-frequency", ["new.csv", "zone"]),
        (lambda f: f.assign(stamp=f["stamp"] + pd.Timedelta("5min")), "wrong-frequency", ["new.csv", "00:05", "(h)"]),
        (lambda f: pd.concat([f, f[-1:]]), "duplicate", ["new.csv", "1 duplicate"]),
        (lambda f: f.assign(price="?"), "not-a-number", ["new.csv", "row 1", "'price'"]),
    ],
)
def test_new_rows_that_do_not_fit_are_refused(change, code, words):
    frame, layout = remembered()
    with pytest.raises(Refusal) as refusal:
        again(change(frame), layout, DATA, "new.csv")
    assert refusal.value.code == code
    assert not [word for word in words if word not in str(refusal.value)], str(refusal.value)


# --- public data: what the folder's README states ---


@pytest.mark.parametrize(
    ("name", "rows", "freq", "unit", "first", "last", "targets"),
    [
        ("ETTh1.csv", 17420, "h", ("ns", 3600 * 10**9, 0), "2016-07-01 00:00", "2018-06-26 19:00", 7),
        ("exchange_rate.csv", 7588, "D", ("ns", 86400 * 10**9, 0), "1990-01-01", "2010-10-10", 8),
        ("epf_NP.csv", 52416, "h", ("ns", 3600 * 10**9, 0), "2013-01-01 00:00", "2018-12-24 23:00", 3),
        ("opsd_germany_daily.csv", 4383, "D", ("ns", 86400 * 10**9, 0), "2006-01-01", "2017-12-31", 4),
        ("oil_spot_daily.csv", 9985, "B", ("B", 1, 0), "1986-01-02", "2024-12-31", 2),
    ],
)
def test_public_data_load_as_their_readme_states(real, name, rows, freq, unit, first, last, targets):
    path = real(name)
    found = table(read(path, DATA), DATA, str(path))
    counts = found.frame.groupby("unique_id", observed=True)["ds"].agg(["size", "min", "max"])
    assert len(counts) == len(found.layout.target) == targets and (counts["size"] == rows).all()
    assert (counts["min"] == pd.Timestamp(first)).all() and (counts["max"] == pd.Timestamp(last)).all()
    assert found.layout.clock.unit == unit and freq in found.layout.clock.freq and found.layout.clock.tz is None


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("opsd_germany_daily.csv", {"Consumption": 0, "Wind": 1463, "Solar": 2195, "Wind+Solar": 2196}),
        ("oil_spot_daily.csv", {"Brent": 439, "WTI": 164}),
        ("ETTh1.csv", dict.fromkeys(["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"], 0)),
    ],
)
def test_missing_values_of_public_data_are_missing_values(real, name, missing):
    path = real(name)
    found = table(read(path, DATA), DATA, str(path))
    empty = found.frame["y"].isna().groupby(found.frame["unique_id"], observed=True).sum()
    assert empty.to_dict() == missing
    laid = grid(found, 0)  # the grid has rows for the days without trade, too
    assert laid.y.size - np.isfinite(laid.y).sum() - sum(missing.values()) == len(laid.y) - len(found.frame)
    assert len(laid.y) == len(found.frame) or found.layout.clock.freq == "B"


def test_a_published_file_with_duplicates_in_no_order_is_refused_by_its_first_duplicate(real):
    path = real("raw_PJME_hourly.csv")
    with pytest.raises(Refusal, match=r"4 duplicate stamps; the first is 2014-11-02 02:00:00") as refusal:
        table(read(path, DATA), DATA, str(path))
    assert refusal.value.code == "duplicate"
