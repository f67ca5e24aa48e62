"""`list_files` and `search_files`: what is there, and where something stands. Both run a small script inside."""

from __future__ import annotations

import json
from typing import Any

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.output import cap, line_of, plain

MOST_FOUND = 500
TIMEOUT = 30.0
_SCRIPT = r"""
import collections, fnmatch, json, os, re, stat, sys
said = json.loads(sys.argv[1])
skip = {"node_modules", "__pycache__"}
root, pattern, most = said["path"], said.get("glob"), said["most"]
out, more = [], False
if not os.path.exists(root):
    sys.exit("There is no folder or file " + root + ".")
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
            yield entry.path, True
            if depth != 1:
                yield from walk(entry.path, depth - 1)
        else:
            yield entry.path, False
def found():
    if not os.path.isdir(root):
        yield root, root, False
        return
    for path, folder in walk(root, said.get("depth") or 0):
        yield path, os.path.relpath(path, root), folder
def list_all():
    for path, name, folder in found():
        if folder and pattern or not folder and not matches(name):
            continue
        if len(out) >= most:
            return True
        try:
            size = os.lstat(path).st_size
        except OSError:
            size = 0
        out.append([name + "/" * folder, None if folder else size])
    return False
def regular(path):
    # Opened without waiting and asked afterwards: a pipe would wait for ever, a device never end.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError
    return os.fdopen(file, "rb")
def lines_of(file):
    # Line after line, of each no more than its first 100 kB.
    number, goes_on = 0, False
    while piece := file.readline(100_000):
        if not goes_on:
            number += 1
            yield number, piece.rstrip(b"\r\n").decode("utf-8", "replace")
        goes_on = not piece.endswith(b"\n")
def search(name, file, wanted, around):
    before, after = collections.deque(maxlen=around), 0
    for number, line in lines_of(file):
        if wanted.search(line):
            if len(out) >= most:
                return True
            out.extend([name, n, text[:400], False] for n, text in before)
            out.append([name, number, line[:400], True])
            before.clear()
            after = around
        elif after:
            out.append([name, number, line[:400], False])
            after -= 1
        elif around:
            before.append((number, line))
    return False
def search_all():
    wanted = re.compile(said["pattern"])
    for path, name, folder in found():
        if folder or not matches(name):
            continue
        try:
            with regular(path) as file:
                if b"\0" in file.read(8192):
                    continue
                file.seek(0)
                if search(name, file, wanted, said.get("context") or 0):
                    return True
        except OSError:
            continue
    return False
more = list_all() if said["do"] == "list" else search_all()
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
        said_last = plain(result.stderr).strip().rsplit("\n", 1)[-1]
        raise ToolError(result.error or said_last or f"Looking ended with exit code {result.exit_code}.")
    if result.truncated:
        raise ToolError("Too much was found.", hint="Narrow the pattern or the folder.")
    return json.loads(result.stdout)


async def list_files(args: Json, context: ToolContext) -> ToolOutput:
    path = args.get("path", ".")
    answer = await _script(context, do="list", path=path, glob=args.get("pattern"), depth=args.get("depth"))
    if not answer["found"]:
        return ToolOutput.text(f"{path}: nothing there" + (" that fits." if args.get("pattern") else "."))
    lines = [
        line_of(name) if size is None else f"{line_of(name)}  {size:,}" for name, size in answer["found"]
    ]
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
        f"{line_of(name)}:{number}{':' if hit else '-'} {line_of(text)}"
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
    "description": "A folder or file, relative to the notebook's folder (default: all of it).",
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
