"""What the csv module writes is read back to the last bit and byte, or refused; no bytes at all do anything else."""

import bz2
import csv
import gzip
import io
import lzma
import subprocess
import sys
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from forecast.config import CONF
from forecast.data import lines
from forecast.data.manner import Manner
from forecast.data.reader import read
from forecast.data.table import table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
CORPUS = Path(__file__).parent / "corpus"
INDEX = yaml.safe_load((CORPUS / "index.yaml").read_text())
REFUSED = ("ambiguous-number",)  # 1,125 is a thousand and more, or a little over one
NAMED = ()
START = datetime(2020, 2, 27)
PACK = {"plain": bytes, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
ODD = [
    "007",
    "NA",
    "1e5",
    "2e06918610327a",
    "1",
    "1.0",
    "-0",
    " x ",
    "nan",
    "True",
    "0x1F",
    'a "b"',
    "ü/ß",
    "a,b;c|d\te",
]

values = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [5e-324, 2.2250738585072011e-308, -0.0, 1.234, 12.5]
)
names = st.sampled_from(ODD) | st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8
)
manners = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "decimal": st.sampled_from(".,"),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "end": st.sampled_from(["\n", "\r\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        "pack": st.sampled_from(sorted(PACK)),
        "stamp": st.sampled_from(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M"]),
    }
)


def written(series, manner):
    """The bytes of a long file with hourly stamps: `series` maps names to values, None is an empty cell."""
    text = io.StringIO()
    out = csv.writer(text, delimiter=manner["delimiter"], quoting=manner["quoting"], lineterminator=manner["end"])
    out.writerow(["site", "time", "y"])
    for name, cells in series.items():
        for hour, cell in enumerate(cells):
            number = "" if cell is None else repr(cell).replace(".", manner["decimal"])
            out.writerow([name, (START + timedelta(hours=hour)).strftime(manner["stamp"]), number])
    return PACK[manner["pack"]](text.getvalue().encode(manner["encoding"]))


def expected(series):
    rows = [(name, START + timedelta(hours=i), cell) for name in sorted(series) for i, cell in enumerate(series[name])]
    return [[np.nan if x is None else x for x in column] for column in zip(*rows, strict=True)]


def same(frame, series):
    ids, stamps, cells = expected(series)
    assert frame["unique_id"].tolist() == ids
    assert [x.to_pydatetime().replace(tzinfo=None) for x in frame["ds"]] == stamps
    assert frame["y"].to_numpy().tobytes() == np.array(cells, "float64").tobytes()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.dictionaries(names, st.lists(values | st.none(), min_size=4, max_size=6), min_size=1, max_size=5),
    manners,
    st.booleans(),
)
def test_what_was_written_is_read_back_exactly_or_refused(tmp_path, series, manner, named):
    path = tmp_path / "any"
    path.write_bytes(written(series, manner))
    data = DATA | {"id": "site", "time": "time", "target": ["y"], "freq": "h"}
    if named:
        data |= {"delimiter": manner["delimiter"], "decimal": manner["decimal"], "encoding": manner["encoding"]}
    try:
        found = table(read(path, data), data, "any")
    except Refusal as refusal:
        assert refusal.code in REFUSED, str(refusal)  # noqa: PT017
        assert not named or refusal.code in NAMED, str(refusal)  # noqa: PT017
    else:
        same(found.frame, series)


def test_both_ways_of_reading_agree(tmp_path):
    """Numbers that pandas reads and those that are checked cell by cell, stamps as bytes and as text."""
    stamps = ["2024-01-01 00:00", "2024-02-29 12:30", "1999-12-31 23:59", "2024-03-01 01:00"]
    for zone in ("", "Z", "+01:00", "-0330"):
        path = tmp_path / "any.csv"
        path.write_text("time,y\n" + "".join(f"{x}{zone},{i}.5\n" for i, x in enumerate(stamps)))
        quick = read(path, DATA)
        path.write_text(path.read_text().replace("T", " ").replace(",0.5", " ,0.5"))  # no longer all of one length
        pd.testing.assert_frame_equal(quick, read(path, DATA))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_numbers_that_are_read_cell_by_cell_come_through_to_the_last_bit(tmp_path, numbers):
    """As those with marks between thousands are."""
    path = tmp_path / "any.csv"
    path.write_text("time;y\n" + "".join(f"{START + timedelta(hours=i)};{x:,}\n" for i, x in enumerate(numbers)))
    found = read(path, DATA | {"target": ["y"], "thousands": ",", "decimal": "."})
    assert found["y"].to_numpy().tobytes() == np.array(numbers).tobytes()


