"""The doorbell: says that a run's log has grown, and carries deltas. It may lose both; the log does not.

Within one process it also carries the events just stored, so that a follower who missed nothing need not read them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

from agent_kernel.events import Delta, Event

Item: TypeAlias = int | tuple[Event, ...] | Delta
"""A run's head (the doorbell), the events that made it so, or a delta."""
MOST_WAITING = 2_000


class Subscription(Protocol):
    async def next(self, timeout: float | None = None) -> Item | None:
        """The next item; None after `timeout` seconds without one."""
        ...


class Bus(Protocol):
    def publish(self, run_id: str, item: Item) -> None: ...

    def subscribe(self, run_id: str, *, deltas: bool = True) -> AbstractContextManager[Subscription]: ...

    async def check(self) -> None:
        """Raises StoreError when it cannot carry anything."""

    async def close(self) -> None:
        """Let go of what is outside this process."""


class _Local:
    """One subscriber. A slow one loses deltas; of doorbells only the newest matters."""

    def __init__(self, deltas: bool) -> None:
        self._deltas = deltas
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._ready = asyncio.Event()
        self._lock = threading.Lock()

    def push(self, item: Item) -> None:
        if not self._deltas and isinstance(item, Delta):
            return
        with self._lock:
            waiting = bool(self._items)
            if len(self._items) >= MOST_WAITING:
                if isinstance(item, Delta):
                    return
                item = item if isinstance(item, int) else item[-1].seq
            if isinstance(item, int) and waiting and isinstance(self._items[-1], int):
                self._items[-1] = item
                return
            self._items.append(item)
        if not waiting:
            self._wake()

    def _wake(self) -> None:
        try:
            if asyncio.get_running_loop() is self._loop:
                self._ready.set()
                return
        except RuntimeError:
            pass
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # that loop has ended, and its subscriber with it
            return

    async def next(self, timeout: float | None = None) -> Item | None:
        while True:
            with self._lock:
                if self._items:
                    return self._items.popleft()
                self._ready.clear()
            try:
                async with asyncio.timeout(timeout):  # `wait_for` can swallow a cancellation (3.11)
                    await self._ready.wait()
            except TimeoutError:
                return None


class LocalBus:
    """Within this process, across its threads and loops."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[str, set[_Local]] = defaultdict(set)
        self._lock = threading.Lock()

    def publish(self, run_id: str, item: Item) -> None:
        """Never blocks."""
        for subscriber in tuple(self._subscribers.get(run_id, ())):
            subscriber.push(item)

    @contextmanager
    def subscribe(self, run_id: str, *, deltas: bool = True) -> Iterator[Subscription]:
        subscriber = _Local(deltas)
        with self._lock:
            self._subscribers[run_id] = {*self._subscribers[run_id], subscriber}
        try:
            yield subscriber
        finally:
            with self._lock:
                left = self._subscribers[run_id] - {subscriber}
                if left:
                    self._subscribers[run_id] = left
                else:
                    del self._subscribers[run_id]

    async def check(self) -> None:
        """There is nothing outside that could fail."""

    async def close(self) -> None:
        """There is nothing outside to let go of."""
