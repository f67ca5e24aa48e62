"""A run's log up to some event, continued as a run of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.client import Agent
from agent_kernel.errors import RunError
from agent_kernel.events import Status, ToolResult
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse


@pytest.fixture
async def account(settings: Settings) -> Account:
    return Account(await open_app(settings))


async def test_a_fork_knows_what_the_run_knew_then_and_leaves_it_alone(
    account: Account, workspace: Path, api: ScriptedMessages
) -> None:
    (workspace / "a.txt").write_text("old\n")
    agent = Agent(workspace=workspace, settings=account.app.settings, host=account)
    api.add([Text("Earlier answer.")])
    await agent.run("Earlier question")
    api.add(
        [ToolUse("bash", {"command": "echo one > a.txt"}, id="one")],
        [ToolUse("bash", {"command": "echo two > a.txt"}, id="two")],
        [Text("Two it is.")],
    )
    run = await agent.run("Change it twice")
    before = await account.read(run.id)
    cut = next(event.seq for event in run.events if isinstance(event, ToolResult) and event.id == "one")

    api.add([Text("One is enough.")])
    copy = await account.fork(run.id, cut, "Stop there", restore=True)
    await account.app.wait(copy.id)
    events = await account.read(copy.id)
    assert isinstance(events[-1], Status)
    assert events[-1].status == "completed"
    assert (workspace / "a.txt").read_text() == "one\n"
    asked = str(api.bodies[-1]["messages"])
    for known in ("Earlier question", "Earlier answer.", "Change it twice", "echo one", "Stop there"):
        assert known in asked
    assert "echo two" not in asked
    assert (await account.read(run.id))[: len(before)] == before, (
        "the run has only the note that files went back"
    )
    assert copy.session_id != run.events[0].run_id
    await agent.close()
    await account.close()


async def test_a_fork_without_a_prompt_does_the_rest_again(
    account: Account, workspace: Path, api: ScriptedMessages
) -> None:
    agent = Agent(workspace=workspace, settings=account.app.settings, host=account)
    api.add([ToolUse("bash", {"command": "echo x >> count.txt"}, id="c")], [Text("First end.")])
    run = await agent.run("Count")
    cut = next(event.seq for event in run.events if isinstance(event, ToolResult))
    api.add([Text("Another end.")])
    copy = await account.fork(run.id, cut)
    await account.app.wait(copy.id)
    assert (workspace / "count.txt").read_text() == "x\n", "what has its result is not executed again"
    assert "Another end." in str(await account.read(copy.id))
    with pytest.raises(RunError, match="has no event 999"):
        await account.fork(run.id, 999, "x")
    with pytest.raises(RunError, match="nothing after event"):
        await account.fork(run.id, run.events[-1].seq)
    await agent.close()
    await account.close()