@pytest.mark.parametrize("stamp", ["2023-02-29 00:00", "2024-13-01 00:00", "2024-01-01 25:00", "9999-12-31 00:00"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_stamp_that_does_not_exist_is_refused_and_not_another(tmp_path, stamp, blank):
    path = tmp_path / "any.csv"
    path.write_text(f"time,y\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n{stamp}{blank},3\n")
    with pytest.raises(Refusal, match=f"row 3, column 'time': '{stamp}'") as refusal:
        read(path, DATA)
    assert refusal.value.code == "bad-time"


def test_a_stamp_longer_than_the_bytes_that_are_read_of_it_is_not_cut(tmp_path):
    path = tmp_path / "any.csv"
    path.write_text("time,y\n2024-01-01 00:00,1\n" + "2024-01-01 01:00" + " " * 40 + "x,2\n")
    with pytest.raises(Refusal, match="row 2, column 'time'"):
        read(path, DATA)


ROWS = "time;y\n2024-01-01 00:00;1\n2024-01-01 01:00;2\n2024-01-01 02:00;3\n"


def test_a_title_above_and_notes_below_are_not_the_table(tmp_path):
    """The delimiter is that of most lines; a line below that could be a row is one, and the file is refused."""
    path = tmp_path / "any.csv"
    path.write_text(f"Load of a town\n{ROWS}Source: the town\nwithout losses\n")
    assert read(path, DATA)["y"].tolist() == [1, 2, 3]
    path.write_text(f"Load of a town\n{ROWS}Source: the town\nsum;6\n")
    with pytest.raises(Refusal, match="line 6: 1 cells where the header has 2 names") as refusal:
        read(path, DATA)
    assert refusal.value.code == "ragged"


def test_a_byte_that_is_no_text_far_down_is_refused_and_ends_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("forecast.data.reader.HEAD", 60)
    path = tmp_path / "any.csv"
    path.write_bytes(ROWS.encode() + b"2024-01-01 03:00;4\xff\n")
    with pytest.raises(Refusal, match=r"is not utf-8 text all through \(byte 0xff\)") as refusal:
        read(path, DATA)
    assert refusal.value.code == "unreadable"


def test_a_header_is_one_of_the_lines(tmp_path):
    path = tmp_path / "any.csv"
    path.write_text(f"time;x\n{ROWS}")
    assert "y" in read(path, DATA | {"header": 2})
    with pytest.raises(Refusal, match=r"data.header=7, but it has") as refusal:
        read(path, DATA | {"header": 7})
    assert refusal.value.code == "config"


def test_three_lines_of_words_below_the_names_are_left_out_and_no_more(tmp_path):
    path, words = tmp_path / "any.csv", "local;MW\n"
    path.write_text(ROWS.replace("time;y\n", "time;y\n" + 3 * words))
    assert read(path, DATA)["y"].tolist() == [1, 2, 3]
    path.write_text(ROWS.replace("time;y\n", "time;y\n" + 4 * words))
    with pytest.raises(Refusal):
        read(path, DATA)


SERIES = "name,V1,V2,V3,V4\nH2,1,2.5,,4\nH1,5,,7,\n"


def test_lines_that_are_series_become_rows_up_to_their_last_value(tmp_path):
    path = tmp_path / "any.csv"
    path.write_text(SERIES)
    data = DATA | {"start": "2024-03-30", "freq": "D", "tz": "Europe/Berlin"}
    found = table(read(path, data), data, "any").frame
    assert found["unique_id"].tolist() == ["H1"] * 3 + ["H2"] * 4
    days = pd.date_range("2024-03-30", periods=4, tz="Europe/Berlin").tolist()
    assert found["ds"].tolist() == days[:3] + days
    np.testing.assert_array_equal(found["y"], [5, np.nan, 7, 1, 2.5, np.nan, 4])


@pytest.mark.parametrize(
    ("text", "options", "code", "says"),
    [
        (SERIES, {"freq": None}, "config", "data.freq"),
        (SERIES, {"target": ["V1"]}, "config", "target"),
        (SERIES, {"start": "soon"}, "config", "data.start=soon"),
        (SERIES, {"freq": "MS", "start": "2024-01-15 12:00"}, "wrong-frequency", "data.start"),
        (SERIES.replace("7", "seven"), {}, "not-a-number", "row 2, column 'V3': 'seven'"),
        (SERIES + "H3,,,,\n", {}, "too-short", "row 3"),
        ("name,V1\n", {}, "empty-file", "no rows"),
        (SERIES + ",1,2,3,4\n", {}, "no-id", "no name"),
        (SERIES + "H1,1,2,3,4\n", {}, "duplicate", "H1"),
    ],
)
def test_lines_that_are_no_series_are_refused(tmp_path, text, options, code, says):
    path = tmp_path / "any.csv"
    path.write_text(text)
    data = DATA | {"start": "2024-01-01", "freq": "h"} | options
    with pytest.raises(Refusal, match=says) as refusal:
        table(read(path, data), data, "any")
    assert refusal.value.code == code


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="needs pip install atheris")
def test_bytes_that_a_fuzzer_makes_of_the_corpus_are_read_or_refused(tmp_path):
    seconds, seeds = 60, tmp_path / "seeds"
    seeds.mkdir()
    for i, name in enumerate(sorted(INDEX)):
        (seeds / name).write_bytes(bytes([i]) + (CORPUS / name).read_bytes())
    run = subprocess.run(
        [sys.executable, __file__, f"-max_total_time={seconds}", "-timeout=20", "-max_len=3000", str(seeds)],
        capture_output=True, text=True, cwd=tmp_path, timeout=4 * seconds, check=False,
    )  # fmt: skip
    assert run.returncode == 0 and "DONE" in run.stderr, (run.stdout + run.stderr)[-3000:]
    print(run.stderr.splitlines()[-1])


def fuzz():
    """Reads what a fuzzer makes of files, the first byte choosing their options, until something else than Refusal."""
    import atheris

    for name in [name for name in sys.modules if name.startswith("forecast.data.")]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["forecast.data"]):
        from forecast.data.reader import read
        from forecast.data.table import table
    choices = [INDEX[name].get("data", {}) for name in sorted(INDEX)]
    choices += [{"start": "2020-01-01", "freq": "h"}, {"target": ["load"]}, {"duplicates": "mean", "resample": "mean"}]
    path = Path("fuzzed").absolute()

    def once(content):
        data = DATA | choices[content[0] % len(choices)] if content else DATA
        path.write_bytes(content[1:])
        try:
            table(read(path, data), data, "fuzzed")
        except Refusal:
            return

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


