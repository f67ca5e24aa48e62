"""The server ends, gently or not, and comes back: runs go on, and nothing happens twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.server.conftest import Start


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_goes_on_when_the_server_comes_back(
    start: Start, api: ScriptedMessages, tmp_path: Path, end: signal.Signals
) -> None:
    api.add(
        [ToolUse("bash", {"command": "echo once >> count.txt"}, id="first")],
        [ToolUse("bash", {"command": "echo twice >> count.txt; sleep 20"}, id="second")],
        [ToolUse("bash", {"command": "echo thrice >> count.txt"}, id="third")],
        [Text("All done.")],
    )
    home, folder = tmp_path / "home", tmp_path / "work"
    with start(home, folder, api) as jupyter:
        run = jupyter.run("Count")
        jupyter.until(run, lambda event: event["type"] == "tool_start" and event["id"] == "second")
        jupyter.process.send_signal(end)
        jupyter.process.wait(20)
    with start(home, folder, api) as jupyter:
        assert jupyter.ended(run, 40)["status"] == "completed"
        events = jupyter.events(run)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    calls = [event["id"] for event in events if event["type"] == "tool_call"]
    assert calls == ["first", "second", "third"]
    for call in calls:
        assert sum(event["type"] == "tool_result" and event["id"] == call for event in events) == 1
    lines = (folder / "count.txt").read_text().split()
    assert lines.count("once") == 1
    assert lines.count("twice") <= 1
    assert lines.count("thrice") == 1


def test_a_pending_approval_survives(start: Start, api: ScriptedMessages, tmp_path: Path) -> None:
    api.add([ToolUse("bash", {"command": "touch allowed"}, id="call")], [Text("Thanks.")])
    home, folder = tmp_path / "home", tmp_path / "work"
    with start(home, folder, api) as jupyter:
        run = jupyter.run("Ask", options={"permission": "ask"})
        jupyter.until(run, lambda event: event["type"] == "approval_request")
    with start(home, folder, api) as jupyter:
        assert jupyter.post(f"runs/{run}/approvals/call", {"decision": "allow"}).status_code == 202
        assert jupyter.ended(run, 40)["status"] == "completed"
        events = jupyter.events(run)
    assert sum(event["type"] == "approval_request" for event in events) == 1
    assert (folder / "allowed").exists()


def test_a_server_with_nothing_unfinished_opens_nothing(
    start: Start, api: ScriptedMessages, tmp_path: Path
) -> None:
    with start(tmp_path / "home", tmp_path / "work", api) as jupyter:
        import time

        time.sleep(3)
        assert not (jupyter.home / "agent-kernel" / "runs.db").exists()
