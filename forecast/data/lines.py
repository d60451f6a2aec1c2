"""The bytes of a CSV file: found, decompressed, turned to UTF-8, and every line checked on its way to pandas."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from forecast.data.manner import Manner
from forecast.error import Refusal, nearest

HERE = Path(__file__).resolve().parents[1]
BUNDLED = HERE / "datasets" if (HERE / "datasets").is_dir() else HERE.parent / "datasets"
MAGIC = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
ZIP, ZSTD = b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
PACKED = (*MAGIC, ZIP, ZSTD)  # how what is compressed begins
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
BLOCK = 1 << 20  # bytes checked at once
NOTES = 20  # lines under a table that may be notes


def find(path: str, key: str = "data.path") -> Path:
    """The file that a key means: as given, else in the folder FORECAST_DATA, else among the bundled sets."""
    folders = [Path(), Path(os.environ.get("FORECAST_DATA", "datasets")), BUNDLED]
    for folder in folders:
        for name in (path, f"{path}.gz"):
            if (folder / name).is_file():
                return folder / name
    there = [p.name for folder in [Path(path).parent, *folders[1:]] if folder.is_dir() for p in folder.glob("*.csv*")]
    raise Refusal(
        f"{key}={path}: no such file here, in FORECAST_DATA ({folders[1]}) or among the bundled sets"
        f"{nearest(Path(path).name, there)}",
        "missing-file",
    )


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed by what they are and not by its name; refused if they are damaged."""
    try:
        with Path(source).open("rb") as raw, unpacked(raw, source) as inner:
            yield inner
    except Refusal:
        raise
    except BROKEN as error:
        raise Refusal(f"{source} can't be read: {error}", "unreadable") from error


@contextmanager
def unpacked(raw: BinaryIO, source: str) -> Iterator[BinaryIO]:
    """What is compressed in a file, or the file itself."""
    start = raw.read(6)
    raw.seek(0)
    unpack = next((unpack for magic, unpack in MAGIC.items() if start.startswith(magic)), None)
    if unpack is not None:
        with unpack(raw) as inner:
            yield inner
    elif start.startswith(ZIP):
        try:
            archive = zipfile.ZipFile(raw)
            members = [x for x in archive.namelist() if not x.endswith("/") and not x.startswith("__MACOSX")]
            inner = archive.open(members[0]) if len(members) == 1 else None
        except (*BROKEN, RuntimeError, ValueError, struct.error) as error:
            raise Refusal(f"{source} can't be read: {error}", "unreadable") from error
        if inner is None:
            raise Refusal(
                f"{source} holds {len(members)} files ({', '.join(members[:5])}): unpack the one that is meant",
                "unreadable",
            )
        with archive, inner:
            yield inner  # type: ignore[misc]
    elif start.startswith(ZSTD):
        try:
            import zstandard  # type: ignore[import-not-found]
        except ImportError:
            raise Refusal(f"{source} is zstd-compressed: pip install zstandard", "unreadable") from None
        try:
            with zstandard.open(raw, "rb") as inner:
                yield inner
        except zstandard.ZstdError as error:
            raise Refusal(f"{source} can't be read: {error}", "unreadable") from error
    else:
        if Path(source).suffix in (".gz", ".xz", ".bz2", ".zip", ".zst") and start:
            raise Refusal(f"{source} can't be read: it is not compressed as its name says", "unreadable")
        yield raw


def transcoded(raw: BinaryIO, manner: Manner, source: str) -> Iterator[bytes]:
    """Blocks of UTF-8, lines ending in a line feed, from any encoding."""
    decoder = codecs.getincrementaldecoder(manner.encoding)()
    plain = manner.encoding in ("utf-8", "utf-8-sig")
    carriage = False  # a block ended between the two characters of a line end
    try:
        while block := raw.read(BLOCK):
            text = decoder.decode(block)
            if carriage:
                text = "\r" + text
            carriage = text.endswith("\r")
            if carriage:
                text = text[:-1]
            if "\r" in text:
                text = text.replace("\r\n", "\n").replace("\r", "\n")
                yield text.encode()
            else:
                yield block if plain and not carriage and len(text) == len(block) else text.encode()
        yield (decoder.decode(b"", True) + ("\n" if carriage else "")).encode()
    except UnicodeError as error:
        where = f"byte {error.object[error.start]:#04x}" if isinstance(error, UnicodeDecodeError) else error
        raise Refusal(
            f"{source} is not {manner.encoding} text all through ({where}); name its encoding, data.encoding=cp1252",
            "unreadable",
        ) from None


