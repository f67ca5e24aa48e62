"""The output of a notebook that is executed by a program: rewritten in place, and read later."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agent_kernel.events import Event

INTERVAL = 0.5
"""Seconds between two rewrites; what executes the notebook keeps only the last."""
MOST_LINES = 200


class Document:
    """One display output: progress as text while it lasts, then the run's static bundle."""

    def __init__(self) -> None:
        from IPython.display import display

        self.lines: list[str] = []
        self._shown = time.monotonic()
        self.handle = display({"text/plain": "The agent is working …"}, raw=True, display_id=True)

    def write(self, line: str) -> None:
        self.lines.append(line)
        if time.monotonic() - self._shown >= INTERVAL:
            self._shown = time.monotonic()
            self.handle.update({"text/plain": "\n".join(self.lines[-MOST_LINES:])}, raw=True)

    def fail(self, message: str) -> None:
        self.handle.update({"text/plain": "\n".join([*self.lines[-MOST_LINES:], message])}, raw=True)

    def finish(self, events: Sequence[Event]) -> None:
        from agent_kernel.transcript import bundle, metadata

        self.handle.update(bundle(events), raw=True, metadata=metadata(events))
