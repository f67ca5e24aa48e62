"""One server: connected when it is first needed, connected anew when it has died, and never waited for without end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from agent_kernel._version import __version__
from agent_kernel.errors import AgentKernelError, SettingsError, ToolError
from agent_kernel.events import Json
from agent_kernel.mcp.asking import Asking
from agent_kernel.mcp.config import ServerConfig
from agent_kernel.mcp.declared import Declared, declared
from agent_kernel.mcp.wire import Program
from agent_kernel.tools.base import Asker
from agent_kernel.tools.output import line_of

MOST_TOOLS, MOST_PAGES = 1_000, 50
FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0
PATIENCE = 5.0
"""Seconds a call waits for a server that is to be tried again soon."""
HANGS = 2
"""So many calls without an answer, one after the other, and the server is started anew."""
CLOSING = 10.0
DIED = "{name} died during this call ({why}). Whether it did anything is not known. The next call starts it again."


class ServerFailed(ToolError):
    """A server that cannot be reached, or is no MCP server."""


class LoginNeeded(ServerFailed):
    """The server wants a person to log in first."""


class Connection:
    """`open_way()` gives a transport of the SDK, as a context manager, each time a connection is made."""

    def __init__(self, config: ServerConfig, open_way: Callable[[], Any]) -> None:
        self.config = config
        self.problem = ""
        self._open_way = open_way
        self._client: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._connecting = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._tools: list[Declared] = []
        self._stale = True
        self._failures = 0
        self._not_before = 0.0
        self._hung = 0
        self._refused: LoginNeeded | None = None
        self._asking = Asking(config.name)

    @property
    def state(self) -> str:
        """`connected`, `failed`, or `idle` when nobody needed it yet (or it is being connected)."""
        return "connected" if self._client is not None else "failed" if self.problem else "idle"

    @property
    def wants_login(self) -> bool:
        """The last attempt ended with the server's wish that a person logs in."""
        return self._client is None and self._refused is not None

    @property
    def known(self) -> list[Declared]:
        """Its tools as they were last listed."""
        return self._tools

    def relist(self) -> None:
        """List its tools anew when they are next needed; one that failed is tried again at once."""
        self._stale, self._not_before = True, 0.0

    async def tools(self) -> list[Declared]:
        """Its tools now. Raises ServerFailed with the reason in words."""
        since = time.monotonic()
        client = await self._connected()
        async with self._listing:
            if self._stale:
                self._stale = False
                left = self.config.start_timeout - (time.monotonic() - since)
                try:
                    async with asyncio.timeout(max(1.0, left)):
                        found = await self._list(client)
                except BaseException as error:
                    self._stale = True
                    raise self._failed(error) from error
                # Rebuilding a thousand schemas takes a while: not on the loop.
                self._tools = await asyncio.to_thread(lambda: list(declared(self.config.name, found)))
        return self._tools

    async def _list(self, client: Any) -> list[Any]:
        if client.server_capabilities.tools is None:
            return []
        found: list[Any] = []
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) >= MOST_TOOLS:
                break
        return found[:MOST_TOOLS]

    async def call(
        self, tool: str, args: Json, *, seconds: float, emit: Callable[[str], None], ask: Asker
    ) -> Any:
        """The SDK's `CallToolResult`; `ask` hears what the server asks the person meanwhile. Raises ToolError with
        words for the model."""
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

        async def progress(done: float, total: float | None, message: str | None) -> None:
            share = f"{done:g}/{total:g}" if total else f"{done:g}"
            emit(f"{share} {line_of(message or '')[:200]}\n")

        client, keeper = await self._connected(), self._keeper
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=args))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds) as clock:

                def stopped(waiting: bool) -> None:
                    clock.reschedule(None if waiting else loop.time() + seconds)

                with self._asking.during(ask, emit, stopped):
                    result = await self._send(client, request, CallToolResult, progress)
        except TimeoutError:
            await self._hang()
            raise ToolError(f"{self.config.name} gave no answer to {tool} within {seconds:g} s.") from None
        except Exception as error:
            raise await self._call_failed(keeper, error) from error
        self._hung = 0
        return result

    @staticmethod
    async def _send(client: Any, request: Any, kind: Any, progress: Any) -> Any:
        """Not `call_tool`: that checks the result against a schema which may never end."""
        return await client.session.send_request(request, kind, progress_callback=progress)

    async def read(self, uri: str, *, seconds: float) -> Any:
        """The SDK's `ReadResourceResult`. Raises ToolError with words for the model."""
        client, keeper = await self._connected(), self._keeper
        try:
            async with asyncio.timeout(seconds):
                return await client.read_resource(uri, cache_mode="bypass")
        except TimeoutError:
            raise ToolError(f"{self.config.name} did not give {uri} within {seconds:g} s.") from None
        except Exception as error:
            raise await self._call_failed(keeper, error) from error

    async def _hang(self) -> None:
        self._hung += 1
        if self._hung >= HANGS:
            self._hung = 0
            await self.close()

    async def _call_failed(self, keeper: asyncio.Task[None] | None, error: Exception) -> ToolError:
        """An answer that is an error, or an end of the connection: the two are told apart."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED
        from pydantic import ValidationError

        name = self.config.name
        if isinstance(error, ValidationError):
            return ToolError(f"{name} answered with something that is not a tool's result.")
        lost = isinstance(error, MCPError) and (
            error.code == CONNECTION_CLOSED or error.message == "Session terminated"
        )
        if isinstance(error, MCPError) and not lost:
            return ToolError(f"{name} says: {line_of(error.message)[:1_000]}")
        if self._keeper is keeper:  # not one that somebody else's call has started since
            await self.close()
        if self._refused is not None:
            return self._refused
        return ToolError(DIED.format(name=name, why=self.problem or reason(error)))

    # -- the connection --------------------------------------------------------------------------------

    async def _connected(self) -> Any:
        """The SDK's client. Whoever needs it first connects; the others wait for the same."""
        async with self._connecting:
            if self._client is None:
                wait = self._not_before - time.monotonic()
                if wait > PATIENCE:
                    raise ServerFailed(
                        f"{self.config.name} is not there: {self.problem}. It is tried again in {wait:.0f} s.",
                        hint="Do without it.",
                    )
                await asyncio.sleep(max(0.0, wait))
                await self._connect()
            return self._client

    async def _connect(self) -> None:
        if "mcp" not in _imported:  # it takes most of a second: not on the loop
            await asyncio.to_thread(_import)
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(ready, self._stop))
        try:
            async with asyncio.timeout(self.config.start_timeout):
                self._client = await asyncio.shield(ready)
        except BaseException as error:
            self._keeper.cancel()
            await self._end()
            raise self._failed(error) from error
        self.problem, self._failures, self._stale, self._refused = "", 0, True, None

    async def _keep(self, ready: asyncio.Future[Any], stop: asyncio.Event) -> None:
        """Hold the connection in a task of its own, as the SDK's scopes want it, until it ends or is to end."""
        from mcp import Client
        from mcp.types import Implementation

        client: Any = None
        way: Any = None
        try:
            way = self._open_way()
            async with contextlib.AsyncExitStack() as stack:
                client = await stack.enter_async_context(
                    Client(
                        way,
                        client_info=Implementation(name="agent-kernel", version=__version__),
                        message_handler=self._heard,
                        elicitation_callback=self._asking.asked,
                        cache=None,
                    )
                )
                listening = asyncio.create_task(self._listen(client))
                try:
                    ready.set_result(client)
                    await _first(stop, way.over if isinstance(way, Program) else None)
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
            self.problem = _ended(way)
        except Exception as error:
            self.problem = _ended(way) or reason(error)
            self._refused = _login(error)
            if not ready.done():
                ready.set_exception(self._refused or ServerFailed(self.problem))
                ready.exception()  # whoever waits sees it
        finally:
            if self._client is client:
                self._client = None

    async def _heard(self, message: Any) -> None:
        """What a server says unasked; only that its tools have changed matters, and they are listed when needed."""
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._stale = True

    async def _listen(self, client: Any) -> None:
        """Servers of the newer protocol tell of changes to those who listen."""
        from mcp_types.version import MODERN_PROTOCOL_VERSIONS

        tools = client.server_capabilities.tools
        if client.protocol_version in MODERN_PROTOCOL_VERSIONS and tools is not None and tools.list_changed:
            with contextlib.suppress(Exception):
                async with client.listen(tools_list_changed=True) as events:
                    async for _ in events:
                        self._stale = True

    def _failed(self, error: BaseException) -> BaseException:
        """Remember why, and for how long it is left alone: twice as long each time."""
        if isinstance(error, asyncio.CancelledError):
            return error
        why = error.message if isinstance(error, ServerFailed) else reason(error)
        if isinstance(error, TimeoutError):
            why = f"it was not ready within {self.config.start_timeout:g} s"
        self.problem = why
        self._failures += 1
        self._not_before = time.monotonic() + min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._failures - 1))
        if isinstance(error, LoginNeeded):
            return error
        return ServerFailed(
            f"{self.config.name} is not there: {why}.", hint="Do without it, or ask the person."
        )

    async def _end(self) -> None:
        keeper, self._keeper, self._client = self._keeper, None, None
        if keeper is None:
            return
        self._stop.set()
        done, _ = await asyncio.wait({keeper}, timeout=CLOSING)
        if not done:
            keeper.cancel()
            await asyncio.wait({keeper}, timeout=CLOSING)

    async def close(self) -> None:
        await self._end()


