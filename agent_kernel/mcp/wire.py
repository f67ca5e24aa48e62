"""The way to a server that is a program: lines of JSON over its standard input and output.

The program may hang, die, print what is no message, or write without end. Whatever it does ends as one sentence
in `Program.ended`, and never as memory of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from agent_kernel.errors import SandboxError, ToolError
from agent_kernel.sandbox.base import Exit, Sandbox, Stdout
from agent_kernel.tools.output import line_of

MOST_MESSAGE = 16 << 20
"""Bytes of one message; a larger one ends the server."""
MOST_WAITING = 1_000
FLOOD_SECONDS, FLOOD_MESSAGES, FLOOD_BYTES = 10.0, 20_000, 128 << 20
PIECE = 1 << 16
KEPT = 2_000
GRACE = 2.0
_UNLIMITED = 1 << 50
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY",
              "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")  # fmt: skip


class Flood(ToolError):
    """More was sent than anybody asked for."""


class Meter:
    """Counts what comes, and raises Flood when it is more than a server could mean."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._messages = self._bytes = 0

    def count(self, size: int, messages: int = 0) -> None:
        if (now := time.monotonic()) - self._since > FLOOD_SECONDS:
            self._since, self._messages, self._bytes = now, 0, 0
        self._messages, self._bytes = self._messages + messages, self._bytes + size
        if self._messages > FLOOD_MESSAGES or self._bytes > FLOOD_BYTES:
            raise Flood(f"it sent {self._messages:,} messages, {self._bytes >> 20} MiB, within a few seconds")


class Pipes(Protocol):
    """A running program's three streams, wherever it runs."""

    def output(self) -> AsyncIterator[bytes]:
        """Its standard output in pieces; ends with it. Starts the program."""
        ...

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """End it and all it started."""
        ...

    def last_words(self) -> str:
        """The end of its standard error, and how it ended."""
        ...


