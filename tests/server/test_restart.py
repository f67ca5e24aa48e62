"""The server ends, gently or not, and comes back: runs go on, and nothing happens twice."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import httpx2
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from tests.server.conftest import PATIENCE, TOKEN, Start, eventually
from tests.server.test_kernels import Kernel

BUSY = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
open("busy", "w").close()
while not os.path.exists("enough"):
    time.sleep(0.1)
"""
"""A cell that keeps the kernel, and with it the server, from ending until there is a file."""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_goes_on_when_the_server_comes_back(
    start: Start, api: ScriptedMessages, tmp_path: Path, end: signal.Signals
) -> None:
    api.add(
        [ToolUse("bash", {"command": "echo once >> count.txt"}, id="first")],
        [ToolUse("bash", {"command": "echo twice >> count.txt; sleep 100"}, id="second")],
        [ToolUse("bash", {"command": "echo thrice >> count.txt"}, id="third")],
        [Text("All done.")],
    )
    home, folder = tmp_path / "home", tmp_path / "work"
    with start(home, folder, api) as jupyter:
        run = jupyter.run("Count")
        jupyter.until(run, lambda event: event["type"] == "tool_start" and event["id"] == "second")
        jupyter.process.send_signal(end)
        jupyter.process.wait(PATIENCE)
    with start(home, folder, api) as jupyter:
        assert jupyter.ended(run)["status"] == "completed"
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


def test_a_server_that_is_ending_takes_nothing_up_again(
    start: Start, api: ScriptedMessages, tmp_path: Path
) -> None:
    api.add([Text("So "), Stall()])
    patient = (
        f"--KernelManager.shutdown_wait_time={4 * PATIENCE}"  # half of it until the kernel is told to die
    )
    with (
        start(tmp_path / "home", tmp_path / "work", api, patient) as jupyter,
        httpx2.Client(trust_env=False, timeout=PATIENCE) as client,
    ):
        kernel = Kernel(jupyter, "busy.ipynb")
        kernel.send(BUSY)
        eventually((jupyter.folder / "busy").exists)
        run = jupyter.run("Think long")
        jupyter.until(run, lambda event: event.get("reason") == "thinking")
        asked, answers = len(api.bodies), []
        client.get(f"{jupyter.url}/api/agent/runs/{run}")
        jupyter.process.send_signal(signal.SIGTERM)
        # A page and a kernel ask on, over connections they have, while the server waits for its kernels to end.
        with contextlib.suppress(httpx2.HTTPError):
            while True:
                answer = client.get(
                    f"{jupyter.url}/api/agent/runs/{run}", headers={"Authorization": f"token {TOKEN}"}
                )
                answers.append(answer.status_code)
                if answers[-1] == 503 and answers.count(503) > 10:
                    (jupyter.folder / "enough").touch()
                time.sleep(0.05)
        jupyter.process.wait(PATIENCE)
    assert answers[-1] == 503, "it has answered while it ended"
    assert len(api.bodies) == asked


def test_a_pending_approval_survives(start: Start, api: ScriptedMessages, tmp_path: Path) -> None:
    api.add([ToolUse("bash", {"command": "touch allowed"}, id="call")], [Text("Thanks.")])
    home, folder = tmp_path / "home", tmp_path / "work"
    with start(home, folder, api) as jupyter:
        run = jupyter.run("Ask", options={"permission": "ask"})
        jupyter.until(run, lambda event: event["type"] == "approval_request")
    with start(home, folder, api) as jupyter:
        assert jupyter.post(f"runs/{run}/approvals/call", {"decision": "allow"}).status_code == 202
        assert jupyter.ended(run)["status"] == "completed"
        events = jupyter.events(run)
    assert sum(event["type"] == "approval_request" for event in events) == 1
    assert (folder / "allowed").exists()


def test_a_server_with_nothing_unfinished_opens_nothing(
    start: Start, api: ScriptedMessages, tmp_path: Path
) -> None:
    with start(tmp_path / "home", tmp_path / "work", api) as jupyter:
        time.sleep(3)
        assert not (jupyter.home / "agent-kernel" / "runs.db").exists()
