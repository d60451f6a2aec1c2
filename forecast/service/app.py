"""The HTTP service: forecasters by name, each request checked, limited in size and time, and answered in its turn."""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forecast.allocator import give_back
from forecast.error import ForecastError
from forecast.service import answer, openapi, page, query
from forecast.service.limits import Answered, Limits, Room
from forecast.service.meter import Meter
from forecast.service.served import CSV, JSON, Answer, Question, Served, attempt
from forecast.service.turns import Turns

log = logging.getLogger(__name__)

OPEN = ("/", "/health")  # paths that need no token: they say nothing of forecasters
ALWAYS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
LARGE = 1 << 18  # bytes of bodies after which freed memory is given back to the system
PIECE = 1 << 16  # bytes of an answer that are sent at once
DRAINED = 16  # so many times the size of a body are read and thrown away, so that its sender hears why


class Service:
    """What the paths do; `together` requests are answered by one call of a network at most."""

    def __init__(self, served: Mapping[str, Served], limits: Limits, together: int, secured: bool):
        self.served, self.limits, self.secured, self.room = served, limits, secured, Room(limits)
        self.turns, self.meter = Turns(together), Meter(self.room)
        self.html, self.policy = page.page()

    @property
    def routes(self) -> list[Route]:
        shown = (self.page, self.health, self.card, self.metrics, self.openapi)
        paths = ("/", "/health", "/card", "/metrics", "/openapi.json")
        routes = [Route(path, made, methods=["GET"]) for path, made in zip(paths, shown, strict=True)]
        return [*routes, *(Route(f"/{x.__name__}", x, methods=["POST"]) for x in (self.forecast, self.observe))]

    async def page(self, request: Request) -> Response:
        query.asked(request, ())
        return Response(self.html, media_type="text/html", headers={"Content-Security-Policy": self.policy})

    async def health(self, request: Request) -> Response:
        query.asked(request, ())
        return JSONResponse({"status": "ok"})

    async def card(self, request: Request) -> Response:
        query.asked(request, ())
        return JSONResponse({"forecasters": [x.card() for x in self.served.values()]})

    async def metrics(self, request: Request) -> Response:
        query.asked(request, ())
        return Response(self.meter.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """The document; of several forecasters each has, by its name, one that says exactly which fields it takes."""
        asked = query.asked(request, ("name",))
        alone = {x.name: x for x in (query.named(asked, self.served),)} if asked else self.served
        return JSONResponse(openapi.document(alone, self.limits, self.secured, named=len(self.served) > 1))

    async def forecast(self, request: Request) -> Response:
        """The forecast of what follows the rows of the body, which are not kept."""
        asked = query.asked(request, ("name", "levels", "past", "format"))
        served, levels = query.named(asked, self.served), query.levels(asked)
        question = Question(b"", query.media(request), query.form(asked), levels, query.past(asked))
        return await self.answered(request, served, question, (served.name, levels))

    async def observe(self, request: Request) -> Response:
        """The forecast of what follows the rows of the body and those that came before, all of which are kept."""
        asked = query.asked(request, ("name", "format"))
        question = Question(b"", query.media(request), query.form(asked))
        return await self.answered(request, query.named(asked, self.served), question, None)

    async def answered(self, request: Request, served: Served, question: Question, key: Hashable) -> Response:
        """Reads the body, waits for its turn, and sends what is found; questions of the same key go together."""
        work = partial(self.made, served, request.url.path)
        with self.room.request():
            content = await self.body(request)
            try:
                made = await self.turns.ask(work, question._replace(content=content), key, self.limits.seconds)
            finally:
                self.room.give(len(content))
            self.room.take(len(made))
        return Sent(made, question.form, self.room, self.limits.seconds)

    def made(self, served: Served, path: str, questions: Sequence[Question]) -> list[bytes | Exception]:
        """The answers to questions as they are sent; runs in the thread of turns."""
        try:
            return self.written(served, path, questions)
        finally:
            if sum(len(x.content) for x in questions) > LARGE:
                give_back()

    def written(self, served: Served, path: str, questions: Sequence[Question]) -> list[bytes | Exception]:
        if path == "/observe":
            found = [attempt(served.observe, question) for question in questions]
        else:
            self.meter.together.observe(len(questions))
            found = served.forecasts(questions)
        rows = sum(len(x.table) for x in found if isinstance(x, Answer))
        self.meter.rows.labels(path, served.name).inc(rows)
        written = {"csv": answer.as_csv, "json": partial(answer.as_json, served.name)}
        pairs = zip(found, questions, strict=True)
        return [written[question.form](x) if isinstance(x, Answer) else x for x, question in pairs]

    async def body(self, request: Request) -> bytes:
        """The whole body, whose room has to be given back.

        Raises Answered if it is too large, takes too long, or there is no room for it.
        """
        content, size, most = bytearray(), 0, self.limits.bytes
        large = Answered(413, f"the body is larger than {self.limits.body:g} MiB (limits.body): send less", "too-large")
        if int(request.headers.get("content-length", 0)) > most and "expect" in request.headers:
            raise large
        try:
            async with asyncio.timeout(self.limits.reading):
                async for piece in request.stream():
                    size += len(piece)
                    if size > DRAINED * most:
                        break
                    if size <= most:
                        self.room.take(len(piece))
                        content += piece
            if size > most:
                raise large
            return bytes(content)
        except TimeoutError:
            self.room.give(len(content))
            why = f"the body was not there within {self.limits.reading:g} seconds (limits.reading)"
            raise Answered(408, why, "slow") from None
        except BaseException:
            self.room.give(len(content))
            raise


class Sent(Response):
    """An answer sent in pieces to who reads it, within some seconds, whose room is given back then."""

    def __init__(self, content: bytes, form: str, room: Room, seconds: float):
        headers = {"Content-Disposition": 'attachment; filename="forecast.csv"'} if form == "csv" else None
        super().__init__(content, headers=headers, media_type=CSV if form == "csv" else JSON)
        self.room, self.seconds = room, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                for begin in range(0, len(self.body), PIECE):
                    piece = self.body[begin : begin + PIECE]
                    await send(
                        {"type": "http.response.body", "body": piece, "more_body": begin + PIECE < len(self.body)}
                    )
        except TimeoutError:
            log.info("an answer was not read within %g seconds", self.seconds)  # the server closes the connection
        finally:
            self.room.give(len(self.body))


def app(service: Service, token: str | None, hosts: Sequence[str]) -> Starlette:
    """The application; `hosts` are the names under which it may be called (`*`: any)."""

    def counted(request: Request, error: Any) -> Response:
        service.meter.refusals.labels(error.code).inc()
        return refused(getattr(error, "status", 422), error.code, of_rows(error.message))

    handlers: Mapping[Any, Any] = {
        ForecastError: counted,
        HTTPException: lambda request, error: refused(error.status_code, *HTTP[error.status_code], error.headers),
        ClientDisconnect: lambda request, error: refused(400, "gone", "the connection was closed"),
        Exception: lambda request, error: refused(500, "fault", "a fault of the service, which its log tells"),
    }
    layers = [
        Middleware(Watched, meter=service.meter, paths=[x.path for x in service.routes]),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(Guarded, token=token),
    ]
    return Starlette(routes=service.routes, middleware=layers, exception_handlers=handlers)


HTTP = {404: ("no-path", "there is no such path; GET /openapi.json lists them"), 405: ("method", "no such method here")}


def of_rows(message: str) -> str:
    """A message about a DataFrame, which the sender of rows doesn't know."""
    return re.sub(r"^DataFrame\b", "the rows", message)


def refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """What was refused and why, as JSON."""
    more = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}, 408: {"Connection": "close"}}
    return JSONResponse({"code": code, "message": message}, status, {**(headers or {}), **more.get(status, {})})


class Guarded:
    """Lets requests pass that bear the token, if there is one, or ask for what anybody may see."""

    def __init__(self, app: ASGIApp, token: str | None):
        self.app, self.token = app, None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.token is not None and scope["path"] not in OPEN:
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), self.token):
                why = "this service wants a token: send it as Authorization: Bearer <token>"
                await refused(401, "token", why)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Watched:
    """Counts requests, and says to browsers what they should not do with answers."""

    def __init__(self, app: ASGIApp, meter: Meter, paths: Sequence[str]):
        self.app, self.meter, self.paths = app, meter, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, path = time.perf_counter(), scope["path"] if scope["path"] in self.paths else "other"

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.meter.requests.labels(path, message["status"]).inc()
                self.meter.seconds.labels(path).observe(time.perf_counter() - begin)
                MutableHeaders(scope=message).update(ALWAYS)
            await send(message)

        await self.app(scope, receive, watched)
