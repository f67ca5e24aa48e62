"""The bus on Redis: live text and doorbells between processes, through outages, believing nothing it reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agent_kernel.app import open_app
from agent_kernel.doctor import examine, render
from agent_kernel.errors import StoreError
from agent_kernel.events import ContextUpdate, Delta, Event, Message, Status
from agent_kernel.runs.bus import MOST_WAITING, Item, Subscription
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.records import RunRow
from agent_kernel.runs.redis_bus import MOST_ENTRIES, RedisBus
from agent_kernel.runs.store import open_store
from agent_kernel.settings import Settings
from tests.runs.conftest import RedisServer
from tests.waiting import PATIENCE, until

DONE = Status(status="completed", reason="complete")
PASSWORD = "correct-horse/battery"


def said(text: str = "x") -> Message:
    return Message(role="assistant", text=text)


def delta(text: str, run_id: str = "r", turn: int = 1) -> Delta:
    return Delta(run_id=run_id, kind="text", id="0", text=text, turn=turn)


async def texts(subscription: Subscription, count: int) -> list[str]:
    """The texts of the next `count` deltas."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            item = await subscription.next(1)
            if isinstance(item, Delta):
                found.append(item.text)
    return found


async def quiet(subscription: Subscription, seconds: float = 0.3) -> bool:
    return await subscription.next(seconds) is None


async def connections(client: Any, number: int) -> None:
    """Until so many programs are connected; Redis learns of one that went away a moment later."""
    async with asyncio.timeout(PATIENCE):
        while len(await client.client_list()) != number:  # noqa: ASYNC110 (Redis rings no bell)
            await asyncio.sleep(0.01)


