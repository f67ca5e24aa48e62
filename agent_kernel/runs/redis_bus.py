"""The bus between processes: a Redis stream a run carries deltas and the run's head.

Subscribers of this process are served by a `LocalBus`, without a way through Redis. What others publish is
read by one loop over the streams of all followed runs, and put on the same `LocalBus`. While Redis is away
deltas are dropped and followers look at the store; when it is back, the newest heads are rung once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from agent_kernel.errors import StoreError
from agent_kernel.events import Delta
from agent_kernel.runs.bus import MOST_WAITING, Item, LocalBus, Subscription
from agent_kernel.runs.redis_client import URL_HINT, is_wrong_type, open_client, problem
from agent_kernel.runs.redis_wire import entry, item_of, order, run_of, stream_of

logger = logging.getLogger(__name__)

MOST_ENTRIES = 1_000
"""Entries a stream keeps, about."""
EXPIRY = 3_600
"""Seconds a stream is kept after the last entry."""
LINGER = 0.005
"""Seconds in which what is published, or to be read, becomes one round trip."""
BLOCK = 5.0
"""Seconds Redis holds a read without news; PATIENCE is longer, so that a dead connection is noticed."""
PATIENCE = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
FAREWELL = 1.0
"""Seconds for what is still to be sent when the bus closes."""
MOST_READ = 500
BEGINNING = b"0-0"


class RedisBus:
    """Across processes. Make it within a running loop; it connects when it is first used."""

    def __init__(self, url: str) -> None:
        self._redis, self._where = open_client(url, PATIENCE)
        self._id = uuid4().hex
        self._wake = f"agent-kernel:wake:{self._id}".encode()
        self._local = LocalBus()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._followed: Counter[str] = Counter()
        self._waiting: list[tuple[str, int | Delta]] = []
        self._nudge = False
        self._changed = False
        self._to_send = asyncio.Event()
        self._to_read = asyncio.Event()
        self._outage = _Outage(self._where)
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    def publish(self, run_id: str, item: Item) -> None:
        """Never blocks."""
        self._local.publish(run_id, item)
        self._on_loop(self._put, run_id, item[-1].seq if isinstance(item, tuple) else item)

    @contextmanager
    def subscribe(self, run_id: str, *, deltas: bool = True) -> Iterator[Subscription]:
        with self._local.subscribe(run_id, deltas=deltas) as subscription:
            with self._lock:
                self._followed[run_id] += 1
                first = self._followed[run_id] == 1
            if first:
                self._on_loop(self._look_again)
            try:
                yield subscription
            finally:
                with self._lock:
                    self._followed[run_id] -= 1
                    if not self._followed[run_id]:
                        del self._followed[run_id]

    async def check(self) -> None:
        """Raises StoreError when Redis cannot be used."""
        try:
            await self._redis.ping()
        except Exception as error:  # whatever the library raises, people read one sentence
            raise StoreError(f"Redis at {self._where} {problem(error)}.", hint=URL_HINT) from None

    async def close(self) -> None:
        """Send what waits, then let go of Redis. Subscribers of this process are still served."""
        if self._closed:
            return
        self._closed = True
        self._to_send.set()
        if self._writer and not self._outage.has("writing"):
            await asyncio.wait({self._writer}, timeout=FAREWELL)
        await self._end([task for task in (self._writer, self._reader) if task])
        with contextlib.suppress(Exception):  # a connection that is gone is closed enough
            await self._redis.aclose()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Cancel them until they are gone: redis-py can lose a cancellation that meets it while it connects."""
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=0.1)

    # -- on the loop of the bus ------------------------------------------------------------------------

    def _on_loop(self, call: Callable[..., None], *args: Any) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            call(*args)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the bus with it
                self._loop.call_soon_threadsafe(call, *args)

    def _start(self) -> None:
        self._writer = self._writer or self._loop.create_task(self._write())
        self._reader = self._reader or self._loop.create_task(self._read())

    def _put(self, run_id: str, item: int | Delta) -> None:
        if self._closed or (isinstance(item, Delta) and self._outage.has("writing")):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting = _heads(self._waiting)
        self._waiting.append((run_id, item))
        self._to_send.set()
        self._start()

    def _look_again(self) -> None:
        """Another run is followed: a read that is waiting must begin anew."""
        if self._closed:
            return
        self._changed = self._nudge = True
        self._to_read.set()
        self._to_send.set()
        self._start()

    # -- writing ---------------------------------------------------------------------------------------

    async def _write(self) -> None:
        pause = FIRST_PAUSE
        while True:
            if not (self._closed or self._outage.has("writing")):
                await self._to_send.wait()
            if not self._closed:
                await asyncio.sleep(LINGER)
            if self._closed and not self._waiting:
                return
            self._to_send.clear()
            batch, self._waiting = self._waiting, []
            nudge, self._nudge = self._nudge, False
            try:
                await self._send(batch, nudge)
            except Exception as error:  # this task must outlive whatever the library raises
                self._outage.begin("writing", error)
                self._waiting = _heads(batch + self._waiting)
                self._nudge |= nudge
                pause = await _rest(pause)
            else:
                self._outage.end("writing")
                pause = FIRST_PAUSE

    async def _send(self, batch: list[tuple[str, int | Delta]], nudge: bool) -> None:
        """One round trip. With nothing to send it asks whether Redis is there."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for run_id, item in batch:
                pipe.xadd(stream_of(run_id), entry(self._id, item), maxlen=MOST_ENTRIES, approximate=True)
            for run_id in {run_id for run_id, _ in batch}:
                pipe.expire(stream_of(run_id), EXPIRY)
            if nudge:
                pipe.xadd(self._wake, {"from": self._id}, maxlen=1)
                pipe.expire(self._wake, EXPIRY)
            if not batch and not nudge:
                pipe.ping()
            for answer in await pipe.execute(raise_on_error=False):
                if isinstance(answer, Exception) and not is_wrong_type(answer):
                    raise answer

    # -- reading ---------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """On a connection of its own: a pool makes a dead one anew without a word, and nobody would be in doubt."""
        async with contextlib.aclosing(self._redis.client()) as connection:
            await self._read_over(connection)

    async def _read_over(self, connection: Any) -> None:
        positions: dict[bytes, bytes] = {}
        doubt, pause = False, FIRST_PAUSE
        while True:
            if not self._followed:
                self._to_read.clear()
                await self._to_read.wait()
            self._changed = False
            with self._lock:
                streams = [self._wake, *map(stream_of, self._followed)]
            try:
                positions = await self._located(streams, positions, doubt)
                doubt = False
                if self._changed:
                    continue
                found = await connection.xread(positions, count=MOST_READ, block=int(BLOCK * 1000))
            except Exception as error:  # this task must outlive whatever the library raises
                self._outage.begin("reading", error)
                doubt = True
                pause = await _rest(pause)
                continue
            self._outage.end("reading")
            pause = FIRST_PAUSE
            for stream, entries in found:
                positions[stream] = entries[-1][0]
                if stream != self._wake:
                    self._pass_on(run_of(stream), entries)
            if found:
                await asyncio.sleep(LINGER)

    async def _located(
        self, streams: list[bytes], known: dict[bytes, bytes], doubt: bool
    ) -> dict[bytes, bytes]:
        """Where to read on in each stream: new ones from their end.

        In doubt, after an outage, no position may lie beyond the end: a Redis that came back empty, or a
        replica with another clock, counts from earlier, and its entries would be waited for in vain.
        """
        positions = {stream: known[stream] for stream in streams if stream in known}
        asked = streams if doubt else [stream for stream in streams if stream not in known]
        if not asked:
            return positions
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in asked:
                pipe.xrevrange(stream, count=1)
            answers = await pipe.execute(raise_on_error=False)
        for stream, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                if not is_wrong_type(answer):
                    raise answer
                positions.pop(stream, None)
                continue
            end = answer[0][0] if answer else BEGINNING
            positions[stream] = min(positions.get(stream, end), end, key=order)
        return positions

    def _pass_on(self, run_id: str, entries: list[tuple[bytes, Any]]) -> None:
        for _, fields in entries:
            item = item_of(run_id, fields, self._id)
            if item is not None:
                self._local.publish(run_id, item)


class _Outage:
    """Reading and writing fail each by itself; an outage lasts until both work, and is told of once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._failing: set[str] = set()

    def has(self, side: str) -> bool:
        return side in self._failing

    def begin(self, side: str, error: Exception) -> None:
        if not self._failing:
            logger.warning(
                "Redis at %s %s. Runs go on; followers in other processes look at the store until it is back.",
                self._where,
                problem(error),
            )
        self._failing.add(side)

    def end(self, side: str) -> None:
        if side in self._failing:
            self._failing.discard(side)
            if not self._failing:
                logger.info("Redis at %s is back.", self._where)


def _heads(items: list[tuple[str, int | Delta]]) -> list[tuple[str, int | Delta]]:
    """The newest head of each run. Deltas are dropped all together: text with holes helps nobody."""
    heads: dict[str, int | Delta] = {run_id: item for run_id, item in items if isinstance(item, int)}
    return list(heads.items())[-MOST_WAITING // 2 :]


async def _rest(pause: float) -> float:
    """Wait about `pause` seconds, not all processes alike; the next pause."""
    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
    return min(pause * 2, LONGEST_PAUSE)
