"""`notebook_edit`: insert, edit, move and delete cells. A cell a person has changed meanwhile is not touched."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import asdict, replace
from uuid import uuid4

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.notebook.document import Document
from agent_kernel.tools.notebook.files import ask_page, load, problem, remember, save, settle, shown
from agent_kernel.tools.notebook.operations import (
    Operation,
    Stale,
    apply,
    cell_names,
    digest,
    source_of,
)
from agent_kernel.tools.notebook.pages import Refused
from agent_kernel.tools.output import cap, line_of

MOST_SHOWN = 6_000
NEEDED = {
    "insert": ("source",),
    "edit": ("cell", "expected", "source"),
    "move": ("cell", "expected", "after"),
    "delete": ("cell", "expected"),
}


async def run(args: Json, context: ToolContext) -> ToolOutput:
    path = args["path"]
    operations = [_operation(number, said) for number, said in enumerate(args["operations"], 1)]
    if (done := await _in_page(path, operations, context)) is not None:
        return ToolOutput.text("\n".join([f"Changed {path}, which is open before the person:", *done]))
    document, earlier = await load(path, context)
    text, told = await asyncio.to_thread(_changed, path, document, operations, context)
    await save(path, text, earlier, context)
    return ToolOutput.text("\n".join([f"Changed {path}:", *told]))


async def _in_page(path: str, operations: list[Operation], context: ToolContext) -> list[str] | None:
    """A line about each operation, done in the page that has the notebook open; None when it is closed."""
    said = [asdict(operation) for operation in operations]
    try:
        answer = await ask_page(path, context, "edit", operations=said)
    except Refused as refused:
        raise explained(refused, context) from None
    if answer is None:
        return None
    told = [
        _done(operation, done, context) for operation, done in zip(operations, answer["done"], strict=True)
    ]
    if answer.get("problem"):
        told.append(f"The document is changed, but not saved: {line_of(str(answer['problem']))}")
    return told


def _done(operation: Operation, done: Json, context: ToolContext) -> str:
    if operation.op == "delete":
        return _gone(operation)
    at, count = int(done["at"]), int(done["count"])
    return _line(operation, str(done["cell"]), at, count, str(done["source"]), context)


def explained(refused: Refused, context: ToolContext) -> ToolError:
    """Why a page did not do it; of a cell that was changed meanwhile, what has changed."""
    if "source" not in refused.said:
        return ToolError(f"{refused.message} Nothing was done.", hint=refused.hint)
    cell, expected = str(refused.said.get("cell")), str(refused.said.get("expected"))
    return ToolError(_what_changed(Stale(cell, expected, str(refused.said["source"])), context))


def _operation(number: int, said: Json) -> Operation:
    """What the model has said, complete. Raises ToolError with what is missing."""
    missing = [name for name in NEEDED[said["op"]] if name not in said]
    if missing:
        raise ToolError(
            f"Operation {number} ({said['op']}) needs {', '.join(missing)}; nothing was changed.",
            hint="`cell` and `expected` are the id and the hash that notebook_read shows.",
        )
    return Operation(
        op=said["op"],
        cell=uuid4().hex[:8] if said["op"] == "insert" else said["cell"],
        expected=said.get("expected", ""),
        source=said.get("source", ""),
        cell_type=said.get("cell_type", "code"),
        after=said.get("after"),
    )


def _changed(
    path: str, document: Document, operations: list[Operation], context: ToolContext
) -> tuple[str, list[str]]:
    """The file's new text, and a line about each operation. Raises ToolError; then nothing is written."""
    notebook = document.notebook
    if len(operations) > 1 and any(name.startswith("#") for name in cell_names(notebook)):
        raise ToolError(
            f"Cells of {path} have no ids of their own, and their numbers change with each operation.",
            hint="Give one operation at a time.",
        )
    told = []
    for operation in operations:
        while operation.op == "insert" and operation.cell in cell_names(notebook):
            operation = replace(operation, cell=uuid4().hex[:8])
        before = notebook
        try:
            notebook = apply(before, operation)
        except Stale as stale:
            raise ToolError(_what_changed(stale, context)) from None
        told.append(_told(operation, before, notebook, context))
    if fault := problem(notebook):
        raise ToolError(
            f"{path} would not be a valid notebook: {line_of(fault)[:300]}. Nothing was changed.",
            hint=""
            if problem(document.notebook) == ""
            else "It is not valid as it stands: let the person open and save it in Jupyter.",
        )
    return document.render(notebook), told


