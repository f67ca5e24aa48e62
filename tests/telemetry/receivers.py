"""Real receivers: OTLP over HTTP as OpenTelemetry's own protocol buffers, and Sentry's envelopes."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATIENCE = 60.0


class Receiver:
    """Answers POSTs on loopback and keeps what came: (path, headers, body)."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def until(self, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not wanted():
            assert time.monotonic() < deadline, f"only got {[path for path, _, _ in self.got]}"
            time.sleep(0.02)

    def spans(self) -> list[dict[str, Any]]:
        """All spans that came, with plain attributes, in the order they began."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for path, _, body in self.got:
            assert path.endswith("/v1/traces")
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    found += [_plain(span) for span in scope.spans]
        return sorted(found, key=lambda span: (span["start"], span["parent"] != ""))

    def reports(self) -> list[dict[str, Any]]:
        """The events of Sentry envelopes."""
        return [
            json.loads(line)
            for _, _, body in self.got
            for line in body.splitlines()
            if line.startswith(b"{") and b'"event_id"' in line and b'"level"' in line
        ]


def _plain(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "id": span.span_id.hex(),
        "trace": span.trace_id.hex(),
        "parent": span.parent_span_id.hex(),
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "failed": span.status.code == 2,
        **{item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes},
    }
