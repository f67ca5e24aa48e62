"""Servers that work, and servers that do not: each ends as a result the model can act on."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from agent_kernel.mcp import servers as servers_module
from agent_kernel.mcp import wire
from agent_kernel.mcp.config import Configuration
from tests.mcp.conftest import EVERYTHING, HOSTILE, THINKS, Switchboard, later, said


async def test_results_of_every_kind_become_blocks_and_files(board: Switchboard) -> None:
    board.add_everything()
    added = await board.text("add", a=1, b=2)
    assert added.startswith("<outside-")
    assert added.splitlines()[0].endswith(' from="the MCP server everything">')
    assert added.splitlines()[1] == "3"
    picture = await board.call("picture")
    assert picture.foreign == "the MCP server everything"
    assert [block["type"] for block in picture.content] == ["text", "image", "text"]
    assert await board.text("steps") and board.live == ["1/3 step 1\n", "2/3 step 2\n", "3/3 step 3\n"]
    assert "the moon is in the wrong phase" in await board.error("refuse")
    assert "The note number 5." in await board.text("read_resource", uri="note://5")
    parts = await board.text("parts")
    assert "first\n" in parts and "\x1b" not in parts
    assert "Resource notes: a note\nnote://1" in parts
    assert "embedded text" in parts
    assert '"deep"' in parts
    assert board.servers.sandbox is not None
    kept = next(line.split(" is kept at ")[1] for line in parts.splitlines() if "application/zip" in line)
    assert await board.servers.sandbox.read(kept.removesuffix(".)")) == b"\0\1\2 binary"


async def test_what_the_model_gets_wrong_is_said_before_the_server_is_asked(board: Switchboard) -> None:
    board.add_everything()
    assert "a = 'x'" in await board.error("add", a="x", b=1)
    assert "has no tool 'nope'" in await board.error("nope")
    assert "There is no MCP server 'gone'" in said(await board.call("add", server="gone", a=1, b=2))


async def test_a_long_result_is_cut_and_kept_whole_in_a_file(board: Switchboard) -> None:
    board.add_everything()
    output = await board.call("large", bytes=200_000)
    assert output.truncated_bytes > 160_000
    assert len(said(output)) < 31_000
    assert board.servers.sandbox is not None and output.output_path is not None
    assert b"THE END" in await board.servers.sandbox.read(output.output_path)


async def test_a_server_in_the_sandbox_that_dies_or_says_too_much_is_started_again(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-of-the-host")
    board.add_sandboxed(env={"PLAIN": "said in the file"})
    assert (await board.text("whereabouts")).splitlines()[1].startswith("/workspace ")
    assert "(not set)" in await board.text("environment", name="ANTHROPIC_API_KEY")
    assert "said in the file" in await board.text("environment", name="PLAIN")
    assert "exit code 7" in await board.error("die")
    assert "3" in await board.text("add", a=1, b=2)
    assert "more than 16 MiB" in await board.error("large", bytes=50_000_000)
    assert "3" in await board.text("add", a=1, b=2)


async def test_a_call_without_an_answer_ends_and_after_two_the_server_is_started_anew(
    board: Switchboard,
) -> None:
    board.add_hostile("pid", timeout=20)

    async def pid() -> str:
        return await board.text("pid", server="bad")

    async def hang() -> str:
        calling = asyncio.create_task(board.error("hang", server="bad"))
        while not board.servers.connection("bad")._asking._calls:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        later(25)
        return await calling

    first = await pid()
    assert "no answer to hang within 20 s" in await hang()
    await hang()
    assert await pid() != first


async def test_what_a_server_asks_meanwhile_a_person_decides(board: Switchboard) -> None:
    board.add_hostile("asks", timeout=THINKS - 10)
    await board.tools()  # connected: what follows is the call's own time
    assert '"action": "decline"' in await board.text("go", server="bad", form="size")
    board.answer = True
    accepted = await board.text("go", server="bad", form="size")
    assert '"action": "accept"' in accepted and '"size": 42' in accepted
    assert len(board.asked) == 2
    assert board.asked[0].startswith("bad asks: What size? | ") and '{"size": 42}' in board.asked[0]
    assert '"action": "decline"' in await board.text("go", server="bad", form="password")
    assert len(board.asked) == 2 and "is told no: What password?" in board.live[-1]


async def test_a_server_on_the_host_gets_the_variables_it_is_given_and_they_are_hidden(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-of-the-host")
    board.add(
        "host", command=sys.executable, args=[str(EVERYTHING)], trusted="host", env={"T": "x ${SECRET_TOKEN}"}
    )
    assert "x s3cr3t-of-the-host" in said(await board.call("environment", server="host", name="T"))
    assert "(not set)" in said(await board.call("environment", server="host", name="ANTHROPIC_API_KEY"))
    assert {"s3cr3t-of-the-host", "x s3cr3t-of-the-host"} <= set(board.hidden)
    assert str(board.servers.workspace) in said(await board.call("whereabouts", server="host"))
    assert "more than 16 MiB" in said(await board.call("large", server="host", bytes=50_000_000))


async def test_an_answer_over_http_larger_than_memory_should_hold_is_refused(board: Switchboard) -> None:
    board.add_everything()
    assert "more than 16 MiB" in await board.error("large", bytes=50_000_000)
    assert "3" in await board.text("add", a=1, b=2)


async def test_a_workspace_cannot_name_an_address_of_this_machine(
    board: Switchboard, everything_http: str
) -> None:
    named = {"mcpServers": {"web": {"url": everything_http}, "meta": {"url": "http://169.254.169.254/mcp"}}}
    (board.servers.workspace / ".mcp.json").write_text(json.dumps(named))
    board.configuration.trust(board.servers.workspace)
    for server in ("web", "meta"):
        assert "is a private address" in said(await board.call("add", server=server, a=1, b=2))


async def test_workspace_servers_wait_until_their_words_are_trusted(board: Switchboard) -> None:
    workspace = board.servers.workspace
    (workspace / "hostile.py").write_bytes(HOSTILE.read_bytes())
    named = '{"mcpServers": {"theirs": {"command": "python3", "args": ["hostile.py", "pid"]}}}'
    (workspace / ".mcp.json").write_text(named)
    assert await board.prefix() == []
    assert "not trusted: theirs" in board.notes[0]
    board.configuration.trust(workspace)
    board.kept.unlink()
    assert "mcp__theirs__pid" in [tool["name"] for tool in await board.prefix()]
    (workspace / ".mcp.json").write_text(named + " ")
    assert "There is no MCP server 'theirs'" in said(await board.call("pid", server="theirs"))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("exit", "it ended with exit code 3, it said: no licence"),
        ("silent", "it was not ready within 1 s"),
        ("noise", "it printed: this is no MCP server"),
        ("flood", "it sent"),
        ("complaints", "it sent 0 messages, 128 MiB"),
        ("wrong-list", "what it sent is not valid MCP (tools.0.inputSchema.required.0"),
        ("endless-line", "it sent a message of more than 16 MiB"),
    ],
)
async def test_a_server_that_is_none_is_left_out_with_the_reason(
    board: Switchboard, what: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "FLOOD_SECONDS", 600.0)  # a slow machine cannot send so much within ten
    board.add_hostile(what, start_timeout=1 if what == "silent" else 120)
    board.add_everything()
    names = [tool["name"] for tool in await board.prefix()]
    assert "mcp__everything__add" in names
    assert not any(name.startswith("mcp__bad") for name in names)
    assert len(board.notes) == 1
    assert why in board.notes[0]


async def test_a_program_that_is_not_there_and_a_closed_port_say_so(board: Switchboard) -> None:
    board.add("gone", command="no-such-program")
    board.add("host", command="no-such-program", trusted="host")
    board.add("port", url="http://127.0.0.1:9/mcp")
    await board.prefix()
    assert len(board.notes) == 3
    assert "no-such-program" in board.notes[0] and "no-such-program" in board.notes[1]
    assert "port is not there" in board.notes[2]


async def test_a_dead_server_is_left_alone_for_a_while(board: Switchboard) -> None:
    board.add("gone", command="no-such-program")
    await board.servers.find()
    connection = board.servers.connection("gone")
    for _ in range(6):
        connection._not_before = 0.0  # as if the pause were over
        assert "is not there" in await board.error("add", server="gone")
    assert "It is tried again in" in await board.error("add", server="gone")


async def test_a_server_that_floods_a_working_connection_is_ended(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "FLOOD_SECONDS", 600.0)
    board.add_hostile("flood-later")
    assert "died during this call (it sent" in said(await board.call("go", server="bad"))


async def test_schemas_that_lie_or_bite_do_no_harm(board: Switchboard) -> None:
    board.add_hostile("schemas")
    names = [tool["name"] for tool in await board.prefix()]
    assert len(names) == len(set(names))
    found = said(await board.run("tool_search", query="bites", limit=50))
    assert "169.254.169.254" not in found
    assert "is not what bad says this tool gives" in said(await board.call("liar", server="bad"))
    assert "slow but fine" in said(await board.call("bomb", server="bad", text="a" * 60 + "!"))
    assert "not a tool's result" in said(await board.call("nonsense", server="bad"))


async def test_tools_that_come_later_are_found_and_called_while_the_prefix_stays(board: Switchboard) -> None:
    board.add_sandboxed()
    before = json.dumps(await board.prefix())
    assert "grown" in await board.text("grow")
    found = ""
    async with asyncio.timeout(60):  # the notice comes beside the answer, not in it
        while "newcomer_13" not in (found := said(await board.run("tool_search", query="fresh press"))):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert "Fresh from the press." in found
    assert "a new tool's answer" in await board.text("newcomer_13")
    board.add_everything("late")
    assert "3" in said(await board.call("add", server="late", a=1, b=2))
    assert json.dumps(await board.prefix()) == before
    board.kept.unlink()
    board.servers.relist()
    after = [tool["name"] for tool in await board.prefix()]
    assert "mcp__everything__newcomer_13" in after
    assert "mcp__late__add" in after


async def test_a_server_switched_off_keeps_its_place_in_the_prefix_and_says_that_it_is_off(
    board: Switchboard,
) -> None:
    board.add_everything()
    before = await board.prefix()
    board.configuration.switch("everything", on=False)
    assert await board.prefix() == before
    assert "no MCP server 'everything' switched on" in said(await board.run("mcp__everything__add", a=1, b=2))
    board.configuration.switch("everything", on=True)
    assert "3" in said(await board.run("mcp__everything__add", a=1, b=2))


async def test_only_what_reads_and_is_allowed_runs_unasked(board: Switchboard) -> None:
    board.add_everything(allow=["add", "write"])
    access = {tool.name: tool.access for tool in await board.tools()}
    assert access["mcp__everything__add"] == "read"
    assert access["mcp__everything__whereabouts"] == "outside"
    assert access["mcp__everything__write"] == "outside"
    mcp_call = next(tool for tool in await board.tools() if tool.name == "mcp_call")
    assert mcp_call.target is not None
    for tool, wanted in (("add", "read"), ("write", "outside"), ("unheard_of", "outside")):
        target = mcp_call.target({"server": "everything", "tool": tool})
        assert target is not None
        assert (target.name, target.access) == (f"mcp__everything__{tool}", wanted)
    assert mcp_call.target({"server": 1}) is None


async def test_twenty_servers_of_thirty_tools_take_a_bounded_prefix_and_all_can_be_called(
    board: Switchboard,
) -> None:
    board.add_hostile("thirty", name="s00", start_timeout=120)
    for number in range(1, 20):
        board.add(f"s{number:02}", command="python3", args=["hostile.py", "thirty"], start_timeout=120)
    prefix = await board.prefix()
    assert board.notes == []
    size = len(json.dumps(prefix, ensure_ascii=False))
    assert size < (servers_module.PREFIX_TOKENS + 1_000) * servers_module.CHARACTERS_PER_TOKEN
    assert {"tool_search", "mcp_call"} <= {tool["name"] for tool in prefix}
    found = said(await board.run("tool_search", query="widget number 17", server="s13", limit=1))
    assert "tool: make_widget_17" in found
    assert "made 17" in said(await board.call("make_widget_17", server="s13", size=3))
    assert json.dumps(await board.prefix()) == json.dumps(prefix)


async def test_nothing_is_left_running_when_the_session_ends(board: Switchboard) -> None:
    board.add_hostile("pid")
    board.add_hostile("pid", "host", on_host=True)
    process = Path("/proc") / said(await board.call("pid", server="host")).split()[-2]
    await board.text("pid", server="bad")
    assert process.exists()
    assert board.servers.sandbox is not None
    assert "hostile.py" in (await board.servers.sandbox.exec(["ps", "ax"])).stdout
    await board.servers.close()
    assert not process.exists()
    assert "hostile.py" not in (await board.servers.sandbox.exec(["ps", "ax"])).stdout


def test_each_owner_has_a_file_of_their_own(tmp_path: Path) -> None:
    one, other = Configuration(tmp_path, "ann"), Configuration(tmp_path, "Ann!")
    one.add("mine", {"url": "https://example.org/mcp"})
    assert [server.name for server in one.find().servers] == ["mine"]
    assert other.find().servers == ()


def test_the_meter_forgets_what_was_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = wire.Meter()
    for _ in range(3):
        meter.count(wire.FLOOD_BYTES // 2)
        meter._since -= wire.FLOOD_SECONDS + 1
    with pytest.raises(wire.Flood):
        meter.count(wire.FLOOD_BYTES + 1)
