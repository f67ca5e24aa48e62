"""An app as an agent might start it: pages, streams, cookies, redirects and a WebSocket. Standard library only.

`python previewed.py PORT`
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><title>The app</title><link rel=stylesheet href="/style.css">
<h1 id=h>Hello</h1><script type=module src="/module.js"></script>"""


GO = threading.Event()
STREAMING: set[object] = set()


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes, kind: str = "text/plain", code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self.answer(PAGE.encode(), "text/html")
        elif path == "/headers":
            self.answer(json.dumps({k.lower(): v for k, v in self.headers.items()}).encode())
        elif path == "/style.css":
            self.answer(b"#h { color: rgb(1, 2, 3) }", "text/css")
        elif path == "/module.js":
            self.answer(b"document.title = 'module ran'", "text/javascript")
        elif path == "/login":
            self.answer(b"", code=303, Location="/headers", Set_Cookie="user=ann; HttpOnly; Path=/")
        elif path == "/hostile":
            self.answer(
                b"x", "text/html", Clear_Site_Data='"*"', Strict_Transport_Security="max-age=9",
                X_Frame_Options="DENY", Content_Security_Policy="frame-ancestors 'none'; img-src 'self'",
                Access_Control_Allow_Origin="https://evil.example", Referrer_Policy="unsafe-url",
                Service_Worker_Allowed="/",
            )  # fmt: skip
        elif path == "/stream":
            self.stream()
        elif path == "/go":
            GO.set()
            self.answer(b"")
        elif path == "/streaming":
            self.answer(str(len(STREAMING)).encode())
        elif path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
        elif path == "/ws":
            self.websocket()
        else:
            self.answer(f"no {self.path}".encode(), code=404)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        self.answer(json.dumps({"method": self.command, "size": size, "sha": digest.hexdigest()}).encode())

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def pieces(self) -> list[bytes]:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return [self.rfile.read(int(self.headers.get("Content-Length", 0)))]
        found = []
        while size := int(self.rfile.readline(), 16):
            found.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return found

    def stream(self) -> None:
        """The second piece is held back until somebody asks for /go: the first must have arrived before."""
        GO.clear()
        STREAMING.add(self)
        try:
            self.pieces_of_a_stream()
        finally:
            STREAMING.discard(self)

    def pieces_of_a_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"9\r\ndata: 1\n\n\r\n")
        self.wfile.flush()
        GO.wait()
        self.wfile.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    def websocket(self) -> None:
        """Echoes short text frames; the first one says which origin it saw."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        )
        self.end_headers()
        self.frame(str(self.headers.get("Origin")).encode())
        while (head := self.rfile.read(2)) and head[0] & 15 == 1:
            mask = self.rfile.read(4)
            data = self.rfile.read(head[1] & 127)
            self.frame(bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))
        self.close_connection = True

    def frame(self, data: bytes) -> None:
        self.wfile.write(bytes([0x81, len(data)]) + data)
        self.wfile.flush()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
