"""A cell that is stopped at an awkward moment."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.client import Agent, Run
from agent_kernel.events import Event
from agent_kernel.runs.records import RunRow
from agent_kernel.settings import Settings
from agent_kernel.shell.bridge import Bridge
from agent_kernel.shell.cell import Prompter
from agent_kernel.shell.cellrun import AgentStopped
from agent_kernel.shell.namespace import UserNamespace
from agent_kernel.shell.options import Options
from agent_kernel.shell.textview import Asking, TextView
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse


class FarAway(Account):
    """The run has begun, and its cell does not know yet: the answer is still on its way when it is stopped."""

    async def submit(self, *args: Any, **options: Any) -> RunRow:
        return await self._late(await super().submit(*args, **options))

    async def fork(self, *args: Any, **options: Any) -> RunRow:
        return await self._late(await super().fork(*args, **options))

    async def resume(self, *args: Any, **options: Any) -> RunRow:
        return await self._late(await super().resume(*args, **options))

    async def attend(self, run_id: str, kernel: Any) -> None:
        await self._late(await self.get_run(run_id))

    async def _late(self, run: RunRow) -> RunRow:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.sleep(0.3)
        return run


class JustThere(Bridge):
    """The answer is there when the interrupt comes, and the cell, on a busy machine, has not had its turn yet."""

    def wait(self, future: Future[Any], timeout: float | None = None, *, cancel: bool = False) -> Any:
        found = super().wait(future, timeout, cancel=cancel)
        if isinstance(found, Run):
            signal.raise_signal(signal.SIGINT)
        return found


class Behind(Account):
    """The run, which reads its log on its own, hears nothing before the view has shown its end."""

    shown: asyncio.Event

    async def follow(self, *args: Any, deltas: bool = True, **options: Any) -> AsyncIterator[Event]:
        if not deltas:
            await self.shown.wait()
        async for event in super().follow(*args, deltas=deltas, **options):
            yield event


@pytest.fixture
def prompter() -> Iterator[Prompter]:
    bridge = Bridge()
    yield Prompter(InteractiveShell.instance(), bridge)
    InteractiveShell.clear_instance()
    bridge.close()


def test_a_run_that_begins_while_its_cell_is_stopped_is_stopped_too(
    prompter: Prompter, settings: Settings, workspace: Path, api: ScriptedMessages
) -> None:
    api.add([Text("Let me think"), Stall()])
    call = prompter.bridge.call
    app = call(open_app(settings))
    account = FarAway(app)

    async def agent() -> Agent:
        return Agent(workspace=workspace, settings=settings, host=account)

    try:
        with pytest.raises(AgentStopped):
            prompter.prompt("Think long", call(agent()), Options(), "lines")
        (run,) = call(app.store.list_runs(owner=settings.owner))
        call(app.wait(run.id), 60)
        assert call(account.get_run(run.id)).status == "cancelled"
    finally:
        call(app.close())


def test_a_run_that_began_just_before_its_cell_is_stopped_is_stopped_too(
    settings: Settings, workspace: Path, api: ScriptedMessages
) -> None:
    api.add([Text("Let me think"), Stall()])
    prompter = Prompter(InteractiveShell.instance(), JustThere())
    call = prompter.bridge.call
    app = call(open_app(settings))

    async def agent() -> Agent:
        return Agent(workspace=workspace, settings=settings, host=Account(app))

    try:
        with pytest.raises(AgentStopped):
            prompter.prompt("Think long", call(agent()), Options(), "lines")
        (run,) = call(app.store.list_runs(owner=settings.owner))
        call(app.wait(run.id), 60)
        assert call(Account(app).get_run(run.id)).status == "cancelled"
    finally:
        call(app.close())
        InteractiveShell.clear_instance()
        prompter.bridge.close()


@pytest.mark.parametrize(
    ("command", "status"),
    [("/fork 3 Another way", "cancelled"), ("/resume", "cancelled"), ("/show", "running")],
)
def test_a_command_that_is_stopped_stops_what_it_has_set_going_and_nothing_else(
    prompter: Prompter,
    settings: Settings,
    workspace: Path,
    api: ScriptedMessages,
    command: str,
    status: str,
) -> None:
    api.add([ToolUse("bash", {"command": "true"})], [Text("Let me think"), Stall()])
    call = prompter.bridge.call
    app = call(open_app(settings))
    account = FarAway(app)
    bound = 0 if command == "/show" else 1

    async def begun() -> Agent:
        near = Agent(workspace=workspace, settings=settings, host=Account(app))
        prompter.last["main"] = run = await near.start("Work", max_turns=bound)
        while run.reason != ("max_turns" if bound else "thinking"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return Agent(
            workspace=workspace,
            settings=settings,
            host=account,
            kernel=UserNamespace(prompter.ip, prompter.bridge, workspace),
        )

    try:
        agent = call(begun(), 60)
        with pytest.raises((AgentStopped, KeyboardInterrupt)):
            prompter.command(command, agent, Options(), "lines")
        newest = call(app.store.list_runs(owner=settings.owner))[0]
        if status == "cancelled":
            call(app.wait(newest.id), 60)
        assert call(account.get_run(newest.id)).status == status
    finally:
        call(app.close())


def test_a_cell_ends_when_its_run_knows_what_was_shown(
    prompter: Prompter, settings: Settings, workspace: Path, api: ScriptedMessages
) -> None:
    api.add([Text("Done.")])
    call = prompter.bridge.call
    app = call(open_app(settings))
    account = Behind(app)
    account.shown = asyncio.Event()

    class Ending(TextView):
        def finish(self, events: Sequence[Event]) -> None:
            super().finish(events)
            asyncio.get_running_loop().call_later(0.05, account.shown.set)

    async def agent() -> Agent:
        return Agent(workspace=workspace, settings=settings, host=account)

    try:
        run = call(call(agent()).start("Say it"))
        cell = prompter.show(run, Ending(print, info={}), Options(), "terminal")
        assert (cell.status, cell.text) == ("completed", "Done.")
    finally:
        call(app.close())


def test_who_is_asked_at_the_terminal_may_be_answered_for_elsewhere(
    prompter: Prompter,
    settings: Settings,
    workspace: Path,
    api: ScriptedMessages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.add([ToolUse("bash", {"command": "echo yes > said"}, id="call")], [Text("Done.")])
    call = prompter.bridge.call
    app = call(open_app(settings))
    account = Account(app)

    async def agent() -> Agent:
        return Agent(workspace=workspace, settings=settings, host=account, interactive=True)

    def typed(question: str) -> str:
        """Somebody allows it in the panel while the person here still thinks."""
        (run,) = call(account.app.store.list_runs(owner=settings.owner))
        call(account.answer(run.id, "call", "allow"))
        return "n"

    monkeypatch.setattr("builtins.input", typed)
    try:
        run = call(call(agent()).start("Say it", permission="ask"))
        view = TextView(print, info={}, ask=Asking(prompter.bridge))
        cell = prompter.show(run, view, Options(), "terminal")
        assert cell.status == "completed"
        assert (workspace / "said").read_text() == "yes\n"
    finally:
        call(app.close())