def test_parquet_and_zstandard_are_read_as_csv_is(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    frame = pd.DataFrame(
        {"site": ["007", "NA"] * 24, "ds": np.repeat(pd.date_range("2024-01-01", periods=24, freq="h"), 2)}
    )
    frame["y"] = np.random.default_rng(0).normal(size=48)
    frame.to_csv(tmp_path / "my.csv", index=False)
    frame.to_parquet(tmp_path / "my.parquet")
    (tmp_path / "my.csv.zst").write_bytes(zstandard.compress((tmp_path / "my.csv").read_bytes()))
    data = DATA | {"id": "site"}
    tables = [table(read(tmp_path / f"my.{end}", data), data, "my").frame for end in ("csv", "csv.zst", "parquet")]
    assert tables[0]["unique_id"].cat.categories.tolist() == ["007", "NA"]
    pd.testing.assert_frame_equal(tables[1], tables[0], check_exact=True)
    pd.testing.assert_frame_equal(tables[2], tables[0], check_exact=True)


def checked(content: bytes, names: tuple[str, ...], size: int) -> tuple[bytes, int] | str:
    """What passes the check of lines, in blocks of a size, and the line after it; or the code of the refusal."""
    blocks = (content[i : i + size] for i in range(0, len(content), size))
    found = lines.Lines(blocks, Manner("utf-8", ",", ".", None, 1, names), "my.csv")
    try:
        return b"".join(iter(found.read, b"")), found.line
    except Refusal as refusal:
        return refusal.code


cells = st.lists(st.sampled_from(["1", "", "2.5", '"a"', '"a,b"', '"a\nb"', '"', "\0"]), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.lists(cells.map(",".join), max_size=12), st.integers(1, 2), st.integers(1, 9), st.booleans())
@example(['"a,b"', "1", '",\0'], 1, 8, False)  # a quote that is never closed, and a NUL byte in it
def test_lines_are_checked_alike_by_their_shape_and_one_by_one(rows, width, size, ended):
    content = ("\n".join(["a,b"[: 2 * width - 1], *rows]) + "\n" * ended).encode()
    names = ("a", "b")[:width]
    with pytest.MonkeyPatch.context() as patch:
        quick = checked(content, names, size)
        patch.setattr(lines.Lines, "alike", lambda self, block: False)
        assert checked(content, names, size) == quick


if __name__ == "__main__":
    fuzz()
