"""The lines of the text view."""

from __future__ import annotations

from agent_kernel.events import (
    ApprovalAnswer,
    Error,
    Event,
    FileChange,
    Message,
    Status,
    Todo,
    TodoItem,
    ToolCall,
    ToolResult,
)
from agent_kernel.shell.textview import Lines, TextView


def lines(*events: Event, colour: bool = False) -> list[str]:
    made = Lines(colour=colour)
    return [line for event in events for line in made.of(event)]


def test_a_run_reads_as_a_story() -> None:
    assert lines(
        Status(status="running", reason="thinking", turn=1),
        Todo(items=[TodoItem(text="look", status="completed"), TodoItem(text="draw", status="in_progress")]),
        ToolCall(id="1", tool="bash", args={"command": "ls\n-la"}),
        ToolResult(id="1", content=[{"type": "text", "text": "sales.csv"}]),
        FileChange(path="chart.png", action="create", binary=True),
        FileChange(path="report.md", action="edit", added=3, removed=1),
        Message(role="assistant", text="Done.\nSee report.md"),
        Status(status="completed", reason="complete"),
    ) == [
        "  plan: 1 of 2 done; draw",
        "· bash ls -la",
        "  create chart.png (binary)",
        "  edit report.md (+3 −1)",
        "",
        "Done.",
        "See report.md",
    ]


def test_failures_are_said() -> None:
    call = ToolCall(id="1", tool="bash", args={"command": "false"})
    assert lines(
        call,
        ToolResult(id="1", content=[{"type": "text", "text": "log\nexit status 1\n"}], is_error=True),
        ApprovalAnswer(id="2", decision="deny", reason="Nobody to ask."),
        Error(kind="overloaded", message="The model is busy.", retrying=True),
        Error(kind="auth", message="The key is wrong.", hint="Set another."),
        Status(status="cancelled", reason="cancelled"),
    ) == [
        "· bash false",
        "  ✗ bash: exit status 1",
        "  deny: Nobody to ask.",
        "! The model is busy. Trying again.",
        "! The key is wrong. Set another.",
        "[cancelled]",
    ]


def test_terminal_escapes_and_huge_lines_never_pass() -> None:
    hostile = "\x1b[2J\x1b]0;title\x07a\rb\x9b31m\u202eevil" + "x" * 100_000
    for line in lines(
        ToolCall(id="1", tool="bash", args={"command": hostile}),
        FileChange(path=hostile, action="create"),
        Error(kind="x", message=hostile),
        Message(role="assistant", text=hostile[:40]),
    ):
        assert len(line) < 200
        assert not set(line) & set("\x1b\x07\r\x9b\u202e")


def test_bypass_and_demo_are_announced() -> None:
    said: list[str] = []
    TextView(said.append, info={"demo": True, "permission": "bypass"}, colour=True)
    assert said[0] == "Offline demo, no AI."
    assert said[1].startswith("\x1b[31m") and "without asking" in said[1]