def _ended(way: Any) -> str:
    """Why a program is no longer there; empty while it is, or when there is none."""
    return str(way.ended) if isinstance(way, Program) and way.over.is_set() else ""


async def _first(*events: asyncio.Event | None) -> None:
    """Until one of the events is set."""
    tasks = [asyncio.create_task(event.wait()) for event in events if event is not None]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


_imported: set[str] = set()


def _import() -> None:
    """The SDK, without its way of logging what servers send: our errors say it in words."""
    try:
        importlib.import_module("mcp")
    except ImportError as error:
        raise ServerFailed(
            f"MCP servers need the library mcp 2 ({error}).", hint='pip install "agent-kernel[mcp]"'
        ) from None
    for name in ("mcp", "client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _imported.add("mcp")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _login(error: BaseException) -> LoginNeeded | None:
    return next((leaf for leaf in _leaves(error) if isinstance(leaf, LoginNeeded)), None)


def reason(error: BaseException) -> str:
    """One line of why, out of whatever was raised."""
    leaf = next((leaf for leaf in _leaves(error) if not isinstance(leaf, asyncio.CancelledError)), error)
    if isinstance(leaf, SettingsError):
        return " ".join(filter(None, (leaf.message, leaf.hint))).rstrip(".")
    if isinstance(leaf, AgentKernelError):
        return leaf.message.rstrip(".")
    if type(leaf).__name__ == "ValidationError":
        first = leaf.errors()[0]  # type: ignore[attr-defined]
        return f"what it sent is not valid MCP ({'.'.join(map(str, first['loc']))}: {first['msg']})"[:300]
    if isinstance(leaf, FileNotFoundError):
        return f"there is no program {leaf.filename!r}"
    return line_of(str(leaf))[:300].rstrip(".") or type(leaf).__name__
