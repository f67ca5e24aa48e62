"""The composition root: settings become an App, which opens what runs need and submits them.

Everything else receives its arguments; only this module decides which implementation serves.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from agent_kernel import folds
from agent_kernel.errors import AgentKernelError, OwnershipLost, RunBusy, RunError, SettingsError
from agent_kernel.events import (
    FINAL_STATUSES,
    ApprovalAnswer,
    Control,
    Error,
    Event,
    Message,
    Status,
    Undo,
    now_ms,
)
from agent_kernel.loop import Bounds
from agent_kernel.model import Model, ModelSettings, open_model
from agent_kernel.runner import LEASE_MS, Means, Order, execute, is_dead, worker_name
from agent_kernel.runs.blobs import Blobs
from agent_kernel.runs.bus import LocalBus
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.records import RunRow, Session
from agent_kernel.runs.redact import Redactor
from agent_kernel.runs.store import Store, open_store
from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.settings import DEMO_MODEL, Settings, tightened
from agent_kernel.tools import builtin_tools
from agent_kernel.tools.base import KernelBridge, Tool

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """What a session keeps open between its runs."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    write_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sandbox: Sandbox | None = None
    state: dict[str, Any] = field(default_factory=dict)


class App:
    """Runs, their log and their sandboxes in this process. Open one with `open_app`."""

    def __init__(self, settings: Settings, store: Store):
        self.settings = settings
        self.store = store
        self.log = RunLog(store, LocalBus(), redact=Redactor(settings.secrets()))
        self.blobs = Blobs(settings.folder / "blobs")
        self.worker = worker_name()
        self._places: defaultdict[str, _Place] = defaultdict(_Place)
        self._tasks: dict[str, asyncio.Task[Status]] = {}
        self._models: list[tuple[ModelSettings, Model]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- sessions and runs ----------------------------------------------------------------------------

    async def session(
        self, name: str, workspace: Path, notebook: str | None = None, *, new: bool = False
    ) -> Session:
        """The session of this owner, notebook and name; made when there is none."""
        owner = self.settings.owner
        if new:
            name = f"{name}-{uuid4().hex[:6]}"
        found = None if new else await self.store.find_session(owner, notebook, name)
        return found or await self.store.create_session(
            owner=owner,
            name=name,
            workspace=str(workspace),
            notebook=notebook,
            host=socket.gethostname(),
        )

    async def submit(
        self,
        session: Session,
        prompt: str,
        settings: Settings,
        *,
        interactive: bool = True,
        kernel: KernelBridge | None = None,
    ) -> RunRow:
        """Create a run and start it; it waits while the session's root run before it is active."""
        if not prompt.strip():
            raise RunError("The prompt is empty.", hint="Say what the agent should do.")
        options = {
            "permission": settings.permission,
            "budget": settings.budget,
            "max_turns": settings.max_turns,
            "sandbox": settings.sandbox,
            "interactive": interactive,
        }
        run = await self.store.create_run(
            session_id=session.id,
            prompt=prompt,
            model=settings.model,
            options=options,
            owner=self.settings.owner,
        )
        await self.log.append(run.id, Status(status="queued", reason="submitted"))
        self._start(run, settings, interactive, kernel)
        return run

    async def resume(
        self,
        run_id: str,
        settings: Settings,
        *,
        interactive: bool = True,
        kernel: KernelBridge | None = None,
    ) -> RunRow:
        """Go on with a run that is paused or whose process died."""
        run = await self.get_run(run_id)
        if run.id in self._tasks and not _at_rest(run):
            return run
        await self.wait(run.id)  # an activation that has just ended is still tidying up
        run = await self.get_run(run.id)
        if run.status in ("completed", "cancelled"):
            raise RunError(f"Run {run.id} is {run.status}; there is nothing to resume.")
        fresh = now_ms() - (run.heartbeat_ms or 0) < LEASE_MS
        if run.worker is not None and fresh and not is_dead(run.worker):
            raise RunBusy(
                f"Run {run.id} is being worked on by {run.worker}.",
                hint=f"If that process hangs, end it and try again in {LEASE_MS // 1000} seconds.",
            )
        await self.log.append(run.id, Control(action="resume", by=self.settings.owner))
        self._start(run, settings, interactive, kernel)
        return run

    def _start(self, run: RunRow, settings: Settings, interactive: bool, kernel: KernelBridge | None) -> None:
        task = asyncio.create_task(self._activate(run, settings, interactive, kernel))
        self._tasks[run.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run.id, None))

    async def _activate(
        self, run: RunRow, settings: Settings, interactive: bool, kernel: KernelBridge | None
    ) -> Status:
        session = await self.store.get_session(run.session_id)
        place = self._places[run.session_id]
        try:
            async with place.turn:
                settings = tightened(settings, Path(session.workspace))
                means = self._means(session, place, settings, kernel is not None)
                return await execute(self._order(run, settings, interactive, kernel), means)
        except (OwnershipLost, RunBusy) as error:
            logger.info("run %s: %s", run.id, error)
            return Status(status="running", reason="elsewhere")
        except AgentKernelError as error:
            failed = Status(status="failed", reason=type(error).__name__)
            await self.log.append(
                run.id, Error(kind=failed.reason, message=error.message, hint=error.hint), failed
            )
            return failed

    def _order(
        self, run: RunRow, settings: Settings, interactive: bool, kernel: KernelBridge | None
    ) -> Order:
        return Order(
            run=run,
            worker=self.worker,
            permission=settings.permission,
            bounds=Bounds(
                max_turns=settings.max_turns,
                budget_usd=settings.budget,
                max_attempts=settings.max_attempts,
                compact_at=settings.compact_at,
            ),
            max_tokens=settings.max_tokens,
            network=settings.network,
            interactive=interactive,
            kernel=kernel,
        )

    def _means(self, session: Session, place: _Place, settings: Settings, kernel: bool) -> Means:
        async def model(run: RunRow) -> Model:
            return await self._model(model_settings(settings))

        async def lease(run: RunRow) -> Sandbox:
            if place.sandbox is None:
                place.sandbox = await self._open_sandbox(session, settings)
            return place.sandbox  # it starts with the first tool that needs it

        return Means(
            log=self.log,
            blobs=self.blobs,
            open_model=model,
            lease_sandbox=lease,
            tools=self.tools(kernel=kernel),
            state=place.state,
            write_lock=place.write_lock,
        )

    async def _model(self, settings: ModelSettings) -> Model:
        """Connections to an endpoint are kept and shared by its runs."""
        for known, model in self._models:
            if known == settings:
                return model
        model = await open_model(settings)
        self._models.append((settings, model))
        return model

    async def _open_sandbox(self, session: Session, settings: Settings) -> Sandbox:
        unsafe = settings.sandbox == "none"
        return await open_sandbox(
            workspace=session.workspace,
            provider="local" if unsafe else settings.sandbox,
            id=session.id,
            data_dir=self.settings.folder / "sandboxes",
            python=settings.python or None,
            allow_unsafe=unsafe,
        )

    def tools(self, *, kernel: bool = False) -> list[Tool]:
        return builtin_tools(kernel=kernel)

    def tier(self, session_id: str) -> str | None:
        """The tier of the session's sandbox, once it is open."""
        sandbox = self._places[session_id].sandbox
        return sandbox.tier if sandbox else None

    # -- what people do to a run ------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> RunRow:
        return await self.store.get_run(run_id, owner=self.settings.owner)

    async def say(self, run_id: str, text: str) -> None:
        """Steer a run: the model hears it with its next request."""
        if not text.strip():
            raise RunError("The message is empty.")
        await self.log.append(run_id, Message(role="user", text=text, by=self.settings.owner))

    async def answer(self, run_id: str, request_id: str, decision: str, reason: str = "") -> None:
        """Answer an approval request: allow, deny or session. Raises RunError for an unknown one."""
        if decision not in ("allow", "deny", "session"):
            raise RunError(f"{decision!r} is not an answer.", hint="Say allow, deny or session.")
        requests = folds.approvals(await self.log.read(run_id))
        if request_id not in requests:
            raise RunError(f"Run {run_id} has no approval request {request_id!r}.")
        if requests[request_id] is None:
            by = self.settings.owner
            await self.log.append(
                run_id,
                ApprovalAnswer(id=request_id, decision=decision, by=by, reason=reason),  # type: ignore[arg-type]
            )

    async def control(self, run_id: str, action: str) -> None:
        """Pause, resume or cancel. A run nobody works on is cancelled at once."""
        run = await self.get_run(run_id)
        if run.status in FINAL_STATUSES:
            return
        if action == "resume" and (run.id not in self._tasks or _at_rest(run)):
            await self.resume(run.id, self.settings_of(run))
            return
        await self.log.append(run.id, Control(action=action, by=self.settings.owner))  # type: ignore[arg-type]
        if action == "cancel" and run.id not in self._tasks and run.status in ("queued", "paused"):
            await self.log.append(run.id, Status(status="cancelled", reason="cancelled"))

    def settings_of(self, run: RunRow) -> Settings:
        """The settings a run was submitted with, on top of this App's."""
        said = {k: v for k, v in run.options.items() if k in ("permission", "budget", "max_turns", "sandbox")}
        return self.settings.with_overrides(f"run {run.id}", model=run.model, **said)

    async def undo(self, run_id: str, call_id: str | None = None, path: str | None = None) -> Undo:
        """Put files back to what they were before a call (None: before the run), one or all.

        Files that were changed since the agent wrote them are left alone and listed in `skipped`.
        """
        run = await self.get_run(run_id)
        changes = [
            event
            for event in await self.log.read(run.id)
            if event.type == "file_change"
            and getattr(event, "before", None)
            and call_id in (None, getattr(event, "call_id", None))
            and path in (None, getattr(event, "path", None))
        ]
        if not changes:
            raise RunError(f"Run {run.id} has no file change to undo here.")
        session = await self.store.get_session(run.session_id)
        place = self._places[session.id]
        async with place.write_lock:
            if place.sandbox is None:
                place.sandbox = await self._open_sandbox(session, self.settings_of(run))
            undo = await _restored(place.sandbox, changes, call_id, self.settings.owner)
        await self.log.append(run.id, undo)
        return undo

    # -- the App's own end ------------------------------------------------------------------------------

    async def wait(self, run_id: str) -> None:
        """Until this process no longer works on the run."""
        if task := self._tasks.get(run_id):
            await asyncio.wait({task})

    def follow(self, run_id: str, after: int = 0, *, deltas: bool = True) -> AsyncIterator[Event]:
        return self.log.follow(run_id, after=after, deltas=deltas)

    async def close(self) -> None:
        """Stop working: runs stay in the log as they are and can be resumed; sandboxes end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for place in self._places.values():
            for value in place.state.values():
                if hasattr(value, "close"):
                    await value.close()
            if place.sandbox is not None:
                await place.sandbox.stop()
        for _, model in self._models:
            await model.close()
        await self.store.close()


def _at_rest(run: RunRow) -> bool:
    """Nothing happens by itself any more: ended, or paused by a bound."""
    return run.status in FINAL_STATUSES or (run.status == "paused" and run.reason in folds.BOUNDS)


async def _restored(sandbox: Sandbox, changes: list[Any], call_id: str | None, by: str) -> Undo:
    """Each file goes back to before its first change, unless it differs from after its last one."""
    first = {change.path: change.before for change in reversed(changes)}
    last = {change.path: change.after for change in changes}
    restored: list[str] = []
    skipped: list[str] = []
    for path, before in first.items():
        done = await sandbox.restore(before, [path], unless_changed_since=last[path])
        restored += done.paths
        skipped += done.skipped
    return Undo(
        snapshot=changes[0].before, paths=sorted(restored), skipped=sorted(skipped), call_id=call_id, by=by
    )


def model_settings(settings: Settings) -> ModelSettings:
    """What the model needs to know, nothing more."""
    demo = settings.model.startswith(DEMO_MODEL)
    return ModelSettings(
        model=settings.model,
        api_key="" if demo else settings.api_key,
        auth_token="" if demo else settings.auth_token,
        base_url="" if demo else settings.base_url,
        legacy_auth=settings.legacy_auth,
        timeout=settings.request_timeout,
        context_window=settings.context_window,
        demo_delay=settings.demo_delay,
    )


async def open_app(settings: Settings) -> App:
    """Open the store and everything else. Raises StoreError or SettingsError in one sentence."""
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The data folder {folder} cannot be made: {error.strerror}.",
            hint="Set AGENT_KERNEL_DATA_DIR to a folder that can be written.",
        ) from error
    return App(settings, await open_store(settings.database_url or folder / "runs.db"))
