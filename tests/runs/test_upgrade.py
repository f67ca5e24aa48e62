"""Stores that earlier releases wrote open after an upgrade, with everything in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.client import Agent
from agent_kernel.events import ContextUpdate
from agent_kernel.runs.database import HEAD
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text

STORES = sorted((Path(__file__).parents[1] / "data").glob("runs-*.db"))


def test_there_is_a_store_of_every_earlier_migration() -> None:
    assert [path.stem for path in STORES] == [f"runs-{number:04}" for number in range(1, int(HEAD))]


@pytest.mark.parametrize("stored", STORES, ids=lambda path: path.stem)
async def test_a_store_of_an_earlier_release_opens_and_takes_more(
    stored: Path, settings: Settings, api: ScriptedMessages, workspace: Path
) -> None:
    settings.folder.mkdir(parents=True)
    shutil.copy(stored, settings.folder / "runs.db")
    async with await open_app(settings) as app:
        old = Account(app, "ada")
        (run,) = await old.list_runs()
        events = await old.read(run.id)
        assert [event.seq for event in events] == list(range(1, 14))
        assert "Written by version 0.1.0." in str(events)
        turns = [event for event in events if isinstance(event, ContextUpdate)]
        used = (await old.used_by([run]))[run.id]
        assert used.turns == len(turns)
        assert used.input_tokens == sum(turn.input_tokens for turn in turns)
        api.add([Text("And by this one.")])
        added = await Agent(workspace=workspace, settings=settings, host=Account(app)).run("More")
        assert added.text == "And by this one."
        assert await old.read(run.id) == events
