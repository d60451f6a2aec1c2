"""Public data sets: what each is and where it lies, and how one comes, checked and whole, to where `data.path` looks.

Addresses name a version that can't change (a commit, a record); checksums are those of the published bytes.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from forecast.data.lines import BROKEN, opened
from forecast.error import CannotWrite, Refusal, nearest

log = logging.getLogger(__name__)

ETT = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small"
EPF = "https://zenodo.org/records/4624805/files"  # of Zenodo's addresses, the one that knows Range
TSLIB = (
    "https://huggingface.co/datasets/thuml/Time-Series-Library/resolve/2b66e59ee19dac8f6f19fb5d4997f289fdfea357/"
    "{0}/{0}.csv"
)
SHA256 = {
    "ETTh1": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    "ETTh2": "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
    "ETTm1": "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
    "ETTm2": "db973ca252c6410a30d0469b13d696cf919648d0f3fd588c60f03fdbdbadd1fd",
    "epf_PJM": "8596cff7a87cf47f9ee2215bd2af9fc8d6950d57339de9e06c87bad2efd407c6",
    "epf_FR": "ee8b07cbf9204de8a222954936695fb36fb5d344a7ab4a4a9e27d4107d633a5d",
    "epf_DE": "e421cf4eb160cecfec6c7c8222e7168b3c751d0dd6771ba21401784f3f2a4565",
    "exchange_rate": "48b4d9d3d508f5104162e85b9a6042e3557fde11aa9f2944eba8c0d0efc89842",
    "electricity": "7e45845d54c5219bad0ae6bc1b5316cf8ff9cead5d33fa998a5a51c2e4a497ad",
}
HEADERS = {"User-Agent": "forecast", "Accept-Encoding": "identity"}  # Zenodo turns a library's own name away
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 14
BROKE = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class Published:
    """A set as its authors publish it; `use` is what `forecast train` has to be told to read that file."""

    name: str
    url: str
    sha256: str | None  # None: none is known, so the first download notes its own beside the file
    megabytes: float  # about
    what: str
    licence: str
    citation: str
    use: str

    @property
    def file(self) -> str:
        return f"{self.name}.csv"


def ett(name: str, megabytes: float, what: str, use: str) -> Published:
    what = f"load and oil temperature of a Chinese transformer, {what}, 2016 to 2018"
    cite = "Zhou et al., Informer, AAAI 2021"
    return Published(name, f"{ETT}/{name}.csv", SHA256[name], megabytes, what, "CC BY-ND 4.0", cite, use)


def epf(name: str, megabytes: float, what: str, use: str) -> Published:
    url, what = f"{EPF}/{name.removeprefix('epf_')}.csv", f"day-ahead prices and two forecasts, {what}, hourly"
    licence, cite = "open access, terms on zenodo.org/records/4624805", "Lago et al., Applied Energy 293, 2021"
    return Published(name, url, SHA256.get(name), megabytes, what, licence, cite, use)


def tslib(name: str, megabytes: float, what: str, use: str) -> Published:
    licence, cite = "CC BY 4.0, says its distributor", "Lai et al., LSTNet, SIGIR 2018"
    return Published(name, TSLIB.format(name), SHA256[name], megabytes, what, licence, cite, use)


FRENCH = "'data.target=[Prices]' 'data.future=[System load forecast,Generation forecast]'"
GERMAN = "'data.target=[Price]' 'data.future=[Ampirion Load Forecast,PV+Wind Forecast]'"
SETS = (
    ett("ETTh1", 2.6, "station 1, hourly", "data=etth1"),
    ett("ETTh2", 2.4, "station 2, hourly", "data=etth1 data.path=ETTh2.csv data.name=etth2"),
    ett("ETTm1", 10.4, "station 1, quarter hours", "data=ettm1"),
    ett("ETTm2", 9.7, "station 2, quarter hours", "data=ettm1 data.path=ETTm2.csv data.name=ettm2"),
    epf("epf_NP", 2, "Nord Pool, 2013 to 2018", "data=epf_np data.time=null"),
    epf("epf_PJM", 2.5, "PJM (COMED), 2013 to 2018", "data=epf_pjm data.time=null 'data.target=[Zonal COMED price]'"),
    epf("epf_BE", 2, "Belgium, 2011 to 2016", f"data.path=epf_BE.csv {FRENCH}"),
    epf("epf_FR", 2, "France, 2011 to 2016", f"data.path=epf_FR.csv {FRENCH}"),
    epf("epf_DE", 2, "Germany, 2012 to 2017", f"data.path=epf_DE.csv {GERMAN}"),
    tslib("exchange_rate", 0.6, "eight currencies, daily; the dates are a running count", "data=exchange"),
    tslib("electricity", 95.6, "321 customers in Portugal, hourly; the dates are shifted", "data.path=electricity.csv"),
)


def chosen(name: str) -> Published:
    """The set of a name, in large or small letters."""
    for published in SETS:
        if published.name.lower() == name.lower():
            return published
    names = [published.name for published in SETS]
    near = nearest(name, names) or nearest(name.lower(), map(str.lower, names))
    raise Refusal(f"no public set '{name}'{near} ({', '.join(names)})", "config")


def folder() -> Path:
    """Where sets are put, and where `data.path` looks for them."""
    return Path(os.environ.get("FORECAST_DATA", "datasets"))


def there(published: Published) -> Path | None:
    """The set's file, as published or compressed, if it lies in the folder."""
    paths = (folder() / published.file, folder() / f"{published.file}.gz")
    return next((path for path in paths if path.is_file()), None)


