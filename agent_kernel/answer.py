"""One answer of the model, put together from the events of its stream.

Blocks are plain JSON, complete, and as the provider gave them: what they hold that is not known here is
kept, because the history sent back must be the same to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import ModelError
from agent_kernel.events import Delta, Json
from agent_kernel.usage import Usage

_TEXT = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_SHOWN: Mapping[str, Any] = {"text_delta": "text", "thinking_delta": "thinking"}


class Answer:
    """Feed it every event of the stream in order; it is whole once `complete`."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.message: Json = {}
        self.stop_reason = ""
        self.complete = False
        self._blocks: dict[int, Json] = {}
        self._parts: dict[tuple[int, str], list[str]] = {}
        self._usage: Json = {}

    def feed(self, event: Json) -> Delta | None:
        """Take in one event; what of it can be shown at once is returned."""
        match event.get("type"):
            case "message_start":
                self.message = event["message"]
                self._usage.update(self.message.get("usage") or {})
            case "content_block_start":
                return self._start(event["index"], event["content_block"])
            case "content_block_delta":
                return self._add(event["index"], event["delta"])
            case "message_delta":
                self.stop_reason = event["delta"].get("stop_reason") or self.stop_reason
                # Totals so far; fields left out (or null) say nothing new.
                said = (event.get("usage") or {}).items()
                self._usage.update({name: value for name, value in said if value is not None})
            case "message_stop":
                self.complete = bool(self.message)
        return None

    def take_whole(self, message: Json) -> None:
        """An endpoint that does not stream sends the message at once."""
        self.message, self.complete = message, True
        self.stop_reason = message.get("stop_reason") or ""
        self._usage = message.get("usage") or {}
        self._blocks = dict(enumerate(message["content"]))

    def blocks(self) -> list[Json]:
        """The finished blocks. A tool call whose input was cut off is left out: it cannot be executed.

        Raises ModelError (retryable) when the input of a tool call that is meant is not a JSON object.
        """
        finished = [self._finished(index) for index in sorted(self._blocks)]
        return [block for block in finished if block is not None]

    def usage(self) -> Usage:
        """Tokens of this one request; `cache_write_tokens` holds those of both lifetimes."""
        created = self._usage.get("cache_creation") or {}
        return Usage(
            input_tokens=self._usage.get("input_tokens") or 0,
            output_tokens=self._usage.get("output_tokens") or 0,
            cache_read_tokens=self._usage.get("cache_read_input_tokens") or 0,
            cache_write_tokens=self._usage.get("cache_creation_input_tokens") or 0,
            cache_write_1h_tokens=created.get("ephemeral_1h_input_tokens") or 0,
            searches=(self._usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
        )

    def _start(self, index: int, block: Json) -> Delta | None:
        self._blocks[index] = block
        if block["type"] in ("tool_use", "server_tool_use"):
            return Delta(kind="input", id=str(index), text="", tool=block["name"], turn=self.turn)
        shown = block.get(block["type"]) if block["type"] in ("text", "thinking") else None
        if shown:
            return Delta(kind=block["type"], id=str(index), text=sound(shown), turn=self.turn)
        return None

    def _add(self, index: int, delta: Json) -> Delta | None:
        kind = delta["type"]
        if kind == "input_json_delta":
            return self._grow(index, "input", delta["partial_json"], "input")
        if kind in _TEXT:
            return self._grow(index, _TEXT[kind], delta[_TEXT[kind]], _SHOWN.get(kind))
        block = self._blocks[index]
        if kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        else:
            self._add_unknown(index, block, delta)
        return None

    def _grow(self, index: int, field: str, part: str, kind: Any) -> Delta | None:
        self._parts.setdefault((index, field), []).append(part)
        if not kind or not part:
            return None
        return Delta(kind=kind, id=str(index), text=sound(part), turn=self.turn)

    def _add_unknown(self, index: int, block: Json, delta: Json) -> None:
        """A delta of a later protocol: strings grow, lists are extended, the rest is replaced."""
        for name, value in delta.items():
            if name == "type":
                continue
            if isinstance(value, str) and isinstance(block.get(name), str | None):
                self._parts.setdefault((index, name), []).append(value)
            elif isinstance(value, list) and isinstance(block.get(name), list):
                block[name] = [*block[name], *value]
            else:
                block[name] = value

    def _finished(self, index: int) -> Json | None:
        block = dict(self._blocks[index])
        for (number, field), parts in self._parts.items():
            if number != index:
                continue
            if field == "input":
                parsed = self._input("".join(parts), block)
                if parsed is None:
                    return None
                block["input"] = parsed
            else:
                block[field] = sound((block.get(field) or "") + "".join(parts))
        return block

    def _input(self, raw: str, block: Json) -> Json | None:
        if not raw.strip():
            return block.get("input") or {}
        try:
            value = json.loads(raw, parse_constant=_refuse_constant)
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value if raw.isascii() and "\\ud" not in raw.lower() else _sound_json(value)
        if self.stop_reason != "tool_use":
            return None
        raise ModelError(
            f"The model's input for the tool {block.get('name')!r} is not a JSON object.",
            kind="invalid_tool_input",
            retryable=True,
        )


def sound(text: str) -> str:
    """`text` without lone surrogates, which no store and no wire can carry; halves of pairs are joined."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _sound_json(value: Any) -> Any:
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, list):
        return [_sound_json(item) for item in value]
    if isinstance(value, dict):
        return {sound(name): _sound_json(item) for name, item in value.items()}
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
