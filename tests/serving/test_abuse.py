"""A real service under abuse: it never fails, holds its memory, and goes on answering.

python -m pytest -m slow -n 0 -s tests/serving/test_abuse.py
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pandas as pd
import pytest
from test_app import CSV, JSON, alone, body, columns, fitted, tail

pytestmark = pytest.mark.slow
MIB = 1 << 20
ABOVE = 200  # MiB that abuse may take more than the service has when it is idle
READING = 5  # seconds for a body


class Running:
    """`forecast serve` as a process of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str):
        command = [sys.executable, "-m", "forecast", "serve", f"run={folder}", "port=0", *words]
        self.errors = (folder / "errors.txt").open("w+")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.errors, text=True, env={**os.environ, **environment}
        )
        assert self.process.stdout is not None
        self.names, self.url = (self.process.stdout.readline().strip() for _ in range(2))
        self.address = (urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0)
        self.idle = 0.0  # MiB
        self.ask = httpx.Client(base_url=self.url, timeout=120, verify=False)

    def memory(self, name: str) -> float:
        """MiB: VmRSS, what it has now, or VmHWM, the most that it had."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().split("\n")
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

    def post(self, content: bytes, media: str = JSON, **words: object) -> httpx.Response:
        return self.ask.post("/forecast", content=content, headers={"Content-Type": media}, params=words)

    def stop(self) -> str:
        """Ends it as an operator does, and returns what it wrote to stderr."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        self.ask.close()
        self.process.stdout.close()
        with self.errors:
            self.errors.seek(0)
            return self.errors.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("abused")
    fitted(alone()).save(root / "runs" / "alone")
    return root / "runs"


@pytest.fixture(scope="module")
def running(folder) -> Iterator[Running]:
    started = Running(folder, f"limits.reading={READING}")
    for media in (JSON, CSV):
        assert started.post(body(tail(alone()), media), media).status_code == 200
    started.idle = started.memory("VmRSS")
    yield started
    errors = started.stop()
    assert "Traceback" not in errors, errors


@pytest.fixture
def watched(running) -> Iterator[Running]:
    """The service, within its memory meanwhile; and it still forecasts afterwards, to the same bytes."""
    content = body(tail(alone()), JSON)
    expected = running.post(content).content
    Path(f"/proc/{running.process.pid}/clear_refs").write_text("5")  # forgets the peak
    yield running
    above = running.memory("VmHWM") - running.idle
    print(f"\n  at most {above:.0f} MiB above the {running.idle:.0f} MiB of the idle service", end=" ")
    found = running.post(content)
    assert found.status_code == 200 and found.content == expected
    assert above < ABOVE
    held = running.ask.get("/metrics").text
    assert "forecast_held_bytes 0.0" in held and "forecast_requests_now 0.0" in held


def head(length: str = "Transfer-Encoding: chunked", media: str = CSV) -> bytes:
    return f"POST /forecast HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\n{length}\r\n\r\n".encode()


def poured(address: tuple[str, int], size: int) -> tuple[int, bytes]:
    """Sends a chunked body of a size, and goes on after an answer; what was taken, and the answer's first line."""
    piece = b"10000\r\n" + b"7" * 65536 + b"\r\n"
    sent, said = 0, b""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(head())
        try:
            while sent < size:
                if not said and select.select([connection], [], [], 0)[0]:
                    said = connection.recv(65536)
                connection.sendall(piece)
                sent += 65536
        except OSError:
            pass
    return sent, said.split(b"\r\n")[0]


def test_bodies_of_a_gigabyte_in_chunks(watched):
    sent, said = poured(watched.address, 1 << 30)
    print(f"\n  {sent >> 20} MiB taken or thrown away, then {said.decode()}", end="")
    assert b" 413 " in said
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: poured(watched.address, 200 * MIB)[1], range(20)))
    statuses = {x.split(b" ")[1] if x else b"" for x in answers}
    assert statuses <= {b"", b"408", b"413", b"429"}, statuses


