"""A program of ours that lives in the sandbox: requests go to its standard input as JSON lines, frames come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from agent_kernel.errors import SandboxError, SandboxUnavailable
from agent_kernel.events import Json
from agent_kernel.sandbox.base import Exit, Sandbox, Stdout

START_TIMEOUT = 30.0
MOST_STREAM = 1 << 50
MOST_FRAME, MOST_WAITING = 6 << 20, 64


class Driven:
    """One running program: `name` in a sentence (`Python`), its `source`, what it is told first. `close` ends it.

    The first line it reads is a token, which stands before each of its frames and in no command line or environment:
    anything without it was written by something else.
    """

    def __init__(
        self, sandbox: Sandbox, name: str, source: str, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.sandbox = sandbox
        self.name = name
        self.job = f"{name.lower()}-{secrets.token_hex(4)}"
        self.frames: asyncio.Queue[Json | None] = asyncio.Queue(MOST_WAITING)
        self.ended = ""
        self.alive = False
        self._source, self._env = source, dict(env or {})
        self._token = secrets.token_hex(16).encode()
        self._reader: asyncio.Task[None] | None = None

    async def start(self, first: bytes = b"", *, within: float = START_TIMEOUT) -> Json:
        """Its first frame. Raises SandboxUnavailable when there is none. `first` is what it reads after the token."""
        stream = self.sandbox.stream(
            ["python3", "-u", "-c", self._source],
            env={"PYTHONSAFEPATH": "1", **self._env},
            job=self.job,
            stdin=self._token + b"\n" + first,
            keep_stdin=True,
            max_output=MOST_STREAM,
        )
        self.alive = True
        self._reader = asyncio.create_task(self._read(stream))
        try:
            async with asyncio.timeout(within):
                ready = await self.frames.get()
        except TimeoutError:
            raise SandboxUnavailable(f"{self.name} did not start within {within:.0f} s.") from None
        if ready is None:
            raise SandboxUnavailable(f"{self.name} did not start in the sandbox: {self.ended}")
        return ready

    async def _read(self, stream: AsyncIterator[Any]) -> None:
        """Split the output into frames."""
        line, errors = bytearray(), b""
        try:
            async for item in stream:
                if isinstance(item, Exit):
                    said = errors.decode("utf-8", "replace").strip().splitlines()
                    self.ended = item.error or (said[-1] if said else f"exit code {item.exit_code}")
                elif isinstance(item, Stdout):
                    first, *others = item.data.split(b"\n")
                    line += first
                    for other in others:
                        if frame := self._frame(line):
                            await self.frames.put(frame)
                        line = bytearray(other)
                    if len(line) > MOST_FRAME:
                        line = bytearray(b"-")  # too long for one of ours
                else:
                    errors = (errors + item.data)[-4096:]
        except SandboxError as error:
            self.ended = str(error)
        finally:
            self.alive = False
            if self.frames.full():
                self.frames.get_nowait()
            self.frames.put_nowait(None)

    def _frame(self, line: bytearray) -> Json | None:
        if not line.startswith(self._token):
            return None
        try:
            frame = json.loads(line[len(self._token) :])
        except ValueError:
            return None
        return frame if isinstance(frame, dict) and "kind" in frame else None

    async def send(self, request: Json) -> None:
        await self.sandbox.send(self.job, json.dumps(request).encode() + b"\n")

    async def close(self) -> None:
        self.alive = False
        with contextlib.suppress(SandboxError):
            await self.sandbox.kill(self.job)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