async def blocked(client: Any, number: int = 1) -> None:
    """Until so many connections wait for news."""
    async with asyncio.timeout(PATIENCE):
        while (await client.info("clients"))["blocked_clients"] != number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def reading(bus: RedisBus, other: RedisBus, run_id: str = "probe") -> None:
    """Until what `other` publishes reaches `bus`, in this run and in all that were followed before."""
    with bus.subscribe(run_id) as subscription:
        async with asyncio.timeout(PATIENCE):
            while True:
                other.publish(run_id, 1)
                if await subscription.next(0.05) is not None:
                    return


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A Redis that a test may kill."""
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
async def new_bus(redis_server: RedisServer) -> AsyncIterator[Callable[..., RedisBus]]:
    """Makes buses as other processes would have them; all are closed at the end."""
    made: list[RedisBus] = []

    def make(server: RedisServer = redis_server) -> RedisBus:
        made.append(RedisBus(server.url))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Any]:
    client: Any = Redis.from_url(redis_server.url, protocol=2)
    await client.flushall()
    yield client
    await client.aclose()


# -- between buses ---------------------------------------------------------------------------------------


async def test_two_buses_see_each_others_deltas_in_order_and_their_own_once(
    new_bus: Callable[..., RedisBus],
) -> None:
    one, two = new_bus(), new_bus()
    with one.subscribe("r") as here, two.subscribe("r") as there:
        await reading(two, one)
        await reading(one, two)
        for number in range(500):
            one.publish("r", delta(str(number)))
        expected = [str(number) for number in range(500)]
        assert await texts(here, 500) == expected
        assert await texts(there, 500) == expected
        two.publish("r", delta("back"))
        assert await texts(here, 1) == ["back"]
        assert await texts(there, 1) == ["back"]
        assert await quiet(here) and await quiet(there)


async def test_events_ring_elsewhere_with_the_head_and_reach_this_process_as_they_are(
    new_bus: Callable[..., RedisBus],
) -> None:
    one, two = new_bus(), new_bus()
    events = (said("a").numbered("r", 1), said("b").numbered("r", 2))
    with one.subscribe("r") as here, two.subscribe("r", deltas=False) as there:
        await reading(two, one)
        one.publish("r", delta("not for them"))
        one.publish("r", events)
        assert await texts(here, 1) == ["not for them"]
        assert await here.next(PATIENCE) == events
        assert await there.next(PATIENCE) == 2
        assert await quiet(there)


async def test_a_run_followed_while_the_read_waits_is_read_at_once(
    new_bus: Callable[..., RedisBus], own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.runs.redis_bus.BLOCK", 10 * PATIENCE)  # not when that read has ended
    monkeypatch.setattr("agent_kernel.runs.redis_bus.PATIENCE", 20 * PATIENCE)
    one, two = new_bus(own_server), new_bus(own_server)
    client: Any = Redis.from_url(own_server.url)
    with one.subscribe("first"):
        await blocked(client)  # the read of `first` is waiting
        with one.subscribe("second") as second:
            await reading(one, two, "second")
            two.publish("second", delta("now", "second"))
            assert await texts(second, 1) == ["now"]
    await client.aclose()


async def test_all_followed_runs_share_one_connection_for_reading(
    new_bus: Callable[..., RedisBus], own_server: RedisServer
) -> None:
    one, two = new_bus(own_server), new_bus(own_server)
    client: Any = Redis.from_url(own_server.url)
    with contextlib.ExitStack() as stack:
        bells = [stack.enter_context(one.subscribe(f"r{number}")) for number in range(100)]
        await reading(one, two)
        for number in range(100):
            two.publish(f"r{number}", number + 1)
        assert [await bell.next(PATIENCE) for bell in bells] == list(range(1, 101))
        await blocked(client)  # it waits again
        assert len(await client.client_list()) <= 5  # each bus reads and writes; and the one that asks
    await client.aclose()


async def test_threads_and_other_loops_publish_and_follow_too(new_bus: Callable[..., RedisBus]) -> None:
    one, two = new_bus(), new_bus()
    seen: list[Item | None] = []

    def elsewhere() -> None:
        async def follow() -> None:
            with one.subscribe("r") as subscription:
                one.publish("ready", 1)
                seen.append(await subscription.next(PATIENCE))

        asyncio.run(follow())

    with two.subscribe("ready") as ready:
        await reading(two, one)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        assert await ready.next(PATIENCE) == 1
        while thread.is_alive():  # until `one` reads what the thread follows
            two.publish("r", 7)
            await asyncio.sleep(0.05)
    assert seen == [7]


PUBLISHER = """
import asyncio, sys
from agent_kernel.events import Delta, Message, Status, ContextUpdate
from agent_kernel.runs import redis_bus
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.store import open_store
redis_bus.FAREWELL = 600
async def main():
    address, run_id, url = sys.argv[1:]
    log = RunLog(await open_store(address), redis_bus.RedisBus(url))
    for number in range(200):
        log.publish(run_id, Delta(kind="text", id="0", text=str(number), turn=1))
        await asyncio.sleep(0.001)
    await asyncio.to_thread(sys.stdin.readline)
    await log.append(run_id, Message(role="assistant", text="all", turn=1), ContextUpdate(model="m", turn=1))
    await log.append(run_id, Status(status="completed", reason="complete"))
    await log.bus.close()
    await log.store.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("bus", ["redis"], indirect=True)
async def test_another_process_is_seen_live(
    log: RunLog, run: RunRow, address: str, redis_server: RedisServer, new_bus: Callable[..., RedisBus],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "agent_kernel.runs.log.POLL", 10 * PATIENCE
    )  # the last doorbell is rung, or nothing is
    seen: list[str] = []

    async def follow() -> None:
        async for event in log.follow(run.id):
            seen.append(event.text if isinstance(event, Delta) else event.type)

    await log.append(run.id, said())
    follower = asyncio.create_task(follow())
    await until(lambda: bool(seen))
    await reading(log.bus, new_bus())  # type: ignore[arg-type]
    command = [sys.executable, "-c", PUBLISHER, address, run.id, redis_server.url]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    shown = ["message", *map(str, range(200))]
    await until(lambda: len(seen) >= len(shown))  # what is stored by then ends the live text
    _, errors = await process.communicate(b"go on\n")
    assert (process.returncode, errors) == (0, b"")
    await asyncio.wait_for(follower, PATIENCE)
    assert seen == [*shown, "message", "context_update", "status"]


