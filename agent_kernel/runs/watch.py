"""Which of an owner's runs are new, or have changed their state: what a list of runs on a screen lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from agent_kernel.errors import RunNotFound
from agent_kernel.events import FINAL_STATUSES
from agent_kernel.runs.log import ALL_RUNS, SLOWEST_POLL, RunLog
from agent_kernel.runs.records import UNFINISHED, RunRow

NEWEST = 100
"""Runs that are looked at whatever their state; unfinished ones always are."""
LINGER = 0.1
"""Seconds in which changes become one look."""


async def changed_runs(log: RunLog, owner: str) -> AsyncGenerator[list[RunRow]]:
    """First an empty list, from when on nothing is missed; then the runs that changed, oldest first. Never ends."""
    with log.bus.subscribe(ALL_RUNS, deltas=False) as bell:
        known = await _look(log, owner)
        yield []
        while True:
            if await bell.next(SLOWEST_POLL) is not None:
                await asyncio.sleep(LINGER)
            now = await _look(log, owner)
            gone = [run for run in known.values() if run.id not in now and run.status not in FINAL_STATUSES]
            for run in gone:
                try:
                    now[run.id] = await log.store.get_run(run.id, owner)
                except RunNotFound:  # deleted meanwhile
                    continue
            changed = [run for run in now.values() if _state(run) != _state(known.get(run.id))]
            known = now
            if changed:
                yield sorted(changed, key=lambda run: (run.created_ms, run.id))


async def _look(log: RunLog, owner: str) -> dict[str, RunRow]:
    newest = await log.store.list_runs(owner=owner, limit=NEWEST)
    found = {run.id: run for run in newest}
    if len(newest) == NEWEST:
        for run in await log.store.list_runs(owner=owner, status=UNFINISHED, limit=None):
            found[run.id] = run
    return found


def _state(run: RunRow | None) -> tuple[str, str] | None:
    return (run.status, run.reason) if run else None
