"""Workspaces at Daytona: what becomes of a sandbox, and that nothing which is only there is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.cli import main
from agent_kernel.client import Agent
from agent_kernel.dispatch import Dispatcher
from agent_kernel.errors import OnlyCopy, SandboxError
from agent_kernel.sandbox import sync
from agent_kernel.sandbox.hold import alone
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from agent_kernel.workspaces import Workspaces, tidy
from tests.sandbox.conftest import family
from tests.sandbox.fake_daytona import KEY, FakeDaytona
from tests.test_runs_whole import bash

NewAgent = Callable[..., Agent]


@pytest.fixture
def settings(settings: Settings, daytona: FakeDaytona) -> Settings:
    return settings.with_overrides(
        "test", sandbox="daytona", daytona_api_key=KEY, daytona_api_url=daytona.url, daytona_target="us"
    )


async def used(new_agent: NewAgent, api: ScriptedMessages, command: str) -> None:
    api.add([bash(command)], [Text("Done.")])
    agent = new_agent()
    assert (await agent.run("Go")).status == "completed"
    await agent.close()


async def test_what_is_only_there_keeps_a_sandbox_from_being_deleted(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings, workspace: Path, daytona: FakeDaytona,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sync, "MOST_FILE", 100_000)
    await used(new_agent, api, "head -c 200000 /dev/zero > large.bin; echo small > small.txt")
    async with await open_app(settings) as app:
        workspaces = Workspaces(Account(app))
        (found,) = await workspaces.list()
        session = found.session
        assert (found.provider, found.state, found.here) == ("daytona", "stopped", True)
        for delete in (workspaces.delete, Account(app).delete_session):
            with pytest.raises(OnlyCopy, match=r"only copy of large\.bin"):
                await delete(session.id)
        assert daytona.containers
        old = settings.with_overrides("test", delete_sandbox_days=1, retention_days=1)
        app.settings = old
        await app.store.update_session(session.id, updated_ms=int((time.time() - 3 * 86_400) * 1e3))
        await tidy(app)
        assert await Dispatcher(app).forget_unused() == 0, "no policy deletes it either"
        assert daytona.containers and await app.store.get_session(session.id)

        files = await workspaces.files(session.id)
        pieces = [piece async for piece in files.read("large.bin")]
        assert b"".join(pieces) == bytes(200_000), "the panel's file browser reads it over there"
        upload = await workspaces.upload(session.id, "mine.txt", 5, "t", most=10)
        upload.begin(0)
        upload.write(b"mine\n")
        await files.put("mine.txt", upload)
        assert (workspace / "mine.txt").read_text() == "mine\n", "what is uploaded comes home at once"
        packed = b"".join([piece async for piece in workspaces.export(session.id)])
        assert packed.startswith(b"\x1f\x8b")
        await files.remove("large.bin")
        await tidy(app)
        assert not daytona.containers, "the policy deletes what holds nothing of its own"
        assert (workspace / "small.txt").read_text() == "small\n"
        assert (await app.store.get_session(session.id)).sandbox_id is None


async def test_workspaces_are_stopped_started_and_archived_from_the_command_line(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings, workspace: Path, daytona: FakeDaytona,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    await used(new_agent, api, "echo made > made.txt")
    for name, value in {"AGENT_KERNEL_DATA_DIR": settings.data_dir, "AGENT_KERNEL_USER": settings.user,
                        "DAYTONA_API_KEY": KEY, "DAYTONA_API_URL": daytona.url}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    async with await open_app(settings) as app:
        (found,) = await Workspaces(Account(app)).list()
    session = found.session.id

    def run(*words: str) -> str:
        done = CliRunner().invoke(main, ["workspaces", *words])
        assert done.exit_code == 0, done.output
        return done.output

    def all_of_it() -> None:
        assert f"{session}" in run("list") and "daytona stopped" in run("list")
        run("start", session)
        assert daytona.only.state == "started" and "daytona running" in run("list")
        (daytona.only.disk / "workspace" / "late.txt").write_text("made over there")
        run("stop", session)
        assert daytona.only.state == "stopped"
        assert (workspace / "late.txt").read_text() == "made over there", "it comes home before"
        run("archive", session)
        assert daytona.only.state == "archived" and "archived" in run("show", session)
        run("export", session, str(tmp_path / "all.tar.gz"))
        assert (tmp_path / "all.tar.gz").stat().st_size > 100
        run("delete", session, "--yes")
        assert not daytona.containers
        assert "analysis" in run("new", "--templates")
        assert str(tmp_path / "fresh") in run("new", str(tmp_path / "fresh"), "--template", "analysis")
        assert (tmp_path / "fresh" / "analysis.ipynb").is_file()

    await asyncio.to_thread(all_of_it)


async def test_an_idle_sandbox_is_stopped_but_not_what_was_left_running(
    settings: Settings, workspace: Path
) -> None:
    local = settings.with_overrides("test", sandbox="local")
    async with await open_app(local) as app:
        session = await Account(app).session("main", workspace)
        sandbox = await app.places.sandbox_for(session)
        await sandbox.exec("true")
        assert await app.places.stop_idle(3600) == 0
        await sandbox.exec("while [ ! -e enough ]; do sleep 0.1; done", background=True)
        assert await app.places.stop_idle(0) == 0
        (workspace / "enough").touch()
        async with asyncio.timeout(30):
            while not await app.places.stop_idle(0):  # noqa: ASYNC110 - what ends is another process
                await asyncio.sleep(0.05)
        assert app.places.sandbox_of(session.id) is None


async def test_a_sandbox_that_has_died_keeps_nobody_from_its_folder(
    settings: Settings, workspace: Path
) -> None:
    async with await open_app(settings.with_overrides("test", sandbox="local")) as app:
        session = await Account(app).session("main", workspace)
        sandbox = await app.places.sandbox_for(session)
        await sandbox.exec("sleep 600", background=True)
        with pytest.raises(SandboxError, match="Another program"), alone(app.places.folder(session)):
            pass
        for pid in family(sandbox):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while sandbox.life:  # noqa: ASYNC110 - a program's
            await asyncio.sleep(0.05)
        assert await app.places.stop_idle(3600) == 0
        assert await app.places.stop_idle(0) == 1
        with alone(app.places.folder(session)):
            pass
