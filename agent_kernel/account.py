"""What one person can do with an App: their sessions and runs, and nobody else's.

Every way in (a cell, the command line, the server's routes) goes through an Account, so that ownership is
checked in one place. What belongs to others looks as if it did not exist.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from agent_kernel import folds
from agent_kernel.ahead import ahead
from agent_kernel.answer import sound
from agent_kernel.app import App, kernel_of
from agent_kernel.definitions import find_definitions, load_definition
from agent_kernel.errors import (
    AlreadyAppended,
    JobsError,
    RunBusy,
    RunError,
    RunNotFound,
    SandboxNotFound,
    StoreError,
)
from agent_kernel.events import (
    FINAL_STATUSES,
    ApprovalAnswer,
    CodeGeneration,
    Compaction,
    Control,
    Event,
    FileChange,
    Handover,
    Json,
    Message,
    Status,
    ToolResult,
    ToolStart,
    Undo,
    now_ms,
)
from agent_kernel.fork import forked
from agent_kernel.jobs.schedules import Missed, Overlap, Schedules
from agent_kernel.mcp.config import Configuration
from agent_kernel.mcp.servers import McpServers
from agent_kernel.runner import LEASE_MS, has_owner
from agent_kernel.runs.log import LOOK_AGAIN
from agent_kernel.runs.records import Planned, RunRow, Schedule, Session, Used, UsedOn, Worked
from agent_kernel.runs.store import DAY_MS
from agent_kernel.runs.watch import changed_runs
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.settings import RUN_SETTINGS, Settings
from agent_kernel.shorten import shortened
from agent_kernel.skills import Trust
from agent_kernel.tools.base import AttachedKernel, KernelBridge
from agent_kernel.undo import file_changes, undone, whole_changes

TIDYING = 5.0
"""Seconds that whoever worked on a run may take to let go of it after its last event."""
DECISIONS = ("allow", "deny", "session")
HANDOVERS: dict[str, Literal["person", "agent"]] = {"take-over": "person", "hand-back": "agent"}
ACTIONS = ("pause", "resume", "cancel", *HANDOVERS)
logger = logging.getLogger(__name__)


class Account:
    """`owner` at `app`. With `notebook`, only what belongs to that notebook: the part a kernel may see."""

    def __init__(self, app: App, owner: str | None = None, notebook: str | None = None):
        self.app = app
        self.owner = owner or app.settings.owner
        self.notebook = notebook

    # -- sessions --------------------------------------------------------------------------------------

    async def session(
        self, name: str, workspace: Path, notebook: str | None = None, *, new: bool = False
    ) -> Session:
        """The session of this owner, notebook (without one, folder) and name; made when there is none."""
        notebook = self.notebook or notebook or f"{workspace}/"
        if new:
            name = f"{name}-{uuid4().hex[:6]}"
        found = None if new else await self.app.store.find_session(self.owner, notebook, name)
        return found or await self.app.store.create_session(
            owner=self.owner,
            name=name,
            workspace=str(workspace),
            notebook=notebook,
            host=socket.gethostname(),
        )

    async def get_session(self, session_id: str) -> Session:
        """Raises RunNotFound."""
        session = await self.app.store.get_session(session_id)
        if session.owner != self.owner or self.notebook not in (None, session.notebook):
            raise RunNotFound(f"There is no session {session_id!r}.")
        return session

    async def list_sessions(self, limit: int = 50, before: int | None = None) -> list[Session]:
        """Those used last first; `before` is an `updated_ms`."""
        found = await self.app.store.list_sessions(self.owner, limit, before)
        return [session for session in found if self.notebook in (None, session.notebook)]

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        """Forget a conversation: runs, events, snapshots. Files in the workspace stay.

        Raises RunBusy, SandboxError where another program has its sandbox open, and OnlyCopy when something is only
        in its sandbox, unless `force`.
        """
        session = await self.get_session(session_id)
        runs = await self.app.store.list_runs(session_id=session.id, limit=None)
        for run in runs:
            if self.app.works_on(run.id) or (run.status not in FINAL_STATUSES and has_owner(run)):
                raise RunBusy(f"Run {run.id} of this session is being worked on.", hint="Stop it first.")
        if not force:
            await self.app.places.nothing_unsaved(session)
        await self.app.forget(session, {run.id: run.head for run in runs})

    # -- skills ----------------------------------------------------------------------------------------

    async def skills(self, session_id: str | None = None) -> list[Json]:
        """The skills of a session, nearest first, and what becomes of each (see `skills.Entry`)."""
        session = await self.get_session(session_id) if session_id else None
        return [entry.summary() for entry in (await self.app.skills(session, self.owner)).entries]

    async def switch_skill(self, session_id: str, name: str, on: bool) -> Json:
        """Use a skill in this session or not, from its next run on. Raises SkillError for an unknown one."""
        session = await self.get_session(session_id)
        entry = (await self.app.skills(session)).find(name)

        def switched(meta: dict[str, Any]) -> dict[str, Any]:
            off = {*meta.get("skills_off", ())} - {entry.skill.name}
            return {**meta, "skills_off": sorted(off if on else {*off, entry.skill.name})}

        await self.app.store.change_meta(session.id, switched)
        session = await self.get_session(session.id)
        return (await self.app.skills(session)).find(name).summary()

    async def shorten(self, session_id: str, *, clear: bool = False) -> Compaction:
        """Replace the session's history, for the model, by a summary (`clear`: by nothing). Raises RunBusy."""
        return await shortened(self.app, await self.get_session(session_id), clear=clear)

    async def ahead(self, run_id: str) -> dict[str, int]:
        """What stands before the run in the model's window, in characters."""
        return await ahead(self.app, await self.get_run(run_id))

    # -- trust -----------------------------------------------------------------------------------------

    async def asking(self, workspace: Path) -> list[Json]:
        """What in a workspace waits for this person's trust; see `asking.Asking`."""
        from agent_kernel import asking

        found = await asyncio.to_thread(asking.asking, workspace, *self._kept_trust())
        return [asdict(one) for one in found]

    async def trust(self, workspace: Path, kind: str, name: str, digest: str) -> None:
        """Trust one of them, by the hash of what was shown. Raises SettingsError when it has changed."""
        from agent_kernel import asking

        await asyncio.to_thread(asking.accept, workspace, kind, name, digest, *self._kept_trust())

    def _kept_trust(self) -> tuple[Trust, Configuration]:
        folder = self.app.settings.folder
        return Trust(folder, self.owner), Configuration(folder, self.owner)

    # -- runs ------------------------------------------------------------------------------------------

    async def ready(self, settings: Settings) -> bool:
        """Whoever has the App has its settings: what is missing, the run says."""
        return True

    async def submit(
        self,
        session: Session,
        prompt: str,
        settings: Settings,
        *,
        interactive: bool = True,
        kernel: KernelBridge | AttachedKernel | None = None,
        hosted: bool = False,
        transcript: bool = False,
        cell: str = "",
    ) -> RunRow:
        """Create a run and start it; it waits while the session's root run before it is active.

        A `hosted` run is not its caller's to lose: should this process die, another goes on with it. With
        `transcript` it leaves its notebook in the workspace when it has ended. `cell` is the id of the cell
        that shows it.
        """
        if not prompt.strip():
            raise RunError("The prompt is empty.", hint="Say what the agent should do.")
        settings, agent, version = await self._as_agent(session, await self.app.chosen(settings, self.owner))
        options = {**_options(settings, interactive, kernel), "hosted": hosted, "transcript": transcript}
        options |= {"cell": cell} if cell else {}
        run = await self.app.store.create_run(
            session_id=session.id,
            prompt=_storable(prompt),
            model=settings.model,
            options=options,
            owner=self.owner,
            agent=agent,
            agent_version=version,
        )
        await self.app.log.append(run.id, Status(status="queued", reason="submitted"))
        await self._begin(run, settings, interactive, kernel)
        return run

    async def _as_agent(
        self, session: Session, settings: Settings
    ) -> tuple[Settings, str | None, str | None]:
        """With what the agent definition says that `settings` name, its name, and the hash of its text, which
        is kept. Raises SettingsError."""
        if not settings.agent:
            return settings, None, None
        found = await asyncio.to_thread(
            load_definition, settings.agent, Path(session.workspace), self._trust(session.owner)
        )
        assert found.definition is not None
        version = await self.app.blobs.put(found.text.encode())
        return found.definition.applied(settings), found.name, version

    def _trust(self, owner: str) -> Trust:
        return Trust(self.app.settings.folder, owner)

    async def agents(self, session_id: str | None = None) -> list[Json]:
        """What runs of a session can work as, nearest first (see `definitions.Found`)."""
        session = await self.get_session(session_id) if session_id else None
        workspace = Path(session.workspace) if session else None
        found = await asyncio.to_thread(find_definitions, workspace, self._trust(self.owner))
        return [one.summary() for one in found]

    async def _begin(
        self, run: RunRow, settings: Settings, interactive: bool, kernel: KernelBridge | AttachedKernel | None
    ) -> None:
        """In this process at once, unless the run is hosted: then when its turn comes, wherever there is room."""
        if run.options.get("hosted") and self.app.dispatcher is not None:
            await self.app.dispatcher.dispatch(run)
        else:
            self.app.start(run, settings, interactive=interactive, kernel=kernel)

    async def resume(
        self,
        run_id: str,
        settings: Settings | None = None,
        *,
        interactive: bool = True,
        kernel: KernelBridge | AttachedKernel | None = None,
    ) -> RunRow:
        """Go on with a run that is paused or whose process died. `settings` default to those it began with."""
        run = await self.get_run(run_id)
        if self.app.works_on(run.id) and not _at_rest(run):
            return run
        run = await self._let_go(run)
        if run.status in ("completed", "cancelled"):
            raise RunError(f"Run {run.id} is {run.status}; there is nothing to resume.")
        if has_owner(run):
            raise RunBusy(
                f"Run {run.id} is being worked on by {run.worker}.",
                hint=f"If that process hangs, end it and try again in {LEASE_MS // 1000} seconds.",
            )
        settings = settings or self.app.settings_of(run)
        as_before = {"agent": run.agent or ""}  # with the text it began with
        options = {**run.options, **_options(settings, interactive, kernel), **as_before}
        await self.app.store.update_run(run.id, model=settings.model, options=options)
        again = Status(status="queued", reason="resumed")
        await self.app.log.append(run.id, Control(action="resume", by=self.owner), again)
        run = await self.get_run(run.id)  # whoever works on it goes by what its row says now
        await self._begin(run, settings, interactive, kernel)
        return run

    async def _let_go(self, run: RunRow) -> RunRow:
        """Once an activation that has just ended, here or in another process, has tidied up: some seconds at most."""
        await self.app.wait(run.id)
        deadline = time.monotonic() + TIDYING
        while _at_rest(run := await self.get_run(run.id)) and has_owner(run) and time.monotonic() < deadline:  # noqa: ASYNC110 (the other process rings no bell)
            await asyncio.sleep(0.05)
        return run

    async def fork(
        self,
        run_id: str,
        seq: int,
        prompt: str = "",
        *,
        restore: bool = False,
        settings: Settings | None = None,
        interactive: bool = True,
        kernel: KernelBridge | AttachedKernel | None = None,
    ) -> RunRow:
        """A new session that knows what `run_id` knew after its event `seq`, and goes on from there.

        `prompt` is what to do differently; without one, the copy does what the run would have done next.
        `restore` first puts the files back to how they were then. The run itself stays as it is. Raises RunError.
        """
        run = await self.get_run(run_id)
        copy = await forked(self.app, run, seq, prompt, self.owner)
        if restore:
            await self.restore(run.id, seq)
        self.app.places.same_tools(run.session_id, copy.session_id)
        settings = settings or self.app.settings_of(run)
        kernel = kernel or kernel_of(run)
        hosted = {"hosted": bool(run.options.get("hosted"))}
        options = {**copy.options, **_options(settings, interactive, kernel), **hosted}
        await self.app.store.update_run(copy.id, model=settings.model, options=options)
        copy = await self.get_run(copy.id)
        await self._begin(copy, settings, interactive, kernel)
        return copy

    async def get_run(self, run_id: str) -> RunRow:
        """By id or the beginning of one. Raises RunNotFound."""
        run = await self.app.store.get_run(run_id, owner=self.owner)
        if self.notebook is not None:
            await self._in_notebook(run)
        return run

    async def _in_notebook(self, run: RunRow) -> None:
        try:
            await self.get_session(run.session_id)
        except RunNotFound:
            raise RunNotFound(f"There is no run {run.id!r}.") from None

    async def list_runs(self, session_id: str | None = None, limit: int = 50, **where: Any) -> list[RunRow]:
        """Newest first."""
        if self.notebook is not None:
            if session_id is None:
                raise RunNotFound("A kernel sees the runs of its own sessions.", hint="Name the session.")
            await self.get_session(session_id)
        return await self.app.store.list_runs(owner=self.owner, session_id=session_id, limit=limit, **where)

    async def changed_runs(self) -> AsyncGenerator[list[RunRow]]:
        """First an empty list, from when on nothing is missed; then runs that are new or changed their state.

        All of the owner's, of every notebook.
        """
        async with aclosing(changed_runs(self.app.log, self.owner)) as changes:
            async for runs in changes:
                yield runs

    async def used_by(self, runs: Sequence[RunRow]) -> dict[str, Used]:
        """What each of these runs of the owner's used; those without a turn are left out."""
        return await self.app.store.used_by([run.id for run in runs if run.owner == self.owner])

    async def used_on(self, days: int) -> list[UsedOn]:
        """What the owner used in the last `days` days, today included, by day and model."""
        if self.notebook is not None:
            raise RunNotFound("What all of the owner's runs used is not for a kernel to see.")
        return await self.app.store.used_on(self.owner, (now_ms() // DAY_MS - days + 1) * DAY_MS)

    async def worked_on(self, days: int) -> list[Worked]:
        """The owner's runs of the last `days` days, today included, by day, model, agent and status."""
        if self.notebook is not None:
            raise RunNotFound("What all of the owner's runs used is not for a kernel to see.")
        return await self.app.store.worked_on(self.owner, (now_ms() // DAY_MS - days + 1) * DAY_MS)

    async def read(self, run_id: str, after: int = 0, limit: int | None = None) -> list[Event]:
        """The run's stored events with a `seq` greater than `after`."""
        return await self.app.log.read((await self.get_run(run_id)).id, after, limit)

    async def read_json(self, run_id: str, after: int, limit: int) -> tuple[list[str], int]:
        """A page of the run's stored events after `after`, each as JSON, and the `seq` of the last event there is."""
        run = await self.get_run(run_id)
        return await self.app.store.read_json(run.id, after, limit), run.head

    async def follow(
        self, run_id: str, after: int = 0, *, deltas: bool = True, resumed_at: int = 0
    ) -> AsyncIterator[Event]:
        """Replay, then wait; ends after a final status later than `resumed_at`. A store that fails is asked again:
        whoever stopped looking would wait for the end for ever."""
        run = await self.get_run(run_id)
        while True:
            try:
                async for event in self.app.log.follow(run.id, after, deltas=deltas, until_final=False):
                    yield event
                    after = max(after, event.seq)
                    if (
                        isinstance(event, Status)
                        and event.status in FINAL_STATUSES
                        and event.seq > resumed_at
                    ):
                        return
            except StoreError as error:
                logger.warning("run %s cannot be followed, trying again: %s", run.id, error)
                await asyncio.sleep(LOOK_AGAIN)

    # -- what people do to a run -------------------------------------------------------------------------

    async def say(self, run_id: str, text: str) -> None:
        """Steer a run: the model hears it with its next request."""
        if not text.strip():
            raise RunError("The message is empty.")
        run = await self.get_run(run_id)
        if run.status in FINAL_STATUSES:
            raise RunError(f"Run {run.id} is {run.status}; it hears nothing more.", hint="Start a new one.")
        await self.app.log.append(run.id, Message(role="user", text=text, by=self.owner))

    async def answer(self, run_id: str, request_id: str, decision: str, reason: str = "") -> None:
        """Answer an approval request: allow, deny or session. The first answer counts.

        Raises RunError for an unknown request, AlreadyAppended where somebody has decided otherwise.
        """
        if decision not in DECISIONS:
            raise RunError(f"{decision!r} is not an answer.", hint="Say allow, deny or session.")
        run = await self.get_run(run_id)
        requests = folds.approvals(await self.app.store.read_call(run.id, request_id))
        if request_id not in requests:
            raise RunError(f"Run {run.id} has no approval request {request_id!r}.")
        given = requests[request_id]
        if given is None:
            answer = ApprovalAnswer(id=request_id, decision=decision, by=self.owner, reason=reason)  # type: ignore[arg-type]
            await self.app.log.append(run.id, answer)
        elif given.decision != decision:
            raise AlreadyAppended(f"It has been answered: {given.decision}, by {given.by or 'the program'}.")

    async def control(self, run_id: str, action: str) -> None:
        """Pause, resume or cancel; take the desktop over or hand it back.

        A run nobody works on is cancelled at once."""
        if action not in ACTIONS:
            raise RunError(f"{action!r} is not one of {', '.join(ACTIONS)}.")
        run = await self.get_run(run_id)
        if run.status in FINAL_STATUSES:
            return
        works = self.app.works_on(run.id)
        if action == "resume" and (not works or _at_rest(run)):
            await self.resume(run.id)
            return
        if action in HANDOVERS:
            await self.app.log.append(run.id, Handover(to=HANDOVERS[action], by=self.owner))
            return
        await self.app.log.append(run.id, Control(action=action, by=self.owner))  # type: ignore[arg-type]
        if action == "cancel":
            await self._cancel_if_nobody_works(run.id)

    async def _cancel_if_nobody_works(self, run_id: str) -> None:
        """Whoever works on a run hears of a stop, unless the run has come to rest before it was appended."""
        run = await self.get_run(run_id)
        if _at_rest(run):
            run = await self._let_go(run)
        if run.status in FINAL_STATUSES or self.app.works_on(run.id) or has_owner(run):
            return
        await self.app.log.append(run.id, Status(status="cancelled", reason="cancelled"))
        if self.app.dispatcher is not None:
            await self.app.dispatcher.cancel(run.id)

    async def clean_notebook(self, run_id: str) -> str:
        """The Python that led to the run's result, as a notebook's JSON; what earlier runs of the session left and it
        builds on is in it too."""
        import nbformat

        from agent_kernel.transcript import to_clean_notebook

        run = await self.get_run(run_id)
        events = await self.app.store.read_session(run.session_id)
        last = max((place for place, event in enumerate(events) if event.run_id == run.id), default=-1)
        if last < 0:
            raise RunError(f"Run {run.id} has no events yet.", hint="Wait until it has begun.")
        made = await asyncio.to_thread(to_clean_notebook, events[: last + 1])
        return f"{nbformat.writes(made)}\n"

    async def begin_call(self, run_id: str, call_id: str, executor: str, attempt: str = "") -> bool:
        """Take a call that is to run in the notebook's kernel; False when somebody else has it.

        `attempt` names the asking, so that who lost the answer can ask once more.
        """
        executor = f"{executor}#{attempt}" if attempt else executor
        run, call = await self._kernel_call(run_id, call_id)
        if call.start is None and call.result is None:
            with suppress(AlreadyAppended):
                await self.app.log.append(
                    run.id, ToolStart(id=call_id, executor=executor, turn=call.call.turn)
                )
                return True
            _, call = await self._kernel_call(run_id, call_id)
        mine = call.start is not None and call.start.executor == executor
        return bool(attempt) and mine and call.result is None

    async def finish_call(self, run_id: str, result: ToolResult) -> None:
        """What a call in the notebook's kernel gave. Raises AlreadyAppended when the call has its result."""
        run, call = await self._kernel_call(run_id, result.id)
        if call.start is None:
            raise RunError(f"Call {result.id!r} was not begun.", hint="Begin it first.")
        turn, code = call.call.turn, call.call.args.get("code")
        ran = (
            [CodeGeneration(language="python", code=str(code), call_id=result.id, turn=turn)] if code else []
        )
        await self.app.log.append(run.id, *ran, result.model_copy(update={"turn": turn}))

    async def _kernel_call(self, run_id: str, call_id: str) -> tuple[RunRow, folds.Call]:
        run = await self.get_run(run_id)
        call = folds.RunState(await self.app.store.read_call(run.id, call_id)).calls.get(call_id)
        if call is None or call.call.tool not in self.app.kernel_tools:
            raise RunError(f"Run {run.id} has no call {call_id!r} for the notebook's kernel.")
        if run.status in FINAL_STATUSES:
            raise RunError(f"Run {run.id} is {run.status}.")
        return run, call

    async def undo(self, run_id: str, call_id: str | None = None, path: str | None = None) -> Undo:
        """Put files back to what they were before a call (None: before the run), one or all.

        Files that were changed since the agent wrote them are left alone and listed in `skipped`.
        """
        run = await self.get_run(run_id)
        changes = [
            change
            for change in file_changes(await self.app.log.read(run.id))
            if call_id in (None, change.call_id) and path in (None, change.path)
        ]
        if not changes:
            raise RunError(f"Run {run.id} has no file change to undo here.")
        return await undone(self.app, run, changes, by=self.owner, call_id=call_id)

    async def diffs(self, run_id: str) -> list[FileChange]:
        """What the run did to each file as one change: from before its first step to after its last."""
        return await whole_changes(self.app, await self.get_run(run_id))

    async def restore(self, run_id: str, seq: int) -> Undo | None:
        """Put files back to how they were after the run's event `seq`; None when nothing changed since."""
        run = await self.get_run(run_id)
        changes = file_changes(await self.app.log.read(run.id, after=seq))
        return await undone(self.app, run, changes, by=self.owner) if changes else None

    async def previewed(self, run_id: str, port: int) -> Sandbox:
        """The sandbox of the run, in which something listens on `port`. Raises SandboxNotFound."""
        run = await self.get_run(run_id)
        sandbox = self.app.places.sandbox_of(run.session_id)
        if sandbox is None:
            raise SandboxNotFound(
                "The sandbox of this run is not open here.", hint="Ask the agent to start the server again."
            )
        if port not in await sandbox.ports():
            raise SandboxNotFound(
                f"Nothing listens on port {port} in the sandbox.", hint="Ask the agent to start it again."
            )
        return sandbox

    async def retry(self, run_id: str) -> RunRow:
        """The same prompt, asked again in the same session."""
        run = await self.get_run(run_id)
        session = await self.app.store.get_session(run.session_id)
        return await self.submit(
            session,
            run.prompt,
            self.app.settings_of(run),
            interactive=bool(run.options.get("interactive", True)),
            kernel=kernel_of(run),
            hosted=bool(run.options.get("hosted")),
        )

    # -- schedules ---------------------------------------------------------------------------------------

    async def add_schedule(
        self,
        name: str,
        when: str,
        prompt: str,
        workspace: Path,
        *,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        missed: Missed = "skip",
        notebook: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """A prompt that starts by the clock; see `jobs.schedules`. Raises JobsError, SettingsError."""
        self.app.settings.with_overrides(f"schedule {name}", **(settings or {}))  # not when its time comes
        options = {**(settings or {}), "workspace": str(workspace), "notebook": self.notebook or notebook}
        prompt = _storable(prompt)
        return await self._schedules().add(
            self.owner, name, when, prompt, timezone=timezone, overlap=overlap, missed=missed, options=options
        )

    async def list_schedules(self) -> list[Planned]:
        """By name, with their next times and what came of the last."""
        return [
            planned
            for planned in await self._schedules().list(self.owner)
            if self.notebook in (None, planned.schedule.options.get("notebook"))
        ]

    async def change_schedule(self, key: str, action: str) -> None:
        """Pause, resume or delete one, by name or id. Raises JobsError."""
        schedules = self._schedules()
        changes = {"pause": schedules.pause, "resume": schedules.resume, "delete": schedules.delete}
        if action not in changes:
            raise JobsError(f"{action!r} is not one of {', '.join(changes)}.")
        mine = [planned.schedule for planned in await self.list_schedules()]
        if not any(key in (schedule.id, schedule.name) for schedule in mine):
            raise JobsError(f"There is no schedule {key!r}.", hint="List the schedules to see their names.")
        await changes[action](self.owner, key)

    def _schedules(self) -> Schedules:
        async def no_worker(schedule: Schedule) -> str:
            raise AssertionError("only workers start what is due")

        return Schedules(self.app.store, no_worker)

    # -- MCP servers -------------------------------------------------------------------------------------

    async def mcp(self, session_id: str) -> McpServers:
        """The servers of a session, and a sandbox to start programs in. Raises RunNotFound."""
        return await self.app.places.reachable_mcp(await self.get_session(session_id))

    async def report_mcp(self, session_id: str) -> Json:
        """What a person sees of a session's MCP servers; see `McpServers.report`."""
        return await self.app.places.mcp(await self.get_session(session_id)).report()

    async def refresh_tools(self, session_id: str) -> None:
        """The session's next run chooses its tools anew, from the servers that are there then."""
        self.app.places.refresh_tools(await self.get_session(session_id))

    async def attend(self, run_id: str, kernel: KernelBridge) -> None:
        """A notebook's kernel is here for the run. (A run of this process has had its own since it began.)"""

    async def close(self) -> None:
        """Close the App."""
        await self.app.close()


def _storable(prompt: str) -> str:
    """Without what a database refuses: a pipe gives lone surrogates for bytes that are no UTF-8, PostgreSQL takes
    no NUL."""
    return sound(prompt).replace("\0", "\ufffd")


def _options(
    settings: Settings, interactive: bool, kernel: KernelBridge | AttachedKernel | None
) -> dict[str, Any]:
    """What the run's row says of how it is to be worked on, for whoever does."""
    said = {name: getattr(settings, name) for name in RUN_SETTINGS}
    attached = kernel if isinstance(kernel, AttachedKernel) else None
    beside = attached.notebook if attached else ""
    return {**said, "interactive": interactive, "kernel": attached is not None, "beside": beside}


def _at_rest(run: RunRow) -> bool:
    """Nothing happens by itself any more: ended, or paused by a bound."""
    return run.status in FINAL_STATUSES or (run.status == "paused" and run.reason in folds.BOUNDS)