def answers(connections: list[socket.socket], seconds: float) -> list[bytes]:
    """The first line that each connection says within some seconds; nothing if it is closed."""
    found, end = [], time.monotonic() + seconds
    for connection in connections:
        connection.settimeout(max(0.01, end - time.monotonic()))
        try:
            found.append(connection.recv(65536).split(b"\r\n")[0])
        except TimeoutError:
            found.append(b"silent")
        except OSError:
            found.append(b"")
        connection.close()
    return found


def test_slow_bodies_and_heads_are_given_up_and_others_are_answered(watched):
    slow = [socket.create_connection(watched.address) for _ in range(100)]
    heads = [socket.create_connection(watched.address) for _ in range(100)]
    stop = threading.Event()

    def drip() -> None:
        for connection in slow:
            connection.sendall(head())
        for connection in heads:
            connection.sendall(b"POST /forecast HTTP/1.1\r\nHost: local")
        while not stop.wait(0.5):
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(b"1\r\n1\r\n")

    dripping = threading.Thread(target=drip)
    dripping.start()
    content, begin = body(tail(alone()), JSON), time.monotonic()
    while time.monotonic() < begin + 2 * READING:
        assert watched.post(content).status_code == 200
    stop.set()
    dripping.join()
    assert all(b" 408 " in x for x in answers(slow, 20))
    assert set(answers(heads, 20)) == {b""}


