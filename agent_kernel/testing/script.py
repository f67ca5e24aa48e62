"""What a scripted model says: the items of a turn, and how they look on the wire.

A turn is a list of items or one `HttpError`. `Text`, `Thinking`, `Redacted`, `ToolUse` and `AnyBlock`
become content blocks; the others are what goes wrong, or unusual, between them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from agent_kernel.events import Json


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    chunks: int = 0
    """How many deltas; 0 lets the server's `chunk_chars` decide."""


@dataclass(frozen=True, slots=True)
class Thinking:
    text: str
    signature: str = "c2lnbmVk"


@dataclass(frozen=True, slots=True)
class Redacted:
    data: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    input: Json = field(default_factory=dict)
    id: str = ""
    raw: str | None = None
    """The input as sent, when it is not to be the JSON of `input` (truncated, malformed)."""


@dataclass(frozen=True, slots=True)
class AnyBlock:
    """A whole block in its `content_block_start`, then `deltas`: for types the client does not know."""

    block: Json
    deltas: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class AnyEvent:
    """An event of any type (`{"type": …}`) between the blocks."""

    event: Json


@dataclass(frozen=True, slots=True)
class SseError:
    """An error inside a stream that began with status 200."""

    kind: str = "overloaded_error"
    message: str = "Overloaded"


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection closes in the middle of the body."""


@dataclass(frozen=True, slots=True)
class Eof:
    """The body ends properly, but without `message_stop`."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing is sent for `seconds`, or until the client hangs up."""

    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Stop:
    """The turn's stop reason, when it is not `tool_use` or `end_turn` as the blocks imply."""

    reason: str


@dataclass(frozen=True, slots=True)
class HttpError:
    """Refused before the stream begins."""

    status: int
    kind: str = "api_error"
    message: str = "Scripted error"
    headers: Mapping[str, str] = field(default_factory=dict)


Item: TypeAlias = (
    Text | Thinking | Redacted | ToolUse | AnyBlock | AnyEvent | SseError | Drop | Eof | Stall | Stop
)
Turn: TypeAlias = Sequence[Item] | HttpError
Default: TypeAlias = Callable[[Json], Turn]
Step: TypeAlias = bytes | Drop | Eof | Stall

_ids = itertools.count(1)


def new_id(kind: str) -> str:
    """An id as the API gives them: `msg_00000001`, `toolu_00000002`."""
    return f"{kind}_{next(_ids):08d}"


def sse(data: Json) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def blocks_of(turn: Sequence[Item]) -> list[Json]:
    """The turn's content blocks, complete, as a request that does not stream gets them."""
    return [block for block in map(_block, turn) if block is not None]


def stop_reason(turn: Sequence[Item]) -> str:
    said = [item.reason for item in turn if isinstance(item, Stop)]
    tools = any(isinstance(item, ToolUse) for item in turn)
    return said[-1] if said else "tool_use" if tools else "end_turn"


def output_tokens(turn: Sequence[Item]) -> int:
    return 3 + len(json.dumps(blocks_of(turn))) // 4


def stream(turn: Sequence[Item], message: Json, chunk_chars: int) -> Iterator[Step]:
    """The turn as steps for the server: bytes to send, and what to do between them."""
    yield sse({"type": "message_start", "message": message}) + sse({"type": "ping"})
    index = -1
    for item in turn:
        match item:
            case Stop():
                continue
            case Drop() | Eof():
                yield item
                return
            case Stall():
                yield item
            case SseError():
                yield sse({"type": "error", "error": {"type": item.kind, "message": item.message}})
                yield Eof()
                return
            case AnyEvent():
                yield sse(item.event)
            case _:
                index += 1
                yield from _stream_block(item, index, chunk_chars)
    delta = {"stop_reason": stop_reason(turn), "stop_sequence": None}
    yield sse({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens(turn)}})
    yield sse({"type": "message_stop"})


def _block(item: Item) -> Json | None:
    match item:
        case Text():
            return {"type": "text", "text": item.text}
        case Thinking():
            return {"type": "thinking", "thinking": item.text, "signature": item.signature}
        case Redacted():
            return {"type": "redacted_thinking", "data": item.data}
        case ToolUse():
            return {
                "type": "tool_use",
                "id": item.id or new_id("toolu"),
                "name": item.name,
                "input": item.input,
            }
        case AnyBlock():
            return item.block
        case _:
            return None


def _stream_block(item: Item, index: int, chunk_chars: int) -> Iterator[bytes]:
    block = _block(item)
    assert block is not None
    deltas: list[Json] = []
    match item:
        case Text():
            size = -(-len(item.text) // item.chunks) if item.chunks else chunk_chars
            deltas = [{"type": "text_delta", "text": part} for part in _parts(item.text, size)]
            block = {**block, "text": ""}
        case Thinking():
            deltas = [{"type": "thinking_delta", "thinking": p} for p in _parts(item.text, chunk_chars)]
            deltas.append({"type": "signature_delta", "signature": item.signature})
            block = {**block, "thinking": "", "signature": ""}
        case ToolUse():
            raw = json.dumps(item.input) if item.raw is None else item.raw
            deltas = [
                {"type": "input_json_delta", "partial_json": p} for p in ("", *_parts(raw, chunk_chars))
            ]
            block = {**block, "input": {}}
        case AnyBlock():
            deltas = list(item.deltas)
        case _:
            pass
    yield sse({"type": "content_block_start", "index": index, "content_block": block})
    for delta in deltas:
        yield sse({"type": "content_block_delta", "index": index, "delta": delta})
    yield sse({"type": "content_block_stop", "index": index})


def _parts(text: str, size: int) -> list[str]:
    return [text[start : start + max(1, size)] for start in range(0, len(text), max(1, size))]
