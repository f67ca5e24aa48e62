"""Schedules fire by their time zone, once, and keep to what was said about overlaps and missed times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent_kernel.errors import JobsError, RunError
from agent_kernel.events import Status, now_ms
from agent_kernel.jobs.schedules import Schedules
from agent_kernel.runs.records import Schedule
from agent_kernel.runs.store import Store, open_store
from tests.waiting import until

HOUR = 3_600_000


def ms(text: str, zone: str = "Asia/Tokyo") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


class Desk:
    """A store, a clock that can be set, and runs that are made and never worked on."""

    def __init__(self, store: Store, session: str) -> None:
        self.store = store
        self.session = session
        self.now = ms("2026-03-01T08:00")
        self.made: list[str] = []
        self.schedules = self.another()

    def another(self) -> Schedules:
        return Schedules(self.store, self.submit, now=lambda: self.now)

    async def submit(self, schedule: Schedule) -> str:
        run = await self.store.create_run(
            session_id=self.session, prompt=schedule.prompt, model="m", owner=schedule.owner
        )
        await self.store.append(run.id, [Status(status="queued", reason="schedule")])
        self.made.append(run.id)
        return run.id

    async def end(self, run_id: str) -> None:
        await self.store.append(run_id, [Status(status="completed", reason="complete")])

    async def last(self) -> str:
        return (await self.schedules.list("ada"))[0].last


@pytest.fixture
async def desk(address: str) -> AsyncIterator[Desk]:
    store = await open_store(address)
    session = await store.create_session(owner="ada", name="main", workspace="/w")
    yield Desk(store, session.id)
    await store.close()


async def test_it_fires_at_nine_in_tokyo_and_again_the_next_day(desk: Desk) -> None:
    added = await desk.schedules.add("ada", "report", "0 9 * * *", "Report.", timezone="Asia/Tokyo")
    assert added.next_ms == ms("2026-03-01T09:00")
    await desk.schedules.fire_due()
    assert desk.made == []
    desk.now = ms("2026-03-01T09:00")
    await desk.schedules.fire_due()
    await desk.schedules.fire_due()
    assert len(desk.made) == 1
    planned = (await desk.schedules.list("ada"))[0]
    assert planned.last == "queued"
    assert planned.schedule.last_run_id == desk.made[0]
    assert [t.isoformat() for t in planned.next] == [
        "2026-03-02T09:00:00+09:00",
        "2026-03-03T09:00:00+09:00",
        "2026-03-04T09:00:00+09:00",
    ]
    await desk.end(desk.made[0])
    assert await desk.last() == "completed"


async def test_it_fires_by_itself_while_a_worker_looks(desk: Desk) -> None:
    offset = ms("2026-03-01T08:59:58") - now_ms()
    schedules = Schedules(desk.store, desk.submit, now=lambda: now_ms() + offset)
    await schedules.add("ada", "report", "0 9 * * *", "Report.", timezone="Asia/Tokyo")
    schedules.start()
    await until(lambda: len(desk.made) == 1)
    await schedules.close()
    assert len(desk.made) == 1


async def test_of_many_workers_one_fires(desk: Desk) -> None:
    await desk.schedules.add("ada", "report", "hourly", "Report.")
    for _ in range(5):
        desk.now += HOUR
        await asyncio.gather(*(desk.another().fire_due() for _ in range(8)))
        await desk.end(desk.made[-1])
    assert len(desk.made) == 5


async def test_a_time_is_left_out_while_the_last_run_works(desk: Desk) -> None:
    await desk.schedules.add("ada", "report", "hourly", "Report.", overlap="skip")
    for _ in range(2):
        desk.now += HOUR
        await desk.schedules.fire_due()
    assert len(desk.made) == 1
    assert await desk.last() == f"skipped: run {desk.made[0]} was still working"
    await desk.end(desk.made[0])
    desk.now += HOUR
    await desk.schedules.fire_due()
    assert len(desk.made) == 2


async def test_or_one_more_is_started_if_so_said(desk: Desk) -> None:
    await desk.schedules.add("ada", "report", "hourly", "Report.", overlap="queue")
    for _ in range(3):
        desk.now += HOUR
        await desk.schedules.fire_due()
    assert len(desk.made) == 3


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("once", 1)])
async def test_times_without_a_worker_are_left_out_or_made_good_once(
    desk: Desk, missed: str, runs: int
) -> None:
    await desk.schedules.add("ada", "report", "hourly", "Report.", missed=missed)  # type: ignore[arg-type]
    due = desk.now + HOUR
    desk.now = due + 10 * HOUR + 5 * 60_000
    await desk.another().fire_due()
    await desk.another().fire_due()
    assert len(desk.made) == runs
    planned = (await desk.schedules.list("ada"))[0]
    assert planned.schedule.next_ms == due + 11 * HOUR
    assert planned.last == ("queued" if runs else "missed: no worker was there at 2026-03-01T00:00:00+00:00")
    desk.now = due + 11 * HOUR
    for run in desk.made:
        await desk.end(run)
    await desk.schedules.fire_due()
    assert len(desk.made) == runs + 1


async def test_a_little_late_is_not_missed(desk: Desk) -> None:
    await desk.schedules.add("ada", "report", "hourly", "Report.")
    desk.now += HOUR + 30_000
    await desk.schedules.fire_due()
    assert len(desk.made) == 1


async def test_paused_it_does_nothing_and_misses_nothing(desk: Desk) -> None:
    added = await desk.schedules.add("ada", "report", "hourly", "Report.", missed="once")
    await desk.schedules.pause("ada", "report")
    desk.now += 5 * HOUR
    await desk.schedules.fire_due()
    assert (await desk.schedules.list("ada"))[0].next == ()
    await desk.schedules.resume("ada", added.id)
    await desk.schedules.fire_due()
    assert desk.made == []
    desk.now += HOUR
    await desk.schedules.fire_due()
    assert len(desk.made) == 1


async def test_deleted_it_is_gone_and_its_runs_stay(desk: Desk) -> None:
    await desk.schedules.add("ada", "report", "hourly", "Report.")
    desk.now += HOUR
    await desk.schedules.fire_due()
    await desk.schedules.delete("ada", "report")
    assert await desk.schedules.list("ada") == []
    assert (await desk.store.get_run(desk.made[0])).prompt == "Report."
    desk.now += HOUR
    await desk.schedules.fire_due()
    assert len(desk.made) == 1


async def test_what_cannot_start_says_why_and_keeps_no_other_from_starting(desk: Desk) -> None:
    async def submit(schedule: Schedule) -> str:
        if schedule.name == "a":
            raise RunError("The prompt is empty.", hint="Say what the agent should do.")
        if schedule.name == "b":
            raise ZeroDivisionError("by zero")
        return await desk.submit(schedule)

    schedules = Schedules(desk.store, submit, now=lambda: desk.now)
    for name in "abc":
        await schedules.add("ada", name, "hourly", "Report.")
    desk.now += HOUR
    await schedules.fire_due()
    assert [planned.last for planned in await schedules.list("ada")] == [
        "failed: The prompt is empty. Say what the agent should do.",
        "failed: ZeroDivisionError: by zero",
        "queued",
    ]


async def test_owners_see_only_their_own_and_names_are_theirs(desk: Desk) -> None:
    added = await desk.schedules.add("ada", "report", "daily", "Report.", options={"permission": "plan"})
    await desk.schedules.add("bob", "report", "daily", "Report.")
    with pytest.raises(JobsError, match="There is a schedule 'report' already"):
        await desk.schedules.add("ada", "report", "daily", "Report.")
    for key in (added.id, "nothing"):
        with pytest.raises(JobsError, match="There is no schedule"):
            await desk.schedules.delete("bob", key)
    listed = await desk.schedules.list("ada")
    assert [planned.schedule for planned in listed] == [added]
    assert listed[0].schedule.options == {"permission": "plan"}


async def test_what_makes_no_sense_is_refused_before_it_is_stored(desk: Desk) -> None:
    add = desk.schedules.add
    for bad in (
        add("ada", "x", "sometimes", "Report."),
        add("ada", "x", "daily", "Report.", timezone="Mars/Olympus"),
        add("ada", "x", "daily", "Report.", overlap="maybe"),  # type: ignore[arg-type]
        add("ada", "x", "daily", "Report.", missed="all"),  # type: ignore[arg-type]
        add("ada", "x", "daily", "  "),
        add("ada", "", "daily", "Report."),
        add("ada", "x" * 201, "daily", "Report."),
    ):
        with pytest.raises(JobsError):
            await bad
    assert await desk.schedules.list("ada") == []