class Program:
    """A server behind pipes, as one of the SDK's transports (`async with` gives its two streams)."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._noise = b""
        self._started = asyncio.Event()
        self._why = ""
        self.over = asyncio.Event()

    @property
    def ended(self) -> str:
        """Why it is no longer there."""
        noise = self._noise.decode("utf-8", "replace").strip()
        words = [self._pipes.last_words(), f"it printed: {line_of(noise)[:300]}" if noise else ""]
        return self._why or ", ".join(filter(None, words)) or "it ended without a word"

    async def __aenter__(self) -> tuple[Any, Any]:
        import anyio

        self._to_session, read = anyio.create_memory_object_stream[Any](MOST_WAITING)
        write, self._from_session = anyio.create_memory_object_stream[Any](0)
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        return read, write

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pipes.close()
        self._to_session.close()
        self._from_session.close()

    async def _read(self) -> None:
        import anyio

        meter, line = Meter(), bytearray()
        try:
            async with contextlib.aclosing(self._pipes.output()) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    self._started.set()
                    first, *others = piece.split(b"\n")
                    line += first
                    meter.count(len(piece), len(others))
                    for other in others:
                        self._deliver(line)
                        line = bytearray(other)
                    if len(line) > MOST_MESSAGE:
                        raise Flood(f"it sent a message of more than {MOST_MESSAGE >> 20} MiB")
                    await asyncio.sleep(0)
        except (Flood, SandboxError, OSError) as error:
            self._why = str(error)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the session is gone
        except anyio.WouldBlock:
            self._why = "it sent more messages than can be taken"
        finally:
            self._started.set()
            self.over.set()
            self._to_session.close()

    def _deliver(self, line: bytearray) -> None:
        """One line, if it is a message; what else programs print is kept a little, for whoever asks why."""
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        if not line.strip():
            return
        try:
            message = jsonrpc_message_adapter.validate_json(bytes(line), by_name=False)
        except ValueError:
            self._noise = (self._noise + bytes(line[:KEPT]) + b"\n")[-KEPT:]
            return
        self._to_session.send_nowait(SessionMessage(message))

    async def _write(self) -> None:
        await self._started.wait()
        async for item in self._from_session:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                await self._pipes.send(text.encode("utf-8", "replace") + b"\n")
            except (SandboxError, OSError):
                self._to_session.close()
                return


class InSandbox:
    """A program in the session's sandbox: its files, its limits, its way to the network."""

    def __init__(self, sandbox: Sandbox, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._sandbox = sandbox
        # The first line says that the job is there and can be written to.
        self._argv = ["/bin/sh", "-c", 'echo && exec "$@"', "mcp", *argv]
        self._env = dict(env)
        self._job = f"mcp-{secrets.token_hex(4)}"
        self._errors, self._complaints = b"", Meter()
        self._exit: Exit | None = None

    async def output(self) -> AsyncIterator[bytes]:
        stream = self._sandbox.stream(
            self._argv, env=self._env, job=self._job, keep_stdin=True, max_output=_UNLIMITED
        )
        async with contextlib.aclosing(stream) as items:  # type: ignore[type-var]
            async for item in items:
                if isinstance(item, Exit):
                    self._exit = item
                elif isinstance(item, Stdout):
                    yield item.data
                else:
                    self._complaints.count(len(item.data))
                    self._errors = (self._errors + item.data)[-KEPT:]

    async def send(self, data: bytes) -> None:
        await self._sandbox.send(self._job, data)

    async def close(self) -> None:
        with contextlib.suppress(SandboxError):
            await self._sandbox.kill(self._job)

    def last_words(self) -> str:
        if self._exit is not None and self._exit.error:
            return self._exit.error
        return words(self._errors, self._exit.exit_code if self._exit else None)


class OnHost:
    """A program outside the sandbox, as the person; only their own configuration can ask for one."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._argv = list(argv)
        self._env = {**{name: os.environ[name] for name in _PASSED_ON if name in os.environ}, **env}
        self._cwd = cwd
        self._errors = b""
        self._process: asyncio.subprocess.Process | None = None

    async def output(self) -> AsyncIterator[bytes]:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )
        assert process.stdout is not None
        errors = asyncio.create_task(self._read_errors())
        try:
            yield b"\n"
            while piece := await process.stdout.read(PIECE):
                yield piece
            await self._gone(process)
            await asyncio.wait({errors}, timeout=GRACE)
        finally:
            errors.cancel()

    async def _read_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        meter = Meter()
        while piece := await self._process.stderr.read(PIECE):
            meter.count(len(piece))  # at the end of its patience nobody reads, and the program waits
            self._errors = (self._errors + piece)[-KEPT:]

    async def send(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close(self) -> None:
        """Its input ends, as the protocol has it; what is still there after a moment is killed, with its children."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        draining = asyncio.create_task(self._drain())
        await self._gone(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await self._gone(process)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        # A child that escaped may hold the pipes open; nothing public closes our ends of them.
        process._transport.close()  # type: ignore[attr-defined]

    async def _drain(self) -> None:
        """A program that is still writing cannot read that it should end."""
        assert self._process is not None
        assert self._process.stdout is not None
        while await self._process.stdout.read(PIECE):
            pass

    @staticmethod
    async def _gone(process: asyncio.subprocess.Process) -> None:
        """Until it has ended, for a while. (`wait` also waits for whoever else has its pipes.)"""
        until = time.monotonic() + GRACE
        while process.returncode is None and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def last_words(self) -> str:
        return words(self._errors, self._process.returncode if self._process else None)


def words(errors: bytes, exit_code: int | None) -> str:
    """The last line of standard error with the exit code."""
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    ended = f"it ended with exit code {exit_code}" if exit_code is not None else ""
    said = f"it said: {lines[-1][:300]}" if lines else ""
    return ", ".join(part for part in (ended, said) if part)
