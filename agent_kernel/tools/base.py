"""What a tool is: a name, a JSON schema, a permission class and `run(args, context)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from agent_kernel.events import Event, Json, Output
from agent_kernel.sandbox.base import NetworkPolicy, Sandbox
from agent_kernel.tools.notebook.pages import OpenNotebooks

Access: TypeAlias = Literal["read", "sandbox", "outside"]
"""`read` changes nothing, `sandbox` changes what is inside the sandbox, `outside` leaves it (the
network, the user's kernel, writes through MCP)."""

Permission: TypeAlias = Literal["plan", "ask", "accept-edits", "bypass"]


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a call gives. `content` goes to the model, `events` are appended before the result. `foreign` says where
    text of strangers in it is from."""

    content: list[Json]
    is_error: bool = False
    outputs: list[Output] = field(default_factory=list)
    truncated_bytes: int = 0
    output_path: str | None = None
    events: list[Event] = field(default_factory=list)
    foreign: str = ""

    @classmethod
    def text(cls, text: str, **rest: Any) -> ToolOutput:
        """A result of one text block."""
        return cls(content=[{"type": "text", "text": text}], **rest)


class Asker(Protocol):
    """Asks a person during a call; returns False (with the reason kept for the result) on a no."""

    async def __call__(self, *, scope: str, what: str, reason: str) -> bool: ...


class KernelBridge(Protocol):
    """The user's own kernel, where `notebook_python` runs and `notebook_variables` looks."""

    async def run(self, code: str, emit: Callable[[str], None]) -> ToolOutput: ...

    async def variables(self, names: Sequence[str]) -> ToolOutput:
        """What the named variables are (without names: all of the person's), never what they hold."""
        ...

    async def export(self, name: str, stem: str) -> ToolOutput:
        """Write the DataFrame `name` to the workspace's file `stem`, with the ending of its format."""
        ...

    async def import_table(self, path: str, name: str, *, replace: bool = False) -> ToolOutput:
        """Make the table in the workspace's file `path` the variable `name`."""
        ...


@dataclass(frozen=True, slots=True)
class AttachedKernel:
    """The user's kernel in another process. It follows the run's log, executes the calls that are for it and
    appends their results (see `Account.begin_call`). With a `notebook` (where that file is) it knows nothing of the
    run, and is asked through the page that has the notebook open (see `PageKernel`)."""

    notebook: str = ""


@dataclass(slots=True)
class ToolContext:
    """What a tool may use during one call.

    `emit` shows live output (text) in the card. `state` is the session's own, kept between calls of the
    same App (the persistent Python of a sandbox lives there); its values may offer `async close()`. `network` is for
    tools that reach the internet themselves: what the sandbox's processes may, they may. `notebooks` are those that
    the person has open in a browser. `turn` waits until the desktop is the agent's, and says what the model should
    know of that.
    """

    run_id: str
    call_id: str
    sandbox: Sandbox
    emit: Callable[[str], None]
    ask: Asker
    state: dict[str, Any]
    kernel: KernelBridge | None = None
    max_output: int = 30_000
    timeout: float = 600.0
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    notebooks: OpenNotebooks | None = None
    turn: Callable[[], Awaitable[str]] | None = None

    def seconds(self, wanted: float) -> float:
        """How long a tool may take when it ends by itself: early enough to still tell what it has."""
        return min(wanted, max(self.timeout - 10, self.timeout * 0.9))

    def output_file(self, ending: str = "txt") -> str:
        """Where the whole of this call's output is kept when the model gets a part of it."""
        return f"{self.sandbox.session}/outputs/{self.call_id}.{ending}"


class ToolRun(Protocol):
    async def __call__(self, args: Json, context: ToolContext) -> ToolOutput: ...


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the model may call.

    `describe(args)` is what an approval shows; where the arguments alone do not say it, `show(args, context)`
    looks and does, or raises `ToolError`: then nobody is asked, and nothing done. `input_schema` is JSON
    Schema 2020-12; arguments are checked against it before `run`, which may raise `ToolError` with words for
    the model. `in_kernel` says that it is executed by the user's own kernel, wherever that is. A tool that
    stands for others has a `target(args)`: the one whose access and name count for these arguments (None: its
    own).

    `foreign`: what it returns was written by strangers, and is marked so (`ToolOutput.foreign` names them more
    closely); `source` is the one place it can come from. `sends`: what it is given reaches others even when it
    only reads. `typed`: the provider runs it itself, under this definition. `granted(args, events)`: the person has
    said yes to this call before, in a prompt of the session. `shown(args)`: text that the person's browser shows at
    once. `prepare` comes before the snapshot that the call can be
    taken back to.
    """

    name: str
    description: str
    input_schema: Json
    access: Access
    run: ToolRun
    describe: Callable[[Json], str]
    show: Callable[[Json, ToolContext], Awaitable[str]] | None = None
    summary: str = ""
    in_kernel: bool = False
    target: Callable[[Json], Tool | None] | None = None
    foreign: bool = False
    sends: bool = False
    source: str = ""
    typed: Json | None = None
    granted: Callable[[Json, Sequence[Event]], bool] | None = None
    shown: Callable[[Json], str] | None = None
    prepare: Callable[[Json, ToolContext], Awaitable[None]] | None = None

    @property
    def read_only(self) -> bool:
        return self.access == "read"

    def param(self) -> Json:
        """The tool as the Messages API wants it."""
        return self.typed or {
            "name": self.name,
            "description": self.description,
            "input_schema": self.input_schema,
        }


ToolFactory: TypeAlias = Callable[[], Sequence[Tool]]
Closer: TypeAlias = Callable[[], Awaitable[None]]
