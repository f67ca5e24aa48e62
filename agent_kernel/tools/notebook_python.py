"""`notebook_python`: code in the person's own kernel, executed by the cell."""

from __future__ import annotations

from collections.abc import Callable

from agent_kernel.errors import ToolError
from agent_kernel.events import CodeGeneration, Json
from agent_kernel.tools.base import KernelBridge, Tool, ToolContext, ToolOutput


async def run(args: Json, context: ToolContext) -> ToolOutput:
    if context.kernel is None:
        raise ToolError("There is no notebook kernel here.", hint="Use python, which runs in the sandbox.")
    return await run_in(context.kernel, args, context.call_id, context.emit)


async def run_in(kernel: KernelBridge, args: Json, call_id: str, emit: Callable[[str], None]) -> ToolOutput:
    """Run the code of a call in `kernel`, in this process or (see `remote.py`) the one that hosts no runs."""
    output = await kernel.run(args["code"], emit)
    output.events.append(CodeGeneration(language="python", code=args["code"], call_id=call_id))
    return output


NOTEBOOK_PYTHON = Tool(
    name="notebook_python",
    description=(
        "Run Python in the person's own kernel, with their variables, outside the sandbox. The person is asked "
        "first. Use it only for their variables; for everything else use `python`."
    ),
    input_schema={
        "type": "object",
        "properties": {"code": {"type": "string", "minLength": 1}},
        "required": ["code"],
        "additionalProperties": False,
    },
    access="outside",
    run=run,
    describe=lambda args: str(args.get("code", "")),
    summary="Run Python in your kernel",
    in_kernel=True,
)
