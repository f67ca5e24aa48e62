"""Follows a run for a view: events in batches, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from agent_kernel.client import Run
from agent_kernel.events import Delta, Event

INTERVAL = 0.05
"""Seconds between two batches at least: front ends drop messages above about 300 a second."""


class View(Protocol):
    """What shows a run. All calls come from the event loop's thread."""

    def attach(self, run: Run) -> None:
        """The run exists now; its events follow."""
        ...

    async def show(self, events: Sequence[Event]) -> None:
        """New events, in order, deltas among them."""
        ...

    def finish(self, events: Sequence[Event]) -> None:
        """The run has settled with these stored events; leave something that needs no kernel."""
        ...

    def fail(self, message: str) -> None:
        """There will be no (more) events."""
        ...


@runtime_checkable
class Patient(Protocol):
    """A view that waits for the person before there is a run."""

    async def set_up(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Until a model is set up, or the person goes on without."""
        ...


async def follow(run: Run, view: View, earlier: Sequence[Event] = ()) -> list[Event]:
    """Show the run in the view until it settles; its stored events.

    `earlier` are those up to where a resumed run settled before; without them its replay would end there.
    """
    view.attach(run)
    stored = list(earlier)
    if stored:
        await view.show(stored)
    async for batch in batches(run.follow(after=stored[-1].seq if stored else 0, deltas=True)):
        stored += [event for event in batch if event.seq]
        await view.show(batch)
    view.finish(stored)
    if stored:
        await run.reach(stored[-1].seq)  # it reads the log on its own, and is to know what the view has shown
    return stored


async def batches(events: AsyncIterable[Event], interval: float = INTERVAL) -> AsyncIterator[list[Event]]:
    """Events as they come, at most one batch per `interval` seconds; the first comes at once."""
    held: list[Event] = []
    news = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def collect() -> None:
        try:
            async for event in events:
                held.append(event)
                news.set()
        finally:
            news.set()

    collector = asyncio.create_task(collect())
    last = float("-inf")
    try:
        while not collector.done() or held:
            await news.wait()
            await asyncio.sleep(max(0.0, last + interval - loop.time()))
            news.clear()
            batch, held[:] = merged(held), []
            last = loop.time()
            if batch:
                yield batch
            if collector.done():
                news.set()
        await collector
    finally:
        collector.cancel()


def merged(events: Sequence[Event]) -> list[Event]:
    """The same events, with deltas of one block that follow each other as one."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if (
            isinstance(event, Delta)
            and isinstance(last, Delta)
            and (event.kind, event.id, event.turn) == (last.kind, last.id, last.turn)
        ):
            found[-1] = last.model_copy(update={"text": last.text + event.text})
        else:
            found.append(event)
    return found
