"""Writes the recorded runs beside this file; see README.md."""

from __future__ import annotations

import json
from pathlib import Path

from agent_kernel import folds
from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    Compaction,
    Context,
    ContextUpdate,
    Control,
    Error,
    Event,
    FileChange,
    Message,
    Status,
    ToolCall,
    ToolResult,
    ToolStart,
)
from agent_kernel.trace import Trace
from tests.transcript.runs import analysis, hostile, numbered

HERE = Path(__file__).parent


def change(path: str, action: str, added: int, removed: int, call: str) -> Event:
    return FileChange(path=path, action=action, added=added, removed=removed, call_id=call)  # type: ignore[arg-type]


def cancelled() -> list[Event]:
    """Stopped in the middle of a call; one call was never started."""
    return numbered(
        Status(status="running", reason="starting"),
        Message(role="user", text="Count", by="ada"),
        Context(model="m", system="s", tools="t", max_tokens=1),
        Status(status="running", reason="thinking", turn=1),
        ToolCall(id="a", tool="bash", args={"command": "sleep 9"}, turn=1),
        ToolCall(id="b", tool="bash", args={"command": "ls"}, turn=1),
        ContextUpdate(model="m", input_tokens=5, output_tokens=2, cost_usd=None, turn=1),
        ToolStart(id="a", turn=1),
        Control(action="cancel", by="ada"),
        ToolResult(
            id="a", content=[{"type": "text", "text": "Stopped"}], is_error=True, duration_ms=400, turn=1
        ),
        Message(role="assistant", text="I was ab", partial=True, turn=2),
        Status(status="cancelled", reason="cancelled", turn=1),
    )


def changes() -> list[Event]:
    """Files created, edited, deleted and brought back, over retries."""
    return numbered(
        Status(status="running", reason="starting"),
        Message(role="user", text="Change things", by="ada"),
        Context(model="demo", system="s", tools="t", max_tokens=1, demo=True),
        Error(kind="rate_limit_error", message="Too many.", retrying=True, attempt=1, delay_ms=500),
        Error(kind="overloaded_error", message="Overloaded.", retrying=True, attempt=2, delay_ms=900),
        ToolCall(id="a", tool="bash", args={"command": "make"}, turn=1),
        ContextUpdate(model="demo", cache_read_tokens=90, cache_write_tokens=10, cost_usd=0.0, turn=1),
        ToolStart(id="a", turn=1),
        change("new.txt", "create", 3, 0, "a"),
        change("new.txt", "edit", 1, 1, "a"),
        change("brief.txt", "create", 1, 0, "a"),
        change("brief.txt", "delete", 0, 1, "a"),
        change("back.txt", "delete", 0, 4, "a"),
        change("back.txt", "create", 4, 0, "a"),
        change("old.txt", "delete", 0, 9, "a"),
        ToolResult(id="a", content=[{"type": "text", "text": "ok"}], duration_ms=1500, turn=1),
        Status(status="paused", reason="budget", turn=1),
    )


def resumed() -> list[Event]:
    """Tried again, asked, summarised, paused by its budget and resumed; then failed while it was thinking."""
    return numbered(
        Status(status="running", reason="starting"),
        Message(role="user", text="Go", by="ada"),
        Status(status="running", reason="thinking", turn=1),
        Error(kind="overloaded", message="Overloaded.", retrying=True, attempt=1, delay_ms=500, turn=1),
        Status(status="running", reason="thinking", turn=1),
        ToolCall(id="a", tool="notebook_python", args={}, turn=1),
        ToolCall(id="b", tool="bash", args={}, turn=1),
        ContextUpdate(model="m", input_tokens=5, output_tokens=2, cost_usd=0.1, turn=1),
        ApprovalRequest(id="a", call_id="a", tool="notebook_python", what="w", reason="r", scope="s", turn=1),
        Status(status="waiting", reason="approval", turn=1),
        ApprovalAnswer(id="a", decision="deny", by="ada"),
        Status(status="running", reason="executing", turn=1),
        ToolResult(id="a", content=[], is_error=True, turn=1),
        ToolStart(id="b", turn=1),
        ToolResult(id="b", content=[], duration_ms=5, turn=1),
        Status(status="running", reason="compacting", turn=1),
        Compaction(up_to_run="r", up_to=3, summary="s"),
        Status(status="paused", reason="budget", turn=1),
        Status(status="running", reason="starting"),
        Status(status="running", reason="thinking", turn=2),
        Error(kind="api_error", message="Broken."),
        Status(status="failed", reason="api_error", turn=2),
    )


RUNS = {
    "analysis": analysis, "hostile": hostile, "cancelled": cancelled, "changes": changes, "resumed": resumed,
}  # fmt: skip


def main() -> None:
    for name, run in RUNS.items():
        events = run()
        lines = "".join(f"{json.dumps(event.model_dump(mode='python'))}\n" for event in events)
        (HERE / f"{name}.jsonl").write_text(lines)
        (HERE / f"{name}.summary.json").write_text(json.dumps(folds.summary(events), indent=1) + "\n")
        rows = [span.row() for span in Trace(events).spans]
        (HERE / f"{name}.trace.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
