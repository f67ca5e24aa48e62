"""OpenTelemetry traces by the GenAI semantic conventions, to any OTLP/HTTP receiver (and Langfuse, which is one).

`invoke_agent` spans hold `chat` and `execute_tool` spans. They are made of the run's events, so they say what the log
says. The Anthropic SDK makes spans of its own only for its typed methods, which are not used here: none comes twice.
The provider is private: what other libraries trace in this process is not ours to send.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent_kernel._version import __version__
from agent_kernel.errors import SettingsError
from agent_kernel.events import Event, Json, Message, Status, ToolCall, ToolResult
from agent_kernel.folds import settles
from agent_kernel.runs.records import RunRow
from agent_kernel.settings import Settings
from agent_kernel.trace import Span, Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

PATIENCE = 5.0
"""Seconds for a receiver to take what it is sent."""
MOST_CONTENT = 32_000
"""Characters of one piece of content, where it is asked for."""
AGENT = "agent-kernel"


class _Activation:
    """One run while this process works on it: its spans, and the open one that the others hang on."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.root: Any = None
        self.turns = self.retries = 0
        self.tokens = [0, 0, 0, 0]
        self.cost: float | None = 0.0
        self.said: dict[str, Any] = {}
        """Content, where it is asked for: what was asked, answered, called and returned."""


class Tracing:
    """An Observer that turns runs into spans as they happen."""

    def __init__(self, provider: TracerProvider, *, content: bool = False) -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("agent_kernel", __version__)
        self._content = content
        self._runs: dict[str, _Activation] = {}

    def begin(self, run: RunRow) -> None:
        self._runs[run.id] = _Activation(Trace())

    def seen(self, run: RunRow, events: Sequence[Event]) -> None:
        activation = self._runs[run.id]
        for event in events:
            if self._content:
                _listen(activation.said, event)
            ended = activation.trace.add(event)
            if activation.root is None and (
                roots := [s for s in activation.trace.spans if s.kind == "run" and not s.end]
            ):
                activation.root = self._root(run, roots[0])
            for span in ended:
                if span.kind == "run":
                    self._close(run, activation, span)
                elif activation.root is not None:
                    self._child(run, activation, span)
            if isinstance(event, Status) and settles(event):
                self._runs[run.id] = activation = _Activation(Trace())
        activation.trace.forget()

    def end(self, run: RunRow) -> None:
        activation = self._runs.pop(run.id, None)
        if activation is not None and activation.root is not None:  # this process stops; another one goes on
            activation.root.set_attribute("agent_kernel.run.status", "left")
            activation.root.end()

    def close(self) -> None:
        self._provider.shutdown()

    # -- spans -------------------------------------------------------------------------------------------

    def _root(self, run: RunRow, span: Span) -> Any:
        from opentelemetry.context import Context

        return self._tracer.start_span(
            f"invoke_agent {run.agent or AGENT}",
            context=Context(),
            start_time=_ns(span.start),
            attributes=_set(
                {
                    "gen_ai.operation.name": "invoke_agent",
                    "gen_ai.provider.name": "anthropic",
                    "gen_ai.agent.name": run.agent or AGENT,
                    "gen_ai.agent.version": run.agent_version or __version__,
                    "gen_ai.conversation.id": run.session_id,
                    "gen_ai.request.model": run.model,
                    "agent_kernel.run.id": run.id,
                    "agent_kernel.run.parent_id": run.parent_id,
                    "langfuse.session.id": run.session_id,
                }
            ),
        )

    def _close(self, run: RunRow, activation: _Activation, span: Span) -> None:
        root, activation.root = activation.root, None
        if root is None:
            return
        read, out, cached, written = activation.tokens
        root.set_attributes(
            _set(
                {
                    "gen_ai.usage.input_tokens": read + cached + written,
                    "gen_ai.usage.output_tokens": out,
                    "gen_ai.usage.cache_read.input_tokens": cached,
                    "gen_ai.usage.cache_creation.input_tokens": written,
                    "agent_kernel.cost_usd": activation.cost,
                    "agent_kernel.run.status": "failed" if span.state == "error" else span.reason,
                    "agent_kernel.run.turns": activation.turns,
                    "agent_kernel.run.retries": activation.retries,
                    "gen_ai.input.messages": activation.said.get("asked"),
                    "gen_ai.output.messages": activation.said.get("answered"),
                }
            )
        )
        _outcome(root, span)
        root.end(end_time=_ns(span.end))

    def _child(self, run: RunRow, activation: _Activation, span: Span) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        made = self._tracer.start_span(
            _named(run, span),
            context=set_span_in_context(activation.root),
            kind=SpanKind.CLIENT if span.kind == "chat" else SpanKind.INTERNAL,
            start_time=_ns(span.start),
            attributes=_set({"gen_ai.conversation.id": run.session_id, "agent_kernel.turn": span.turn}),
        )
        if span.kind == "chat":
            made.set_attributes(_set(_chat(run, activation, span)))
        elif span.kind == "tool":
            made.set_attributes(_set(_tool(activation, span)))
        else:
            made.set_attributes(_set({"agent_kernel.decision": span.reason, "gen_ai.tool.name": span.name}))
        _outcome(made, span)
        made.end(end_time=_ns(span.end))


