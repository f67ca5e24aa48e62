"""The log of runs: the store is the truth, the bus is its doorbell."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

from agent_kernel.events import FINAL_STATUSES, Delta, Event, Status
from agent_kernel.runs.bus import Bus, Item
from agent_kernel.runs.store import PAGE, Store

ALL_RUNS = "all"
"""Where the bus rings when any run has changed its state. No run has such an id."""
POLL, SLOWEST_POLL = 0.5, 3.0
"""Seconds between looks at the store, for what other processes append."""
LOOK_AGAIN = 1.0
"""Seconds until a store that failed is asked again."""


class RunLog:
    """Append to runs, read them and follow them. `redact` is applied to everything that comes in."""

    def __init__(self, store: Store, bus: Bus, redact: Callable[[str, Event], Event] | None = None) -> None:
        self.store = store
        self.bus = bus
        self._redact = redact
        self.stored: Callable[[str, list[Event]], None] | None = None
        """Told of whatever was appended through this log, for those who watch over runs."""

    def redacted(self, run_id: str, events: Iterable[Event]) -> tuple[Event, ...]:
        """The events as they may be stored, shown, and sent to a model."""
        if self._redact is None:
            return tuple(events)
        return tuple(self._redact(run_id, event) for event in events)

    async def append(self, run_id: str, *events: Event, fence: int | None = None) -> list[Event]:
        """Store events, then ring. See `Store.append`."""
        stored = await self.store.append(run_id, self.redacted(run_id, events), fence)
        if stored:
            if self.stored is not None:
                self.stored(run_id, stored)
            self.bus.publish(run_id, tuple(stored))
            if Status in map(type, stored):
                self.bus.publish(ALL_RUNS, stored[-1].seq)
        return stored

    def publish(self, run_id: str, delta: Delta) -> None:
        """Show text that is still being written; nothing is stored."""
        item = delta.model_copy(update={"run_id": run_id})
        if self._redact is not None:
            redacted = self._redact(run_id, item)
            assert isinstance(redacted, Delta)
            item = redacted
        if item.text or item.tool:
            self.bus.publish(run_id, item)

    async def read(self, run_id: str, after: int = 0, limit: int | None = None) -> list[Event]:
        return await self.store.read(run_id, after, limit)

    async def heads(self, run_id: str, after: int = 0) -> AsyncIterator[int]:
        """The run's head each time it may have grown, wherever the append was made. Never ends."""
        with self.bus.subscribe(run_id, deltas=False) as bell:
            head, pause = after, POLL
            while True:
                match await bell.next(pause):
                    case int():  # other processes can write to a bus: only the store says where the head is
                        pause = POLL
                        now = await self.store.head(run_id)
                    case (*_, Event(seq=now)):
                        pause = POLL
                    case _:
                        pause = min(pause * 1.5, SLOWEST_POLL)
                        now = await self.store.head(run_id)
                if now > head:
                    head = now
                    yield head

    async def follow(
        self, run_id: str, after: int = 0, *, deltas: bool = True, until_final: bool = True
    ) -> AsyncGenerator[Event]:
        """Replay, then wait: no gap and no double. Deltas of a turn come only before its stored blocks.

        Ends after a final status (unless `until_final` is false).
        """
        with self.bus.subscribe(run_id, deltas=deltas) as bell:
            head, turn, pause = after, 0, POLL
            item: Item | None = after + 1  # look at once
            while True:
                if isinstance(item, Delta):
                    if item.kind == "output" or item.turn > turn:
                        yield item
                elif item is None or isinstance(item, int) or item[-1].seq > head:
                    grown = False
                    async for event in self._new(run_id, head, item):
                        head, grown = event.seq, True
                        if event.type == "context_update":  # the turn's blocks are stored with it
                            turn = max(turn, event.turn)
                        yield event
                        if until_final and isinstance(event, Status) and event.status in FINAL_STATUSES:
                            return
                    pause = POLL if grown else min(pause * 1.5, SLOWEST_POLL)
                item = await bell.next(pause)

    async def _new(self, run_id: str, head: int, item: Item | None) -> AsyncIterator[Event]:
        """What came after `head`: the events at hand when they follow on it, else read from the store."""
        if isinstance(item, tuple) and item[0].seq == head + 1:
            for event in item:
                yield event
        elif not (isinstance(item, int) and item <= head):
            async for event in self._pages(run_id, head):
                yield event

    async def _pages(self, run_id: str, after: int) -> AsyncIterator[Event]:
        """All events after `after`, a page at a time, so that a long log is never held whole."""
        while True:
            page = await self.store.read(run_id, after, PAGE)
            for event in page:
                yield event
            if len(page) < PAGE:
                return
            after = page[-1].seq