async def test_fifty_followers_of_two_processes_miss_nothing_and_see_nothing_twice(
    run: RunRow, address: str, new_bus: Callable[..., RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.runs.log.POLL", 10 * PATIENCE)  # they are rung for
    logs = [RunLog(await open_store(address), new_bus()) for _ in range(2)]
    followers = [asyncio.create_task(numbers(logs[index % 2], run.id)) for index in range(25)]

    async def write(log: RunLog) -> None:
        for _ in range(100):
            log.publish(run.id, delta("…", run.id))
            await log.append(run.id, said())

    writers = asyncio.gather(*(write(logs[index % 2]) for index in range(4)))
    await asyncio.sleep(0.02)
    followers += [asyncio.create_task(numbers(logs[index % 2], run.id)) for index in range(25)]
    await writers
    await reading(logs[1].bus, logs[0].bus)  # type: ignore[arg-type]
    await logs[0].append(run.id, DONE)
    for seen in await asyncio.wait_for(asyncio.gather(*followers), PATIENCE):
        assert seen == list(range(1, 402))
    for log in logs:
        await log.store.close()


async def numbers(log: RunLog, run_id: str) -> list[int]:
    return [event.seq async for event in log.follow(run_id) if event.seq]


# -- outages ---------------------------------------------------------------------------------------------


async def test_redis_killed_in_the_middle_costs_deltas_but_no_event_and_one_warning_a_process(
    run: RunRow, address: str, new_bus: Callable[..., RedisBus], own_server: RedisServer, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "agent_kernel")
    worker = RunLog(await open_store(address), new_bus(own_server))
    viewer = RunLog(await open_store(address), new_bus(own_server))
    seen: list[Event] = []

    async def follow() -> None:
        async for event in viewer.follow(run.id):
            seen.append(event)

    async def shown(text: str) -> None:
        await until(lambda: any(getattr(event, "text", "") == text for event in seen))

    follower = asyncio.create_task(follow())
    await reading(viewer.bus, worker.bus)  # type: ignore[arg-type]
    worker.publish(run.id, delta("before", turn=1))
    await shown("before")
    own_server.kill()
    for turn in range(1, 6):
        for _ in range(MOST_WAITING):  # far more than is kept
            worker.publish(run.id, delta("lost", turn=turn))
        await worker.append(run.id, said(f"stored {turn}"), ContextUpdate(model="m", turn=turn))
        await asyncio.sleep(0.2)
    await shown("stored 5")
    own_server.start()
    await asyncio.gather(
        reading(viewer.bus, worker.bus),  # type: ignore[arg-type]
        reading(worker.bus, viewer.bus, "probe back"),  # type: ignore[arg-type]
    )
    worker.publish(run.id, delta("after", turn=6))
    await shown("after")
    await worker.append(run.id, said("end"), DONE)
    await asyncio.wait_for(follower, PATIENCE)
    assert [event.seq for event in seen if event.seq] == list(range(1, 13))
    assert not any(isinstance(event, Delta) and event.text == "lost" for event in seen)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2, [record.getMessage() for record in warnings]
    assert all("cannot be reached" in record.getMessage() for record in warnings)
    await worker.store.close()
    await viewer.store.close()


async def test_a_bus_made_while_redis_is_away_works_once_it_is_there(
    new_bus: Callable[..., RedisBus], own_server: RedisServer
) -> None:
    own_server.kill()
    one, two = new_bus(own_server), new_bus(own_server)
    with two.subscribe("r") as there:
        one.publish("r", 41)
        one.publish("r", 42)
        assert await quiet(there, 0.5)
        own_server.start()
        await reading(two, one)
        one.publish("r", delta("live"))
        assert (await texts(there, 1)) == ["live"]


@pytest.mark.parametrize("waits", [True, False], ids=["while it is read", "between two reads"])
async def test_a_redis_whose_clock_went_back_is_read_all_the_same(
    waits: bool, new_bus: Callable[..., RedisBus], own_server: RedisServer
) -> None:
    client: Any = Redis.from_url(own_server.url)
    ahead = int(time.time() * 1000) + 3_600_000
    await client.xadd("agent-kernel:run:r", {"head": "1"}, id=f"{ahead}-0")
    one, two = new_bus(own_server), new_bus(own_server)
    with two.subscribe("r") as there:
        await reading(two, one)
        if waits:
            await blocked(client)
        own_server.kill()  # and what it held, with it
        own_server.start()
        await reading(two, one)
        one.publish("r", 2)
        assert await there.next(PATIENCE) == 2
    await client.aclose()


async def test_closing_during_an_outage_is_quick_and_leaves_no_task(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "agent_kernel.runs.redis_bus.FAREWELL", 10 * PATIENCE
    )  # nothing can be sent: it is not waited
    before = asyncio.all_tasks()
    bus = RedisBus(own_server.url)
    with bus.subscribe("r"):
        own_server.kill()
        bus.publish("r", 1)
        await until(lambda: bus._outage.has("writing"))
        async with asyncio.timeout(PATIENCE):
            await bus.close()
            await bus.close()
    assert asyncio.all_tasks() == before


# -- what stays behind -----------------------------------------------------------------------------------


async def test_a_stream_is_trimmed_and_expires(redis: Any, new_bus: Callable[..., RedisBus]) -> None:
    bus = new_bus()
    for number in range(5 * MOST_ENTRIES):
        bus.publish("long", delta(str(number), "long"))
        if number % 500 == 499:  # far less than is dropped when it waits too long
            await sent(redis, "long", number)
    await bus.close()
    assert MOST_ENTRIES <= await redis.xlen("agent-kernel:run:long") < 1.2 * MOST_ENTRIES
    for key in await redis.keys("*"):
        assert 0 < await redis.ttl(key) <= 3_600


async def sent(redis: Any, run_id: str, number: int) -> None:
    """Until this delta is the newest of the run."""
    async with asyncio.timeout(PATIENCE):
        while True:
            newest = await redis.xrevrange(f"agent-kernel:run:{run_id}", count=1)
            if newest and json.loads(newest[0][1][b"delta"])["text"] == str(number):
                return
            await asyncio.sleep(0.005)


async def test_after_close_neither_task_nor_connection_is_left(own_server: RedisServer) -> None:
    client: Any = Redis.from_url(own_server.url)
    await client.ping()
    tasks = asyncio.all_tasks()
    for _ in range(5):
        one, two = RedisBus(own_server.url), RedisBus(own_server.url)
        with one.subscribe("r") as subscription:
            await reading(one, two)
            two.publish("r", delta("x"))
            await texts(subscription, 1)
        await one.close()
        await two.close()
        one.publish("r", delta("too late"))
        with one.subscribe("r") as subscription:  # within the process it still serves
            one.publish("r", 3)
            assert await subscription.next(PATIENCE) == 3
    assert asyncio.all_tasks() == tasks
    await connections(client, 1)
    await client.aclose()


async def test_nothing_is_connected_before_it_is_used(own_server: RedisServer) -> None:
    own_server.kill()
    tasks = asyncio.all_tasks()
    bus = RedisBus(own_server.url)
    assert asyncio.all_tasks() == tasks
    await bus.close()


# -- hostile and foreign things --------------------------------------------------------------------------

GOOD = delta("good").model_dump()
FOREIGN: list[dict[Any, Any]] = [
    {"x": "y"},
    {"head": "not a number"},
    {"head": "-1"},
    {"head": "true"},
    {"head": "9" * 5_000},
    {"head": "9" * 30},
    {"head": "[" * 30},
    {"delta": ""},
    {"delta": "null"},
    {"delta": "[1]"},
    {"delta": "[" * 100_000},
    {"delta": b"\xff\xfe"},
    {"delta": json.dumps({**GOOD, "type": ["delta"]})},
    {"delta": json.dumps({**GOOD, "type": "status"})},
    {"delta": json.dumps({**GOOD, "run_id": "another"})},
    {"delta": json.dumps({**GOOD, "seq": 7})},
    {"delta": json.dumps({**GOOD, "version": 99, "new": 1})},
    {"delta": json.dumps({**GOOD, "text": {"not": "text"}})},
    {"delta": json.dumps({**GOOD, "text": "x" * (1 << 20)})},
    {"delta": said().numbered("r", 1).model_dump_json()},
    {b"\xff": b"\xff"},
]


async def test_foreign_entries_are_passed_over(redis: Any, new_bus: Callable[..., RedisBus]) -> None:
    bus = new_bus()
    with bus.subscribe("r") as subscription:
        await reading(bus, new_bus())
        for fields in FOREIGN:
            await redis.xadd("agent-kernel:run:r", fields)
        await redis.xadd("agent-kernel:run:r", {"delta": json.dumps(GOOD)})
        item = await subscription.next(PATIENCE)
        assert isinstance(item, Delta) and item.text == "good"


async def test_a_key_that_is_no_stream_concerns_its_own_run_alone(
    redis: Any, new_bus: Callable[..., RedisBus], caplog: Any
) -> None:
    one, two = new_bus(), new_bus()
    await redis.set("agent-kernel:run:taken", "a string")
    with two.subscribe("taken") as taken, two.subscribe("r") as there, one.subscribe("late"):
        await reading(two, one)
        one.publish("taken", 1)
        one.publish("r", 2)
        assert await there.next(PATIENCE) == 2
        await redis.delete("agent-kernel:run:taken")
        await reading(two, one, "taken")
        one.publish("taken", 3)
        assert [item async for item in _until(taken, 3)][-1] == 3
    assert not caplog.records


async def _until(subscription: Subscription, last: Item) -> AsyncIterator[Item]:
    async with asyncio.timeout(PATIENCE):
        while True:
            item = await subscription.next(1)
            if item is not None:
                yield item
            if item == last:
                return


@pytest.mark.parametrize("bus", ["redis"], indirect=True)
async def test_a_false_head_makes_nobody_deaf(
    log: RunLog, run: RunRow, redis: Any, new_bus: Callable[..., RedisBus]
) -> None:
    heads: list[int] = []

    async def watch() -> None:
        async for head in log.heads(run.id):
            heads.append(head)

    watcher = asyncio.create_task(watch())
    follower = asyncio.create_task(numbers(log, run.id))
    await reading(log.bus, new_bus())  # type: ignore[arg-type]
    with log.bus.subscribe(run.id) as bell:
        await redis.xadd(f"agent-kernel:run:{run.id}", {"head": str(10**15)})
        assert await bell.next(PATIENCE) == 10**15
    await log.append(run.id, said())
    await log.append(run.id, DONE)
    assert await asyncio.wait_for(follower, PATIENCE) == [1, 2]
    await until(lambda: heads[-1:] == [2])
    watcher.cancel()


# -- addresses and passwords -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    server = RedisServer("--requirepass", PASSWORD)
    yield server
    server.kill()


def guarded_url(server: RedisServer, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{server.port}/0"


async def test_the_right_password_opens(guarded: RedisServer) -> None:
    bus = RedisBus(guarded_url(guarded, "correct-horse%2Fbattery"))
    await bus.check()
    await bus.close()


async def test_a_wrong_password_is_one_sentence_without_it(guarded: RedisServer, caplog: Any) -> None:
    for url in (guarded_url(guarded, "wrong-horse%2Fx"), guarded.url):
        bus = RedisBus(url)
        with pytest.raises(StoreError, match="does not accept the user name and password") as caught:
            await bus.check()
        with bus.subscribe("r"):
            bus.publish("r", 1)
            await until(lambda: bus._outage.has("writing") and bus._outage.has("reading"))  # noqa: B023
        await bus.close()
        assert f"127.0.0.1:{guarded.port}" in str(caught.value)
        assert caught.value.hint
        assert "horse" not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "url", ["redis://:s3cr3t-word@127.0.0.1:1/0", "redis://:s3cr3t-word@no.such.invalid"]
)
async def test_a_wrong_host_is_one_sentence(url: str, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.runs.redis_client.CONNECT_SECONDS", PATIENCE)  # names may be slow
    bus = RedisBus(url)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        await bus.check()
    bus.publish("r", 1)
    await until(lambda: "cannot be reached" in caplog.text)
    await bus.close()
    assert "s3cr3t" not in str(caught.value) + caplog.text


async def test_a_server_that_echoes_the_password_is_not_quoted() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000):
            words = data.decode().split("\r\n")[4::2]
            writer.write(f"-ERR unknown command, with args beginning with: {words}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    bus = RedisBus(f"redis://:s3cr3t-word@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(StoreError) as caught:
        await bus.check()
    assert "s3cr3t" not in f"{caught.value!s} {caught.value.__cause__!r}"
    await bus.close()
    server.close()


@pytest.mark.parametrize(
    "url",
    ["localhost:6379", "http://localhost", "redis://:p@localhost:port", "redis://:12#s3cr3t@localhost",
     "redis://:s3cr3t/x@localhost", "redis://s3cr3t?x@localhost", "redis://localhost?db=s3cr3t"],
)  # fmt: skip
async def test_what_is_no_address_is_one_sentence(url: str) -> None:
    with pytest.raises(StoreError, match="not a URL") as caught:
        RedisBus(url)
    assert "redis://user:password@host" in caught.value.hint
    assert "s3cr3t" not in f"{caught.value!s} {caught.value.__cause__!r}"


# -- in an App -------------------------------------------------------------------------------------------


async def test_two_apps_on_one_store_see_each_other_live(tmp_path: Path, own_server: RedisServer) -> None:
    settings = Settings(data_dir=str(tmp_path), redis_url=own_server.url, user="ada")
    client: Any = Redis.from_url(own_server.url)
    await client.ping()
    async with await open_app(settings) as one, await open_app(settings) as two:
        session = await one.store.create_session(owner="ada", name="n", workspace=str(tmp_path))
        run = await one.store.create_run(session_id=session.id, prompt="p", model="m", owner="ada")
        follower = two.log.follow(run.id)
        await one.log.append(run.id, said("first"))
        assert (await anext(follower)).type == "message"
        waiting = asyncio.ensure_future(anext(follower))
        await reading(two.log.bus, one.log.bus)  # type: ignore[arg-type]
        one.log.publish(run.id, delta("live"))
        event = await asyncio.wait_for(waiting, PATIENCE)
        assert isinstance(event, Delta) and event.text == "live"
        await follower.aclose()
    await connections(client, 1)
    await client.aclose()


async def test_doctor_says_whether_redis_answers(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AGENT_KERNEL_REDIS_URL", f"redis://:s3cr3t-word@127.0.0.1:{own_server.port}")
    report = await examine()
    assert "does not accept" in report["bus"]["problem"]
    assert report["settings"]["redis_url"] == {"value": "(set, hidden)", "from": "AGENT_KERNEL_REDIS_URL"}
    assert "s3cr3t" not in render(report) + json.dumps(report)
    monkeypatch.setenv("AGENT_KERNEL_REDIS_URL", own_server.url)
    assert (await examine())["bus"] == {"where": "Redis", "problem": ""}
    monkeypatch.setenv("AGENT_KERNEL_REDIS_URL", "")
    assert (await examine())["bus"] == {"where": "this process", "problem": ""}


async def test_a_bus_that_is_closed_while_it_connects_ends_all_the_same(redis_server: RedisServer) -> None:
    async def open_and_close(step: int) -> None:
        bus = RedisBus(redis_server.url)
        bus.publish("r", step + 1)
        with bus.subscribe("r"):
            await asyncio.sleep(step % 20 / 2000)
        async with asyncio.timeout(PATIENCE):
            await bus.close()

    for _ in range(10):
        await asyncio.gather(*(open_and_close(step) for step in range(20)))
