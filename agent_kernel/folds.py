"""What the log means: pure functions from events to what people and models see.

`summary` is defined, for Python and TypeScript alike, in `tests/data/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent_kernel.events import (
    FINAL_STATUSES,
    ApprovalAnswer,
    ApprovalRequest,
    Context,
    ContextUpdate,
    Control,
    Error,
    Event,
    FileChange,
    Handover,
    Json,
    Message,
    Status,
    Thought,
    Todo,
    TodoItem,
    ToolCall,
    ToolResult,
    ToolStart,
    Undo,
)
from agent_kernel.usage import Usage


def last_status(events: Sequence[Event]) -> Status:
    """The newest state; `queued` before there is one."""
    for event in reversed(events):
        if isinstance(event, Status):
            return event
    return Status(status="queued")


BOUNDS = frozenset({"budget", "max_turns"})
"""Reasons of a pause that nobody asked for; the run goes on only when resumed."""


def settles(event: Event) -> bool:
    """True for a status after which nothing more happens by itself: a final one, or a pause by a bound."""
    return isinstance(event, Status) and (
        event.status in FINAL_STATUSES or (event.status == "paused" and event.reason in BOUNDS)
    )


def last_context(events: Sequence[Event]) -> Context | None:
    return next((event for event in reversed(events) if isinstance(event, Context)), None)


def answer(events: Sequence[Event]) -> str:
    """What the model said last: its texts after the last tool call."""
    texts: list[str] = []
    for event in events:
        if isinstance(event, ToolCall):
            texts.clear()
        elif isinstance(event, Message) and event.role == "assistant" and event.text:
            texts.append(event.text)
    return "\n\n".join(texts)


def todo(events: Sequence[Event]) -> list[TodoItem]:
    found = next((event for event in reversed(events) if isinstance(event, Todo)), None)
    return list(found.items) if found else []


def usage(events: Iterable[Event]) -> Usage:
    """Tokens of all turns together."""
    total = Usage()
    for event in events:
        if isinstance(event, ContextUpdate):
            total += Usage(
                event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens
            )
    return total


def cost(events: Iterable[Event]) -> float | None:
    """USD of all turns together; None when a turn's price is not known."""
    total = 0.0
    for event in events:
        if isinstance(event, ContextUpdate):
            if event.cost_usd is None:
                return None
            total += event.cost_usd
    return total


def context_tokens(events: Sequence[Event]) -> int:
    """How many tokens the window holds after the last turn."""
    for event in reversed(events):
        if isinstance(event, ContextUpdate):
            return event.context_tokens
    return 0


@dataclass(slots=True)
class Call:
    """One tool call and all that happened to it."""

    call: ToolCall
    start: ToolStart | None = None
    result: ToolResult | None = None
    requests: list[ApprovalRequest] | None = None

    @property
    def id(self) -> str:
        return self.call.id


class RunState:
    """Where a run stands, kept up to date event by event: a long run need not be read anew each turn."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.turn = 0
        self.cost: float | None = 0.0
        self.tokens = 0
        self.worked_ms = 0
        self.warned: set[str] = set()
        self._last_ms = 0
        self.status: Status = Status(status="queued")
        self.control = ""
        self.handovers = 0
        self.person_acts = False
        self.calls: dict[str, Call] = {}
        self._open: dict[str, Call] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        self.turn = max(self.turn, event.turn)
        if self.status.status == "running" and self._last_ms:
            self.worked_ms += max(0, event.timestamp - self._last_ms)
        self._last_ms = event.timestamp
        match event:
            case Status():
                self.status = event
            case Control():
                self.control = event.action
            case Handover():
                self.person_acts = event.to == "person"
                self.handovers += 1
            case ContextUpdate():
                known = self.cost is not None and event.cost_usd is not None
                self.cost = self.cost + event.cost_usd if known else None  # type: ignore[operator]
                self.tokens += (
                    event.input_tokens
                    + event.output_tokens
                    + event.cache_read_tokens
                    + event.cache_write_tokens
                )
            case Error(kind="budget_warning"):
                self.warned.add(event.message)
            case ToolCall():
                self.calls[event.id] = self._open[event.id] = Call(event)
            case ToolStart() if event.id in self.calls:
                self.calls[event.id].start = event
            case ToolResult() if event.id in self.calls:
                self.calls[event.id].result = event
                self._open.pop(event.id, None)
            case _:
                pass

    @property
    def open_calls(self) -> list[Call]:
        """Calls without a result, in order."""
        return list(self._open.values())


def approvals(events: Iterable[Event]) -> dict[str, ApprovalAnswer | None]:
    """Every approval request and its answer, if there is one."""
    found: dict[str, ApprovalAnswer | None] = {}
    for event in events:
        if isinstance(event, ApprovalRequest):
            found.setdefault(event.id, None)
        elif isinstance(event, ApprovalAnswer):
            found[event.id] = event
    return found


def open_approvals(events: Sequence[Event]) -> list[ApprovalRequest]:
    """Requests that wait for an answer, oldest first; none once the run has ended."""
    status = last_status(events)
    if status is not None and status.status in FINAL_STATUSES:
        return []
    answers = approvals(events)
    return [e for e in events if isinstance(e, ApprovalRequest) and answers[e.id] is None]


def allowed_scopes(events: Iterable[Event]) -> set[str]:
    """What a person has allowed for the session."""
    scopes: dict[str, str] = {}
    allowed: set[str] = set()
    for event in events:
        if isinstance(event, ApprovalRequest):
            scopes[event.id] = event.scope
        elif isinstance(event, ApprovalAnswer) and event.decision == "session" and event.id in scopes:
            allowed.add(scopes[event.id])
    return allowed


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file's changes over the whole run, merged."""

    path: str
    action: str
    added: int
    removed: int


