"""The view for places without live widgets: a line for each thing that happens."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agent_kernel.client import Run
from agent_kernel.errors import AlreadyAppended
from agent_kernel.events import (
    LOOP,
    ApprovalAnswer,
    ApprovalRequest,
    BrowserUpdate,
    Compaction,
    Error,
    Event,
    FileChange,
    Handover,
    Json,
    Message,
    Status,
    Thought,
    Todo,
    ToolCall,
    ToolResult,
    Undo,
)
from agent_kernel.shell.bridge import Bridge, Interrupted, NoMainThread
from agent_kernel.transcript.story import provider_note

WIDTH = 110
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
RED, DIM, PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Lines:
    """Turns events into lines. `colour` allows terminal escapes of our own; others never pass."""

    def __init__(self, *, colour: bool = False) -> None:
        self.colour = colour
        self._tools: dict[str, str] = {}

    def of(self, event: Event) -> list[str]:
        """The lines one event is worth; most are worth none."""
        match event:
            case Message(role="assistant", text=text) if text.strip():
                return ["", *clean(text).strip().split("\n"), *(["(stopped here)"] if event.partial else [])]
            case Message(role="assistant", content=[*blocks]) if not event.text.strip():
                return [self._dim(f"  {one_line(provider_note(block))}") for block in blocks]
            case ToolCall():
                self._tools[event.id] = event.tool
                return [f"· {clean(event.tool)} {one_line(call_text(event.args))}".rstrip()]
            case ToolResult(is_error=True):
                tool = clean(self._tools.get(event.id, "tool"))
                return [self._red(f"  ✗ {tool}: {one_line(result_text(event))}")]
            case FileChange():
                numbers = "binary" if event.binary else f"+{event.added} −{event.removed}"
                return [f"  {event.action} {one_line(event.path)} ({numbers})"]
            case Todo():
                done = sum(item.status == "completed" for item in event.items)
                now = next((item.text for item in event.items if item.status == "in_progress"), "")
                return [
                    self._dim(
                        f"  plan: {done} of {len(event.items)} done" + (f"; {one_line(now)}" if now else "")
                    )
                ]
            case _:
                return self._rarer(event)

    def _rarer(self, event: Event) -> list[str]:
        match event:
            case Message(role="user", text=text) if event.turn and event.by not in ("", LOOP):
                return [f"> {one_line(text)}"]
            case Thought(text=text) if text.strip():
                return [self._dim(f"  … {one_line(text)}")]
            case ApprovalRequest():
                return [f"? {one_line(event.what)}"]
            case ApprovalAnswer():
                return [f"  {event.decision}" + (f": {one_line(event.reason)}" if event.reason else "")]
            case Undo():
                return [f"  put back: {one_line(', '.join(event.paths) or 'nothing')}"]
            case Handover():
                return [f"  the desktop is {'a person' if event.to == 'person' else 'the agent'}'s"]
            case BrowserUpdate(kind="desktop"):
                return [f"  the desktop {'was started' if event.live else 'has ended'}"]
            case BrowserUpdate():
                return [f"  {'served' if event.live else 'no longer served'}: {one_line(event.url)}"]
            case Compaction(summary=""):
                return [self._dim("  the earlier conversation was cleared for the model")]
            case Compaction():
                return [self._dim("  the earlier conversation was summarised for the model")]
            case Error(retrying=True):
                return [self._red(f"! {one_line(event.message)} Trying again.")]
            case Error():
                said = one_line(sentences(event.message, event.hint), 6 * WIDTH)
                return [self._red(line) for line in textwrap.wrap(f"! {said}", WIDTH)]
            case Status(status="paused" | "cancelled") as status:
                return [f"[{status.status}{f': {status.reason}' if status.reason != status.status else ''}]"]
            case _:
                return []

    def _red(self, text: str) -> str:
        return f"{RED}{text}{PLAIN}" if self.colour else text

    def _dim(self, text: str) -> str:
        return f"{DIM}{text}{PLAIN}" if self.colour else text


class TextView:
    """Prints lines as they come; `ask` puts an approval to a person and is None where nobody is."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        info: Json,
        ask: Callable[[Run, ApprovalRequest], Awaitable[None]] | None = None,
        end: Callable[[Sequence[Event]], None] = lambda events: None,
        failed: Callable[[str], None] | None = None,
        colour: bool = False,
    ) -> None:
        self.write = write
        self.ask = ask
        self.end = end
        self.failed = failed or write
        self.lines = Lines(colour=colour)
        self.run: Run | None = None
        if info.get("demo"):
            self.write("Offline demo, no AI.")
        if info.get("permission") == "bypass":
            warning = "permission bypass: everything the agent does happens without asking."
            self.write(f"{RED}{warning}{PLAIN}" if colour else warning)

    def attach(self, run: Run) -> None:
        self.run = run

    async def show(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.seq:
                for line in self.lines.of(event):
                    self.write(line)
            if isinstance(event, ApprovalRequest) and self.ask is not None and self.run is not None:
                try:
                    await self.ask(self.run, event)
                except AlreadyAppended as first:  # somebody has decided elsewhere, in the panel perhaps
                    self.write(f"  {clean(first.message)}")

    def finish(self, events: Sequence[Event]) -> None:
        self.end(events)

    def fail(self, message: str) -> None:
        self.failed(clean(message))


class Asking:
    """Asks at the terminal, in the main thread, what only a person may decide."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge

    async def __call__(self, run: Run, request: ApprovalRequest) -> None:
        if any(isinstance(e, ApprovalAnswer) and e.id == request.id for e in run.events):
            return
        try:
            decision = await self.bridge.in_main(lambda: decision_typed(request))
        except NoMainThread:
            decision = "deny"
        await run.answer(request.id, decision)


CHOICES = {"y": "allow", "yes": "allow", "s": "session", "session": "session", "n": "deny", "no": "deny"}


def decision_typed(request: ApprovalRequest) -> str:
    """The answer of the person at the terminal; blocks. No answer is a no."""
    question = f"  {one_line(request.reason)}\n  Allow? [y]es once, [s]ession, [n]o: "
    try:
        while True:
            answer = input(question).strip().lower()
            if answer in CHOICES:
                return CHOICES[answer]
    except EOFError:
        return "deny"
    except KeyboardInterrupt:
        raise Interrupted("deny") from None


def print_line(line: str) -> None:
    """Like print, and seen at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def clean(text: str) -> str:
    """Text of a model, a tool or a file name without what a terminal would obey."""
    return _BIDI.sub("", _CONTROL.sub("", text.replace("\r\n", "\n")))


def sentences(message: str, hint: str) -> str:
    """A message and what to do next, told apart."""
    ended = message.rstrip().endswith((".", "!", "?", ":"))
    return f"{message.rstrip()}{'' if ended or not hint else '.'} {hint}".strip()


def one_line(text: str, width: int = WIDTH) -> str:
    line = " ".join(clean(text[: 4 * width].replace("\r", " ")).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def call_text(args: dict[str, Any]) -> str:
    """What a call is about: its telling argument, else all of them."""
    for name in ("command", "path", "pattern", "code", "query", "url"):
        if isinstance(args.get(name), str):
            text = str(args[name])
            return text.partition("\n")[0].removeprefix("# ") if text.startswith("# ") else text
    if len(args) == 1 and isinstance(only := next(iter(args.values())), str):
        return only
    return " ".join(f"{name}={value!r}" for name, value in args.items() if not isinstance(value, list | dict))


def result_text(result: ToolResult) -> str:
    """The last line of an error is the one that says it."""
    texts = [str(block.get("text", "")) for block in result.content if block.get("type") == "text"]
    lines = [line for line in "\n".join(texts).split("\n") if line.strip()]
    return lines[-1] if lines else "failed"
