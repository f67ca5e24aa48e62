"""Events as an ordered list of things to show. All formats render this, so they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias

from agent_kernel import folds
from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    BrowserUpdate,
    Compaction,
    Error,
    Event,
    FileChange,
    Handover,
    Message,
    Thought,
    TodoItem,
    ToolCall,
    ToolResult,
    Undo,
    UnknownEvent,
)
from agent_kernel.foreign import unmarked
from agent_kernel.transcript.safe import RASTER
from agent_kernel.usage import Usage

CODE_TOOLS = {"python": "code", "notebook_python": "code", "bash": "command"}
TELLING = ("path", "pattern", "command", "query", "url")
LANGUAGES = {"python": "python", "notebook_python": "python", "bash": "bash"}


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody wrote: a prompt, a message on the way, an answer."""

    role: str
    text: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    media: str
    data: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a result: text of a kind (stdout, stderr, result, error, display), maybe a table, or a picture."""

    kind: str
    text: str = ""
    html: str = ""
    picture: Picture | None = None
    name: str = ""


@dataclass(slots=True)
class Card:
    """One tool call and what came of it."""

    call: ToolCall
    result: ToolResult | None = None
    changes: list[FileChange] = field(default_factory=list)
    answers: list[tuple[ApprovalRequest, ApprovalAnswer | None]] = field(default_factory=list)

    @property
    def code(self) -> str:
        """What was run, for tools that run something."""
        return str(self.call.args.get(CODE_TOOLS.get(self.call.tool, ""), ""))

    @property
    def language(self) -> str:
        return LANGUAGES.get(self.call.tool, "")

    @property
    def title(self) -> str:
        """What the call is about, in few words."""
        args = self.call.args
        if self.code:
            rows = [row.strip() for row in self.code.splitlines() if row.strip()]
            if rows and rows[0].startswith("# "):
                return rows[0][2:]  # its author says it
            telling = [row for row in rows if not row.startswith(("import ", "from ", "#"))]
            return (telling or rows or [""])[0]
        name = args.get("name") if self.call.tool == "skill" else ""
        about = str(next((args[key] for key in TELLING if args.get(key)), name or ""))
        return f"{about}: {done}" if (done := _done_to_cells(args.get("operations"))) else about

    @property
    def state(self) -> str:
        if self.result is None:
            return "not finished"
        if any(
            answer and answer.decision == "deny"
            for request, answer in self.answers
            if request.id == self.call.id
        ):
            return "denied"
        return "failed" if self.result.is_error else "done"

    @property
    def pieces(self) -> list[Piece]:
        if self.result is None:
            return []
        told = {output.block: output for output in self.result.outputs}
        content = self.result.content
        if self.result.foreign:  # the lines around it are for the model
            content = [{**b, "text": unmarked(b["text"])} if b.get("type") == "text" else b for b in content]
        return [_piece(block, told.get(number)) for number, block in enumerate(content)]

    @property
    def pictures(self) -> list[Picture]:
        return [piece.picture for piece in self.pieces if piece.picture is not None]


@dataclass(frozen=True, slots=True)
class Problem:
    kind: str
    message: str
    hint: str
    retrying: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line: an undo, a summary of the history, an event this program does not know."""

    text: str


Item: TypeAlias = Said | Thinking | Card | Problem | Note


@dataclass(slots=True)
class Story:
    """One run."""

    run_id: str
    status: str
    reason: str
    model: str
    demo: bool
    items: list[Item]
    plan: list[TodoItem]
    files: list[folds.ChangedFile]
    usage: Usage
    cost: float | None
    seconds: float

    @property
    def prompt(self) -> str:
        first = next((item for item in self.items if isinstance(item, Said) and item.role == "user"), None)
        return first.text if first else ""

    @property
    def who(self) -> str:
        return "offline demo, no AI" if self.demo else self.model

    @property
    def facts(self) -> list[str]:
        """State, time, tokens and money, each in a few words."""
        shown = [
            self.status if self.reason in ("", "complete", self.status) else f"{self.status} ({self.reason})"
        ]
        shown.append(_duration(self.seconds))
        if self.who:
            shown.append(self.who)
        tokens = self.usage.prompt_tokens + self.usage.output_tokens
        if tokens and not self.demo:
            shown.append(f"{tokens:,} tokens")
        if self.cost and not self.demo:
            shown.append(f"${self.cost:.4f}" if self.cost < 0.1 else f"${self.cost:.2f}")
        return shown


