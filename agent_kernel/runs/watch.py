"""Which of an owner's runs are new, or have changed their state: what a list of runs on a screen lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from agent_kernel.errors import RunNotFound
from agent_kernel.runs.log import ALL_RUNS, SLOWEST_POLL, RunLog
from agent_kernel.runs.records import UNFINISHED, RunRow

NEWEST = 100
"""Runs that are looked at whatever their state; unfinished ones always are."""
LINGER = 0.1
"""Seconds in which changes become one look."""


async def changed_runs(log: RunLog, owner: str) -> AsyncGenerator[list[RunRow]]:
    """First an empty list, from when on nothing is missed; then the runs that changed, oldest first. Never ends."""
    with log.bus.subscribe(ALL_RUNS, deltas=False) as bell:
        known = await log.store.states(owner, NEWEST)
        yield []
        while True:
            if await bell.next(SLOWEST_POLL) is not None:
                await asyncio.sleep(LINGER)
            now = await log.store.states(owner, NEWEST)
            changed = [name for name, state in now.items() if known.get(name) != state]
            # Out of sight behind newer ones, it had to be unfinished to be seen: it is no longer.
            changed += [
                name for name, (status, _) in known.items() if name not in now and status in UNFINISHED
            ]
            known = now
            runs = []
            for name in changed:
                with suppress(RunNotFound):  # deleted meanwhile
                    runs.append(run := await log.store.get_run(name, owner))
                    known[name] = (run.status, run.reason)
            if runs:
                yield sorted(runs, key=lambda run: (run.created_ms, run.id))
