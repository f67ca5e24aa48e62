"""Runs to tell: an ordinary one, and one in which everything is hostile."""

from __future__ import annotations

from typing import Any

from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    Context,
    ContextUpdate,
    Error,
    Event,
    FileChange,
    Message,
    Output,
    Status,
    Thought,
    Todo,
    TodoItem,
    ToolCall,
    ToolResult,
    Undo,
    parse_event,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TABLE = "<style>td{color:red}</style><table border='1'><tr><th>a</th></tr><tr><td>1</td></tr></table>"


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def picture(data: str = PNG) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def numbered(*events: Event) -> list[Event]:
    found = []
    for seq, event in enumerate(events, 1):
        event = event.model_copy(update={"timestamp": 1_700_000_000_000 + seq * 900})
        found.append(event.numbered("r-1", seq))
    return found


def analysis() -> list[Event]:
    """Plan, a python call with a table and a chart, a file, an answer."""
    code = "import pandas as pd\ndf = pd.read_csv('/workspace/data/sales.csv')\nprint(len(df))\ndf.head()"
    return numbered(
        Status(status="running", reason="starting"),
        Message(role="user", text="Analyse sales.csv", by="ada"),
        Context(model="claude-sonnet-5-5", system="s", tools="t", max_tokens=100),
        Status(status="running", reason="thinking", turn=1),
        Thought(text="First I look at the columns.", signature="x", turn=1),
        Todo(items=[TodoItem(text="Look", status="completed"), TodoItem(text="Chart", status="completed")]),
        ToolCall(id="c1", tool="python", args={"code": code}, turn=1),
        ToolResult(
            id="c1",
            content=[text("3\n"), text("   a\n0  1"), picture()],
            outputs=[
                Output(block=0, kind="stdout"),
                Output(block=1, kind="result", data={"text/html": TABLE}),
                Output(block=2, kind="display"),
            ],
            duration_ms=1200,
            turn=1,
        ),
        ToolCall(id="c2", tool="write_file", args={"path": "report.md", "content": "# Sales\n"}, turn=1),
        FileChange(
            path="report.md", action="create", diff="--- /dev/null\n+++ b/report.md\n@@ -0,0 +1 @@\n+# Sales\n",
            added=1, call_id="c2", turn=1,
        ),
        ToolResult(id="c2", content=[text("Wrote report.md")], turn=1),
        ToolCall(id="c3", tool="bash", args={"command": "make test"}, turn=1),
        ApprovalRequest(id="c3", call_id="c3", tool="bash", what="make test", reason="asks", scope="bash"),
        ApprovalAnswer(id="c3", decision="deny", by="ada"),
        ToolResult(id="c3", content=[text("Denied by the person.")], is_error=True, turn=1),
        Error(kind="overloaded_error", message="Overloaded.", retrying=True, attempt=1),
        ContextUpdate(model="claude-sonnet-5-5", input_tokens=900, output_tokens=100, cost_usd=0.0028, turn=1),
        Message(role="assistant", text="**3 rows.** See `report.md`.\n\n| a | b |\n|---|---|\n| 1 | 2 |", turn=2),
        Undo(snapshot="x", paths=["report.md"], by="ada"),
        Status(status="completed", reason="complete", turn=2),
    )  # fmt: skip


ATTACKS = (
    "<script>window.__xss=1</script>",
    "<img src=x onerror=window.__xss=1>",
    "</details></div></pre><svg onload=window.__xss=1>",
    "[click](javascript:window.__xss=1) ![x](https://attacker.example/pixel.png)",
    "<https://ok.example> [x]: javascript:alert(1) <a href='data:text/html,<script>1</script>'>x</a>",
    "```\n</pre><iframe srcdoc='<script>parent.__xss=1</script>'></iframe>\n```` ```` ~~~",
    '"><style>*{display:none}</style><base href="https://attacker.example/">',
    "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \x1b[31mred\x1b[0m \x00 \u202egnp.exe \ud800",
    "x" * 9_000,
)


def hostile() -> list[Event]:
    """Every field that can hold text holds an attack."""
    events: list[Event] = [
        Status(status="running", reason="<script>window.__xss=1</script>"),
        Context(model="<script>window.__xss=1</script>", system="s", tools="t", max_tokens=1),
    ]
    for number, attack in enumerate(ATTACKS):
        call = f"c{number}"
        events += [
            Message(role="user", text=attack, by=attack),
            Thought(text=attack),
            Message(role="assistant", text=attack),
            Todo(items=[TodoItem(text=attack)]),
            ToolCall(id=call, tool="python", args={"code": f"x = '''{attack}'''"}),
            ToolResult(
                id=call,
                content=[
                    text(attack),
                    text(attack),
                    text(attack),
                    picture(f'{PNG}" onerror="window.__xss=1'),
                ],
                outputs=[
                    Output(block=0, kind="stdout"),
                    Output(block=1, kind="result", data={"text/html": attack + TABLE, "name": attack}),
                    Output(block=2, kind="display", data={"image/svg+xml": f"<svg>{attack}</svg>"}),
                    Output(block=3, kind="display"),
                ],
                is_error=True,
            ),
            ToolCall(id=f"{call}b", tool=attack[:60], args={"path": attack, attack[:40]: attack}),
            ApprovalRequest(
                id=f"{call}b", call_id=f"{call}b", tool="x", what=attack, reason=attack, scope=attack
            ),
            FileChange(
                path=attack, action="edit", diff=f"--- {attack}\n+{attack}\n-{attack}", call_id=f"{call}b"
            ),
            ToolResult(id=f"{call}b", content=[text(attack), {"type": attack}]),
            Error(kind=attack, message=attack, hint=attack),
            Undo(snapshot="x", paths=[attack]),
        ]
    events.append(parse_event({"type": "from_the_future", "version": 9, "said": ATTACKS[0]}))
    events.append(Status(status="failed", reason="<b>bad</b>"))
    return numbered(*events)
