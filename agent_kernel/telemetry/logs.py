"""Log lines as JSON objects, one a line, with the ids of the run and the session they are about.

No content: a line of a run says how it went, never what was asked or answered, and of an exception only its type and
where it was raised.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from agent_kernel.events import Event, Status
from agent_kernel.folds import RunState, settles
from agent_kernel.runs.records import RunRow
from agent_kernel.settings import Settings
from agent_kernel.telemetry.observer import current_run

MOST_FRAMES = 30
logger = logging.getLogger("agent_kernel.runs")


class JsonLines(logging.Formatter):
    """`time`, `level`, `logger`, `message`, the ids, and what the line's author put under `facts`."""

    def format(self, record: logging.LogRecord) -> str:
        run = current_run.get()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"run_id": run.id, "session_id": run.session_id} if run else {}),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])[-MOST_FRAMES:]
            line["error_type"] = record.exc_info[0].__name__
            line["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False, default=str)


class RunLines:
    """An Observer that logs the begin and the end of each run."""

    def __init__(self) -> None:
        self._states: dict[str, RunState] = {}

    def begin(self, run: RunRow) -> None:
        self._states[run.id] = RunState()

    def seen(self, run: RunRow, events: Sequence[Event]) -> None:
        state = self._states[run.id]
        for event in events:
            state.add(event)
            if isinstance(event, Status) and event.reason == "starting":
                _say(run, "run started", model=run.model, agent=run.agent)
            elif isinstance(event, Status) and settles(event):
                _say(
                    run, "run ended", status=event.status, reason=event.reason, model=run.model, turns=state.turn,
                    tool_calls=len(state.calls), tokens=state.tokens, cost_usd=state.cost, worked_ms=state.worked_ms,
                )  # fmt: skip

    def end(self, run: RunRow) -> None:
        self._states.pop(run.id, None)

    def close(self) -> None: ...


def _say(run: RunRow, message: str, **facts: Any) -> None:
    logger.info(message, extra={"facts": {"run_id": run.id, "session_id": run.session_id, **facts}})


def configure_logs(settings: Settings, stream: TextIO | None = None) -> None:
    """For a program of its own (server, worker): its lines go to stderr in the format asked for."""
    if settings.log_format != "json":
        return
    package = logging.getLogger("agent_kernel")
    if any(isinstance(handler.formatter, JsonLines) for handler in package.handlers):
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    package.propagate = False
