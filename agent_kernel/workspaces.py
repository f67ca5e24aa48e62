"""The workspaces of one person: a session's folder and its sandbox, as things one can stop, archive, delete, export.

What is idle goes by policy: stopped first, then freed of what can be made again, then (if wanted) deleted. A person's
folder is never touched, and a sandbox that holds the only copy of something is left alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.account import Account
from agent_kernel.app import App
from agent_kernel.errors import AgentKernelError, RunBusy, SandboxError, SettingsError
from agent_kernel.events import now_ms
from agent_kernel.files import Files, Upload, bytes_below
from agent_kernel.places import is_here
from agent_kernel.runner import has_owner
from agent_kernel.runs.records import UNFINISHED, Session
from agent_kernel.runs.store import DAY_MS
from agent_kernel.sandbox.folder import SKIPPED

MOST = 1_000
NAMED = 200
"""Characters of a workspace's path that may be its last part."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workspace:
    """`state`: running, stopped, archived or gone (there is no sandbox; the next run makes one); at Daytona also what
    the service says, unknown when it does not answer. Bytes are -1 where nobody counted."""

    session: Session
    provider: str
    state: str
    here: bool
    """Whether its folder is on this machine."""
    folder_bytes: int = -1
    sandbox_bytes: int = -1
    """What the sandbox keeps beside the folder: packages, caches, outputs, snapshots."""


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    about: str
    folder: Path


class Workspaces:
    """`account`'s workspaces. Raises RunNotFound for those of others."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._app = account.app

    # -- looking ---------------------------------------------------------------------------------------

    async def list(self, limit: int = 50, before: int | None = None) -> list[Workspace]:
        """Those used last first."""
        sessions = await self._account.list_sessions(limit, before)
        remote = await self._app.places.remote_states() if any(s.sandbox_id for s in sessions) else {}
        return [await self._seen(session, remote) for session in sessions]

    async def show(self, session_id: str) -> Workspace:
        """One, with what it takes on this machine's disk."""
        session = await self._account.get_session(session_id)
        remote = await self._app.places.remote_states() if session.sandbox_id else {}
        seen = await self._seen(session, remote)
        folder = Path(session.workspace)
        there = await asyncio.to_thread(folder.is_dir) if seen.here else False
        return Workspace(
            session, seen.provider, seen.state, seen.here,
            await bytes_below(folder) if there else -1,
            await bytes_below(self._app.places.folder(session)),
        )  # fmt: skip

    async def _seen(self, session: Session, remote: dict[str, str] | None) -> Workspace:
        provider = "daytona" if session.sandbox_id else self._app.settings.sandbox
        if session.sandbox_id:
            state = remote.get(session.id, "gone") if remote is not None else "unknown"
        elif self._app.places.sandbox_of(session.id) is not None:
            state = "running"
        else:
            state = "stopped" if self._app.places.folder(session).is_dir() else "gone"
        return Workspace(session, provider, state, is_here(session))

    # -- its life --------------------------------------------------------------------------------------

    async def start(self, session_id: str) -> None:
        """As the next run will find it, already running."""
        session = await self._account.get_session(session_id)
        await (await self._app.places.sandbox_for(session)).start()

    async def stop(self, session_id: str) -> None:
        """End what runs in it, once what changed there has come home. Raises RunBusy while a run works in it."""
        session = await self._free(session_id)
        async with self._app.places.resting(session) as sandbox:
            remote = await self._app.places.remote_states() if session.sandbox_id else None
            if remote and remote.get(session.id) == "running":  # since another program had it
                await sandbox.start()
                await sandbox.stop()

    async def archive(self, session_id: str) -> None:
        """Stop it, and let go of what can be made again; see `Sandbox.free`."""
        session = await self._free(session_id)
        async with self._app.places.resting(session) as sandbox:
            await sandbox.free()

    async def delete(self, session_id: str, *, force: bool = False) -> None:
        """Delete the sandbox with its packages and snapshots; folder and conversation stay, undo of old runs does not.

        Raises OnlyCopy when something is only there, unless `force`.
        """
        session = await self._free(session_id)
        async with self._app.places.resting(session) as sandbox:
            if not force:
                await self._app.places.nothing_unsaved(session, sandbox)
            await sandbox.delete()
        await self._app.store.update_session(session.id, sandbox_id=None, updated_ms=session.updated_ms)

    async def _free(self, session_id: str) -> Session:
        """The session, when no run works in it anywhere."""
        session = await self._account.get_session(session_id)
        runs = await self._app.store.list_runs(session_id=session.id, status=UNFINISHED, limit=MOST)
        for run in runs:
            if self._app.works_on(run.id) or has_owner(run):
                raise RunBusy(f"Run {run.id} works in this workspace.", hint="Stop it first.")
        return session

    # -- what is in it -----------------------------------------------------------------------------------

    async def files(self, session_id: str) -> Files:
        return Files(await self._app.places.sandbox_for(await self._account.get_session(session_id)))

    async def upload(self, session_id: str, path: str, total: int, token: str, *, most: int) -> Upload:
        """A file on its way into the workspace; one that was begun before goes on where it was."""
        session = await self._account.get_session(session_id)
        return Upload(self._app.places.folder(session), path, total, token, most=most)

    async def export(self, session_id: str) -> AsyncIterator[bytes]:
        """The workspace's files as a tar.gz, packed inside the sandbox. Raises SandboxError before the first piece."""
        session = await self._account.get_session(session_id)
        sandbox = await self._app.places.sandbox_for(session)
        packed = f"{sandbox.session}/cache/export-{secrets.token_hex(8)}.tar.gz"
        left_out = [f"--exclude={name}" for name in sorted(SKIPPED)]
        command = ["tar", "-czf", packed, *left_out, "-C", sandbox.workdir, "."]
        try:
            await sandbox.exec(["mkdir", "-p", f"{sandbox.session}/cache"])
            done = await sandbox.exec(command)
            if done.exit_code > 1 or done.exit_code < 0:  # 1: a file changed while it was read
                raise SandboxError(
                    f"The workspace could not be packed: {(done.stderr or done.error).strip()[:300]}."
                )
            offset = 0
            while piece := await sandbox.read(packed, offset, 4 << 20):
                yield piece
                offset += len(piece)
        finally:
            await sandbox.remove(packed)

    # -- new ones --------------------------------------------------------------------------------------

    async def new(self, folder: Path, template: str = "blank", name: str = "main") -> Session:
        """A folder made from a template, and its session. Raises SettingsError."""
        found = {t.name: t for t in templates(self._app.settings.folder)}
        if template not in found:
            raise SettingsError(f"There is no template {template!r}.", hint=f"There are {', '.join(found)}.")
        await asyncio.to_thread(_copied, found[template].folder, folder)
        return await self._account.session(name, folder.resolve())


