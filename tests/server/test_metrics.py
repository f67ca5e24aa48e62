"""Jupyter's `/metrics` counts runs, and `GET usage` adds them up."""

from __future__ import annotations

import time

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.server.conftest import Jupyter


def metrics(jupyter: Jupyter) -> dict[str, float]:
    text = jupyter.get(f"{jupyter.url}/metrics").text
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("agent_kernel_")]
    return {name: float(value) for name, _, value in lines}


def test_runs_tokens_and_tools_are_counted(jupyter: Jupyter, api: ScriptedMessages) -> None:
    api.add([ToolUse("read_file", {"path": "none"}), ToolUse("todo", {"items": []})], [Text("Done.")])
    run = jupyter.ended(jupyter.run("a secret word"))
    deadline = time.monotonic() + 20
    while metrics(jupyter).get("agent_kernel_runs_working") != 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    found = metrics(jupyter)
    assert found['agent_kernel_runs_total{model="scripted",status="completed"}'] >= 1
    assert found['agent_kernel_run_seconds_count{status="completed"}'] >= 1
    assert found['agent_kernel_tool_calls_total{outcome="error",tool="read_file"}'] >= 1
    assert found['agent_kernel_request_seconds_count{model="scripted"}'] >= 2
    assert found['agent_kernel_tokens_total{kind="output",model="scripted"}'] >= run["used"]["output_tokens"]
    assert found['agent_kernel_runs_unfinished{status="queued"}'] == 0
    assert "secret" not in jupyter.get(f"{jupyter.url}/metrics").text

    rows = jupyter.get("usage?days=1").json()["runs"]
    (row,) = [row for row in rows if row["status"] == "completed"]
    assert (row["model"], row["agent"]) == ("scripted", "") and row["runs"] >= 1
    assert row["used"]["turns"] >= 2 and row["used"]["output_tokens"] >= run["used"]["output_tokens"]
    assert row["seconds"] > 0
