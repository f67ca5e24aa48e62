"""`Agent` and `Run`: the one interface to runs, whoever hosts them.

A `Host` is an App in this process, or the Jupyter server that started this kernel. Everything is async and
lives on one event loop; `agent_kernel.shell` offers the same to code that is not.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from agent_kernel import folds
from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.events import ApprovalRequest, Compaction, Event, FileChange, Json, Message, TodoItem, Undo
from agent_kernel.settings import DEMO_MODEL, RUN_SETTINGS, Settings, load_settings, resolved
from agent_kernel.usage import Usage

if TYPE_CHECKING:
    from agent_kernel.runs.records import Planned, RunRow, Schedule, Session
    from agent_kernel.tools.base import KernelBridge


class Host(Protocol):
    """Who holds sessions and runs for one person: `account.Account` here, `remote.Server` over HTTP."""

    async def session(
        self, name: str, workspace: Path, notebook: str | None = None, *, new: bool = False
    ) -> Session: ...

    async def ready(self, settings: Settings) -> bool:
        """False where a model could be set up for a run of these settings, and is not yet."""
        ...

    async def submit(
        self,
        session: Session,
        prompt: str,
        settings: Settings,
        *,
        interactive: bool = True,
        kernel: KernelBridge | None = None,
        transcript: bool = False,
        cell: str = "",
    ) -> RunRow: ...

    async def resume(
        self,
        run_id: str,
        settings: Settings | None = None,
        *,
        interactive: bool = True,
        kernel: KernelBridge | None = None,
    ) -> RunRow: ...

    async def fork(
        self,
        run_id: str,
        seq: int,
        prompt: str = "",
        *,
        restore: bool = False,
        settings: Settings | None = None,
        interactive: bool = True,
        kernel: KernelBridge | None = None,
    ) -> RunRow: ...

    async def get_run(self, run_id: str) -> RunRow: ...

    async def attend(self, run_id: str, kernel: KernelBridge) -> None:
        """Be there for the run's calls for the notebook's kernel, after that was restarted."""
        ...

    async def list_runs(self, session_id: str | None = None, limit: int = 50) -> list[RunRow]: ...

    def follow(
        self, run_id: str, after: int = 0, *, deltas: bool = True, resumed_at: int = 0
    ) -> AsyncIterator[Event]:
        """Replay, then wait; ends after a final status later than `resumed_at`."""
        ...

    async def clean_notebook(self, run_id: str) -> str:
        """The run's Python as a notebook's JSON; see `Run.to_notebook`."""
        ...

    async def say(self, run_id: str, text: str) -> None: ...

    async def answer(self, run_id: str, request_id: str, decision: str, reason: str = "") -> None: ...

    async def control(self, run_id: str, action: str) -> None: ...

    async def undo(self, run_id: str, call_id: str | None = None, path: str | None = None) -> Undo: ...

    async def add_schedule(
        self,
        name: str,
        when: str,
        prompt: str,
        workspace: Path,
        *,
        timezone: str = "UTC",
        overlap: Any = "skip",
        missed: Any = "skip",
        notebook: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Schedule: ...

    async def list_schedules(self) -> list[Planned]: ...

    async def change_schedule(self, key: str, action: str) -> None: ...

    async def skills(self, session_id: str | None = None) -> list[Json]: ...

    async def switch_skill(self, session_id: str, name: str, on: bool) -> Json: ...

    async def agents(self, session_id: str | None = None) -> list[Json]: ...

    async def report_mcp(self, session_id: str) -> Json: ...

    async def refresh_tools(self, session_id: str) -> None: ...

    async def shorten(self, session_id: str, *, clear: bool = False) -> Compaction: ...

    async def close(self) -> None: ...


async def open_host(settings: Settings) -> Host:
    """The Jupyter server that started this kernel, where it has the extension; else an App in this process."""
    from agent_kernel.remote import open_server

    return await open_server() or await _local_host(settings)


async def _local_host(settings: Settings) -> Host:
    from agent_kernel.account import Account
    from agent_kernel.app import open_app

    return Account(await open_app(settings))


class Run:
    """One prompt being worked on. `await run.wait()`, or follow it; everything else is a fold of `events`."""

    def __init__(self, host: Host, row: RunRow, resumed_at: int = 0):
        self._host = host
        self._row = row
        self._resumed_at = resumed_at  # an end before this event is behind us
        self._events: list[Event] = []
        self._settled = asyncio.Event()
        self._came = asyncio.Event()
        self._failed: AgentKernelError | None = None
        self._collector = asyncio.create_task(self._collect())

    def __repr__(self) -> str:
        files = ", ".join(file.path for file in self.files)
        return f"<Run {self.id} {self.status}{f', files: {files}' if files else ''}>"

    async def _collect(self) -> None:
        """Whoever waits is told of the end, or of why nothing more can be heard."""
        try:
            async for event in self._host.follow(self.id, deltas=False, resumed_at=self._resumed_at):
                self._take(event)
        except AgentKernelError as error:
            self._failed = error
            self._settled.set()
            self._came.set()

    def _take(self, event: Event) -> None:
        if not event.seq:  # a word of the connection's, not of the run's
            return
        self._events.append(event)
        if self._settles(event):
            self._settled.set()
        else:
            self._settled.clear()
        self._came.set()
        self._came = asyncio.Event()  # for the next one

    def _settles(self, event: Event) -> bool:
        return folds.settles(event) and event.seq > self._resumed_at

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self._row.id

    @property
    def prompt(self) -> str:
        return self._row.prompt

    @property
    def events(self) -> list[Event]:
        """All stored events so far."""
        return list(self._events)

    @property
    def status(self) -> str:
        return folds.last_status(self._events).status if self._events else self._row.status

    @property
    def reason(self) -> str:
        return folds.last_status(self._events).reason

    @property
    def messages(self) -> list[Message]:
        return [event for event in self._events if isinstance(event, Message)]

    @property
    def text(self) -> str:
        """The final answer so far."""
        return folds.answer(self._events)

    @property
    def files(self) -> list[folds.ChangedFile]:
        return folds.files(self._events)

    @property
    def todo(self) -> list[TodoItem]:
        return folds.todo(self._events)

    @property
    def usage(self) -> Usage:
        return folds.usage(self._events)

    @property
    def cost(self) -> float | None:
        """USD, or None when a price is not known."""
        return folds.cost(self._events)

    @property
    def tier(self) -> str:
        """The sandbox's tier; empty until it is open."""
        context = folds.last_context(self._events)
        return context.tier if context else ""

    @property
    def asks(self) -> list[ApprovalRequest]:
        """What waits for a person's answer, oldest first."""
        return folds.open_approvals(self._events)

    def diff(self) -> str:
        """All changes to files as one unified diff, in the order they were made."""
        return "\n".join(e.diff.rstrip("\n") for e in self._events if isinstance(e, FileChange) and e.diff)

    def save(self, path: str | Path) -> Path:
        """Write the transcript: `.ipynb`, `.html` or `.md` by the name's ending."""
        from agent_kernel.transcript import save

        return save(self._events, Path(path))

    async def to_notebook(self, path: str | Path) -> Path:
        """Write a clean notebook: the prompt, the imports, the Python that led to the result with its outputs, and
        the answer. Run from the top, in the folder the agent worked in, it gives the result again."""
        from agent_kernel.transcript.files import save_notebook

        return save_notebook(Path(path), await self._host.clean_notebook(self.id))

    # -- waiting ---------------------------------------------------------------------------------------

    async def follow(self, after: int = 0, *, deltas: bool = True) -> AsyncIterator[Event]:
        """Events after `after`, then new ones as they come; ends when the run has settled."""
        async for event in self._host.follow(self.id, after, deltas=deltas, resumed_at=self._resumed_at):
            yield event
            if self._settles(event):
                return

    async def wait(self) -> Self:
        """Until the run is completed, failed, cancelled, or paused by its budget. Raises AgentKernelError when that
        can be heard no more."""
        await self._settled.wait()
        if self._failed is not None:
            raise self._failed
        return self

    async def catch_up(self) -> Self:
        """Until `events` holds whatever had happened by now, where the run has not settled."""
        return await self.reach(0 if self._settled.is_set() else (await self._host.get_run(self.id)).head)

    async def reach(self, head: int) -> Self:
        """Until `events` holds the first `head` of them, or more of them cannot be heard."""
        while self._failed is None and len(self._events) < head:
            await self._came.wait()
        return self

    # -- what people do to it ----------------------------------------------------------------------------

    async def stop(self) -> None:
        await self._host.control(self.id, "cancel")

    async def pause(self) -> None:
        await self._host.control(self.id, "pause")

    async def resume(self) -> None:
        await self._host.control(self.id, "resume")

    async def take_over(self) -> None:
        """Mouse and keyboard of the desktop are the person's; the agent waits before it touches it again."""
        await self._host.control(self.id, "take-over")

    async def hand_back(self) -> None:
        await self._host.control(self.id, "hand-back")

    async def say(self, text: str) -> None:
        """Steer it: the model hears this with its next request."""
        await self._host.say(self.id, text)

    async def answer(self, request_id: str, decision: str, reason: str = "") -> None:
        """Answer an approval request with `allow`, `deny` or `session`."""
        await self._host.answer(self.id, request_id, decision, reason)

    async def undo(self, call_id: str | None = None, path: str | None = None) -> Undo:
        """Put files back to before the run (or one call, or one file)."""
        return await self._host.undo(self.id, call_id, path)

    def when_collected(self, tell: Callable[[], object]) -> None:
        """`tell` is called once, when no more of its events will come."""
        self._collector.add_done_callback(lambda _: tell())

    async def detach(self) -> None:
        """Stop collecting its events; the run itself goes on."""
        self._collector.cancel()
        await asyncio.gather(self._collector, return_exceptions=True)


