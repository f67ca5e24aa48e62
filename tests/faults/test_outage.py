"""A database that is away for a moment: what waits goes on waiting, and hears what was said meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from agent_kernel.account import Account
from agent_kernel.app import App, open_app
from agent_kernel.events import ApprovalRequest
from agent_kernel.runs.store import open_store
from agent_kernel.runs.writer import IDLE
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.faults.wire import Wire
from tests.server.conftest import TOKEN, jupyter_server

AWAY = 4.5
"""Seconds: longer than anybody waits between two looks."""
PATIENCE = 60


@pytest.fixture
def wire(postgresql_address: str) -> Iterator[Wire]:
    place = re.search(r"host=([^&]+)", postgresql_address)
    assert place is not None
    wire = Wire(f"{place[1].replace('%2F', '/')}/.s.PGSQL.5432")
    yield wire
    wire.close()


def over(wire: Wire, address: str) -> str:
    name = address.partition("?")[0].rpartition("/")[2]
    return f"postgresql://postgres@127.0.0.1:{wire.port}/{name}"


async def test_a_connection_that_was_cut_while_nobody_used_it_is_made_again(
    wire: Wire, postgresql_address: str
) -> None:
    store = await open_store(over(wire, postgresql_address))
    session = await store.create_session(owner="ada", name="main", workspace="/w")
    wire.drop()
    await asyncio.sleep(2 * IDLE)
    run = await store.create_run(session_id=session.id, prompt="Hi", model="m", owner="ada")
    assert (await store.get_run(run.id)).prompt == "Hi"
    await store.close()


async def asked(app: App, run_id: str) -> str:
    async for event in app.log.follow(run_id):
        if isinstance(event, ApprovalRequest):
            return event.id
    raise AssertionError("nothing was asked")


async def followed(account: Account, run_id: str) -> list[int]:
    return [event.seq async for event in account.follow(run_id, deltas=False)]


async def test_a_run_that_waits_for_a_person_hears_the_answer_after_it(
    wire: Wire, postgresql_address: str, settings: Settings, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([ToolUse("bash", {"command": "echo yes > allowed"})], [Text("Done.")])
    settings = settings.with_overrides(
        "test", database_url=over(wire, postgresql_address), permission="ask", user="ada"
    )
    async with await open_app(settings) as app:
        account = Account(app)
        session = await account.session("main", workspace)
        run = await account.submit(session, "Go", settings)
        async with asyncio.timeout(PATIENCE):
            following = asyncio.create_task(followed(account, run.id))
            request = await asked(app, run.id)
            await asyncio.to_thread(wire.away, AWAY)
            await account.answer(run.id, request, "allow", "")
            await app.wait(run.id)
            assert await following == [event.seq for event in await app.log.read(run.id)]
        assert (await app.store.get_run(run.id)).status == "completed"
    assert (workspace / "allowed").exists()


def test_a_stream_that_can_say_nothing_more_of_a_run_ends(
    wire: Wire, postgresql_address: str, api: ScriptedMessages, tmp_path: Path
) -> None:
    """A page would believe the run to be quiet; told that the stream ended, it asks again from where it was."""
    api.add([ToolUse("bash", {"command": "true"})], [Text("Done.")])
    environ = {"AGENT_KERNEL_DATABASE_URL": over(wire, postgresql_address)}
    with jupyter_server(tmp_path / "home", tmp_path / "work", api, environ=environ) as jupyter:
        run = jupyter.run("Go", options={"permission": "ask"})
        request = jupyter.until(run, lambda event: event["type"] == "approval_request", PATIENCE)
        deadline = time.monotonic() + PATIENCE
        headers = {"Authorization": f"token {TOKEN}"}
        where, seen = f"{jupyter.url}/api/agent/stream?run={run}:0", 0
        with httpx2.Client(trust_env=False, timeout=PATIENCE) as client:
            with client.stream("GET", where, headers=headers) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: {") and json.loads(line[6:])["type"] == "approval_request":
                        seen = json.loads(line[6:])["seq"]
                        wire.away(AWAY)
                    assert time.monotonic() < deadline, "it says that it is alive, and nothing of the run"
            jupyter.post(f"runs/{run}/approvals/{request['id']}", {"decision": "allow"})
            with client.stream("GET", f"{where[:-2]}:{seen}", headers=headers) as answer:
                for line in answer.iter_lines():
                    if '"completed"' in line:
                        break
        assert jupyter.ended(run, PATIENCE)["status"] == "completed"
