"""One request, carried to a socket inside the sandbox and back: streamed both ways, upgrades included.

The app behind it is the agent's and may be hostile. Nothing of the person's identity goes in; what comes out is put
into an origin of its own, whatever it says of itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest, RequestStartLine
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

if TYPE_CHECKING:
    from agent_kernel.sandbox.base import PortHandle

SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
MOST_HEAD = 1 << 16
MOST_BODY = 1 << 40
"""Of an answer; it is never held, so this only bounds what a header may claim."""
MOST_COOKIES = 50
PIECE = 1 << 16
LONGEST = 20.0
"""Seconds to reach a provider."""
_HOP_BY_HOP = """
connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade
"""
_IDENTITY = "host cookie authorization x-xsrftoken x-agent-kernel referer origin expect forwarded"
_POWERS = """
set-cookie x-frame-options content-security-policy cross-origin-resource-policy cross-origin-opener-policy
cross-origin-embedder-policy origin-agent-cluster clear-site-data strict-transport-security service-worker-allowed
alt-svc nel report-to reporting-endpoints referrer-policy x-content-type-options
"""
KEPT_BACK = frozenset(f"{_HOP_BY_HOP} {_IDENTITY}".split())
"""Of the request: who the person is, and what of the browser's view would make a development server refuse."""
DROPPED = frozenset(f"{_HOP_BY_HOP} {_POWERS}".split())
"""Of the answer: what would act on this server's own origin, or on the frame around the app."""


@dataclass(slots=True)
class Upstream:
    """The app: its port, the path under which people see it, who may frame it, and the cookies it has set.

    A page in an opaque origin has no cookies; they are kept here and given back to the app, so that its own logins
    work and none is ever a cookie of this server.
    """

    port: int
    prefix: str
    ancestor: str = "'self'"
    cookies: dict[str, str] = field(default_factory=dict)
    way: PortHandle | None = None
    """Where it is reached by an address of the provider's, which ends and is made anew."""

    @property
    def own(self) -> str:
        """The app's origin, as it knows itself."""
        return f"http://localhost:{self.port}"

    def request_headers(self, request: HTTPServerRequest) -> HTTPHeaders:
        """What the app may know of a request."""
        headers = HTTPHeaders({"Host": f"localhost:{self.port}"})
        if self.way is not None:
            headers = HTTPHeaders({"Host": self.way.at("/").netloc, **self.way.headers})
        for name, value in request.headers.get_all():
            low = name.lower()
            if low not in KEPT_BACK and not low.startswith(("x-forwarded-", "sec-fetch-")):
                headers.add(name, value)
        if "Origin" in request.headers:
            headers["Origin"] = self.own
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def response_headers(self, headers: HTTPHeaders, origin: str | None) -> HTTPHeaders:
        """The app's answer as a browser may see it."""
        found = self.walls(origin)
        for name, value in headers.get_all():
            if name.lower() == "location":
                found.add(name, self.seen(value))
            elif name.lower() not in DROPPED and not name.lower().startswith("access-control-"):
                found.add(name, value)
        for policy in headers.get_list("Content-Security-Policy"):
            if kept := _without_framing(policy):
                found.add("Content-Security-Policy", kept)
        for text in headers.get_list("Set-Cookie"):
            self._keep(text)
        return found

    def walls(self, origin: str | None) -> HTTPHeaders:
        """An origin of its own for everything that is served, in a frame or in a tab."""
        headers = HTTPHeaders(
            {
                "Content-Security-Policy": f"{SANDBOX}; frame-ancestors {self.ancestor}",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "cross-origin",
            }
        )
        # The app's own pages come from the origin `null`: to the browser all they load is somebody else's.
        headers["Vary"] = "Origin"
        if origin == "null":
            headers["Access-Control-Allow-Origin"] = "null"
            headers["Access-Control-Allow-Credentials"] = "true"
        elif origin is None:
            headers["Access-Control-Allow-Origin"] = "*"
        return headers

    def seen(self, location: str) -> str:
        """Where a redirect leads, as the browser has to say it."""
        parts = urlsplit(location)
        own = ["", f"localhost:{self.port}", f"127.0.0.1:{self.port}"]
        own += [self.way.at("/").netloc] if self.way is not None else []
        if (
            parts.scheme in ("", "http", "https")
            and parts.netloc in own
            and (parts.netloc or parts.path.startswith("/"))
        ):
            path = parts._replace(scheme="", netloc="").geturl().lstrip("/")
            return f"{self.prefix}{path}"
        return location

    async def connected(self, handle: PortHandle) -> IOStream:
        """The bytes to the app and back. Raises OSError."""
        if handle.socket is not None:
            handle.socket.setblocking(False)
            return IOStream(handle.socket)
        self.way, there = handle, handle.at("/")
        if there.scheme not in ("http", "https") or there.hostname is None:
            raise OSError("the provider gave an address that is not of the web")
        safe = there.scheme == "https"
        port = there.port or (443 if safe else 80)
        return await TCPClient().connect(
            there.hostname, port, ssl_options={} if safe else None, timeout=LONGEST
        )

    def target(self, path: str) -> str:
        """What is asked for, below the provider's address where there is one."""
        if self.way is None:
            return path
        there = self.way.at(path)
        return f"{there.path}?{there.query}" if there.query else there.path

    def _keep(self, text: str) -> None:
        try:
            cookies = SimpleCookie(text)
        except CookieError:
            return
        for name, cookie in cookies.items():
            if cookie["max-age"] == "0" or "1970" in cookie["expires"] or not cookie.value:
                self.cookies.pop(name, None)
            elif len(self.cookies) < MOST_COOKIES or name in self.cookies:
                self.cookies[name] = cookie.coded_value


