"""The way to a server at an address: where it may lead, and how much may come back.

A name is resolved once and the connection goes to the address that was checked. Addresses that are not of the
internet are reached only when the person's own configuration names one: a server's redirect, its OAuth metadata or
a second answer of the name server does not lead there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx2

from agent_kernel.mcp.wire import MOST_MESSAGE, Flood, Meter
from agent_kernel.sandbox.egress import is_public

TIMEOUT, SILENCE = 20.0, 300.0


def open_client(
    url: str,
    headers: Mapping[str, str],
    *,
    private: bool,
    auth: Any = None,
    named: Iterable[str] = (),
) -> httpx2.AsyncClient:
    """`private`: the address may be one of this machine or its network, if `url` itself is, or if it is one of
    those that the person `named` besides."""
    target = httpx2.URL(url)
    proxy = getproxies().get(target.scheme) if private and not proxy_bypass(target.host) else None
    inner = httpx2.AsyncHTTPTransport(proxy=proxy)
    hosts = [target.host, *(httpx2.URL(other).host for other in named if other)]
    return httpx2.AsyncClient(
        headers={**headers, "accept-encoding": "identity"},
        timeout=httpx2.Timeout(TIMEOUT, read=SILENCE),
        transport=Guarded(inner, hosts, private=private, proxied=proxy is not None),
        trust_env=False,
        auth=auth,
    )


class Guarded(httpx2.AsyncBaseTransport):
    """`inner`, for public addresses (see above), with bounded answers. The first of `hosts` is the server's."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, hosts: Sequence[str], *, private: bool, proxied: bool
    ) -> None:
        self._inner = inner
        self._hosts = hosts
        self._private = private
        self._proxied = proxied

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self._proxied:
            request = await self._pinned(request)
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.ReadError(
                "The server compressed its answer although it was asked not to.", request=request
            )
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        response.stream = Bounded(response.stream, None if events else MOST_MESSAGE)
        return response

    async def _pinned(self, request: httpx2.Request) -> httpx2.Request:
        """The request as it goes to an address that was checked, under the name it was meant for."""
        host, url = request.url.host, request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = await _addresses(host, port)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} is not known here ({error}).", request=request) from None
        allowed = [address for address in addresses if is_public(address)]
        if not allowed and self._private and (host in self._hosts or await self._own_is_private()):
            allowed = addresses
        if not allowed:
            raise httpx2.ConnectError(f"{host} is a private address.", request=request)
        return httpx2.Request(
            request.method,
            url.copy_with(host=allowed[0]),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )

    async def _own_is_private(self) -> bool:
        """The configured server is on this machine or its network: so may be the one that logs people in."""
        with suppress(OSError):
            return not any(is_public(address) for address in await _addresses(self._hosts[0], 0))
        return False

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Bounded(httpx2.AsyncByteStream):
    """An answer of at most `most` bytes; of an endless one (None), not more than a server could mean."""

    def __init__(self, inner: httpx2.AsyncByteStream, most: int | None) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        meter, total = Meter(), 0
        async for piece in self._inner:
            total += len(piece)
            if self._most is not None and total > self._most:
                raise httpx2.StreamError(f"it sent an answer of more than {self._most >> 20} MiB")
            try:
                meter.count(len(piece), piece.count(b"\n\n"))
            except Flood as error:
                raise httpx2.StreamError(str(error)) from None
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
