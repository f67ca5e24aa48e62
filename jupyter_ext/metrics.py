"""Metrics of the runs worked on here, on Jupyter's own `/metrics`. Labels are few and say nothing of people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from agent_kernel.app import App
from agent_kernel.errors import AgentKernelError
from agent_kernel.events import ContextUpdate, Event
from agent_kernel.runs.records import UNFINISHED, RunRow
from agent_kernel.trace import Span, Trace

REFRESH = 15.0
"""Seconds between looks at the queue."""
MOST_NAMES = 50
"""Different models and tools that get a label of their own: names come from outside, and each costs memory for good."""
SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
logger = logging.getLogger(__name__)


@cache
def _measures() -> Any:
    """Registered once a process, whatever is opened and closed in it."""
    return _Measures()


class _Measures:
    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        def counter(name: str, says: str, *labels: str) -> Any:
            return Counter(f"agent_kernel_{name}", says, labels)

        def histogram(name: str, says: str, *labels: str) -> Any:
            return Histogram(f"agent_kernel_{name}", says, labels, buckets=SECONDS)

        self.unfinished = Gauge(
            "agent_kernel_runs_unfinished", "Runs of the store that have not ended, by status.", ["status"]
        )
        self.working = Gauge("agent_kernel_runs_working", "Runs this process works on.")
        self.runs = counter("runs", "Activations of runs that ended here.", "status", "model")
        self.run_seconds = histogram("run_seconds", "How long they took.", "status")
        self.tokens = counter("tokens", "Tokens used.", "model", "kind")
        self.cost = counter("cost_usd", "What they cost, where the price is known.", "model")
        self.requests = histogram("request_seconds", "Answers of the model, retries included.", "model")
        self.retries = counter("retries", "Requests that were tried again.", "reason")
        self.calls = counter("tool_calls", "Tool calls.", "tool", "outcome")
        self.call_seconds = histogram("tool_seconds", "How long they took.", "tool")
        self.approvals = histogram("approval_seconds", "How long runs waited for a person.")


class Metrics:
    """An Observer that counts. `start` also keeps an eye on the queue, which other processes fill and empty too."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._measures = _measures()
        self._traces: dict[str, Trace] = {}
        self._names: dict[str, set[str]] = {"model": set(), "tool": set()}
        self._looking: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def start(self) -> None:
        self._app.observe(self)
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            try:
                standing = await self._app.store.standing()
                for status in UNFINISHED:
                    self._measures.unfinished.labels(status).set(standing.get(status, 0))
            except AgentKernelError as error:
                logger.warning("counting the runs failed: %s", error)
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), REFRESH)

    # -- what an Observer does ---------------------------------------------------------------------------

    def begin(self, run: RunRow) -> None:
        self._traces[run.id] = Trace()
        self._measures.working.set(len(self._traces))

    def seen(self, run: RunRow, events: Sequence[Event]) -> None:
        trace = self._traces[run.id]
        for event in events:
            for span in trace.add(event):
                self._count(run, span)
                if span.kind == "run":
                    self._traces[run.id] = trace = Trace()
            if event.type == "status":
                self._news.set()
        trace.forget()

    def end(self, run: RunRow) -> None:
        self._traces.pop(run.id, None)
        self._measures.working.set(len(self._traces))

    def close(self) -> None: ...

    # -- counting ----------------------------------------------------------------------------------------

    def _count(self, run: RunRow, span: Span) -> None:
        seconds, measures = (span.end - span.start) / 1000, self._measures
        match span.kind:
            case "run":
                status = "failed" if span.state == "error" else span.reason
                status = {"complete": "completed"}.get(status, status)
                measures.runs.labels(status, self._name("model", run.model)).inc()
                measures.run_seconds.labels(status).observe(seconds)
            case "chat":
                measures.requests.labels(self._name("model", run.model)).observe(seconds)
                if span.attempts > 1:
                    measures.retries.labels(span.reason or "other").inc(span.attempts - 1)
                if span.usage is not None:
                    self._used(span.usage)
            case "tool":
                tool = self._name("tool", span.name)
                measures.calls.labels(tool, span.state).inc()
                measures.call_seconds.labels(tool).observe(seconds)
            case "approval":
                measures.approvals.observe(seconds)

    def _used(self, used: ContextUpdate) -> None:
        model = self._name("model", used.model)
        for kind in ("input", "output", "cache_read", "cache_write"):
            self._measures.tokens.labels(model, kind).inc(getattr(used, f"{kind}_tokens"))
        self._measures.cost.labels(model).inc(used.cost_usd or 0.0)

    def _name(self, of: str, name: str) -> str:
        known = self._names[of]
        if name not in known and len(known) < MOST_NAMES:
            known.add(name)
        return name if name in known else "other"
