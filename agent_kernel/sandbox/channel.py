"""The host's end of the supervisor: frames out, frames in, and sockets handed over."""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

from agent_kernel.errors import SandboxUnavailable
from agent_kernel.sandbox import supervisor as wire

LIMIT = 4 << 20
DIED = "The sandbox has died."


class Channel:
    """Requests and streams by number. Every waiter ends when the supervisor does."""

    def __init__(self, frames: socket.socket, sockets: socket.socket) -> None:
        self._frames = frames
        self._sockets = sockets
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[bytes]] = {0: asyncio.get_running_loop().create_future()}
        self._streams: dict[int, asyncio.Queue[tuple[int, bytes]]] = {}
        self._handed: dict[int, asyncio.Future[socket.socket]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._receiver: asyncio.Task[None] | None = None
        self.dead = asyncio.Event()

    async def open(self, timeout: float) -> None:
        """Until the supervisor says that it is ready."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._frames, limit=LIMIT)
        self._sockets.setblocking(False)
        asyncio.get_running_loop().add_reader(self._sockets.fileno(), self._receive_socket)
        self._receiver = asyncio.create_task(self._receive(reader))
        async with asyncio.timeout(timeout):  # `wait_for` can swallow a cancellation (3.11)
            await asyncio.shield(self._answers[0])

    # -- sending ---------------------------------------------------------------------------------------

    def _send(self, kind: int, number: int, payload: bytes) -> None:
        if self._writer is None or self.dead.is_set():
            raise SandboxUnavailable(DIED, hint="It is started again with the next call.")
        self._writer.write(wire.HEADER.pack(len(payload), kind, number) + payload)

    async def call(self, kind: int, payload: dict[str, Any] | bytes, number: int | None = None) -> bytes:
        """One request, one answer. Raises OSError as the supervisor met it."""
        number = next(self._numbers) if number is None else number
        self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(kind, number, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
            assert self._writer is not None
            await self._writer.drain()
            return await self._answers[number]
        except (ConnectionError, BrokenPipeError):
            raise SandboxUnavailable(DIED) from None
        finally:
            self._answers.pop(number, None)

    async def file(self, do: str, path: str, data: bytes = b"", **options: Any) -> bytes:
        head = json.dumps({"do": do, "path": path, **options}).encode()
        return await self.call(wire.FILE, struct.pack(">I", len(head)) + head + data)

    async def hand_out(self, kind: int, port: int) -> socket.socket:
        """A socket made inside: connected to `port`, or listening on it. Raises ConnectionError."""
        number = next(self._numbers)
        future = self._handed[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(kind, number, json.dumps({"port": port}).encode())
            made: socket.socket = await future
            return made
        finally:
            self._handed.pop(number, None)

    def begin(self, request: dict[str, Any]) -> int:
        """Start a command; its number."""
        number = next(self._numbers)
        self._streams[number] = asyncio.Queue()
        try:
            self._send(wire.EXEC, number, json.dumps(request).encode())
        except SandboxUnavailable:
            del self._streams[number]
            raise
        return number

    async def output(self, number: int) -> AsyncIterator[tuple[int, bytes]]:
        """(kind, payload) of a command, the last one being EXIT."""
        stream = self._streams[number]
        try:
            while True:
                kind, payload = await stream.get()
                yield kind, payload
                if kind == wire.EXIT:
                    return
        finally:
            self._streams.pop(number, None)

    def tell(self, kind: int, number: int, payload: bytes = b"") -> None:
        """A frame that is not answered (stdin)."""
        self._send(kind, number, payload)

    # -- receiving -------------------------------------------------------------------------------------

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size, kind, number = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
                self._deliver(kind, number, await reader.readexactly(size) if size else b"")
        self._died()

    def _deliver(self, kind: int, number: int, payload: bytes) -> None:
        if (stream := self._streams.get(number)) is not None:
            stream.put_nowait((kind, payload))
        elif (future := self._answers.get(number)) is not None and not future.done():
            if kind == wire.FAILED:
                said = json.loads(payload)
                future.set_exception(OSError(said["errno"], said["error"], said.get("path")))
            else:
                future.set_result(payload)

    def _receive_socket(self) -> None:
        try:
            message, rights, _, _ = self._sockets.recvmsg(4096, socket.CMSG_SPACE(array.array("i").itemsize))
        except (BlockingIOError, OSError):
            return
        if len(message) < 4:
            asyncio.get_running_loop().remove_reader(self._sockets.fileno())
            return
        future = self._handed.get(struct.unpack(">I", message[:4])[0])
        made = None
        if rights:
            made = socket.socket(fileno=array.array("i", rights[0][2][:4])[0])
        if future is None or future.done():
            if made is not None:
                made.close()
        elif made is not None:
            future.set_result(made)
        else:
            future.set_exception(ConnectionError(message[4:].decode("utf-8", "replace")))

    def _died(self) -> None:
        self.dead.set()
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self._handed.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(SandboxUnavailable(DIED))
                future.exception()  # whoever waits sees it; where nobody does, nothing is to be said
        for stream in self._streams.values():
            stream.put_nowait((wire.EXIT, json.dumps({"code": -9, "error": DIED}).encode()))

    async def close(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(self._sockets.fileno())
        if self._writer is not None:
            self._writer.close()
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.gather(self._receiver, return_exceptions=True)
        self._sockets.close()
        self._died()
