"""Commands in a remote sandbox: started in a session of the service, followed by its log.

The log carries lines of `outpost.py`: a number, a kind and the output, or the name of a file that holds it. Whoever
loses the connection reads it from the beginning and passes over the numbers it has had.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError, SandboxNotFound, SandboxUnavailable
from agent_kernel.sandbox import outpost
from agent_kernel.sandbox import supervisor as wire
from agent_kernel.sandbox.daytona_api import RUNNING, Service

if TYPE_CHECKING:
    from daytona import AsyncSandbox

MOST_SPOOLED = 8 << 20
GONE = "The sandbox has gone, and what ran in it."
MOST_IDLE = 4


@dataclass(frozen=True, slots=True)
class Begun:
    """A command of ours in a session of theirs."""

    name: str
    session: str
    command: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job: `payload`, or `size` bytes in a file. Number 0 is our own, for want of an end."""

    number: int
    kind: int
    payload: bytes = b""
    size: int = 0


class Jobs:
    """The jobs of one host in one sandbox."""

    def __init__(self, service: Service, remote: AsyncSandbox, owner: str, place: str) -> None:
        self._service = service
        self._remote = remote
        self._owner = owner
        self._place = place
        self._idle: list[str] = []
        self.active: set[str] = set()

    async def begin(self, request: dict[str, Any], stdin: bytes, *, background: bool = False) -> Begun:
        """Start a job, once. Raises SandboxError."""
        name = secrets.token_hex(8)
        packed = outpost.pack({**request, "job": name, "owner": self._owner, "background": background}, stdin)
        self.active.add(name)
        try:
            session, line = await self._session(), await self._line(packed)
            try:
                return Begun(name, session, await self._started(session, line))
            except SandboxNotFound:  # sessions end when the sandbox stops, whoever started it again
                self._idle.clear()
                session = await self._session()
                return Begun(name, session, await self._started(session, line))
        except BaseException:
            self.active.discard(name)
            raise

    async def _started(self, session: str, line: str) -> str:
        """The id of the command. Where an answer was lost, the session knows whether it was heard."""
        attempt = 0
        while True:
            try:
                return await self._service.begin(self._remote, session, line)
            except SandboxUnavailable as error:
                attempt += 1
                if attempt >= self._service.patience.attempts:
                    raise
                await self._service.pause(attempt, error)
                for number, known, _ in await self._service.commands(self._remote, session):
                    if known.strip() == line.strip():
                        return number

    async def _line(self, packed: bytes) -> str:
        text = base64.b64encode(packed).decode()
        if len(packed) > outpost.INLINE:
            path = f"{outpost.BASE}/in/{secrets.token_hex(8)}"
            await self._service.retry(lambda: self._service.upload(self._remote, path, packed))
            text = f"@{path}"
        return f"{outpost.started(self._place, 'run')} <<'AGENT_KERNEL'\n{text}\nAGENT_KERNEL"

    async def _session(self) -> str:
        if self._idle:
            return self._idle.pop()
        name = f"agent-kernel-{secrets.token_hex(6)}"
        await self._service.open_session(self._remote, name)
        return name

    async def end(self, begun: Begun, *, clean: bool) -> None:
        """The job is over for us; after a clean end its session serves the next."""
        self.active.discard(begun.name)
        if clean and len(self._idle) < MOST_IDLE:
            self._idle.append(begun.session)
        else:
            await self._service.close_session(self._remote, begun.session)

    async def lines(self, begun: Begun) -> AsyncIterator[Line]:
        """Each line once, in order; the last one is the EXIT, whatever happens."""
        queue: asyncio.Queue[Line] = asyncio.Queue()
        task = asyncio.create_task(self._follow(begun, queue))
        try:
            while True:
                line = await queue.get()
                if line.size:
                    line = await self._spooled(begun, line)
                yield line
                if line.kind == wire.EXIT:
                    return
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _spooled(self, begun: Begun, line: Line) -> Line:
        path = f"{outpost.JOBS}/{begun.name}/{line.number}"
        try:
            payload = await self._service.download(self._remote, path, min(line.size, MOST_SPOOLED))
        except SandboxError as error:
            return _lost(f"A part of the output did not arrive: {error}")
        return Line(line.number, line.kind, payload)

    async def _follow(self, begun: Begun, queue: asyncio.Queue[Line]) -> None:
        """Listen until the EXIT, opening the log anew when it falls silent or breaks."""
        reader, failures, loop = _Reader(queue), 0, asyncio.get_running_loop()
        silence = self._service.patience.silence
        try:
            while not reader.ended:
                seen, whole = reader.heard, False
                error = SandboxUnavailable("The connection to the sandbox fell silent.")
                reader.begin()
                with suppress(TimeoutError):
                    async with asyncio.timeout(silence) as bound:

                        async def hear(text: str, bound: asyncio.Timeout = bound) -> None:
                            bound.reschedule(loop.time() + silence)
                            reader.read(text)

                        try:
                            await self._service.follow(self._remote, begun.session, begun.command, hear)
                            error, whole = SandboxUnavailable("The log ended early."), True
                        except SandboxUnavailable as met:
                            error = met
                if reader.ended:
                    return
                failures = 1 if reader.heard > seen else failures + 1
                if (why := await self._over(begun, whole)) or failures >= self._service.patience.attempts:
                    queue.put_nowait(_lost(why or f"The connection to the sandbox was lost: {error.message}"))
                    return
                await self._service.pause(failures, error)
        except SandboxError as error:
            queue.put_nowait(_lost(GONE if isinstance(error, SandboxNotFound) else str(error)))

    async def _over(self, begun: Begun, whole: bool) -> str:
        """Why there will be nothing more to hear; empty while there may. `whole`: the log was read to its end."""
        try:
            state = await self._service.state(self._remote, once=True)
            if state != RUNNING:
                return (
                    GONE
                    if state in ("destroyed", "destroying")
                    else f"The sandbox is {state}; what ran in it ended."
                )
            for number, _, code in await self._service.commands(self._remote, begun.session):
                if whole and number == begun.command and code is not None:
                    return "The command ended without a word, as when it is killed."
        except SandboxUnavailable:
            return ""
        return ""


class _Reader:
    """Pieces of a log become lines; those of an earlier reading are passed over."""

    def __init__(self, queue: asyncio.Queue[Line]) -> None:
        self._queue = queue
        self._rest = ""
        self._last = 0
        self.heard = 0
        self.ended = False

    def begin(self) -> None:
        self._rest = ""

    def read(self, text: str) -> None:
        self.heard += 1
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)

    def _take(self, text: str) -> None:
        try:
            number, kind, shown = text.split(" ")
            line = Line(int(number), int(kind))
            if line.number <= self._last or line.kind not in (wire.READY, wire.OUT, wire.ERR, wire.EXIT):
                return
            if shown.startswith("@"):
                line = Line(line.number, line.kind, size=int(shown[1:]))
            else:
                line = Line(line.number, line.kind, base64.b64decode(shown, validate=True))
        except ValueError:
            return  # not one of ours
        self._last = line.number
        self.ended = self.ended or line.kind == wire.EXIT
        self._queue.put_nowait(line)


def _lost(why: str) -> Line:
    return Line(0, wire.EXIT, json.dumps({"code": -9, "error": why}).encode())
