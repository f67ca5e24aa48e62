"""A session with much of everything: 200 skills, 20 MCP servers of 30 tools each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_kernel.client import Agent
from agent_kernel.mcp.config import Configuration
from agent_kernel.mcp.servers import PREFIX_TOKENS
from agent_kernel.settings import Settings
from agent_kernel.skills.catalogue import tokens
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.mcp.conftest import listening

SKILLS, SERVERS = 200, 20
SYSTEM_TOKENS = 6_000
"""What docs/skills.md says of the whole system prompt."""
BUILT_IN_TOKENS = 6_000


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    """The address under which twenty servers listen."""
    with listening(Path(__file__).parent / "mcp" / "thirty.py", str(SERVERS)) as address:
        yield address.removesuffix("/mcp")


def write_skills(home: Path, count: int) -> None:
    for number in range(count):
        folder = home / ".agents" / "skills" / f"skill-number-{number}"
        folder.mkdir(parents=True)
        about = f"Knows all there is to know about subject {number}. Use when subject {number} comes up. " * 4
        (folder / "SKILL.md").write_text(
            f"---\nname: {folder.name}\ndescription: {about}\n---\n# Do it\n\nWell.\n"
        )


async def test_the_prompt_keeps_its_budget_and_each_request_begins_with_the_one_before(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages, servers: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_skills(tmp_path / "home", SKILLS)
    configuration = Configuration(settings.folder, settings.owner)
    for number in range(SERVERS):
        configuration.add(f"s{number:02}", {"url": f"{servers}/s{number:02}/mcp"})
    widget = {"server": "s13", "tool": "make_widget_17", "arguments": {"size": 3}}
    api.add(
        [ToolUse("skill", {"name": "skill-number-77"})],
        [ToolUse("tool_search", {"query": "widget number 17", "server": "s13", "limit": 1})],
        [ToolUse("mcp_call", widget)],
        [Text("Made.")],
        [ToolUse("python", {"code": "1 + 1"})],
        [Text("Two.")],
    )
    agent = new_agent(permission="bypass")
    run = await agent.run("Make the widget")
    assert run.status == "completed", run.events[-2:]
    answers = [e.content[0]["text"] for e in run.events if e.type == "tool_result"]  # type: ignore[attr-defined]
    assert "Well." in answers[0]
    assert "make_widget_17" in answers[1] and "made 17 of 3" in answers[2]
    await agent.run("And two?")

    first, *rest = bodies = api.bodies
    assert len(bodies) == 6
    system = first["system"]
    assert tokens(system) <= SYSTEM_TOKENS
    assert (
        system.count("skill-number-") == SKILLS
    )  # all names are there, with as much of each description as fits
    tools = json.dumps(first["tools"], ensure_ascii=False)
    assert tokens(tools) <= PREFIX_TOKENS + BUILT_IN_TOKENS
    assert {"tool_search", "mcp_call"} <= {tool["name"] for tool in first["tools"]}
    for before, after in zip(bodies, rest, strict=False):
        assert json.dumps(after["system"]) == json.dumps(before["system"])
        assert json.dumps(after["tools"]) == json.dumps(before["tools"])
        told, more = (json.dumps(bare(body["messages"])) for body in (before, after))
        assert more.startswith(told.removesuffix("]"))


def bare(messages: list[dict[str, object]]) -> object:
    """Without the marks that say up to where the provider should cache: they move on, the text does not."""
    return json.loads(
        json.dumps(messages),
        object_hook=lambda found: {key: value for key, value in found.items() if key != "cache_control"},
    )
