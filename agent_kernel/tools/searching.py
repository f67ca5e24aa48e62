"""`list_files` and `search_files`: what is there, and where something stands. Both run a small script inside."""

from __future__ import annotations

import json
from typing import Any

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.output import cap, plain

MOST_FOUND = 500
TIMEOUT = 30.0
_SCRIPT = r"""
import fnmatch, json, os, re, sys
said = json.loads(sys.argv[1])
skip = {"node_modules", "__pycache__"}
root, pattern, most = said["path"], said.get("glob"), said["most"]
if not os.path.exists(root):
    sys.exit("There is no folder " + root + ".")
def matches(path):
    return not pattern or fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(os.path.basename(path), pattern)
def walk(top, depth):
    try:
        entries = sorted(os.scandir(top), key=lambda e: e.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in skip:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield entry, True
            if depth != 1:
                yield from walk(entry.path, depth - 1)
        else:
            yield entry, False
out, more = [], False
if said["do"] == "list":
    for entry, folder in walk(root, said.get("depth") or 0):
        path = os.path.relpath(entry.path, root)
        if folder and pattern or not folder and not matches(path):
            continue
        if len(out) >= most:
            more = True
            break
        try:
            size = entry.stat(follow_symlinks=False).st_size
        except OSError:
            size = 0
        out.append([path + "/" * folder, None if folder else size])
else:
    wanted = re.compile(said["pattern"])
    around = said.get("context") or 0
    files = [root] if os.path.isfile(root) else (e.path for e, folder in walk(root, 0) if not folder)
    for path in files:
        name = os.path.relpath(path, root) if path != root else path
        if not matches(name):
            continue
        try:
            if os.path.getsize(path) > 50_000_000:
                continue
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        if b"\0" in data[:8192]:
            continue
        lines = data.decode("utf-8", "replace").splitlines()
        shown = set()
        for number, line in enumerate(lines):
            if wanted.search(line[:5000]):
                for near in range(max(0, number - around), min(len(lines), number + around + 1)):
                    if near not in shown:
                        shown.add(near)
                        out.append([name, near + 1, lines[near][:400], near == number])
                if len(out) >= most:
                    more = True
                    break
        if more:
            break
print(json.dumps({"found": out, "more": more}))
"""


async def _script(tool: ToolContext, **said: Any) -> Any:
    command = ["python3", "-I", "-c", _SCRIPT, json.dumps({**said, "most": MOST_FOUND})]
    result = await tool.sandbox.exec(command, timeout=TIMEOUT, max_output=4 << 20)
    if result.timed_out:
        raise ToolError(
            f"Looking took longer than {TIMEOUT:.0f} s.", hint="Name a smaller folder or a simpler pattern."
        )
    if result.exit_code:
        raise ToolError(result.error or plain(result.stderr).strip().splitlines()[-1])
    return json.loads(result.stdout)


async def list_files(args: Json, context: ToolContext) -> ToolOutput:
    path = args.get("path", ".")
    answer = await _script(context, do="list", path=path, glob=args.get("pattern"), depth=args.get("depth"))
    if not answer["found"]:
        return ToolOutput.text(f"{path}: nothing there" + (" that fits." if args.get("pattern") else "."))
    lines = [plain(name) if size is None else f"{plain(name)}  {size:,}" for name, size in answer["found"]]
    if answer["more"]:
        lines.append(f"… more than {MOST_FOUND}; name a folder or a pattern.")
    return _capped("\n".join(lines), context)


async def search_files(args: Json, context: ToolContext) -> ToolOutput:
    import re

    try:
        re.compile(args["pattern"])
    except re.error as error:
        raise ToolError(f"{args['pattern']!r} is not a regular expression: {error}.") from None
    answer = await _script(
        context, do="search", pattern=args["pattern"], path=args.get("path", "."), glob=args.get("glob"),
        context=args.get("context"),
    )  # fmt: skip
    if not answer["found"]:
        return ToolOutput.text("Nothing was found.")
    lines = [
        f"{plain(name)}:{number}{':' if hit else '-'} {plain(text)}"
        for name, number, text, hit in answer["found"]
    ]
    if answer["more"]:
        lines.append("… more was found; narrow the pattern or the folder.")
    return _capped("\n".join(lines), context)


def _capped(text: str, context: ToolContext) -> ToolOutput:
    shown, left_out = cap(text, context.max_output)
    return ToolOutput.text(shown, truncated_bytes=left_out)


_PATH = {
    "type": "string",
    "minLength": 1,
    "description": "A folder, relative to the notebook's (default: it).",
}
LIST_FILES = Tool(
    name="list_files",
    description="List files with their sizes, folders and all below them. Hidden files are left out.",
    input_schema={
        "type": "object",
        "properties": {
            "path": _PATH,
            "pattern": {"type": "string", "description": "Only names that fit, as `*.csv`."},
            "depth": {"type": "integer", "minimum": 1, "description": "How deep to look (default: all)."},
        },
        "additionalProperties": False,
    },
    access="read",
    run=list_files,
    describe=lambda args: f"List {args.get('path', '.')}",
    summary="List files",
)
SEARCH_FILES = Tool(
    name="search_files",
    description="Search text files for a regular expression (Python's). Gives file, line number and line.",
    input_schema={
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "minLength": 1},
            "path": _PATH,
            "glob": {"type": "string", "description": "Only files that fit, as `*.py`."},
            "context": {
                "type": "integer",
                "minimum": 0,
                "maximum": 20,
                "description": "Lines around each hit.",
            },
        },
        "required": ["pattern"],
        "additionalProperties": False,
    },
    access="read",
    run=search_files,
    describe=lambda args: f"Search for {args.get('pattern')}",
    summary="Search in files",
)
