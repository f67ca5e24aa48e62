"""What the Messages API makes of a request: whether it is one, and what it counts as.

The real API refuses requests for many small reasons. The scripted one refuses them too, so that a loop
which works here works there.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from hashlib import sha256
from typing import Any

from agent_kernel.events import Json

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_GONE = ("temperature", "top_p", "top_k")
_BYTES_PER_TOKEN = 4
_CONVERSATIONS_KEPT = 512


def refusal(body: Any) -> str | None:
    """Why the API would answer 400 to `body`, or None."""
    if not isinstance(body, dict):
        return "The request body is not valid JSON."
    for name in ("model", "max_tokens", "messages"):
        if not body.get(name):
            return f"{name}: Field required"
    for name in _GONE:
        if name in body:
            return f"{name}: this parameter is no longer supported"
    return _bad_tools(body.get("tools") or []) or _bad_messages(body["messages"])


def _bad_tools(tools: list[Json]) -> str | None:
    for index, tool in enumerate(tools):
        if not _NAME.fullmatch(str(tool.get("name", ""))):
            return f"tools.{index}.name: not a name of a tool"
        if "type" not in tool and tool.get("input_schema", {}).get("type") != "object":
            return f"tools.{index}.input_schema: Field required"
    names = [tool["name"] for tool in tools]
    return None if len(set(names)) == len(names) else "tools: Tool names must be unique."


def _bad_messages(messages: list[Json]) -> str | None:
    if messages[0].get("role") != "user":
        return "messages: first message must use the user role"
    if messages[-1].get("role") != "user" and not _paused(messages[-1]):
        return "messages: this model does not support assistant message prefill"
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks:
            return f"messages.{index}: all messages must have non-empty content"
        for block in blocks:
            if block.get("type") == "text" and not str(block.get("text", "")).strip():
                return f"messages.{index}: text content blocks must be non-empty"
            if block.get("type") == "thinking" and "signature" not in block:
                return f"messages.{index}: thinking.signature: Field required"
        if wrong := _unpaired(message, blocks, waiting):
            return f"messages.{index}: {wrong}"
        waiting = {block["id"] for block in blocks if block.get("type") == "tool_use"}
    return None


def _paused(message: Json) -> bool:
    """An answer that stopped between tools of the provider's own goes on from where it is."""
    last = message["content"][-1] if isinstance(message.get("content"), list) and message["content"] else {}
    return last.get("type") == "server_tool_use" or str(last.get("type", "")).endswith("_tool_result")


def _unpaired(message: Json, blocks: list[Json], waiting: set[str]) -> str | None:
    answered = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
    if missing := waiting - set(answered):
        return f"`tool_use` ids were found without `tool_result` blocks immediately after: {sorted(missing)}"
    if len(answered) != len(set(answered)):
        return "each tool_use must have a single result"
    if unknown := set(answered) - waiting:
        return f"unexpected `tool_use_id` found in `tool_result` blocks: {sorted(unknown)}"
    if answered and blocks[0].get("type") != "tool_result":
        return "tool_result blocks must come first in the content"
    if answered and message.get("role") != "user":
        return "tool_result blocks can only be in user messages"
    return None


def count_tokens(body: Json) -> int:
    return len(_prompt(body)) // _BYTES_PER_TOKEN


class PromptCache:
    """Simulated prompt caching: what a conversation's request shares with the one before is read."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, bytes] = OrderedDict()

    def usage(self, conversation: str, body: Json) -> Json:
        """The `usage` of a `message_start`. Without `cache_control` everything is plain input."""
        prompt = _prompt(body)
        total = max(1, len(prompt) // _BYTES_PER_TOKEN)
        read = written = 0
        if b'"cache_control"' in json.dumps(body).encode():
            key = sha256(f"{conversation}\n{body.get('model')}\n{_opening(body)}".encode()).hexdigest()
            read = min(total, _common_prefix(self._seen.pop(key, b""), prompt) // _BYTES_PER_TOKEN)
            written = max(0, total - read - 3)
            self._seen[key] = prompt
            if len(self._seen) > _CONVERSATIONS_KEPT:
                self._seen.popitem(last=False)
        return {
            "input_tokens": total - read - written,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1,
            "service_tier": "standard",
        }


def _opening(body: Json) -> str:
    return json.dumps([body.get("tools"), body.get("system"), body["messages"][0]])


def _prompt(body: Json) -> bytes:
    """The request in the order the API caches it: tools, system, messages."""
    parts = [body.get("tools"), body.get("system"), *body.get("messages", [])]
    return "\n".join(json.dumps(part) for part in parts).encode()


def _common_prefix(one: bytes, two: bytes) -> int:
    low, high = 0, min(len(one), len(two))
    while low < high:  # bisection: comparing slices is far faster than a loop over bytes
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