class Lines(io.RawIOBase):
    """The lines below the header, each with as many cells as there are names and without NUL bytes.

    Lines at the end that differ and don't start with a digit are notes under the table: left out, and said so in
    `remarks`.
    """

    def __init__(self, blocks: Iterator[bytes], manner: Manner, source: str):
        self.blocks, self.manner, self.source = blocks, manner, source
        self.left, self.ready, self.given, self.over = b"", b"", 0, False
        self.line = 1  # of the next byte
        self.remarks: list[str] = []
        self.row = manner.delimiter.encode() * (len(manner.names) - 1) + b"\n"  # of a line that is not quoted
        told = {0, *b'"\n', ord(manner.delimiter)}
        self.plain = bytes(set(range(256)) - told)  # bytes that say nothing of a line's shape

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while self.given == len(self.ready) and not self.over:
            self.fill()
        start, self.given = self.given, len(self.ready) if size < 0 else min(self.given + size, len(self.ready))
        return self.ready[start : self.given]

    def fill(self) -> None:
        """Checks the next block up to its last whole line."""
        block = next(self.blocks, None)
        if block is None:
            self.over = True
            if not self.left:
                return
            self.remarks.append("the last line has no line end; is the file complete?")
            block = b"\n"
        block = self.left + block
        if self.line > self.manner.header and self.alike(block):
            return
        quote = ord('"')
        values = np.frombuffer(block, "uint8")
        marks = (values == 10) | (values == ord(self.manner.delimiter))
        if quote in block:
            marks &= (np.cumsum(values == quote) & 1) == 0
        spots = np.flatnonzero(marks)
        ends = np.flatnonzero(values[spots] == 10)
        stops = spots[ends]
        if b"\0" in block:
            line = self.line + int((stops < block.index(b"\0")).sum())
            raise Refusal(f"{self.source}, line {line}: a NUL byte; the file is damaged", "nul")
        if not len(stops):
            self.left = block
            if self.over:
                raise Refusal(f"{self.source}, line {self.line}: a quote is opened and never closed", "unreadable")
            return
        skipped = max(0, self.manner.header - (self.line - 1))
        starts = np.concatenate(([0], stops[:-1] + 1))
        cells = np.diff(ends, prepend=-1)
        wrong = (cells != len(self.manner.names)) & (stops > starts)
        wrong[:skipped] = False
        cut = int(stops[-1]) + 1
        if wrong.any():
            row = int(wrong.argmax())
            rest = block[int(starts[row]) :] + b"".join(x for _, x in zip(range(1), self.blocks, strict=False))
            self.notes(rest, self.line + row, int(cells[row]))
            self.over, cut, stops = True, int(starts[row]), stops[:row]
        begin = int(starts[skipped]) if skipped < len(starts) else cut
        self.ready, self.given, self.left = block[min(begin, cut) : cut], 0, b"" if self.over else block[cut:]
        self.line += len(stops)

    def alike(self, block: bytes) -> bool:
        """Takes a block up to its last line end if its lines have nothing but the right number of delimiters."""
        cut = block.rfind(b"\n") + 1
        marks = block[:cut].translate(None, self.plain)
        count = len(marks) // len(self.row)
        if not count or marks != self.row * count:
            return False
        self.ready, self.given, self.left = block[:cut], 0, block[cut:]
        self.line += count
        return True

    def notes(self, rest: bytes, line: int, cells: int) -> None:
        """Accepts what is left as notes under the table, or refuses its first line."""
        lines = [x for x in rest.decode(errors="replace").split("\n") if x.strip()]
        if len(lines) <= NOTES and next(self.blocks, b"") == b"":
            table = [
                x for x in lines if re.match(r'"?\d', x) or x.count(self.manner.delimiter) + 1 == len(self.manner.names)
            ]
            if not table:
                self.remarks.append(f"{len(lines)} lines under the table are left out, the first is {lines[0]!r}")
                return
        raise Refusal(
            f"{self.source}, line {line}: {cells} cells where the header has {len(self.manner.names)} names"
            f"{' (the file may be cut off here)' if len(lines) == 1 else ''}: {lines[0][:60]!r}",
            "ragged",
        )
