"""What the bus says over Redis: JSON in stream entries, written here and believed only as far as it is checked."""

from __future__ import annotations

import json
from typing import Any

from agent_kernel.events import Delta, parse_event

PREFIX = b"agent-kernel:run:"
LARGEST = 1 << 20
"""Bytes of a delta; a larger one is not read."""


def stream_of(run_id: str) -> bytes:
    return PREFIX + run_id.encode()


def run_of(stream: bytes) -> str:
    return stream.removeprefix(PREFIX).decode()


def entry(origin: str, item: int | Delta) -> dict[str, str]:
    """The fields of an entry. `from` lets a bus pass over what it wrote itself."""
    if isinstance(item, Delta):
        return {"from": origin, "delta": item.model_dump_json()}
    return {"from": origin, "head": json.dumps(item)}


def item_of(run_id: str, fields: Any, own: str) -> int | Delta | None:
    """What an entry of another bus says about `run_id`; None for our own and for what is no such entry."""
    if not isinstance(fields, dict) or fields.get(b"from") == own.encode():
        return None
    try:
        if (head := fields.get(b"head")) is not None:
            return _head(json.loads(head[:32]))
        text = fields.get(b"delta", b"")
        return _delta(run_id, json.loads(text)) if 0 < len(text) <= LARGEST else None
    except (ValueError, RecursionError):  # no JSON, JSON of another shape, or nested without end
        return None


def _head(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 53 else None


def _delta(run_id: str, value: Any) -> Delta | None:
    if not isinstance(value, dict) or value.get("type") != "delta":
        return None
    event = parse_event(value)
    return event if isinstance(event, Delta) and event.run_id == run_id and event.seq == 0 else None


def order(position: bytes) -> tuple[int, int]:
    """Positions in a stream (`<milliseconds>-<number>`) as something to compare."""
    milliseconds, _, number = position.partition(b"-")
    return int(milliseconds), int(number or 0)
