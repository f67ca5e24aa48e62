"""`write_file` and `edit_file`: whole files, and exact replacements in them."""

from __future__ import annotations

import codecs
import difflib
from pathlib import PurePosixPath

from agent_kernel.errors import SandboxNotFound, ToolError
from agent_kernel.events import CodeGeneration, Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.reading import existing

MOST_BYTES = 20 << 20
LANGUAGES = {
    ".py": "python", ".sh": "bash", ".sql": "sql", ".js": "javascript", ".ts": "typescript", ".tsx": "tsx",
    ".jsx": "jsx", ".html": "html", ".css": "css", ".r": "r", ".jl": "julia", ".java": "java", ".c": "c",
    ".cpp": "cpp", ".go": "go", ".rs": "rust", ".rb": "ruby",
}  # fmt: skip


async def write(args: Json, context: ToolContext) -> ToolOutput:
    path, content = args["path"], args["content"]
    try:
        earlier = await context.sandbox.stat(path)
    except SandboxNotFound:
        earlier = None
    if earlier is not None and earlier.kind == "dir":
        raise ToolError(f"{path} is a folder.", hint="Name a file in it.")
    data = content.encode("utf-8", "replace")
    await context.sandbox.write(path, data)
    done = "Wrote" if earlier is None else "Replaced"
    text = f"{done} {path} ({len(data):,} bytes, {_count(content, 'line')})."
    language = LANGUAGES.get(PurePosixPath(path).suffix.lower())
    events = (
        [CodeGeneration(language=language, code=content, path=path, call_id=context.call_id)]
        if language
        else []
    )
    return ToolOutput.text(text, events=list(events))


async def edit(args: Json, context: ToolContext) -> ToolOutput:
    path, old, new = args["path"], args["old_string"], args["new_string"]
    if old == new:
        raise ToolError("old_string and new_string are the same; nothing would change.")
    text, mark = await _load(path, context)
    old, new = _fitting(text, old, new)
    count = text.count(old)
    if count == 0:
        raise ToolError(f"old_string does not occur in {path}.", hint=_hint(text, old))
    if count > 1 and not args.get("replace_all"):
        lines = ", ".join(map(str, _line_numbers(text, old)[:10]))
        raise ToolError(
            f"old_string occurs {count} times in {path} (lines {lines}).",
            hint="Add lines around it until it is unique, or say replace_all.",
        )
    changed = text.replace(old, new)
    await context.sandbox.write(path, mark + changed.encode("utf-8", "replace"))
    where = ", ".join(map(str, _line_numbers(text, old)[:10]))
    return ToolOutput.text(f"Edited {path}: {_count(count, 'replacement')} (line {where}).")


def _fitting(text: str, old: str, new: str) -> tuple[str, str]:
    """Both with the line ends of the place they are for: the model sees and writes plain ones."""
    ends = text.count("\r\n")
    mixed = ends < text.count("\n")
    return (old, new) if not ends or (mixed and old in text) else (_windows(old), _windows(new))


def _windows(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _count(what: str | int, name: str) -> str:
    number = len(what.splitlines()) if isinstance(what, str) else what
    return f"{number:,} {name}" + "s" * (number != 1)


async def _load(path: str, context: ToolContext) -> tuple[str, bytes]:
    """The text as it stands, and its byte order mark. Refuses what an edit would damage."""
    info = await existing(context.sandbox, path)
    if info.kind == "dir":
        raise ToolError(f"{path} is a folder.")
    # The read is bounded, not the size that was told: a link has its own, and files grow.
    data = await context.sandbox.read(path, limit=MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ToolError(
            f"{path} has more than {MOST_BYTES:,} bytes, too many to edit.", hint="Use python or bash."
        )
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    try:
        text = data[len(mark) :].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ToolError(
            f"{path} is not UTF-8 text (byte {error.start:,}).", hint="Use python to change it."
        ) from None
    if "\0" in text:
        raise ToolError(f"{path} is a binary file.", hint="Use python to change it.")
    return text, mark


def _line_numbers(text: str, old: str) -> list[int]:
    found, start = [], text.find(old)
    while start >= 0:
        found.append(text.count("\n", 0, start) + 1)
        start = text.find(old, start + len(old))
    return found


def _hint(text: str, old: str) -> str:
    """Why an exact match failed, as far as it can be told."""
    squeezed = " ".join(old.split())
    if squeezed and squeezed in " ".join(text.split()):
        return "It is there with other white space: copy it exactly, without line numbers."
    first = next((line for line in old.splitlines() if line.strip()), "")
    near = difflib.get_close_matches(first, text.splitlines()[:20_000], 1, 0.6)
    if near:
        number = text.splitlines().index(near[0]) + 1
        return f"Nearest is line {number}: {near[0].strip()[:200]!r}. Read the file again."
    return "Read the file again; it may have changed."


def _schema(properties: Json, *required: str) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_PATH = {"type": "string", "minLength": 1, "description": "Relative to the notebook's folder."}
WRITE_FILE = Tool(
    name="write_file",
    description=(
        "Create a file, or replace all of it; its folders are made. To change a part of a file use `edit_file`."
    ),
    input_schema=_schema({"path": _PATH, "content": {"type": "string"}}, "path", "content"),
    access="sandbox",
    run=write,
    describe=lambda args: f"Write {args.get('path')}",
    summary="Write a file",
)
EDIT_FILE = Tool(
    name="edit_file",
    description=(
        "Replace text in a file: `old_string` must occur exactly once, white space included (or say "
        "`replace_all`). Read the file first; leave out the line numbers that reading shows."
    ),
    input_schema=_schema(
        {
            "path": _PATH,
            "old_string": {"type": "string", "minLength": 1},
            "new_string": {"type": "string"},
            "replace_all": {"type": "boolean"},
        },
        "path",
        "old_string",
        "new_string",
    ),
    access="sandbox",
    run=edit,
    describe=lambda args: f"Edit {args.get('path')}",
    summary="Change a part of a file",
)
