"""Public holidays of a country or region as features of the local date (library `holidays`, an extra)."""

import logging
import warnings
from datetime import date
from types import ModuleType

import numpy as np

from forecast.data.clock import DAY, EPOCH, Clock
from forecast.error import Refusal, nearest

log = logging.getLogger(__name__)

NAMES = ("holidays", "until_holiday", "since_holiday")
FAR = 14  # days: holidays further away are not told apart


def features(clock: Clock, ordinals: np.ndarray, place: str) -> np.ndarray:
    """What holidays say of each step, by its local date: float32 [row, 3], by NAMES.

    The number of holidays in the step (0 or 1 for a day and what is shorter), then the days until the next holiday and
    since the last one, seen from the step's first day, as min(days, 14) / 14; both are 0 on a holiday. `place` is a
    country or a country and its region, DE or DE-BY. Raises Refusal for an unknown one, or without the library.
    """
    begin = dates(clock.opening, ordinals)
    several = clock.daily and clock.unit[:2] not in (("ns", DAY), ("B", 1))
    end = dates(clock.opening, ordinals + 1) if several else begin + 1
    first, last = (int(begin.min()) - FAR, int(end.max()) + FAR) if len(ordinals) else (0, 1)
    day = np.arange(last - first)
    there = np.isin(day + first, known(place, first, last))
    passed = np.maximum.accumulate(np.where(there, day, -FAR))
    coming = np.minimum.accumulate(np.where(there, day, len(day) + FAR)[::-1])[::-1]
    near = np.stack((coming - day, day - passed), 1).clip(max=FAR).astype("float32") / np.float32(FAR)
    before = np.cumsum(there) - there  # holidays before each day
    count = before[end - first] - before[begin - first]
    return np.concatenate((count[:, None], near[begin - first]), 1, dtype="float32")


def dates(clock: Clock, ordinals: np.ndarray) -> np.ndarray:
    """The local date of each step, in days since 1970."""
    return clock.local(ordinals).asi8 // DAY


def known(place: str, first: int, last: int) -> np.ndarray:
    """The holidays of the years from `first` to `last`, all in days since 1970."""
    holidays, (country, region) = library(), located(place)
    years = [(EPOCH + day).astype(date).year for day in (first, last)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = holidays.country_holidays(country, region, years=range(years[0], years[1] + 1))
    for warning in said:
        log.warning("data.holidays=%s: %s", place, warning.message)
    if years[0] < found.start_year or years[1] > found.end_year:
        span = found.start_year, found.end_year
        log.warning("data.holidays=%s: holidays are known from %d to %d; no other day counts as one", place, *span)
    return np.array(sorted(found), "M8[D]").astype("int64")


def located(place: str) -> tuple[str, str | None]:
    """Country and region (None: the whole country) of a place such as DE-BY."""
    countries: dict[str, list[str]] = library().list_supported_countries()
    country, dash, region = str(place).partition("-")
    if country not in countries:
        names = {name: code for name, code, *_ in library().registry.COUNTRIES.values()}
        near = nearest(names.get(country.title().replace(" ", ""), country.upper()), countries)
        raise Refusal(
            f"data.holidays={place}: no holidays of a country '{country}' are known; expected its code by ISO 3166 in "
            f"capital letters, such as DE or DE-BY (in a yaml file in quotes, for NO means false){near}",
            "config",
        )
    if not dash:
        return country, None
    aliases = library().country_holidays(country).get_subdivision_aliases()
    regions = [*countries[country], *(alias for found in aliases.values() for alias in found)]
    if region not in regions:
        near = nearest(region, regions) or nearest(region.upper(), regions)
        raise Refusal(
            f"data.holidays={place}: no holidays of a region '{region}' are known; expected {country} alone, or with "
            f"one of its {len(countries[country])} regions {', '.join(countries[country])}{near}",
            "config",
        )
    return country, region


def library() -> ModuleType:
    try:
        import holidays  # type: ignore[import-not-found]
    except ImportError:
        raise Refusal("data.holidays needs the package holidays: pip install 'forecast[holidays]'", "extra") from None
    return holidays
