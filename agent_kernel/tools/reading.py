"""`read_file`: text with line numbers, or an image."""

from __future__ import annotations

import base64
import difflib
import posixpath
from collections.abc import AsyncIterator

from agent_kernel.errors import SandboxError, SandboxNotFound, ToolError
from agent_kernel.events import Json
from agent_kernel.sandbox.base import FileInfo, Sandbox
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.images import MOST_BYTES, image_block, media_type, problem
from agent_kernel.tools.output import line_of

LINES, MOST_LINE = 2_000, 2_000
PIECE = 1 << 20
KEPT = 4 * MOST_LINE


async def run(args: Json, context: ToolContext) -> ToolOutput:
    path = args["path"]
    info = await existing(context.sandbox, path)
    if info.kind == "dir":
        raise ToolError(f"{path} is a folder.", hint="Use list_files.")
    head = await context.sandbox.read(path, limit=8192)
    if media := media_type(head):
        return await _image(path, media, context)
    if b"\0" in head:
        raise ToolError(
            f"{path} is a binary file of {info.size:,} bytes.", hint="Use python or bash to look into it."
        )
    return await _text(path, args.get("offset", 1), args.get("limit", LINES), context)


async def existing(sandbox: Sandbox, path: str) -> FileInfo:
    """What is at `path`, symlinks followed by the reading itself. Raises ToolError with names that are near."""
    try:
        return await sandbox.stat(path)
    except SandboxNotFound:
        raise ToolError(f"There is no file {path}.", hint=await _near(sandbox, path)) from None


async def _near(sandbox: Sandbox, path: str) -> str:
    folder, name = posixpath.split(path)
    try:
        names = [entry.name for entry in await sandbox.list_dir(folder or ".")]
    except SandboxError:
        return f"The folder {folder} is not there either. Use list_files."
    near = difflib.get_close_matches(name, names[:5000], 3, 0.5)
    shown = [line_of(found) for found in near or names[:8]]
    return f"There is: {', '.join(shown)}." if shown else "The folder is empty."


async def _image(path: str, media: str, context: ToolContext) -> ToolOutput:
    data = await context.sandbox.read(path, limit=MOST_BYTES + 1)
    block = image_block(base64.b64encode(data).decode())
    if block is None:
        raise ToolError(
            f"{path} is an image ({media}) that cannot be shown: {problem(data)}.",
            hint="Make a smaller or a new copy with python.",
        )
    return ToolOutput(content=[block])


async def _text(path: str, first: int, count: int, context: ToolContext) -> ToolOutput:
    """Read piece by piece up to the wanted lines: a file of gigabytes is never held."""
    lines: list[str] = []
    number, size, more = 0, 0, False
    async for line, length in _lines(path, context.sandbox):
        number += 1
        if number < first:
            continue
        if len(lines) >= count or size > context.max_output:
            more = True
            break
        text = line_of(line.removesuffix(b"\r").decode("utf-8", "replace"))
        if length > len(line) or len(text) > MOST_LINE:
            text = f"{text[:MOST_LINE]}… (a line of {length:,} bytes)"
        lines.append(f"{number:>6}\t{text}")
        size += len(text) + 8
    if not lines:
        text = f"{path} is empty." if number == 0 else f"{path} has only {number:,} lines."
        return ToolOutput.text(text, is_error=bool(number))
    if more:
        lines.append(f"… there is more; go on with offset {first + len(lines)}.")
    return ToolOutput.text("\n".join(lines))


async def _lines(path: str, sandbox: Sandbox) -> AsyncIterator[tuple[bytes, int]]:
    """Each line's beginning (as much of it as can be shown) and its length in bytes."""
    offset, line, length = 0, b"", 0
    while piece := await sandbox.read(path, offset, PIECE):
        offset += len(piece)
        *ended, open_ = piece.split(b"\n")
        for part in ended:
            yield line + part[: KEPT - len(line)], length + len(part)
            line, length = b"", 0
        line, length = line + open_[: KEPT - len(line)], length + len(open_)
    if length:
        yield line, length


READ_FILE = Tool(
    name="read_file",
    description=(
        "Read a text file of the workspace, with line numbers, or look at an image (PNG, JPEG, GIF, WebP). "
        "Read a file before you edit it. For data files prefer `python`: it can aggregate."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "Relative to the notebook's folder."},
            "offset": {"type": "integer", "minimum": 1, "description": "First line, from 1."},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": LINES,
                "description": f"Lines (default {LINES}).",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    access="read",
    run=run,
    describe=lambda args: f"Read {args.get('path')}",
    summary="Read a file",
)
