"""Appending events, against the plainest durable way: batched inserts into SQLite by hand."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from agent_kernel.events import Message
from agent_kernel.runs.bus import LocalBus
from agent_kernel.runs.database import open_engine
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.store import open_store
from benchmarks.figure import Figure, ratio

EVENTS, WRITERS, BATCH = 4_000, 200, 50
TEXT = "x" * 1_000


async def ours() -> float:
    """Seconds for EVENTS appends by WRITERS concurrent runs, each waiting for its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Path(folder) / "runs.db")
        log = RunLog(store, LocalBus())
        session = await store.create_session(owner="bench", name="bench", workspace=folder)
        runs = [
            await store.create_run(session_id=session.id, prompt="p", model="m", owner="bench")
            for _ in range(WRITERS)
        ]

        async def write(run_id: str) -> None:
            for _ in range(EVENTS // WRITERS):
                await log.append(run_id, Message(role="assistant", text=TEXT))

        since = time.perf_counter()
        await asyncio.gather(*(write(run.id) for run in runs))
        took = time.perf_counter() - since
        await store.close()
        return took


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
    inverse = await ratio(
        "appends per second",
        raw,
        ours,
        reference=f"raw sqlite3 inserts, batches of {BATCH}, 1 kB events",
        goal="≥ 0.5",
        rounds=15,
    )
    return [inverse]
