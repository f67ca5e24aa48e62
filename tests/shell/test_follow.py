"""Batches of events for a view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent_kernel.events import Delta, Event, Message
from agent_kernel.shell.follow import INTERVAL, batches, merged


def delta(text: str, block: str = "0") -> Delta:
    return Delta(kind="text", id=block, text=text, turn=1)


def message(seq: int) -> Event:
    return Message(role="assistant", text=str(seq)).numbered("run", seq)


def test_deltas_of_one_block_become_one() -> None:
    events = merged([delta("a"), delta("b"), delta("c", "1"), message(1), delta("d")])
    assert [getattr(event, "text", "") for event in events] == ["ab", "c", "1", "d"]


async def test_a_burst_is_few_batches_without_a_loss() -> None:
    async def burst() -> AsyncIterator[Event]:
        for seq in range(1, 1001):
            yield message(seq)
            if seq % 100 == 0:
                await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    since = loop.time()
    found = [batch async for batch in batches(burst())]
    most = 2 + (loop.time() - since) / INTERVAL  # the first comes at once, and one may come at the end
    assert [event.seq for batch in found for event in batch] == list(range(1, 1001))
    assert len(found) <= most


async def test_a_single_event_does_not_wait_for_more() -> None:
    more = asyncio.Event()

    async def slow() -> AsyncIterator[Event]:
        yield message(1)
        await more.wait()
        yield message(2)

    found = batches(slow())
    assert [event.seq for event in await anext(found)] == [1]
    more.set()
    assert [event.seq for event in await anext(found)] == [2]
    with pytest.raises(StopAsyncIteration):
        await anext(found)


async def test_an_error_of_the_source_comes_after_what_was_read() -> None:
    async def broken() -> AsyncIterator[Event]:
        yield message(1)
        raise ValueError("gone")

    found = batches(broken())
    assert len(await anext(found)) == 1
    with pytest.raises(ValueError, match="gone"):
        await anext(found)