def files(events: Iterable[Event]) -> list[ChangedFile]:
    """Files the run changed and that were not put back; created and deleted again disappears."""
    found: dict[str, ChangedFile] = {}
    for event in events:
        if isinstance(event, FileChange):
            merged = _merge(found.get(event.path), event)
            if merged is None:
                del found[event.path]
            else:
                found[event.path] = merged
        elif isinstance(event, Undo):
            for path in event.paths:
                found.pop(path, None)
    return [found[path] for path in sorted(found)]


def _merge(earlier: ChangedFile | None, change: FileChange) -> ChangedFile | None:
    if earlier is None:
        return ChangedFile(change.path, change.action, change.added, change.removed)
    if earlier.action == "create" and change.action == "delete":
        return None
    action = "create" if earlier.action == "create" else change.action
    if earlier.action == "delete" and change.action == "create":
        action = "edit"
    return ChangedFile(change.path, action, earlier.added + change.added, earlier.removed + change.removed)


def summary(events: Sequence[Event]) -> Json:
    """The run as plain JSON, the same in Python and TypeScript."""
    status, context, tokens = last_status(events), last_context(events), usage(events)
    return {
        "status": status.status,
        "reason": status.reason,
        "model": context.model if context else "",
        "demo": bool(context and context.demo),
        "messages": [{"role": e.role, "text": e.text} for e in events if isinstance(e, Message)],
        "tools": [_tool_summary(call, events) for call in RunState(events).calls.values()],
        "thoughts": sum(isinstance(e, Thought) for e in events),
        "files": [
            {"path": f.path, "action": f.action, "added": f.added, "removed": f.removed}
            for f in files(events)
        ],
        "todo": [{"text": item.text, "status": item.status} for item in todo(events)],
        "usage": {
            "input_tokens": tokens.input_tokens,
            "output_tokens": tokens.output_tokens,
            "cache_read_tokens": tokens.cache_read_tokens,
            "cache_write_tokens": tokens.cache_write_tokens,
            "cost_usd": cost(events),
        },
        "approvals": [
            {"id": request, "decision": found.decision if found else None}
            for request, found in approvals(events).items()
        ],
        "errors": [
            {"kind": e.kind, "message": e.message, "retrying": e.retrying}
            for e in events
            if isinstance(e, Error)
        ],
        "undone": [path for e in events if isinstance(e, Undo) for path in e.paths],
    }


def _tool_summary(call: Call, events: Sequence[Event]) -> Json:
    state = "pending"
    if call.result is not None:
        denied = any(
            e.id == call.id and e.decision == "deny" for e in events if isinstance(e, ApprovalAnswer)
        )
        state = "denied" if denied else "error" if call.result.is_error else "done"
    elif call.start is not None:
        state = "running"
    return {
        "id": call.id,
        "tool": call.call.tool,
        "state": state,
        "duration_ms": call.result.duration_ms if call.result else 0,
        "is_error": bool(call.result and call.result.is_error),
    }
