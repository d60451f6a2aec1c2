"""Stamps <-> steps of a grid, time zones and calendar features in numpy alone, all in seconds since 1970."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from forecast.data import daylight
from forecast.error import Refusal

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Steps:
    """The grid of a forecaster's stamps, as `forecast.data.clock.Clock` has it for steps of equal length."""

    freq: str
    step: int
    phase: int
    tz: str | None
    calendar: Sequence[str]
    latitude: float | None

    @property
    def daily(self) -> bool:
        """Whether a step is a day or longer: then stamps are laid by their local dates."""
        return self.step % DAY == 0

    def numbers(self, text: np.ndarray, zone: str | None, groups: np.ndarray, source: str) -> np.ndarray:
        """The number of each stamp on the grid, of text that is all written alike; local times are those of `zone`."""
        seconds, local = parsed(text, source)
        if (self.tz is None and not local) or (self.tz is not None and local and zone is None):
            raise Refusal(
                f"{source}: stamps with and without a time zone (training data: {self.tz}): write them as there",
                "wrong-frequency",
            )
        if self.tz is not None and local and not self.daily:
            seconds = utc(seconds, zoned(str(zone)), groups, source)
        elif self.tz is not None and not local and self.daily:
            seconds = seconds + offsets(zoned(self.tz), seconds)
        off = (seconds - self.phase) % self.step != 0
        if off.any():
            row = int(off.argmax())
            raise Refusal(f"{source}, row {row + 1}: {text[row]} is not on the grid of {self.freq}", "wrong-frequency")
        return (seconds - self.phase) // self.step

    def local(self, numbers: np.ndarray) -> np.ndarray:
        """The local wall clock, in seconds."""
        seconds = numbers * self.step + self.phase
        return seconds if self.tz is None or self.daily else seconds + offsets(zoned(self.tz), seconds)

    def count(self, numbers: np.ndarray) -> np.ndarray:
        """Steps of the local wall clock."""
        return numbers if self.tz is None or self.daily else self.local(numbers) // self.step

    def features(self, numbers: np.ndarray) -> np.ndarray:
        """Calendar features as cyclic pairs, then the share of daylight: float32 [row column]."""
        seconds = self.local(numbers)
        days = seconds.astype("M8[s]").astype("M8[D]")
        day = (days - days.astype("M8[Y]")).astype("int64")  # of the year, from 0
        turn = {
            "hour": lambda: (seconds % DAY) / DAY,
            "weekday": lambda: (days.astype("int64") + 3) % 7 / 7,
            "month": lambda: days.astype("M8[M]").astype("int64") % 12 / 12,
            "dayofyear": lambda: day / 365.25,
        }
        angles = [2 * np.pi * turn[name]() for name in self.calendar]
        columns = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
        columns += [] if self.latitude is None else [daylight.share(day + 1, self.latitude)]
        return np.stack(columns, 1).astype("float32") if columns else np.empty((len(numbers), 0), "float32")

    def stamps(self, numbers: np.ndarray) -> list[str]:
        """The stamps as users know them, with their offset from UTC if the data have a time zone."""
        local = self.local(numbers)
        text = [x.replace("T", " ") for x in np.datetime_as_string(local.astype("M8[s]")).tolist()]
        if self.tz is None:
            return text
        if self.daily:
            zone = zoned(self.tz)
            found = local - offsets(zone, local - offsets(zone, local))
        else:
            found = numbers * self.step + self.phase
        ends = ((local - found) // 60).tolist()
        return [
            f"{x}{'-' if end < 0 else '+'}{abs(end) // 60:02d}:{abs(end) % 60:02d}"
            for x, end in zip(text, ends, strict=True)
        ]


def parsed(cells: np.ndarray, source: str) -> tuple[np.ndarray, bool]:
    """Seconds of stamps such as 2024-02-13, 2024-02-13 15:00 or 2024-02-13T15:00:00+01:00; whether they are local."""
    first = re.fullmatch(r"(\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?)(Z|[+-]\d\d:\d\d)?", str(cells[0]))
    table = cells.view("U1").reshape(len(cells), -1)
    digits = np.char.isdigit(table)
    signs = table[:, -6:-5] if first and first[2] and first[2] != "Z" else table[:, :0]
    alike = (
        first and (digits == digits[0]).all() and ((table == table[0]) | digits | (table == "+") | (table == "-")).all()
    )
    if not alike:
        row = 0 if not first else int((digits != digits[0]).any(1).argmax())
        raise Refusal(
            f"{source}, row {row + 1}: '{cells[row]}': the predictor reads stamps that are all written alike, such as "
            "2024-02-13 15:00 or 2024-02-13T15:00:00+01:00; forecast predict reads others",
            "bad-time",
        )
    assert first is not None
    width = len(first[1])
    try:
        seconds = cells.astype(f"U{width}").astype("M8[s]").astype("int64")
    except ValueError as error:
        raise Refusal(f"{source}: there is a time that is none: {error}", "bad-time") from None
    if not signs.size:
        return seconds, first[2] is None
    hours, minutes = (table[:, a:b].astype("int64") @ [10, 1] for a, b in ((-5, -3), (-2, table.shape[1])))
    return seconds - np.where(signs[:, 0] == "-", -60, 60) * (60 * hours + minutes), False


def zoned(name: str) -> tzinfo:
    """A time zone by its name, or UTC+01:00."""
    fixed = re.fullmatch(r"UTC(?:([+-])(\d\d):(\d\d))?", name)
    if fixed:
        delta = timedelta(hours=int(fixed[2] or 0), minutes=int(fixed[3] or 0))
        return timezone(-delta if fixed[1] == "-" else delta)
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        raise Refusal(f"this machine does not know the time zone {name}: pip install tzdata", "extra") from None


def offsets(zone: tzinfo, seconds: np.ndarray) -> np.ndarray:
    """Seconds that the local clock is ahead of UTC, at instants in UTC: asked for once a day and where it changes."""

    def ahead(second: int) -> int:
        found = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
        return 0 if found is None else int(found.total_seconds())

    if not len(seconds):
        return seconds
    days = np.arange(int(seconds.min()) // DAY, int(seconds.max()) // DAY + 2) * DAY
    known = [ahead(int(day)) for day in days]
    begins, found = [int(days[0])], [known[0]]
    for i in np.flatnonzero(np.diff(known)):
        low, high = int(days[i]), int(days[i + 1])
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if ahead(middle) == known[i] else (low, middle)
        begins.append(high)
        found.append(known[i + 1])
    return np.array(found)[np.searchsorted(begins, seconds, "right") - 1]


def utc(local: np.ndarray, zone: tzinfo, groups: np.ndarray, source: str) -> np.ndarray:
    """Local times as instants. Of an hour that a night has twice the first row of a series is the first of them."""
    before, after = (local - offsets(zone, local + by) for by in (-DAY, DAY))
    right = [found + offsets(zone, found) == local for found in (before, after)]
    if not (right[0] | right[1]).all():
        row = int((right[0] | right[1]).argmin())
        stamp = str(np.datetime64(int(local[row]), "s"))
        raise Refusal(f"{source}, row {row + 1}: {stamp} does not exist in {zone}, where clocks go forward", "dst")
    double = np.flatnonzero(right[0] & right[1] & (before != after))
    found = np.where(right[0], before, after)
    if not len(double):
        return found
    _, place, count = np.unique(
        np.stack((groups[double], local[double])), axis=1, return_inverse=True, return_counts=True
    )
    if (count != 2).any():
        row = int(double[(count[place] != 2).argmax()])
        stamp = str(np.datetime64(int(local[row]), "s"))
        raise Refusal(
            f"{source}, row {row + 1}: {stamp} is not there twice, as the night has it in {zone}: give both hours",
            "dst",
        )
    order = np.argsort(place, kind="stable")
    later = order[1::2] if local[0] <= local[-1] else order[::2]
    found[double[later]] = after[double[later]]
    return found
