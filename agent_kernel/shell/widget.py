"""The live view: an anywidget in the cell's output, fed with events, swapped for a static bundle at the end.

Kernel to JavaScript, as custom messages: `{kind: "events", events}`, `{kind: "notice", text}`, and `{kind: "heard"}` as
the answer to a hello, which is repeated until then: only now is it known that messages reach the kernel.
JavaScript to kernel: `hello {after}`, `approve {id, decision}`, `control {action}`, `message {text}`,
`undo {call_id, path}`, `skip` (without a model after all).
Messages from the page are text of strangers and checked one by one. Events sent
before the page said hello are mirrored in the trait `backlog`, for front ends whose messages only reach
the kernel after the cell.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from agent_kernel.client import Run
from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.events import Context, Event, Json
from agent_kernel.shell.bridge import Bridge

STATIC = Path(__file__).parent.parent / "static"
MOST_BYTES = 480 << 10
"""Of one message; front ends and proxies cut off larger ones."""
MIRROR_SECONDS = 3.0
MIRROR_INTERVAL = 0.5
MESSAGE_INTERVAL = 0.05
SETUP_PATIENCE = 1_800.0
"""Seconds after which nobody is taken to be there: the run begins, and says what is missing."""
SETUP_INTERVAL = 0.7
"""Seconds between two looks at whether a model is set up now."""
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
WORKING = "The agent is working …"
logger = logging.getLogger(__name__)


@cache
def view_class(static: Path = STATIC) -> type[Any]:
    """The widget's class. Raises SettingsError where the front end was not built."""
    script, style = static / "cell.js", static / "cell.css"
    if not script.is_file():
        raise SettingsError(
            f"The live view's script {script} is missing.",
            hint="Build the front end (make build), or set AGENT_KERNEL_VIEW=text.",
        )
    import anywidget
    import traitlets

    class AgentView(anywidget.AnyWidget):  # type: ignore[misc]
        _esm = script
        _css = style if style.is_file() else ""
        backlog = traitlets.Unicode("[]").tag(sync=True)
        run_id = traitlets.Unicode("").tag(sync=True)
        tier = traitlets.Unicode("").tag(sync=True)
        info = traitlets.Unicode("{}").tag(sync=True)

    return AgentView


