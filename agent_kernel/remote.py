"""Runs hosted by the Jupyter server that started this kernel, reached over HTTP.

Light on purpose: no model SDK and no ORM comes into the kernel. A run is followed over one connection,
whoever looks at it; when the connection breaks, it is made again and goes on after the last event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

from agent_kernel import errors
from agent_kernel._version import __version__
from agent_kernel.errors import AgentKernelError, ServerUnreachable, SettingsError
from agent_kernel.events import (
    FINAL_STATUSES,
    SCHEMA_VERSION,
    Compaction,
    Delta,
    Error,
    Event,
    Json,
    Status,
    ToolCall,
    Undo,
    parse_event,
)
from agent_kernel.folds import RunState
from agent_kernel.runs.records import Planned, RunRow, Schedule, Session
from agent_kernel.settings import (
    DEMO_MODEL,
    KERNEL_VARIABLE,
    RUN_SETTINGS,
    SERVER_VARIABLE,
    TOKEN_HEADER,
    TOKEN_VARIABLE,
    Settings,
)

if TYPE_CHECKING:
    import httpx2

    from agent_kernel.tools.base import KernelBridge

TIMEOUT = 30.0
WRITING = 300.0
"""Seconds in which a model writes a summary."""
SILENCE = 45.0
"""Seconds without even a heartbeat after which a connection counts as broken."""
LONGEST_PAUSE = 5.0
T = TypeVar("T", RunRow, Session, Schedule)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is, and what this kernel shows at its door."""

    url: str
    kernel_id: str
    token: str = field(repr=False)


def address(environ: Mapping[str, str] = os.environ) -> Address | None:
    """The server of this kernel; None in any other process, even one that inherited the environment."""
    values = [environ.get(name, "") for name in (SERVER_VARIABLE, KERNEL_VARIABLE, TOKEN_VARIABLE)]
    if not all(values) or values[1] != _own_kernel_id():
        return None
    return Address(values[0].rstrip("/"), values[1], values[2])


def _own_kernel_id() -> str:
    """Told by the connection file: a program started by a kernel inherits that kernel's environment."""
    if "ipykernel" not in sys.modules:
        return ""
    from ipykernel.connect import get_connection_file

    try:
        return Path(get_connection_file()).stem.removeprefix("kernel-")
    except RuntimeError:
        return ""


async def open_server() -> Server | None:
    """The server that started this kernel, ready; None where there is none with the extension.

    Raises SettingsError when its agent-kernel and this one do not understand each other.
    """
    where = address()
    if where is None:
        return None
    server = Server(where)
    try:
        await server.greet()
    except ServerUnreachable:
        await server.close()
        return None
    except BaseException:
        await server.close()
        raise
    return server


