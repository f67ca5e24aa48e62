"""Engines of this process, and workers in processes of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from agent_kernel.jobs.engine import Engine
from agent_kernel.jobs.limits import Limits
from agent_kernel.jobs.place import Place
from tests.waiting import PATIENCE


def change_queue(address: str, values: str, where: str = "1 = 1") -> int:
    """What only time or a failure does to the queue's rows: `UPDATE … SET values WHERE where`; how many it changed."""
    place = Place(address)
    table = "agent_kernel_jobs.workflow_status" if place.shared else "workflow_status"
    database = create_engine(place.url.replace("postgresql://", "postgresql+psycopg://"))
    with database.begin() as connection:
        changed = connection.execute(text(f"UPDATE {table} SET {values} WHERE {where}")).rowcount
    database.dispose()
    return changed


class Work:
    """What drives runs in these tests: notes who runs when, and goes on until it may end."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running: set[str] = set()
        self.most: dict[str, int] = {}
        self.seconds = 0.05
        self.open = asyncio.Event()
        self.open.set()

    async def drive(self, run_id: str) -> None:
        self.started.append(run_id)
        self.running.add(run_id)
        for group in (run_id.split("-")[0], "all"):
            now = sum(1 for name in self.running if group in ("all", name.split("-")[0]))
            self.most[group] = max(self.most.get(group, 0), now)
        try:
            await asyncio.sleep(self.seconds)
            await self.open.wait()
            self.ended.append(run_id)
        except asyncio.CancelledError:
            self.cancelled.append(run_id)
            raise
        finally:
            self.running.discard(run_id)


@pytest.fixture
async def work() -> Work:
    return Work()


NewEngine = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def new_engine(address: str, work: Work) -> AsyncIterator[NewEngine]:
    """Starts engines on one database; all are closed at the end."""
    opened: list[Engine] = []

    async def start(drive: Any = work.drive, **options: Any) -> Engine:
        limits = Limits(
            **{"starts_per_second": 1000, "per_owner": 5, "backoff": 0.05, **options.pop("limits", {})}
        )
        engine = Engine(drive, address, limits=limits, **options)
        opened.append(engine)
        await engine.start()
        return engine

    yield start
    work.open.set()
    for engine in reversed(opened):
        await engine.close()


class Process:
    """A worker of its own; `say` what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def worker(address: str, folder: Path, seconds: float) -> AsyncIterator[Process]:
    """Each activation it drives ends by adding a line to a file of its run, after `seconds`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("worker.py")), address, str(folder), str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    started = Process(process)
    try:
        yield started
    finally:
        await started.kill()
