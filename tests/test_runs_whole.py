"""Whole runs: the real loop, SDK, store and sandbox against a scripted Messages API."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_kernel import folds, history
from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.client import Agent, Run
from agent_kernel.errors import RunError
from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    Compaction,
    Control,
    Error,
    Event,
    FileChange,
    Message,
    Status,
    ToolResult,
    ToolStart,
)
from agent_kernel.runs.log import RunLog
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Drop, HttpError, SseError, Stall, Stop, Text, Thinking, ToolUse
from tests.waiting import PATIENCE

NewAgent = Callable[..., Agent]
UNTIL_TOLD = "until [ -e told ]; do sleep 0.02; done"
"""Works until the test has made a file of that name."""


def of(run: Run, kind: type[Event]) -> list[Any]:
    return [event for event in run.events if isinstance(event, kind)]


def bash(command: str, call_id: str = "") -> ToolUse:
    return ToolUse("bash", {"command": command}, id=call_id)


def texts(result: ToolResult) -> str:
    return "".join(block.get("text", "") for block in result.content)


async def until(run: Run, predicate: Callable[[Event], bool]) -> Event:
    """The first event that satisfies `predicate`."""
    async with asyncio.timeout(PATIENCE):
        async for event in run.follow(deltas=False):
            if predicate(event):
                return event
    raise AssertionError(f"the run ended {run.status} without it: {run.events[-3:]}")


async def test_a_prompt_is_answered(agent: Agent, api: ScriptedMessages) -> None:
    api.add([Thinking("easy"), Text("Hello, you.")])
    run = await agent.run("Hi")
    assert (run.status, run.text) == ("completed", "Hello, you.")
    assert [event.type for event in run.events] == [
        "status", "status", "message", "context", "status", "thought", "message", "context_update", "status",
    ]  # fmt: skip
    assert [event.seq for event in run.events] == list(range(1, 10))


async def test_the_same_session_name_in_another_folder_is_another_session(
    new_agent: NewAgent, api: ScriptedMessages, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        api.add([bash(f"touch made-in-{name}")], [Text("Done.")])
        await new_agent(workspace=tmp_path / name).run("Go")
        assert (tmp_path / name / f"made-in-{name}").exists()


async def test_a_tool_call_changes_a_file_and_can_be_undone(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("old\n")
    api.add([bash("echo new > a.txt; echo made > b.txt; echo out")], [Text("Done.")])
    run = await agent.run("Change it")
    assert run.status == "completed", run.events[-2:]
    assert texts(of(run, ToolResult)[0]).startswith("out")
    assert [(f.path, f.action) for f in run.files] == [("a.txt", "edit"), ("b.txt", "create")]
    assert "-old\n+new" in run.diff()
    undo = await run.undo()
    assert sorted(undo.paths) == ["a.txt", "b.txt"]
    assert (workspace / "a.txt").read_text() == "old\n"
    assert not (workspace / "b.txt").exists()


async def test_undo_leaves_alone_what_a_person_changed_since(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("old\n")
    api.add([bash("echo new > a.txt; echo b > b.txt")], [Text("Done.")])
    run = await agent.run("Change it")
    (workspace / "a.txt").write_text("mine\n")
    undo = await run.undo()
    assert (undo.paths, undo.skipped) == (["b.txt"], ["a.txt"])
    assert (workspace / "a.txt").read_text() == "mine\n"


async def test_a_message_that_comes_while_a_request_is_sent_is_in_that_request(
    new_agent: NewAgent, settings: Settings, api: ScriptedMessages
) -> None:
    class Interrupting(RunLog):
        """Somebody's message gets in just before the status that starts the second turn."""

        async def append(self, run_id: str, *events: Event, fence: int | None = None) -> list[Event]:
            if any(isinstance(e, Status) and e.reason == "thinking" and e.turn == 2 for e in events):
                await super().append(run_id, Message(role="user", text="Wait, one more thing!", by="me"))
            return await super().append(run_id, *events, fence=fence)

    async with await open_app(settings) as app:
        app.log = Interrupting(app.store, app.log.bus)
        api.add([ToolUse("list_files", {})], [Text("Never shown.")], [Text("Heard.")])
        run = await new_agent(host=Account(app)).run("Go")
    assert run.status == "completed", run.events[-2:]
    assert run.text == "Heard."
    assert [f.text for f in run.messages] == ["Go", "Wait, one more thing!", "Heard."]
    asked = api.bodies[-1]["messages"]
    assert asked == history.messages(run.events[:-3]), "the request holds what the log says it does"
    assert "one more thing" in str(asked[-1])


