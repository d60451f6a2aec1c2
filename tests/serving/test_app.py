"""The service answers as `Forecaster` does, refuses as the command line does, and holds its limits."""

import asyncio
import csv
import gzip
import io
import json
import re
import threading
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pandas as pd
import pytest
from conftest import QUICK
from starlette.testclient import TestClient

from forecast import Ensemble, Forecaster, Refusal
from forecast.config import composed
from forecast.data.synthetic import panel
from forecast.service import answer, served, server
from forecast.service.app import Service, app
from forecast.service.limits import Answered, Limits, Room
from forecast.service.served import CSV, JSON, Answer, Question, Served
from forecast.service.turns import Turns

CONTEXT, HORIZON = 24, 6
FORMULA = '=cmd|"x"'
NAMES = ("north", FORMULA, "-7", "@home", "+1;2", "\tx", "plain")
LIMITS = {"body": 1.0, "rows": 3000, "kept": 3000, "held": 4.0, "requests": 8, "reading": 5.0, "seconds": 20.0}
LOCAL = "http://127.0.0.1:8000"


def fitted(rows: pd.DataFrame, *overrides: str) -> Forecaster:
    settings = [*QUICK, "trainer.enable_progress_bar=false", "logger=none", "model=linear", *overrides]
    return Forecaster(data="csv", context=CONTEXT, horizon=HORIZON, overrides=settings).fit(rows)


def alone() -> pd.DataFrame:
    return panel(series=1, rows=300, freq="h", seed=3).drop(columns="unique_id")[["ds", "y"]]


def columns() -> pd.DataFrame:
    """Several series with covariates of all kinds; the last rows have no target."""
    made = panel(series=len(NAMES), rows=300 + HORIZON, freq="h", seed=3)[["unique_id", "ds", "y"]]
    rng, ids = np.random.default_rng(3), made["unique_id"].unique()
    made["unique_id"] = made["unique_id"].map(dict(zip(ids, NAMES, strict=True)))
    made["wind"], made["plan"] = rng.normal(size=len(made)), rng.normal(size=len(made)) * 1e-9
    made["kind"], made["size"] = rng.choice(["a", "b"], len(made)), made["unique_id"].str.len().astype(float)
    ahead = made.groupby("unique_id").cumcount() >= 300
    return made.assign(y=made["y"].mask(ahead) * -1, wind=made["wind"].mask(ahead))


