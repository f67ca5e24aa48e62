"""A scripted Messages API on loopback, at the level of the wire: the real SDK talks to it.

    with ScriptedMessages([[ToolUse("add", {"a": 1})], [Text("2")]]) as api:
        AsyncAnthropic(base_url=api.url, api_key="any")

Each request takes the next turn of the script; when it is used up, `default(body)` answers. It runs on
a thread of its own, so that synchronous and asynchronous callers can use it. Runs side by side each
have their own script below `api.url_for("some-id")`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from agent_kernel.events import Json
from agent_kernel.testing.checks import PromptCache, count_tokens, refusal
from agent_kernel.testing.script import (
    Default,
    Drop,
    Eof,
    HttpError,
    Item,
    Stall,
    Text,
    ToolUse,
    Turn,
    blocks_of,
    new_id,
    output_tokens,
    stop_reason,
    stream,
)

_MOST_HEAD = 1 << 16
_PREFIX = "/r/"


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedMessages:
    """The server; also a context manager. `delay` (seconds) is waited before each chunk of a stream.

    With `key`, requests must carry it in either dialect; with `models`, other models answer 404.
    """

    def __init__(
        self,
        script: Iterable[Turn] = (),
        default: Default | None = None,
        *,
        delay: float = 0.0,
        chunk_chars: int = 24,
        key: str = "",
        models: Sequence[str] = (),
    ) -> None:
        self.requests: list[Request] = []
        self.hung_up = threading.Event()
        """Set when a client closed its connection during a `Stall`."""
        self.delay = delay
        self.chunk_chars = chunk_chars
        self._default = default
        self._key = key
        self._models = tuple(models)
        self._scripts: dict[str, list[Turn]] = {"": list(script)}
        self._cache = PromptCache()
        self._arrived = threading.Condition()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="scripted-messages", daemon=True)
        self._port = 0

    # -- the caller's side --------------------------------------------------------------------------

    def start(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def close(self) -> None:
        """Stop serving; open connections are closed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def url_for(self, name: str, script: Iterable[Turn] | None = None) -> str:
        """A base URL with a script of its own."""
        self._scripts[name] = list(script or ())
        return f"{self.url}{_PREFIX}{name}"

    def add(self, *turns: Turn) -> None:
        self._scripts[""] += turns

    @property
    def bodies(self) -> list[Json]:
        """The bodies of the requests for an answer, in order of arrival."""
        return [r.body for r in self.requests if r.method == "POST" and r.path.endswith("/v1/messages")]

    def wait_for_requests(self, count: int, timeout: float = 60.0) -> bool:
        """Blocks until `count` requests have arrived; False when `timeout` seconds passed first."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.requests) >= count, timeout)

    # -- the server's side --------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await _Connection(self, reader, writer).serve()
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the client left, or the server is being closed
            finally:
                connections.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_MOST_HEAD, backlog=512)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def record(self, request: Request) -> None:
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def answer(self, request: Request) -> tuple[Turn, Json] | Json | HttpError:
        """A turn with the message it fills, or a plain JSON answer, or an error."""
        name, path = _split(request.path)
        if wrong := self._unauthorized(request):
            return wrong
        if path == "/v1/models":
            return {"data": [_model(name) for name in self._models or ("scripted",)], "has_more": False}
        if not path.startswith("/v1/messages"):
            return HttpError(404, "not_found_error", f"Not found: {path}")
        if reason := refusal(request.body):
            return HttpError(400, "invalid_request_error", reason)
        if self._models and request.body["model"] not in self._models:
            return HttpError(404, "not_found_error", f"model: {request.body['model']}")
        if path == "/v1/messages/count_tokens":
            return {"input_tokens": count_tokens(request.body)}
        script = self._scripts.get(name)
        turn = script.pop(0) if script else self._default(request.body) if self._default else [Text("ok")]
        return turn, {
            "id": new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": request.body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._cache.usage(name, request.body),
        }

    def _unauthorized(self, request: Request) -> HttpError | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = given or request.headers.get("x-api-key", "")
        if self._key and given != self._key:
            return HttpError(401, "authentication_error", "invalid x-api-key")
        return None


class _Connection:
    """One client connection: requests one after the other, until either side closes."""

    def __init__(
        self, api: ScriptedMessages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.api, self.reader, self.writer = api, reader, writer

    async def serve(self) -> None:
        while (request := await _read_request(self.reader)) is not None:
            self.api.record(request)
            answer = self.api.answer(request)
            if isinstance(answer, dict):
                await self._send_json(answer)
            elif isinstance(answer, HttpError):
                await self._send_error(answer)
            elif not await self._send_turn(request, *answer):
                return

    async def _send_turn(self, request: Request, turn: Turn, message: Json) -> bool:
        """False when the connection is over."""
        if isinstance(turn, HttpError):
            await self._send_error(turn)
            return True
        if request.body.get("stream"):
            return await self._send_stream(turn, message)
        usage = {**message["usage"], "output_tokens": output_tokens(turn)}
        filled = {"content": blocks_of(turn), "stop_reason": stop_reason(turn), "usage": usage}
        await self._send_json({**message, **filled})
        return True

    async def _send_stream(self, turn: Sequence[Item], message: Json) -> bool:
        head = self._head(200, "text/event-stream", {"transfer-encoding": "chunked"})
        pending = [head]  # without a delay a turn goes out in as few writes as possible
        for step in stream(turn, message, self.api.chunk_chars):
            if isinstance(step, Drop):
                await self._flush(pending)
                return False
            if isinstance(step, Eof):
                break
            if isinstance(step, Stall):
                await self._flush(pending)
                if await self._client_left(step.seconds):
                    return False
                continue
            pending.append(b"%x\r\n%s\r\n" % (len(step), step))
            if self.api.delay:
                await self._flush(pending)
                await asyncio.sleep(self.api.delay)
        pending.append(b"0\r\n\r\n")
        await self._flush(pending)
        return True

    async def _client_left(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            if not await asyncio.wait_for(self.reader.read(1), seconds):
                self.api.hung_up.set()
                return True
        return False

    async def _flush(self, pending: list[bytes]) -> None:
        self.writer.write(b"".join(pending))
        pending.clear()
        await self.writer.drain()

    async def _send_error(self, error: HttpError) -> None:
        body = {"type": "error", "error": {"type": error.kind, "message": error.message}}
        await self._send_json(body, error.status, dict(error.headers))

    async def _send_json(self, body: Json, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        head = self._head(status, "application/json", {"content-length": str(len(data)), **(headers or {})})
        self.writer.write(head + data)
        await self.writer.drain()

    def _head(self, status: int, content_type: str, headers: dict[str, str]) -> bytes:
        lines = {"content-type": content_type, "request-id": new_id("req"), **headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {status} Scripted\r\n{text}\r\n".encode("latin-1")


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    data = await _read_body(reader, headers)
    return Request(method, path.partition("?")[0], headers, _json(data))


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        data = b""
        while size := int(await reader.readline(), 16):
            data += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        data = await reader.readexactly(int(headers.get("content-length") or 0))
    return gzip.decompress(data) if headers.get("content-encoding") == "gzip" else data


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def _split(path: str) -> tuple[str, str]:
    """`/r/<name>/v1/messages` as name and path; the name is empty without the prefix."""
    if not path.startswith(_PREFIX):
        return "", path
    name, _, rest = path.removeprefix(_PREFIX).partition("/")
    return name, f"/{rest}"


def _model(name: str) -> Json:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}


def calls(count: int, name: str, input: Json) -> Default:  # noqa: A002
    """A model that calls one tool `count` times, told apart by the results it is shown, then is done."""

    def answer(body: Json) -> Turn:
        contents = [message["content"] for message in body["messages"] if message["role"] == "user"]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        done = sum(block.get("type") == "tool_result" for block in blocks)
        return [ToolUse(name, input)] if done < count else [Text("done")]

    return answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a script of tool calls from a process of its own, until stdin ends; prints the port."""
    parser = argparse.ArgumentParser(prog="python -m agent_kernel.testing.messages_api")
    parser.add_argument("--calls", type=int, default=20, help="tool calls per run (20)")
    parser.add_argument("--tool", default="add", help="the tool that is called (add)")
    parser.add_argument("--input", type=json.loads, default={"a": 1, "b": 2}, help="its input, as JSON")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each chunk (0)")
    given = parser.parse_args(arguments)
    with ScriptedMessages(default=calls(given.calls, given.tool, given.input), delay=given.delay) as api:
        sys.stdout.write(f"{api.url.rpartition(':')[2]}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
