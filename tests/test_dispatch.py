"""Hosted runs: at once while there is room, one of a session at a time, and on with what the dead left."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Update, update

from agent_kernel.account import Account
from agent_kernel.app import App, open_app
from agent_kernel.dispatch import Dispatcher
from agent_kernel.errors import AlreadyAppended, RunBusy, RunError
from agent_kernel.events import (
    FINAL_STATUSES,
    ApprovalRequest,
    Control,
    Message,
    Status,
    ToolCall,
    ToolResult,
    now_ms,
)
from agent_kernel.history import INTERRUPTED
from agent_kernel.jobs.limits import Limits
from agent_kernel.jobs.transact import DONE
from agent_kernel.journal import RunJournal
from agent_kernel.places import Places
from agent_kernel.runner import STOPPED, _end, is_dead, worker_name
from agent_kernel.runs.executors import Executors
from agent_kernel.runs.models import EVENT, SESSION
from agent_kernel.runs.records import RunRow, Session
from agent_kernel.runs.store import DAY_MS
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from agent_kernel.tools.base import AttachedKernel
from tests.jobs.conftest import change_queue
from tests.waiting import PATIENCE


@pytest.fixture
async def app(settings: Settings, address: str) -> AsyncIterator[App]:
    url = address if address.startswith("postgres") else ""
    opened = await open_app(replace(settings, database_url=url))
    yield opened
    await opened.close()


@pytest.fixture
async def dispatcher(app: App) -> AsyncIterator[Dispatcher]:
    started = Dispatcher(app, limits=Limits(per_worker=2, per_owner=2, starts_per_second=1000))
    await started.start()
    yield started
    await started.close()


async def submitted(app: App, workspace: Path, number: int, *, sessions: int, **options: Any) -> list[RunRow]:
    account = Account(app)
    found = []
    for index in range(number):
        session = await account.session(f"s{index % sessions}", workspace)
        settings = app.settings.with_overrides("test", **options)
        found.append(await account.submit(session, f"Prompt {index}", settings, hosted=True))
    return found


async def ended(app: App, runs: list[RunRow], seconds: float = PATIENCE) -> list[RunRow]:
    async with asyncio.timeout(seconds):
        while True:
            rows = [await app.store.get_run(run.id) for run in runs]
            if all(row.status in FINAL_STATUSES for row in rows):
                return rows
            await asyncio.sleep(0.02)


async def most_at_once(app: App, runs: list[RunRow]) -> int:
    """How many were ever running together, by their events."""
    changes = []
    for run in runs:
        stamps = [e.timestamp for e in await app.log.read(run.id)]
        changes += [(stamps[1], 1), (stamps[-1], -1)]
    now = most = 0
    for _, change in sorted(changes, key=lambda change: (change[0], change[1])):
        now += change
        most = max(most, now)
    return most


async def test_more_runs_than_there_is_room_for_wait_and_all_are_done(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    for _ in range(8):
        api.add([Stall(0.1), Text("Done.")])
    runs = await submitted(app, workspace, 8, sessions=8)
    rows = await ended(app, runs)
    assert {row.status for row in rows} == {"completed"}
    assert await most_at_once(app, runs) <= 2


async def test_the_runs_of_a_session_come_one_after_the_other_in_order(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add(*[[Text(f"Answer {number}.")] for number in range(5)])
    runs = await submitted(app, workspace, 5, sessions=1)
    await ended(app, runs)
    assert await most_at_once(app, runs) == 1
    asked = [str(body["messages"][-1]["content"]) for body in api.bodies]
    assert [f"Prompt {number}" in text for number, text in enumerate(asked)] == [True] * 5


async def test_runs_that_wait_for_a_person_leave_room_for_others(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add(*[[ToolUse("bash", {"command": "true"}, id="c")] for _ in range(3)])
    asking = await submitted(app, workspace, 3, sessions=3, permission="ask")
    async with asyncio.timeout(PATIENCE):
        while [(await app.store.get_run(r.id)).status for r in asking] != ["waiting"] * 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    api.add([Text("Quick.")])
    session = await Account(app).session("other", workspace)
    quick = await Account(app).submit(session, "Quick", app.settings, hosted=True)
    assert (await ended(app, [quick]))[0].status == "completed"
    for run in asking:
        await Account(app).control(run.id, "cancel")
    assert {row.status for row in await ended(app, asking)} == {"cancelled"}


async def test_a_queued_run_is_cancelled_before_it_begins(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([Stall(10 * PATIENCE), Text("Never.")])
    first, second = await submitted(app, workspace, 2, sessions=1)
    await Account(app).control(second.id, "cancel")
    assert (await ended(app, [second]))[0].status == "cancelled"
    await Account(app).control(first.id, "cancel")
    await ended(app, [first])
    assert not any("Prompt 1" in str(body) for body in api.bodies)


async def worked_on(app: App, workspace: Path) -> tuple[RunRow, int]:
    """A run that somebody who lives works on, and that is about to come to rest; its fence."""
    session = await Account(app).session("main", workspace)
    row = await app.store.create_run(session_id=session.id, prompt="x", model="scripted", owner=session.owner)
    fence = await app.store.claim(row.id, worker_name())
    await app.log.append(row.id, Status(status="running", reason="thinking"))
    return row, fence


async def test_a_stop_that_comes_while_who_paused_a_run_still_tidies_up_stops_it(
    app: App, workspace: Path
) -> None:
    row, fence = await worked_on(app, workspace)
    await app.log.append(row.id, Status(status="paused", reason="max_turns"), fence=fence)
    stopping = asyncio.create_task(Account(app).control(row.id, "cancel"))
    while not any(isinstance(event, Control) for event in await app.log.read(row.id)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await app.store.release(row.id, fence)
    await stopping
    assert (await app.store.get_run(row.id)).status == "cancelled"


async def test_a_stop_that_comes_between_the_last_step_and_the_pause_stops_the_run(
    app: App, workspace: Path
) -> None:
    row, fence = await worked_on(app, workspace)
    journal = RunJournal(app.log, row.id, fence, [], await app.log.read(row.id))
    await Account(app).control(row.id, "cancel")  # its work is done: there is nothing left to be cancelled
    await _end(journal, "paused", "max_turns", STOPPED)
    assert (await app.store.get_run(row.id)).status == "cancelled"


class Meanwhile(Places):
    """Somebody goes on with a session while its sandbox is being deleted."""

    submit: Callable[[], Awaitable[RunRow]]

    async def forget(self, session: Session) -> None:
        await super().forget(session)
        await self.submit()


async def test_a_prompt_that_comes_while_its_session_is_being_deleted_keeps_it(
    app: App, api: ScriptedMessages, workspace: Path
) -> None:
    account = Account(app)
    session = await account.session("main", workspace)
    app.places = places = Meanwhile(app.settings, app.store, hide=app.redactor.keep)
    places.submit = partial(account.submit, session, "Go on", app.settings)
    api.add([Text("Done.")])
    with pytest.raises(RunBusy, match="meanwhile"):
        await account.delete_session(session.id)
    assert (await ended(app, await account.list_runs(session.id)))[0].status == "completed"


async def test_a_session_that_is_used_again_since_it_was_found_unused_is_kept(
    app: App, api: ScriptedMessages, workspace: Path
) -> None:
    account = Account(app)
    first, second = [await account.session(name, workspace) for name in ("first", "second")]
    for days, session in ((4, first), (3, second)):
        await app.store.writer.do(partial(_last_used, session, now_ms() - days * DAY_MS))
    app.settings = replace(app.settings, retention_days=2)
    app.places = places = Meanwhile(app.settings, app.store, hide=app.redactor.keep)
    places.submit = partial(account.submit, second, "Go on", app.settings)
    api.add([Text("Done.")])
    assert await Dispatcher(app).forget_unused() == 1
    assert [session.id for session in await account.list_sessions()] == [second.id]
    assert (await ended(app, await account.list_runs(second.id)))[0].status == "completed"


def _last_used(session: Session, at: int, connection: Connection) -> None:
    connection.execute(update(SESSION).where(SESSION.c.id == session.id).values(updated_ms=at))


def test_who_is_dead_is_told_by_more_than_a_number() -> None:
    me = worker_name()
    host, pid, _ = me.split("/")
    assert not is_dead(me)
    assert is_dead(f"{host}/{pid}/abc.1"), "its number is another process's by now"
    with subprocess.Popen(["true"]) as unburied:
        os.waitid(os.P_PID, unburied.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(f"{host}/{unburied.pid}/abc")
    assert is_dead(f"{host}/{unburied.pid}/abc.1")
    assert not is_dead(f"elsewhere/{unburied.pid}/abc.1")


async def test_what_a_dead_process_left_is_gone_on_with(
    app: App, api: ScriptedMessages, workspace: Path
) -> None:
    account = Account(app)
    session = await account.session("main", workspace)
    row = await app.store.create_run(
        session_id=session.id, prompt="Left behind", model="scripted", owner=account.owner,
        options={"hosted": True, "interactive": False},
    )  # fmt: skip
    await app.store.claim(row.id, "elsewhere/1/gone", 1)
    api.add([Text("Found.")])
    dispatcher = Dispatcher(app)
    await asyncio.sleep(0.01)
    assert not is_dead("elsewhere/1/gone"), "of another host nobody knows before the lease has ended"
    await app.store.release(row.id, 1)
    await dispatcher.start()
    assert (await ended(app, [row]))[0].status == "completed"
    await dispatcher.close()


async def test_runs_that_are_gone_on_with_or_forked_wait_for_room_too(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    turn = [ToolUse("bash", {"command": "true"})]
    api.add(*[turn for _ in range(4)])
    account = Account(app)
    paused = await submitted(app, workspace, 4, sessions=4, max_turns=1)
    async with asyncio.timeout(PATIENCE):
        while {(await app.store.get_run(r.id)).status for r in paused} != {"paused"}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    for _ in range(8):
        api.add([Stall(0.1), Text("On.")])
    more = app.settings.with_overrides("test", max_turns=50)
    heads = {run.id: (await app.store.get_run(run.id)).head for run in paused}
    for run in paused:
        await account.resume(run.id, more)
    copies = [await account.fork(run.id, heads[run.id], "Another way", settings=more) for run in paused]
    rows = await ended(app, [*paused, *copies])
    assert {row.status for row in rows} == {"completed"}
    assert {row.options["max_turns"] for row in rows} == {50}, "whoever goes on with them knows"
    changes = []
    for run in [*paused, *copies]:
        events = [e for e in await app.log.read(run.id, after=heads.get(run.id, 0)) if isinstance(e, Status)]
        started = [e.timestamp for e in events if e.reason == "starting"]
        changes += [(started[-1], 1), (events[-1].timestamp, -1)]
    at_once = [sum(step for _, step in sorted(changes)[:number]) for number in range(len(changes) + 1)]
    assert max(at_once) <= 2


async def test_a_run_that_is_gone_on_with_keeps_to_what_was_said_then(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([ToolUse("bash", {"command": "true"})], [Text("On.")])
    (run,) = await submitted(app, workspace, 1, sessions=1, max_turns=1)
    async with asyncio.timeout(PATIENCE):
        while (await app.store.get_run(run.id)).status != "paused":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await Account(app).resume(run.id, app.settings.with_overrides("test", model="other", max_turns=50))
    assert (await ended(app, [run]))[0].status == "completed"
    assert [body["model"] for body in api.bodies] == ["scripted", "other"]


async def test_a_paused_run_waits_for_its_person_whatever_is_still_queued(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([ToolUse("bash", {"command": "true"})], [Text("Unasked.")])
    (run,) = await submitted(app, workspace, 1, sessions=1, max_turns=1)
    async with asyncio.timeout(PATIENCE):
        while (await app.store.get_run(run.id)).status != "paused":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    engine, late = dispatcher._engine, f"{run.id}.999"
    await engine.enqueue(run.id, run.owner, 999)
    async with asyncio.timeout(PATIENCE):
        while (await engine._call(engine._opened().look, [late]))[late].status != "SUCCESS":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await app.store.get_run(run.id)).status == "paused"
    assert len(api.bodies) == 1


async def test_what_ended_long_ago_leaves_the_queue_while_the_worker_lives(
    app: App, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = dispatcher._engine
    await engine.enqueue("r-gone", app.settings.owner, 1)  # there is no such run: it ends at once

    async def entry() -> Any:
        return (await engine._call(engine._opened().look, ["r-gone.1"])).get("r-gone.1")

    async with asyncio.timeout(PATIENCE):
        while (await entry()).status not in DONE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        place = app.settings.database_url or str(Path(app.settings.folder, "runs.db"))
        assert change_queue(place, "completed_at = 1") == 1
        monkeypatch.setattr("agent_kernel.dispatch.TIDY", 0.0)
        while await entry() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_call_that_died_with_its_kernel_and_its_server_is_given_up_by_whoever_works(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([ToolUse("notebook_python", {"code": "1"}, id="c1")], [Text("I see.")])
    account = Account(app)
    session = await account.session("main", workspace)
    settings = app.settings.with_overrides("test", permission="bypass")
    run = await account.submit(session, "Go", settings, kernel=AttachedKernel(), hosted=True)
    async with asyncio.timeout(PATIENCE):
        while (await app.store.get_run(run.id)).reason != "kernel":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await account.begin_call(run.id, "c1", f"kernel/k/0@{dead_worker()}")
    assert (await ended(app, [run]))[0].status == "completed"
    (result,) = [e for e in await app.log.read(run.id) if isinstance(e, ToolResult)]
    assert INTERRUPTED in str(result.content)


async def test_who_decides_or_runs_one_call_reads_nothing_else_of_a_long_log(
    app: App, workspace: Path
) -> None:
    account = Account(app)
    session = await account.session("main", workspace)
    run = await app.store.create_run(session_id=session.id, prompt="p", model="m", owner=account.owner)
    calls = [ToolCall(id=name, tool="notebook_python", args={"code": "1"}) for name in ("c1", "c2", "c3")]
    asked = ApprovalRequest(id="c1", call_id="c1", tool="bash", what="w", reason="r", scope="bash")
    waiting = Status(status="waiting", reason="kernel")
    await app.log.append(run.id, Message(role="assistant", text="long"), *calls, asked, waiting)
    unreadable = update(EVENT).where(EVENT.c.run_id == run.id, EVENT.c.type == "message").values(data="{")
    await app.store.writer.do(partial(_rows, unreadable))

    await account.answer(run.id, "c1", "allow")
    await account.answer(run.id, "c1", "allow")
    with pytest.raises(AlreadyAppended, match="It has been answered: allow"):
        await account.answer(run.id, "c1", "deny")
    with pytest.raises(RunError, match="has no approval request 'c2'"):
        await account.answer(run.id, "c2", "allow")
    with pytest.raises(RunError, match="'c1' was not begun"):
        await account.finish_call(run.id, ToolResult(id="c1", content=[]))
    assert await account.begin_call(run.id, "c1", "kernel/k")
    assert await account.begin_call(run.id, "c2", "kernel/gone")
    assert not await account.begin_call(run.id, "c1", "kernel/other")
    await account.finish_call(run.id, ToolResult(id="c1", content=[]))
    with pytest.raises(RunError, match="has no call 'c9' for the notebook's kernel"):
        await account.begin_call(run.id, "c9", "kernel/k")

    async def lives(executor: str) -> bool:
        return executor == "kernel/k"

    await app.give_up_calls([await account.get_run(run.id)], lives)
    (given_up,) = await app.store.read(run.id, after=await app.store.head(run.id) - 1)
    assert isinstance(given_up, ToolResult)
    assert (given_up.id, INTERRUPTED in str(given_up.content)) == ("c2", True)
    await app.log.append(run.id, Status(status="cancelled", reason="cancelled"))
    with pytest.raises(RunError, match="is cancelled"):
        await account.begin_call(run.id, "c3", "kernel/k")


def _rows(query: Update, connection: Connection) -> int:
    return connection.execute(query).rowcount


def dead_worker() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return f"{socket.gethostname()}/{process.pid}/gone.1"  # began at 1: whoever is given the number did not


async def test_a_call_is_its_kernels_while_that_and_its_server_live(app: App, address: str) -> None:
    alive = {"kernel/mine/0"}
    dispatcher = Dispatcher(app, lives=lambda executor: executor in alive)
    await dispatcher.start()
    try:
        assert await dispatcher.has_call(f"kernel/mine/0@{app.worker}#once")
        assert not await dispatcher.has_call(f"kernel/mine/1@{app.worker}#once")
        assert not await dispatcher.has_call(f"kernel/other/0@{dead_worker()}")
        there = "elsewhere/1/x"
        if address.startswith("postgres"):  # whose workers say that they live
            assert not await dispatcher.has_call(f"kernel/other/0@{there}")
            executors = Executors(address)
            executors.beat(there)
            executors.close()
        assert await dispatcher.has_call(f"kernel/other/0@{there}")
    finally:
        await dispatcher.close()


async def test_what_another_program_appends_rings_here_while_the_run_is_worked_on(
    app: App, settings: Settings, address: str, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([Stall(10 * PATIENCE), Text("Never.")])
    (run,) = await submitted(app, workspace, 1, sessions=1)
    async with asyncio.timeout(PATIENCE):
        while (await app.store.get_run(run.id)).reason != "thinking":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    other = await open_app(replace(settings, database_url=app.settings.database_url))
    with app.log.bus.subscribe(run.id, deltas=False) as bell:
        await Account(other).say(run.id, "From elsewhere")
        head = await other.store.head(run.id)
        async with asyncio.timeout(PATIENCE):
            while await bell.next() != head:
                pass
    await Account(other).control(run.id, "cancel")
    assert (await ended(app, [run]))[0].status == "cancelled"
    await other.close()


async def test_sessions_are_deleted_when_they_are_older_than_they_are_kept(
    app: App, dispatcher: Dispatcher, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([Text("Old.")], [Text("New.")], [ToolUse("bash", {"command": "true"})])
    old, new = await ended(app, await submitted(app, workspace, 2, sessions=2))
    (paused,) = await submitted(app, workspace, 1, sessions=1, max_turns=1)
    third = await Account(app).session("third", workspace)
    async with asyncio.timeout(PATIENCE):
        while (await app.store.get_run(paused.id)).status != "paused":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert old.session_id == paused.session_id

    def age(connection: Any) -> None:
        connection.execute(SESSION.update().values(updated_ms=now_ms() - 3 * DAY_MS))
        connection.execute(
            SESSION.update().where(SESSION.c.id == new.session_id).values(updated_ms=now_ms() - DAY_MS)
        )

    await app.store.writer.do(age)
    assert await dispatcher.forget_unused() == 0, "without the setting everything is kept"
    app.settings = replace(app.settings, retention_days=2)
    assert await dispatcher.forget_unused() == 1
    left = {session.id for session in await Account(app).list_sessions()}
    assert left == {paused.session_id, new.session_id}, "what may go on is kept, whatever its age"
    assert third.id not in left
