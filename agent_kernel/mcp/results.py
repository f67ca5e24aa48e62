"""What a tool of a server gave, as blocks for the model: marked as data from outside, and no more than it can use."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Sequence
from typing import Any

from agent_kernel.events import Json
from agent_kernel.tools.base import ToolContext, ToolOutput
from agent_kernel.tools.images import image_block
from agent_kernel.tools.output import cap, line_of, plain

MOST_BLOCKS, MOST_IMAGES, MOST_SAVED = 60, 8, 8


async def tool_output(
    server: str, result: Any, context: ToolContext, complaint: str = "", resources: Sequence[Any] = ()
) -> ToolOutput:
    """`result` is the SDK's `CallToolResult`, `resources` contents of its kind. Files are kept in the sandbox and
    named. `complaint` takes the place of a structured result that is not what it should be."""
    made = _Output(context)
    for block in result.content[:MOST_BLOCKS]:
        await made.take(block)
    for resource in resources[:MOST_BLOCKS]:
        await made.resource(resource)
    if len(result.content) > MOST_BLOCKS:
        made.text(f"({len(result.content) - MOST_BLOCKS} more parts were left out.)")
    if complaint:
        made.text(complaint)
    elif result.structured_content is not None:
        made.structured(result.structured_content)
    return await made.output(source_of(server), is_error=bool(result.is_error))


def source_of(server: str) -> str:
    """How text of this server is named where it is marked."""
    return f"the MCP server {server}"


class _Output:
    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._blocks: list[Json] = []
        self._images = self._saved = 0

    def text(self, text: str) -> None:
        self._blocks.append({"type": "text", "text": plain(text)})

    def structured(self, value: Any) -> None:
        """Servers repeat it as text for those that cannot read it: once is enough."""
        for block in self._blocks:
            if block["type"] == "text" and _same(block["text"], value):
                return
        self.text(json.dumps(value, ensure_ascii=False, indent=1))

    async def take(self, block: Any) -> None:
        match block.type:
            case "text":
                self.text(block.text)
            case "image":
                await self._picture(block.data, block.mime_type)
            case "audio":
                await self._keep(block.data, block.mime_type)
            case "resource_link":
                about = f": {line_of(block.description)}" if block.description else ""
                self.text(f"Resource {line_of(block.name)}{about}\n{line_of(str(block.uri))}")
            case "resource":
                await self.resource(block.resource)
            case other:
                self.text(f"(A part of a kind not known here: {line_of(str(other))[:60]}.)")

    async def resource(self, resource: Any) -> None:
        self.text(f"Resource {line_of(str(resource.uri))}")
        if hasattr(resource, "text"):
            self.text(resource.text)
        else:
            await self._picture(resource.blob, resource.mime_type or "")

    async def _picture(self, encoded: str, media: str) -> None:
        image = image_block(encoded) if media.startswith("image/") else None
        if image is not None and self._images < MOST_IMAGES:
            self._images += 1
            self._blocks.append(image)
        else:
            await self._keep(encoded, media)

    async def _keep(self, encoded: str, media: str) -> None:
        """What the model cannot see goes to a file that its tools can."""
        kind = line_of(media)[:60] or "unknown kind"
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            self.text(f"(A file of {kind} that is not valid base64 was left out.)")
            return
        if self._saved >= MOST_SAVED:
            self.text(f"(Another file of {kind}, {len(data):,} bytes, was left out.)")
            return
        self._saved += 1
        ending = (mimetypes.guess_extension(media.split(";")[0]) or ".bin").removeprefix(".")
        path = self._context.output_file(f"{self._saved}.{ending}")
        await self._context.sandbox.write(path, data)
        self.text(f"(A file of {kind}, {len(data):,} bytes, is kept at {path}.)")

    async def output(self, source: str, *, is_error: bool) -> ToolOutput:
        texts = [block["text"] for block in self._blocks if block["type"] == "text"]
        room, left_out, path = self._context.max_output, 0, None
        if sum(map(len, texts)) > room:
            path = self._context.output_file()
            await self._context.sandbox.write(path, "\n\n".join(texts).encode("utf-8", "replace"))
        content: list[Json] = []
        for block in self._blocks:
            if block["type"] == "text":
                text, cut = cap(block["text"], max(200, room), path or "")
                room, left_out = room - len(text), left_out + cut
                block = {"type": "text", "text": text or " "}
            content.append(block)
        if not self._blocks:
            content.append({"type": "text", "text": "(no output)"})
        return ToolOutput(
            content=content,
            is_error=is_error,
            truncated_bytes=left_out,
            output_path=path if left_out else None,
            foreign=source,
        )


def _same(text: str, value: Any) -> bool:
    """Whether `text` says `value`; servers put what is no object under the one name `result`."""
    inner = value["result"] if isinstance(value, dict) and set(value) == {"result"} else value
    if isinstance(inner, str):
        return text == plain(inner)
    try:
        return json.loads(text) in (value, inner)
    except (ValueError, RecursionError):
        return False
