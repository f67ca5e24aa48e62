"""The model: a request goes out, deltas come in, and one whole reply ends it.

The only module that imports `anthropic`, and late: importing it takes more than a second. Any endpoint
that speaks the Messages API serves; what only Anthropic's own understands is sent only there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent_kernel.answer import Answer
from agent_kernel.errors import ModelError, ModelNotConfigured
from agent_kernel.events import Delta, Json
from agent_kernel.model_errors import broken_off, refused, stream_broken, unreachable, without_secrets
from agent_kernel.usage import Usage, context_window

if TYPE_CHECKING:
    import ssl

    from anthropic import AsyncAnthropic

    from agent_kernel.testing.messages_api import ScriptedMessages

ANTHROPIC = "https://api.anthropic.com"
DEMO = "demo"
CONNECT_TIMEOUT = 10.0
DRAIN_TIMEOUT = 1.0
_NO_KEY = "none"  # endpoints on one's own machine ask for no key, but the SDK does
_OLD = (
    "claude-2", "claude-3", "claude-instant", "claude-haiku-4",
    "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2", "claude-opus-4-5",
    "claude-sonnet-4-0", "claude-sonnet-4-2", "claude-sonnet-4-5", "claude-mythos-5-0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where the model is and how to speak to it. Times in seconds.

    `timeout` bounds the wait for the first byte, `stall_timeout` the silence within an answer.
    `legacy_auth` is for gateways that want `x-api-key`. `native` says whether the endpoint understands
    what only Anthropic's own does (None: by its address). `demo_delay` is the pause between the chunks
    of the offline demo.
    """

    model: str
    api_key: str = field(default="", repr=False)
    auth_token: str = field(default="", repr=False)
    base_url: str = ""
    legacy_auth: bool = False
    native: bool | None = None
    timeout: float = 600.0
    stall_timeout: float = 120.0
    context_window: int = 0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    demo_delay: float = 0.02


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What one turn asks. The same `system` and `tools` must come with every request of a context."""

    system: str
    tools: list[Json]
    messages: list[Json]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The whole answer. `blocks` are the provider's content blocks as plain JSON."""

    blocks: list[Json]
    stop_reason: str
    usage: Usage
    model: str
    request_id: str | None


class Model:
    """A model behind an endpoint. Open one with `open_model`, and close it."""

    def __init__(
        self, settings: ModelSettings, client: AsyncAnthropic, server: ScriptedMessages | None = None
    ) -> None:
        self.name = settings.model
        self.demo = server is not None
        self.native = is_native(settings) and not self.demo
        self.context_window = settings.context_window or context_window(settings.model)
        self.endpoint = server.url if server else (settings.base_url or ANTHROPIC).rstrip("/")
        self._settings = settings
        self._client = client
        self._server = server

    async def close(self) -> None:
        await self._client.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.close)

    async def stream(self, request: ModelRequest, *, turn: int) -> AsyncGenerator[Delta | ModelReply]:
        """Deltas while the model writes, then exactly one ModelReply.

        Raises ModelError for whatever goes wrong; nothing is retried here. Cancelling closes the
        connection.
        """
        import anthropic
        import httpx2

        answer = Answer(turn)
        try:
            response = await self._send(request)
            try:
                async for event in self._events(response, answer):
                    if (delta := answer.feed(event)) is not None:
                        yield delta
            finally:
                await response.aclose()
        except anthropic.APIStatusError as error:
            raise await self._refused(error) from None
        except anthropic.APIConnectionError as error:
            raise self._clean(unreachable(error, self.endpoint)) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._clean(stream_broken(str(error) or type(error).__name__)) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._clean(stream_broken(f"it does not keep to the protocol ({error!r})")) from None
        if not answer.complete or not answer.stop_reason:
            raise stream_broken("it ended before its end")
        yield ModelReply(
            blocks=answer.blocks(),
            stop_reason=answer.stop_reason,
            usage=answer.usage(),
            model=self.name if self.demo else answer.message.get("model") or self.name,
            request_id=response.headers.get("request-id"),
        )

    async def _send(self, request: ModelRequest) -> Any:
        """The response, its headers read."""
        from anthropic import AsyncStream

        stream: AsyncStream[Any] = await self._client.post(
            "/v1/messages",
            content=self._body(request),
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[Any],
        )
        return stream.response

    def _body(self, request: ModelRequest) -> bytes:
        """As it is sent: what the SDK is given as objects it first copies whole, and the history grows."""
        body: Json = {
            "model": self.name,
            "max_tokens": request.max_tokens,
            "messages": request.messages,
            "stream": True,
        }
        if request.system:
            body["system"] = request.system
        if request.tools:
            body["tools"] = request.tools
        if self.native or self.demo:
            body["cache_control"] = {"type": "ephemeral", "ttl": "5m"}
        if (self.native and not is_old(self.name)) or self.demo:
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    async def _events(self, response: Any, answer: Answer) -> AsyncIterator[Json]:
        """The stream's events as plain JSON: the SDK's own iterator hides pings, and types cost time."""
        from anthropic import AsyncStream

        if "event-stream" not in response.headers.get("content-type", ""):
            self._take_whole(await response.aread(), answer)
            return
        events = aiter(AsyncStream.raw_events(response))
        while True:
            try:
                async with asyncio.timeout(
                    DRAIN_TIMEOUT if answer.complete else self._settings.stall_timeout
                ):
                    sent = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if answer.complete:  # all was said; the server merely keeps the stream open
                    return
                silent = f"nothing arrived for {self._settings.stall_timeout:g} s"
                raise stream_broken(silent) from None
            if not sent.data or sent.data == "[DONE]":
                continue
            event = json.loads(sent.data)
            if event.get("type") == "error":
                error = event.get("error") or {}
                said = str(error.get("message", ""))
                raise self._clean(broken_off(str(error.get("type", "api_error")), said))
            yield event

    def _take_whole(self, data: bytes, answer: Answer) -> None:
        try:
            message = json.loads(data)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("type") != "message":
            raise ModelError(
                f"{self.endpoint} answered, but not as the Messages API does.",
                kind="not_messages_api",
                hint="Is ANTHROPIC_BASE_URL right? It stands before /v1/messages.",
            )
        answer.take_whole(message)

    async def _refused(self, error: Any) -> ModelError:
        headers = error.response.headers
        refusal = refused(error.status_code, error.body, headers, self.name, self.endpoint)
        if refusal.status == 404 and self.name in refusal.message and (names := await self._names()):
            refusal.hint = f"The endpoint does not know the model {self.name!r}. It knows {', '.join(names)}."
        return self._clean(refusal)

    async def _names(self) -> list[str]:
        """Names of the models the endpoint says it has; empty where it does not say."""
        with suppress(Exception):  # only a hint hangs on it
            async with asyncio.timeout(CONNECT_TIMEOUT):
                page = await self._client.models.list(limit=20)
            return [model.id for model in page.data]
        return []

    def _clean(self, error: ModelError) -> ModelError:
        """`error` without the key: some endpoints repeat it in what they answer."""
        secrets = (self._settings.api_key, self._settings.auth_token, *self._settings.headers.values())
        error.message = without_secrets(error.message, secrets)
        error.hint = without_secrets(error.hint, secrets)
        error.args = (error.message,)
        return error