class Reply(Protocol):
    """Where a relay puts the answer."""

    def begin(self, code: int, headers: HTTPHeaders) -> None: ...

    async def send(self, chunk: bytes) -> None: ...


class Relay(HTTPMessageDelegate):  # type: ignore[misc]
    """A request on its way through one connection. `begin`, `send` for each piece of the body, `answer`."""

    def __init__(self, upstream: Upstream, stream: IOStream, reply: Reply) -> None:
        self.stream = stream
        self._upstream = upstream
        self._reply = reply
        self._connection = HTTP1Connection(
            self.stream, True, HTTP1ConnectionParameters(max_header_size=MOST_HEAD, max_body_size=MOST_BODY)
        )
        self.answered = False

    async def begin(self, request: HTTPServerRequest, target: str) -> None:
        await self._connection.write_headers(
            RequestStartLine(request.method, self._upstream.target(target), "HTTP/1.1"),
            self._upstream.request_headers(request),
        )

    async def send(self, piece: bytes) -> None:
        """A piece of the body. An app that closed early may have answered; that is read all the same."""
        with suppress(StreamClosedError):
            await self._connection.write(piece)

    async def answer(self) -> bool:
        """Pass the answer on as it comes; False when there was none, or not all of it."""
        with suppress(StreamClosedError):
            self._connection.finish()
        self._whole = False
        await self._connection.read_response(self)
        return self._whole

    def close(self) -> None:
        self.stream.close()

    # -- what comes back -------------------------------------------------------------------------------------

    async def headers_received(self, start_line: object, headers: HTTPHeaders) -> None:
        code: int = start_line.code  # type: ignore[attr-defined]
        if code in (401, 403, 502):  # perhaps the provider's word: its address is asked for again
            self._upstream.way = None
        if code >= 200:
            self.answered = True
            self._reply.begin(code, headers)

    async def data_received(self, chunk: bytes) -> None:
        try:
            await self._reply.send(chunk)
        except StreamClosedError:  # who asked has left
            self.close()

    def finish(self) -> None:
        self._whole = True

    def on_connection_close(self) -> None:
        self._whole = False


async def upgrade(
    upstream: Upstream, stream: IOStream, request: HTTPServerRequest, target: str, client: IOStream
) -> None:
    """A WebSocket (or whatever both agree on): the handshake is carried over, then bytes both ways."""
    try:
        headers = upstream.request_headers(request)
        headers["Connection"], headers["Upgrade"] = "Upgrade", request.headers["Upgrade"]
        await stream.write(_head(f"{request.method} {upstream.target(target)} HTTP/1.1", headers.get_all()))
        head = (await stream.read_until(b"\r\n\r\n", max_bytes=MOST_HEAD)).decode("latin-1")
        first, _, rest = head.partition("\r\n")
        answer = HTTPHeaders.parse(rest)
        found = upstream.response_headers(answer, request.headers.get("Origin"))
        if " 101" in first:
            found["Connection"], found["Upgrade"] = "Upgrade", answer.get("Upgrade", "websocket")
        else:
            found["Connection"] = "close"
        await client.write(_head(first, found.get_all()))
        await _both_ways(client, stream)
    except (StreamClosedError, ValueError, OSError):
        pass
    finally:
        stream.close()
        client.close()


async def _both_ways(one: IOStream, other: IOStream) -> None:
    tasks = [asyncio.ensure_future(_pump(one, other)), asyncio.ensure_future(_pump(other, one))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: IOStream, target: IOStream) -> None:
    with suppress(StreamClosedError):
        while True:
            await target.write(await source.read_bytes(PIECE, partial=True))


def _head(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line end in a header")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _without_framing(policy: str) -> str:
    """The app's own policy, but for who may frame it and where it reports to."""
    directives = [part.strip() for part in policy.split(";")]
    gone = ("frame-ancestors", "report-uri", "report-to", "sandbox")
    return "; ".join(d for d in directives if d and d.split()[0].lower() not in gone)
