"""The kernel of a notebook that a person has open beside the panel: reached through that page, while it is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent_kernel.errors import ToolError
from agent_kernel.events import Output
from agent_kernel.tools.base import ToolOutput
from agent_kernel.tools.notebook.pages import Asks, refuse

LOOK, WORK = 30.0, 600.0
"""Seconds for a look at variables, and for code or a table; then it is interrupted."""


@dataclass(frozen=True, slots=True)
class PageKernel:
    """A `KernelBridge`. `notebook` is where the file is on this machine, `workspace` the folder the run works in."""

    pages: Asks
    owner: str
    notebook: Path
    workspace: Path

    async def run(self, code: str, emit: Callable[[str], None]) -> ToolOutput:
        """What the code prints comes when it has ended."""
        return await self._ask(WORK, do="run", code=code)

    async def variables(self, names: Sequence[str]) -> ToolOutput:
        return await self._ask(LOOK, do="variables", names=list(names))

    async def export(self, name: str, stem: str) -> ToolOutput:
        return await self._ask(WORK, do="export", name=name, stem=stem)

    async def import_table(self, path: str, name: str, *, replace: bool = False) -> ToolOutput:
        return await self._ask(WORK, do="import", path=path, name=name, replace=replace)

    async def _ask(self, within: float, **asked: Any) -> ToolOutput:
        """Raises ToolError where the page does not do it."""
        asked |= {"workspace": str(self.workspace)}
        answer = await self.pages.ask(self.owner, self.notebook, "kernel", within, asked=asked)
        if answer is None:
            raise ToolError(
                f"{self.notebook.name} is not open in JupyterLab any more, and its kernel is reached only there.",
                hint="Go on without, or ask the person to open it.",
            )
        refuse(answer)
        try:
            return ToolOutput(
                content=list(answer["content"]),
                is_error=bool(answer["is_error"]),
                outputs=[Output.model_validate(shown) for shown in answer["outputs"]],
                truncated_bytes=int(answer["truncated_bytes"]),
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise ToolError(f"The kernel's answer cannot be read: {type(error).__name__}.") from error
