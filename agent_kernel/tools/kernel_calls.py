"""Calls that the person's own kernel executes, in this process or (see `remote.py`) in one that hosts no runs."""

from __future__ import annotations

from collections.abc import Callable

from agent_kernel.events import Json
from agent_kernel.tools import notebook_python
from agent_kernel.tools.base import KernelBridge, ToolOutput
from agent_kernel.tools.notebook import frames, variables


async def run_in_kernel(
    tool: str, kernel: KernelBridge, args: Json, call_id: str, emit: Callable[[str], None]
) -> ToolOutput:
    """Carry out a call of one of `KERNEL_TOOLS`."""
    if tool == variables.NOTEBOOK_VARIABLES.name:
        return await variables.look(kernel, args)
    if tool == frames.NOTEBOOK_EXPORT.name:
        return await frames.hand_over(kernel, args)
    if tool == frames.NOTEBOOK_IMPORT.name:
        return await frames.take_back(kernel, args)
    return await notebook_python.run_in(kernel, args, call_id, emit)


KERNEL_TOOLS = (
    notebook_python.NOTEBOOK_PYTHON.name,
    variables.NOTEBOOK_VARIABLES.name,
    frames.NOTEBOOK_EXPORT.name,
    frames.NOTEBOOK_IMPORT.name,
)
