"""Web servers on loopback that answer as told, and remember what they were asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Site:
    """`pages` are answers by path, or functions of the request's head and body."""

    port: int = 0
    pages: dict[str, Answer | Callable[[str, bytes], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pair(self) -> frozenset[tuple[str, int]]:
        return frozenset({("127.0.0.1", self.port)})

    def html(self, path: str, body: str, **headers: str) -> str:
        """Put a page there; its address."""
        said = {"Content-Type": "text/html; charset=utf-8"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        self.pages[path] = (200, said, body.encode())
        return self.url + path

    def json(self, path: str, value: object) -> None:
        self.pages[path] = (200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            size = next(
                (line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0"
            )
            body = await reader.readexactly(int(size))
            path = head.split(" ", 2)[1]
            self.asked.append(path)
            self.heads.append(head)
            page = self.pages.get(path) or self.pages.get(path.partition("?")[0]) or (404, {}, b"")
            status, headers, data = page(head, body) if callable(page) else page
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"HTTP/1.1 {status} x\r\n{lines}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left: it had enough
        finally:
            writer.close()


@asynccontextmanager
async def open_site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site._serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
