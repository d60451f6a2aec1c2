"""Text -> stamps: one format for the whole column, found by elimination or named; the order of day and month is never
guessed by the row."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecast.data.clock import Clock
from forecast.data.spelling import (
    FORMATS,
    HOUR,
    ISO,
    LOST,
    OFFSET,
    REGULAR,
    SHORT,
    SINCE,
    UNITS,
    UNUSUAL,
    mended,
    parses,
)
from forecast.error import Refusal

UNITS_ROW = "; if it is a row of units, delete it"
FIRST, LAST = np.datetime64("1678", "s"), np.datetime64("2262", "s")  # what nanoseconds can count
MINUTE = 60_000_000_000  # nanoseconds
HOURLY = 60 * MINUTE
SEEN = 200  # rows that a format has to read to be tried on all
MARK = "(first or second)"  # name of the column that says which of two equal hours is meant: 1, 2, or 0 for unsaid


class Stamps:
    """The stamps of a column that comes in pieces: every format is kept as long as it reads all of them."""

    def __init__(self, name: str, source: str, data: Mapping[str, Any]):
        self.name, self.source, self.zoned = name, source, data["tz"] is not None
        self.named = [data["dates"]] if isinstance(data["dates"], str) else list(data["dates"] or ())
        self.turned = opening(data) > 0  # 24:00 is then the midnight of a date that ends after it
        self.times = set[str]()  # of day, that have a column of their own
        self.alive: dict[str, np.ndarray] | None = None
        self.marks = np.empty(0, "int8")
        self.zones: set[str | None] = set()
        self.midnights = 0  # cells that say 24:00

    def add(self, columns: Sequence[pd.Series], line: int) -> None:
        """Reads a piece of one column, text or bytes, or of date and time of day; its first cell stands in this line.

        Raises Refusal for a cell that no format reads, ValueError if bytes may have been cut.
        """
        cells = columns[0] if len(columns) == 1 else self.joined(*columns)
        if cells.dtype.kind == "S":
            written = cells.to_numpy()
            if len(written) and not self.named and (self.alive is None or set(self.alive) == {ISO}):
                values = self.regular(written)
                if values is not None:
                    self.alive = {ISO: extended((self.alive or {}).get(ISO), values)}
                    self.marks = extended(self.marks, np.zeros(len(values), "int8"))
                    return
            if len(written) and np.strings.str_len(written).max() == written.itemsize:
                raise ValueError("a cell is longer than the bytes that were read of it")
            cells = pd.Series(np.strings.decode(written, "utf-8"), dtype="str")
        text = cells.astype("str").str.strip()
        empty = (text.isna() | (text == "")).to_numpy()
        if empty.any():
            row = line + int(empty.argmax())
            raise Refusal(f"{self.at(row)}: the time is missing{UNITS_ROW if row == 1 else ''}", "bad-time")
        if self.named and not set(self.named) - set(UNITS):
            self.alive = {"named": extended((self.alive or {}).get("named"), self.since(text, line))}
            self.marks = extended(self.marks, np.zeros(len(text), "int8"))
            self.zones.add(None)
            return
        if self.alive is None:
            names = ["named"] if self.named else self.candidates(text.head(SEEN), line)
            self.alive = {name: np.empty(0, "M8[ns]") for name in names}
        results = {name: self.parsed(text, self.named or [name]) for name in self.alive}
        bad = {name: int(np.isnat(values).argmax()) for name, (values, _) in results.items() if np.isnat(values).any()}
        if len(bad) == len(results):
            row = max(bad.values())  # where the last format failed
            self.refuse(text, row, line)
        self.alive = {name: extended(self.alive[name], results[name][0]) for name in results if name not in bad}
        self.marks = extended(self.marks, next(marks for name, (_, marks) in results.items() if name not in bad))

    def joined(self, date: pd.Series, time: pd.Series) -> pd.Series:
        """One column of a date and a time of day; a time that is a bare hour (7, 24, 2A) is a full one."""
        time = time.astype("str").str.strip()
        self.times |= set(time.unique())
        bare = time.str.fullmatch(HOUR).to_numpy(bool)
        return date.astype("str").str.strip() + " " + time.where(~bare, time + ":00")

    def regular(self, cells: np.ndarray) -> np.ndarray | None:
        """Instants (UTC) or local times of ISO stamps, as bytes, all written as the first; else None."""
        match = re.fullmatch(REGULAR, cells[0])
        if match is None or len(cells[0]) == cells.itemsize:
            return None
        table, end = cells.view("uint8").reshape(len(cells), -1), len(match[1])
        digits = [i for i in range(end) if match[1][i : i + 1].isdigit()]
        others = [i for i in range(len(cells[0]) + 1) if i not in digits]
        if (table[:, digits] - ord("0") > 9).any() or (table[:, others] != table[0, others]).any():
            return None
        try:
            values = cells.astype(f"S{end}").astype("M8[s]")
        except ValueError:  # no such day or hour
            return None
        if not ((values >= FIRST) & (values < LAST)).all():
            return None
        return values.astype("M8[ns]") + (self.read(pd.Series([cells[0].decode()]), ISO) - values[0])

    def candidates(self, head: pd.Series, line: int) -> list[str]:
        """The formats that read every one of the first cells; ISO if it does, for it has one order."""
        bad = {ISO: np.isnat(self.parsed(head, [ISO])[0])}
        if bad[ISO].any():
            first = pd.concat([head.head(1), mended(head.head(1))[0]])
            likely = [name for name in FORMATS if pd.to_datetime(first, format=name, errors="coerce").notna().any()]
            bad |= {name: np.isnat(self.parsed(head, [name])[0]) for name in likely}
        right = [name for name, wrong in bad.items() if not wrong.any()]
        if not right:
            self.refuse(head, max(int(wrong.argmax()) for wrong in bad.values()), line)  # where the last one failed
        self.midnights = 0
        return right

    def since(self, text: pd.Series, line: int) -> np.ndarray:
        """Whole numbers since 1970."""
        wrong = ~text.str.fullmatch(r"-?\d{1,13}").to_numpy(bool)
        if wrong.any():
            self.refuse(text, int(wrong.argmax()), line)
        values = text.astype("int64").to_numpy().astype(f"M8[{UNITS[self.named[0]]}]")
        outside = (values < FIRST) | (values >= LAST)
        if outside.any():
            self.refuse(text, int(outside.argmax()), line)
        return values.astype("M8[ns]")

    def parsed(self, text: pd.Series, forms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Instants (UTC) or local times by the first format that fits, NaT where none does; marks of doubled hours."""
        values, marks = self.instants(text, forms), np.zeros(len(text), "int8")
        odd = np.flatnonzero(np.isnat(values))
        if len(odd):
            clean, late, mark = mended(text.iloc[odd])
            values[odd] = self.instants(clean, forms) + (late & (not self.turned)) * np.timedelta64(1, "D")
            marks[odd] = mark
            self.midnights += int(late.sum())
        return values, marks

    def instants(self, text: pd.Series, forms: Sequence[str]) -> np.ndarray:
        values = self.read(text, forms[0])
        for form in forms[1:]:
            left = np.flatnonzero(np.isnat(values))
            values[left] = self.read(text.iloc[left], form) if len(left) else values[left]
        return values

    def read(self, text: pd.Series, form: str) -> np.ndarray:
        try:
            found = pd.to_datetime(text, format=form, errors="coerce")
        except ValueError:  # offsets that differ, or only some cells have one
            try:
                found = pd.to_datetime(text, format=form, errors="coerce", utc=True)
            except ValueError as error:
                raise Refusal(f"data.dates={form}: {str(error).splitlines()[0]}", "config") from None
            naive = ~text.str.contains(OFFSET, regex=True)
            self.zones |= {"several"} | ({None} if (naive & found.notna()).any() else set())
        zone = None if found.dt.tz is None else str(found.dt.tz)
        if found.notna().any():
            self.zones.add(zone)
        if zone is not None:
            found = found.dt.tz_convert("UTC").dt.tz_localize(None)
        values = found.to_numpy()
        if form == ISO and len(text) and len(text.iloc[0]) < len("2000-01-01"):
            values = np.where(text.str.fullmatch(LOST), np.datetime64("NaT"), values)
        return np.where((values >= FIRST) & (values < LAST), values, np.datetime64("NaT")).astype("M8[ns]")

    def refuse(self, text: pd.Series, row: int, line: int) -> None:
        """Says why a cell is no stamp: it is none at all, or another format than the rows above."""
        cell, place = text.iloc[row], self.at(line + row)
        read = parses(cell, [x for x in self.named if x not in UNITS] or (ISO, *FORMATS))
        if re.fullmatch(LOST, cell) and not self.named:
            raise Refusal(f"{place}: '{cell}' may have lost a zero: write {cell[:4]}-01 or {cell[:4]}-10", "bad-time")
        if read and not FIRST <= read[0].to_datetime64() < LAST:
            raise Refusal(f"{place}: '{cell}' is outside of the years that can be counted, 1678 to 2261", "bad-time")
        if read and not self.named:
            raise Refusal(
                f"{place}: '{cell}' is written in another way than the times above ('{text.iloc[0]}'); "
                'name the formats by data.dates=["%d/%m/%Y %H:%M"] (several are tried in turn)',
                "mixed-dates",
            )
        wanted = " or ".join(self.named) or (
            "dates such as 2024-02-13, 2024-02-13 15:00, 13.02.2024, 02/2024 or 2024-W05, months in numbers, English "
            "or German"
        )
        hint = "data.dates names a format"
        if not self.named:
            may = [form for form in UNUSUAL if parses(cell, [form])]
            may += [unit for unit, digits in SINCE.items() if re.fullmatch(digits, cell)]
            hint += "".join(f", perhaps data.dates='{x}'" for x in may)
        if self.hours:
            hint += "; if numbers count the periods of a day, data.stamp=count"
        units = UNITS_ROW if line + row == 1 and not re.search(r"\d\d", cell) else ""
        raise Refusal(f"{place}: '{cell}' is not a time; expected {wanted} ({hint}){units}", "bad-time")

    def at(self, line: int) -> str:
        return f"{self.source}, row {line}, column '{self.name}'"

    def done(self) -> tuple[pd.DatetimeIndex, np.ndarray]:
        """All stamps, and marks. Raises Refusal if several formats read every row, each to other days."""
        assert self.alive is not None
        found, self.alive = self.alive, None
        first = next(iter(found))
        for name, values in found.items():
            different = values != found[first]
            if different.any():
                row = int(different.argmax())
                a, b = (str(found[x][row])[:10] for x in (first, name))
                raise Refusal(
                    f"{self.source}, column '{self.name}': no row tells whether days or months come first; row "
                    f"{row + 1} may be {a} or {b}: name the format, data.dates='{first}' or data.dates='{name}'",
                    "ambiguous-date",
                )
        stamps = pd.DatetimeIndex(found[first], copy=False)
        if first in SHORT and stamps.year.isin(range(2001, 2032)).all():
            raise Refusal(
                f"{self.source}, column '{self.name}': is the number of '{stamps[0]:{first}}' a year or a day? No row "
                f"tells; if it is a year, data.dates='{first}'",
                "ambiguous-date",
            )
        self.refuse_counts(stamps)
        if None in self.zones and len(self.zones) > 1:
            raise Refusal(
                f"{self.source}, column '{self.name}': some times have a UTC offset and some have none", "mixed-offsets"
            )
        if len(self.zones) > 1 and not self.zoned:
            raise Refusal(
                f"{self.source}, column '{self.name}': stamps of several UTC offsets; name their time zone "
                "(data.tz=Europe/Berlin), or data.tz=UTC",
                "mixed-offsets",
            )
        if self.zones != {None}:
            stamps = stamps.tz_localize("UTC")
            stamps = stamps.tz_convert(self.zones.pop()) if len(self.zones) == 1 else stamps
        return stamps, self.marks

    @property
    def hours(self) -> set[int]:
        """The times of day if all of them are whole numbers."""
        return {int(x) for x in self.times} if all(x.isdecimal() for x in self.times) else set()

    def refuse_counts(self, stamps: pd.DatetimeIndex) -> None:
        """Refuses hours that may count those of days on which clocks change, and lie an hour off as times of day."""
        if not (given := self.hours):
            return
        hours = np.sort(pd.unique(stamps.asi8 // HOURLY - (0 not in given)))
        dates, begin, count = np.unique(hours // 24, return_index=True, return_counts=True)
        short = (count == 23) & (hours[begin + count - 1] % 24 == 22)
        short[-1] = False  # where the file ends
        if {0, 24} <= given or (short.any() and not self.zoned):
            what = f"{np.datetime64(int(dates[short.argmax()]), 'D')} lacks its last hour"
            what = "hours go from 0 to 24" if {0, 24} <= given else what
            raise Refusal(
                f"{self.source}, column '{self.name}': {what}; if numbers count the hours of days when clocks change, "
                "data.stamp=count and the zone, data.tz; if an hour is missing, give it a row of empty cells",
                "dst",
            )


def opening(data: Mapping[str, Any]) -> int:
    """The time of day at which dates begin, in nanoseconds (data.day)."""
    return 0 if data["day"] is None else Clock("min").at(data["day"], "data.day")[0] * MINUTE


def extended(whole: np.ndarray | None, part: np.ndarray) -> np.ndarray:
    """An array that grows where it lies, so that there is never a second copy of a long one."""
    if whole is None:
        return part.copy()
    whole.resize(len(whole) + len(part), refcheck=False)
    whole[len(whole) - len(part) :] = part
    return whole