def _told(operation: Operation, before: Json, after: Json, context: ToolContext) -> str:
    if operation.op == "delete":
        return _gone(operation)
    at, names = _place(operation, before, after), cell_names(after)
    return _line(operation, names[at], at, len(names), source_of(after["cells"][at]), context)


def _gone(operation: Operation) -> str:
    return f"- deleted {line_of(operation.cell)}"


def _line(operation: Operation, name: str, at: int, count: int, source: str, context: ToolContext) -> str:
    """What was done, and how the cell is named and hashed now."""
    remember(source, digest(source), context)
    done = {"insert": f"inserted {operation.cell_type} cell", "edit": "edited", "move": "moved"}[operation.op]
    return f"- {done} {line_of(name)}, now [{at + 1}] of {count}, hash {digest(source)}"


def _place(operation: Operation, before: Json, after: Json) -> int:
    """Where the cell is now. Cells that were not changed are the same objects as before."""
    known = {id(cell) for cell in before["cells"]}
    for at, cell in enumerate(after["cells"]):
        if id(cell) not in known:
            return at
    moved = before["cells"][cell_names(before).index(operation.cell)]
    return next(at for at, cell in enumerate(after["cells"]) if cell is moved)


def _described(args: Json) -> str:
    """The one line of an approval: what is done to which cells."""
    operations = args.get("operations")
    said = operations if isinstance(operations, list) else []
    done = ", ".join(
        f"{one.get('op')} {one.get('cell', '')}".strip() for one in said if isinstance(one, dict)
    )
    return f"Change {args.get('path')}: {done}"


def _what_changed(stale: Stale, context: ToolContext) -> str:
    """For the model: the difference to what it has seen, or else what there is now."""
    seen = shown(stale.expected, context)
    remember(stale.source, digest(stale.source), context)
    if seen is None:
        now = cap(stale.source, MOST_SHOWN)[0]
        return f"{stale} Nothing was changed. It says now:\n{now}"
    lines = difflib.unified_diff(
        seen.splitlines(), stale.source.splitlines(), "as you read it", "as it is now", lineterm=""
    )
    diff = cap("\n".join(lines), MOST_SHOWN)[0]
    return f"{stale} Nothing was changed. What has changed:\n{diff}"


def _shown(args: Json) -> str:
    """Text of cells that a page shows without running anything; what an edited cell is, only the notebook knows."""
    return "\n".join(
        str(said.get("source", ""))
        for said in args["operations"]
        if said.get("cell_type", "markdown") != "code"
    )


NOTEBOOK_EDIT = Tool(
    name="notebook_edit",
    description=(
        "Change cells of a Jupyter notebook (.ipynb): insert, edit (the whole source), move, delete. Use this, "
        "never edit_file, for notebooks. Each change of an existing cell names the hash that notebook_read showed; "
        "when a person has changed the cell since, nothing is done and you see what changed. All operations of a "
        "call are done, in order, or none. A notebook that the person has open changes before their eyes; each changed "
        "cell shows its diff, which they accept or reject. Outputs stay as they are until the cell is run."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "Relative to the notebook's folder."},
            "operations": {
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "properties": {
                        "op": {"enum": ["insert", "edit", "move", "delete"]},
                        "cell": {"type": "string", "description": "The id; not for insert."},
                        "expected": {"type": "string", "description": "The cell's hash; not for insert."},
                        "source": {"type": "string", "description": "For insert and edit."},
                        "cell_type": {"enum": ["code", "markdown", "raw"], "description": "For insert."},
                        "after": {
                            "type": "string",
                            "description": (
                                "For insert and move: the id of the cell before it; an empty string puts it "
                                "first. An insertion without it goes to the end."
                            ),
                        },
                    },
                    "required": ["op"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["path", "operations"],
        "additionalProperties": False,
    },
    access="sandbox",
    run=run,
    describe=_described,
    summary="Change cells of a notebook",
    shown=_shown,
    prepare=settle,
)