async def open_model(settings: ModelSettings) -> Model:
    """Make ready to speak to the model; nothing is sent yet.

    `demo` starts the offline demo in this process. Raises ModelNotConfigured when neither a key nor an
    endpoint is set.
    """
    demo = settings.model == DEMO or settings.model.startswith(f"{DEMO}:")
    if not (demo or settings.api_key or settings.auth_token or settings.base_url):
        raise ModelNotConfigured(
            "No model is set up: run `agent-kernel model set`, or set ANTHROPIC_API_KEY (ANTHROPIC_BASE_URL for "
            "another endpoint); the model `demo` works offline.",
            kind="not_configured",
        )
    server = await asyncio.to_thread(_start_demo, settings) if demo else None
    return Model(settings, await asyncio.to_thread(_client, settings, server), server)


def _start_demo(settings: ModelSettings) -> ScriptedMessages:
    from agent_kernel.testing.demo import Demo
    from agent_kernel.testing.messages_api import ScriptedMessages

    return ScriptedMessages(default=Demo().answer, delay=settings.demo_delay, chunk_chars=60).start()


def _client(settings: ModelSettings, server: ScriptedMessages | None) -> AsyncAnthropic:
    import httpx2
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient, omit

    secret = settings.api_key or settings.auth_token or _NO_KEY
    headers: dict[str, Any] = dict(settings.headers)
    if settings.legacy_auth:
        headers |= {"x-api-key": secret, "anthropic-version": "2023-06-01", "Authorization": omit}
    timeout = httpx2.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout))
    return AsyncAnthropic(
        base_url=server.url if server else settings.base_url or ANTHROPIC,
        api_key=secret if settings.api_key or not settings.auth_token else None,
        auth_token=None if settings.api_key else settings.auth_token or None,
        max_retries=0,
        timeout=timeout,
        default_headers=headers,
        # A proxy of the environment must not get to see what stays on this machine.
        http_client=DefaultAsyncHttpxClient(timeout=timeout, verify=_trusted(), trust_env=server is None),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates trusted here: reading them for each run would cost more than a turn."""
    import httpx2

    return httpx2.create_ssl_context()


def is_old(model: str) -> bool:
    """True for models from before adaptive thinking, which know the older forms of typed tools."""
    return model.startswith(_OLD)


def is_native(settings: ModelSettings) -> bool:
    """Whether the endpoint understands what only Anthropic's own does."""
    if settings.native is not None:
        return settings.native
    host = urlsplit(settings.base_url or ANTHROPIC).hostname or ""
    return host == "anthropic.com" or host.endswith(".anthropic.com")
