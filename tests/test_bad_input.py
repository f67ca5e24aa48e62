"""What goes wrong outside: each gets one clear sentence, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_kernel.client import Agent, Run
from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.events import Error, ToolResult, ToolStart
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import AnyBlock, AnyEvent, Eof, Text, Thinking, ToolUse

NewAgent = Callable[..., Agent]


def failure(run: Run) -> Error:
    """The error a failed run ends with: one sentence, and what to do."""
    assert run.status == "failed", run.events[-2:]
    error = [event for event in run.events if isinstance(event, Error)][-1]
    assert not error.retrying
    assert "Traceback" not in error.message
    return error


async def test_an_endpoint_that_does_not_answer(new_agent: NewAgent, settings: Settings) -> None:
    nowhere = settings.with_overrides("test", base_url="http://127.0.0.1:9", max_attempts=2)
    run = await new_agent(settings=nowhere).run("Hi")
    error = failure(run)
    assert "http://127.0.0.1:9" in error.message
    assert error.hint
    assert sum(isinstance(event, Error) and event.retrying for event in run.events) == 1


async def test_a_model_the_endpoint_does_not_know(new_agent: NewAgent, settings: Settings) -> None:
    with ScriptedMessages(models=["the-known-one"]) as api:
        run = await new_agent(settings=settings.with_overrides("test", base_url=api.url)).run("Hi")
    error = failure(run)
    assert "scripted" in error.message + error.hint


async def test_an_answer_that_ends_without_an_end_is_asked_for_again(
    agent: Agent, api: ScriptedMessages
) -> None:
    api.add([Text("half"), Eof()], [ToolUse("bash", raw='{"command": oops')], [Text("whole")])
    run = await agent.run("Hi")
    assert (run.status, run.text) == ("completed", "whole")
    assert not [event for event in run.events if isinstance(event, ToolResult)]


async def test_blocks_and_events_nobody_knows_are_kept_and_sent_back(
    agent: Agent, api: ScriptedMessages
) -> None:
    block = {"type": "hologram", "data": {"x": [1, 2]}}
    api.add(
        [
            AnyEvent({"type": "weather", "sky": "blue"}),
            Thinking("hm", "sig"),
            AnyBlock(block),
            ToolUse("bash", {"command": "true"}),
        ],
        [Text("Done.")],
    )
    run = await agent.run("Hi")
    assert run.status == "completed"
    sent = api.bodies[-1]["messages"][1]["content"]
    assert sent[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert sent[1] == block


async def test_a_prompt_no_store_could_hold(agent: Agent, api: ScriptedMessages) -> None:
    api.add([Text("Done.")])
    run = await agent.run("a\udcff\0b \ud83d\ude00")
    assert run.status == "completed"
    assert (await agent.runs())[0].prompt == "a\ufffd\ufffdb \U0001f600"


async def test_a_workspace_that_is_no_folder(new_agent: NewAgent, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder"):
        await new_agent(workspace=tmp_path / "gone").run("Hi")


async def test_a_workspace_that_is_deleted_while_a_call_runs(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add(
        [ToolUse("bash", {"command": "echo begun; sleep 1"})],
        [ToolUse("bash", {"command": "true"})],
        [Text("It is gone.")],
    )
    run = await agent.start("Work")
    async for event in run.follow(deltas=False):
        if isinstance(event, ToolStart):
            workspace.rmdir()
            break
    await run.wait()
    assert (run.status, run.text) == ("completed", "It is gone.")
    result = [event for event in run.events if isinstance(event, ToolResult)][-1]
    assert result.is_error
    assert f"The workspace {workspace} cannot be looked at: No such file" in str(result.content)


async def test_a_data_folder_that_cannot_be_made(
    new_agent: NewAgent, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    blocked = settings.with_overrides("test", data_dir=str(tmp_path / "file" / "data"))
    with pytest.raises(SettingsError, match="AGENT_KERNEL_DATA_DIR"):
        await new_agent(settings=blocked).run("Hi")


async def test_a_folder_that_cannot_be_written(agent: Agent, api: ScriptedMessages, workspace: Path) -> None:
    workspace.chmod(0o555)
    api.add([ToolUse("write_file", {"path": "a.txt", "content": "x"})], [Text("I cannot.")])
    run = await agent.run("Write")
    (result,) = [event for event in run.events if isinstance(event, ToolResult)]
    workspace.chmod(0o755)
    assert result.is_error
    assert "a.txt" in str(result.content)


async def test_two_gigabytes_of_output_do_not_stop_the_run(agent: Agent, api: ScriptedMessages) -> None:
    api.add(
        [ToolUse("bash", {"command": "head -c 2G /dev/zero | tr '\\0' x", "timeout": 600})], [Text("Much.")]
    )
    run = await agent.run("Flood")
    assert (run.status, run.text) == ("completed", "Much.")
    (result,) = [event for event in run.events if isinstance(event, ToolResult)]
    assert result.truncated_bytes > 2_000_000_000
    assert len(str(result.content)) < 40_000


async def test_two_programs_on_one_workspace_and_one_store(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path
) -> None:
    def default(body: dict[str, object]) -> list[object]:
        asked = str(body["messages"])
        name = "one" if "make one" in asked else "two"
        done = "tool_result" in asked
        return (
            [Text(f"{name} done")]
            if done
            else [ToolUse("bash", {"command": f"sleep 0.3; echo {name} > {name}"})]
        )

    with ScriptedMessages(default=default) as both:  # type: ignore[arg-type]
        agents = [new_agent(session=name) for name in ("first", "second")]
        runs = await asyncio.gather(
            agents[0].run("make one", base_url=both.url), agents[1].run("make two", base_url=both.url)
        )
    assert [(run.status, run.text) for run in runs] == [("completed", "one done"), ("completed", "two done")]
    assert {path.name for path in workspace.iterdir()} == {"one", "two"}
    assert [event.seq for event in runs[0].events] == list(range(1, len(runs[0].events) + 1))


async def test_unicode_binary_and_missing_files_reach_the_model_as_words(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    (workspace / "bin").write_bytes(b"\0\xff")
    (workspace / "ünï 🦊.txt").write_bytes(b"caf\xe9 \xed\xa0\x80 ok")
    api.add(
        [ToolUse("read_file", {"path": name}) for name in ("bin", "ünï 🦊.txt", "gone")],
        [Text("Read \ud800.")],
    )
    run = await agent.run("Read 🦊")
    assert run.status == "completed"
    binary, text, gone = (str(event.content) for event in run.events if isinstance(event, ToolResult))
    assert "binary file" in binary + text + gone
    assert "caf� " in binary + text + gone
    assert "no file gone" in binary + text + gone


async def test_a_run_nobody_has_and_an_answer_nobody_asked_for(agent: Agent, api: ScriptedMessages) -> None:
    with pytest.raises(AgentKernelError, match="no run"):
        await agent.get("r-nothing")
    api.add([Text("Hi")])
    run = await agent.run("Hi")
    with pytest.raises(AgentKernelError, match="no approval request"):
        await run.answer("c9", "allow")
    with pytest.raises(AgentKernelError, match="no file change to undo"):
        await run.undo()
