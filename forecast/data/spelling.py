"""How people write dates and times of day: the formats that are tried, and what is mended before one is."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

ISO = "ISO8601"
UNITS = {"unix": "s", "unix_ms": "ms"}  # seconds and milliseconds since 1970, only when named
SINCE = {"unix": r"\d{9,10}", "unix_ms": r"\d{12,13}"}  # what they look like since 1973
DATES = [f"%{a}{sep}%{b}{sep}%{c}" for sep in "/.-" for a, b, c in ("dmY", "mdY", "dmy", "mdy", "ymd")]
DATES += ["%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y"]
TIMES = ["", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H.%M", " %H"]
SHORT = ["%b %y", "%B %y", "%b-%y"]  # the number may be a day, unless one of them can't be
MONTHS = ["%m/%Y", "%m.%Y", "%m-%Y", "%b %Y", "%B %Y", "%b-%Y", *SHORT]
FORMATS = [*(date + time for date, time in product(DATES, TIMES)), *MONTHS, "%G-W%V-%u"]
UNUSUAL = ["%Y%m", "%m%Y", "%d%m%Y", "%y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d %H%M", "%Y-%j"]  # only when named
GERMAN = {"Januar": "Jan", "Jänner": "Jan", "Februar": "Feb", "März": "Mar", "Mär": "Mar", "Mrz": "Mar", "April": "Apr",
          "Mai": "May", "Juni": "Jun", "Juli": "Jul", "August": "Aug", "Sept": "Sep", "September": "Sep", "Okt": "Oct",
          "Oktober": "Oct", "November": "Nov", "Dez": "Dec", "Dezember": "Dec"}  # fmt: skip
WORD = r"\b([A-Za-zä]{3,9})\b\.?"
WEEK = r"^(\d{4})-?W(\d\d)$"  # an ISO week, which begins on Monday
LOST = r"\d{4}\.\d"  # 2024.1: January, or October that a program took for a number
RANGE = r"^(.*[\d)])(?:\s+[-–]\s+|(?<=:\d\d)-(?=\d\d:)).*$"  # 01.01.2024 00:00 - 01.01.2024 01:00, 00:00-00:15
LATE = r"^(.*[ T])24(:00(?::00)?)$"  # 24:00 is the midnight that follows
MARKED = r"^(.*[ T]\d{1,2})([AB])((?::\d\d)*)$"  # 2A:00 and 2B:00, the first and the second hour of that name
ZONED = r"^(.*\d)\s*\(?\b([A-Z]{2,4})\)?$"  # 02:00 (CEST)
SUMMER = ("CEST", "BST", "WEST", "EEST", "EDT", "CDT", "MDT", "PDT")
WINTER = ("CET", "GMT", "WET", "EET", "EST", "CST", "MST", "PST")
OFFSET = r"(?:Z|[+-]\d\d:?\d\d)$"
REGULAR = rb"(\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?)((?<=:\d\d)(?:Z|[+-]\d\d:\d\d))?"
HOUR = r"\d{1,2}[AB]?"


def parses(cell: str, forms: Sequence[str]) -> list[pd.Timestamp]:
    """What a cell is in each of the formats that read it."""
    return [x for x in (pd.to_datetime(cell, format=form, errors="coerce") for form in forms) if pd.notna(x)]


def mended(text: pd.Series) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Cells without range, mark and 24:00; which of them are a day later; and the marks.

    1 is the first of two equal hours (A, CEST), 2 the second (B, CET).
    """
    text = text.str.replace(RANGE, r"\1", regex=True)
    marks = text.str.extract(MARKED)[1].map({"A": 1, "B": 2}).fillna(0).to_numpy("int8")
    text = text.str.replace(MARKED, r"\1\3", regex=True)
    zone = text.str.extract(ZONED)
    of_year = zone[1].map({**dict.fromkeys(SUMMER, 1), **dict.fromkeys(WINTER, 2)}).fillna(0).to_numpy("int8")
    text = text.where(of_year == 0, zone[0])
    marks = np.where(of_year > 0, of_year, marks).astype("int8")
    text = text.str.replace(WORD, lambda word: GERMAN.get(word[1].capitalize(), word[1]), regex=True)
    text = text.str.replace(WEEK, r"\1-W\2-1", regex=True)
    late = text.str.fullmatch(LATE).to_numpy(bool)
    return text.str.replace(LATE, r"\g<1>00\2", regex=True), late, marks
