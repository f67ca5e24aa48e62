"""Server-sent events: many runs over one connection, at the pace of whoever reads.

Each stored event carries as `id:` a cursor (`run:seq,run:seq`) that says where to go on. A client that does
not read is dropped; it loses nothing, for the log has everything.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from contextlib import aclosing
from typing import TYPE_CHECKING

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.iostream import StreamClosedError

from jupyter_ext.door import BadRequest, Handler
from jupyter_ext.shown import shown_runs

if TYPE_CHECKING:
    from agent_kernel.account import Account
    from agent_kernel.events import Event

MOST_RUNS = 200
MOST_WAITING = 256
"""Events read ahead of the client; beyond them the log is not read further."""
_LINE_END = re.compile("[\x85\u2028\u2029]")
_POSITION = re.compile(r"([A-Za-z0-9_-]{1,64})(?::(\d{1,12}))?")


class StreamHandler(Handler):
    """`GET stream?run=ID[:seq]&run=…`: replay after `seq`, then live, until the client leaves.

    With `announce=1` also, as messages named `run`, the owner's runs that are new or change their state; from the
    message `ready` on none is missed; its `heartbeat` is the most seconds between two signs of life. With
    `page=ID` also, as messages named `notebook`, what tools ask of the notebooks this page has open (see
    `pages.py`).
    """

    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        announce = self.get_query_argument("announce", "") == "1"
        positions = self._positions()
        if not positions and not announce:
            raise BadRequest(
                "No run is named.", hint="Ask for stream?run=ID, stream?run=ID:12 or stream?announce=1"
            )
        if announce and self.notebook is not None:
            raise BadRequest("What all of the owner's runs do is not for a kernel to see.")
        page = self.get_query_argument("page", "")
        if page and self.notebook is not None:
            raise BadRequest("A kernel is no page.")
        account = await self.account()
        positions = {(await account.get_run(run)).id: seq for run, seq in positions.items()}
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")
        self._closed = asyncio.Event()
        try:
            self.write("retry: 1000\n\n")
            await self._flush()
            await self._send_all(account, positions, announce=announce, page=page[:64])
        except StreamClosedError:
            pass
        except TimeoutError:
            self.log.info("agent-kernel: dropped a client that did not read")
            self._drop()

    def _drop(self) -> None:
        """End the connection at once, with what the system still holds for it."""
        stream = self.request.connection.stream
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    def on_connection_close(self) -> None:
        if hasattr(self, "_closed"):
            self._closed.set()

    def _positions(self) -> dict[str, int]:
        last = self.request.headers.get("Last-Event-ID", "")
        texts = [*self.get_query_arguments("run"), *(last.split(",") if last else [])]
        found: dict[str, int] = {}
        for text in texts:
            match = _POSITION.fullmatch(text)
            if match is None:
                raise BadRequest(f"run = {text[:80]!r} is not a run's id, or an id and a number (ID:12).")
            found[match[1]] = max(int(match[2] or 0), found.get(match[1], 0))
        if len(found) > MOST_RUNS:
            raise BadRequest(f"{len(found)} runs are more than one stream carries ({MOST_RUNS}).")
        return found

    async def _send_all(
        self, account: Account, positions: dict[str, int], *, announce: bool, page: str
    ) -> None:
        queue: asyncio.Queue[Event | str] = asyncio.Queue(MOST_WAITING)

        async def follow(run_id: str, after: int) -> None:
            async with aclosing(account.app.log.follow(run_id, after, until_final=False)) as events:
                async for event in events:
                    await queue.put(event)

        async def tell() -> None:
            async with aclosing(account.changed_runs()) as changes:
                async for runs in changes:
                    for shown in await shown_runs(account, runs):
                        await queue.put(f"event: run\ndata: {json.dumps(shown)}\n\n")
                    if not runs:
                        ready = json.dumps({"heartbeat": self.extension.heartbeat})
                        await queue.put(f"event: ready\ndata: {ready}\n\n")

        async def ask() -> None:
            assert account.app.pages is not None, "the extension gives its App one"
            with account.app.pages.attached(self.owner, page) as questions:
                while True:
                    asked = await questions.get()
                    await queue.put(f"event: notebook\ndata: {json.dumps(asked)}\n\n")

        followers = [asyncio.create_task(follow(run, after)) for run, after in positions.items()]
        if announce:
            followers.append(asyncio.create_task(tell()))
        if page:
            followers.append(asyncio.create_task(ask()))
        for follower in followers:
            follower.add_done_callback(lambda ended: self._fail(ended, queue))
        closed = asyncio.create_task(self._closed.wait())
        try:
            while not self._closed.is_set():
                await self._send_some(queue, positions)
        finally:
            tasks = [*followers, closed]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _fail(self, follower: asyncio.Task[None], queue: asyncio.Queue[Event | str]) -> None:
        """A run whose log cannot be read would look like one that is quiet: the client is to ask again."""
        if follower.cancelled() or (error := follower.exception()) is None:
            return
        self.log.warning("agent-kernel: a stream ends, for a run cannot be followed: %s", error)
        self._closed.set()
        if queue.empty():
            queue.put_nowait("")  # whoever waits for the next event waits no longer

    async def _send_some(self, queue: asyncio.Queue[Event | str], positions: dict[str, int]) -> None:
        """What waits, or (after a while without anything) a sign of life."""
        try:
            async with asyncio.timeout(self.extension.heartbeat):
                batch = [await queue.get()]
        except TimeoutError:
            self.write(": alive\n\n")
            await self._flush()
            return
        while not queue.empty():
            batch.append(queue.get_nowait())
        self.write("".join(item if isinstance(item, str) else _message(item, positions) for item in batch))
        await self._flush()

    async def _flush(self) -> None:
        """Wait until the client has taken it. Raises TimeoutError for one that does not read."""
        async with asyncio.timeout(self.extension.stall_timeout):
            await self.flush()


def _message(event: Event, positions: dict[str, int]) -> str:
    """One event on the wire, on one `data:` line: also for readers that take Unicode's line ends for such."""
    data = _LINE_END.sub(lambda end: f"\\u{ord(end[0]):04x}", event.model_dump_json())
    if not event.seq:
        return f"data: {data}\n\n"
    positions[event.run_id] = event.seq
    cursor = ",".join(f"{run}:{seq}" for run, seq in positions.items())
    return f"id: {cursor}\ndata: {data}\n\n"
