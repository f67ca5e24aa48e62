"""Routes for workspaces: listed, started, stopped, archived, deleted, exported, and made from templates."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError

from jupyter_ext.door import BadRequest
from jupyter_ext.file_routes import WorkspaceHandler
from jupyter_ext.route import Route

if TYPE_CHECKING:
    from agent_kernel.workspaces import Workspace

open_door = allow_unauthenticated
MOST_PAGE = 200
ACTIONS = ("start", "stop", "archive")


class PersonsHandler(WorkspaceHandler):
    """An agent's code in a notebook has no say about workspaces."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.kernel is not None:
            raise HTTPError(
                403, "This is for the person to do, in the panel or with agent-kernel workspaces."
            )


class WorkspacesHandler(PersonsHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Workspaces, those used last first: `limit`, `before` (an `updated_ms`)."""
        before = self.get_query_argument("before", None)
        found = await (await self.workspaces()).list(
            self.number("limit", 50, MOST_PAGE), self.number("before", 0, 10**13) if before else None
        )
        self.reply({"workspaces": [shown(workspace) for workspace in found]})

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """A new folder below the server's own, made from a template, and its session."""
        from jupyter_ext.schemas import NewWorkspace

        body = self.body(NewWorkspace)
        root = await self.workspace(".")
        folder = Path(body.folder)
        if folder.is_absolute() or ".." in folder.parts:
            raise BadRequest(f"folder = {body.folder[:80]!r} is not below the server's folder.")
        session = await (await self.workspaces()).new(root / folder, body.template)
        self.reply(asdict(session), 201)


class OneHandler(PersonsHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, session_id: str) -> None:
        """One workspace, with what it takes on disk."""
        self.reply(shown(await (await self.workspaces()).show(session_id)))

    @open_door  # type: ignore[untyped-decorator]
    async def delete(self, session_id: str) -> None:
        """Delete the sandbox; folder and conversation stay. Refused while it holds the only copy of something,
        but with `force=1`."""
        force = self.get_query_argument("force", "") == "1"
        await (await self.workspaces()).delete(session_id, force=force)
        self.reply({})


class ActionHandler(PersonsHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, session_id: str, action: str) -> None:
        """`start`, `stop` or `archive` its sandbox."""
        if action not in ACTIONS:
            raise BadRequest(f"{action[:40]!r} is not one of {', '.join(ACTIONS)}.")
        workspaces = await self.workspaces()
        await getattr(workspaces, action)(session_id)
        self.reply(shown(await workspaces.show(session_id)))


class ExportHandler(PersonsHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, session_id: str) -> None:
        """The workspace's files as a download, packed as tar.gz."""
        async with aclosing((await self.workspaces()).export(session_id)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                self.download(f"{session_id}.tar.gz")
                self.write(piece)
                await self.flush()
        await self.finish()


class TemplatesHandler(PersonsHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """What a new workspace can be made from: `name`, `about`."""
        account = await self.account()
        from agent_kernel.workspaces import templates

        found = templates(account.app.settings.folder)
        self.reply({"templates": [{"name": t.name, "about": t.about} for t in found]})


def shown(workspace: Workspace) -> dict[str, Any]:
    found = asdict(workspace)
    return {**found.pop("session"), **found}


WORKSPACE_ROUTES = (
    Route("workspaces", WorkspacesHandler, {"post": "NewWorkspace"}, ("limit", "before")),
    Route("workspaces/{session}", OneHandler, query=("force",)),
    Route("workspaces/{session}/export", ExportHandler),
    Route("workspaces/{session}/{action}", ActionHandler, {"post": "Nothing"}),
    Route("templates", TemplatesHandler),
)
