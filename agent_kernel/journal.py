"""One run's log as its runner sees it: everything in order, its own events and other people's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent_kernel.errors import StoreError
from agent_kernel.events import FINAL_STATUSES, Delta, Event, Status
from agent_kernel.folds import RunState
from agent_kernel.runs.log import LOOK_AGAIN, RunLog

logger = logging.getLogger(__name__)


class RunJournal:
    """Appends with the run's fencing number, and takes in what others appended.

    `events` is the run so far, in order and without gaps, `state` their fold; `earlier` are the runs of the
    session before it.
    `others` counts the events that somebody else appended.
    """

    def __init__(self, log: RunLog, run_id: str, fence: int, earlier: list[Event], events: list[Event]):
        self.log = log
        self.run_id = run_id
        self.fence = fence
        self.earlier = earlier
        self.events = events
        self.state = RunState(events)
        self.others = 0
        self.closed = False
        self._held: list[Event] = []
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def head(self) -> int:
        return self.events[-1].seq if self.events else 0

    def session_events(self) -> list[Event]:
        return [*self.earlier, *self.events, *self._held]

    async def append(self, *events: Event) -> None:
        # Shielded: a stop must not lose track of what is already on its way to the store.
        await asyncio.shield(asyncio.ensure_future(self._append(events)))

    async def _append(self, events: tuple[Event, ...]) -> None:
        async with self._lock:
            held, self._held = self._held, []
            stored = await self.log.append(self.run_id, *held, *events, fence=self.fence)
            if self.closed:
                return
            if stored and stored[0].seq != self.head + 1:
                everything = await self.log.read(self.run_id, after=self.head)
                self.others += len(everything) - len(stored)
                stored = everything
            self._take(stored)
        await self._announce()

    def _take(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            self.state.add(event)

    def hold(self, *events: Event) -> None:
        # They go into the next request before they are stored: redacted now, so that both are the same.
        self._held += self.log.redacted(self.run_id, events)

    def held(self) -> list[Event]:
        return list(self._held)

    async def flush(self) -> None:
        """Store what is held."""
        if self._held:
            await self.append()

    def publish(self, delta: Delta) -> None:
        self.log.publish(self.run_id, delta)

    # -- other people's events ------------------------------------------------------------------------

    def watch(self, on_cancel: Callable[[], object]) -> None:
        """Take in others' events from now on; `on_cancel` is called when somebody stops the run."""
        self._watcher = asyncio.create_task(self._watch(on_cancel))

    async def _watch(self, on_cancel: Callable[[], object]) -> None:
        stopped = False
        while True:
            try:
                heads = self.log.heads(self.run_id, after=self.head)
                # The state is asked, not what was just read: an append of our own may have taken the cancel in.
                while not stopped and self.state.control != "cancel":
                    await self.catch_up(await anext(heads))
                if not stopped:
                    stopped = True
                    on_cancel()
                async for head in heads:
                    await self.catch_up(head)
            except StoreError as error:
                # Who stops looking here would wait for answers and results for ever.
                logger.warning("run %s: looking for what others appended failed: %s", self.run_id, error)
                await asyncio.sleep(LOOK_AGAIN)

    async def catch_up(self, head: int | None = None) -> list[Event]:
        """What others appended up to now; nothing is read when `head` is known already."""
        async with self._lock:
            if head is not None and head <= self.head:
                return []
            new = await self.log.read(self.run_id, after=self.head)
            self._take(new)
            self.others += len(new)
        await self._announce()
        return new

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Until `predicate()` of the events holds; looked at after each new event."""
        async with self._changed:
            await self._changed.wait_for(predicate)

    async def checkpoint(self) -> None:
        """While somebody has paused the run, wait here; a resume (or a cancel) goes on."""
        if not self._paused():
            return
        await self.append(Status(status="paused", reason="paused"))
        await self.wait_for(lambda: not self._paused())
        await self.append(Status(status="running", reason="resumed"))

    def _paused(self) -> bool:
        return self.state.control == "pause"

    def final(self) -> bool:
        return self.state.status.status in FINAL_STATUSES

    async def close(self) -> None:
        """Nothing is asked of it any more. The log, which may be of a long conversation, is let go at once and not when
        garbage is looked for: whoever worked on the run refers to its journal, and the journal to them."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self.closed, self.earlier, self.events, self.state = True, [], [], RunState()
