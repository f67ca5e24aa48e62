"""`notebook_variables`: what there is in the person's own kernel, without running code of the model's."""

from __future__ import annotations

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import KernelBridge, Tool, ToolContext, ToolOutput


async def run(args: Json, context: ToolContext) -> ToolOutput:
    if context.kernel is None:
        raise ToolError("There is no notebook kernel here.")
    return await look(context.kernel, args)


async def look(kernel: KernelBridge, args: Json) -> ToolOutput:
    """Carry out a call in `kernel`, in this process or the one that hosts no runs."""
    return await kernel.variables(args.get("names", ()))


NOTEBOOK_VARIABLES = Tool(
    name="notebook_variables",
    description=(
        "List the variables in the person's own kernel: names, types, shapes, columns with their dtypes; never "
        "their values. The person is not asked. To compute with them use `notebook_python`."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "names": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "maxItems": 100,
                "description": "Only these; without it all.",
            },
        },
        "additionalProperties": False,
    },
    access="read",
    run=run,
    describe=lambda args: f"Look at the variables {', '.join(map(str, args.get('names', ())))}".rstrip(),
    summary="List the variables of your kernel",
    in_kernel=True,
)
