"""A desk: a real sandbox with the tools on it, called as the runner calls them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.tools import builtin_tools, run_tool, tools_by_name
from agent_kernel.tools.base import KernelBridge, Tool, ToolContext, ToolOutput
from agent_kernel.tools.browser.tools import BROWSER_TOOLS


class Desk:
    """`call` runs one tool; `live` holds what it showed while it worked."""

    def __init__(self, sandbox: Sandbox, workspace: Path) -> None:
        self.sandbox, self.workspace = sandbox, workspace
        self.tools = dict(tools_by_name([*builtin_tools(kernel=True), *BROWSER_TOOLS]))
        self.state: dict[str, Any] = {}
        self.live: list[str] = []
        self.kernel: KernelBridge | None = None
        self._calls = 0
        self._shown = asyncio.Event()

    def context(self, **options: Any) -> ToolContext:
        self._calls += 1
        call_id = f"call-{self._calls}"
        return ToolContext(
            run_id="run", call_id=call_id, sandbox=self.sandbox, emit=self._emit, ask=self._nobody,
            state=self.state, kernel=self.kernel, **options,
        )  # fmt: skip

    async def call(self, name: str, within: float = 60, most: int = 30_000, /, **args: Any) -> ToolOutput:
        return await run_tool(self.tools, name, args, self.context(timeout=within, max_output=most))

    async def text(self, name: str, /, **args: Any) -> str:
        """What the model reads of a call that worked."""
        output = await self.call(name, **args)
        assert not output.is_error, said(output)
        return said(output)

    async def error(self, name: str, /, **args: Any) -> str:
        """What the model reads of a call that failed."""
        output = await self.call(name, **args)
        assert output.is_error, said(output)
        return said(output)

    async def cut_off(self, name: str, /, **args: Any) -> tuple[str, float]:
        """What the model reads of a call that makes the file `begun` and goes on until its timeout, and that timeout:
        on a slow machine it has not always begun within the first."""
        for seconds in (0.5, 5.0, 50.0):
            text = await self.error(name, **args, timeout=seconds)
            if (self.workspace / "begun").exists():
                return text, seconds
        raise AssertionError(text)

    def add(self, tool: Tool) -> None:
        self.tools[tool.name] = tool

    async def shows(self, text: str) -> None:
        """Until a running call has shown `text`."""
        async with asyncio.timeout(60):
            while text not in "".join(self.live):
                self._shown.clear()
                await self._shown.wait()

    def _emit(self, text: str) -> None:
        self.live.append(text)
        self._shown.set()

    async def close(self) -> None:
        for value in self.state.values():
            if hasattr(value, "close"):
                await value.close()

    async def _nobody(self, *, scope: str, what: str, reason: str) -> bool:
        return False


def said(output: ToolOutput) -> str:
    return "\n".join(block["text"] for block in output.content if block["type"] == "text")


@pytest.fixture
async def desk(workspace: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    async with await open_sandbox(workspace=workspace, data_dir=tmp_path / "data") as sandbox:
        desk = Desk(sandbox, workspace)
        yield desk
        await desk.close()
