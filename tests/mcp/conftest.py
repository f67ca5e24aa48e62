"""A switchboard: a session's servers on a real sandbox, configured as a person does it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.events import Json
from agent_kernel.mcp.config import Configuration
from agent_kernel.mcp.servers import McpServers
from agent_kernel.mcp.tools import session_tools
from agent_kernel.sandbox import open_sandbox
from agent_kernel.tools import run_tool, tools_by_name
from agent_kernel.tools.base import ToolContext, ToolOutput
from tests.ports import free_port

EVERYTHING = Path(__file__).with_name("everything.py")
HOSTILE = Path(__file__).with_name("hostile.py")
THINKS = 30.0


os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
"""The person's own keyring is none of the tests' business."""


class Switchboard:
    """`call` calls a server's tool by `mcp_call`, as the model does."""

    def __init__(self, servers: McpServers, configuration: Configuration, kept: Path, address: str) -> None:
        self.servers, self.configuration, self.kept, self.address = servers, configuration, kept, address
        self.hidden: list[str] = []
        self.live: list[str] = []
        self.asked: list[str] = []
        self.answer = False
        self._calls = 0

    def add(self, name: str, **said: Any) -> None:
        self.configuration.add(name, said)

    def add_everything(self, name: str = "everything", **said: Any) -> None:
        """The server of `everything.py`, over HTTP: one for all tests."""
        self.add(name, url=self.address, **said)

    def add_sandboxed(self, name: str = "everything", **said: Any) -> None:
        """The same in the sandbox, one of its own."""
        (self.servers.workspace / "everything.py").write_bytes(EVERYTHING.read_bytes())
        self.add(name, command="python3", args=["everything.py"], **said)

    def add_hostile(self, what: str, name: str = "bad", *, on_host: bool = False, **said: Any) -> None:
        """One of the programs of `hostile.py`."""
        (self.servers.workspace / "hostile.py").write_bytes(HOSTILE.read_bytes())
        where: dict[str, Any] = {"command": "python3"}
        if on_host:
            where = {"command": sys.executable, "trusted": "host"}
        self.add(name, **where, args=["hostile.py", what], **said)

    async def tools(self) -> list[Any]:
        chosen, self.notes = await self.servers.chosen(self.kept)
        return session_tools(self.servers, chosen)

    async def prefix(self) -> list[Json]:
        return [tool.param() for tool in await self.tools()]

    async def run(self, name: str, /, within: float = 60.0, most: int = 30_000, **args: Any) -> ToolOutput:
        self._calls += 1
        assert self.servers.sandbox is not None
        context = ToolContext(
            run_id="run", call_id=f"call-{self._calls}", sandbox=self.servers.sandbox, emit=self.live.append,
            ask=self.ask, state={}, timeout=within, max_output=most,
        )  # fmt: skip
        return await run_tool(tools_by_name(await self.tools()), name, args, context)

    async def ask(self, *, scope: str, what: str, reason: str) -> bool:
        """A person who thinks longer than calls may take, and says `answer`."""
        self.asked.append(f"{what} | {reason}")
        later(THINKS)
        await asyncio.sleep(0.05)
        return self.answer

    async def call(self, tool: str, /, server: str = "everything", **args: Any) -> ToolOutput:
        return await self.run("mcp_call", server=server, tool=tool, arguments=args)

    async def text(self, tool: str, /, **args: Any) -> str:
        output = await self.call(tool, **args)
        assert not output.is_error, said(output)
        return said(output)

    async def error(self, tool: str, /, **args: Any) -> str:
        output = await self.call(tool, **args)
        assert output.is_error, said(output)
        return said(output)


def later(seconds: float) -> None:
    """The running loop's clock goes ahead: who waits for no longer than that has waited."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


def said(output: ToolOutput) -> str:
    return "\n".join(block["text"] for block in output.content if block["type"] == "text")


@pytest.fixture
async def board(workspace: Path, tmp_path: Path, everything_http: str) -> AsyncIterator[Switchboard]:
    configuration = Configuration(tmp_path / "data", "me")
    hidden: list[str] = []
    servers = McpServers(
        configuration, workspace, hide=hidden.extend, environ={"SECRET_TOKEN": "s3cr3t-of-the-host"}
    )
    async with await open_sandbox(workspace=workspace, data_dir=tmp_path / "boxes") as sandbox:
        servers.sandbox = sandbox
        made = Switchboard(servers, configuration, tmp_path / "tools.json", everything_http)
        made.hidden = hidden
        yield made
        await servers.close()


@pytest.fixture(scope="session")
def everything_http() -> Iterator[str]:
    """The address of `everything.py`, on streamable HTTP."""
    with listening(EVERYTHING, "http") as address:
        yield address


@pytest.fixture(scope="session")
def guarded_http() -> Iterator[str]:
    """The address of `guarded.py`, where one logs in."""
    with listening(Path(__file__).with_name("guarded.py")) as address:
        yield address


@contextlib.contextmanager
def listening(program: Path, *args: str) -> Iterator[str]:
    """A server of ours in a process of its own; its address."""
    port = free_port()
    command = [sys.executable, str(program), *args, str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()  # told to end, it would wait for whoever still listens
        process.wait()
