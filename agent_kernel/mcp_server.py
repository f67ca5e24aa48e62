"""Our runs as an MCP server: another agent starts them, follows them, and reads what came of them.

Whoever starts the server says in which folder, and how much a run may do; a caller can ask for less, never for more.
Nobody is there to approve anything, so what would ask is denied.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from agent_kernel import folds
from agent_kernel._version import __version__
from agent_kernel.errors import AgentKernelError, RunError, SettingsError
from agent_kernel.events import FINAL_STATUSES, Event, FileChange, Message, Status, ToolCall
from agent_kernel.settings import PERMISSIONS, Settings

if TYPE_CHECKING:
    from agent_kernel.account import Account

LONGEST_WAIT = 300.0
MOST_RUNS, MOST_STEPS, MOST_TEXT = 50, 40, 60_000
INSTRUCTIONS = (
    "Runs of an agent that works with files, Python and a shell in a sandbox, in one folder. Start one with "
    "start_run, then call follow_run until its status is final; it gives the answer and the files it changed."
)


async def serve(
    settings: Settings, workspace: Path, port: int | None = None, *, tell: Callable[[str], None]
) -> None:
    """Until the other end goes away: on standard input and output, or at a port of this machine, whose address
    `tell` hears."""
    from agent_kernel.account import Account
    from agent_kernel.app import open_app

    async with await open_app(settings) as app:
        server = runs_server(Account(app), settings, workspace)
        if port is None:
            await server.run_stdio_async()
            return
        # Without a password every program and every web page's trick on this machine could start runs.
        path = f"/{secrets.token_urlsafe(24)}/mcp"
        tell(f"http://127.0.0.1:{port}{path}")
        await server.run_streamable_http_async(host="127.0.0.1", port=port, streamable_http_path=path)


def runs_server(account: Account, settings: Settings, workspace: Path) -> Any:
    """The SDK's server with our five tools. Raises SettingsError where the SDK is not installed."""
    try:
        from mcp.server import MCPServer
    except ImportError as error:
        raise SettingsError(
            f"Serving MCP needs the library mcp 2 ({error}).", hint='pip install "agent-kernel[mcp]"'
        ) from None
    from mcp.types import ToolAnnotations

    server = MCPServer("agent-kernel", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR")
    desk = Desk(account, settings, workspace)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    acts = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
    server.add_tool(desk.start_run, annotations=acts)
    server.add_tool(desk.stop_run, annotations=acts)
    for tool in (desk.follow_run, desk.list_runs, desk.show_run):
        server.add_tool(tool, annotations=reads)
    return server


class Desk:
    """The tools; their docstrings are what callers read."""

    def __init__(self, account: Account, settings: Settings, workspace: Path) -> None:
        self._account = account
        self._settings = settings
        self._workspace = workspace

    async def start_run(
        self,
        prompt: str,
        folder: str = ".",
        session: str = "",
        permission: Literal["", "plan", "ask", "accept-edits", "bypass"] = "",
    ) -> dict[str, Any]:
        """Start a run and return at once with its run_id. `folder` is relative to the served one. The same
        `session` name goes on with a conversation; without one a new one begins."""
        with _sentences():
            settings = self._settings
            if permission:
                if PERMISSIONS.index(permission) > PERMISSIONS.index(settings.permission):
                    raise RunError(f"{permission!r} is more than the {settings.permission!r} allowed here.")
                settings = settings.with_overrides("MCP", permission=permission)
            where = await asyncio.to_thread(self._folder, folder)
            found = await self._account.session(session or "mcp", where, new=not session)
            run = await self._account.submit(found, prompt, settings, interactive=False)
            return {"run_id": run.id, "status": run.status, "session": found.name}

    def _folder(self, folder: str) -> Path:
        """Below the served folder, wherever links lead. Raises RunError."""
        try:
            found = (self._workspace / folder).resolve()
        except (ValueError, OSError, RuntimeError):
            raise RunError(f"{folder[:200]!r} is not a folder here.") from None
        if not found.is_relative_to(self._workspace) or not found.is_dir():
            raise RunError(f"{folder[:200]!r} is not a folder here.")
        return found

    async def follow_run(
        self, run_id: str, after: int = 0, wait: Annotated[float, "seconds"] = 60
    ) -> dict[str, Any]:
        """Wait until the run has ended, at most `wait` seconds, and tell what happened after event number `after`:
        its status, the steps, and the answer so far. Give the returned `seq` as the next `after`."""
        with _sentences():
            run = await self._account.get_run(run_id)
            try:
                async with asyncio.timeout(max(0.0, min(wait, LONGEST_WAIT))):
                    async for event in self._account.follow(run.id, deltas=False):
                        if folds.settles(event):
                            break
            except TimeoutError:
                pass
            events = await self._account.read(run.id)
            return {**_summary(run.id, events), "steps": _steps(events, after), "seq": len(events)}

    async def list_runs(self, limit: int = 20) -> dict[str, Any]:
        """The newest runs: id, status, prompt."""
        with _sentences():
            runs = await self._account.list_runs(limit=max(1, min(limit, MOST_RUNS)))
            return {
                "runs": [
                    {
                        "run_id": run.id,
                        "status": run.status,
                        "prompt": run.prompt[:200],
                        "created_ms": run.created_ms,
                    }
                    for run in runs
                ]
            }

    async def show_run(self, run_id: str) -> str:
        """The whole transcript of a run, as Markdown."""
        with _sentences():
            from agent_kernel.tools.output import cap
            from agent_kernel.transcript import to_markdown

            text = await asyncio.to_thread(to_markdown, await self._account.read(run_id))
            return cap(text, MOST_TEXT)[0]

    async def stop_run(self, run_id: str) -> dict[str, Any]:
        """Stop a run in good order."""
        with _sentences():
            run = await self._account.get_run(run_id)
            await self._account.control(run.id, "cancel")
            async with asyncio.timeout(LONGEST_WAIT):
                await self._account.app.wait(run.id)
            return _summary(run.id, await self._account.read(run.id))


class _sentences:  # noqa: N801 - used as a statement
    """Our errors reach the caller in their own words; anything else stays inside."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, AgentKernelError):
            from mcp.server.mcpserver.exceptions import ToolError

            raise ToolError(str(error)) from None


def _summary(run_id: str, events: list[Event]) -> dict[str, Any]:
    last = folds.last_status(events)
    return {
        "run_id": run_id,
        "status": last.status,
        "reason": last.reason,
        "final": last.status in FINAL_STATUSES,
        "answer": folds.answer(events)[:MOST_TEXT],
        "files": [{"path": file.path, "action": file.action} for file in folds.files(events)],
        "cost_usd": folds.cost(events),
    }


def _steps(events: list[Event], after: int) -> list[str]:
    """A line for each thing that happened; the newest when there are too many."""
    lines = []
    for event in events:
        match event:
            case _ if event.seq <= after:
                pass
            case ToolCall():
                lines.append(f"{event.seq}: calls {event.tool}")
            case FileChange():
                lines.append(f"{event.seq}: {event.action} {event.path}")
            case Message(role="assistant"):
                lines.append(f"{event.seq}: says {event.text[:200]}")
            case Status():
                lines.append(f"{event.seq}: {event.status} {event.reason}")
    return lines[-MOST_STEPS:]
