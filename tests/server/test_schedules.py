"""Schedules over REST and from the command line, and what a finished one leaves."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from tests.server.conftest import Jupyter, eventually


def test_a_schedule_starts_a_run_that_leaves_its_transcript(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    body = {"name": "report", "when": "0 9 * * MON-FRI", "prompt": "Redo it", "workspace": ".",
            "timezone": "Asia/Tokyo", "missed": "once"}  # fmt: skip
    made = jupyter.post("schedules", body)
    assert made.status_code == 201, made.text
    assert jupyter.post("schedules", body).status_code == 400, "the name is taken"
    (listed,) = jupyter.get("schedules").json()["schedules"]
    assert listed["next"][0].endswith("09:00:00+09:00")
    shared_api.add([Text("Redone.")])
    with sqlite3.connect(jupyter.home / "agent-kernel" / "runs.db", timeout=30) as database:
        database.execute("UPDATE schedules SET next_ms = ?", [int(time.time() * 1000) - 1000])
    eventually(lambda: jupyter.get("schedules").json()["schedules"][0]["last_run_id"])
    (listed,) = jupyter.get("schedules").json()["schedules"]
    run = listed["last_run_id"]
    assert jupyter.ended(run)["status"] == "completed"
    file = jupyter.folder / "agent-transcripts" / f"{run}.ipynb"
    eventually(file.exists)
    assert "Redone." in nbformat.writes(nbformat.read(file, as_version=4))
    assert jupyter.post("schedules/report/pause").status_code == 200
    assert jupyter.get("schedules").json()["schedules"][0]["next"] == []
    assert jupyter.post("schedules/report/explode").status_code == 400
    assert jupyter.request("DELETE", "schedules/report").status_code == 200
    assert jupyter.request("DELETE", "schedules/report").status_code == 400
    assert jupyter.get("schedules").json()["schedules"] == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("when", "sometimes", "sometimes"), ("when", "99 * * * *", "99"), ("timezone", "Moon/Sea", "Moon/Sea"),
     ("overlap", "stack", "overlap"), ("workspace", "nowhere", "nowhere"), ("name", " ", "name")],
)  # fmt: skip
def test_a_schedule_that_cannot_be_is_told_so(jupyter: Jupyter, field: str, value: str, said: str) -> None:
    body = {"name": "x", "when": "daily", "prompt": "p", "workspace": ".", field: value}
    response = jupyter.post("schedules", body)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_schedules_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))

    def agent_kernel(*words: str) -> str:
        done = CliRunner().invoke(main, ["schedules", *words])
        assert done.exit_code == 0, done.output
        return done.output

    added = agent_kernel(
        "add", "nightly", "daily", "Tidy up", "--cwd", str(tmp_path), "--timezone", "Europe/Berlin"
    )
    assert "nightly: 0 0 * * * Europe/Berlin; next " in added
    agent_kernel("pause", "nightly")
    assert "paused" in agent_kernel("list")
    agent_kernel("resume", "nightly")
    agent_kernel("delete", "nightly")
    assert agent_kernel("list") == ""
    refused = CliRunner().invoke(main, ["schedules", "add", "x", "never", "p"])
    assert refused.exit_code == 1
    assert "'never' is not a time" in refused.output
