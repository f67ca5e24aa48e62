"""What happens when a cell with a prompt runs: agent, view, run, and how the cell ends."""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent_kernel.client import Agent, Run
from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.events import Error, Event, Json
from agent_kernel.shell import frontend
from agent_kernel.shell.bridge import Bridge
from agent_kernel.shell.cellrun import AgentFailed, AgentStopped, CellRun
from agent_kernel.shell.follow import Patient, View, follow
from agent_kernel.shell.namespace import UserNamespace
from agent_kernel.shell.options import Options, usage
from agent_kernel.shell.prompt import expand
from agent_kernel.shell.slash import Reply, is_command, perform

STOP_SECONDS = 10.0
"""How long a stopped cell waits for its run to end; a second interrupt leaves at once."""
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Prompter:
    """The agents of one IPython shell, one per session name."""

    ip: Any
    bridge: Bridge
    agents: dict[str, Agent] = field(default_factory=dict)
    last: dict[str, Run] = field(default_factory=dict)
    background: set[Future[list[Event]]] = field(default_factory=set)
    starting: asyncio.Task[Run] | None = None
    """A run that no cell shows yet."""

    @classmethod
    def open(cls, ip: Any) -> Prompter:
        prompter = cls(ip, Bridge(frontend.idle_door(ip)))
        atexit.register(prompter.close)
        return prompter

    # -- one cell ------------------------------------------------------------------------------------

    def run(self, text: str, options: Options) -> CellRun | None:
        """Carry out what a cell says: help, a slash command or a prompt.

        Raises AgentFailed or AgentStopped, which end the cell with one line.
        """
        if options.help or not text.strip():
            print(usage())  # noqa: T201 - the answer to an empty prompt
            return None
        kind = frontend.view_kind(self.ip)
        agent = self.agent(
            options, interactive=frontend.can_answer(kind) and not self._unattended(kind, options)
        )
        with nullcontext() if options.background else self.bridge.attended():
            if is_command(text):
                return self.command(text, agent, options, kind)
            prompt = expand(text, self.ip.user_ns, agent.workspace)
            return self.prompt(prompt, agent, options, kind)

    @staticmethod
    def _unattended(kind: frontend.ViewKind, options: Options) -> bool:
        return options.background and kind == "terminal"  # the terminal is given back at once

    def agent(self, options: Options, *, interactive: bool) -> Agent:
        """The session's agent, made on first use."""
        agent = self.agents.get(options.session)
        if agent is None:
            agent = self.agents[options.session] = self.bridge.call(self._open(options))
        elif options.new:
            self.bridge.call(agent.new_session())
            self.last.pop(options.session, None)
        agent.interactive = interactive
        return agent

    async def _open(self, options: Options) -> Agent:
        workspace = frontend.workspace(self.ip)
        return Agent(
            workspace=workspace,
            notebook=frontend.notebook_name(self.ip.user_ns),
            session=options.session,
            new=options.new,
            kernel=UserNamespace(self.ip, self.bridge, workspace.resolve()),
        )

    def command(self, text: str, agent: Agent, options: Options, kind: frontend.ViewKind) -> CellRun | None:
        self.starting = None
        try:
            reply: Reply = self.bridge.call(
                perform(text, agent, self.last.get(options.session), options.overrides(), self._begin)
            )
        except KeyboardInterrupt:
            self._stop_unseen()
            raise
        if reply.prompt:
            return self.prompt(reply.prompt, agent, options, kind)
        if reply.follow is not None:
            view = self.view(agent, options, kind)
            return self.show(reply.follow, view, options, kind, reply.earlier)
        show_text(reply.text, kind)
        return None

    def prompt(self, prompt: str, agent: Agent, options: Options, kind: frontend.ViewKind) -> CellRun:
        """Start a run; its view is there before it is."""
        overrides = options.overrides()
        agent.settings.with_overrides("%agent", **overrides)  # a bad value should not leave an empty view
        if options.agent is not None:
            self._check_agent(agent, options.agent)
        view = self.view(agent, options, kind)
        self.starting = None
        try:
            if isinstance(view, Patient) and not options.background:
                self.bridge.call(view.set_up(lambda: agent.ready(**overrides)))
            cell = frontend.cell_id(self.ip)
            start = partial(agent.start, prompt, transcript=options.background, cell=cell, **overrides)
            run = self.bridge.call(self._begin(start))
        except KeyboardInterrupt:
            self._stop_unseen()
            view.fail("Stopped before it began.")
            raise AgentStopped("Stopped.") from None
        except BaseException:
            view.fail("Not started.")
            raise
        return self.show(run, view, options, kind)

    async def _begin(self, start: Callable[[], Coroutine[Any, Any, Run]]) -> Run:
        """The run, which begins whatever becomes of the cell."""
        self.starting = starting = asyncio.create_task(start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._stop_unseen()
            raise

    def _stop_unseen(self) -> None:
        """A run whose cell is stopped before it hears of it is stopped as well: it would go on unseen. It begins in one
        thread and the interrupt comes in another: either may be first."""
        starting, self.starting = self.starting, None
        if starting is not None:
            self.bridge.submit(_stop_begun(starting))

    def _check_agent(self, agent: Agent, name: str) -> None:
        """Raises SettingsError: what cannot begin should not leave an empty view."""
        known = self.bridge.call(agent.agents())
        if any(one["name"] == name for one in known):
            return
        usable = [one["name"] for one in known if one["state"] == "on"]
        raise SettingsError(
            f"There is no agent definition {name[:80]!r}.",
            hint=f"There is: {', '.join(usable[:8])}."
            if usable
            else f"Write one: .agents/agents/{name[:80]}.yaml.",
        )

    def view(self, agent: Agent, options: Options, kind: frontend.ViewKind) -> View:
        return open_view(kind, self.bridge, lambda: info_of(agent, options))

    def show(
        self,
        run: Run,
        view: View,
        options: Options,
        kind: frontend.ViewKind,
        earlier: Sequence[Event] = (),
    ) -> CellRun:
        """Follow the run in the view, until it has settled or (in the background) at leisure."""
        self.starting = None
        self.last[options.session] = run
        cell = CellRun(run, self.bridge, quiet=kind != "terminal")
        following = self.bridge.submit(follow(run, view, earlier))
        if options.background:
            self.background.add(following)
            following.add_done_callback(self._left)
            return cell
        try:
            self.bridge.wait(following)
        except KeyboardInterrupt:
            self._stop(run, following)
            raise _quiet(AgentStopped("Stopped."), cell) from None
        return ended(cell)

    def _stop(self, run: Run, following: Future[list[Event]]) -> None:
        """Ask it to stop, and see it off."""
        try:
            self.bridge.call(run.stop(), STOP_SECONDS)
            self.bridge.wait(following, STOP_SECONDS)
        except (KeyboardInterrupt, TimeoutError):
            following.cancel()
        except AgentKernelError as error:
            logger.warning("run %s could not be stopped: %s", run.id, error)

    def _left(self, following: Future[list[Event]]) -> None:
        self.background.discard(following)
        if not following.cancelled() and (error := following.exception()) is not None:
            logger.error("the view of a background run failed: %s", error)

    def close(self) -> None:
        """Let go of the agents; unfinished runs stay in the log."""
        agents, self.agents = list(self.agents.values()), {}
        for agent in agents if self.bridge.alive else []:
            try:
                self.bridge.call(agent.close(), 3)
            except Exception as error:  # at exit there is nothing left to do about it
                logger.debug("closing an agent failed: %s", error)
        self.bridge.close()


async def _stop_begun(starting: Awaitable[Run]) -> None:
    try:
        await (await starting).stop()
    except AgentKernelError as error:
        logger.warning("a run that nobody waits for did not begin, or could not be stopped: %s", error)


def info_of(agent: Agent, options: Options) -> Json:
    """What the view's header shows, with this cell's own options."""
    info = agent.info()
    overrides = options.overrides()
    info.update({name: overrides[name] for name in ("model", "permission", "agent") if name in overrides})
    info["demo"] = str(info["model"]).startswith("demo")
    return info


def open_view(kind: frontend.ViewKind, bridge: Bridge, info: Callable[[], Json]) -> View:
    """The view for where the cell is shown."""
    if kind == "widget":
        from agent_kernel.shell.widget import LiveView

        return LiveView(bridge, info)
    from agent_kernel.shell.textview import Asking, TextView, print_line

    if kind == "document":
        from agent_kernel.shell.document import Document

        document = Document()
        return TextView(document.write, info=info(), end=document.finish, failed=document.fail)
    if kind == "lines":
        return TextView(print_line, info=info())
    colour = frontend.can_answer(kind)
    return TextView(print_line, info=info(), ask=Asking(bridge) if colour else None, colour=colour)


def ended(cell: CellRun) -> CellRun:
    """The cell's value. Raises AgentFailed or AgentStopped for a run that did not get there."""
    if cell.status == "failed":
        raise _quiet(AgentFailed(failure(cell.events) or f"The run failed: {cell.reason}."), cell)
    if cell.status == "cancelled":
        raise _quiet(AgentStopped("Stopped."), cell)
    return cell


def failure(events: Sequence[Event]) -> str:
    """The sentence that says why, with what to do about it."""
    found = next((e for e in reversed(events) if isinstance(e, Error) and not e.retrying), None)
    return f"{found.message} {found.hint}".strip() if found else ""


def _quiet(error: AgentFailed | AgentStopped, cell: CellRun) -> AgentFailed | AgentStopped:
    error.run = cell
    return error


def show_text(text: str, kind: frontend.ViewKind) -> None:
    """A command's answer."""
    if kind in ("terminal", "lines"):
        print(text)  # noqa: T201 - the answer to what was typed
        return
    from IPython.display import Markdown, display

    display(Markdown(text))
