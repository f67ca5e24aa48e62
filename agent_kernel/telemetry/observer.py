"""Who is told of runs, and how: the calls are cheap, and never fail for whoever makes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from agent_kernel.events import Event
from agent_kernel.runs.records import RunRow

logger = logging.getLogger(__name__)
current_run: ContextVar[RunRow | None] = ContextVar("agent_kernel_run", default=None)
"""The run that the code at hand works for."""


class Observer(Protocol):
    """Something that watches the runs this process works on."""

    def begin(self, run: RunRow) -> None:
        """This process works on the run from now on."""
        ...

    def seen(self, run: RunRow, events: Sequence[Event]) -> None:
        """These were stored, in order, whoever appended them through this process."""
        ...

    def end(self, run: RunRow) -> None:
        """This process works on the run no longer."""
        ...

    def close(self) -> None:
        """Hand over what is still held; may take seconds."""
        ...


class Observers:
    """All of them. One that raises is not heard of again by the run that was appended to, only by the log."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = list(observers)
        self._runs: dict[str, RunRow] = {}

    def __bool__(self) -> bool:
        return bool(self._observers)

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    @contextmanager
    def working_on(self, run: RunRow) -> Iterator[None]:
        if not self._observers:
            yield
            return
        token = current_run.set(run)
        self._runs[run.id] = run
        self._tell(lambda observer: observer.begin(run))
        try:
            yield
        finally:
            self._runs.pop(run.id, None)
            self._tell(lambda observer: observer.end(run))
            current_run.reset(token)

    def stored(self, run_id: str, events: Sequence[Event]) -> None:
        if (run := self._runs.get(run_id)) is not None:
            self._tell(lambda observer: observer.seen(run, events))

    def close(self) -> None:
        self._tell(lambda observer: observer.close())

    def _tell(self, call: Callable[[Observer], Any]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception:
                logger.exception("%s failed", type(observer).__name__)
