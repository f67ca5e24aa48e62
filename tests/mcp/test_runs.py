"""Whole runs with MCP servers: permission, prefix, results, and what reaches the log."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.account import Account
from agent_kernel.app import App, open_app
from agent_kernel.client import Agent, Run
from agent_kernel.events import ApprovalRequest, Error, Event, FileChange, ToolResult
from agent_kernel.mcp.config import Configuration
from agent_kernel.settings import Settings
from agent_kernel.shell.slash import perform
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.mcp.conftest import EVERYTHING


def of(run: Run, kind: type[Event]) -> list[Any]:
    return [event for event in run.events if isinstance(event, kind)]


def texts(run: Run) -> list[str]:
    return ["".join(block.get("text", "") for block in result.content) for result in of(run, ToolResult)]


@pytest.fixture
def configuration(settings: Settings, workspace: Path) -> Configuration:
    (workspace / "everything.py").write_bytes(EVERYTHING.read_bytes())
    made = Configuration(settings.folder, settings.owner)
    made.add("every", {"command": "python3", "args": ["everything.py"], "allow": ["add", "picture", "fetch"]})
    return made


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    async with await open_app(settings) as opened:
        yield opened


async def test_a_tool_that_was_allowed_asks_once_more_after_its_own_answer(
    app: App, new_agent: Callable[..., Agent], configuration: Configuration, api: ScriptedMessages
) -> None:
    """A tool that both reads and sends could be told by what it read what to send."""
    write = [ToolUse("mcp__every__write", {"path": "made.txt", "text": "by a server"})]
    api.add(write, write, write, [Text("Done.")])
    run = await new_agent(host=Account(app), interactive=True).start("Go")
    asked = []
    async for event in run.follow(deltas=False):
        if isinstance(event, ApprovalRequest):
            asked.append("Asks because text from" in event.reason)
            await run.answer(event.id, "session")
    await run.wait()
    assert (run.status, asked) == ("completed", [False, True])


async def test_what_only_reads_runs_what_writes_asks_and_can_be_undone(
    app: App,
    new_agent: Callable[..., Agent],
    configuration: Configuration,
    api: ScriptedMessages,
    workspace: Path,
) -> None:
    write = {"path": "made.txt", "text": "by a server"}
    api.add(
        [ToolUse("mcp__every__add", {"a": 20, "b": 22})],
        [ToolUse("mcp_call", {"server": "every", "tool": "picture"})],
        [ToolUse("mcp__every__write", write)],
        [ToolUse("mcp_call", {"server": "every", "tool": "write", "arguments": write})],
        [Text("Done.")],
    )
    agent = new_agent(host=Account(app), interactive=True)
    run = await agent.start("Go")
    asked = []
    async for event in run.follow(deltas=False):
        if isinstance(event, ApprovalRequest):
            asked.append(event)
            await run.answer(event.id, "session")
    await run.wait()
    assert run.status == "completed", run.events[-3:]
    assert [(request.tool, request.scope) for request in asked] == [("mcp__every__write",) * 2]
    assert asked[0].what.startswith('every: write {"path": "made.txt"')
    assert [(file.path, file.action) for file in run.files] == [("made.txt", "create")]
    assert "42" in texts(run)[0]
    assert of(run, ToolResult)[1].content[-2]["type"] == "image"
    assert of(run, FileChange)[0].call_id == of(run, ToolResult)[2].id
    await run.undo()
    assert not (workspace / "made.txt").exists()

    bodies = [json.dumps([body["system"], body["tools"]]) for body in api.bodies]
    assert len(set(bodies)) == 1, "the prefix stays the same to the byte"
    configuration.add("more", {"command": "python3", "args": ["everything.py"]})
    api.add([Text("Again.")])
    await agent.run("Again")
    assert json.dumps([api.bodies[-1]["system"], api.bodies[-1]["tools"]]) == bodies[0]

    listed = (await perform("/tools", agent, None)).text
    assert "MCP server `every` (connected): `add, environment" in listed
    assert "MCP server `more` (idle)" in listed
    await perform("/tools refresh", agent, None)
    api.add([Text("Anew.")])
    run = await agent.run("Anew")
    assert of(run, Error) == []
    assert "mcp__more__add" in {tool["name"] for tool in api.bodies[-1]["tools"]}


@pytest.mark.parametrize(
    ("permission", "interactive", "says"),
    [
        ("plan", True, "only reads"),
        ("accept-edits", False, "nobody to ask"),
        ("bypass", False, "wrote made.txt"),
    ],
)
async def test_permissions_mean_the_same_for_servers_tools(
    new_agent: Callable[..., Agent],
    configuration: Configuration,
    api: ScriptedMessages,
    permission: str,
    interactive: bool,
    says: str,
) -> None:
    write = {"path": "made.txt", "text": "x"}
    api.add(
        [
            ToolUse("mcp__every__add", {"a": 1, "b": 2}),
            ToolUse("mcp_call", {"server": "every", "tool": "write", "arguments": write}),
        ],
        [Text("Done.")],
    )
    run = await new_agent(permission=permission, interactive=interactive).run("Go")
    assert run.status == "completed", run.events[-3:]
    assert "3" in texts(run)[0]
    assert says in texts(run)[1]
    assert [file.path for file in run.files] == (["made.txt"] if permission == "bypass" else [])


async def test_the_choice_outlives_the_process_and_a_fork_shares_it(
    new_agent: Callable[..., Agent], settings: Settings, configuration: Configuration, api: ScriptedMessages
) -> None:
    for _ in range(3):
        api.add([Text("Hello.")])
    async with await open_app(settings) as app:
        run = await new_agent(host=Account(app)).run("Go")
    configuration.add("more", {"command": "python3", "args": ["everything.py"]})
    async with await open_app(settings) as app:
        agent = new_agent(host=Account(app))
        await agent.run("Go on")
        await (await agent.fork(run.id, 3, "Another way")).wait()
    tools = [json.dumps(body["tools"]) for body in api.bodies]
    assert len(tools) == 3 and len(set(tools)) == 1


async def test_a_session_without_servers_has_no_tool_for_them(
    new_agent: Callable[..., Agent], api: ScriptedMessages
) -> None:
    api.add([Text("Hello.")])
    await new_agent().run("Go")
    names = {tool["name"] for tool in api.bodies[0]["tools"]}
    assert not {name for name in names if "mcp" in name or name == "tool_search"}


async def test_servers_that_are_not_there_are_named_once_and_the_run_goes_on(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages
) -> None:
    Configuration(settings.folder, settings.owner).add("gone", {"command": "no-such-program"})
    api.add([Text("One.")], [Text("Two.")])
    agent = new_agent()
    first, second = await agent.run("Go"), await agent.run("Go")
    assert (first.status, second.status) == ("completed", "completed")
    assert "gone is not there" in of(first, Error)[0].message
    assert of(second, Error) == []


async def test_a_broken_file_of_servers_ends_no_run(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages
) -> None:
    configuration = Configuration(settings.folder, settings.owner)
    configuration.folder.mkdir(parents=True)
    configuration.path.write_text("{")
    api.add([Text("Fine.")])
    run = await new_agent().run("Go")
    assert run.status == "completed"
    assert str(configuration.path) in of(run, Error)[0].message


async def test_a_servers_secret_never_reaches_the_log_or_the_model(
    new_agent: Callable[..., Agent],
    settings: Settings,
    api: ScriptedMessages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "tok-1234567890")
    said = {
        "command": sys.executable,
        "args": [str(EVERYTHING)],
        "trusted": "host",
        "env": {"T": "${SERVICE_TOKEN}"},
    }
    Configuration(settings.folder, settings.owner).add("host", said)
    api.add([ToolUse("mcp__host__environment", {"name": "T"})], [Text("Done.")])
    run = await new_agent(settings=replace(settings, permission="bypass")).run("Go")
    assert "[redacted]" in texts(run)[0]
    assert "tok-1234567890" not in json.dumps([event.model_dump() for event in run.events]) + json.dumps(
        api.bodies
    )


async def test_a_server_in_the_sandbox_reaches_only_what_the_run_may(
    new_agent: Callable[..., Agent], configuration: Configuration, api: ScriptedMessages
) -> None:
    api.add(
        [
            ToolUse("mcp__every__fetch", {"url": "http://example.org/"}),
            ToolUse("mcp__every__fetch", {"url": "http://169.254.169.254/latest"}),
        ],
        [Text("Done.")],
    )
    said = " ".join(texts(await new_agent().run("Go")))
    assert "403 agent-kernel: The person did not allow a connection to example.org" in said
    assert "403 agent-kernel: 169.254.169.254 is a private address" in said
