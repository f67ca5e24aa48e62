"""Servers that the agent's commands start, found by the ports they listen on and told as `browser_update`."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_kernel.errors import SandboxError
from agent_kernel.events import BrowserUpdate, Event, ToolResult, now_ms
from agent_kernel.sandbox.base import PortHandle, Sandbox
from agent_kernel.tools.output import plain

INTERVAL = 0.5
"""Seconds between looks, from the first call that may have started something to the end of the run."""
FAR, MOST_FAR = 1.0, 15.0
"""The same where each look is a request to somebody's service: first, and when nothing changes for long."""
GRACE = 6.0
"""Seconds that a run waits at its end for a server it has left in the background."""
PATIENCE = 5.0
"""Seconds for an answer; the first page of a development server may have to be built."""
LISTING = ("bubblewrap", "none", "daytona")
"""Tiers that can say what listens; in the others there is nothing to wait for."""
MOST_TRIES = 20
MOST_PORTS = 16
MOST_HEAD = 1 << 16
MOST_TITLE = 200
_URL = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]):(\d{1,5})(/[^\s\"'<>`\\\x00-\x1f]{0,200})?"
)
_NOBODY = re.compile(rb"HTTP/1\.[01] (40[134]|410|50[234])")
"""What a provider says in place of an app that does not answer, or whose address has ended."""
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a port says to `GET`: `http` is None while it says nothing."""

    http: bool | None
    title: str = ""


class PreviewWatch:
    """Tells of each port that answers HTTP, once, and of its end."""

    def __init__(self, sandbox: Sandbox, append: Callable[[Event], Awaitable[None]]):
        self._sandbox = sandbox
        self._append = append
        self._shown: dict[int, BrowserUpdate] = {}
        self._tries: dict[int, int] = {}
        self._paths: dict[int, str] = {}
        self._logs: list[str] = []
        self._expecting = False
        self._pause = self._shortest = FAR if sandbox.tier == "daytona" else INTERVAL
        self._looking = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    def heard(self, result: ToolResult, *, background: bool) -> None:
        """A call that may have started something has ended; its output may name the page to open."""
        for block in result.content:
            self._read(str(block.get("text", "")))
        if background and not result.is_error:
            self._expecting = True
            if result.output_path:
                self._logs.append(result.output_path)
        self._pause = self._shortest
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def settle(self) -> None:
        """Wait a moment for what was left in the background: it may be about to listen."""
        if self._watching is None or self._sandbox.tier not in LISTING:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + GRACE
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE + PATIENCE):
                await self._look()
                while self._expecting and self._sandbox.life and loop.time() < until:
                    await asyncio.sleep(self._shortest / 2)
                    await self._look()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._pause)
            if self._shortest == FAR:
                self._pause = min(self._pause * 1.5, MOST_FAR)

    async def _look(self) -> None:
        """Compare what listens now with what was told."""
        async with self._looking:
            try:
                listening = set(await self._sandbox.ports())
            except SandboxError:  # it has died, and with it what listened
                listening = set()
            for port in sorted(self._shown.keys() - listening):
                gone = self._shown.pop(port)
                await self._append(gone.model_copy(update={"live": False, "timestamp": now_ms()}))
            for port in self._tries.keys() - listening:
                del self._tries[port]
            desktop = self._desktop_port()
            if desktop in self._shown and self._shown[desktop].kind != "desktop":
                del self._shown[desktop]  # it listened before the sandbox knew that it was ready
            new = sorted(listening - self._shown.keys())[: max(0, MOST_PORTS - len(self._shown))]
            await asyncio.gather(*(self._ask(port) for port in new))

    async def _ask(self, port: int) -> None:
        """See whether the port speaks HTTP; what says nothing is asked again later, what says something else not."""
        if port == self._desktop_port():
            own = self._sandbox.desktop_url
            self._shown[port] = BrowserUpdate(url=own, port=port, title="Desktop", kind="desktop")
            await self._append(self._shown[port])
            return
        tries = self._tries.get(port, 0)
        if tries >= MOST_TRIES:
            return
        path = await self._path(port)
        answer = await answer_of(self._sandbox, port, path)
        self._tries[port] = MOST_TRIES if answer.http is False else tries + 1
        if answer.http:
            self._expecting = False
            update = BrowserUpdate(url=f"http://localhost:{port}{path}", port=port, title=answer.title)
            self._shown[port] = update
            await self._append(update)

    def _desktop_port(self) -> int | None:
        return urlsplit(self._sandbox.desktop_url).port

    async def _path(self, port: int) -> str:
        """Where the page is, by the first address that was printed for the port."""
        for log in self._logs if port not in self._paths else ():
            try:
                self._read((await self._sandbox.read(log, limit=MOST_HEAD)).decode("utf-8", "replace"))
            except SandboxError:  # removed by the agent
                continue
        return self._paths.get(port, "/")

    def _read(self, text: str) -> None:
        for found in _URL.finditer(plain(text)):
            self._paths.setdefault(int(found[1]), (found[2] or "/").rstrip(".,;:)]}*"))


async def answer_of(sandbox: Sandbox, port: int, path: str = "/") -> Answer:
    """Ask a port inside for a page."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _asked(await sandbox.open_port(port), port, path)
    except (TimeoutError, OSError, SandboxError):
        return Answer(http=None)


async def _asked(handle: PortHandle, port: int, path: str) -> Answer:
    target = path.encode("ascii", "ignore").decode()
    given = {"Host": f"localhost:{port}", **handle.headers}
    if handle.socket is not None:
        reader, writer = await asyncio.open_connection(sock=handle.socket)
    else:
        way = handle.at(target)
        safe = way.scheme == "https"
        reader, writer = await asyncio.open_connection(
            way.hostname, way.port or (443 if safe else 80), ssl=safe
        )
        given["Host"], target = way.netloc, f"{way.path}?{way.query}" if way.query else way.path
    head = bytearray()
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(
            f"GET {target} HTTP/1.1\r\n{lines}Accept: text/html,*/*\r\n"
            "User-Agent: agent-kernel\r\nConnection: close\r\n\r\n".encode()
        )
        while len(head) < MOST_HEAD and not _TITLE.search(head):
            try:
                # Once it has begun to answer it speaks HTTP, whether or not the page ever ends.
                async with asyncio.timeout(PATIENCE / 5 if head else None):
                    piece = await reader.read(8192)
            except (TimeoutError, ConnectionError):
                break
            if not piece:
                break
            head += piece
    finally:
        writer.close()
    if not head or (handle.socket is None and _NOBODY.match(head)):
        return Answer(http=None)
    found = _TITLE.search(head)
    title = plain(html.unescape(found[1].decode("utf-8", "replace"))) if found else ""
    return Answer(http=head.startswith(b"HTTP/"), title=" ".join(title.split())[:MOST_TITLE])
