"""The facts a run is made of: frozen, typed, numbered by `seq` within their run.

`seq` is 0 until the log has numbered the event; deltas are never stored and keep 0. `turn` counts the
requests to the model within the run, starting at 1; what people append carries the turn it arrived in
or 0. `timestamp` is in milliseconds since 1970, UTC. Content blocks are kept as the provider gave them,
so that the model's history can be rebuilt to the byte.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

SCHEMA_VERSION = 1

Json: TypeAlias = dict[str, Any]
RunStatus: TypeAlias = Literal["queued", "running", "waiting", "paused", "completed", "failed", "cancelled"]
FINAL_STATUSES: frozenset[str] = frozenset({"completed", "failed", "cancelled"})

LOOP = "agent-kernel"
"""Who speaks when the loop itself has to say something to the model."""


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


_GIVEN: set[str] = set()
"""Which fields an event was given nobody asks; a set of their names for each would be more than half of what a long log
takes in memory."""


class Event(BaseModel):
    """One fact of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    run_id: str = ""
    seq: int = 0
    version: int = SCHEMA_VERSION
    turn: int = 0
    timestamp: int = Field(default_factory=now_ms)

    def numbered(self, run_id: str, seq: int) -> Event:
        """This event as the log stores it."""
        # What `model_copy` does, without its copies of everything: this runs for each event stored.
        numbered, put = object.__new__(type(self)), object.__setattr__
        put(numbered, "__dict__", {**self.__dict__, "run_id": run_id, "seq": seq})
        put(numbered, "__pydantic_fields_set__", _GIVEN)
        put(numbered, "__pydantic_extra__", self.__pydantic_extra__)
        put(numbered, "__pydantic_private__", None)
        return numbered


class Status(Event):
    """The run's state changed. `running` with reason `thinking` marks the start of a turn: the
    request of that turn contains exactly the events before this one."""

    type: Literal["status"] = "status"
    status: RunStatus
    reason: str = ""


class Context(Event):
    """The frozen prefix of the requests that follow. `system` and `tools` are blob hashes; `tier` is the
    sandbox's."""

    type: Literal["context"] = "context"
    model: str
    system: str
    tools: str
    max_tokens: int
    demo: bool = False
    tier: str = ""


class Thought(Event):
    """A thinking block. `block` is set when the provider's block is not a plain thinking block."""

    type: Literal["thought"] = "thought"
    text: str
    signature: str | None = None
    block: Json | None = None


class Message(Event):
    """What a person or the model said. `content` is set when the blocks are more than one plain text.

    `by` is the person who wrote a user message. `partial` marks an answer cut off by a stop.
    """

    type: Literal["message"] = "message"
    role: Literal["user", "assistant"]
    text: str
    content: list[Json] | None = None
    by: str = ""
    partial: bool = False


class ToolCall(Event):
    """The model asks for a tool. `id` is unique within the run."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    tool: str
    args: Json
    block: Json | None = None


class ToolStart(Event):
    """Appended once per call, before anything happens; of two executors one wins."""

    type: Literal["tool_start"] = "tool_start"
    id: str
    executor: str = ""


class Output(BaseModel):
    """How content block number `block` of a tool result came about, and its richer forms for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block: int
    kind: Literal["stdout", "stderr", "result", "display", "error"]
    data: dict[str, str] = Field(default_factory=dict)


class ToolResult(Event):
    """The one result of a call. `content` are Messages API blocks (text, image) as the model sees them;
    `outputs` says which of them are cell outputs and adds other mime types of the same thing.
    `truncated_bytes` is what the model's copy leaves out; `output_path` the file that holds the whole. `foreign` says
    where text of strangers in it is from (see `foreign.py`); empty: there is none."""

    type: Literal["tool_result"] = "tool_result"
    id: str
    content: list[Json]
    is_error: bool = False
    duration_ms: int = 0
    truncated_bytes: int = 0
    output_path: str | None = None
    outputs: list[Output] = Field(default_factory=list)
    foreign: str = ""


class ApprovalRequest(Event):
    """A person must decide. `id` names the request (the call's id, or the call's id and a detail);
    `what` says what is wanted, `reason` why it needs a person, `scope` what a yes for the session
    would cover (`bash`, `network:example.org`, `notebook_python`)."""

    type: Literal["approval_request"] = "approval_request"
    id: str
    call_id: str
    tool: str
    what: str
    reason: str
    scope: str


class ApprovalAnswer(Event):
    """The decision: `allow` once, `deny`, or `session` (allow the request's scope for the session)."""

    type: Literal["approval_answer"] = "approval_answer"
    id: str
    decision: Literal["allow", "deny", "session"]
    by: str = ""
    reason: str = ""


class FileChange(Event):
    """A file of the workspace changed. `before` and `after` are snapshot ids, for undo. `diff` is a
    unified diff, empty for binary files and for files too large to diff (`note` says so). A notebook's is of the
    text of its cells, each below a heading (`@@ edited: code cell c1 @@`)."""

    type: Literal["file_change"] = "file_change"
    path: str
    action: Literal["create", "edit", "delete"]
    diff: str = ""
    added: int = 0
    removed: int = 0
    binary: bool = False
    note: str = ""
    before: str | None = None
    after: str | None = None
    call_id: str | None = None