class Agent:
    """A conversation with an agent that works in a folder.

    ```python
    async with Agent(workspace="analysis", model="demo") as agent:
        run = await agent.run("Profile sales.csv")
        print(run.text)
    ```

    `agent` names an agent definition (see docs/agents.md).
    `interactive` says that somebody can answer approvals; otherwise they are denied at once.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        workspace: str | Path = ".",
        permission: str | None = None,
        session: str = "main",
        notebook: str | None = None,
        new: bool = False,
        sandbox: str | None = None,
        budget: float | None = None,
        max_turns: int | None = None,
        agent: str | None = None,
        interactive: bool = False,
        kernel: KernelBridge | None = None,
        settings: Settings | None = None,
        host: Host | None = None,
    ):
        self.workspace = resolved(workspace)
        self.settings = (settings or load_settings()).with_overrides(
            "Agent",
            model=model,
            permission=permission,
            sandbox=sandbox,
            budget=budget,
            max_turns=max_turns,
            agent=agent,
        )
        self.session_name = session
        self.notebook = notebook
        self.interactive = interactive
        self.kernel = kernel
        self._new = new
        self._local = settings is not None  # settings of one's own are for an App of one's own
        self._host = host
        self._owns_host = host is None
        self._session: Session | None = None
        self._collecting: set[Run] = set()
        self._newest: Run | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(self) -> tuple[Host, Session]:
        async with self._opening:
            if self._host is None:
                self._host = await (_local_host if self._local else open_host)(self.settings)
            if self._session is None:
                if not os.path.isdir(self.workspace):
                    raise SettingsError(
                        f"The workspace {self.workspace} is not a folder.", hint="Make it, or name another."
                    )
                self._session = await self._host.session(
                    self.session_name, self.workspace, self.notebook, new=self._new
                )
            return self._host, self._session

    async def start(self, prompt: str, *, transcript: bool = False, cell: str = "", **overrides: Any) -> Run:
        """Start a run and return at once. `overrides` are settings for this run alone (`model`,
        `permission`, `budget`, `max_turns`). With `transcript` it leaves its notebook in the workspace, in
        `agent-transcripts/`, when it has ended. `cell` is the id of the notebook's cell that shows it."""
        host, session = await self._open()
        row = await host.submit(
            session,
            prompt,
            self.settings.with_overrides("run", **overrides),
            interactive=self.interactive,
            kernel=self.kernel,
            transcript=transcript,
            cell=cell,
        )
        return self._run(host, row)

    async def ready(self, **overrides: Any) -> bool:
        """False while the server's panel or cell could set up the model that such a run needs."""
        host, _ = await self._open()
        return await host.ready(self.settings.with_overrides("run", **overrides))

    async def run(self, prompt: str, **overrides: Any) -> Run:
        """Start a run and wait for its end. A failed run is returned, not raised: see its `status`."""
        return await (await self.start(prompt, **overrides)).wait()

    async def stream(self, prompt: str, *, deltas: bool = True, **overrides: Any) -> AsyncIterator[Event]:
        """The events of a new run as they come."""
        run = await self.start(prompt, **overrides)
        async for event in run.follow(deltas=deltas):
            yield event

    async def get(self, run_id: str) -> Run:
        """A run by its id (or the beginning of it)."""
        host, _ = await self._open()
        row = await host.get_run(run_id)
        if self.kernel is not None:
            await host.attend(row.id, self.kernel)
        return self._run(host, row)

    async def resume(self, run_id: str, **overrides: Any) -> Run:
        """Go on with a run that is paused, failed, or whose process died."""
        host, _ = await self._open()
        row = await host.get_run(run_id)
        began = {name: row.options[name] for name in RUN_SETTINGS if name in row.options}
        settings = self.settings.with_overrides(f"run {row.id}", model=row.model, **began)
        settings = settings.with_overrides("resume", **overrides)
        await host.resume(row.id, settings, interactive=self.interactive, kernel=self.kernel)
        return self._run(host, row, resumed_at=row.head)

    async def fork(
        self, run_id: str, seq: int, prompt: str = "", *, restore: bool = False, **overrides: Any
    ) -> Run:
        """Go on from event `seq` of a run, in a conversation of its own: with `prompt` another way, without
        one as the run itself would have. `restore` puts files back to how they were then. The run stays."""
        host, _ = await self._open()
        row = await host.get_run(run_id)
        began = {name: row.options[name] for name in RUN_SETTINGS if name in row.options}
        settings = self.settings.with_overrides(f"run {row.id}", model=row.model, **began)
        copy = await host.fork(
            row.id,
            seq,
            prompt,
            restore=restore,
            settings=settings.with_overrides("fork", **overrides),
            interactive=self.interactive,
            kernel=self.kernel,
        )
        return self._run(host, copy, resumed_at=copy.head)

    async def schedule(self, name: str, when: str, prompt: str, **how: Any) -> Schedule:
        """Start `prompt` by the clock, in this folder, wherever a Jupyter server with the extension or a
        worker runs. `when` is hourly, daily, weekly or five fields of cron; `how` may hold `timezone`,
        `overlap` (skip, queue), `missed` (skip, once) and `settings`. Raises JobsError."""
        host, _ = await self._open()
        return await host.add_schedule(name, when, prompt, self.workspace, notebook=self.notebook, **how)

    async def schedules(self) -> list[Planned]:
        """With their next times, and what came of the last."""
        host, _ = await self._open()
        return await host.list_schedules()

    async def change_schedule(self, name: str, action: str) -> None:
        """Pause, resume or delete one. Raises JobsError."""
        host, _ = await self._open()
        await host.change_schedule(name, action)

    async def runs(self, limit: int = 20) -> list[RunRow]:
        """This session's newest runs."""
        host, session = await self._open()
        return await host.list_runs(session.id, limit)

    async def skills(self) -> list[Json]:
        """The skills this session sees: `name`, `description`, `scope`, `state`, `folder`, `problems`."""
        host, session = await self._open()
        return await host.skills(session.id)

    async def switch_skill(self, name: str, on: bool) -> Json:
        """Use a skill in this session or not, from the next run on. Raises SkillError."""
        host, session = await self._open()
        return await host.switch_skill(session.id, name, on)

    async def agents(self) -> list[Json]:
        """The agent definitions this session sees: `name`, `description`, `scope`, `state`, `path`, `problem`."""
        host, session = await self._open()
        return await host.agents(session.id)

    async def new_session(self) -> None:
        """The next prompt starts a conversation of its own."""
        self._session, self._new = None, True

    def tools(self) -> list[dict[str, str]]:
        """Name, access and description of what the model may call."""
        from agent_kernel.app import screens
        from agent_kernel.skills import Trust, open_library
        from agent_kernel.tools import builtin_tools

        skills = open_library(None, Trust(self.settings.folder, self.settings.owner))
        return [
            {"name": tool.name, "access": tool.access, "description": tool.summary or tool.description}
            for tool in [
                *builtin_tools(kernel=self.kernel is not None, skills=skills),
                *screens(self.settings),
            ]
        ]

    async def mcp(self) -> Json:
        """The session's MCP servers: how each stands, its tools, and what waits to be trusted."""
        host, session = await self._open()
        return await host.report_mcp(session.id)

    async def shorten(self, *, clear: bool = False) -> str:
        """Replace the conversation so far, for the model, by a summary it writes (`clear`: by nothing); the
        summary. Raises RunBusy while a run is at work."""
        host, session = await self._open()
        return (await host.shorten(session.id, clear=clear)).summary

    async def refresh_tools(self) -> None:
        """The next run has the tools that MCP servers offer then; the model reads its prompt anew once."""
        host, session = await self._open()
        await host.refresh_tools(session.id)

    def info(self) -> dict[str, Any]:
        """What a view's header shows."""
        return {
            "model": self.settings.model,
            "demo": self.settings.model.startswith(DEMO_MODEL),
            "permission": self.settings.permission,
            "agent": self.settings.agent,
            "session": self._session.name if self._session else self.session_name,
            "workspace": str(self.workspace),
            "tier": (self._newest.tier if self._newest else "") or self.settings.sandbox,
        }

    def _run(self, host: Host, row: RunRow, resumed_at: int = 0) -> Run:
        """It is let go of when it has ended: a program may start thousands."""
        run = self._newest = Run(host, row, resumed_at)
        self._collecting.add(run)
        run.when_collected(lambda: self._collecting.discard(run))
        return run

    async def close(self) -> None:
        """Let go of everything; unfinished runs stay in the log and can be resumed."""
        for run in list(self._collecting):
            await run.detach()
        if self._host is not None and self._owns_host:
            await self._host.close()
            self._host = None