def tell(events: Sequence[Event]) -> list[Story]:
    """One story a run, in order."""
    return [_story(run_id, list(group)) for run_id, group in groupby(events, key=lambda event: event.run_id)]


def _story(run_id: str, events: list[Event]) -> Story:
    status, context = folds.last_status(events), folds.last_context(events)
    return Story(
        run_id=run_id,
        status=status.status,
        reason=status.reason,
        model=context.model if context else "",
        demo=bool(context and context.demo),
        items=_items(events),
        plan=folds.todo(events),
        files=folds.files(events),
        usage=folds.usage(events),
        cost=folds.cost(events),
        seconds=(events[-1].timestamp - events[0].timestamp) / 1000,
    )


def _items(events: list[Event]) -> list[Item]:
    items: list[Item] = []
    cards: dict[str, Card] = {}
    requests: dict[str, tuple[Card, int]] = {}
    for event in events:
        match event:
            case Message() if event.text.strip():
                items.append(Said(event.role, event.text, event.partial))
            case Message() if event.content:
                items += [Note(provider_note(block)) for block in event.content]
            case Thought() if event.text.strip():
                items.append(Thinking(event.text))
            case ToolCall():
                cards[event.id] = Card(event)
                if event.tool != "todo":  # the plan is shown once, as it ended
                    items.append(cards[event.id])
            case ToolResult() if event.id in cards:
                cards[event.id].result = event
            case FileChange():
                if event.call_id in cards:
                    cards[event.call_id].changes.append(event)
            case ApprovalRequest() if event.call_id in cards:
                card = cards[event.call_id]
                requests[event.id] = (card, len(card.answers))
                card.answers.append((event, None))
            case ApprovalAnswer() if event.id in requests:
                card, number = requests[event.id]
                card.answers[number] = (card.answers[number][0], event)
            case Error():
                items.append(Problem(event.kind, event.message, event.hint, event.retrying))
            case Undo():
                skipped = f"; left alone: {', '.join(event.skipped)}" if event.skipped else ""
                items.append(Note(f"Put back: {', '.join(event.paths) or 'nothing'}{skipped}"))
            case BrowserUpdate(kind="desktop"):
                if event.live:
                    items.append(Note("The desktop was started."))
            case Handover():
                took = event.to == "person"
                items.append(
                    Note(f"{event.by or 'A person'} {'took over' if took else 'handed back'} the desktop.")
                )
            case BrowserUpdate():
                items.append(Note(f"{'Served' if event.live else 'No longer served'}: {event.url}"))
            case Compaction(summary=""):
                items.append(Note("The history up to here was cleared: the model knows nothing of it."))
            case Compaction():
                items.append(Note("The history up to here was summarised for the model."))
            case UnknownEvent():
                items.append(
                    Note(f"{event.type}: {event.model_dump_json(exclude={'run_id', 'seq', 'version'})}")
                )
            case _:
                pass
    return items


def provider_note(block: dict[str, Any]) -> str:
    """A block of an answer that is no text, such as a search the provider made, in a line."""
    kind, content, given = str(block.get("type")), block.get("content"), block.get("input")
    if kind == "server_tool_use" and isinstance(given, dict):
        said = next((str(given[name]) for name in TELLING if given.get(name)), "")
        return f"{block.get('name')} (by the provider): {said}"
    if kind.endswith("_tool_result") and isinstance(content, list):
        found = [
            f"{c.get('title')} <{c.get('url')}>" for c in content if isinstance(c, dict) and c.get("url")
        ]
        return f"Found: {', '.join(found) or 'nothing'}"
    return f"[{kind}]"


def _piece(block: dict[str, Any], told: Any) -> Piece:
    kind = told.kind if told else "text"
    rich = told.data if told else {}
    if block.get("type") == "image":
        source = block.get("source") or {}
        media, data = str(source.get("media_type", "")), str(source.get("data", ""))
        if media in RASTER:
            return Piece(kind, picture=Picture(media, data))
        return Piece(kind, text=f"[a picture of type {media}]")
    text = str(block.get("text", f"[{block.get('type')}]"))
    if "image/svg+xml" in rich:
        return Piece(kind, text=text, picture=Picture("image/svg+xml", rich["image/svg+xml"]))
    return Piece(kind, text=text, html=rich.get("text/html", ""), name=rich.get("name", ""))


def _done_to_cells(operations: Any) -> str:
    """What an edit of a notebook does, in few words: `edit load, delete old`."""
    if not isinstance(operations, list):
        return ""
    return ", ".join(f"{o.get('op')} {o.get('cell', '')}".strip() for o in operations if isinstance(o, dict))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
