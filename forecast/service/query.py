"""What the address and the head of a request ask for, each word checked."""

import re
from collections.abc import Mapping, Sequence

from starlette.requests import Request

from forecast.error import nearest
from forecast.service.limits import Answered
from forecast.service.served import CSV, JSON, Served

NUMBER = re.compile(r"(0|[1-9]\d{0,20})(\.\d{1,400})?([eE][+-]?\d{1,4})?", re.ASCII)
FORMATS = ("json", "csv")
LEVELS, PAST = 99, 10_000  # so many levels, and past values, at most


def asked(request: Request, known: Sequence[str]) -> dict[str, str]:
    """The words of the address by name, each once and none that is not known."""
    pairs = request.query_params.multi_items()
    for name, _ in pairs:
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "there are none here"
            raise Answered(
                400, f"the address has an unknown word {name!r}{nearest(name, known)}; {expected}", "unknown"
            )
    if len(dict(pairs)) < len(pairs):
        raise Answered(400, "a word of the address comes twice", "malformed")
    return dict(pairs)


def named(asked: Mapping[str, str], served: Mapping[str, Served]) -> Served:
    """The forecaster of that name; of one alone the name may be left out."""
    name = asked.get("name", next(iter(served)) if len(served) == 1 else None)
    if name is None:
        raise Answered(400, f"which forecaster? Name it by ?name=, one of {', '.join(served)}", "no-name")
    if name not in served:
        raise Answered(404, f"there is no forecaster {name!r}{nearest(name, served)}; GET /card lists them", "no-name")
    return served[name]


def levels(asked: Mapping[str, str]) -> tuple[float, ...] | None:
    """`levels=0.1,0.5,0.9`: numbers between 0 and 1, which the columns of the table tell apart."""
    if "levels" not in asked:
        return None
    words = asked["levels"].split(",")
    found = [float(x) for x in words if NUMBER.fullmatch(x) and 0 < float(x) < 1]
    if len(found) < len(words) or len(words) > LEVELS:
        wrong = asked["levels"][:60]
        raise Answered(400, f"levels={wrong!r}: expected 1 to {LEVELS} numbers between 0 and 1, 0.1,0.5,0.9", "levels")
    if len({f"{x:g}" for x in found}) < len(found):
        raise Answered(422, "levels: two of them have the same six digits, and would be one column", "levels")
    return tuple(found)


def past(asked: Mapping[str, str]) -> int:
    """`past=168`: how many values before the forecast are wanted beside it."""
    word = asked.get("past", "0")
    if not re.fullmatch(r"\d{1,5}", word, re.ASCII) or int(word) > PAST:
        raise Answered(400, f"past={word[:60]!r}: expected a whole number from 0 to {PAST}", "malformed")
    return int(word)


def form(asked: Mapping[str, str]) -> str:
    word = asked.get("format", "json")
    if word not in FORMATS:
        raise Answered(400, f"format={word[:60]!r}: expected {' or '.join(FORMATS)}", "malformed")
    return word


def media(request: Request) -> str:
    """The media type of the body, JSON or CSV, not compressed."""
    found = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if found not in (JSON, CSV):
        raise Answered(415, f"the body is of type {found[:60]!r}; expected {JSON} or {CSV}", "media-type")
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise Answered(415, f"the body has the encoding {packed[:60]!r}: send it plain", "media-type")
    return found
