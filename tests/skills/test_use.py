"""Skills in runs: told in the prompt, taken up by the tool, their scripts run in the sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.client import Agent, Run
from agent_kernel.errors import SkillError
from agent_kernel.events import ApprovalRequest, Event, FileChange, ToolResult
from agent_kernel.settings import Settings
from agent_kernel.skills import Trust
from agent_kernel.skills.allowed import Allowed
from agent_kernel.skills.contents import pack
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Item, Text, ToolUse
from tests.skills.conftest import Write

NewAgent = Callable[..., Agent]


def use(name: str) -> ToolUse:
    return ToolUse("skill", {"name": name})


def bash(command: str) -> ToolUse:
    return ToolUse("bash", {"command": command})


def results(run: Run) -> list[str]:
    return [
        "".join(block.get("text", "") for block in event.content)
        for event in run.events
        if isinstance(event, ToolResult)
    ]


def of(run: Run, kind: type[Event]) -> list[Any]:
    return [event for event in run.events if isinstance(event, kind)]


async def test_a_skill_is_told_taken_up_run_and_edited_beside_the_workspace(
    agent: Agent, api: ScriptedMessages, write: Write, workspace: Path
) -> None:
    folder = write("counting", "Counts things. Use it to count.", body="Run `python scripts/count.py`.",
                   files={"scripts/count.py": "print(6 * 7)", "references/more.md": "More words."})  # fmt: skip
    there = "/session/skills/counting"
    api.add(
        [use("counting")],
        [bash(f"cd {there} && python scripts/count.py && sed -i 's/6/7/' scripts/count.py")],
        [ToolUse("read_file", {"path": f"{there}/references/more.md"})],
        [use("Counting")],
        [bash(f"python {there}/scripts/count.py")],
        [Text("Done.")],
    )
    run = await agent.run("Count")
    assert run.status == "completed", run.events[-2:]
    first, counted, more, again, edited = results(run)
    assert first.startswith("# Skill counting")
    assert "Run `python scripts/count.py`." in first
    assert f"`{there}`" in first
    assert "`references/more.md`, `scripts/count.py`" in first
    assert (counted.strip(), edited.strip()) == ("42", "49")
    assert "More words." in more
    assert again == first, "what was edited is still there"
    assert list(workspace.iterdir()) == []
    assert of(run, FileChange) == []
    assert (folder / "scripts/count.py").read_text() == "print(6 * 7)"
    assert "- `counting`: Counts things. Use it to count." in json.dumps(api.bodies[0]["system"])


async def test_the_prefix_of_each_request_is_that_of_the_one_before_to_the_byte(
    agent: Agent, api: ScriptedMessages, write: Write
) -> None:
    for number in range(200):
        write(f"skill-{number}", "Does a thing that is hard to do. " * 10)
    api.add([use("skill-7")], [bash("echo hi")], [Text("One.")], [Text("Two.")])
    await agent.run("Go")
    await agent.run("Go on")
    bodies = [json.dumps([b["system"], b["tools"], b["messages"]]) for b in api.bodies]
    for before, after in zip(api.bodies, api.bodies[1:], strict=False):
        assert json.dumps([before["system"], before["tools"]]) == json.dumps(
            [after["system"], after["tools"]]
        )
        assert _plain(after["messages"])[: len(before["messages"])] == _plain(before["messages"])
    assert len(bodies) == 4
    assert bodies[0].count("- `skill-") == 200


def _plain(messages: list[Any]) -> list[Any]:
    """Without the marks that say what is to be cached."""
    loaded: list[Any] = json.loads(json.dumps(messages))
    for message in loaded:
        for block in message["content"]:
            block.pop("cache_control", None)
    return loaded


async def test_a_changed_skill_replaces_the_copy_and_keeps_what_was_there(
    agent: Agent, api: ScriptedMessages, write: Write
) -> None:
    folder = write("one", files={"a.txt": "first"})
    api.add([use("one")], [Text("Yes.")])
    await agent.run("Use it")
    (folder / "a.txt").write_text("second")
    api.add([use("one")], [bash("cd /session/skills; cat one/a.txt one.old/a.txt")], [Text("Yes.")])
    run = await agent.run("Use it again")
    told, read = results(run)
    assert "has changed since it was last used here" in told
    assert read.strip() == "secondfirst"


async def test_a_workspace_skill_is_unseen_until_it_is_trusted_and_refused_once_it_changed(
    agent: Agent, api: ScriptedMessages, write: Write, workspace: Path, settings: Settings
) -> None:
    folder = write("local", at=workspace / ".agents/skills")
    api.add([use("local")], [Text("No.")])
    run = await agent.run("Use it")
    assert "There is no skill 'local'" in results(run)[0]
    assert "`local`" not in json.dumps(api.bodies[0]["system"])
    Trust(settings.folder, settings.owner).add(pack(folder).digest, "local", folder)
    api.add(
        [use("local")],
        [bash("echo Obey me. >> .agents/skills/local/SKILL.md")],
        [use("local")],
        [Text("So.")],
    )
    run = await agent.run("Use it")
    first, _, changed = results(run)
    assert first == "# Skill local\n\nDo it."
    assert changed.startswith("The skill local has changed since the person trusted it.")
    api.add([Text("Gone.")])
    await agent.run("And now?")
    assert "`local`" not in json.dumps(api.bodies[-1]["system"])


async def test_a_long_skill_is_cut_and_kept_whole(agent: Agent, api: ScriptedMessages, write: Write) -> None:
    write("long", body="Words. " * 20_000 + "The last one.")
    api.add([use("long")], [bash("tail -c 20 /session/skills/long/SKILL.md")], [Text("Read.")])
    run = await agent.run("Use it")
    text, end = results(run)
    assert len(text) < 32_000
    assert "the whole is in /session/skills/long/SKILL.md" in text
    assert end.strip().endswith("The last one.")


async def test_a_skill_is_switched_off_and_on_for_its_session(
    new_agent: NewAgent, api: ScriptedMessages, write: Write
) -> None:
    write("one")
    agent, other = new_agent(), new_agent(session="other")
    assert (await agent.switch_skill("One", False))["state"] == "off"
    with pytest.raises(SkillError, match="There is no skill 'two'"):
        await agent.switch_skill("two", False)
    states = {skill["name"]: skill["state"] for skill in await agent.skills()}
    assert (states["one"], states["data-analysis"]) == ("off", "on")
    api.add([Text("A.")], [Text("B.")], [Text("C.")])
    for each in (agent, other):
        await each.run("Hi")
    assert (await agent.switch_skill("one", True))["state"] == "on"
    await agent.run("Hi")
    assert ["`one`" in json.dumps(body["system"]) for body in api.bodies] == [False, True, True]


async def test_of_two_skills_that_are_switched_at_once_both_are(agent: Agent) -> None:
    names = "dashboards", "data-analysis"
    await agent.skills()
    await asyncio.gather(*(agent.switch_skill(name, False) for name in names))
    states = {skill["name"]: skill["state"] for skill in await agent.skills()}
    assert [states[name] for name in names] == ["off", "off"]


async def test_allowed_tools_narrow_what_runs_without_asking(
    new_agent: NewAgent, api: ScriptedMessages, write: Write
) -> None:
    write("careful", allowed_tools="Read Bash(echo:*) Write(out/*)")
    turns: list[list[Item]] = [
        [bash("touch before")],
        [use("careful")],
        [bash("echo hi")],
        [bash("echo hi; touch after")],
        [ToolUse("write_file", {"path": "out/a.txt", "content": "a"})],
        [ToolUse("write_file", {"path": "out/../b.txt", "content": "b"})],
        [ToolUse("list_files", {})],
        [Text("Done.")],
    ]
    api.add(*turns)
    agent = new_agent()
    run = await agent.run("Be careful")
    assert [event.is_error for event in of(run, ToolResult)] == [
        False,
        False,
        False,
        True,
        False,
        True,
        False,
    ]
    (first, second) = of(run, ApprovalRequest)
    assert (first.tool, second.tool) == ("bash", "write_file")
    assert first.reason.startswith("The skill careful, which is in use, does not list this")
    api.add(*turns)
    run = await agent.run("Once more", permission="bypass")
    assert of(run, ApprovalRequest) == []


@pytest.mark.parametrize(
    ("text", "command", "covered"),
    [
        ("Bash", "rm -rf x", True),
        ("Bash(*)", "rm -rf x", True),
        ("bash(git:*)", "git status", True),
        ("Bash(git *), Read", "git", True),
        ("Bash(git:*)", "gitk", False),
        ("Bash(git:*)", "git status && rm x", False),
        ("Bash(git:*)", "git log | sh", False),
        ("Bash(git:*)", "git log $(rm x)", False),
        ("Bash(git:*)", "git log\nrm x", False),
        ("Bash(git:*)", "A=1 git log", False),
        ("Bash(npm run test)", "npm run test", True),
        ("Bash(npm run test)", "npm run tests", False),
        ("Bash(npm run *)", "npm run lint", True),
        ("Bash(python scripts/*.py)", "python scripts/a.py", True),
        ("Read Grep", "ls", False),
        ("", "ls", False),
        ("WebFetch(domain:x)", "ls", False),
    ],
)
def test_a_pattern_covers_one_plain_command(text: str, command: str, covered: bool) -> None:
    assert Allowed.parse(text).covers("bash", {"command": command}) is covered
