"""Prompts that start by the clock.

A schedule is a row beside the runs. Every worker looks once a second what is due; the one that moves a row on to
its next time starts it, so a time fires at most once however many workers there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, get_args

from agent_kernel.errors import AgentKernelError, JobsError, RunNotFound
from agent_kernel.events import now_ms
from agent_kernel.jobs.cron import cron_line, iso, next_ms, upcoming
from agent_kernel.runs import schedules as rows
from agent_kernel.runs.records import Planned, Schedule, new_id
from agent_kernel.runs.store import Store

Overlap = Literal["skip", "queue"]
"""What to do while the last run still works: leave this time out, or start one more."""
Missed = Literal["skip", "once"]
"""What to do about times at which no worker was there: nothing, or one run for all of them."""
Submit = Callable[[Schedule], Awaitable[str]]
TICK = 1.0
GRACE_MS = 60_000
"""What is later than this was missed; less is a worker that was busy."""
WORKING = ("queued", "running", "waiting")
logger = logging.getLogger(__name__)


class Schedules:
    """`submit(schedule)` starts a run and gives its id. `now` is the time in milliseconds since 1970."""

    def __init__(self, store: Store, submit: Submit, *, now: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._submit = submit
        self._now = now
        self._task: asyncio.Task[None] | None = None

    # -- what people do -----------------------------------------------------------------------------------

    async def add(
        self,
        owner: str,
        name: str,
        when: str,
        prompt: str,
        *,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        missed: Missed = "skip",
        options: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """`when`: hourly, daily, weekly, or five fields of cron by the clock of `timezone`. Raises JobsError."""
        for value, known, what in ((overlap, Overlap, "overlap"), (missed, Missed, "missed")):
            if value not in get_args(known):
                raise JobsError(f"{what} = {value!r} is not one of {', '.join(get_args(known))}.")
        if not name.strip() or len(name) > 200 or not prompt.strip():
            raise JobsError("A schedule needs a prompt, and a name of at most 200 characters.")
        line, now = cron_line(when), self._now()
        schedule = Schedule(
            id=new_id("c"), owner=owner, name=name, cron=line, timezone=timezone, prompt=prompt,
            options=dict(options or {}), overlap=overlap, missed=missed, created_ms=now,
            next_ms=next_ms(line, timezone, now),
        )  # fmt: skip
        await rows.add_schedule(self._store, schedule)
        return schedule

    async def list(self, owner: str, count: int = 3) -> list[Planned]:
        """By name, each with its next `count` times."""
        return [
            await self._planned(schedule, count) for schedule in await rows.list_schedules(self._store, owner)
        ]

    async def pause(self, owner: str, key: str) -> None:
        """By name or id. Times that pass while it is paused are not missed, they do not exist."""
        schedule = await rows.find_schedule(self._store, owner, key)
        await rows.change_schedule(self._store, schedule.id, paused=True, next_ms=None)

    async def resume(self, owner: str, key: str) -> None:
        schedule = await rows.find_schedule(self._store, owner, key)
        if schedule.paused:
            due = next_ms(schedule.cron, schedule.timezone, self._now())
            await rows.change_schedule(self._store, schedule.id, paused=False, next_ms=due)

    async def delete(self, owner: str, key: str) -> None:
        """Its runs stay."""
        schedule = await rows.find_schedule(self._store, owner, key)
        await rows.delete_schedule(self._store, schedule.id)

    # -- what workers do ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look once a second what is due."""
        self._task = asyncio.create_task(self._look())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def fire_due(self) -> None:
        """Start everything that is due and that no other worker has started."""
        for schedule in await rows.due_schedules(self._store, self._now()):
            await self._fire(schedule)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.fire_due()
            except AgentKernelError as error:
                logger.warning("looking for due schedules failed: %s", error)
            except Exception:
                logger.exception("looking for due schedules failed")

    async def _fire(self, schedule: Schedule) -> None:
        now = self._now()
        try:
            following: int | None = next_ms(schedule.cron, schedule.timezone, now)
        except JobsError as error:  # its time zone is gone, or no such day is left
            values = {"paused": True, "last_ms": now, "last_result": f"paused: {error}"}
            await rows.move_on(self._store, schedule, next_ms=None, **values)
            return
        if await rows.move_on(self._store, schedule, next_ms=following, last_ms=now, last_result="starting"):
            await rows.change_schedule(self._store, schedule.id, **await self._start(schedule, now))

    async def _start(self, schedule: Schedule, now: int) -> dict[str, Any]:
        """What to note of this time."""
        assert schedule.next_ms is not None
        if schedule.missed == "skip" and now - schedule.next_ms > GRACE_MS:
            return {"last_result": f"missed: no worker was there at {iso(schedule.next_ms)}"}
        if schedule.overlap == "skip" and await self._last_status(schedule) in WORKING:
            return {"last_result": f"skipped: run {schedule.last_run_id} was still working"}
        try:
            return {"last_run_id": await self._submit(schedule), "last_result": "started"}
        except AgentKernelError as error:
            return {"last_result": f"failed: {error}"}
        except Exception as error:
            logger.exception("starting schedule %s failed", schedule.name)
            return {"last_result": f"failed: {type(error).__name__}: {error}"}

    async def _last_status(self, schedule: Schedule) -> str:
        if schedule.last_run_id is None:
            return ""
        try:
            return (await self._store.get_run(schedule.last_run_id)).status
        except RunNotFound:
            return ""

    async def _planned(self, schedule: Schedule, count: int) -> Planned:
        times = () if schedule.paused else upcoming(schedule.cron, schedule.timezone, self._now(), count)
        started = schedule.last_result == "started"
        last = (await self._last_status(schedule) if started else "") or schedule.last_result
        return Planned(schedule, tuple(times), last)
