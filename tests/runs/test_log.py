"""The store and the log: numbered without gaps, followed without loss, owned by one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy import event as events_of

from agent_kernel.errors import AlreadyAppended, OwnershipLost, RunBusy, RunNotFound, StoreError, Unstorable
from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    ContextUpdate,
    Delta,
    Event,
    Message,
    Status,
    ToolCall,
    ToolResult,
    ToolStart,
    parse_event,
)
from agent_kernel.folds import RunState, approvals
from agent_kernel.runs.database import file_system, is_network, open_engine, tell_time
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.records import RunRow, Used, UsedOn, Worked
from agent_kernel.runs.store import Store, open_store
from agent_kernel.runs.watch import NEWEST, changed_runs
from tests.waiting import PATIENCE, until

DONE = Status(status="completed", reason="complete")
BOTH_BUSES = pytest.mark.parametrize("bus", ["local", "redis"], indirect=True)


def said(text: str = "x") -> Message:
    return Message(role="assistant", text=text)


async def test_events_are_numbered_from_1_and_come_back_as_they_were(log: RunLog, run: RunRow) -> None:
    first = await log.append(run.id, said("a ü \0 \u2028"), said("b"))
    second = await log.append(run.id, DONE)
    assert [event.seq for event in first + second] == [1, 2, 3]
    assert await log.read(run.id) == first + second
    assert await log.read(run.id, after=1, limit=1) == [first[1]]


async def test_of_changes_that_several_processes_make_to_a_session_none_is_lost(
    store: Store, run: RunRow, address: str
) -> None:
    other = await open_store(address)

    async def add(number: int) -> None:
        await (store, other)[number % 2].change_meta(run.session_id, lambda meta: {**meta, f"{number}": True})

    try:
        await asyncio.gather(*map(add, range(20)))
    finally:
        await other.close()
    assert len((await store.get_session(run.session_id)).meta) == 20
    with pytest.raises(RunNotFound, match="There is no session 's-none'"):
        await store.change_meta("s-none", dict)


async def test_events_are_handed_on_as_json_in_pages_of_a_bearable_size(
    log: RunLog, store: Store, run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await log.append(run.id, said("a ü \0 \u2028 }"), said("b" * 900), said("c" * 900), DONE)

    async def page(after: int, limit: int = 10) -> list[Event]:
        return [parse_event(json.loads(text)) for text in await store.read_json(run.id, after, limit)]

    assert await page(0) == stored
    assert await page(1, 2) == stored[1:3]
    assert await page(4) == []
    monkeypatch.setattr("agent_kernel.runs.store.PAGE_SIZE", 1_500)
    assert await page(0) == stored[:2]
    monkeypatch.setattr("agent_kernel.runs.store.PAGE_SIZE", 10)
    assert await page(1) == stored[1:2], "one at least, or nobody would come any further"


async def test_the_run_knows_its_head_and_state(log: RunLog, store: Store, run: RunRow) -> None:
    await log.append(run.id, Status(status="running", reason="starting"), said(), DONE)
    found = await store.get_run(run.id[:15])
    assert (found.head, found.status, found.reason) == (3, "completed", "complete")
    assert found.ended_ms is not None


async def test_what_is_no_stored_event_is_refused(log: RunLog, run: RunRow) -> None:
    with pytest.raises(ValueError, match="delta"):
        await log.append(run.id, Delta(kind="text", id="0", text="x"))
    with pytest.raises(ValueError, match="message 4"):
        await log.append(run.id, said().numbered("r", 4))
    with pytest.raises(RunNotFound):
        await log.append("r-nothing", said())


async def test_an_append_waits_while_another_program_writes_and_the_loop_goes_on(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "runs.db")
    session = await store.create_session(owner="me", name="s", workspace="/")
    run = await store.create_run(session_id=session.id, prompt="p", model="m", owner="me")
    await store.append(run.id, [said()])  # the connections are open
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.append(run.id, [said("waited")]))
        await asyncio.sleep(0.2)  # the loop is not blocked
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert [event.seq for event in await waiting] == [2]
    await store.close()


async def test_appends_made_at_once_keep_their_order(log: RunLog, run: RunRow) -> None:
    sizes = [10, 200_000, 10, 10]  # small ones take a shorter way
    tasks = []
    for number in range(40):
        tasks.append(asyncio.create_task(log.append(run.id, said(f"{number:02}" + "x" * sizes[number % 4]))))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    stored = await log.read(run.id)
    assert [event.text[:2] for event in stored if isinstance(event, Message)] == [
        f"{n:02}" for n in range(40)
    ]


@BOTH_BUSES
async def test_waiting_appends_share_commits_and_fifty_followers_miss_nothing(
    log: RunLog, run: RunRow
) -> None:
    async def follow(after: int) -> list[int]:
        return [event.seq async for event in log.follow(run.id, after=after)]

    followers = [asyncio.create_task(follow(0)) for _ in range(25)]
    before = log.store.writer.commits

    async def write() -> None:
        for _ in range(25):
            await log.append(run.id, said())

    writers = asyncio.gather(*(write() for _ in range(20)))
    await asyncio.sleep(0.02)
    followers += [asyncio.create_task(follow(0)) for _ in range(25)]
    await writers
    assert log.store.writer.commits - before < 250, "500 appends, far fewer commits"
    await log.append(run.id, DONE)
    for seen in await asyncio.wait_for(asyncio.gather(*followers), PATIENCE):
        assert seen == list(range(1, 502))


@BOTH_BUSES
async def test_a_follower_that_comes_late_begins_where_it_says(log: RunLog, run: RunRow) -> None:
    await log.append(run.id, said(), said(), said(), DONE)
    assert [event.seq async for event in log.follow(run.id, after=2)] == [3, 4]


@BOTH_BUSES
async def test_appends_of_another_program_are_followed_too(log: RunLog, run: RunRow, address: str) -> None:
    other = await open_store(address)
    follower = asyncio.create_task(_collect(log, run.id))
    await asyncio.sleep(0.1)
    await other.append(run.id, [said("from elsewhere"), DONE])
    assert [event.seq for event in await asyncio.wait_for(follower, PATIENCE)] == [1, 2]
    await other.close()


async def _collect(log: RunLog, run_id: str) -> list[Event]:
    return [event async for event in log.follow(run_id)]


@BOTH_BUSES
async def test_deltas_are_shown_before_their_stored_turn_and_never_after(log: RunLog, run: RunRow) -> None:
    seen: list[str] = []

    async def follow() -> None:
        async for event in log.follow(run.id):
            seen.append(event.text if isinstance(event, Delta) else event.type)

    await log.append(run.id, said("before"))
    follower = asyncio.create_task(follow())
    await until(lambda: seen == ["message"])  # from now on it is told of each delta
    log.publish(run.id, Delta(kind="text", id="0", text="early", turn=1))
    await until(lambda: seen[1:] == ["early"])
    await log.append(run.id, said("early"), ContextUpdate(model="m", turn=1))
    await until(lambda: seen[-1] == "context_update")
    log.publish(run.id, Delta(kind="text", id="0", text="late", turn=1))
    await log.append(run.id, DONE)
    await asyncio.wait_for(follower, PATIENCE)
    assert seen == ["message", "early", "message", "context_update", "status"]


async def test_of_two_owners_one_wins_and_the_other_can_do_no_harm(
    store: Store, log: RunLog, run: RunRow
) -> None:
    fence = await store.claim(run.id, "worker-1")
    with pytest.raises(RunBusy, match="worker-1"):
        await store.claim(run.id, "worker-2")
    taken = await store.claim(run.id, "worker-2", ttl_ms=-1)
    assert taken == fence + 1
    with pytest.raises(OwnershipLost):
        await log.append(run.id, said(), fence=fence)
    with pytest.raises(OwnershipLost):
        await store.heartbeat(run.id, "worker-1", fence)
    await log.append(run.id, said("a person's"), fence=None)
    await log.append(run.id, said(), fence=taken)
    assert len(await log.read(run.id)) == 2


async def test_a_call_starts_once_and_a_refused_append_takes_no_neighbour_with_it(
    log: RunLog, run: RunRow
) -> None:
    await log.append(run.id, ToolCall(id="c", tool="bash", args={}), ToolStart(id="c"))
    results = await asyncio.gather(
        log.append(run.id, said("before")),
        log.append(run.id, ToolStart(id="c")),
        log.append(run.id, said("after")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [list, AlreadyAppended, list]
    assert [event.seq for event in await log.read(run.id)] == [1, 2, 3, 4]


@pytest.mark.parametrize("fields", [{"prompt": "a\udcff"}, {"heartbeat_ms": 10**30}])
async def test_a_value_no_store_can_hold_is_refused_and_takes_no_neighbour_with_it(
    store: Store, log: RunLog, run: RunRow, fields: dict[str, Any]
) -> None:
    results = await asyncio.gather(
        log.append(run.id, said("before")),
        store.update_run(run.id, **fields),
        log.append(run.id, said("after")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [list, Unstorable, list]
    assert not results[1].retryable  # type: ignore[union-attr]
    assert "running?" not in str(results[1])
    assert [event.seq for event in await log.read(run.id)] == [1, 2]


async def test_what_no_store_can_hold_is_looked_for_in_a_sentence(store: Store) -> None:
    with pytest.raises(StoreError, match="not valid Unicode"):
        await store.get_run("\udcff")
    with pytest.raises(StoreError, match="No run store can hold this"):
        await store.list_runs(limit=10**30)


async def test_a_session_is_found_again_and_made_once(store: Store) -> None:
    made = await asyncio.gather(
        *(store.create_session(owner="ada", name="n", workspace="/w", notebook="a.ipynb") for _ in range(5))
    )
    assert len({session.id for session in made}) == 1
    assert (await store.find_session("ada", "a.ipynb", "n")) == made[0]
    assert await store.find_session("ada", None, "n") is None
    with pytest.raises(RunNotFound):
        await store.get_session(made[0].id, owner="eve")


async def test_runs_belong_to_their_owner(store: Store, run: RunRow) -> None:
    assert (await store.get_run(run.id, owner="ada")).id == run.id
    with pytest.raises(RunNotFound):
        await store.get_run(run.id, owner="eve")
    assert [found.id for found in await store.list_runs(owner="ada")] == [run.id]


@asynccontextmanager
async def scanned(path: Path) -> AsyncIterator[tuple[Store, set[str]]]:
    """A store on SQLite, and the tables that what it was asked inside the block looked through whole."""
    store = await open_store(path)
    tables: set[str] = set()

    @events_of.listens_for(store._engine, "before_cursor_execute")
    def note(_: object, cursor: Any, statement: str, parameters: Any, *__: object) -> None:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        tables.update(step.split()[1] for *_, step in cursor.fetchall() if step.startswith("SCAN "))

    try:
        yield store, tables
    finally:
        await store.close()


async def test_a_whole_id_is_found_without_looking_at_each_run_and_though_others_begin_with_it(
    store: Store, run: RunRow, tmp_path: Path
) -> None:
    for more in ("3", "4", ""):
        made = await store.create_run(session_id=run.session_id, prompt="p", model="m", owner="ada")
        await store.update_run(made.id, id=f"r-12{more}")
    assert (await store.get_run("r-12", owner="ada")).id == "r-12"
    assert (await store.get_run("r-123")).id == "r-123"
    with pytest.raises(RunNotFound, match="More than one run begins with 'r-1'"):
        await store.get_run("r-1")
    with pytest.raises(RunNotFound, match="There is no run 'r-12'"):
        await store.get_run("r-12", owner="eve")
    async with scanned(tmp_path / "other.db") as (other, tables):
        session = await other.create_session(owner="ada", name="n", workspace="/w")
        there = await other.create_run(session_id=session.id, prompt="p", model="m", owner="ada")
        assert (await other.get_run(there.id)).id == there.id
        assert not tables
        assert (await other.get_run(there.id[:9])).id == there.id
        assert tables == {"runs"}, "or this test sees nothing"


async def test_what_became_of_one_call_and_which_are_open_is_read_without_the_rest_of_the_log(
    log: RunLog, store: Store, run: RunRow
) -> None:
    def made(name: str) -> ToolCall:
        return ToolCall(id=name, tool="bash", args={})

    asked = ApprovalRequest(id="b", call_id="b", tool="bash", what="w", reason="r", scope="bash")
    await log.append(run.id, made("a"), made("z"), made("b"), said(), ToolStart(id="z"), asked)
    await log.append(
        run.id, ToolStart(id="a"), ApprovalAnswer(id="b", decision="allow"), ToolResult(id="a", content=[])
    )
    whole = await log.read(run.id)
    other = await store.create_run(session_id=run.session_id, prompt="p", model="m", owner="ada")
    await log.append(other.id, made("a"), ToolResult(id="z", content=[]))
    assert await store.read_call(run.id, "a") == [e for e in whole if getattr(e, "id", "") == "a"]
    assert approvals(await store.read_call(run.id, "b")) == approvals(whole)
    still_open = RunState(await store.read_open_calls(run.id)).open_calls
    assert still_open == RunState(whole).open_calls
    assert [call.id for call in still_open] == ["z", "b"]
    for nobodys in ("", "c", "\0", "\ud800"):
        assert await store.read_call(run.id, nobodys) == []


async def test_opening_again_keeps_everything_and_two_may_open_at_once(address: str) -> None:
    first, second = await asyncio.gather(open_store(address), open_store(address))
    session = await first.create_session(owner="ada", name="n", workspace="/w")
    assert (await second.get_session(session.id)).workspace == "/w"
    await first.close()
    await second.close()


WRITER = """
import asyncio, sys
from agent_kernel.events import Message
from agent_kernel.runs.store import open_store
async def main():
    store = await open_store(sys.argv[1])
    for number in range(10**6):
        (event,) = await store.append(sys.argv[2], [Message(role="user", text=str(number))])
        print(event.seq, flush=True)
asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill_and_two_programs_share_a_file(
    store: Store, run: RunRow, address: str
) -> None:
    command = [sys.executable, "-c", WRITER, address, run.id]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]  # noqa: ASYNC220
    acknowledged: set[int] = set()
    for writer in writers:
        assert writer.stdout is not None
        acknowledged |= {int(writer.stdout.readline()) for _ in range(60)}
    for writer in writers:
        writer.kill()
        assert writer.stdout is not None
        acknowledged |= {
            int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")
        }
        writer.wait()
        writer.stdout.close()
    stored = [event.seq for event in await store.read(run.id)]
    assert stored == list(range(1, len(stored) + 1))
    assert acknowledged <= set(stored)


# -- what goes wrong with a file -------------------------------------------------------------------------


async def test_a_store_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await (await open_store(path)).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer agent-kernel"):
        await open_store(path)


async def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="damaged"):
        await open_store(path)
    assert path.read_bytes() == b"not a database" * 100


async def test_a_full_disk_is_one_sentence_and_loses_nothing_stored(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = await open_store(path)
    session = await store.create_session(owner="a", name="n", workspace="/w")
    run = await store.create_run(session_id=session.id, prompt="p", model="m", owner="a")
    await store.append(run.id, [said("kept")])
    pages = await store.writer.do(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
    await store.writer.do(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}").scalar())
    with pytest.raises(StoreError, match="no room left"):
        await store.append(run.id, [said("y" * 1_000_000)])
    assert (await store.read(run.id))[0].model_dump()["text"] == "kept"
    await store.close()


@pytest.mark.parametrize(
    ("kind", "refused"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False)]
)
def test_network_file_systems_are_told_from_local_ones(kind: str, refused: bool, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / {tmp_path}/home rw - {kind} server:/x rw\n"
    )
    (tmp_path / "home").mkdir()
    assert is_network(file_system(tmp_path / "home" / "runs.db", mounts)) is refused
    assert not is_network(file_system(tmp_path / "elsewhere", mounts))


async def test_other_databases_are_refused_in_a_sentence() -> None:
    with pytest.raises(StoreError, match="mysql database cannot hold runs"):
        await open_store("mysql://localhost/x")


@pytest.mark.parametrize("place", ["h:no-port/x", "h:5432:1/x", "h:/x/[", "user:pass/word@h:5432/x"])
async def test_an_address_of_postgresql_that_is_none_is_a_sentence_without_the_password(place: str) -> None:
    with pytest.raises(StoreError) as caught:
        await open_store(f"postgresql://{place}")
    assert "no-port" not in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


async def test_a_postgresql_that_cannot_be_reached_is_named_without_what_its_address_holds() -> None:
    with pytest.raises(StoreError) as caught:
        await open_store("postgresql://me:hidden@127.0.0.1:1/x?password=hidden&application_name=a")
    assert "The run store postgresql://me:***@127.0.0.1:1/x failed: " in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_postgresql_that_went_away_without_a_word_is_missed_in_the_end(postgresql_address: str) -> None:
    sign = "&" if "?" in postgresql_address else "?"
    engine = open_engine(f"{postgresql_address}{sign}keepalives_idle=7")
    with engine.connect() as connection:
        said = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("7", "60000")
    engine.dispose()


@BOTH_BUSES
async def test_a_slow_follower_loses_deltas_but_no_event(log: RunLog, run: RunRow) -> None:
    follower = log.follow(run.id)
    await log.append(run.id, said("first"))
    assert (await anext(follower)).seq == 1
    for number in range(5_000):
        log.publish(run.id, Delta(kind="output", id="c", text=str(number)))
    for _ in range(30):
        await log.append(run.id, said())
    await log.append(run.id, DONE)
    rest = [event async for event in follower]
    assert [event.seq for event in rest if event.seq] == list(range(2, 33))
    assert sum(isinstance(event, Delta) for event in rest) < 5_000


async def test_a_store_made_before_there_were_schedules_is_migrated_and_keeps_its_runs(address: str) -> None:
    from sqlalchemy import inspect, text

    from agent_kernel.runs.database import open_engine

    store = await open_store(address)
    session = await store.create_session(owner="me", name="s", workspace="/")
    run = await store.create_run(session_id=session.id, prompt="p", model="m", owner="me")
    await store.close()
    engine = open_engine(address)
    with engine.begin() as connection:
        for table in ("executors", "schedules", "turns"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    store = await open_store(address)
    assert (await store.get_run(run.id)).prompt == "p"
    await store.close()
    engine = open_engine(address)
    assert {"executors", "schedules", "turns"} <= set(inspect(engine).get_table_names())
    engine.dispose()


async def test_what_turns_used_is_counted_by_run_by_day_and_by_model(store: Store, run: RunRow) -> None:
    day = 24 * 60 * 60 * 1000
    other = await store.create_run(session_id=run.session_id, prompt="p", model="m", owner="ada")
    foreign = await store.create_session(owner="bob", name="s", workspace="/")
    his = await store.create_run(session_id=foreign.id, prompt="p", model="m", owner="bob")

    def turn(at: int, model: str = "m", cost: float | None = 0.25) -> ContextUpdate:
        return ContextUpdate(
            model=model, input_tokens=10, output_tokens=5, cache_read_tokens=3, cost_usd=cost, timestamp=at
        )

    await store.append(run.id, [said(), turn(9 * day), said(), turn(10 * day - 1)])
    await store.append(other.id, [turn(10 * day), turn(10 * day, "n", None)])
    await store.append(his.id, [turn(10 * day)])
    assert (await store.used_by([run.id, his.id, "nobody"]))[run.id] == Used(2, 20, 10, 6, 0, 0.5)
    assert await store.used_on("ada", 9 * day) == [
        UsedOn("1970-01-11", "m", 1, Used(1, 10, 5, 3, 0, 0.25)),
        UsedOn("1970-01-11", "n", 1, Used(1, 10, 5, 3, 0, None)),
        UsedOn("1970-01-10", "m", 1, Used(2, 20, 10, 6, 0, 0.5)),
    ]
    assert await store.spent(owner="ada", since=10 * day) == 0.25
    assert await store.spent(session_id=run.session_id) == 0.75
    assert await store.spent(owner="ada", but=run.id) == 0.25
    await store.delete_session(run.session_id, await store.session_heads(run.session_id))
    assert await store.used_by([run.id]) == {}


async def test_a_run_cannot_begin_in_a_session_that_was_deleted(store: Store, run: RunRow) -> None:
    await store.delete_session(run.session_id, await store.session_heads(run.session_id))
    with pytest.raises(RunNotFound, match="no session"):
        await store.create_run(session_id=run.session_id, prompt="p", model="m", owner="ada")


async def test_how_runs_went_is_told_without_adding_up_what_everybody_ever_used(
    store: Store, run: RunRow, tmp_path: Path
) -> None:
    day = 24 * 60 * 60 * 1000
    old, idle = [
        await store.create_run(session_id=run.session_id, prompt="p", model=model, owner="ada")
        for model in ("m", "n")
    ]
    his = await store.create_run(session_id=run.session_id, prompt="p", model="m", owner="bob")
    turn = ContextUpdate(model="m", input_tokens=10, output_tokens=5, cost_usd=0.25)
    for one, created in ((run, 9 * day), (idle, 9 * day), (old, 8 * day), (his, 9 * day)):
        await store.update_run(one.id, created_ms=created)
        await store.append(one.id, [] if one is idle else [turn, turn])
    assert await store.worked_on("ada", 9 * day) == [
        Worked("1970-01-10", "m", "", "queued", 1, 0, Used(2, 20, 10, 0, 0, 0.5)),
        Worked("1970-01-10", "n", "", "queued", 1, 0, Used(0, 0, 0, 0, 0, None)),
    ]
    assert [worked.day for worked in await store.worked_on("ada", 0)] == ["1970-01-10"] * 2 + ["1970-01-09"]
    async with scanned(tmp_path / "other.db") as (other, tables):
        await other.worked_on("ada", 9 * day)
        assert "turns" not in tables


async def test_an_owner_hears_of_runs_that_are_new_or_change(log: RunLog, run: RunRow) -> None:
    async with aclosing(changed_runs(log, "ada")) as changes:
        assert await anext(changes) == []
        await log.append(run.id, said())
        await log.append(run.id, Status(status="running", reason="thinking"))
        (changed,) = await anext(changes)
        assert (changed.id, changed.status, changed.reason) == (run.id, "running", "thinking")
        session = await log.store.create_session(owner="bob", name="b", workspace="/")
        his = await log.store.create_run(session_id=session.id, prompt="p", model="m", owner="bob")
        await log.append(his.id, Status(status="queued", reason="submitted"))
        await log.append(run.id, DONE)
        (changed,) = await anext(changes)
        assert (changed.id, changed.status) == (run.id, "completed")


async def test_the_end_of_an_old_run_is_heard_of_behind_a_hundred_newer_ones(
    log: RunLog, run: RunRow
) -> None:
    await log.append(run.id, Status(status="running", reason="thinking"))
    await asyncio.sleep(0.002)
    for _ in range(NEWEST):
        await log.store.create_run(session_id=run.session_id, prompt="p", model="m", owner="ada")
    async with aclosing(changed_runs(log, "ada")) as changes:
        assert await anext(changes) == []
        await log.append(run.id, DONE)
        (changed,) = await anext(changes)
        assert (changed.id, changed.status) == (run.id, "completed")


def test_a_queues_file_knows_the_time_whatever_the_age_of_sqlite(tmp_path: Path) -> None:
    tell_time("-jobs.db")
    begun = time.time()
    engine = create_engine(f"sqlite:///{tmp_path}/runs-jobs.db")
    with engine.connect() as connection:
        connection.execute(
            text("CREATE TABLE t (x, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))")
        )
        connection.execute(text("INSERT INTO t (x) VALUES (1)"))
        told = connection.execute(text("SELECT at FROM t")).scalar_one()
    assert (begun - 1) * 1000 <= told <= time.time() * 1000, "it may count in whole seconds only"
    engine.dispose()
