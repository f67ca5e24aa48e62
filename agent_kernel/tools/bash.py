"""`bash`: a command line in the sandbox."""

from __future__ import annotations

import codecs
import shlex
import signal
from contextlib import aclosing
from typing import Any

from agent_kernel.events import Json
from agent_kernel.sandbox.base import Exit
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.output import cap, plain

DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 120, 600
MOST_OUTPUT = 8 << 20
MOST_LIVE = 200_000


async def run(args: Json, context: ToolContext) -> ToolOutput:
    """Standard output and error come as one text, in the order they arrived."""
    if args.get("background"):
        return await _in_background(args["command"], context)
    timeout = context.seconds(args.get("timeout", DEFAULT_TIMEOUT))
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    pieces: list[str] = []
    live, ended = 0, Exit(-9)
    stream = context.sandbox.stream(args["command"], timeout=timeout, max_output=MOST_OUTPUT)
    async with aclosing(stream) as items:  # type: ignore[type-var]
        async for item in items:
            if isinstance(item, Exit):
                ended = item
                break
            text = decode(item.data)
            pieces.append(text)
            if live < MOST_LIVE:
                context.emit(text[: MOST_LIVE - live])
                live += len(text)
    return await _result("".join(pieces), ended, timeout, context)


async def _result(text: str, ended: Exit, timeout: float, context: ToolContext) -> ToolOutput:
    dropped = max(0, ended.dropped - len(ended.tail))
    if ended.dropped:
        text += f"\n… {dropped:,} bytes left out …\n" + ended.tail.decode("utf-8", "replace")
    shown, left_out = plain(text), 0
    path = context.output_file()
    kept: str | None = None
    if len(shown) > context.max_output:
        await context.sandbox.write(path, text.encode("utf-8", "replace"))
        kept = path
        shown, left_out = cap(shown, context.max_output, path, whole=not dropped)
    notes = []
    if ended.timed_out:
        notes.append(f"Stopped after {timeout:g} s. Give a longer timeout, or use background for a server.")
    elif ended.error:
        notes.append(ended.error)
    elif ended.exit_code:
        notes.append(f"Exit code {ended.exit_code}{_signal(ended.exit_code)}")
    body = "\n".join([*([shown.rstrip("\n")] if shown.strip() else []), *notes]) or "(no output)"
    failed = bool(ended.exit_code or ended.timed_out or ended.error)
    return ToolOutput.text(body, is_error=failed, truncated_bytes=left_out + dropped, output_path=kept)


def _signal(code: int) -> str:
    try:
        return f" (killed by {signal.Signals(-code).name})" if code < 0 else ""
    except ValueError:
        return ""


async def _in_background(command: str, context: ToolContext) -> ToolOutput:
    log = context.output_file("log")
    result = await context.sandbox.exec(f"{{ {command}\n}} >{shlex.quote(log)} 2>&1", background=True)
    if result.exit_code or result.error:
        said = await context.sandbox.read(log, limit=context.max_output)
        text = (
            f"It ended at once with exit code {result.exit_code}.\n{plain(said.decode('utf-8', 'replace'))}"
        )
        return ToolOutput.text(text, is_error=True)
    return ToolOutput.text(f"It runs in the background. Its output goes to {log}.", output_path=log)


def describe(args: Json) -> str:
    return str(args.get("command", ""))


def _properties() -> dict[str, Any]:
    return {
        "command": {"type": "string", "minLength": 1, "description": "The command line, run by bash."},
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": LONGEST_TIMEOUT,
            "description": f"Seconds before it is stopped (default {DEFAULT_TIMEOUT}).",
        },
        "background": {
            "type": "boolean",
            "description": "Leave it running, for servers; its output goes to a file.",
        },
    }


BASH = Tool(
    name="bash",
    description=(
        "Run a command line in the sandbox, in the notebook's folder. Each call is a new shell: nothing but "
        "files is kept between calls. Use it for programs and git; for data use `python`, for files the file "
        "tools. Standard output and error come back together, long output cut in the middle."
    ),
    input_schema={
        "type": "object",
        "properties": _properties(),
        "required": ["command"],
        "additionalProperties": False,
    },
    access="sandbox",
    run=run,
    describe=describe,
    summary="Run a command line",
)
