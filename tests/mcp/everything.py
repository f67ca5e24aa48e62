"""A real MCP server with tools of every kind, good and bad. As a program: `everything.py [http PORT]`."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
READS = ToolAnnotations(read_only_hint=True)
server = MCPServer("everything")


@server.tool(annotations=READS)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(annotations=READS)
def environment(name: str) -> str:
    """A variable of the server's environment."""
    return os.environ.get(name, "(not set)")


@server.tool(annotations=READS)
def whereabouts() -> str:
    """The server's folder and process."""
    return f"{Path.cwd()} {os.getpid()}"


@server.tool()
def write(path: str, text: str) -> str:
    """Write a file."""
    Path(path).write_text(text, encoding="utf-8")
    return f"wrote {path}"


@server.tool(annotations=READS, structured_output=False)
def picture() -> list[Any]:
    """A caption and a picture."""
    return ["a red dot", Image(data=PNG, format="png")]


@server.tool(annotations=READS)
def parts() -> CallToolResult:
    """Parts of every kind."""
    blob = base64.b64encode(b"\0\1\2 binary").decode()
    return CallToolResult(
        content=[
            TextContent(text="first\x1b[31m"),
            AudioContent(data=base64.b64encode(b"RIFF....WAVE").decode(), mime_type="audio/wav"),
            ResourceLink(name="notes", uri="note://1", description="a note"),
            EmbeddedResource(resource=TextResourceContents(uri="note://2", text="embedded text")),
            EmbeddedResource(
                resource=BlobResourceContents(uri="note://3", blob=blob, mime_type="application/zip")
            ),
        ],
        structured_content={"deep": {"value": [1, 2]}},
    )


@server.resource("note://{number}")
def note(number: str) -> str:
    return f"The note number {number}."


@server.tool(annotations=READS)
def fetch(url: str) -> str:
    """A page of the web, or why it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return str(page.read(1000))
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


@server.tool(annotations=READS)
def refuse() -> str:
    """Fails, and says why."""
    raise ToolError("the moon is in the wrong phase")


@server.tool(annotations=READS)
async def hang() -> str:
    """Never answers."""
    await asyncio.sleep(3600)
    return "never"


@server.tool(annotations=READS)
async def steps(ctx: Context) -> str:
    """Tells how far it is."""
    for step in range(3):
        await ctx.report_progress(step + 1, 3, f"step {step + 1}")
    return "done"


@server.tool(annotations=READS)
def die() -> str:
    """Takes the server down."""
    os._exit(7)


@server.tool(annotations=READS)
def large(bytes: int) -> str:  # noqa: A002 - the tool's argument
    """A long text."""
    return "0123456789" * (bytes // 10) + "THE END"


@server.tool(annotations=READS)
async def grow(ctx: Context) -> str:
    """The server gets one more tool."""
    number = len(await server.list_tools())

    def newcomer() -> str:
        """Fresh from the press."""
        return "a new tool's answer"

    server.add_tool(newcomer, name=f"newcomer_{number}", annotations=READS)
    await ctx.notify_tools_changed()
    return "grown"


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        server.run("streamable-http", port=int(sys.argv[2]))
    else:
        server.run("stdio")
