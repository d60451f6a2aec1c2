"""The process that listens: a socket, uvicorn, and connections that say nothing for long are closed."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from forecast.allocator import lean
from forecast.error import Refusal
from forecast.service import app, served
from forecast.service.limits import Limits

log = logging.getLogger(__name__)

TOKEN = "FORECAST_TOKEN"
RECEIVED = 1 << 16  # bytes that the system keeps of a connection, and uvicorn takes at once
KEPT = 20  # seconds for which a connection may wait for its next request: longer than clients keep theirs
LINGER = 5.0  # seconds in which what is left of a body may still come after its answer


def serve(config: Mapping[str, Any]) -> None:
    """Serves what conf/serve.yaml says until a signal ends it: what is asked by then is answered.

    Raises Refusal for a run that can't be loaded, or an address that can't be listened on.
    """
    limits, token = Limits(**config["limits"]), token_of(config["token"])
    if type(config["together"]) is not int or config["together"] < 1:
        raise Refusal(f"together={config['together']}: expected a whole number of at least 1", "config")
    lean()
    listening = listened(config["host"], config["port"])
    host, port = listening.getsockname()[:2]
    try:
        forecasters = {name: served.Served(name, x, limits) for name, x in served.found(config["run"]).items()}
        service = app.Service(forecasters, limits, config["together"], token is not None)
        local = ip_address(host).is_loopback
        if token is None and not local:
            log.warning("whoever reaches %s may ask: a token keeps others out (%s=...)", host, TOKEN)
        hosts = ["localhost", "127.0.0.1", "::1", host, str(config["host"])] if local else ["*"]
        settings = uvicorn.Config(
            app.app(service, token, hosts),
            http=type("Http", (Patient,), {"seconds": limits.reading}),
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEPT,
            timeout_graceful_shutdown=int(limits.seconds),
        )
        gc.collect()
        gc.freeze()  # what is loaded by now stays: looking through it again would take longer than a forecast
        shown = f"[{host}]" if ":" in host else host
        print(f"forecasters: {', '.join(forecasters)}\nhttp://{shown}:{port}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again when all is answered
        with suppress(KeyboardInterrupt):
            asyncio.run(uvicorn.Server(settings).serve([listening]))
        service.turns.close()
    finally:
        listening.close()


def token_of(given: Any) -> str | None:
    """The token, of the configuration or the environment; one that is too short to keep anybody out is refused."""
    token = os.environ.get(TOKEN) if given is None else str(given)
    if token is not None and not (len(token) >= 8 and token.isascii() and token.isprintable() and " " not in token):
        raise Refusal("token: expected at least 8 characters of ASCII without blanks", "config")
    return token


def listened(host: Any, port: Any) -> socket.socket:
    """A socket that listens on an address; refused if it can't."""
    if type(port) is not int or not 0 <= port < 2**16:
        raise Refusal(f"port={port}: expected a whole number from 0 (any that is free) to 65535", "config")
    try:
        family, _, _, _, address = socket.getaddrinfo(str(host), port, type=socket.SOCK_STREAM)[0]
        made = socket.create_server(address[:2], family=family, backlog=512)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
        return made
    except OSError as error:
        raise Refusal(
            f"host={host} port={port}: can't listen there ({error.strerror}); try another port", "port"
        ) from None


class Patient(H11Protocol):
    """A connection that is closed if no request comes within `seconds`, or what is left of an answered one goes on."""

    seconds: float

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(self.seconds, self.unless, lambda: self.cycle is not None)

    def on_response_complete(self) -> None:
        cycle = self.cycle
        super().on_response_complete()
        if not self.whole:
            self.loop.call_later(LINGER, self.unless, lambda: self.cycle is not cycle or self.whole)

    @property
    def whole(self) -> bool:
        """Whether the request has come to its end."""
        return self.conn.their_state is not h11.SEND_BODY

    def unless(self, fine: Any) -> None:
        if not fine() and not self.transport.is_closing():
            self.transport.close()
