"""Fixtures of all tests: a scripted Messages API, agents in folders of their own, and databases."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from agent_kernel.client import Agent
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from tests.postgresql import started

# How long one example takes is the machine's business: a moment in which it stands still is no failure.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # begun in the background: no test could interrupt anything
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the slow modules between the others: two processors are too few for three browsers at once, and no long
    one should be left for the end."""
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    slow = [any(item.get_closest_marker("slow") for item in found) for found in modules.values()]
    counts = {True: slow.count(True), False: slow.count(False)}
    places: list[tuple[float, Path]] = []
    seen = {True: 0, False: 0}
    for path, is_slow in zip(modules, slow, strict=True):
        share = seen[is_slow] / counts[is_slow]
        places.append((share * (0.8 if is_slow else 1), path))
        seen[is_slow] += 1
    items[:] = [item for _, path in sorted(places) for item in modules[path]]


@pytest.fixture(scope="session", autouse=True)
def own_ipython(tmp_path_factory: pytest.TempPathFactory) -> None:
    """History and profile of the person who runs the tests are not theirs, nor those of tests beside them."""
    os.environ["IPYTHONDIR"] = str(tmp_path_factory.mktemp("ipython"))


@pytest.fixture
def api() -> Iterator[ScriptedMessages]:
    """The scripted Messages API; `api.add(turn, …)` says what the model answers."""
    with ScriptedMessages() as server:
        yield server


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path, api: ScriptedMessages) -> Settings:
    return Settings(
        model="scripted",
        base_url=api.url,
        api_key="key-of-the-test",
        data_dir=str(tmp_path / "data"),
        demo_delay=0,
    )


@pytest.fixture
async def new_agent(workspace: Path, settings: Settings) -> AsyncIterator[Callable[..., Agent]]:
    """Makes agents on one workspace and one store; all are closed at the end."""
    opened: list[Agent] = []

    def make(**options: Any) -> Agent:
        opened.append(Agent(**{"workspace": workspace, "settings": settings, **options}))
        return opened[-1]

    yield make
    for agent in opened:
        await agent.close()


@pytest.fixture
def agent(new_agent: Callable[..., Agent]) -> Agent:
    return new_agent()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of our own."""
    folder = (
        Path("/tmp") / f"agent-kernel-pg-{uuid4().hex[:8]}"
        if os.geteuid() == 0
        else tmp_path_factory.mktemp("pg")
    )
    server = started(folder)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_address(postgresql: str) -> str:
    """A new, empty database of that server."""
    from sqlalchemy import create_engine, text

    name = f"test_{uuid4().hex[:8]}"
    engine = create_engine(
        postgresql.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    head, _, query = postgresql.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}{'?' + query if query else ''}"


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store can be opened."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    found: str = request.getfixturevalue("postgresql_address")
    return found
