"""Whole runs at Daytona: the real loop, SDKs and store, against both services at the wire."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.client import Agent
from agent_kernel.events import CodeGeneration, Context, Status, ToolResult, ToolStart
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.sandbox.conftest import eventually
from tests.sandbox.fake_daytona import KEY, FakeDaytona
from tests.test_runs_whole import bash, of, texts, until

NewAgent = Callable[..., Agent]
FIGURE = "import matplotlib.pyplot as plt; plt.plot([x, x + 1]); x"


@pytest.fixture
def settings(settings: Settings, daytona: FakeDaytona) -> Settings:
    return settings.with_overrides(
        "test", sandbox="daytona", daytona_api_key=KEY, daytona_api_url=daytona.url, daytona_target="us"
    )


async def test_a_run_edits_files_and_keeps_its_variables(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path, daytona: FakeDaytona
) -> None:
    (workspace / "a.txt").write_text("old\n")
    api.add(
        [bash("cat a.txt; echo new > a.txt")],
        [ToolUse("python", {"code": "x = 41"}), ToolUse("python", {"code": FIGURE})],
        [ToolUse("edit_file", {"path": "a.txt", "old_string": "new", "new_string": "newer"})],
        [Text("Done.")],
    )
    agent = new_agent()
    run = await agent.run("Change it")
    assert run.status == "completed", run.events[-2:]
    results = of(run, ToolResult)
    assert texts(results[0]).startswith("old")
    assert [block["type"] for block in results[2].content] == ["text", "image"], results[2]
    assert "41" in texts(results[2])
    assert not results[3].is_error, results[3]
    assert (workspace / "a.txt").read_text() == "newer\n"
    assert [(change.path, change.action) for change in run.files] == [("a.txt", "edit")]
    assert "-old\n+new\n" in run.diff() and "-new\n+newer" in run.diff()
    assert of(run, Context)[0].tier == "daytona"
    assert len(of(run, CodeGeneration)) == 2
    assert (await run.undo()).paths == ["a.txt"]
    assert (workspace / "a.txt").read_text() == "old\n"
    assert KEY not in str(run.events), "no credential reaches an event"
    container = daytona.only
    assert container.body["autoArchiveInterval"] == 7 * 24 * 60
    assert container.fields["networkBlockAll"] is True
    await agent.close()
    assert container.state == "stopped", "an unused sandbox costs nothing"


async def test_the_next_run_finds_the_sandbox_and_what_a_person_changed_since(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path, daytona: FakeDaytona
) -> None:
    api.add([bash("echo kept > /session/kept; ls")], [Text("Done.")])
    first = new_agent()
    await first.run("One")
    await first.close()
    (workspace / "mine.txt").write_text("of a person\n")
    api.add([ToolUse("read_file", {"path": "mine.txt"})], [bash("cat /session/kept")], [Text("Done.")])
    run = await new_agent().run("Two")
    first_result, second_result = of(run, ToolResult)
    assert "of a person" in texts(first_result)
    assert "kept" in texts(second_result)
    assert len(daytona.containers) == 1


async def test_a_stop_ends_the_tree_over_there(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path, daytona: FakeDaytona
) -> None:
    api.add([bash("(setsid sleep 1234 &); touch begun; echo begun; sleep 4321")])
    agent = new_agent()
    run = await agent.start("Wait")
    await until(run, lambda event: isinstance(event, ToolStart))
    await eventually(lambda: runs(daytona, "sleep 4321"))
    await run.stop()
    await run.wait()
    assert run.status == "cancelled"
    await eventually(lambda: not runs(daytona, "sleep 4321") and not runs(daytona, "sleep 1234"))


def runs(daytona: FakeDaytona, what: str) -> bool:
    return bool(daytona.containers) and any(what in line for line in daytona.only.processes())


HOST = """
import asyncio, json, os, sys
from pathlib import Path
from agent_kernel.client import Agent
from agent_kernel.settings import Settings
async def main():
    values = json.loads(sys.argv[1])
    agent = Agent(workspace=Path(sys.argv[2]), settings=Settings(**values))
    run = await agent.start("Work")
    print(run.id, flush=True)
    await run.wait()
