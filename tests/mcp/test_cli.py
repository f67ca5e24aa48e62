"""`agent-kernel mcp`, as a person types it; and our runs served to another agent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mcp import Client, StdioServerParameters

from agent_kernel.cli import main
from tests.mcp.conftest import HOSTILE

Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(workspace)

    def run(*args: str, **options: Any) -> Result:
        return CliRunner().invoke(main, ["mcp", *args], **options)

    return run


def test_a_server_is_added_tested_switched_and_removed(typed: Typed, workspace: Path) -> None:
    (workspace / "hostile.py").write_bytes(HOSTILE.read_bytes())
    assert "No servers yet" in typed("list").output
    done = typed("add", "widgets", "--allow", "*", "--timeout", "5", "--", "python3", "hostile.py", "thirty")
    assert done.exit_code == 0, done.output
    assert "widgets" in typed("list").output
    tested = typed("test", "widgets").output
    assert "widgets: 30 tools in" in tested
    assert "make_widget_7 (may change things): Make widget number 7" in tested
    assert typed("off", "widgets").exit_code == 0
    assert json.loads(typed("list", "--json").output)["servers"][0]["on"] is False
    assert "There is no MCP server 'widgets' switched on" in typed("test", "widgets").output
    assert typed("on", "widgets").exit_code == 0
    assert typed("remove", "widgets").exit_code == 0
    assert typed("remove", "widgets").exit_code == 2


def test_a_workspaces_file_is_shown_before_it_is_trusted(typed: Typed, workspace: Path) -> None:
    (workspace / ".mcp.json").write_text('{"mcpServers": {"theirs": {"command": "evil", "args": ["--now"]}}}')
    listed = typed("list").output
    assert "Not trusted yet" in listed and "evil --now" in listed
    assert typed("trust", input="n\n").exit_code == 1
    assert json.loads(typed("list", "--json").output)["servers"] == []
    assert "evil --now" in typed("trust", input="y\n").output
    assert json.loads(typed("list", "--json").output)["servers"][0]["name"] == "theirs"
    assert typed("distrust").exit_code == 0
    assert json.loads(typed("list", "--json").output)["servers"] == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("add", "x"), "Say the server's address"),
        (("add", "x", "--template", "nope"), "There is no template 'nope'"),
        (("add", "x", "https://e.org", "--header", "Authorization"), "is not NAME:VALUE"),
        (("add", "x y", "https://e.org"), "cannot be a server's name"),
        (("add", "x", "--env", "T=${TOKEN}", "--", "prog"), "would enter the sandbox"),
        (("trust",), "There is no .mcp.json"),
    ],
)
def test_wrong_usage_is_a_sentence(typed: Typed, args: tuple[str, ...], says: str) -> None:
    done = typed(*args)
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output


def test_templates_are_listed_and_added_by_name(typed: Typed) -> None:
    assert "agent-kernel mcp add github --template github" in typed("templates").output
    assert "GITHUB_TOKEN" in typed("add", "github", "--template", "github").output
    assert "http     https://api.githubcopilot.com/mcp/" in typed("list").output


async def test_another_agent_starts_follows_lists_and_shows_our_runs(tmp_path: Path, workspace: Path) -> None:
    (workspace / "sales.csv").write_text("month,amount\n1,10\n2,30\n")
    (workspace / "out").symlink_to("/etc")
    program = StdioServerParameters(
        command=sys.executable,
        args=["-m", "agent_kernel", "mcp", "serve", "--model", "demo", "--permission", "accept-edits"],
        env={"AGENT_KERNEL_DATA_DIR": str(tmp_path / "data"), "AGENT_KERNEL_DEMO_DELAY": "0"},
        cwd=workspace,
    )
    async with Client(program) as client:

        async def call(tool: str, **args: Any) -> Any:
            result = await client.call_tool(tool, args)
            if result.is_error:
                return result.content[0].text  # type: ignore[union-attr]
            return result.structured_content

        names = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(names) == {"start_run", "stop_run", "follow_run", "list_runs", "show_run"}
        assert names["list_runs"].annotations is not None and names["list_runs"].annotations.read_only_hint
        run = (await call("start_run", prompt="Profile sales.csv"))["run_id"]
        ended = await call("follow_run", run_id=run, wait=60)
        assert (ended["status"], ended["final"]) == ("completed", True), ended
        assert ended["answer"]
        assert any("calls" in step for step in ended["steps"])
        later = await call("follow_run", run_id=run, after=ended["seq"])
        assert later["steps"] == []
        assert [found["run_id"] for found in (await call("list_runs"))["runs"]] == [run]
        assert "sales.csv" in (await call("show_run", run_id=run))["result"]
        assert (await call("stop_run", run_id=run))["status"] == "completed"
        assert "is more than the 'accept-edits' allowed here" in await call(
            "start_run", prompt="x", permission="bypass"
        )
        for folder in ("..", "/etc", "out", "gone", "\0"):
            assert "is not a folder here" in await call("start_run", prompt="x", folder=folder)
        assert "no run" in await call("show_run", run_id="nope")
        assert "empty" in await call("start_run", prompt=" ")
