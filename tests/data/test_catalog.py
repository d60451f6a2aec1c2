"""Fetching over HTTP from a server of our own: what comes is what was published, whole, or nothing is put in place."""

import gzip
import hashlib
import logging
import re
import shlex
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from forecast import config
from forecast.atomic import umask
from forecast.data import catalog
from forecast.data.catalog import SETS, chosen, fetch, there
from forecast.data.lines import find
from forecast.data.reader import read
from forecast.data.table import table
from forecast.error import CannotWrite, ForecastError, Refusal

CONTENT = b"ds,y\n" + np.random.default_rng(0).integers(0, 9, 400_000, "uint8").tobytes().replace(b"\0", b"\n")


@dataclass
class Served:
    """What a server has and how it behaves: where it cuts each answer, and whether it knows Range."""

    content: bytes = CONTENT
    status: int = 200
    cuts: list[int] = field(default_factory=list)  # bytes of an answer after which it breaks off, answer by answer
    ranges: bool = True
    claimed: int = 0  # bytes that Content-Length promises too many
    asked: list[int] = field(default_factory=list)  # where each request began
    url: str = ""


@contextmanager
def serving(served: Served):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            begin = int(re.sub(r"\D", "", self.headers.get("Range", "0")))
            served.asked.append(begin)
            assert "requests" not in self.headers["User-Agent"] and self.headers["Accept-Encoding"] == "identity"
            begin = begin if served.ranges else 0
            if served.status != 200 or begin >= len(served.content):
                self.send_error(served.status if served.status != 200 else 416)
                return
            answer = served.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(answer) + served.claimed))
            self.end_headers()
            self.wfile.write(answer[: served.cuts.pop(0)] if served.cuts else answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}/set.csv"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder FORECAST_DATA, which does not exist yet."""
    monkeypatch.setenv("FORECAST_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def published(served: Served, content: bytes = CONTENT) -> catalog.Published:
    """A set of that content, at the server's address."""
    return replace(chosen("ETTh1"), url=served.url, sha256=hashlib.sha256(content).hexdigest())


def left(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []


def as_published(path: Path, name: str) -> bytes:
    """The published bytes of a set, made from a copy whose content or spelling of dates may differ."""
    content = gzip.decompress(path.read_bytes())
    if name != "exchange_rate":
        return content
    slashed = re.sub(rb"(?m)^(\d+)-(\d+)-(\d+)", lambda x: b"%d/%d/%d 0:00" % tuple(map(int, x.groups())), content)
    return slashed.rstrip(b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("name", ["ETTh1", "ETTm1", "exchange_rate"])
def test_a_real_file_comes_with_its_published_checksum_and_reads(real, name, tmp_path, monkeypatch, caplog, capfd):
    wanted, home = as_published(real(f"{name}.csv"), name), tmp_path / "home"
    monkeypatch.setenv("FORECAST_DATA", str(home))
    with serving(Served(wanted)) as served:
        path = fetch(replace(chosen(name), url=served.url))
        assert path == home / f"{name}.csv" and path.read_bytes() == wanted
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
        with caplog.at_level(logging.INFO):
            assert fetch(replace(chosen(name), url=served.url)) == path
        assert served.asked == [0] and f"{path} is there already" in caplog.text
    assert left(home) == [f"{name}.csv"]
    assert capfd.readouterr() == ("", "")
    data = config.composed("train", shlex.split(chosen(name).use))["data"]
    assert find(data["path"]) == path
    found = table(read(path, data), data, str(path))
    assert len(found.frame) == (wanted.count(b"\n") - (name != "exchange_rate")) * len(data["target"])


BROKEN = {
    "other bytes": (Served(CONTENT[:-1] + b"x"), "is not the published file", []),
    "fewer bytes": (Served(CONTENT[:-100]), "is not the published file", []),
    "no such file": (Served(status=404), "the server answers 404 Not Found", []),
    "server in trouble": (Served(status=503), "the server answers 503 Service Unavailable", []),
    "cut at once": (Served(cuts=[0, 0]), "gave nothing", []),
    "cut": (Served(cuts=[100_000, 0]), "broke off; ", ["ETTh1.part"]),
    "cut, no Range": (Served(cuts=[100_000, 50_000], ranges=False), "broke off; ", ["ETTh1.part"]),
    "wrong length": (Served(claimed=10), "broke off; ", ["ETTh1.part"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_come_as_published_is_refused_and_leaves_nothing_but_a_part(home, case):
    served, words, files = BROKEN[case]
    with serving(served), pytest.raises(Refusal, match=words) as refused:
        fetch(published(served))
    assert served.url in str(refused.value)
    assert left(home) == files and home.exists() == bool(files)
    for name in files:
        kept = (home / name).read_bytes()
        assert (
            kept and CONTENT.startswith(kept) and f"{len(kept):,} bytes are kept in {home / name}" in str(refused.value)
        )


def test_no_network_is_refused(home):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/set.csv"
    with pytest.raises(Refusal, match=r"gave nothing .*is there a network\?"):
        fetch(published(Served(url=address)))
    assert not home.exists()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_fetch_goes_on_where_the_last_one_broke_off(home, ranges):
    with serving(Served(cuts=[150_000, 0 if ranges else 120_000], ranges=ranges)) as served:
        with pytest.raises(Refusal, match="broke off"):
            fetch(published(served))
        kept = (home / "ETTh1.part").stat().st_size
        served.asked.clear()
        path = fetch(published(served))
    assert path.read_bytes() == CONTENT and left(home) == ["ETTh1.csv"]
    assert served.asked == [kept] and 100_000 < kept <= 150_000


def test_one_fetch_outlives_several_cuts(home):
    with serving(Served(cuts=[100_000, 100_000, 100_000])) as served:
        assert fetch(published(served)).read_bytes() == CONTENT
    assert len(served.asked) == 4 and served.asked == sorted(set(served.asked))


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"], ids=["whole", "longer"])
def test_a_part_to_which_nothing_can_be_added_is_fetched_anew(home, part):
    home.mkdir()
    (home / "ETTh1.part").write_bytes(part)
    with serving(Served()) as served:
        assert fetch(published(served)).read_bytes() == CONTENT
    assert left(home) == ["ETTh1.csv"]


def test_a_part_of_another_file_is_noticed_and_gone_the_next_time(home):
    home.mkdir()
    (home / "ETTh1.part").write_bytes(b"something else")
    with serving(Served()) as served:
        with pytest.raises(Refusal, match="not the published file"):
            fetch(published(served))
        assert left(home) == []
        assert fetch(published(served)).read_bytes() == CONTENT


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_there_is_compared_and_never_overwritten(home, packed):
    home.mkdir()
    path = home / ("ETTh1.csv.gz" if packed else "ETTh1.csv")
    with serving(Served()) as served:
        for content, right in ((CONTENT, True), (b"mine", False)):
            path.write_bytes(gzip.compress(content) if packed else content)
            before = path.read_bytes()
            if right:
                assert fetch(published(served)) == path == there(published(served))
            else:
                with pytest.raises(Refusal, match=f"{path} is there, but it is not the published file.*move it away"):
                    fetch(published(served))
            assert path.read_bytes() == before
    assert not served.asked and left(home) == [path.name]


def test_without_a_published_checksum_the_first_one_is_noted_and_binds(home, caplog):
    with serving(Served()) as served, caplog.at_level(logging.INFO):
        unknown = replace(published(served), sha256=None)
        path = fetch(unknown)
        digest = hashlib.sha256(CONTENT).hexdigest()
        assert f"no published checksum is known; its sha256 is {digest}" in caplog.text
        assert (home / "ETTh1.sha256").read_text() == f"{digest}  ETTh1.csv\n"
        path.unlink()
        served.content = CONTENT + b"changed\n"
        with pytest.raises(Refusal, match="not the published file"):
            fetch(unknown)
    assert left(home) == ["ETTh1.sha256"]


def test_a_folder_that_takes_no_file_has_its_own_error(home):
    home.write_text("a file")
    with serving(Served()) as served, pytest.raises(CannotWrite, match="could not be written"):
        fetch(published(served))
    assert home.read_text() == "a file"


@pytest.mark.parametrize("x", SETS, ids=lambda x: x.name)
def test_every_set_says_what_it_is_and_how_to_train_on_it(x, home):
    assert re.fullmatch(r"https://\S+\.csv", x.url) and x.megabytes > 0 and x.what and x.licence and x.citation
    assert x.sha256 is None or re.fullmatch("[0-9a-f]{64}", x.sha256)
    assert chosen(x.name.upper()) is x
    data = config.composed("train", shlex.split(x.use))["data"]
    assert data["path"] == x.file
    header = f"{HEADERS.get(x.name, 'date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT')}\n"
    rows = [f"2016-07-{day:02d} {hour:02d}:00:00" for day in range(1, 5) for hour in range(24)]
    home.mkdir()
    (home / x.file).write_text(header + "\n".join(row + ",1.5" * header.count(",") for row in rows))
    found = table(read(home / x.file, data | {"freq": None}), data | {"freq": None}, x.file)
    assert len(found.layout.target) + len(found.layout.future) == header.count(",")


HEADERS = {
    "epf_NP": "Date, Price, Grid load forecast, Wind power forecast",
    "epf_PJM": "Date, Zonal COMED price, System load forecast, Zonal COMED load foecast",
    "epf_BE": "Date, Prices, System load forecast, Generation forecast",
    "epf_FR": "Date, Prices, System load forecast, Generation forecast",
    "epf_DE": ",Price,Ampirion Load Forecast,PV+Wind Forecast",
    "exchange_rate": "date,0,1,2,3,4,5,6,OT",
    "electricity": f"date,{','.join(map(str, range(320)))},OT",
}


def test_a_name_that_is_none_gets_the_nearest():
    for typed, meant in (("ETTh3", "ETTh"), ("epf_np2", "epf_NP"), ("eth1", "etth1")):
        with pytest.raises(ForecastError, match=f"no public set '{typed}'; did you mean '{meant}"):
            chosen(typed)