class Server:
    """The `Host` of a kernel whose Jupyter server hosts the runs."""

    def __init__(self, where: Address) -> None:
        self._where = where
        self._client = _client(where)
        self._feeds: dict[str, _Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def greet(self) -> None:
        """Raises ServerUnreachable, or SettingsError for a server of another version."""
        health = await self._send("GET", "health")
        if health.get("schema") != SCHEMA_VERSION:
            version = health.get("version", "?")
            raise SettingsError(
                f"The Jupyter server has agent-kernel {version}, this kernel's environment {__version__}; "
                "they do not understand each other.",
                hint=f'Install the same in both: pip install "agent-kernel=={version}" where this kernel runs.',
            )

    async def session(
        self, name: str, workspace: Path, notebook: str | None = None, *, new: bool = False
    ) -> Session:
        body = {"name": name, "workspace": str(workspace), "notebook": notebook, "new": new}
        return _record(Session, await self._send("POST", "sessions", body))

    async def ready(self, settings: Settings) -> bool:
        return settings.model.startswith(DEMO_MODEL) or bool((await self._send("GET", "defaults"))["ready"])

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
    ) -> RunRow:
        body = {
            "session": session.id,
            "prompt": prompt,
            "options": said(settings),
            "interactive": interactive,
            "kernel": kernel is not None,
            "transcript": transcript,
            "cell": cell,
        }
        run = _record(RunRow, await self._send("POST", "runs", body))
        self._attend(run.id, kernel)
        return run

    async def resume(
        self,
        run_id: str,
        settings: Settings | None = None,
        *,
        interactive: bool = True,
        kernel: KernelBridge | None = None,
    ) -> RunRow:
        run = await self.get_run(run_id)
        body = {
            "options": said(settings) if settings else {},
            "interactive": interactive,
            "kernel": kernel is not None,
        }
        resumed = _record(RunRow, await self._send("POST", f"runs/{run.id}/resume", body))
        self._attend(run.id, kernel, resumed_at=run.head)
        return resumed

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
    ) -> RunRow:
        body = {
            "seq": seq,
            "prompt": prompt,
            "restore": restore,
            "options": said(settings) if settings else {},
            "interactive": interactive,
            "kernel": kernel is not None,
        }
        where = f"runs/{quote(run_id, safe='')}/fork"
        run = _record(RunRow, await self._send("POST", where, body))
        self._attend(run.id, kernel)
        return run

    async def add_schedule(
        self,
        name: str,
        when: str,
        prompt: str,
        workspace: Path,
        *,
        timezone: str = "UTC",
        overlap: str = "skip",
        missed: str = "skip",
        notebook: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Schedule:
        body = {
            "name": name,
            "when": when,
            "prompt": prompt,
            "workspace": str(workspace),
            "notebook": notebook,
            "timezone": timezone,
            "overlap": overlap,
            "missed": missed,
            "options": dict(settings or {}),
        }
        return _record(Schedule, await self._send("POST", "schedules", body))

    async def list_schedules(self) -> list[Planned]:
        return [
            Planned(_record(Schedule, row), tuple(map(datetime.fromisoformat, row["next"])), str(row["last"]))
            for row in (await self._send("GET", "schedules"))["schedules"]
        ]

    async def change_schedule(self, key: str, action: str) -> None:
        where = f"schedules/{quote(key, safe='')}"
        if action == "delete":
            await self._send("DELETE", where)
        else:
            await self._send("POST", f"{where}/{quote(action, safe='')}", {})

    async def attend(self, run_id: str, kernel: KernelBridge) -> None:
        """Execute, from now on, the run's calls for the notebook's kernel: that is ours."""
        run = await self.get_run(run_id)
        if run.options.get("kernel") and run.status not in FINAL_STATUSES:
            self._attend(run.id, kernel)

    async def get_run(self, run_id: str) -> RunRow:
        return _record(RunRow, await self._send("GET", f"runs/{quote(run_id, safe='')}"))

    async def list_runs(self, session_id: str | None = None, limit: int = 50) -> list[RunRow]:
        query = f"?limit={limit}" + (f"&session={quote(session_id, safe='')}" if session_id else "")
        return [_record(RunRow, row) for row in (await self._send("GET", f"runs{query}"))["runs"]]

    async def skills(self, session_id: str | None = None) -> list[Json]:
        query = f"?session={quote(session_id, safe='')}" if session_id else ""
        found: list[Json] = (await self._send("GET", f"skills{query}"))["skills"]
        return found

    async def agents(self, session_id: str | None = None) -> list[Json]:
        query = f"?session={quote(session_id, safe='')}" if session_id else ""
        found: list[Json] = (await self._send("GET", f"agents{query}"))["agents"]
        return found

    async def switch_skill(self, session_id: str, name: str, on: bool) -> Json:
        where = f"sessions/{quote(session_id, safe='')}/skills/{quote(name, safe='')}"
        found: Json = await self._send("PUT", where, {"on": on})
        return found

    async def clean_notebook(self, run_id: str) -> str:
        import httpx2

        try:
            response = await self._client.get(f"runs/{run_id}/transcript?format=clean")
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        if response.status_code != 200:
            _answer(response.status_code, response.content)
        return response.text

    async def say(self, run_id: str, text: str) -> None:
        await self._send("POST", f"runs/{run_id}/messages", {"text": text})

    async def answer(self, run_id: str, request_id: str, decision: str, reason: str = "") -> None:
        body = {"decision": decision, "reason": reason}
        await self._send("POST", f"runs/{run_id}/approvals/{quote(request_id, safe='')}", body)

    async def control(self, run_id: str, action: str) -> None:
        await self._send("POST", f"runs/{run_id}/{quote(action, safe='')}", {})

    async def undo(self, run_id: str, call_id: str | None = None, path: str | None = None) -> Undo:
        return Undo.model_validate(
            await self._send("POST", f"runs/{run_id}/undo", {"call_id": call_id, "path": path})
        )

    async def report_mcp(self, session_id: str) -> Json:
        found: Json = await self._send("GET", f"mcp?session={quote(session_id, safe='')}")
        return found

    async def shorten(self, session_id: str, *, clear: bool = False) -> Compaction:
        action = "clear" if clear else "compact"
        return Compaction.model_validate(
            await self._send("POST", f"sessions/{quote(session_id, safe='')}/{action}", {}, timeout=WRITING)
        )

    async def refresh_tools(self, session_id: str) -> None:
        await self._send("POST", "mcp/refresh", {"session": session_id})

    async def follow(
        self, run_id: str, after: int = 0, *, deltas: bool = True, resumed_at: int = 0
    ) -> AsyncIterator[Event]:
        """Replay, then wait; ends after a final status later than `resumed_at`.

        While the server does not answer, `error` events without a `seq` say so.
        """
        with self._feed(run_id).listen() as (past, queue):
            for event in past:
                if event.seq > after:
                    yield event
                    if _ends(event, resumed_at):
                        return
            while True:
                item = await queue.get()
                if isinstance(item, AgentKernelError):
                    raise item
                if item.type == "delta" and not deltas:
                    continue
                if item.seq and item.seq <= after:
                    continue
                yield item
                if _ends(item, resumed_at):
                    return

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def _feed(self, run_id: str) -> _Feed:
        """The run's events over one connection, which ends with the last who listens: a notebook sees many runs."""
        feed = self._feeds.get(run_id)
        if feed is None or feed.failed:
            feed = self._feeds[run_id] = _Feed(self, run_id)
            self._keep(feed.task)
        return feed

    def _forget(self, feed: _Feed) -> None:
        feed.task.cancel()
        if self._feeds.get(feed.run_id) is feed:
            del self._feeds[feed.run_id]

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Until it has ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the notebook's kernel, which is ours --------------------------------------------------------------

    def _attend(self, run_id: str, kernel: KernelBridge | None, resumed_at: int = 0) -> None:
        """Execute the calls of this run that are for the notebook's kernel, until it has ended."""
        if kernel is None:
            return
        self._keep(asyncio.create_task(self._serve(run_id, kernel, resumed_at)))

    async def _serve(self, run_id: str, kernel: KernelBridge, resumed_at: int) -> None:
        from agent_kernel.tools.kernel_calls import KERNEL_TOOLS

        state = RunState()
        under_way: dict[str, asyncio.Task[None]] = {}
        try:
            async for event in self.follow(run_id, deltas=False, resumed_at=resumed_at):
                state.add(event)
                if isinstance(event, Status) and event.reason == "kernel":
                    for call in state.open_calls:
                        if call.call.tool in KERNEL_TOOLS and call.start is None and call.id not in under_way:
                            under_way[call.id] = asyncio.create_task(self._execute(run_id, call.call, kernel))
        finally:
            for task in under_way.values():
                task.cancel()
            await asyncio.gather(*under_way.values(), return_exceptions=True)

    async def _execute(self, run_id: str, call: ToolCall, kernel: KernelBridge) -> None:
        from agent_kernel.tools.kernel_calls import run_in_kernel

        where = f"runs/{run_id}/results/{quote(call.id, safe='')}"
        asking = {"attempt": uuid4().hex}
        if not (await self._insist("POST", f"{where}/begin", asking))["yours"]:
            return
        feed = self._feeds[run_id]

        def emit(text: str) -> None:
            feed.tell(Delta(kind="output", id=call.id, text=text, run_id=run_id))

        loop = asyncio.get_running_loop()
        since = loop.time()
        output = await run_in_kernel(call.tool, kernel, call.args, call.id, emit)
        body = {
            "content": output.content,
            "is_error": output.is_error,
            "duration_ms": round((loop.time() - since) * 1000),
            "truncated_bytes": output.truncated_bytes,
            "outputs": [part.model_dump() for part in output.outputs],
        }
        await self._insist("POST", where, body)

    # -- the wire --------------------------------------------------------------------------------------------

    async def _insist(self, method: str, path: str, body: Json) -> Any:
        """Send until the server has answered: what happened here must reach the log."""
        for attempt in range(1, 1000):
            try:
                return await self._send(method, path, body)
            except AgentKernelError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(_pause(attempt))
        raise ServerUnreachable("The Jupyter server did not come back.")

    async def _send(
        self, method: str, path: str, body: Json | None = None, *, timeout: float = TIMEOUT
    ) -> Any:
        import httpx2

        try:
            response = await self._client.request(method, path, json=body, timeout=timeout)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        return _answer(response.status_code, response.content)

    async def stream(self, run_id: str, after: int) -> AsyncGenerator[Event]:
        """Events of one connection. Raises ServerUnreachable when it breaks, and what the server says."""
        import httpx2

        timeout = httpx2.Timeout(TIMEOUT, read=SILENCE)
        try:
            async with self._client.stream(
                "GET", f"stream?run={run_id}:{after}", timeout=timeout
            ) as response:
                if response.status_code != 200:
                    _answer(response.status_code, await response.aread())
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield parse_event(json.loads(line[5:]))
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        raise ServerUnreachable("The connection to the Jupyter server ended.")

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        return ServerUnreachable(
            f"The Jupyter server at {self._where.url} does not answer ({type(error).__name__}).",
            hint="The run goes on there; is the server still running?",
        )


class _Feed:
    """One run's events over one connection, for all who look at it here."""

    def __init__(self, server: Server, run_id: str) -> None:
        self._server = server
        self.run_id = run_id
        self._events: list[Event] = []
        self._listeners: set[asyncio.Queue[Event | AgentKernelError]] = set()
        self.failed = False
        self.task = asyncio.create_task(self._follow())

    @contextlib.contextmanager
    def listen(self) -> Any:
        """The stored events so far, and a queue of what comes after them."""
        queue: asyncio.Queue[Event | AgentKernelError] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield list(self._events), queue
        finally:
            self._listeners.discard(queue)
            if not self._listeners:
                self._server._forget(self)

    def tell(self, item: Event | AgentKernelError) -> None:
        for queue in self._listeners:
            queue.put_nowait(item)

    async def _follow(self) -> None:
        attempt = 0
        while True:
            try:
                async with contextlib.aclosing(self._server.stream(self.run_id, self._head)) as events:
                    async for event in events:
                        attempt = 0
                        if event.seq and event.seq != self._head + 1:
                            continue  # known already
                        if event.seq:
                            self._events.append(event)
                        self.tell(event)
            except AgentKernelError as error:
                if not error.retryable:
                    self.failed = True
                    self.tell(error)
                    return
                attempt += 1
                await self._wait(attempt)

    @property
    def _head(self) -> int:
        return self._events[-1].seq if self._events else 0

    async def _wait(self, attempt: int) -> None:
        pause = _pause(attempt)
        if attempt > 1:  # a connection that merely ended is made again without a word
            self.tell(
                Error(
                    kind="disconnected",
                    message="The Jupyter server does not answer. The run goes on there; trying again.",
                    retrying=True,
                    attempt=attempt - 1,
                    delay_ms=round(pause * 1000),
                    run_id=self.run_id,
                )
            )
        await asyncio.sleep(pause)


def said(settings: Settings) -> Json:
    """The run's settings that somebody chose, here in the kernel; the others are the server's, and an agent
    definition's model counts unless another was named for this very run."""
    chosen = {name: getattr(settings, name) for name in ("model", *RUN_SETTINGS) if name in settings.sources}
    if settings.agent and not settings.is_said("model"):
        chosen.pop("model", None)
    return chosen


def _client(where: Address) -> httpx2.AsyncClient:
    import httpx2

    host = urlsplit(where.url).hostname or ""
    return httpx2.AsyncClient(
        base_url=f"{where.url}/api/agent/",
        headers={TOKEN_HEADER: f"{where.kernel_id}:{where.token}"},
        timeout=TIMEOUT,
        trust_env=False,  # no proxy gets to see this
        verify=host not in ("localhost", "127.0.0.1", "::1"),  # a server's own certificate, on this machine
    )


def _answer(status: int, content: bytes) -> Any:
    """What the server sent; its errors are raised as what they were there. Those that pass (its database is away, it
    is asked too often) are `retryable`."""
    try:
        data = json.loads(content) if content else {}
    except ValueError:
        data = {}
    if status < 400:
        return data
    error = data.get("error") if isinstance(data, dict) else None
    if not isinstance(error, dict):
        if status in (404, 502, 503, 504):  # no extension, or no server behind the proxy
            raise ServerUnreachable(f"The Jupyter server answered {status}.")
        error = {"message": f"The Jupyter server answered {status}."}
    kind: Any = getattr(errors, str(error.get("type")), None)
    if not (isinstance(kind, type) and issubclass(kind, AgentKernelError)):
        kind = AgentKernelError
    raised: AgentKernelError = kind(str(error.get("message", "")), hint=str(error.get("hint", "")))
    raised.retryable = raised.retryable or status == 429 or status >= 500
    raise raised


def _record(kind: type[T], data: Json) -> T:
    """A row as the server gave it; fields of a newer server are left out."""
    return kind(**{f.name: data[f.name] for f in fields(kind) if f.name in data})


def _ends(event: Event, resumed_at: int) -> bool:
    return isinstance(event, Status) and event.status in FINAL_STATUSES and event.seq > resumed_at


def _pause(attempt: int) -> float:
    return float(min(LONGEST_PAUSE, 0.1 * 2**attempt) * random.uniform(0.5, 1))  # noqa: S311