def templates(data_folder: Path) -> list[Template]:
    """Those of the package, and a person's own in `templates` of the data folder, which win."""
    here = Path(__file__).parent
    shipped = here / "templates" if (here / "templates").is_dir() else here.parent / "templates"
    found: dict[str, Template] = {}
    for place in (shipped, data_folder / "templates"):
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                found[folder.name] = Template(folder.name, _about(folder / "README.md"), folder)
    return [found[name] for name in sorted(found, key=lambda name: (name != "blank", name))]


def _about(readme: Path) -> str:
    try:
        with readme.open(encoding="utf-8", errors="replace") as file:
            return file.readline(400).strip().lstrip("# ")
    except OSError:
        return ""


def _copied(template: Path, folder: Path) -> None:
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise SettingsError(f"The folder {folder} is not empty.", hint="Name one that is not there yet.")
        shutil.copytree(template, folder, symlinks=True, dirs_exist_ok=True)
    except OSError as error:
        raise SettingsError(f"The workspace {folder} cannot be made: {error}.") from error


# -- what is idle ------------------------------------------------------------------------------------------


async def tidy(app: App) -> None:
    """Free and delete what was not used for as long as the settings say, on this host."""
    steps = ((app.settings.archive_days, _archived), (app.settings.delete_sandbox_days, _deleted))
    for days, step in steps:
        unused = await app.store.unused_sessions(now_ms() - days * DAY_MS, MOST) if days else []
        for session in unused:
            there = session.sandbox_id is not None or app.places.folder(session).is_dir()
            if there and is_here(session):
                try:
                    await step(Workspaces(Account(app, session.owner)), session)
                except (AgentKernelError, OSError) as error:
                    logger.warning("the workspace of session %s stays as it is: %s", session.id, error)


async def _archived(workspaces: Workspaces, session: Session) -> None:
    """Daytona archives by itself, by the same clock."""
    if session.sandbox_id is None:
        await workspaces.archive(session.id)


async def _deleted(workspaces: Workspaces, session: Session) -> None:
    await workspaces.delete(session.id)
    logger.info("deleted the sandbox of session %s: not used for long", session.id)
