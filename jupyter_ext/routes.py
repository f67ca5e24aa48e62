"""REST routes under `{base_url}api/agent/`, one table for the routes and for their OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated

from agent_kernel._version import __version__
from jupyter_ext.door import BadRequest, Handler
from jupyter_ext.file_routes import FILE_ROUTES
from jupyter_ext.mcp_routes import MCP_ROUTES
from jupyter_ext.models import ModelHandler, ModelTestHandler
from jupyter_ext.pages import ClaimHandler, PageAnswerHandler, PageHandler
from jupyter_ext.preview import PreviewHandler
from jupyter_ext.preview import handlers as preview_handlers
from jupyter_ext.route import Route
from jupyter_ext.shown import shown_run, shown_runs
from jupyter_ext.skill_routes import SKILL_ROUTES
from jupyter_ext.stream import StreamHandler
from jupyter_ext.trust import AskingHandler
from jupyter_ext.workspace_routes import WORKSPACE_ROUTES

MOST_PAGE = 1_000
MOST_EVENTS = 10_000
MOST_DAYS = 3_650
open_door = allow_unauthenticated
"""Marks a method whose caller `Handler.prepare` has checked."""


class HealthHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """The versions a kernel in another environment compares itself with."""
        from agent_kernel.events import SCHEMA_VERSION

        self.reply({"version": __version__, "schema": SCHEMA_VERSION})


class DefaultsHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """What a run gets when nothing is said, whether that model can be reached, and the server's folder."""
        from agent_kernel.choice import configured

        account = await self.account()
        settings = await account.app.chosen(account.app.settings, account.owner)
        root = str(await self.workspace("."))
        known = {"model": settings.model, "permission": settings.permission, "ready": configured(settings)}
        self.reply({**known, "root": root})


class OpenApiHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """This document."""
        from jupyter_ext.openapi import document

        self.reply(document(ROUTES, self.base_url))


class SessionsHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Sessions, those used last first: `limit`, `before` (an `updated_ms`)."""
        before = self.get_query_argument("before", None)
        sessions = await (await self.account()).list_sessions(
            self.number("limit", 50, MOST_PAGE), self.number("before", 0, 10**13) if before else None
        )
        self.reply({"sessions": [asdict(session) for session in sessions]})

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Find or open a session."""
        from jupyter_ext.schemas import NewSession

        body = self.body(NewSession)
        workspace = await self.workspace(body.workspace)
        account = await self.account()
        session = await account.session(body.name, workspace, body.notebook, new=body.new)
        self.reply(asdict(session), 201)


class SessionHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def delete(self, session_id: str) -> None:
        """Forget a conversation: its runs, their events and snapshots. Files in the workspace stay. Refused where its
        sandbox holds the only copy of something, but with `force=1`."""
        force = self.get_query_argument("force", "") == "1"
        await (await self.account()).delete_session(session_id, force=force)
        self.reply({})

    @open_door  # type: ignore[untyped-decorator]
    async def get(self, session_id: str) -> None:
        """One session."""
        self.reply(asdict(await (await self.account()).get_session(session_id)))


class CompactHandler(Handler):
    forgets = False

    @open_door  # type: ignore[untyped-decorator]
    async def post(self, session_id: str) -> None:
        """Replace the conversation's history by a summary, or by nothing; the event that says so."""
        shortened = await (await self.account()).shorten(session_id, clear=self.forgets)
        self.reply(shortened.model_dump(mode="json"))


class ClearHandler(CompactHandler):
    forgets = True


class RunsHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Runs, newest first: `session`, `status`, `limit`, `before` (a `created_ms`)."""
        account = await self.account()
        before = self.get_query_argument("before", None)
        runs = await account.list_runs(
            self.get_query_argument("session", None),
            self.number("limit", 50, MOST_PAGE),
            status=self.get_query_argument("status", None),
            before=self.number("before", 0, 10**13) if before else None,
        )
        self.reply({"runs": await shown_runs(account, runs)})

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Start a run."""
        from agent_kernel.tools.base import AttachedKernel
        from jupyter_ext.schemas import NewRun

        body = self.body(NewRun)
        account = await self.account()
        session = await account.get_session(body.session)
        kernel = AttachedKernel() if body.kernel else None
        if body.beside:
            if self.notebook is not None:
                raise BadRequest("A kernel has its own notebook: say `kernel`, not `beside`.")
            kernel = AttachedKernel(str(await self.place_of(body.beside)))
        settings = account.app.settings.with_overrides("request", **body.options.model_dump())
        run = await account.submit(
            session,
            body.prompt,
            settings,
            interactive=body.interactive,
            kernel=kernel,
            hosted=True,
            transcript=body.transcript,
            cell=body.cell,
        )
        self.reply(asdict(run), 201)


class RunHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, run_id: str) -> None:
        """One run, by its id or the beginning of it."""
        account = await self.account()
        self.reply(await shown_run(account, await account.get_run(run_id)))


class EventsHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, run_id: str) -> None:
        """Stored events with a `seq` greater than `after`, at most `limit` and fewer where they are large; `head` is
        the `seq` of the last one there is."""
        after, limit = self.number("after", 0, 10**12), self.number("limit", 200, MOST_EVENTS)
        events, head = await (await self.account()).read_json(run_id, after, limit)
        self.send(f'{{"head": {head}, "events": [{",".join(events)}]}}')


class TranscriptHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, run_id: str) -> None:
        """The transcript as a file: `format` is ipynb, html, md, or clean (a notebook of its Python alone)."""
        from agent_kernel import transcript

        kind = self.get_query_argument("format", "ipynb")
        if kind not in ("ipynb", "html", "md", "clean"):
            raise BadRequest(f"format = {kind[:40]!r} is not one of ipynb, html, md, clean.")
        account = await self.account()
        run = await account.get_run(run_id)
        events = await account.read(run.id)
        name = f"{run.id}.{'ipynb' if kind == 'clean' else kind}"
        if kind == "clean":
            text = await account.clean_notebook(run.id)
        elif kind == "ipynb":
            text = json.dumps(await asyncio.to_thread(transcript.to_notebook, events), ensure_ascii=False)
        else:
            write = transcript.to_html if kind == "html" else transcript.to_markdown
            text = await asyncio.to_thread(write, events)
        # A download: shown on this server's own address, it could act in its name.
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        await self.finish(text.encode("utf-8", "replace"), set_content_type="application/octet-stream")


class OutputHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, run_id: str) -> None:
        """The run as a notebook cell keeps it: `data` by mime type, and `metadata`."""
        from agent_kernel import transcript

        account = await self.account()
        run = await account.get_run(run_id)
        events = await account.read(run.id)
        data = await asyncio.to_thread(transcript.bundle, events)
        self.reply({"data": data, "metadata": transcript.metadata(events)})


class MessagesHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str) -> None:
        """Say something to a run; the model hears it with its next request."""
        from jupyter_ext.schemas import NewMessage

        await (await self.account()).say(run_id, self.body(NewMessage).text)
        self.reply({}, 202)


class ApprovalHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str, request_id: str) -> None:
        """Answer an approval request."""
        from jupyter_ext.schemas import Answer

        body = self.body(Answer)
        await (await self.account()).answer(run_id, request_id, body.decision, body.reason)
        self.reply({}, 202)


class BeginHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str, call_id: str) -> None:
        """Take a call for the notebook's kernel; `yours` is false when somebody else has it."""
        from jupyter_ext.schemas import Begin

        account = await self.account()
        executor = f"user/{self.owner}"
        if self.kernel:
            executor = f"{self.extension.kernels.executor(self.kernel)}@{account.app.worker}"
        attempt = self.body(Begin).attempt
        self.reply({"yours": await account.begin_call(run_id, call_id, executor, attempt)})


class ResultHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str, call_id: str) -> None:
        """What the call gave in the notebook's kernel."""
        from agent_kernel.events import ToolResult
        from jupyter_ext.schemas import Result

        result = ToolResult(id=call_id, **dict(self.body(Result)))
        await (await self.account()).finish_call(run_id, result)
        self.reply({}, 201)


class UndoHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str) -> None:
        """Put files back to before the run, one call, or for one file."""
        from jupyter_ext.schemas import UndoOf

        body = self.body(UndoOf)
        undo = await (await self.account()).undo(run_id, body.call_id, body.path)
        self.reply(undo.model_dump(mode="json"))


class DiffHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, run_id: str) -> None:
        """What the run did to each file, as one change a file."""
        found = await (await self.account()).diffs(run_id)
        self.reply({"changes": [change.model_dump(mode="json") for change in found]})


class AheadHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, run_id: str) -> None:
        """What stands before the run in the model's window, in characters by kind."""
        self.reply(await (await self.account()).ahead(run_id))


class ResumeHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str) -> None:
        """Go on with a run that is paused, failed or interrupted."""
        from agent_kernel.app import kernel_of
        from agent_kernel.tools.base import AttachedKernel
        from jupyter_ext.schemas import Resume

        body = self.body(Resume)
        account = await self.account()
        run = await account.get_run(run_id)
        if account.app.works_on(run.id):
            await account.control(run.id, "resume")
        else:
            settings = account.app.settings_of(run)
            settings = settings.with_overrides("request", **body.options.model_dump())
            kernel = AttachedKernel() if body.kernel else kernel_of(run)
            await account.resume(run.id, settings, interactive=body.interactive, kernel=kernel)
        self.reply(asdict(await account.get_run(run.id)))


class RetryHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str) -> None:
        """Ask the same again, as a new run of the session."""
        self.reply(asdict(await (await self.account()).retry(run_id)), 201)


class ForkHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str) -> None:
        """Go on from an event as a new run, in a session of its own."""
        from agent_kernel.app import kernel_of
        from agent_kernel.tools.base import AttachedKernel
        from jupyter_ext.schemas import Fork

        body = self.body(Fork)
        account = await self.account()
        run = await account.get_run(run_id)
        settings = account.app.settings_of(run).with_overrides("request", **body.options.model_dump())
        copy = await account.fork(
            run.id,
            body.seq,
            body.prompt,
            restore=body.restore,
            settings=settings,
            interactive=body.interactive,
            kernel=AttachedKernel() if body.kernel else kernel_of(run),
        )
        self.reply(asdict(copy), 201)


class AgentsHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Agent definitions and their state, nearest first; with `session`, those of its workspace too."""
        account = await self.account()
        self.reply({"agents": await account.agents(self.get_query_argument("session", None))})


class SessionSkillHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def put(self, session_id: str, name: str) -> None:
        """Use a skill in this session or not, from its next run on."""
        from jupyter_ext.schemas import Switch

        self.reply(await (await self.account()).switch_skill(session_id, name, self.body(Switch).on))


class SchedulesHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Schedules by name, with their next times and what came of the last."""
        account = await self.account()
        self.reply({"schedules": [_planned(planned) for planned in await account.list_schedules()]})

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """A prompt that starts by the clock."""
        from jupyter_ext.schemas import NewSchedule

        body = self.body(NewSchedule)
        workspace = await self.workspace(body.workspace)
        schedule = await (await self.account()).add_schedule(
            body.name, body.when, body.prompt, workspace, timezone=body.timezone, overlap=body.overlap,
            missed=body.missed, notebook=body.notebook,
            settings=body.options.model_dump(exclude_none=True),
        )  # fmt: skip
        self.reply(asdict(schedule), 201)


class ScheduleHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def delete(self, schedule: str) -> None:
        """Forget a schedule; its runs stay."""
        await (await self.account()).change_schedule(schedule, "delete")
        self.reply({})


class ScheduleActionHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, schedule: str, action: str) -> None:
        """`pause` or `resume` a schedule."""
        await (await self.account()).change_schedule(schedule, action)
        self.reply({})


def _planned(planned: Any) -> dict[str, Any]:
    times = [time.isoformat() for time in planned.next]
    return {**asdict(planned.schedule), "next": times, "last": planned.last}