def fetch(published: Published) -> Path:
    """The file of a set, downloaded unless it is there; a transfer that breaks off is kept and goes on the next time.

    Raises Refusal if the address can't be reached or what came, or lies there, is not what was published, and
    CannotWrite if the folder can't take it.
    """
    path = folder() / published.file
    note = path.with_suffix(".sha256")
    known = published.sha256 or (note.read_text().split()[0] if note.is_file() else None)
    if found := there(published):
        compare(found, known)
        log.info("%s is there already%s", found, "" if known else " (no checksum is known for it)")
        return found
    new = not folder().exists()
    try:
        download(published.url, path, known)
        if known is None:
            digest, draft = sha256(path), path.with_suffix(".note")
            draft.write_text(f"{digest}  {path.name}\n")
            draft.replace(note)
            log.info("%s: no published checksum is known; its sha256 is %s, noted in %s", path, digest, note)
    except OSError as error:
        raise CannotWrite(f"{path} could not be written: {error.strerror or error}", "cannot-write") from error
    finally:
        if new:
            with suppress(OSError):
                folder().rmdir()  # if nothing came
    return path


def download(url: str, path: Path, known: str | None) -> None:
    """Puts a file in its place, whole and with the known sha256; what came before a cut stays in `.part`."""
    part = path.with_suffix(".part")
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, known, path.name, path.parent, downloader=downloader(part))  # type: ignore[arg-type]
    except requests.RequestException as error:
        kept = f"; {size(part):,} bytes are kept in {part}, the next fetch goes on from there" if size(part) else ""
        if not kept:
            part.unlink(missing_ok=True)
        raise Refusal(f"{url} {reason(error, bool(kept))}{kept}", "download") from error
    except ValueError as error:  # pooch's comparison
        detail = str(error).split(". ")[0]
        raise Refusal(
            f"{url} is not the published file and was not kept ({detail}): fetch it again; "
            "if that changes nothing, the source has",
            "checksum",
        ) from error


def reason(error: requests.RequestException, begun: bool) -> str:
    """What went wrong on the way, for people."""
    if error.response is not None:
        return f"can't be downloaded: the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, BROKE):
        return "broke off" if begun else f"gave nothing ({type(error).__name__}): is there a network?"
    return f"can't be downloaded: {error}"


def compare(path: Path, known: str | None) -> None:
    """Refuses a file that is not what was published, and leaves it as it is."""
    if known is not None and (digest := sha256(path)) != known:
        raise Refusal(
            f"{path} is there, but it is not the published file (sha256 {digest}, expected {known}): "
            "move it away to download that",
            "checksum",
        )


def sha256(path: Path) -> str:
    """The checksum of what a file holds, decompressed."""
    try:
        with opened(str(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except BROKEN as error:
        raise Refusal(f"{path} can't be read: {error}", "unreadable") from error


def size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def downloader(part: Path) -> Callable[[str, str, object], None]:
    """For pooch, whose own can't resume: gathers a file in `part`, and goes on after a cut as long as bytes arrive."""

    def gathered(url: str, output: str, _: object) -> None:
        while True:
            before = size(part)
            try:
                gather(url, part)
                break
            except BROKE:
                if size(part) <= before:
                    raise
        part.replace(output)

    return gathered


def gather(url: str, part: Path) -> None:
    """Appends to `part` what is missing, by HTTP Range; a server that knows no Range sends the file from its start."""
    begun = size(part)
    asked = HEADERS | ({"Range": f"bytes={begun}-"} if begun else {})
    with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            gather(url, part)
            return
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            begun = 0
        total = begun + int(answer.headers.get("Content-Length", 0)) or None
        shown = {"desc": part.stem, "initial": begun, "total": total, "unit": "B", "unit_scale": True}
        with part.open("ab" if begun else "wb") as file, tqdm(**shown, delay=1, disable=None) as bar:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