class CodeGeneration(Event):
    """Code the agent wrote: a file of source code, or code it ran."""

    type: Literal["code_generation"] = "code_generation"
    language: str
    code: str
    path: str | None = None
    call_id: str | None = None


class BrowserUpdate(Event):
    """Something in the sandbox answers HTTP on `port`, or (not `live`) no longer. `url` is its address as the
    agent sees it; people reach it through the server (`runs/{run}/previews/{port}`). `kind` desktop: it is the
    view of the sandbox's desktop; with `view_only=0` instead of `1` in the url people act on it."""

    type: Literal["browser_update"] = "browser_update"
    url: str
    port: int
    title: str = ""
    live: bool = True
    kind: Literal["page", "desktop"] = "page"


class ContextUpdate(Event):
    """Usage of one turn (not a total) and how full the window is after it. `cost_usd` is None when the
    model's price is not known."""

    type: Literal["context_update"] = "context_update"
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None
    context_tokens: int = 0
    context_window: int = 0


class TodoItem(BaseModel):
    """One line of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    status: Literal["pending", "in_progress", "completed"] = "pending"


class Todo(Event):
    """The plan as a checklist; each one replaces the last."""

    type: Literal["todo"] = "todo"
    items: list[TodoItem]


class Control(Event):
    """Somebody asks the run to pause, resume or stop."""

    type: Literal["control"] = "control"
    action: Literal["pause", "resume", "cancel"]
    by: str = ""


class Handover(Event):
    """Mouse and keyboard of the sandbox's desktop change hands: while a `person` has them the agent waits."""

    type: Literal["handover"] = "handover"
    to: Literal["person", "agent"]
    by: str = ""


class Undo(Event):
    """Files were put back to `snapshot`. `paths` are those restored, `skipped` those left alone because
    they had changed since."""

    type: Literal["undo"] = "undo"
    snapshot: str
    paths: list[str]
    skipped: list[str] = Field(default_factory=list)
    call_id: str | None = None
    by: str = ""


class Compaction(Event):
    """For the model, history up to and including `up_to` of run `up_to_run` is replaced by `summary`; an empty one
    leaves nothing of it."""

    type: Literal["compaction"] = "compaction"
    up_to_run: str
    up_to: int
    summary: str


class Error(Event):
    """Something failed. `retrying` says that it will be tried again after `delay_ms`."""

    type: Literal["error"] = "error"
    kind: str
    message: str
    hint: str = ""
    retrying: bool = False
    attempt: int = 0
    delay_ms: int = 0


class Delta(Event):
    """Text still being written; on the bus only, folded away by the block it belongs to.

    `kind` text, thinking or input: `id` is the block's number within the turn (`"0"`, `"1"` …); the
    stored blocks of the turn replace it. `kind` output: live output of the tool call `id`. `tool` is the
    tool's name on the first delta of an `input` block.
    """

    type: Literal["delta"] = "delta"
    kind: Literal["text", "thinking", "input", "output"]
    id: str
    text: str
    tool: str = ""


class UnknownEvent(Event):
    """An event of a type or version this program does not know: shown, not dropped."""

    model_config = ConfigDict(frozen=True, extra="allow")


KNOWN_EVENTS: tuple[type[Event], ...] = (
    Status, Context, Thought, Message, ToolCall, ToolStart, ToolResult, ApprovalRequest, ApprovalAnswer,
    FileChange, CodeGeneration, BrowserUpdate, ContextUpdate, Todo, Control, Handover, Undo, Compaction, Error, Delta,
)  # fmt: skip

AnyEvent = Annotated[
    Status | Context | Thought | Message | ToolCall | ToolStart | ToolResult | ApprovalRequest
    | ApprovalAnswer | FileChange | CodeGeneration | BrowserUpdate | ContextUpdate | Todo | Control
    | Handover | Undo | Compaction | Error | Delta,
    Field(discriminator="type"),
]  # fmt: skip

_BY_TYPE: dict[str, type[Event]] = {event.model_fields["type"].default: event for event in KNOWN_EVENTS}


def parse_event(data: Json) -> Event:
    """The event in `data`; an `UnknownEvent` where its type or its fields are from another version.

    Raises ValueError when `data` is not an event at all.
    """
    known = _BY_TYPE.get(data.get("type", ""))
    if known is not None:
        try:
            event = known.model_validate(data)
            object.__setattr__(event, "__pydantic_fields_set__", _GIVEN)
            return event
        except ValidationError:
            if data.get("version") == SCHEMA_VERSION:
                raise
    return UnknownEvent.model_validate(data)


@cache
def event_schema() -> Json:
    """JSON Schema of all events; `widgets/src/events.ts` is generated from it."""
    adapter: TypeAdapter[Any] = TypeAdapter(AnyEvent)
    return adapter.json_schema(ref_template="#/$defs/{model}")
