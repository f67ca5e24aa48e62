"""`notebook_python`: code in the person's own kernel, executed by the cell."""

from __future__ import annotations

from agent_kernel.errors import ToolError
from agent_kernel.events import CodeGeneration, Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput


async def run(args: Json, context: ToolContext) -> ToolOutput:
    if context.kernel is None:
        raise ToolError("There is no notebook kernel here.", hint="Use python, which runs in the sandbox.")
    output = await context.kernel.run(args["code"], context.emit)
    output.events.append(CodeGeneration(language="python", code=args["code"], call_id=context.call_id))
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
)
