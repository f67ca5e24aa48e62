"""DataFrames between the person's kernel and the sandbox: `notebook_export` hands one over as a file,
`notebook_import` makes a file a variable."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.errors import ToolError
from agent_kernel.events import Event, Json
from agent_kernel.mentions import named
from agent_kernel.tools.base import KernelBridge, Tool, ToolContext, ToolOutput

FOLDER = "agent-data"
"""In the workspace: what was handed over."""
NAME: Json = {"type": "string", "pattern": r"^[A-Za-z_]\w*$", "maxLength": 100}


async def export(args: Json, context: ToolContext) -> ToolOutput:
    return await hand_over(_kernel(context), args)


async def bring(args: Json, context: ToolContext) -> ToolOutput:
    return await take_back(_kernel(context), args)


async def hand_over(kernel: KernelBridge, args: Json) -> ToolOutput:
    """Carry out a `notebook_export` in `kernel`, in this process or the one that hosts no runs."""
    return await kernel.export(args["name"], f"{FOLDER}/{args['name']}")


async def take_back(kernel: KernelBridge, args: Json) -> ToolOutput:
    """Carry out a `notebook_import` in `kernel`."""
    return await kernel.import_table(args["path"], args["name"], replace=bool(args.get("replace")))


def _kernel(context: ToolContext) -> KernelBridge:
    if context.kernel is None:
        raise ToolError("There is no notebook kernel here.")
    return context.kernel


def _named(args: Json, events: Sequence[Event]) -> bool:
    return args.get("name") in named(events)


def _importing(args: Json) -> str:
    what = "Replace the variable" if args.get("replace") else "Make the variable"
    return f"{what} {args.get('name')} in your kernel from {args.get('path')}"


NOTEBOOK_EXPORT = Tool(
    name="notebook_export",
    description=(
        "Hand a DataFrame (pandas or polars) of the person's kernel to the sandbox: writes it whole as a Parquet file "
        f"into `{FOLDER}/` and says how to read it. The person is asked first, unless a prompt names it as @name."
    ),
    input_schema={
        "type": "object",
        "properties": {"name": {**NAME, "description": "The variable's name."}},
        "required": ["name"],
        "additionalProperties": False,
    },
    access="outside",
    run=export,
    describe=lambda args: f"Hand the DataFrame {args.get('name')} of your kernel to the sandbox",
    summary="Hand a DataFrame of your kernel to the sandbox",
    in_kernel=True,
    granted=_named,
)

NOTEBOOK_IMPORT = Tool(
    name="notebook_import",
    description=(
        "Make a table from a Parquet, CSV, TSV or JSON-lines file of the notebook's folder a DataFrame in the person's "
        "own kernel, under a name. The person is asked first. Use it when they want a result as a variable."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "maxLength": 1000},
            "name": {**NAME, "description": "The variable's name, such as `monthly_totals`."},
            "replace": {"type": "boolean", "description": "A variable of this name may be overwritten."},
        },
        "required": ["path", "name"],
        "additionalProperties": False,
    },
    access="outside",
    run=bring,
    describe=_importing,
    summary="Make a file a DataFrame of your kernel",
    in_kernel=True,
)
