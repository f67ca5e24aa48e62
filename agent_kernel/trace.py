"""When a run did what: a fold of its events into spans, for tracing and for the waterfall people see.

`widgets/src/trace.ts` is the same fold; `tests/data/NAME.trace.json` says what both make of a recorded run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    Compaction,
    ContextUpdate,
    Error,
    Event,
    Status,
    ToolCall,
    ToolResult,
    ToolStart,
)
from agent_kernel.folds import settles

Kind: TypeAlias = Literal["run", "chat", "tool", "approval", "compaction"]


@dataclass(slots=True)
class Span:
    """Something that took time. Times in milliseconds since 1970; `end` is 0 while it goes on.

    `run` is one activation of the run: from its start to its end, or to a pause by a bound. `reason` says how it
    ended, or why a `chat` had to be tried again (`attempts` counts the tries).
    """

    kind: Kind
    id: str
    name: str
    turn: int
    start: int
    end: int = 0
    state: Literal["open", "ok", "error"] = "open"
    reason: str = ""
    attempts: int = 1
    usage: ContextUpdate | None = None

    def row(self) -> dict[str, Any]:
        """As `tests/data` and the view know it."""
        used = self.usage
        tokens = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens if used else 0
        return {
            "kind": self.kind, "id": self.id, "name": self.name, "turn": self.turn, "start": self.start,
            "end": self.end, "state": self.state, "reason": self.reason, "attempts": self.attempts,
            "tokens_in": tokens, "tokens_out": used.output_tokens if used else 0,
        }  # fmt: skip


class Trace:
    """The spans of a run in the order they began, kept up to date event by event."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.spans: list[Span] = []
        self._open: dict[tuple[Kind, str], Span] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> list[Span]:
        """Take in an event; the spans that it ended."""
        match event:
            case Status():
                return self._status(event)
            case Error(retrying=True):
                for chat in self._of("chat"):
                    chat.attempts, chat.reason = chat.attempts + 1, event.kind
            case ContextUpdate():
                span = self._open.get(("chat", str(event.turn)))
                if span is not None:
                    span.usage = event
                return self._end("chat", str(event.turn), event)
            case ToolCall():
                self._begin("tool", event.id, event.tool, event)
            case ToolStart():
                if (span := self._open.get(("tool", event.id))) is not None:
                    span.start = event.timestamp
            case ToolResult():
                return self._end("tool", event.id, event, "error" if event.is_error else "ok")
            case ApprovalRequest():
                self._begin("approval", event.id, event.tool, event)
            case ApprovalAnswer():
                return self._end("approval", event.id, event, "ok", event.decision)
            case Compaction():
                return self._end("compaction", "", event)
        return []

    def forget(self) -> None:
        """Keep only what goes on: whoever has been told of the rest need not hold it."""
        self.spans = list(self._open.values())

    def _status(self, event: Status) -> list[Span]:
        if settles(event):
            state: Any = "error" if event.status == "failed" else "ok"
            ended = [
                self._ended(
                    span, event, state if span.kind == "run" else "error", event.reason or event.status
                )
                for span in [*self._open.values()][::-1]
            ]
            self._open.clear()
            return ended
        if event.status != "queued" and not self._of("run"):
            self._begin("run", str(event.seq), "", event)
        if event.reason == "thinking" and not self._of("chat"):
            self._begin("chat", str(event.turn), "", event)
        if event.reason == "compacting":
            self._begin("compaction", "", "", event)
        return []

    def _of(self, kind: Kind) -> list[Span]:
        return [span for (of, _), span in self._open.items() if of == kind]

    def _begin(self, kind: Kind, key: str, name: str, event: Event) -> None:
        span = Span(kind, key, name, event.turn, event.timestamp)
        self.spans.append(span)
        self._open[kind, key] = span

    def _end(
        self, kind: Kind, key: str, event: Event, state: Literal["ok", "error"] = "ok", reason: str = ""
    ) -> list[Span]:
        span = self._open.pop((kind, key), None)
        return [] if span is None else [self._ended(span, event, state, reason or span.reason)]

    @staticmethod
    def _ended(span: Span, event: Event, state: Literal["ok", "error"], reason: str) -> Span:
        span.end, span.state, span.reason = max(event.timestamp, span.start), state, reason
        return span
