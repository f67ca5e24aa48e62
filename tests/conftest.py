"""Fixtures of all tests: a scripted Messages API, and agents in folders of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.client import Agent
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages


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