COLUMNS = ["data.past=[wind]", "data.future=[plan,kind]", "data.categorical=[kind]", "data.static=[size]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with two saved forecasters and an ensemble."""
    root = tmp_path_factory.mktemp("served")
    first = fitted(alone())
    first.save(root / "alone")
    fitted(columns(), *COLUMNS).save(root / "deeper" / "columns")
    Ensemble([first, first]).save(root / "both")
    return root


def service(folder: Path, together: int = 1, secured: bool = False, **limits: float) -> Service:
    held = Limits(**{**LIMITS, **limits})
    found = {name: Served(name, x, held) for name, x in served.found(str(folder)).items()}
    return Service(found, held, together, secured)


def client(folder: Path, token: str | None = None, hosts: tuple[str, ...] = ("127.0.0.1",), **limits: float):
    made = app(service(folder, secured=token is not None, **limits), token, hosts)
    return TestClient(made, base_url=LOCAL, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def one(home):
    return client(home / "alone")


@pytest.fixture(scope="module")
def several(home):
    return client(home)


def tail(rows: pd.DataFrame, count: int = 60) -> pd.DataFrame:
    if "unique_id" not in rows:
        return rows.tail(count)
    return rows.groupby("unique_id", sort=False).tail(count + HORIZON).reset_index(drop=True)


def body(rows: pd.DataFrame, media: str) -> bytes:
    if media == CSV:
        return rows.to_csv(index=False).encode()
    plain = rows.assign(ds=rows["ds"].astype(str)).astype(object)
    return json.dumps({"rows": plain.where(plain.notna(), None).to_dict("records")}).encode()


def post(client: TestClient, content: bytes | str, media: str = JSON, path: str = "/forecast", **words: object):
    return client.post(path, content=content, headers={"Content-Type": media}, params=words)


def table(found: httpx.Response) -> pd.DataFrame:
    assert found.status_code == 200, found.text
    rows = pd.DataFrame(found.json()["rows"])
    return rows.assign(ds=pd.to_datetime(rows["ds"]), cutoff=pd.to_datetime(rows["cutoff"]))


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """To the last bit."""
    assert list(found.columns) == list(expected.columns) and len(found) == len(expected)
    for name in found.columns:
        if name in ("unique_id", "ds", "cutoff"):
            assert found[name].astype(str).tolist() == expected[name].astype(str).tolist()
        else:
            np.testing.assert_array_equal(found[name].to_numpy("float64"), expected[name].to_numpy("float64"))


@pytest.mark.parametrize("media", [JSON, CSV])
@pytest.mark.parametrize(
    ("name", "rows"), [("alone", alone()), ("deeper/columns", columns())], ids=["alone", "columns"]
)
def test_a_forecast_is_that_of_predict_to_the_last_bit(several, home, name, rows, media):
    expected = Forecaster.load(home / name).predict(tail(rows))
    found = post(several, body(tail(rows), media), media, name=name)
    same(table(found), expected)
    assert found.json()["name"] == name and found.json()["past"] == []
    nudged = tail(rows).assign(y=lambda x: x["y"] + 1e-3)
    with pytest.raises(AssertionError):
        same(table(post(several, body(nudged, media), media, name=name)), expected)


def test_levels_past_and_an_ensemble(several, home):
    rows = tail(alone())
    found = post(several, body(rows, JSON), name="both", levels="0.25,0.75", past=5)
    same(table(found), Ensemble.load(home / "both").predict(rows, levels=[0.25, 0.75]))
    assert [x["y"] for x in found.json()["past"]] == rows["y"].tolist()[-5:]
    assert post(several, body(rows, JSON), path="/observe", name="both").status_code == 409


def downloaded(client: TestClient, rows: pd.DataFrame) -> list[dict[str, str]]:
    found = post(client, body(rows, JSON), name="deeper/columns", format="csv")
    assert found.headers["content-disposition"] == 'attachment; filename="forecast.csv"'
    assert found.headers["content-type"].startswith(CSV)
    return list(csv.DictReader(io.StringIO(found.text, newline="")))


def test_a_download_is_no_formula_and_its_numbers_are_exact(several, home, monkeypatch):
    rows = tail(columns())
    expected = Forecaster.load(home / "deeper" / "columns").predict(rows)

    def check() -> None:
        found = downloaded(several, rows)
        for line, (_, row) in zip(found, expected.iterrows(), strict=True):
            name = str(row["unique_id"])
            assert line["unique_id"] == (f"'{name}" if name[0] in "=+-@\t" else name)
            assert not line["unique_id"].startswith(("=", "+", "-", "@", "\t"))
            assert [float(line[x]) for x in expected.columns[4:]] == row.iloc[4:].tolist()

    check()
    assert any(float(line["point"]) < 0 and line["point"][0] == "-" for line in downloaded(several, rows))
    ids = {x["unique_id"] for x in post(several, body(rows, JSON), name="deeper/columns").json()["rows"]}
    assert FORMULA in ids and "-7" in ids  # escaped there only
    monkeypatch.setattr(answer, "harmless", str)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("name", [*"=+-@\t\r\n", "=1", "'=1", "1=1", " =1"])
def test_what_a_cell_begins_with(name):
    made = answer.as_csv(Answer(pd.DataFrame({"unique_id": [name], "point": [-1e-300]}))).decode()
    ((cell, number),) = list(csv.reader(io.StringIO(made, newline="")))[1:]
    assert cell == (f"'{name}" if name[0] in "=+-@\t\r\n" else name) and number == "-1e-300"


DEEP = '{"rows":' + "[" * 10_000 + "]" * 10_000 + "}"
ROW = '{"rows": [{"ds": "2024-01-01", "y": %s}]}'
REFUSED = {
    "NaN": (ROW % "NaN", 400, "not-a-number", "a missing value is null"),
    "Infinity": (ROW % "-Infinity", 400, "not-a-number", "no number"),
    "1e400": (ROW % "1e400", 400, "infinite", "1e400 is too large"),
    "digits": (ROW % ("9" * 5000), 400, "infinite", "too large"),
    "deep": (DEEP, 400, "malformed", "nested too deeply"),
    "deep in a row": (ROW % ("[" * 10_000 + "]" * 10_000), 400, "malformed", "nested too deeply"),
    "list": (ROW % "[1]", 400, "malformed", "row 1, 'y': a list; expected number or null"),
    "text": (ROW % '"1.5"', 400, "malformed", "row 1, 'y': \"1.5\"; expected number or null"),
    "true": (ROW % "true", 400, "malformed", "row 1, 'y': true"),
    "unknown": (
        '{"rows": [{"ds": "2024", "yy": 1}]}',
        400,
        "unknown",
        "row 1 has an unknown field 'yy'; did you mean 'y'?",
    ),
    "unknown above": ('{"row": []}', 400, "unknown", "unknown field 'row'; did you mean 'rows'?"),
    "missing": ('{"rows": [{"ds": "2024-01-01"}]}', 400, "no-column", "row 1 has no field 'y'"),
    "twice": ('{"rows": [{"ds": "2024", "y": 1, "y": 2}]}', 400, "malformed", "the key 'y' comes twice"),
    "no rows": ('{"rows": []}', 400, "malformed", "an empty list; expected a list with a row at least"),
    "no object": ("[]", 400, "malformed", "expected an object with rows"),
    "no JSON": ('{"rows": [', 400, "malformed", "line 1, column 11: Expecting value"),
    "nothing": ("", 400, "malformed", "line 1, column 1"),
    "not UTF-8": (b'{"rows": "\xff"}', 400, "malformed", "byte 10 is not UTF-8"),
    "control": ('{"rows": [{"ds": "a\\u0000", "y": 1}]}', 400, "malformed", "no file could hold"),
    "surrogate": ('{"rows": [{"ds": "a\\ud800", "y": 1}]}', 400, "malformed", "no file could hold"),
    "surrogate key": ('{"rows": [{"\\ud800": 1}]}', 400, "unknown", "unknown field"),
    "long": ('{"rows": [{"ds": "%s", "y": 1}]}' % ("a" * 201), 400, "malformed", "text of 201 characters"),
    "bad time": ('{"rows": [{"ds": "yesterday", "y": 1}]}', 422, "bad-time", "yesterday"),
    "too short": (ROW % "1", 422, "too-short", "the rows: series 'y' has 1 rows"),
    "year 9999": ('{"rows": [{"ds": "9999-12-31", "y": 1}]}', 422, "bad-time", "9999"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_body_is_refused_with_what_was_found_and_expected(one, case):
    content, status, code, said = case
    found = post(one, content)
    assert (found.status_code, found.json()["code"]) == (status, code), found.text
    assert said in found.json()["message"] and set(found.json()) == {"code", "message"}


def test_the_refusals_of_csv_are_those_of_the_command_line(one, home):
    rows, forecaster = tail(alone()), Forecaster.load(home / "alone")
    good = rows.to_csv(index=False)
    bad = {
        "number": good.replace(good.split(",")[-1].strip(), "abc"),
        "ragged": good + "2024-01-20,1,2,3\n" * 30,
        "duplicate": good + good.split("\n")[-2] + "\n",
        "column": good.replace("ds,y", "ds,yy"),
        "empty": "ds,y\n",
        "grid": good + "2031-01-01 00:30:00,4\n",
        "infinite": good.replace(good.split(",")[-1].strip(), "inf"),
        "NUL": good + "\0\n",
        "quote": good + '"2024\n',
        "nothing": "",
        "wide": "ds;y\n" + ("1" * 200_000 + "\n") * 2,
    }
    for line in ("1" * 300_000, "," * 10_000):  # that no table has
        assert post(one, good + line, CSV).json()["code"] == "too-large"
    for text in bad.values():
        Path("rows.csv").write_text(text)
        with pytest.raises(Refusal) as caught:
            forecaster.predict("rows.csv")
        found = post(one, text, CSV)
        assert (found.status_code, found.json()["code"]) == (422, caught.value.code)
        rest = caught.value.message.replace("rows.csv", "")
        assert re.sub("the (body|rows)", "", found.json()["message"]) == rest


def test_media_types_and_words_of_the_address(one):
    good = body(tail(alone()), CSV)
    assert post(one, good, "text/plain").status_code == 415
    assert post(one, gzip.compress(good), CSV).status_code == 415  # a small body that would become a large file
    packed = {"Content-Type": CSV, "Content-Encoding": "gzip"}
    assert one.post("/forecast", content=good, headers=packed).status_code == 415
    wrong = {"levels": ["0.1,x", "0", "1", "nan", "", "0.1,,0.2", "1e400"], "past": ["-1", "1.5", "99999", "٣"]}
    wrong |= {"format": ["xml"], "nmae": ["a"]}
    for name, words in wrong.items():
        for word in words:
            found = post(one, good, CSV, **{name: word})
            assert found.status_code == 400 and word[:9] in found.text + name, found.text
    assert "did you mean 'name'" in post(one, good, CSV, nmae="a").json()["message"]
    assert one.post("/forecast?past=1&past=2", content=good, headers={"Content-Type": CSV}).status_code == 400
    assert post(one, good, CSV, levels="0.01,0.5").json()["code"] == "levels"  # outside the trained ones
    assert post(one, good, CSV, levels="0.5,0.50000001").json()["code"] == "levels"
    assert one.get("/forecast").status_code == 405 and one.get("/nothing").status_code == 404


def test_names(several, one, home):
    good = body(tail(alone()), CSV)
    assert [x["name"] for x in several.get("/card").json()["forecasters"]] == ["alone", "both", "deeper/columns"]
    assert post(several, good, CSV).json()["code"] == "no-name"
    found = post(several, good, CSV, name="alnoe")
    assert found.status_code == 404 and "did you mean 'alone'?" in found.json()["message"]
    assert post(one, good, CSV).json()["name"] == "alone"
    assert list(served.found([str(home / "alone"), str(home / "both")])) == ["alone", "both"]
    for run, said in ((None, "which run"), (str(home / "none"), "no saved forecaster")):
        with pytest.raises(Refusal, match=said):
            served.found(run)


def test_rows_that_are_told_are_kept_and_refused_ones_are_not(home):
    rows, told = alone(), client(home / "alone")
    before, news = rows.iloc[:200], rows.iloc[200:]
    first = post(told, body(before, CSV), CSV, "/observe")
    forecaster = Forecaster.load(home / "alone")
    same(table(first), forecaster.predict(before))
    asked = post(told, body(tail(rows), JSON)).content
    for i in range(4):
        found = post(told, body(news.iloc[i : i + 1], JSON), path="/observe")
        same(table(found), forecaster.predict(rows.iloc[: 201 + i]))
    for wrong in (
        news.iloc[:1],
        news.iloc[4:5].assign(ds=pd.Timestamp("2024-03-01 00:30")),
        news.iloc[4:5].drop(columns="y"),
    ):
        assert post(told, body(wrong, JSON), path="/observe").status_code in (400, 422)
    found = post(told, body(news.iloc[4:6], JSON), path="/observe")
    same(table(found), forecaster.predict(rows.iloc[:206]))
    assert post(told, body(tail(rows), JSON)).content == asked  # what is told to one road is not seen on the other
    small = client(home / "alone", kept=210)
    assert post(small, body(before, JSON), path="/observe").status_code == 200
    full = post(small, body(news.iloc[:11], JSON), path="/observe")
    assert (full.status_code, full.json()["code"]) == (413, "too-many-rows")
    assert post(small, body(news.iloc[:10], JSON), path="/observe").status_code == 200


def test_a_token_opens_all_but_page_and_health(home, caplog):
    closed, token = client(home / "alone", token="sesame-123"), {"Authorization": "Bearer sesame-123"}
    paths = ("/card", "/metrics", "/openapi.json", "/forecast", "/nothing")
    for path in paths:
        for headers in ({}, {"Authorization": "Bearer sesame-12"}, {"Authorization": "Basic sesame-123"}):
            found = closed.request("POST" if path == "/forecast" else "GET", path, headers=headers)
            assert (found.status_code, found.headers["www-authenticate"]) == (401, "Bearer")
    assert closed.get("/health").status_code == closed.get("/").status_code == 200
    assert closed.get("/card", headers=token).status_code == 200
    assert closed.get("/openapi.json", headers=token).json()["security"] == [{"token": []}]
    assert "sesame" not in caplog.text + closed.get("/metrics", headers=token).text
    assert client(home / "alone").get("/card").status_code == 200


def test_another_host_name_is_turned_away(one):
    assert one.get("/health", headers={"Host": "evil.example"}).status_code == 400


def test_limits(home):
    small = client(home / "alone", body=0.01, rows=100)
    long, good = b"x" * 20_000, body(tail(alone()), CSV)
    assert (found := post(small, long, CSV)).status_code == 413 and "limits.body" in found.text
    assert post(small, (long[i : i + 1000] for i in range(0, 20_000, 1000)), CSV).status_code == 413  # chunked
    assert post(small, good, CSV).status_code == 200
    assert (found := post(small, body(tail(alone(), 101), CSV), CSV)).status_code == 413 and "limits.rows" in found.text
    assert post(client(home / "alone", rows=100), "ds,y\n" + "\n" * 300, CSV).status_code == 413
    many = '{"rows": [' + ",".join(["{}"] * 150) + "]}"
    assert post(small, many).json()["code"] == "too-many-rows"
    wide = post(client(home, rows=500), body(tail(columns(), 30), JSON), name="deeper/columns")
    assert wide.status_code == 200
    wide = post(client(home, rows=41), body(tail(columns(), 1), JSON), name="deeper/columns")
    assert wide.status_code == 413
    assert post(client(home / "alone", held=0.001), good, CSV).status_code == 429
    assert post(client(home / "alone", seconds=1e-9), good, CSV).status_code == 429


def test_what_is_held_is_given_back(home):
    made = service(home / "alone")
    asking = TestClient(app(made, None, ["*"]), base_url=LOCAL, raise_server_exceptions=False)
    for content in (body(tail(alone()), CSV), b"ds,y\n", b"x" * 2_000_000):
        post(asking, content, CSV)
        assert (made.room.held, made.room.requests) == (0, 0)
    room = Room(Limits(**{**LIMITS, "requests": 1}))
    with room.request():
        with pytest.raises(Answered, match="at work"), room.request():
            pass
        assert room.requests == 1
    room = Room(Limits(**{**LIMITS, "held": 1}))
    room.take(2**20)
    with pytest.raises(Answered, match="hold 1 MiB"):
        room.take(1)
    room.give(1)
    room.take(1)  # to the last byte


@pytest.mark.parametrize(
    "wrong", [{"rows": 0}, {"rows": 1.5}, {"body": float("nan")}, {"seconds": "long"}, {"held": True}]
)
def test_limits_are_numbers(wrong):
    with pytest.raises(Refusal, match=next(iter(wrong))):
        Limits(**{**LIMITS, **wrong})


def questions(count: int) -> list[Question]:
    return [Question(body(tail(alone().iloc[: 250 + i]), JSON), JSON) for i in range(count)]


def test_requests_together_are_answered_as_each_alone(home):
    asked = Served("alone", home / "alone", Limits(**LIMITS))
    several = [*questions(4), Question(b"{", JSON), Question((ROW % "1").encode(), JSON)]
    together = asked.forecasts(several)
    sd = alone()["y"].std()
    for question, found in zip(several, together, strict=True):
        (single,) = asked.forecasts([question])
        if isinstance(single, Exception):
            assert str(found) == str(single)
            continue
        assert isinstance(found, Answer)
        numbers = found.table.columns[4:]
        assert (found.table[numbers] - single.table[numbers]).abs().to_numpy().max() < 1e-5 * sd
        assert found.table["ds"].equals(single.table["ds"])
    assert asked.forecasts([x._replace(levels=(0.01,)) for x in several[:2]])[1].code == "levels"


def test_waiting_requests_of_a_key_go_together_and_late_ones_not_at_all():
    sizes, gate = list[int](), threading.Event()

    def work(several):
        gate.wait(10)
        sizes.append(len(several))
        return [RuntimeError("odd") if x % 2 else x for x in several]

    async def main():
        turns = Turns(together=3)
        asked = [asyncio.create_task(turns.ask(work, i, "a" if i else None, 10)) for i in range(6)]
        await asyncio.sleep(0.05)
        late = asyncio.create_task(turns.ask(work, 9, "b", 0.05))
        with pytest.raises(Answered, match="no answer within"):
            await late
        gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        turns.close()
        return found

    found = asyncio.run(main())
    assert [x if isinstance(x, int) else str(x) for x in found] == [0, "odd", 2, "odd", 4, "odd"]
    assert sizes == [1, 3, 2]


def test_health_is_answered_while_a_forecast_is_made(home):
    made, gate = service(home / "alone"), threading.Event()
    made.turns.thread.submit(gate.wait, 20)

    async def main() -> list[int]:
        transport = httpx.ASGITransport(app(made, None, ["*"]))
        async with httpx.AsyncClient(transport=transport, base_url=LOCAL) as asking:
            content, headers = body(tail(alone()), CSV), {"Content-Type": CSV}
            forecast = asyncio.create_task(asking.post("/forecast", content=content, headers=headers))
            await asyncio.sleep(0.05)
            healthy = (await asking.get("/health")).status_code
            assert not forecast.done()
            gate.set()
            return [healthy, (await forecast).status_code]

    assert asyncio.run(main()) == [200, 200]


def test_a_body_that_does_not_come_is_given_up(home):
    made = service(home / "alone", reading=0.1)

    async def main() -> tuple[int, float]:
        async def slow():
            yield b"ds,y\n"
            await asyncio.sleep(30)

        begin = time.perf_counter()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app(made, None, ["*"])), base_url=LOCAL) as asking:
            found = await asking.post("/forecast", content=slow(), headers={"Content-Type": CSV})
        return found.status_code, time.perf_counter() - begin

    status, seconds = asyncio.run(main())
    assert status == 408 and seconds < 10 and made.room.held == 0


def test_the_document_is_about_the_paths_and_fields(several):
    found = several.get("/openapi.json").json()
    assert set(found["paths"]) == {"/", "/health", "/card", "/metrics", "/openapi.json", "/forecast", "/observe"}
    schemas = found["paths"]["/forecast"]["post"]["requestBody"]["content"][JSON]["schema"]["anyOf"]
    fields = [x["properties"]["rows"]["items"]["required"] for x in schemas]
    assert fields == [["ds", "y"], ["ds", "y"], ["ds", "unique_id", "y", "wind", "plan", "kind", "size"]]
    found = several.get("/openapi.json", params={"name": "alone"}).json()["paths"]["/forecast"]["post"]
    assert found["requestBody"]["content"][JSON]["schema"]["properties"]["rows"]["items"]["required"] == ["ds", "y"]
    assert found["parameters"][0]["schema"]["enum"] == ["alone"]


def test_a_browser_may_run_the_script_of_the_page_and_nothing_else(one):
    found = one.get("/")
    policy = found.headers["content-security-policy"]
    (script,) = re.findall("<script>(.*?)</script>", found.text, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert (
        "http" not in re.sub(r"http://www.w3.org/2000/svg|`HTTP \S*`", "", found.text) and "innerHTML" not in found.text
    )
    for path in ("/", "/health", "/card", "/nothing"):
        headers = one.get(path).headers
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_what_is_counted(home):
    counted = client(home / "alone")
    post(counted, body(tail(alone()), CSV), CSV)
    post(counted, "{}")
    counted.get("/../../etc/passwd?a=1")
    text = counted.get("/metrics").text
    assert 'forecast_requests_total{path="/forecast",status="200"} 1.0' in text
    assert 'forecast_requests_total{path="/forecast",status="400"} 1.0' in text
    assert (
        'forecast_refusals_total{code="unknown"} 0.0' not in text
        and 'forecast_refusals_total{code="no-column"} 1.0' in text
    )
    assert 'forecast_requests_total{path="other",status="404"} 1.0' in text and "passwd" not in text
    assert f'forecast_rows_total{{name="alone",path="/forecast"}} {HORIZON}.0' in text


def test_a_fault_of_ours_is_told_without_its_text(home, monkeypatch):
    def fault(self, question):
        raise RuntimeError("secret")

    monkeypatch.setattr(Served, "forecast", fault)
    found = post(client(home / "alone"), body(tail(alone()), CSV), CSV)
    assert (found.status_code, found.json()["code"]) == (500, "fault") and "secret" not in found.text


def test_what_the_command_refuses(forecast, home, monkeypatch):
    assert composed("serve")["host"] == "127.0.0.1"
    run = f"run={home / 'alone'}"
    taken = server.listened("127.0.0.1", 0)
    refused = {
        "which run": [],
        "no saved forecaster": ["run=nothing"],
        "can't listen there": [run, f"port={taken.getsockname()[1]}"],
        "port=70000": [run, "port=70000"],
        "can't listen": [run, "host=256.1.1.1", "port=0"],
        "limits.rows=0": [run, "limits.rows=0"],
        "at least 8 characters": [run, "token=short"],
        "together=0": [run, "together=0"],
        "did you mean 'together'": [run, "togehter=1"],
    }
    with taken:
        for said, words in refused.items():
            code, _, err = forecast("serve", *words)
            assert code == 2 and said in err, err
    monkeypatch.setenv(server.TOKEN, "from-outside")
    assert server.token_of(None) == "from-outside" and server.token_of("from-here") == "from-here"