BOMBS: dict[str, tuple[bytes, str]] = {
    "lists": (b'{"rows":[' + b"[]," * 1_300_000 + b"[]]}", JSON),
    "objects": (b'{"rows":[' + b"{}," * 1_300_000 + b"{}]}", JSON),
    "keys": (("{" + ",".join(f'"{i}":1' for i in range(340_000)) + "}").encode(), JSON),
    "strings": (b'{"rows":[' + b'"ab",' * 800_000 + b'""]}', JSON),
    "numbers": (b'{"rows":[' + b"1.5," * 1_000_000 + b"1]}", JSON),
    "digits": (b'{"rows":[' + b"9" * 4_000_000 + b"]}", JSON),
    "deep": (b'{"rows":' + b"[" * 4_000_000, JSON),
    "deep objects": (b'{"a":' * 800_000, JSON),
    "escapes": (b'{"rows":"' + b"\\u0041" * 660_000 + b'"}', JSON),
    "blanks": (b" " * 4_000_000, JSON),
    "columns": (b"ds,y" + b",a" * 1_900_000 + b"\n", CSV),
    "names": (",".join(["ds,y", *(f"c{i}" for i in range(400_000))]).encode() + b"\n2024-01-01" + b",1" * 400_001, CSV),
    "lines": (b"ds,y\n" + b",\n" * 1_900_000, CSV),
    "short lines": (b"ds,y\n" + b"1,1\n" * 49_000, CSV),
    "quotes": (b'ds,y\n"' + b"a" * 4_000_000, CSV),
    "quoted": (b"ds,y\n" + b'"",' * 1_300_000, CSV),
    "quoted lines": (b'ds,y\n"' + (b"a" * 99 + b"\n") * 40_000, CSV),
    "wide lines": (b"ds;y\n" + (b";" * 250_000 + b"\n") * 16, CSV),
    "wide quotes": (b"ds,y\n" + (b'"",' * 80_000 + b"\n") * 16, CSV),
    "as wide as may be": (
        ",".join(["ds,y", *(f"c{i}" for i in range(9_900))]).encode() + (b"\n1" + b",1" * 9_901) * 190,
        CSV,
    ),
    "long cell": (b"ds,y\n2024-01-01," + b"1" * 4_000_000 + b"\n", CSV),
    "semicolons": (b"ds;y\n" + b";" * 4_000_000, CSV),
    "zeros": (b"\0" * 4_000_000, CSV),
    "noise": (bytes((i * i * 7919 >> 8) & 255 for i in range(2_000_000)), CSV),
    "far stamps": (b"ds,y\n1700-01-01 00:00,1\n2200-01-01 00:00,2\n", CSV),
    "all rows": (alone().iloc[:1].to_csv(index=False).encode() + b"2024-01-02,1\n" * 49_000, CSV),
    "UTF-16": (("ds,y\n" + "2024-01-01,1\n" * 40_000).encode("utf-16"), CSV),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(watched, name):
    content, media = BOMBS[name]
    begin = time.monotonic()
    found = watched.post(content, media)
    print(f"\n  {name}: {found.status_code} {found.text[:110]} in {time.monotonic() - begin:.1f} s", end="")
    assert 400 <= found.status_code < 500 and time.monotonic() - begin < 60


def crowd(running: Running, clients: int, send: Callable[[httpx.Client, int], httpx.Response]) -> Counter[int]:
    """How often each status was answered to so many clients at once."""
    gate = threading.Barrier(clients)

    def client(number: int) -> int:
        with httpx.Client(base_url=running.url, timeout=120, verify=False) as asking:
            gate.wait(60)
            try:
                return send(asking, number).status_code
            except httpx.TransportError:  # closed while the body was still on its way
                return 0

    with ThreadPoolExecutor(clients) as pool:
        return Counter(pool.map(client, range(clients)))


def test_200_clients_at_once(watched):
    content = body(tail(alone()), JSON)
    begin = time.monotonic()
    found = crowd(
        watched, 200, lambda asking, _: asking.post("/forecast", content=content, headers={"Content-Type": JSON})
    )
    print(f"\n  {dict(found)} in {time.monotonic() - begin:.1f} s", end="")
    assert found == {200: 200}


def test_200_clients_with_bombs(watched):
    bombs = [x for x in BOMBS.values() if len(x[0]) > MIB]

    def send(asking: httpx.Client, number: int) -> httpx.Response:
        content, media = bombs[number % len(bombs)]
        return asking.post("/forecast", content=content, headers={"Content-Type": media})

    found = crowd(watched, 200, send)
    print(f"\n  {dict(found)}", end="")
    assert set(found) <= {0, 400, 408, 413, 422, 429} and found[429]


def test_who_does_not_read_is_hung_up_on(watched):
    content = body(tail(alone()), JSON)
    asking = [socket.create_connection(watched.address) for _ in range(100)]
    for connection in asking:
        length = f"Content-Length: {len(content)}"
        connection.sendall(head(length, JSON).replace(b"/forecast", b"/forecast?past=10000") + content)
    assert watched.post(content).status_code == 200
    for connection in asking:
        connection.close()


def test_the_largest_answer(watched):
    """As many past values as there are rows."""
    content = pd.DataFrame({"ds": pd.date_range("2000", periods=49_000, freq="h"), "y": 0.1}).to_csv(index=False)
    found = watched.post(content.encode(), CSV, past=10_000)
    print(f"\n  {len(found.content) / MIB:.1f} MiB", end="")
    assert found.status_code == 200 and len(found.json()["past"]) == 10_000


def test_schemathesis_finds_nothing(folder, tmp_path):
    """All its checks, on forecasters with and without covariates, with a token and without."""
    fitted(columns(), *("data.past=[wind]", "data.future=[plan,kind]", "data.categorical=[kind]")).save(
        folder / "columns"
    )
    (tmp_path / "schemathesis.toml").write_text('[checks]\npositive_data_acceptance.expected-statuses = ["2xx", 422]\n')
    (tmp_path / "hooks.py").write_text(
        "import schemathesis\n\n\n@schemathesis.serializer('text/csv')\ndef csv(context, value):\n"
        "    return value if isinstance(value, bytes) else str(value).encode('utf-8', 'replace')\n"
    )
    started = Running(folder, FORECAST_TOKEN="sesame-123")
    try:
        for name in ("alone", "columns"):
            command = ["st", "--config-file", "schemathesis.toml", "run", f"{started.url}/openapi.json?name={name}"]
            command += ["-H", "Authorization: Bearer sesame-123", "-c", "all", "--max-examples", "60", "--seed", "1"]
            command += ["--phases", "examples,coverage,fuzzing"]
            environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks"}
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            print(done.stdout[-400:])
            assert done.returncode == 0, done.stdout
        counted = started.ask.get("/metrics", headers={"Authorization": "Bearer sesame-123"}).text
        assert 'status="401"' in counted and 'status="5' not in counted
    finally:
        errors = started.stop()
    assert "Traceback" not in errors and "sesame" not in errors