class LiveView:
    """One run in one cell. Made in the main thread; from then on everything happens on the loop."""

    def __init__(self, bridge: Bridge, info: Callable[[], Json], *, static: Path = STATIC) -> None:
        from IPython.display import display

        self.bridge = bridge
        self.run: Run | None = None
        self._early: list[Action] = []
        self.sent: list[Event] = []
        self.mirroring = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._mirrored: list[str] = []
        self._room = MOST_BYTES
        self._mirror_due: asyncio.TimerHandle | None = None
        self._needs_model = False
        self._skipped = asyncio.Event()
        self.info = info
        self.widget = view_class(static)(**self._header())
        # ipykernel 7.4 routes replies to the shell that published last, which is the one that is blocked.
        if hasattr(self.widget.comm, "_reply_subshell_for"):
            self.widget.comm._reply_subshell_for = lambda data, default: default
        self.widget.on_msg(self._on_message)
        self.handle = display(self._view(), raw=True, display_id=True)

    # -- the View protocol -----------------------------------------------------------------------------

    def attach(self, run: Run) -> None:
        self.run = run
        self.widget.run_id = run.id
        # Whoever opens the notebook again finds the run by this, should this kernel not see its end.
        self.handle.update(self._view(), raw=True, metadata={"agent_kernel": {"run_id": run.id}})
        for action in self._early:
            self._start(self._do(action, run))
        asyncio.get_running_loop().call_later(MIRROR_SECONDS, self._stop_mirroring)

    def _view(self) -> Json:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {WIDGET_MIME: view, "text/plain": WORKING}

    async def set_up(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Show how a model is set up until one is, or the person goes on without. The page asks the server
        itself: a key never comes into the kernel."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETUP_PATIENCE):
                while not self._skipped.is_set() and not await ready():
                    self._say_model(needed=True)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._skipped.wait(), SETUP_INTERVAL)
        self._say_model(needed=False)

    def _say_model(self, *, needed: bool) -> None:
        if needed != self._needs_model:
            self._needs_model = needed
            self.widget.set_trait("info", self._header()["info"])

    def _header(self) -> dict[str, str]:
        info = self.info() | ({"setup": True} if self._needs_model else {})
        return {"info": json.dumps(info), "tier": str(info.get("tier", ""))}

    async def show(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Context):  # the sandbox is open, its tier is known
                self.widget.set_trait("info", self._header()["info"])
                self.widget.set_trait("tier", event.tier)
        stored = [event for event in events if event.seq]
        self.sent += stored
        if self.mirroring and stored:
            self._remember(stored)
            if self._mirror_due is None:
                self._mirror()
        await self._send(events)

    def _remember(self, events: Sequence[Event]) -> None:
        """For the mirror, as far as it stays one message; a page that said hello gets the rest."""
        for event in events:
            if self._room < 1:
                return
            text = event.model_dump_json()
            self._room -= len(text.encode()) + 1
            if self._room > 0:
                self._mirrored.append(text)

    def _mirror(self) -> None:
        """Write the backlog, and again after an interval if more has come; traits cost messages too."""
        text = f"[{','.join(self._mirrored)}]"
        self._mirror_due = None
        if self.mirroring and text != self.widget.backlog:
            self.widget.backlog = text
            self._mirror_due = asyncio.get_running_loop().call_later(MIRROR_INTERVAL, self._mirror)

    def finish(self, events: Sequence[Event]) -> None:
        from agent_kernel.transcript import bundle, metadata

        self.handle.update(bundle(events), raw=True, metadata=metadata(events))
        self._close()

    def fail(self, message: str) -> None:
        self.handle.update({"text/plain": message}, raw=True)
        self._close()

    def _close(self) -> None:
        self._stop_mirroring()
        self.widget._esm = ""  # a notebook that keeps widget state should not keep the script
        self.widget.close()

    def _stop_mirroring(self) -> None:
        self.mirroring = False
        self._mirrored.clear()

    async def _send(self, events: Sequence[Event]) -> None:
        for number, part in enumerate(split(events)):
            if number:
                await asyncio.sleep(MESSAGE_INTERVAL)
            self.widget.send({"kind": "events", "events": part})

    # -- what the page says ------------------------------------------------------------------------------

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        """In whatever thread the kernel takes comm messages."""
        self.bridge.later(self._take, content)

    def _take(self, content: Any) -> None:
        if isinstance(content, dict) and content.get("kind") == "hello":
            after = content.get("after")
            if isinstance(after, int) and not isinstance(after, bool):
                self._stop_mirroring()
                self.widget.send({"kind": "heard"})
                self._start(self._send([event for event in self.sent if event.seq > after]))
            return
        if isinstance(content, dict) and content.get("kind") == "skip":
            self._skipped.set()
            return
        action = asked(content)
        if action is not None and self.run is not None:
            self._start(self._do(action, self.run))
        elif action is not None:  # the run is about to begin
            self._early.append(action)

    async def _do(self, action: Action, run: Run) -> None:
        try:
            await action(run)
        except AgentKernelError as error:
            self.widget.send({"kind": "notice", "text": str(error)})

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a message from the view of a run failed: %s", error)


Action = Callable[[Run], Coroutine[Any, Any, object]]


CONTROLS: dict[str, Action] = {
    "pause": Run.pause,
    "resume": Run.resume,
    "cancel": Run.stop,
    "take-over": Run.take_over,
    "hand-back": Run.hand_back,
}


def asked(content: Any) -> Action | None:
    """What the page's message asks for; None for anything that is not exactly of the protocol."""
    match content:
        case {"kind": "approve", "id": str(name), "decision": ("allow" | "deny" | "session") as decision}:
            return lambda run: run.answer(name, decision)
        case {"kind": "control", "action": str(action)} if action in CONTROLS:
            return CONTROLS[action]
        case {"kind": "message", "text": str(text)} if text.strip():
            return lambda run: run.say(text)
        case {"kind": "undo"}:
            call, path = content.get("call_id"), content.get("path")
            if isinstance(call, str | None) and isinstance(path, str | None):
                return lambda run: run.undo(call or None, path or None)
    return None


def split(events: Sequence[Event]) -> list[list[Json]]:
    """The events as JSON in messages below the size limit; an event larger than it goes alone."""
    parts: list[list[Json]] = []
    size = MOST_BYTES
    for event in events:
        text = event.model_dump_json()
        length = len(text.encode())
        if size + length > MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(json.loads(text))
        size += length
    return parts
