"""Agent definitions: found, trusted, narrowed to, and kept with the run that works as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.client import Agent
from agent_kernel.definitions import (
    PLACE,
    AgentDefinition,
    find_definitions,
    load_definition,
    parse_definition,
)
from agent_kernel.errors import SettingsError
from agent_kernel.settings import Settings
from agent_kernel.skills import Trust
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse

REVIEWER = """\
description: Reads, and says what does not hold.
model: small
prompt: Compute every figure again.
tools: [read_file, "list_*", skill]
skills: []
permission: plan
budget: 0.5
max_turns: 7
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / PLACE).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path / "data", "me")


def write(folder: Path, name: str, text: str = REVIEWER) -> Path:
    path = folder / PLACE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def states(workspace: Path, trust: Trust) -> list[tuple[str, str, str]]:
    return [(one.name, one.scope, one.state) for one in find_definitions(workspace, trust)]


def test_every_field_is_read() -> None:
    assert parse_definition("reviewer", REVIEWER) == AgentDefinition(
        name="reviewer",
        description="Reads, and says what does not hold.",
        model="small",
        prompt="Compute every figure again.",
        tools=("read_file", "list_*", "skill"),
        skills=(),
        permission="plan",
        budget=0.5,
        max_turns=7,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base_url: https://evil.example", "base_url"),
        ("name: other\nnetwork: ['*']", "network"),
        ("permission: everything", "permission = 'everything'"),
        ("budget: lots", "budget = 'lots'"),
        ("budget: -1", "budget = '-1'"),
        ("max_turns: 0", "max_turns = '0'"),
        ("tools: bash", "tools = 'bash'"),
        ("- a\n- b", "not a mapping"),
        ("a: [1", "not valid YAML: line "),
        ("model: a\nmodel: b", "model is there more than once"),
        ("[" * 5_000, "nested too deep"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_definition("bad", text)
    assert said in str(caught.value)


def test_a_projects_definition_waits_for_trust_and_a_changed_one_again(
    home: Path, workspace: Path, trust: Trust
) -> None:
    write(home, "mine.yaml")
    path = write(workspace, "reviewer.yaml")
    assert states(workspace, trust) == [("reviewer", "workspace", "untrusted"), ("mine", "user", "on")]
    with pytest.raises(SettingsError, match="not trusted"):
        load_definition("reviewer", workspace, trust)
    found = find_definitions(workspace, trust)[0]
    trust.add(found.digest, found.name, found.path)
    assert states(workspace, trust)[0] == ("reviewer", "workspace", "on")
    assert "reviewer" not in {
        one.name for one in find_definitions(workspace, Trust(trust.folder, "you")) if one.state == "on"
    }, "one person's trust is not another's"
    path.write_text(REVIEWER + "# changed\n")
    assert states(workspace, trust)[0] == ("reviewer", "workspace", "untrusted")


def test_trust_that_the_agent_could_write_is_not_believed(home: Path, workspace: Path) -> None:
    inside = Trust(workspace / "data", "me")
    write(workspace, "reviewer.yaml")
    found = find_definitions(workspace, inside)[0]
    inside.add(found.digest, found.name, found.path)
    assert states(workspace, inside) == [("reviewer", "workspace", "untrusted")]
    (home / PLACE / "deep").mkdir()
    write(home, "own.yaml", "description: own")
    assert states(home / PLACE / "deep", inside) == [("own", "workspace", "untrusted")], (
        "the agent's to write"
    )


def test_the_nearest_counts_and_what_is_no_file_of_the_folder_is_passed_over(
    home: Path, workspace: Path, trust: Trust
) -> None:
    write(home, "reviewer.yaml", "description: the person's")
    near = write(workspace, "reviewer.yml", "description: the project's")
    (near.parent / "linked.yaml").symlink_to("/etc/passwd")
    (near.parent / "folder.yaml").mkdir()
    write(workspace, "Bad Name.yaml")
    (near.parent / "binary.yaml").write_bytes(b"\xff\xfe")
    (near.parent / "huge.yaml").write_text("prompt: " + "x" * (65 << 10))
    found = {one.name: one for one in find_definitions(workspace, trust)}
    assert "linked" not in found
    assert "folder" not in found
    assert {name for name, one in found.items() if one.state == "broken"} == {"Bad Name", "binary", "huge"}
    assert load_definition("reviewer", workspace, trust).scope == "user", "the other is not trusted yet"
    untrusted = next(one for one in find_definitions(workspace, trust) if one.state == "untrusted")
    trust.add(untrusted.digest, untrusted.name, untrusted.path)
    assert load_definition("reviewer", workspace, trust).scope == "workspace"
    with pytest.raises(SettingsError, match="There is: reviewer"):
        load_definition("reviewr", workspace, trust)
    with pytest.raises(SettingsError, match="larger than 64 KiB"):
        load_definition("huge", workspace, trust)


def test_limits_only_tighten_and_a_model_that_was_named_stays() -> None:
    agent = AgentDefinition(name="a", model="small", permission="ask", budget=2.0, max_turns=50)
    usual = agent.applied(Settings(model="large"))
    assert (usual.model, usual.permission, usual.budget, usual.max_turns) == ("small", "ask", 2.0, 50)
    strict = Settings(permission="plan", budget=1.0, max_turns=10).with_overrides("request", model="named")
    kept = agent.applied(strict)
    assert (kept.model, kept.permission, kept.budget, kept.max_turns) == ("named", "plan", 1.0, 10)
    configured = Settings().with_overrides("AGENT_KERNEL_MODEL", model="usual")
    assert agent.applied(configured).model == "small"
    assert agent.applied(Settings(max_turns=0)).max_turns == 50, "0 is no bound"


async def test_a_run_works_as_its_agent_with_the_text_it_began_with(
    new_agent: Callable[..., Agent], home: Path, api: ScriptedMessages, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("forty-two")
    path = write(home, "reviewer.yaml", REVIEWER.replace("permission: plan\n", ""))
    agent = new_agent(agent="reviewer")
    api.add([ToolUse("bash", {"command": "touch made"})], [ToolUse("read_file", {"path": "a.txt"})])
    run = await agent.run("Review it", max_turns=2)
    assert (run.status, run.reason) == ("paused", "max_turns")
    assert not (workspace / "made").exists(), "it has no bash"
    request = api.requests[0].body
    assert request["model"] == "small"
    assert {tool["name"] for tool in request["tools"]} == {"read_file", "list_files"}, "and no skills"
    assert "Compute every figure again." in json.dumps(request["system"])
    assert "data-analysis" not in json.dumps(request["system"])

    path.write_text("description: another one by now\nprompt: Something else.")
    api.add([Text("It holds.")])
    resumed = await agent.resume(run.id, max_turns=5)
    await resumed.wait()
    assert resumed.status == "completed"
    assert api.requests[-1].body["system"] == request["system"]
    assert api.requests[-1].body["tools"] == request["tools"]

    api.add([Text("Yes.")])
    copy = await agent.fork(run.id, 3, "Really?")
    await copy.wait()
    assert api.requests[-1].body["system"] == request["system"]
    assert api.requests[-1].body["model"] == "small"

    with pytest.raises(SettingsError, match="no agent definition 'reviwer'"):
        await agent.start("Review it", agent="reviwer")
    assert [one["name"] for one in await agent.agents()] == ["reviewer"]


async def test_an_agent_is_kept_to_its_servers(new_agent: Callable[..., Agent], home: Path) -> None:
    from agent_kernel.errors import ToolError
    from agent_kernel.mcp.declared import Declared
    from agent_kernel.mcp.servers import Chosen
    from agent_kernel.mcp.tools import session_tools

    def declared(server: str) -> Declared:
        return Declared(
            server=server, tool="look", name=f"mcp__{server}__look", description="", input_schema={},
            read_only=True, output_schema=None,
        )  # fmt: skip

    agent: Any = new_agent()
    host, session = await agent._open()
    servers = host.app.places.mcp(await host.get_session(session.id))
    chosen = Chosen((declared("one"), declared("two")), {"one": 1, "two": 1})
    kept = {tool.name: tool for tool in session_tools(servers, chosen, ("two",))}
    assert set(kept) == {"mcp__two__look", "tool_search", "mcp_call"}
    assert "one" not in kept["tool_search"].description.split("Services")[1]
    for name in ("tool_search", "mcp_call"):
        with pytest.raises(ToolError, match="does not use the server 'one'"):
            await kept[name].run({"server": "one", "tool": "look", "query": "look"}, None)  # type: ignore[arg-type]
    assert session_tools(servers, chosen, ()) == []


def test_the_command_line_lists_begins_shows_and_trusts(
    home: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))

    def said(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["agents", *words, "--cwd", str(workspace)])
        assert done.exit_code == code, done.output
        return done.output

    assert "There is none" in said("list")
    assert "reviewer.yaml" in said("new", "reviewer", "--workspace", "--description", 'Says "no".')
    assert "is there already" in said("new", "reviewer", "--workspace", code=2)
    assert "is no name" in said("new", "../evil", code=2)
    assert "untrusted" in said("list")
    assert "trusted" in said("trust", "--yes")
    assert json.loads(said("list", "--json")) == {
        "name": "reviewer",
        "description": 'Says "no".',
        "scope": "workspace",
        "state": "on",
        "path": str(workspace / PLACE / "reviewer.yaml"),
        "problem": "",
    }
    write(workspace, "other.yaml", "tools: [no_such_tool]\nprompt: \x1b[31mred")
    shown = said("show", "other")
    assert "\x1b" not in shown
    write(workspace, "other.yaml", "tools: [no_such_tool, bash]")
    assert "no tool of agent-kernel is called no_such_tool" in said("show", "other")
    assert "nothing to trust" not in said("trust", "reviewer", "--revoke")
    assert "untrusted" in said("list")
