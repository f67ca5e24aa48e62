"""What a session keeps open between its runs: its sandbox, its MCP servers, and the turns they are used in."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_kernel.errors import OnlyCopy, RunBusy, SandboxError, SandboxNotFound, SettingsError
from agent_kernel.events import Error, Event
from agent_kernel.mcp.config import Configuration
from agent_kernel.mcp.servers import McpServers
from agent_kernel.mcp.tools import session_tools
from agent_kernel.runs.records import RunRow, Session
from agent_kernel.runs.store import Store
from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.daytona_api import Access
from agent_kernel.sandbox.hold import alone
from agent_kernel.settings import RUN_SETTINGS, Settings
from agent_kernel.tools.base import Tool

MOST_NAMED = 5
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Place:
    """One session's."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    write_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sandbox: Sandbox | None = None
    provider: str = ""
    servers: McpServers | None = None
    state: dict[str, Any] = field(default_factory=dict)
    """What tools keep from one call to the next; closed with the sandbox where it can be."""

    @property
    def is_busy(self) -> bool:
        return self.turn.locked() or self.write_lock.locked()

    async def close(self) -> None:
        """End what runs in the session's sandbox; the next run opens it anew."""
        ending = [*self.state.values(), *([self.servers] if self.servers else [])]
        self.state.clear()
        self.servers = None
        for value in ending:
            if hasattr(value, "close"):
                await value.close()
        if self.sandbox is not None:
            await self.sandbox.stop()
        self.sandbox, self.provider = None, ""