asyncio.run(main())
"""


async def test_a_killed_host_leaves_nothing_running_and_the_next_goes_on(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path, settings: Settings, daytona: FakeDaytona
) -> None:
    api.add([bash("echo x >> effects; echo begun > begun; sleep 4321")])
    names = ("model", "base_url", "api_key", "data_dir", "demo_delay", "sandbox", "daytona_api_key", "daytona_api_url",
             "daytona_target")  # fmt: skip
    values = json.dumps({name: getattr(settings, name) for name in names})
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", HOST, values, str(workspace)], stdout=subprocess.PIPE, env={**os.environ}
    ) as host:
        assert host.stdout is not None
        try:
            run_id = host.stdout.readline().decode().strip()
            await eventually(lambda: runs(daytona, "sleep 4321"))
        finally:
            host.kill()
    container = daytona.only
    api.add([bash("cat effects")], [Text("Done.")])
    run = await new_agent().resume(run_id)
    await run.wait()
    assert run.status == "completed", run.events[-3:]
    first, second = of(run, ToolResult)
    assert "interrupted" in texts(first).lower()
    assert texts(second) == "x", "it was not done twice, and the sandbox is the same"
    assert daytona.only is container
    assert not runs(daytona, "4321")


async def test_a_sandbox_that_vanishes_in_the_middle_of_a_run_is_made_anew(
    new_agent: NewAgent, api: ScriptedMessages, workspace: Path, daytona: FakeDaytona
) -> None:
    (workspace / "a.txt").write_text("kept\n")
    api.add([ToolUse("python", {"code": "x = 1"})], [bash("sleep 4321")])
    agent = new_agent()
    run = await agent.start("Work")
    await eventually(lambda: runs(daytona, "sleep 4321"))
    api.add([bash("cat a.txt")], [ToolUse("python", {"code": "x"})], [Text("Done.")])
    await asyncio.to_thread(daytona.vanish)
    await run.wait()
    assert run.status == "completed", run.events[-3:]
    _, lost, again, python = of(run, ToolResult)
    assert lost.is_error and "sandbox has gone" in texts(lost)
    assert "kept" in texts(again)
    assert "variables of earlier calls are gone" in texts(python)


async def test_a_deleted_session_takes_its_sandbox_with_it(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings, daytona: FakeDaytona, workspace: Path
) -> None:
    api.add([bash("ls")], [Text("Done.")])
    agent = new_agent()
    await agent.run("Look")
    await agent.close()
    assert daytona.containers
    async with await open_app(settings.with_overrides("test", sandbox="local")) as app:
        account = Account(app)
        (session,) = await account.list_sessions()
        assert session.sandbox_id == daytona.only.id
        await account.delete_session(session.id)
    assert not daytona.containers
    assert workspace.is_dir()


async def test_any_worker_may_go_on_with_a_session_that_was_carried_there(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "a.txt").write_text("of a person\n")
    api.add([bash("echo of the first >> a.txt")], [Text("Done.")])
    agent = new_agent()
    first = await agent.run("One")
    await agent.close()

    async with await open_app(settings) as app:
        row = await app.store.get_run(first.id)
        assert await app.host_of(row) is None
        await app.store.update_session(row.session_id, host="another-machine")
        api.add([bash("cat a.txt; echo of another >> a.txt")], [Text("Done.")])
        account = Account(app)
        session = await account.get_session(row.session_id)
        run = await account.submit(session, "Two", settings, interactive=False)
        await app.wait(run.id)
        events = await account.read(run.id)
        result = next(event for event in events if isinstance(event, ToolResult))
        assert texts(result) == "of a person\nof the first", (
            "its folder came from the sandbox, not from a path here"
        )
        assert isinstance(events[-1], Status) and events[-1].status == "completed"
        assert (workspace / "a.txt").read_text() == "of a person\nof the first\n"
        await app.store.update_session(row.session_id, host=socket.gethostname())

    api.add([ToolUse("read_file", {"path": "a.txt"})], [Text("Done.")])
    await new_agent().run("Three")
    assert (workspace / "a.txt").read_text().endswith("of another\n"), "what the other did comes home"


async def test_the_key_of_a_workspaces_file_is_not_used(
    new_agent: NewAgent,
    api: ScriptedMessages,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    daytona: FakeDaytona,
) -> None:
    """An agent can write `.env` where the host runs: nothing of it may reach the service's client."""
    for name in (".env", ".env.local"):
        (workspace / name).write_text(
            "DAYTONA_API_KEY=stolen\nDAYTONA_API_URL=http://127.0.0.1:9/api\nDAYTONA_OTEL_ENABLED=true\n"
            "DAYTONA_HAPPY_EYEBALLS_DELAY=nonsense\nDAYTONA_TARGET=elsewhere\n"
        )
    monkeypatch.chdir(workspace)
    api.add([bash("echo fine")], [Text("Done.")])
    run = await new_agent().run("Go")
    assert run.status == "completed", run.events[-2:]
    assert daytona.only.body["target"] == "us"


async def test_what_is_missing_is_said_in_a_sentence(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings
) -> None:
    api.add([bash("ls")], [Text("Done.")])
    without = settings.with_overrides("test", daytona_api_key="")
    run = await new_agent(settings=without).run("Go")
    said = str(run.events)
    assert "There is no key for Daytona. Set DAYTONA_API_KEY" in said, said


async def test_the_doctor_shows_the_service(
    daytona: FakeDaytona, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from agent_kernel.doctor import examine, render

    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DAYTONA_API_URL", daytona.url)
    monkeypatch.setenv("DAYTONA_API_KEY", "wrong")
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "daytona")
    refused = await examine()
    assert "refuses the key" in refused["daytona"]["problem"] and not refused["ok"]
    monkeypatch.setenv("DAYTONA_API_KEY", KEY)
    report = await examine()
    assert report["daytona"] == {"state": "0 sandboxes of ours", "where": daytona.url, "problem": ""}
    assert "✓ daytona" in render(report) and KEY not in render(report)