def _named(run: RunRow, span: Span) -> str:
    return {"chat": f"chat {run.model}", "tool": f"execute_tool {span.name}"}.get(span.kind, span.kind)


def _chat(run: RunRow, activation: _Activation, span: Span) -> dict[str, Any]:
    used = span.usage
    activation.turns += 1
    activation.retries += span.attempts - 1
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": run.model,
        "agent_kernel.chat.retries": span.attempts - 1,
        "gen_ai.output.messages": activation.said.pop(f"turn {span.turn}", None),
    }
    if used is None:
        return found
    parts = (used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
    activation.tokens = [total + part for total, part in zip(activation.tokens, parts, strict=True)]
    known = activation.cost is not None and used.cost_usd is not None
    activation.cost = activation.cost + used.cost_usd if known else None  # type: ignore[operator]
    return {
        **found,
        "gen_ai.response.model": used.model,
        "gen_ai.usage.input_tokens": used.input_tokens + used.cache_read_tokens + used.cache_write_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": used.cache_write_tokens,
        "agent_kernel.cost_usd": used.cost_usd,
    }


def _tool(activation: _Activation, span: Span) -> dict[str, Any]:
    arguments, result = activation.said.pop(f"call {span.id}", (None, None))
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": span.name,
        "gen_ai.tool.call.id": span.id,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.arguments": arguments,
        "gen_ai.tool.call.result": result,
    }


def _outcome(made: Any, span: Span) -> None:
    from opentelemetry.trace import StatusCode

    if span.state == "error":
        made.set_attribute("error.type", span.reason or "tool_error")
        made.set_status(StatusCode.ERROR)


def _set(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value not in (None, "")}


def _ns(ms: int) -> int:
    return ms * 1_000_000


# -- content, where it is asked for ----------------------------------------------------------------------


def _listen(said: dict[str, Any], event: Event) -> None:
    match event:
        case Message(role="user"):
            said["asked"] = _messages("user", event.text)
        case Message():
            said["answered"] = said[f"turn {event.turn}"] = _messages("assistant", event.text)
        case ToolCall():
            said[f"call {event.id}"] = (_cut(json.dumps(event.args)), None)
        case ToolResult():
            arguments, _ = said.get(f"call {event.id}", (None, None))
            said[f"call {event.id}"] = (arguments, _cut(json.dumps(_texts(event.content))))


def _messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": _cut(text)}]}])


def _texts(content: list[Json]) -> list[str]:
    return [str(block.get("text", f"[{block.get('type')}]")) for block in content]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CONTENT else f"{text[:MOST_CONTENT]} … ({len(text)} characters)"


# -- where they go ---------------------------------------------------------------------------------------


def open_tracing(settings: Settings) -> Tracing:
    """Raises SettingsError where the extra `otel` is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            "Traces need the OpenTelemetry SDK, which is not installed.",
            hint="pip install 'agent-kernel[otel]', or unset otlp_url and langfuse_secret_key.",
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": AGENT, "service.version": __version__}),
        shutdown_on_exit=False,
    )
    for address, headers in receivers(settings):
        exporter = OTLPSpanExporter(endpoint=address, headers=headers, timeout=PATIENCE)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=2_000))
    return Tracing(provider, content=settings.trace_content)


def receivers(settings: Settings) -> list[tuple[str, dict[str, str]]]:
    """The address and the headers of each receiver. Raises SettingsError."""
    found = []
    if settings.otlp_url:
        base = settings.otlp_url.rstrip("/")
        address = base if urlsplit(base).path.endswith("/v1/traces") else f"{base}/v1/traces"
        found.append((address, parse_headers(settings.otlp_headers)))
    if settings.langfuse_secret_key:
        if not settings.langfuse_public_key:
            raise SettingsError(
                "langfuse_secret_key is set, but not langfuse_public_key.", hint="Langfuse needs both."
            )
        pair = f"{settings.langfuse_public_key}:{settings.langfuse_secret_key}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        found.append((f"{settings.langfuse_url.rstrip('/')}/api/public/otel/v1/traces", headers))
    return found


def parse_headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, as OpenTelemetry writes them."""
    headers = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = part.partition("=")
        if not sign or not name.strip():
            raise SettingsError("otlp_headers cannot be read.", hint="Write them as name=value,name=value.")
        headers[name.strip().lower()] = value.strip()
    return headers