class Places:
    """Those of all sessions of this process. Nothing is opened before it is needed."""

    def __init__(self, settings: Settings, store: Store, *, hide: Callable[[Iterable[str]], None]):
        self._settings = settings
        self._store = store
        self._hide = hide
        self._places: defaultdict[str, Place] = defaultdict(Place)

    def of(self, session_id: str) -> Place:
        return self._places[session_id]

    def folder(self, session: Session) -> Path:
        """What the session's sandbox keeps on this machine."""
        return self._folder(session.id)

    def _folder(self, session_id: str) -> Path:
        return self._settings.folder / "sandboxes" / session_id

    async def forget(self, session: Session) -> None:
        """Delete the session's sandbox with its files. The workspace stays. Raises SandboxError where another program
        has it open."""
        place = self._places.pop(session.id, None)
        if place is not None:
            await place.close()
        if session.sandbox_id is not None:
            remote = self._settings.with_overrides(f"session {session.id}", sandbox="daytona")
            await (await self._open(session, remote)).delete()
        with alone(self.folder(session)):
            await asyncio.to_thread(shutil.rmtree, self.folder(session), ignore_errors=True)

    async def close(self) -> None:
        for place in self._places.values():
            await place.close()

    # -- sandboxes ---------------------------------------------------------------------------------------

    async def lease(self, session: Session, settings: Settings) -> Sandbox:
        """The session's sandbox for a run, which may want another provider than the one before it."""
        place = self.of(session.id)
        if place.provider != settings.sandbox:
            await place.close()
        return await self._sandbox(session, settings)

    @asynccontextmanager
    async def borrow(self, session: Session, settings: Settings) -> AsyncIterator[Sandbox]:
        """The session's sandbox while no run changes anything in it."""
        async with self.of(session.id).write_lock:
            yield await self._sandbox(session, settings)

    @asynccontextmanager
    async def resting(self, session: Session) -> AsyncIterator[Sandbox]:
        """The session's sandbox while no run has it, its Python and all else in it ended. Raises RunBusy."""
        place = self.of(session.id)
        if place.is_busy:
            raise RunBusy("A run works in this workspace.", hint="Stop it first.")
        async with place.turn, place.write_lock:
            sandbox = await self._sandbox(session, await self._last_settings(session))
            await place.close()
            yield sandbox

    async def sandbox_for(self, session: Session) -> Sandbox:
        """The session's sandbox, at the provider its last run had; it starts when something is asked of it."""
        if session.sandbox_id is None and not is_here(session):
            raise SandboxNotFound(f"Its folder is on {session.host}.", hint="Ask there.")
        return await self._sandbox(session, await self._last_settings(session))

    async def nothing_unsaved(self, session: Session, sandbox: Sandbox | None = None) -> None:
        """Raises OnlyCopy when deleting the session's sandbox (or the one given) would lose something."""
        if session.sandbox_id is None:
            return  # the workspace is the person's own folder
        if not is_here(session):
            raise OnlyCopy(
                f"Its folder is on {session.host}: what changed here has not come home.",
                hint="Start a run of the session there, or force it.",
            )
        if only := await (sandbox or await self.sandbox_for(session)).unsaved():
            more = f" and {len(only) - MOST_NAMED} more" if only[MOST_NAMED:] else ""
            raise OnlyCopy(
                f"The sandbox holds the only copy of {', '.join(only[:MOST_NAMED])}{more}.",
                hint="Download it first, or force it.",
            )

    def sandbox_of(self, session_id: str) -> Sandbox | None:
        """The session's sandbox if it runs in this process."""
        place = self._places.get(session_id)
        return place.sandbox if place and place.sandbox and place.sandbox.life else None

    async def stop_idle(self, seconds: float) -> int:
        """Stop sandboxes that nobody has asked anything of for so long, and in which nothing was left running. One that
        has died still has its folder, which nobody else can empty."""
        stopped = 0
        for place in list(self._places.values()):
            sandbox = place.sandbox
            if sandbox is None or place.is_busy or await sandbox.idle() <= seconds:
                continue
            if place.sandbox is sandbox and not place.is_busy:  # nobody came while it was asked
                async with place.turn:
                    await place.close()
                stopped += 1
        return stopped

    async def remote_states(self) -> dict[str, str] | None:
        """What the provider says of sandboxes by session, in our words; None where nobody can be asked."""
        from agent_kernel.sandbox.daytona import states

        try:
            return await states(daytona_access(self._settings)) if self._settings.daytona_api_key else None
        except SandboxError as error:
            logger.warning("the sandboxes at Daytona cannot be listed: %s", error)
            return None

    async def _last_settings(self, session: Session) -> Settings:
        last = await self._store.list_runs(session_id=session.id, limit=1)
        if session.sandbox_id is not None:
            return self._settings.with_overrides(f"session {session.id}", sandbox="daytona")
        return settings_of(self._settings, last[0]) if last else self._settings

    async def _sandbox(self, session: Session, settings: Settings) -> Sandbox:
        """The session's one sandbox; it starts with the first tool that needs it."""
        place = self.of(session.id)
        if place.sandbox is None:
            place.sandbox, place.provider = await self._open(session, settings), settings.sandbox
        return place.sandbox

    async def _open(self, session: Session, settings: Settings) -> Sandbox:
        unsafe = settings.sandbox == "none"
        at_home = settings.sandbox != "daytona" or is_here(session)

        async def told(sandbox_id: str) -> None:
            if sandbox_id != session.sandbox_id:
                await self._store.update_session(session.id, sandbox_id=sandbox_id)

        workspace = Path(session.workspace)
        if not at_home:  # a folder of that name here would be another one
            workspace = self.folder(session) / "workspace"
            await asyncio.to_thread(workspace.mkdir, mode=0o700, parents=True, exist_ok=True)
        return await open_sandbox(
            workspace=workspace,
            provider="local" if unsafe else settings.sandbox,
            id=session.id,
            data_dir=self._settings.folder / "sandboxes",
            python=settings.python or None,
            allow_unsafe=unsafe,
            daytona=daytona_access(self._settings),
            create=at_home,
            told=told,
        )

    # -- MCP servers -------------------------------------------------------------------------------------

    def mcp(self, session: Session) -> McpServers:
        """The session's MCP servers. Nothing is connected before it is needed."""
        place = self.of(session.id)
        if place.servers is None:
            configuration = Configuration(self._settings.folder, session.owner)
            place.servers = McpServers(configuration, Path(session.workspace), hide=self._hide)
        return place.servers

    async def reachable_mcp(self, session: Session) -> McpServers:
        """The same, with a sandbox to start programs in."""
        servers = self.mcp(session)
        if servers.sandbox is None:
            servers.sandbox = await self._sandbox(session, self._settings)
        return servers

    async def mcp_tools(
        self, session: Session, sandbox: Sandbox, only: Sequence[str] | None
    ) -> tuple[list[Tool], list[Event]]:
        """Tools of the session's servers (all, or `only` some), and what a person should hear. A broken
        configuration ends no run."""
        servers = self.mcp(session)
        servers.sandbox = sandbox
        try:
            chosen, notes = await servers.chosen(self._chosen_tools(session.id))
        except SettingsError as error:
            return [], [Error(kind="mcp", message=error.message, hint=error.hint)]
        return session_tools(servers, chosen, only), [Error(kind="mcp", message=note) for note in notes]

    def refresh_tools(self, session: Session) -> None:
        """Choose the session's tools anew when its next run starts."""
        self._chosen_tools(session.id).unlink(missing_ok=True)
        self.mcp(session).relist()

    def same_tools(self, session_id: str, copy_id: str) -> None:
        """A forked session goes on with the tools its history was made with."""
        with suppress(OSError):
            copy = self._chosen_tools(copy_id)
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(self._chosen_tools(session_id), copy)

    def _chosen_tools(self, session_id: str) -> Path:
        """Beside the session's sandbox: it goes when the session is forgotten."""
        return self._folder(session_id) / "tools.json"


def is_here(session: Session) -> bool:
    """Whether its folder is on this machine."""
    return session.host in (None, socket.gethostname())


def settings_of(settings: Settings, run: RunRow) -> Settings:
    """The settings a run was submitted with, on top of these."""
    said = {name: run.options[name] for name in RUN_SETTINGS if name in run.options}
    return settings.with_overrides(f"run {run.id}", model=run.model, **said)


def daytona_access(settings: Settings) -> Access:
    """Who we are at Daytona: from the host's settings, nothing of the workspace's."""
    return Access(
        api_key=settings.daytona_api_key,
        api_url=settings.daytona_api_url,
        target=settings.daytona_target,
        snapshot=settings.daytona_snapshot,
        volumes=settings.daytona_volumes,
    )
