"""`notebook_run`: run cells of the notebook that a person has open, in their own kernel."""

from __future__ import annotations

import asyncio
import json

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.notebook.document import parse
from agent_kernel.tools.notebook.edit import explained
from agent_kernel.tools.notebook.files import ask_page, settle
from agent_kernel.tools.notebook.operations import cell_names, digest, source_of
from agent_kernel.tools.notebook.pages import Refused
from agent_kernel.tools.notebook.read import shown_cells
from agent_kernel.tools.output import line_of

SECONDS, MOST_SECONDS = 120, 580


async def run(args: Json, context: ToolContext) -> ToolOutput:
    path, seconds = args["path"], context.seconds(args.get("timeout", SECONDS))
    cells = [{"cell": said["cell"], "expected": said["expected"]} for said in args["cells"]]
    try:
        answer = await ask_page(path, context, "run", within=seconds + 10, cells=cells, seconds=seconds)
    except Refused as refused:
        raise explained(refused, context) from None
    if answer is None:
        raise _closed(path)
    document = await asyncio.to_thread(parse, json.dumps(answer.get("notebook")), path)
    names = [str(name) for name in answer.get("ran", [])]
    if not names:
        raise ToolError(
            f"No cell was run: {line_of(str(answer.get('problem', 'the page does not say why')))}"
        )
    shown = await asyncio.to_thread(shown_cells, document.notebook, path, names, context)
    shown.content[0]["text"] = f"{_said(names, cells, answer)}\n{shown.content[0]['text']}"
    return shown


async def show(args: Json, context: ToolContext) -> str:
    """The code that would run. Raises ToolError where a cell is not there or not as the model has read it."""
    path, wanted = args["path"], [said["cell"] for said in args["cells"]]
    answer = await ask_page(path, context, "read", cells=wanted)
    if answer is None:
        raise _closed(path)
    document = await asyncio.to_thread(parse, json.dumps(answer.get("notebook")), path)
    sources = dict(
        zip(cell_names(document.notebook), map(source_of, document.notebook["cells"]), strict=True)
    )
    parts = []
    for said in args["cells"]:
        cell, source = said["cell"], sources.get(said["cell"])
        if source is None:
            raise ToolError(
                f"There is no cell {cell!r} in {path}.", hint="Read the notebook again to see its cells."
            )
        if digest(source) != said["expected"]:
            raise explained(
                Refused("", said={"cell": cell, "expected": said["expected"], "source": source}), context
            )
        parts.append(f"# {line_of(path)}, cell {line_of(cell)}:\n{source}")
    return "\n\n".join(parts)


def _closed(path: str) -> ToolError:
    return ToolError(
        f"{path} is not open in JupyterLab, and cells run only there.",
        hint="Ask the person to open it, or try the code with python in the sandbox.",
    )


def _said(names: list[str], cells: list[Json], answer: Json) -> str:
    ran = f"Ran {len(names)} of {len(cells)} cells"
    return f"{ran}; stopped: {line_of(str(answer['problem']))}" if answer.get("problem") else f"{ran}."


def _described(args: Json) -> str:
    cells = args.get("cells")
    names = (
        [str(one.get("cell")) for one in cells if isinstance(one, dict)] if isinstance(cells, list) else []
    )
    return f"Run in your kernel, of {args.get('path')}: {', '.join(names)}"


NOTEBOOK_RUN = Tool(
    name="notebook_run",
    description=(
        "Run cells of a Jupyter notebook that the person has open, in order, in the person's own kernel, and see "
        "their outputs and errors. The person is asked first. Each cell is named with the hash that notebook_read "
        "showed; a cell that was changed since is not run. It stops at the first error."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "Relative to the notebook's folder."},
            "cells": {
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "properties": {
                        "cell": {"type": "string", "description": "The id."},
                        "expected": {"type": "string", "description": "The cell's hash."},
                    },
                    "required": ["cell", "expected"],
                    "additionalProperties": False,
                },
            },
            "timeout": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_SECONDS,
                "description": f"Seconds for all of them (default {SECONDS}); then they are interrupted.",
            },
        },
        "required": ["path", "cells"],
        "additionalProperties": False,
    },
    access="outside",
    run=run,
    describe=_described,
    show=show,
    summary="Run cells of your notebook",
    prepare=settle,
)
