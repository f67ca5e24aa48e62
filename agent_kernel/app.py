"""The composition root: settings become an App, which opens what runs need and submits them.

Everything else receives its arguments; only this module decides which implementation serves.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from agent_kernel.budget import Budget
from agent_kernel.choice import Choices, ModelChoice, applied, configured
from agent_kernel.definitions import AgentDefinition, parse_definition
from agent_kernel.errors import (
    AgentKernelError,
    AlreadyAppended,
    ModelError,
    OwnershipLost,
    RunBusy,
    SettingsError,
    StoreError,
)
from agent_kernel.events import FINAL_STATUSES, Error, Event, Json, Status, now_ms
from agent_kernel.folds import RunState
from agent_kernel.loop import Bounds, interrupted
from agent_kernel.model import Model, ModelRequest, ModelSettings, is_native, is_old, open_model
from agent_kernel.places import Place, Places, is_here, settings_of
from agent_kernel.runner import Means, Order, execute, is_dead, worker_name
from agent_kernel.runs.blobs import Blobs
from agent_kernel.runs.bus import Bus, LocalBus
from agent_kernel.runs.log import LOOK_AGAIN, RunLog
from agent_kernel.runs.records import RunRow, Session
from agent_kernel.runs.redact import Redactor
from agent_kernel.runs.store import DAY_MS, Store, open_store
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.settings import DEMO_MODEL, Settings, tightened
from agent_kernel.skills import Library, Trust, catalogue, open_library
from agent_kernel.telemetry import Observer, Observers, open_observers
from agent_kernel.tools import builtin_tools
from agent_kernel.tools.base import AttachedKernel, KernelBridge, Tool
from agent_kernel.tools.notebook.far_pages import FarPages
from agent_kernel.tools.notebook.page_kernel import PageKernel
from agent_kernel.tools.notebook.pages import Asks, OpenNotebooks, Pages
from agent_kernel.transcript import leave
from agent_kernel.vault import Vault

MOST_TEST_TOKENS = 64
HEAR = 0.5
"""Seconds between looks at the heads of the runs worked on, all at once."""
logger = logging.getLogger(__name__)


class Dispatches(Protocol):
    """Decides who works on hosted runs, and when (see `dispatch.py`)."""

    async def dispatch(self, run: RunRow) -> None: ...

    async def cancel(self, run_id: str) -> None: ...


class App:
    """Runs, their log and their sandboxes in this process. Open one with `open_app`."""

    def __init__(
        self, settings: Settings, store: Store, bus: Bus, blobs: Blobs, observers: Observers | None = None
    ):
        self.settings = settings
        self.observers = observers or Observers()
        self.store = store
        self.redactor = Redactor(settings.secrets())
        self.log = RunLog(store, bus, redact=self.redactor)
        self.log.stored = self.observers.stored if self.observers else None
        self.blobs = blobs
        self.choices = Choices(Vault(settings.folder / "secrets"))
        self.worker = worker_name()
        self.places = Places(settings, store, hide=self.redactor.keep)
        self._tasks: dict[str, asyncio.Task[Status]] = {}
        self._models: list[tuple[ModelSettings, Model]] = []
        self._hearing: asyncio.Task[None] | None = None
        self.dispatcher: Dispatches | None = None
        self.pages: Pages | None = None
        """Where this process serves browsers: what they have open."""
        self.is_dead: Callable[[str], bool] = is_dead
        self.allow_private: frozenset[tuple[str, int]] = frozenset()
        """Private hosts and ports that runs may reach all the same, such as a mirror on this machine."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def observe(self, observer: Observer) -> None:
        """Have somebody told of the runs that are worked on here."""
        self.observers.add(observer)
        self.log.stored = self.observers.stored

    # -- runs ------------------------------------------------------------------------------------------

    def start(
        self,
        run: RunRow,
        settings: Settings,
        *,
        interactive: bool = True,
        kernel: KernelBridge | AttachedKernel | None = None,
    ) -> None:
        """Work on the run in this process, from wherever its log stands."""
        task = asyncio.create_task(
            self._observed(run, partial(self._activate, run, settings, interactive, kernel))
        )
        self._tasks[run.id] = task

        def ended(task: asyncio.Task[Status]) -> None:
            if self._tasks.get(run.id) is task:
                del self._tasks[run.id]

        task.add_done_callback(ended)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        """Ring for what other programs append to the runs worked on here: a stop must not wait for Redis."""
        known: dict[str, int] = {}
        while self._tasks:
            await asyncio.sleep(HEAR)
            try:
                heads = await self.store.heads(list(self._tasks))
            except AgentKernelError as error:
                logger.warning("looking for what others appended failed: %s", error)
                continue
            for run_id, head in heads.items():
                if head != known.get(run_id):
                    self.log.bus.publish(run_id, head)
            known = heads

    def start_hosted(self, run: RunRow) -> None:
        """Work on the run with what its row says, whoever submitted it."""
        self.start(
            run,
            self.settings_of(run),
            interactive=bool(run.options.get("interactive", True)),
            kernel=kernel_of(run),
        )

    async def leave(self, run_id: str) -> None:
        """Work no more on the run; it stays as its log says."""
        if task := self._tasks.get(run_id):
            task.cancel()
            await asyncio.wait({task})

    async def give_up_calls(self, runs: Sequence[RunRow], has: Callable[[str], Awaitable[bool]]) -> None:
        """Calls that a notebook's kernel had begun and that died with it get their result: interrupted.

        Of any run: whoever works on it need not be the server that started the kernel, which may be dead too.
        """
        for run in runs:
            if run.reason != "kernel" or run.status != "waiting":
                continue
            for call in RunState(await self.store.read_open_calls(run.id)).open_calls:
                if call.call.tool not in self.kernel_tools or call.start is None:
                    continue
                if not await has(call.start.executor):
                    with suppress(AlreadyAppended):
                        await self.log.append(run.id, interrupted(call.call))

    async def host_of(self, run: RunRow) -> str | None:
        """The one host that can work on the run: a local sandbox, and its folder, are there. None for a remote one
        that the folder has been carried to."""
        session = await self.store.get_session(run.session_id)
        remote = session.sandbox_id is not None and self.settings_of(run).sandbox == "daytona"
        return None if remote else session.host

    async def is_here(self, run: RunRow) -> bool:
        return await self.host_of(run) in (None, socket.gethostname())

    def works_on(self, run_id: str) -> bool:
        """Whether this process does."""
        return run_id in self._tasks

    async def forget(self, session: Session, heads: Mapping[str, int]) -> None:
        """Delete a session that nobody works on: its runs, its events, its sandbox's files. The workspace stays.

        Raises RunBusy where its runs are not at `heads` any more: somebody has come back to it meanwhile.
        """
        await self.store.nothing_new(session.id, heads)  # before its sandbox is gone
        await self.places.forget(session)
        await self.store.delete_session(session.id, heads)

    @property
    def working(self) -> int:
        """How many runs this process works on."""
        return len(self._tasks)

    async def wait(self, run_id: str) -> None:
        """Until this process no longer works on the run."""
        if task := self._tasks.get(run_id):
            await asyncio.wait({task})

    def settings_of(self, run: RunRow) -> Settings:
        """The settings a run was submitted with, on top of this App's."""
        return settings_of(self.settings, run)

    async def chosen(self, settings: Settings, owner: str) -> Settings:
        """With the model that the owner set up, where the settings do not say how to reach one."""
        choice = None if configured(settings) else await self.choices.get(owner)
        if choice is None:
            return settings
        self.redactor.keep(choice.secrets)
        return applied(settings, choice)

    async def try_model(self, owner: str, choice: ModelChoice | None = None) -> dict[str, Any]:
        """Ask the model for a word: `ok`, else `message` and `hint` say what is wrong."""
        settings = applied(Settings(), choice) if choice else await self.chosen(self.settings, owner)
        self.redactor.keep(choice.secrets if choice else [])
        try:
            model = await open_model(model_settings(settings))
        except ModelError as error:
            return {"ok": False, "model": settings.model, "message": error.message, "hint": error.hint}
        try:
            said: Json = {"role": "user", "content": [{"type": "text", "text": "Say: ok."}]}
            async for _ in model.stream(ModelRequest("", [], [said], MOST_TEST_TOKENS), turn=0):
                pass
            return {"ok": True, "model": model.name, "message": "", "hint": ""}
        except ModelError as error:
            return {"ok": False, "model": settings.model, "message": error.message, "hint": error.hint}
        finally:
            await model.close()

    async def _observed(self, run: RunRow, work: Callable[[], Awaitable[Status]]) -> Status:
        with self.observers.working_on(run):
            return await work()

    async def _activate(
        self,
        run: RunRow,
        settings: Settings,
        interactive: bool,
        kernel: KernelBridge | AttachedKernel | None,
    ) -> Status:
        place = self.places.of(run.session_id)
        try:
            async with place.turn:  # before anything is waited for: those that were started first go first
                session = await self.store.get_session(run.session_id)
                kernel = self._reached(kernel, session)
                settings = tightened(await self.chosen(settings, run.owner), Path(session.workspace))
                definition = await self._definition(run)
                skills = definition.narrowed(await self.skills(session))
                means = self._means(run, session, place, settings, definition, skills, kernel is not None)
                budget = await self._budget(run, settings)
                more = "\n\n".join(filter(None, (catalogue(skills.on), definition.prompt)))
                order = self._order(run, settings, budget, interactive, kernel, more)
                status = await execute(replace(order, notebook=notebook_of(session, run)), means)
            if run.options.get("transcript") and status.status in FINAL_STATUSES:
                await self._leave_transcript(run, Path(session.workspace))
            return status
        except (OwnershipLost, RunBusy) as error:
            logger.info("run %s: %s", run.id, error)
            return Status(status="running", reason="elsewhere")
        except AgentKernelError as error:
            return await self._failed(run, error)

    async def _failed(self, run: RunRow, error: AgentKernelError) -> Status:
        """Say so, however long that takes. What a store that is away does not take is left to the dispatcher, if there
        is one: it finds that nobody works on the run."""
        failed = Status(status="failed", reason=type(error).__name__)
        why = Error(kind=failed.reason, message=error.message, hint=error.hint)
        while True:
            try:
                await self.log.append(run.id, why, failed)
                return failed
            except StoreError as again:
                if self.dispatcher is not None:
                    raise
                logger.warning("the end of run %s cannot be stored, trying again: %s", run.id, again)
                await asyncio.sleep(LOOK_AGAIN)

    async def _definition(self, run: RunRow) -> AgentDefinition:
        """What the run works as: the very text it was submitted with, whatever the file says by now."""
        if run.agent is None or run.agent_version is None:
            return AgentDefinition(name="")
        text = (await self.blobs.get(run.agent_version)).decode()
        return await asyncio.to_thread(parse_definition, run.agent, text)

    async def _leave_transcript(self, run: RunRow, workspace: Path) -> None:
        """For those who were not there: the run's notebook, in the folder it worked in."""
        try:
            await asyncio.to_thread(leave, await self.log.read(run.id), workspace, f"{run.id}.ipynb")
        except AgentKernelError as error:
            logger.warning("run %s: %s", run.id, error)

    def _order(
        self,
        run: RunRow,
        settings: Settings,
        budget: Budget,
        interactive: bool,
        kernel: KernelBridge | AttachedKernel | None,
        instructions: str,
    ) -> Order:
        return Order(
            run=run,
            worker=self.worker,
            permission=settings.permission,
            bounds=Bounds(
                max_turns=settings.max_turns,
                budget=budget,
                max_attempts=settings.max_attempts,
                compact_at=settings.compact_at,
            ),
            max_tokens=settings.max_tokens,
            network=settings.network,
            allow_private=self.allow_private,
            interactive=interactive,
            kernel=kernel,
            instructions=instructions,
        )

    async def _budget(self, run: RunRow, settings: Settings) -> Budget:
        """What is left of what, counting what other runs have spent."""
        session = day = 0.0
        if settings.budget_session:
            session = await self.store.spent(session_id=run.session_id, but=run.id)
        if settings.budget_day:
            midnight = now_ms() // DAY_MS * DAY_MS
            day = await self.store.spent(owner=run.owner, since=midnight, but=run.id)
        return Budget(
            usd=settings.budget,
            tokens=settings.budget_tokens,
            seconds=settings.budget_seconds,
            session_usd=settings.budget_session,
            day_usd=settings.budget_day,
            session_spent=session,
            day_spent=day,
        )

    def _means(
        self,
        run: RunRow,
        session: Session,
        place: Place,
        settings: Settings,
        definition: AgentDefinition,
        skills: Library,
        kernel: bool,
    ) -> Means:
        async def model(run: RunRow) -> Model:
            return await self.shared_model(settings)

        async def lease(run: RunRow) -> Sandbox:
            return await self.places.lease(session, settings)

        async def more_tools(sandbox: Sandbox) -> tuple[list[Tool], list[Event]]:
            more, notes = await self.places.mcp_tools(session, sandbox, definition.mcp_servers)
            return [tool for tool in more if definition.has_tool(tool.name)], notes

        hosted = bool(run.options.get("hosted"))
        own = [
            *self.tools(kernel=kernel, skills=skills, pages=hosted),
            *screens(settings),
            *web_search(settings),
        ]
        return Means(
            log=self.log,
            blobs=self.blobs,
            open_model=model,
            lease_sandbox=lease,
            tools=[tool for tool in own if definition.has_tool(tool.name)],
            skills=skills.on,
            more_tools=more_tools,
            state=place.state,
            write_lock=place.write_lock,
            dead=self.is_dead,
            notebooks=self.notebooks(session),
        )

    async def shared_model(self, settings: Settings) -> Model:
        """The model of these settings. Raises ModelError."""
        return await self._model(model_settings(settings))

    async def _model(self, settings: ModelSettings) -> Model:
        """Connections to an endpoint are kept and shared by its runs."""
        for known, model in self._models:
            if known == settings:
                return model
        model = await open_model(settings)
        self._models.append((settings, model))
        return model

    async def skills(self, session: Session | None, owner: str = "") -> Library:
        """The skills a session may use; without one, those of the person and the package."""
        trust = Trust(self.settings.folder, session.owner if session else owner)
        workspace = Path(session.workspace) if session else None
        off = session.meta.get("skills_off", ()) if session else ()
        return await asyncio.to_thread(open_library, workspace, trust, off=off)

    def tools(
        self, *, kernel: bool = False, skills: Library | None = None, pages: bool = False
    ) -> list[Tool]:
        """`pages`: of a run that a server took, wherever it is worked on."""
        return builtin_tools(kernel=kernel, skills=skills, pages=pages or self.pages is not None)

    def notebooks(self, session: Session) -> OpenNotebooks | None:
        """What the session's owner has open of its workspace; None where that is on another machine."""
        if not is_here(session):
            return None
        return OpenNotebooks(self._asks, session.owner, Path(session.workspace))

    @property
    def _asks(self) -> Asks:
        """The pages of this process, or those of the servers of this machine."""
        return self.pages or FarPages(self.settings.folder)

    def _reached(
        self, kernel: KernelBridge | AttachedKernel | None, session: Session
    ) -> KernelBridge | AttachedKernel | None:
        """A kernel that is asked through a page, as a bridge; the others as they are."""
        if not (isinstance(kernel, AttachedKernel) and kernel.notebook):
            return kernel
        return PageKernel(self._asks, session.owner, Path(kernel.notebook), Path(session.workspace))

    @property
    def kernel_tools(self) -> set[str]:
        """Names of the tools that the notebook's kernel executes."""
        return {tool.name for tool in self.tools(kernel=True) if tool.in_kernel}

    # -- the App's own end ------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop working: runs stay in the log as they are and can be resumed; sandboxes end."""
        tasks: list[asyncio.Task[Any]] = [*self._tasks.values(), *([self._hearing] if self._hearing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.places.close()
        for _, model in self._models:
            await model.close()
        await self.log.bus.close()
        await self.store.close()
        if self.observers:
            await asyncio.to_thread(self.observers.close)


def notebook_of(session: Session, run: RunRow) -> str:
    """The name of the session's notebook in its workspace, or of the one that was open beside the panel."""
    notebook, workspace = Path(run.options.get("beside") or session.notebook or ""), Path(session.workspace)
    name = notebook.name
    is_there = name.endswith(".ipynb") and (workspace / name).is_file()
    if run.options.get("beside") and notebook.parent != workspace.resolve():
        return ""
    return name if is_there and name.isprintable() and "`" not in name else ""


def kernel_of(run: RunRow) -> AttachedKernel | None:
    """The notebook's kernel that a run was submitted with, in whichever process it is."""
    return AttachedKernel(run.options.get("beside", "")) if run.options.get("kernel") else None


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


def screens(settings: Settings) -> list[Tool]:
    """The tools of browser and desktop: where they can be, unless a person said otherwise."""
    from agent_kernel.tools import desktop
    from agent_kernel.tools.browser.session import can_run
    from agent_kernel.tools.browser.tools import BROWSER_TOOLS

    browser = settings.browser == "on" or (settings.browser == "auto" and can_run(settings.sandbox))
    screen = settings.desktop == "on" or (settings.desktop == "auto" and desktop.can_run(settings.sandbox))
    return [*(BROWSER_TOOLS if browser else ()), *(desktop.DESKTOP_TOOLS if screen else ())]


def web_search(settings: Settings) -> list[Tool]:
    """The one tool that searches the web, or none. Raises SettingsError where a key or an address is missing."""
    from agent_kernel.tools.web_search import Engine, provider_search, search_tool

    chosen = settings.search
    if chosen == "auto":
        native = is_native(model_settings(settings)) and not settings.model.startswith(DEMO_MODEL)
        chosen = "provider" if native else "searxng" if settings.search_url else "off"
    if chosen == "off":
        return []
    if chosen == "provider":
        return [provider_search(settings.model, is_old(settings.model))]
    missing = "search_url" if chosen == "searxng" else "search_key"
    if not getattr(settings, missing):
        raise SettingsError(
            f"search = {chosen!r} needs {missing}.",
            hint=f"Set AGENT_KERNEL_{missing.upper()}, or search = 'off'.",
        )
    return [search_tool(Engine(chosen, settings.search_url, settings.search_key))]


def open_bus(settings: Settings) -> Bus:
    """The bus of these settings; it connects when it is first used. Raises StoreError in one sentence."""
    if not settings.redis_url:
        return LocalBus()
    from agent_kernel.runs.redis_bus import RedisBus

    return RedisBus(settings.redis_url)


async def open_blobs(settings: Settings) -> Blobs:
    """Where large things are kept. Raises StoreError in one sentence."""
    if not settings.blobs_url:
        return Blobs(settings.folder / "blobs")
    from agent_kernel.runs.shared_blobs import open_shared_blobs

    return await open_shared_blobs(settings.blobs_url)


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
    bus = open_bus(settings)
    blobs = await open_blobs(settings)
    observers = await asyncio.to_thread(open_observers, settings)
    return App(settings, await open_store(settings.database_url or folder / "runs.db"), bus, blobs, observers)
