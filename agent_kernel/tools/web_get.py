"""One GET through the egress policy: each hop is asked about, resolved once and pinned; what comes back is bounded."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from agent_kernel._version import __version__
from agent_kernel.errors import ToolError
from agent_kernel.sandbox.base import NetworkRequest
from agent_kernel.sandbox.egress import Gate, Refused

if TYPE_CHECKING:
    import ssl

    import httpx2

PRODUCT = "agent-kernel"
USER_AGENT = f"{PRODUCT}/{__version__} (an agent working for a person in a notebook)"
MOST_REDIRECTS, MOST_URL = 5, 4_000
CONNECT_TIMEOUT, SILENCE, TOTAL = 10.0, 20.0, 60.0
MOVED = frozenset({301, 302, 303, 307, 308})
Check = Callable[["Place"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """An address of the web, taken apart. `url` is without a fragment."""

    url: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        return self.url.partition("://")[0] + f"://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back in the end. `cut`: there was more than was wanted."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


def place(url: str) -> Place:
    """Raises ToolError for what is no address of the web that may be read."""
    import httpx2

    if len(url) > MOST_URL:
        raise ToolError(f"The address is {len(url):,} characters long; at most {MOST_URL:,} are read.")
    try:
        parsed = httpx2.URL(url.strip())
        host = parsed.raw_host.decode("ascii").strip("[]").lower().rstrip(".")
    except (httpx2.InvalidURL, UnicodeError, ValueError, TypeError):
        raise ToolError(f"{url!r} is not an address of the web.") from None
    if parsed.scheme not in ("http", "https") or not host:
        raise ToolError(f"{url!r} cannot be read: only http:// and https:// addresses can.")
    if parsed.userinfo:
        raise ToolError("Addresses with a name or password in them are not read.", hint="Leave it out.")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    if not 0 < port < 65536:
        raise ToolError(f"{url!r} is not an address of the web: there is no port {port}.")
    return Place(str(parsed.copy_with(fragment=None)), host, port)


async def get(
    url: str,
    gate: Gate,
    *,
    most: int,
    check: Check | None = None,
    origin: str = "",
    follow: int = MOST_REDIRECTS,
    **request: Any,
) -> Response:
    """GET (or `method`) with `follow` redirects followed, at most `most` bytes of the unpacked body.

    `check` may refuse a hop before it is sent; `origin` is the address that led here. Raises ToolError.
    """
    here = place(url)
    first = origin or here.url
    try:
        for _ in range(follow + 1):
            asked = NetworkRequest(here.host, here.port, here.url, "" if here.url == first else first)
            address = await gate.address(asked)
            if check is not None:
                await check(here)
            async with asyncio.timeout(TOTAL):
                response = await _send(here, address, most, request)
            target = response.headers.get("location", "")
            if not follow or response.status not in MOVED or not target:
                return response
            here = place(urljoin(here.url, target))
    except Refused as error:
        raise ToolError(str(error)) from None
    except TimeoutError:
        raise ToolError(f"{here.host} did not answer within {TOTAL:g} s.") from None
    except (OSError, ValueError) as error:
        raise ToolError(f"{here.host} cannot be reached: {error}.") from None
    raise ToolError(f"{url} leads from one address to the next, more than {follow} times.")


async def _send(here: Place, address: str, most: int, request: dict[str, Any]) -> Response:
    import httpx2

    timeout = httpx2.Timeout(SILENCE, connect=CONNECT_TIMEOUT)
    target = httpx2.URL(here.url)
    async with httpx2.AsyncClient(timeout=timeout, verify=_trusted(), trust_env=False) as client:
        built = client.build_request(
            url=target.copy_with(host=address),
            headers={
                "Host": target.netloc.decode("ascii"),
                "User-Agent": USER_AGENT,
                "Accept-Encoding": "gzip, deflate",
                **request.get("headers", {}),
            },
            extensions={"sni_hostname": here.host},
            **{"method": "GET", **{name: value for name, value in request.items() if name != "headers"}},
        )
        try:
            response = await client.send(built, stream=True)
            try:
                body, cut = await _body(response, most)
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            said = str(error).replace(address, here.host) or type(error).__name__
            raise ToolError(f"{here.host} cannot be read: {said}.") from None
    return Response(here.url, response.status_code, response.headers, body, cut)


async def _body(response: httpx2.Response, most: int) -> tuple[bytes, bool]:
    """Unpacked piece by piece: a small answer that would become gigabytes never does."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise ToolError(f"The answer is packed as {encoding[:40]!r}, which was not asked for.")
    unpack = None if encoding in ("", "identity") else zlib.decompressobj(47)
    body = bytearray()
    async for piece in response.aiter_raw():
        room = most + 1 - len(body)
        try:
            body += unpack.decompress(piece, room) if unpack else piece[:room]
        except zlib.error:
            raise ToolError("The answer cannot be unpacked: it is not what it says it is.") from None
        if len(body) > most:
            return bytes(body[:most]), True
    if unpack is not None:
        with suppress(zlib.error):
            body += unpack.flush()
    return bytes(body), False


@cache
def _trusted() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()
