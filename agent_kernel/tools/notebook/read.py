"""`notebook_read`: the cells of a notebook, what they gave and how they failed, without their bulk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.images import image_block
from agent_kernel.tools.notebook.document import parse
from agent_kernel.tools.notebook.files import ask_page, load, remember
from agent_kernel.tools.notebook.operations import cell_names, digest, source_of
from agent_kernel.tools.output import cap, line_of, plain

CELLS = 200
MOST_SOURCE, MOST_OUTPUT, MOST_IMAGES = 6_000, 1_500, 5
CLOSER = 8
"""How many times more is shown of a cell that was asked for by its name."""
TEXTS = ("text/plain", "text/markdown", "text/latex")
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


async def run(args: Json, context: ToolContext) -> ToolOutput:
    path = args["path"]
    opened = await ask_page(path, context, "read", cells=args.get("cells", []))
    if opened is None:
        document, _ = await load(path, context)
    else:  # what comes from a page is looked at like what comes from a file
        document = await asyncio.to_thread(parse, json.dumps(opened.get("notebook")), path)
    return await asyncio.to_thread(_shown, document.notebook, args, context, _place(opened))


def shown_cells(notebook: Json, path: str, names: list[str], context: ToolContext) -> ToolOutput:
    """These cells, closely: what `notebook_run` gives."""
    return _shown(notebook, {"path": path, "cells": names}, context, ", open")


def _place(opened: Json | None) -> str:
    """How the person has it."""
    if opened is None:
        return ""
    return ", open, with changes that are not saved" if opened.get("dirty") else ", open"


def _shown(notebook: Json, args: Json, context: ToolContext, place: str) -> ToolOutput:
    names, closer = cell_names(notebook), CLOSER if args.get("cells") else 1
    chosen = _chosen(names, args)
    lines, images, left = [_head(args["path"], notebook) + place], list[Json](), None
    room = context.max_output - len(lines[0])
    for number in chosen:
        cell = notebook["cells"][number]
        text = _cell(number + 1, names[number], cell, closer, args.get("outputs", True))
        if room < len(text) and len(lines) > 1:
            left = number
            break
        remember(source_of(cell), digest(source_of(cell)), context)
        lines.append(cap(text, max(room, 1_000))[0])
        room -= len(lines[-1]) + 1
        if closer > 1:
            images += _images(cell)[: MOST_IMAGES - len(images)]
    if closer == 1 and left is None and chosen[-1:] and chosen[-1] + 1 < len(names):
        left = chosen[-1] + 1
    if left is not None:
        rest = "name fewer cells" if closer > 1 else f"go on with offset {left + 1}"
        lines.append(f"… there is more; {rest}.")
    return ToolOutput(content=[{"type": "text", "text": "\n".join(lines)}, *images])


def _chosen(names: list[str], args: Json) -> Sequence[int]:
    """Which cells are asked for, from 0. Raises ToolError for those that are not there."""
    if wanted := args.get("cells"):
        if unknown := [name for name in wanted if name not in names]:
            raise ToolError(
                f"{args['path']} has no cell {', '.join(map(repr, unknown))}.",
                hint=f"Its cells are: {', '.join(map(line_of, names[:50])) or 'none'}.",
            )
        return [names.index(name) for name in wanted]
    first = args.get("offset", 1) - 1
    if first and first >= len(names):
        raise ToolError(f"{args['path']} has only {len(names):,} cells.")
    return range(first, min(len(names), first + args.get("limit", CELLS)))


def _head(path: str, notebook: Json) -> str:
    metadata = notebook.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    kernel = line_of(str(spec.get("name", "?"))) if isinstance(spec, dict) else "not chosen"
    count = len(notebook["cells"])
    version = f"{notebook['nbformat']}.{notebook['nbformat_minor']}"
    return f"{path}: {count:,} cell{'s' * (count != 1)}, kernel {kernel[:80]}, format {version}"


def _cell(number: int, name: str, cell: Json, closer: int, with_outputs: bool) -> str:
    source = source_of(cell)
    state = _state(cell)
    head = f"[{number}] {cell['cell_type']}, id {line_of(name)}, hash {digest(source)}{state}"
    parts = [head, *_quoted(_brief(source, MOST_SOURCE * closer, _visible))]
    if with_outputs:
        for output in _outputs(cell):
            parts += _output(output, MOST_OUTPUT * closer)
    return "\n".join(parts)


def _state(cell: Json) -> str:
    if cell["cell_type"] != "code":
        return ""
    count = cell.get("execution_count")
    ran = f", In [{count}]" if isinstance(count, int) else ", not run"
    failed = any(output.get("output_type") == "error" for output in _outputs(cell))
    return f"{ran}, FAILED" if failed else ran


def _outputs(cell: Json) -> list[Json]:
    outputs = cell.get("outputs")
    return [output for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []


def _output(output: Json, most: int) -> Iterable[str]:
    """Its kind, then its text; of what is not text only the size."""
    match output.get("output_type"):
        case "stream":
            yield f"· {line_of(str(output.get('name', 'stream')))}"
            yield from _quoted(_brief(_joined(output.get("text")), most))
        case "error":
            yield f"· error {line_of(str(output.get('ename')))}: {line_of(str(output.get('evalue')))}"[:500]
            traceback = output.get("traceback")
            lines = map(str, traceback) if isinstance(traceback, list) else ()
            yield from _quoted(_brief("\n".join(lines), most * 2))
        case kind:
            data = output.get("data")
            forms = data if isinstance(data, dict) else {}
            rest = [f"{line_of(mime)} ({_size(value):,} characters)" for mime, value in forms.items()]
            yield f"· {line_of(str(kind))}: {', '.join(rest)[:500] or 'nothing'}"
            told = next((_joined(forms[mime]) for mime in TEXTS if mime in forms), "")
            yield from _quoted(_brief(told, most))


def _images(cell: Json) -> list[Json]:
    found = []
    for output in _outputs(cell):
        forms = output.get("data")
        if not isinstance(forms, dict):
            continue
        for mime in IMAGES:
            if block := image_block("".join(_joined(forms.get(mime)).split())):
                found.append(block)
                break
    return found


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _size(value: Any) -> int:
    return len(_joined(value)) if isinstance(value, str | list) else len(json.dumps(value))


def _brief(text: str, most: int, clean: Callable[[str], str] = plain) -> str:
    """Head and tail, without what is not text. An output of megabytes is cut before it is looked at."""
    return cap(clean(cap(text, 20 * most)[0]), most)[0]


def _visible(source: str) -> str:
    return "\n".join(line_of(line) for line in source.split("\n"))


def _quoted(text: str) -> Sequence[str]:
    """Each line behind a bar, so that no cell can look like the next one."""
    return [f"| {line}" for line in text.split("\n")] if text else []


NOTEBOOK_READ = Tool(
    name="notebook_read",
    description=(
        "Read a Jupyter notebook (.ipynb): its cells with their ids and hashes, outputs and errors. Long outputs "
        "are cut and pictures left out; name a cell in `cells` to see all of it, pictures too. A notebook that the "
        "person has open in JupyterLab is read as it stands there, saved or not."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "Relative to the notebook's folder."},
            "cells": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": 50,
                "description": "Only these, by id, and more of each.",
            },
            "offset": {"type": "integer", "minimum": 1, "description": "First cell, from 1."},
            "limit": {"type": "integer", "minimum": 1, "maximum": CELLS},
            "outputs": {"type": "boolean", "description": "Whether to show outputs (default true)."},
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    access="read",
    run=run,
    describe=lambda args: f"Read the notebook {args.get('path')}",
    summary="Read a notebook",
)