@pytest.mark.parametrize("before", ["starting", "thinking"])
async def test_a_stop_that_comes_beside_an_append_of_the_run_is_heard(
    new_agent: NewAgent, settings: Settings, api: ScriptedMessages, before: str
) -> None:
    class Stopping(RunLog):
        """Somebody's stop gets in just before the run's own status, and is read together with it."""

        async def append(self, run_id: str, *events: Event, fence: int | None = None) -> list[Event]:
            if any(isinstance(event, Status) and event.reason == before for event in events):
                await self.store.append(run_id, [Control(action="cancel", by="me")])
            return await super().append(run_id, *events, fence=fence)

    async with await open_app(settings) as app:
        app.log = Stopping(app.store, app.log.bus)
        api.add([Stall(10 * PATIENCE), Text("Never.")])
        async with asyncio.timeout(PATIENCE):
            run = await new_agent(host=Account(app)).run("Go")
        assert run.status == "cancelled"


async def test_a_run_whose_program_died_between_its_answer_and_its_end_is_complete(
    new_agent: NewAgent, settings: Settings, api: ScriptedMessages, workspace: Path
) -> None:
    async with await open_app(settings) as app:
        account = Account(app)
        session = await account.session("main", workspace)
        row = await app.store.create_run(
            session_id=session.id, prompt="Hi", model="scripted", owner=account.owner
        )
        await app.log.append(
            row.id,
            Status(status="running", reason="starting"),
            Message(role="user", text="Hi"),
            Status(status="running", reason="thinking", turn=1),
            Message(role="assistant", text="Hello.", turn=1),
        )
        run = await (await new_agent(host=account).resume(row.id)).wait()
        assert (run.status, run.text) == ("completed", "Hello.")
    assert api.bodies == []


async def test_every_kind_of_bad_call_gets_a_result_the_model_can_act_on(
    agent: Agent, api: ScriptedMessages
) -> None:
    api.add(
        [
            ToolUse("bash", {"cmd": "ls"}),
            ToolUse("no_such_tool", {}),
            ToolUse("read_file", {"path": "gone.txt"}),
        ],
        [Text("I see.")],
    )
    run = await agent.run("Try")
    results = of(run, ToolResult)
    assert run.status == "completed"
    assert all(result.is_error for result in results)
    said = " ".join(texts(result) for result in results)
    assert "command" in said
    assert "no_such_tool" in said
    assert "gone.txt" in said


async def test_overload_and_broken_streams_are_retried_in_the_open(
    agent: Agent, api: ScriptedMessages
) -> None:
    api.add(
        HttpError(529, "overloaded_error", "Overloaded", {"retry-after": "0"}),
        [Text("half"), SseError()],
        [Text("half"), Drop()],
        [Text("whole")],
    )
    run = await agent.run("Hi")
    assert (run.status, run.text) == ("completed", "whole")
    errors = of(run, Error)
    assert [error.retrying for error in errors] == [True, True, True]
    assert [error.attempt for error in errors] == [1, 2, 3]
    assert len([m for m in of(run, Message) if m.role == "assistant"]) == 1


async def test_a_wrong_key_fails_at_once_with_what_to_do(
    workspace: Path, settings: Settings, new_agent: NewAgent
) -> None:
    with ScriptedMessages(key="the right one") as api:
        run = await new_agent(settings=settings.with_overrides("test", base_url=api.url)).run("Hi")
    assert run.status == "failed"
    (error,) = of(run, Error)
    assert "key-of-the-test" not in error.message + error.hint
    assert not error.retrying
    assert error.hint