class UsageHandler(Handler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Tokens and money of the last `days` days, by day and model; `runs` also by agent and status."""
        account, days = await self.account(), max(self.number("days", 30, MOST_DAYS), 1)
        on = [asdict(used) for used in await account.used_on(days)]
        runs = [asdict(worked) for worked in await account.worked_on(days)]
        self.reply({"days": on, "runs": runs, "budget_day": account.app.settings.budget_day or None})


class ControlHandler(Handler):
    action = ""

    @open_door  # type: ignore[untyped-decorator]
    async def post(self, run_id: str) -> None:
        """Ask the run to do so."""
        if self.kernel not in self.extension.kernels.ending:
            await (await self.account()).control(run_id, self.action)
        self.reply({}, 202)


class PauseHandler(ControlHandler):
    action = "pause"


class CancelHandler(ControlHandler):
    action = "cancel"


class TakeOverHandler(ControlHandler):
    action = "take-over"


class HandBackHandler(ControlHandler):
    action = "hand-back"


ROUTES = (
    Route("health", HealthHandler),
    Route("openapi.json", OpenApiHandler),
    Route("defaults", DefaultsHandler),
    Route("stream", StreamHandler, query=("run", "announce", "page")),
    Route("pages/{page}", PageHandler, {"put": "OpenNotebooks"}),
    Route("pages/{page}/claims/{question}", ClaimHandler, {"post": "Nothing"}),
    Route("pages/{page}/answers/{question}", PageAnswerHandler, {"post": "PageAnswer"}),
    Route("model", ModelHandler, {"put": "ModelSetup"}),
    Route("model/test", ModelTestHandler, {"post": "ModelSetup"}),
    Route("trust", AskingHandler, {"post": "Yes"}, ("workspace",)),
    Route("usage", UsageHandler, query=("days",)),
    *MCP_ROUTES,
    Route("schedules", SchedulesHandler, {"post": "NewSchedule"}),
    Route("schedules/{schedule}", ScheduleHandler),
    Route("schedules/{schedule}/{action}", ScheduleActionHandler, {"post": "Nothing"}),
    Route("sessions", SessionsHandler, {"post": "NewSession"}, ("limit", "before")),
    Route("sessions/{session}", SessionHandler, query=("force",)),
    Route("sessions/{session}/compact", CompactHandler, {"post": "Nothing"}),
    Route("sessions/{session}/clear", ClearHandler, {"post": "Nothing"}),
    Route("sessions/{session}/skills/{skill}", SessionSkillHandler, {"put": "Switch"}),
    *SKILL_ROUTES,
    *FILE_ROUTES,
    *WORKSPACE_ROUTES,
    Route("agents", AgentsHandler, query=("session",)),
    Route("runs", RunsHandler, {"post": "NewRun"}, ("session", "status", "limit", "before")),
    Route("runs/{run}", RunHandler),
    Route("runs/{run}/events", EventsHandler, query=("after", "limit")),
    Route("runs/{run}/transcript", TranscriptHandler, query=("format",)),
    Route("runs/{run}/output", OutputHandler),
    Route("runs/{run}/messages", MessagesHandler, {"post": "NewMessage"}),
    Route("runs/{run}/approvals/{request}", ApprovalHandler, {"post": "Answer"}),
    Route("runs/{run}/results/{call}/begin", BeginHandler, {"post": "Begin"}),
    Route("runs/{run}/results/{call}", ResultHandler, {"post": "Result"}),
    Route("runs/{run}/diff", DiffHandler),
    Route("runs/{run}/ahead", AheadHandler),
    Route("runs/{run}/undo", UndoHandler, {"post": "UndoOf"}),
    Route("runs/{run}/resume", ResumeHandler, {"post": "Resume"}),
    Route("runs/{run}/retry", RetryHandler, {"post": "Nothing"}),
    Route("runs/{run}/fork", ForkHandler, {"post": "Fork"}),
    Route("runs/{run}/previews/{port}", PreviewHandler, {"post": "Nothing"}),
    Route("runs/{run}/pause", PauseHandler, {"post": "Nothing"}),
    Route("runs/{run}/cancel", CancelHandler, {"post": "Nothing"}),
    Route("runs/{run}/take-over", TakeOverHandler, {"post": "Nothing"}),
    Route("runs/{run}/hand-back", HandBackHandler, {"post": "Nothing"}),
)


def handlers() -> list[tuple[str, type[Any]]]:
    """For Tornado; Jupyter puts the base URL before them."""
    return [*((route.pattern, route.handler) for route in ROUTES), *preview_handlers()]
