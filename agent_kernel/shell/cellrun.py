"""`CellRun`: a run as the value of a cell, with methods that block instead of being awaited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.shell.bridge import Bridge

if TYPE_CHECKING:
    from agent_kernel.client import Run
    from agent_kernel.events import Event, Message, TodoItem, Undo
    from agent_kernel.folds import ChangedFile
    from agent_kernel.usage import Usage


class CellRun:
    """One prompt being worked on, or done. `.run` is the same for async code on the agents' own loop."""

    def __init__(self, run: Run, bridge: Bridge, *, quiet: bool = True) -> None:
        self.run = run
        self._bridge = bridge
        self._quiet = quiet

    def __repr__(self) -> str:
        files = ", ".join(file.path for file in self.files)
        cost = "" if self.cost is None else f", ${self.cost:.4f}"
        return f"<Run {self.id} {self.status}{cost}{f', files: {files}' if files else ''}>"

    def _ipython_display_(self) -> None:
        """Nothing under a view that shows the run already; one line in a terminal."""
        if not self._quiet:
            print(repr(self))  # noqa: T201 - this is how the value is displayed

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def status(self) -> str:
        """queued, running, waiting, paused, completed, failed or cancelled."""
        return self.run.status

    @property
    def reason(self) -> str:
        return self.run.reason

    @property
    def text(self) -> str:
        """The final answer so far."""
        return self.run.text

    @property
    def events(self) -> list[Event]:
        return self.run.events

    @property
    def messages(self) -> list[Message]:
        return self.run.messages

    @property
    def files(self) -> list[ChangedFile]:
        """Files it changed and that were not put back."""
        return self.run.files

    @property
    def todo(self) -> list[TodoItem]:
        return self.run.todo

    @property
    def usage(self) -> Usage:
        """Tokens of all turns together."""
        return self.run.usage

    @property
    def cost(self) -> float | None:
        """USD, or None when a price is not known."""
        return self.run.cost

    def diff(self) -> Diff:
        """All changes to files as one unified diff."""
        return Diff(self.run.diff())

    def save(self, path: str | Path) -> Path:
        """Write the transcript: `.ipynb`, `.html` or `.md` by the name's ending."""
        return self.run.save(path)

    def to_notebook(self, path: str | Path) -> Path:
        """Write a clean notebook (`.ipynb`): only the Python that led to the result, the prompt and the answer. Run
        from the top it gives the result again."""
        return self._bridge.call(self.run.to_notebook(path))

    # -- what people do to it ----------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> CellRun:
        """Until it has settled. Raises TimeoutError after `timeout` seconds; an interrupt stops waiting,
        not the run."""
        self._bridge.call(self.run.wait(), timeout)
        return self

    def stop(self) -> CellRun:
        """Stop it, and wait until it has stopped."""
        self._bridge.call(self.run.stop())
        return self.wait()

    def pause(self) -> None:
        self._bridge.call(self.run.pause())

    def resume(self) -> None:
        self._bridge.call(self.run.resume())

    def say(self, text: str) -> None:
        """Steer it: the model hears this with its next request."""
        self._bridge.call(self.run.say(text))

    def answer(self, request_id: str, decision: str) -> None:
        """Answer an approval request with `allow`, `deny` or `session`."""
        self._bridge.call(self.run.answer(request_id, decision))

    def undo(self, call_id: str | None = None, path: str | None = None) -> Undo:
        """Put files back to before the run (or one call, or one file); those changed since are left alone
        and named in `.skipped`."""
        return self._bridge.call(self.run.undo(call_id, path))


class Diff(str):
    """A unified diff that is readable when it is a cell's value."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        from agent_kernel.shell.attach import fenced

        if not self:
            return "No file was changed."
        return fenced(self).replace("\n", "diff\n", 1)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self) or "No file was changed.")


class QuietError(AgentKernelError):
    """Ends a cell with one line instead of a traceback; `Run All` and nbconvert still notice."""

    run: CellRun | None = None

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class AgentStopped(QuietError):
    """The person stopped the run."""


class AgentFailed(QuietError):
    """The run ended as failed, or could not begin."""
