"""What the supervisor is asked and answers about commands, wherever it runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from agent_kernel.sandbox.base import Command, ExecResult, Exit, Stderr, Stdout


def what(command: Command) -> dict[str, Any]:
    return {"command": command} if isinstance(command, str) else {"argv": list(command)}


def exit_of(payload: bytes) -> Exit:
    said = json.loads(payload)
    return Exit(
        exit_code=said["code"],
        duration_ms=said.get("ms", 0),
        timed_out=said.get("timed_out", False),
        dropped=said.get("dropped", 0),
        tail=said.get("tail", "").encode("latin-1"),
        error=said.get("error", ""),
    )


async def collect(stream: AsyncIterator[Stdout | Stderr | Exit]) -> ExecResult:
    """A whole stream as one result."""
    out, err, last = bytearray(), bytearray(), Exit(-9)
    async with aclosing(stream) as items:  # type: ignore[type-var]
        async for item in items:
            match item:
                case Stdout(data):
                    out += data
                case Stderr(data):
                    err += data
                case Exit():
                    last = item
    shown = bytes(out)
    if last.dropped:
        shown += f"\n… {last.dropped - len(last.tail)} bytes left out …\n".encode() + last.tail
    return ExecResult(
        exit_code=last.exit_code,
        stdout=shown.decode("utf-8", "replace"),
        stderr=err.decode("utf-8", "replace"),
        truncated=max(0, last.dropped - len(last.tail)),
        duration_ms=last.duration_ms,
        timed_out=last.timed_out,
        error=last.error,
    )
