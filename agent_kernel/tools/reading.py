"""`read_file`: text with line numbers, or an image."""

from __future__ import annotations

import base64
import difflib
import posixpath

from agent_kernel.errors import SandboxError, SandboxNotFound, ToolError
from agent_kernel.events import Json
from agent_kernel.sandbox.base import FileInfo, Sandbox
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.output import plain

LINES, MOST_LINE = 2_000, 2_000
PIECE = 1 << 20
MOST_IMAGE = 5 << 20
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


async def run(args: Json, context: ToolContext) -> ToolOutput:
    path = args["path"]
    info = await existing(context.sandbox, path)
    if info.kind == "dir":
        raise ToolError(f"{path} is a folder.", hint="Use list_files.")
    head = await context.sandbox.read(path, limit=8192)
    if media := image_type(head):
        return await _image(path, media, info.size, context)
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
    near = difflib.get_close_matches(name, names, 3, 0.5)
    shown = near or names[:8]
    return f"There is: {', '.join(shown)}." if shown else "The folder is empty."


def image_type(head: bytes) -> str | None:
    """The media type of an image the model can see, by its first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((media for magic, media in _IMAGES.items() if head.startswith(magic)), None)


async def _image(path: str, media: str, size: int, context: ToolContext) -> ToolOutput:
    if size > MOST_IMAGE:
        raise ToolError(f"{path} is an image of {size:,} bytes; at most {MOST_IMAGE:,} can be shown.",
                        hint="Make a smaller copy first.")  # fmt: skip
    data = base64.b64encode(await context.sandbox.read(path)).decode()
    source = {"type": "base64", "media_type": media, "data": data}
    return ToolOutput(content=[{"type": "image", "source": source}])


async def _text(path: str, first: int, count: int, context: ToolContext) -> ToolOutput:
    """Read piece by piece up to the wanted lines: a file of gigabytes is never held."""
    lines: list[str] = []
    number, size, offset, rest, more = 0, 0, 0, b"", False
    while not more:
        piece = await context.sandbox.read(path, offset, PIECE)
        offset += len(piece)
        *whole, rest = (rest + piece).split(b"\n")
        if not piece and rest:
            whole, rest = [rest], b""
        for line in whole:
            number += 1
            if number < first:
                continue
            if len(lines) >= count or size > context.max_output:
                more = True
                break
            text = plain(line.decode("utf-8", "replace"))
            shown = text if len(text) <= MOST_LINE else f"{text[:MOST_LINE]}… ({len(text):,} characters)"
            lines.append(f"{number:>6}\t{shown}")
            size += len(shown) + 8
        if not piece:
            break
        if len(rest) > 64 * PIECE:
            rest = rest[: 64 * PIECE]
    if not lines:
        text = f"{path} is empty." if number == 0 else f"{path} has only {number:,} lines."
        return ToolOutput.text(text, is_error=bool(number))
    if more:
        lines.append(f"… there is more; go on with offset {first + len(lines)}.")
    return ToolOutput.text("\n".join(lines))


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