async def test_without_a_model_one_sentence_says_what_to_set(settings: Settings, new_agent: NewAgent) -> None:
    bare = Settings(data_dir=settings.data_dir)
    run = await new_agent(settings=bare).run("Hi")
    assert run.status == "failed"
    (error,) = of(run, Error)
    assert "ANTHROPIC_API_KEY" in error.message + error.hint
    assert "demo" in error.message + error.hint


async def test_a_stop_ends_a_running_call_and_leaves_no_process(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([bash("echo go; sleep 600; touch late")])
    run = await agent.start("Sleep")
    await until(run, lambda event: isinstance(event, ToolStart))
    await run.stop()
    async with asyncio.timeout(PATIENCE):
        await run.wait()
    assert run.status == "cancelled"
    (result,) = of(run, ToolResult)
    assert result.is_error
    assert not (workspace / "late").exists()


async def test_a_stop_keeps_what_the_model_had_written(agent: Agent, api: ScriptedMessages) -> None:
    api.add([Text("The beginning of"), Stall()])
    run = await agent.start("Write")
    async with asyncio.timeout(PATIENCE):
        async for event in run.follow():
            if event.type == "delta":
                break
    await run.stop()
    await run.wait()
    assert run.status == "cancelled"
    said = [message for message in run.messages if message.role == "assistant"]
    assert [(message.text[:3], message.partial) for message in said] == [("The", True)]


async def test_a_message_said_meanwhile_is_heard_with_the_next_request(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([bash(UNTIL_TOLD)], [Text("Understood.")])
    run = await agent.start("Work")
    await until(run, lambda event: isinstance(event, ToolStart))
    await run.say("In French, please.")
    (workspace / "told").touch()
    await run.wait()
    last = api.bodies[-1]["messages"][-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "text"]
    assert last[1]["text"] == "In French, please."


async def test_pause_holds_the_run_between_steps_and_resume_goes_on(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([bash(UNTIL_TOLD)], [Text("Done.")])
    run = await agent.start("Work")
    await until(run, lambda event: isinstance(event, ToolStart))
    await run.pause()
    (workspace / "told").touch()
    await until(run, lambda event: isinstance(event, Status) and event.status == "paused")
    assert len(api.bodies) == 1
    await run.resume()
    await run.wait()
    assert run.status == "completed"


async def test_under_ask_a_person_decides_and_a_no_is_told_to_the_model(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([bash("touch made")], [Text("Then not.")])
    run = await new_agent(permission="ask", interactive=True).start("Make it")
    request = await until(run, lambda event: isinstance(event, ApprovalRequest))
    assert isinstance(request, ApprovalRequest)
    assert "touch made" in request.what
    assert run.status == "waiting" or await until(
        run, lambda e: isinstance(e, Status) and e.status == "waiting"
    )
    await run.answer(request.id, "deny")
    await run.wait()
    assert run.status == "completed"
    (result,) = of(run, ToolResult)
    assert result.is_error
    assert not (workspace / "made").exists()


async def test_allow_for_the_session_asks_once(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([bash("touch one")], [bash("touch two")], [Text("Done.")], [bash("touch three")], [Text("Done.")])
    agent = new_agent(permission="ask", interactive=True)
    run = await agent.start("Make them")
    request = await until(run, lambda event: isinstance(event, ApprovalRequest))
    await run.answer(request.id, "session")  # type: ignore[attr-defined]
    await run.wait()
    again = await agent.run("And another")
    assert (run.status, again.status) == ("completed", "completed")
    assert (len(of(run, ApprovalRequest)), len(of(again, ApprovalRequest))) == (1, 0)
    assert {path.name for path in workspace.iterdir()} == {"one", "two", "three"}


async def test_where_nobody_can_answer_an_approval_is_denied_at_once(
    new_agent: NewAgent, api: ScriptedMessages
) -> None:
    api.add([bash("touch made")], [Text("No.")])
    run = await new_agent(permission="ask", interactive=False).run("Make it")
    (answer,) = of(run, ApprovalAnswer)
    assert (run.status, answer.decision) == ("completed", "deny")
    assert "nobody" in answer.reason


async def test_plan_only_reads(new_agent: NewAgent, api: ScriptedMessages, workspace: Path) -> None:
    (workspace / "a.txt").write_text("content\n")
    api.add([ToolUse("read_file", {"path": "a.txt"}), bash("rm a.txt")], [Text("A plan.")])
    run = await new_agent(permission="plan").run("Look")
    read, removed = sorted(of(run, ToolResult), key=lambda result: result.is_error)
    assert "content" in texts(read)
    assert removed.is_error
    assert (workspace / "a.txt").exists()


async def test_reads_of_one_turn_run_side_by_side_and_keep_their_order_for_the_model(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    for name in ("a", "b", "c"):
        (workspace / f"{name}.txt").write_text(name)
    api.add([ToolUse("read_file", {"path": f"{name}.txt"}) for name in ("a", "b", "c")], [Text("Read.")])
    run = await agent.run("Read them")
    assert run.status == "completed"
    sent = api.bodies[-1]["messages"][-1]["content"]
    assert len(sent) == 3
    assert len({block["tool_use_id"] for block in sent}) == 3
    assert not any(block.get("is_error") for block in sent)


async def test_a_truncated_call_is_never_executed(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add(
        [Text("I write"), ToolUse("bash", raw='{"command": "touch half'), Stop("max_tokens")],
        [Text("Whole.")],
    )
    run = await agent.run("Write")
    assert (run.status, run.text) == ("completed", "Whole.") or run.text.endswith("Whole.")
    assert not of(run, ToolResult)
    assert not list(workspace.iterdir())


async def test_the_budget_pauses_and_a_resume_goes_on(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings
) -> None:
    api.add([bash("true")], [bash("true")], [Text("Done.")])
    agent = new_agent(max_turns=1)
    run = await agent.run("Work")
    assert (run.status, run.reason) == ("paused", "max_turns")
    resumed = await agent.resume(run.id, max_turns=10)
    await resumed.wait()
    assert (resumed.status, resumed.text) == ("completed", "Done.")


async def test_the_next_prompt_of_a_session_remembers(agent: Agent, api: ScriptedMessages) -> None:
    api.add([Text("Hello Ada.")], [Text("Ada.")])
    await agent.run("I am Ada")
    await agent.run("Who am I?")
    assert [m["content"][0]["text"] for m in api.bodies[-1]["messages"]] == [
        "I am Ada",
        "Hello Ada.",
        "Who am I?",
    ]


async def test_prompts_of_one_session_wait_for_each_other(agent: Agent, api: ScriptedMessages) -> None:
    api.add([bash("sleep 0.3")], [Text("First.")], [Text("Second.")])
    first, second = await agent.start("One"), await agent.start("Two")
    await asyncio.gather(first.wait(), second.wait())
    assert (first.text, second.text) == ("First.", "Second.")


async def test_twenty_calls_read_nine_tenths_of_their_input_from_the_cache(
    agent: Agent, api: ScriptedMessages
) -> None:
    for number in range(20):
        api.add([bash(f"echo {number}")])
    api.add([Text("Done.")])
    run = await agent.run("Count to twenty")
    assert run.status == "completed"
    repeated = total = 0
    for earlier, later in zip(api.bodies, api.bodies[1:], strict=False):
        assert later["system"] == earlier["system"]
        assert later["tools"] == earlier["tools"]
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        repeated += len(str(earlier["messages"]))
        total += len(str(later["messages"]))
    fixed = len(str(api.bodies[0]["system"])) + len(str(api.bodies[0]["tools"]))
    assert (repeated + 20 * fixed) / (total + 20 * fixed) >= 0.9


async def test_a_full_window_is_summarised_and_the_run_goes_on(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings
) -> None:
    api.add([bash("echo one")], [Text("SUMMARY: one was said.")], [Text("Done.")])
    small = settings.with_overrides("test", context_window=100)
    run = await new_agent(settings=small).run("Work")
    (cut,) = of(run, Compaction)
    assert (run.status, cut.summary) == ("completed", "SUMMARY: one was said.")
    assert "SUMMARY" in str(api.bodies[-1]["messages"][0])
    assert len(api.bodies[-1]["messages"]) == 1


async def test_a_prompt_too_long_for_the_window_is_summarised_without_a_model(
    agent: Agent, api: ScriptedMessages
) -> None:
    too_long = HttpError(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")
    api.add([bash("echo one")], too_long, too_long, [Text("Done.")])
    run = await agent.run("Work hard")
    assert run.status == "completed"
    (cut,) = of(run, Compaction)
    assert "Work hard" in cut.summary


async def test_an_empty_prompt_is_refused(agent: Agent) -> None:
    with pytest.raises(RunError, match="empty"):
        await agent.start("  ")


async def test_secrets_of_the_settings_never_reach_the_log(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    (workspace / "leak.txt").write_text("key-of-the-test")
    api.add([bash("cat leak.txt"), Text("It is key-of-the-test")], [Text("key-of-the-test")])
    run = await agent.run("Read key-of-the-test")
    assert "key-of-the-test" not in "".join(event.model_dump_json() for event in run.events)


async def test_changes_belong_to_the_call_that_made_them(
    agent: Agent, api: ScriptedMessages, workspace: Path
) -> None:
    api.add([bash("echo 1 > one", "c1"), bash("echo 2 > two", "c2")], [Text("Done.")])
    run = await agent.run("Make two")
    assert [(c.call_id, c.path, c.action) for c in of(run, FileChange)] == [
        ("c1", "one", "create"),
        ("c2", "two", "create"),
    ]
    undo = await run.undo(call_id="c2")
    assert undo.paths == ["two"]
    assert [path.name for path in workspace.iterdir()] == ["one"]


async def test_ids_an_endpoint_uses_again_in_each_turn_stay_apart(
    agent: Agent, api: ScriptedMessages
) -> None:
    api.add([bash("echo one", "call_0")], [bash("echo two", "call_0")], [Text("Done.")])
    run = await agent.run("Twice")
    assert run.status == "completed"
    assert len(folds.RunState(run.events).calls) == 2
    assert [texts(result).strip() for result in of(run, ToolResult)] == ["one", "two"]


async def test_the_network_asks_a_person_who_may_say_no(new_agent: NewAgent, api: ScriptedMessages) -> None:
    api.add([bash("curl -sS -m 60 http://data.example/secret?x=1")], [Text("Not reached.")])
    run = await new_agent(interactive=True).start("Fetch it")
    request = await until(run, lambda event: isinstance(event, ApprovalRequest))
    assert isinstance(request, ApprovalRequest)
    assert (request.scope, request.tool) == ("network:data.example", "bash")
    await run.answer(request.id, "deny")
    await run.wait()
    (result,) = of(run, ToolResult)
    assert "did not allow a connection to data.example" in texts(result)


async def test_where_nobody_can_be_asked_there_is_no_network(agent: Agent, api: ScriptedMessages) -> None:
    api.add([bash("curl -sS -m 60 http://data.example/")], [Text("No network.")])
    run = await agent.run("Fetch it")
    assert run.status == "completed"
    (answer,) = of(run, ApprovalAnswer)
    assert answer.decision == "deny"
    (result,) = of(run, ToolResult)
    assert "data.example" in texts(result)


async def test_an_agent_of_many_runs_holds_the_newest(agent: Agent, api: ScriptedMessages) -> None:
    kept = []
    for number in range(4):
        api.add([Text(f"Done {number}.")])
        kept.append(weakref.ref(await agent.run(f"Do {number}")))
    assert [ref() is None for ref in kept] == [True, True, True, False]
