#!/usr/bin/env python3
"""Serves a data file as a small live dashboard. Standard library only.

usage: dashboard.py FILE [--port 8050] [--title TEXT] [--sum COLUMN …] [--mean COLUMN …]
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGE = Path(__file__).resolve().parents[1] / "assets" / "dashboard.html"
MOST_ROWS, MOST_COLUMNS, MOST_TEXT, MOST_GROUPS = 20_000, 40, 300, 12
MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}
_RATES = re.compile(r"rate|ratio|share|percent|pct|price|temp|avg|mean|score|ppm|age|%", re.IGNORECASE)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


class Unreadable(Exception):
    """A file that cannot be shown; the text says why."""


def records(path: Path) -> tuple[list[str], Iterator[list[Any]]]:
    """Columns and rows. Raises Unreadable, OSError."""
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        return _objects(path)
    text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\0", "")
    csv.field_size_limit(1 << 30)
    first = text.partition("\n")[0]
    rows = csv.reader(text.splitlines(keepends=True), delimiter=max(",;\t|", key=first.count))
    return next(rows, []), (row for row in rows if row)


def _objects(path: Path) -> tuple[list[str], Iterator[list[Any]]]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        if path.suffix.lower() == ".json":
            data = json.loads(text)
            if isinstance(data, dict):
                data = next((value for value in data.values() if isinstance(value, list)), [data])
        else:
            data = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    columns = list(dict.fromkeys(str(key) for item in items for key in item))
    return columns, ([item.get(column) for column in columns] for item in items)


def number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(str(value).strip())
    except ValueError:
        return None
    return found if math.isfinite(found) and "_" not in str(value) else None


def is_date(text: str) -> bool:
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def cleaned(value: Any) -> Any:
    """None for what is missing, else a number or a text that is not too long."""
    text = (
        json.dumps(value) if isinstance(value, list | dict) else "" if value is None else str(value).strip()
    )
    if text.lower() in MISSING:
        return None
    found = number(value)
    return text[:MOST_TEXT] if found is None else found


def kind_of(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "text"
    if all(isinstance(value, float) for value in known):
        return "number"
    words = [str(value) for value in known]
    if all(map(is_date, words)):
        return "date"
    few = len(set(words)) <= max(2, min(MOST_GROUPS, len(words) // 2))
    return "group" if few else "text"


class Data:
    """The file as the page wants it, read again when it has changed."""

    def __init__(self, path: Path, title: str, sums: list[str], means: list[str]) -> None:
        self.path, self.title, self.sums, self.means = path, title, sums, means
        self._stamp = ""
        self._body = b""
        self._lock = threading.Lock()

    def get(self) -> tuple[str, bytes]:
        """(stamp, JSON). Raises Unreadable, OSError."""
        with self._lock:
            info = self.path.stat()
            stamp = f"{info.st_mtime_ns // 1_000_000}-{info.st_size}"
            if stamp != self._stamp:
                self._body = json.dumps(self._read(stamp), ensure_ascii=False, allow_nan=False).encode()
                self._stamp = stamp
            return self._stamp, self._body

    def _read(self, stamp: str) -> dict[str, Any]:
        names, rows = records(self.path)
        width = min(len(names), MOST_COLUMNS)
        kept: list[list[Any]] = []
        total = 0
        for row in rows:
            total += 1
            kept.append([cleaned(value) for value in islice(row, width)])
            kept[-1] += [None] * (width - len(kept[-1]))
            if len(kept) >= 2 * MOST_ROWS:
                del kept[:-MOST_ROWS]
        kept = kept[-MOST_ROWS:]
        columns = [self._column(name, [row[n] for row in kept]) for n, name in enumerate(names[:width])]
        return {
            "title": self.title, "stamp": stamp, "total": total, "shown": len(kept), "columns": columns, "rows": kept
        }  # fmt: skip

    def _column(self, name: str, values: list[Any]) -> dict[str, str]:
        found = {"name": name, "type": kind_of(values)}
        if found["type"] == "number":
            rate = bool(_RATES.search(name)) and name not in self.sums
            found["how"] = "mean" if rate or name in self.means else "sum"
        return found


def server(data: Data, port: int) -> ThreadingHTTPServer:
    """On this machine only; `serve_forever` runs it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/":
                self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
            elif path == "/data.json":
                self._data()
            else:
                self._send(404, "text/plain", b"There is nothing here.\n")

        def _data(self) -> None:
            try:
                stamp, body = data.get()
            except (Unreadable, OSError, csv.Error) as error:
                reason = getattr(error, "strerror", None) or str(error)
                self._send(503, "application/json", json.dumps({"error": reason}).encode())
                return
            if self.headers.get("If-None-Match") == f'"{stamp}"':
                self.send_response(304)
                self.end_headers()
                return
            self._send(200, "application/json", body, ETag=f'"{stamp}"')

        def _send(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            self.send_response(status)
            own = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-cache"}
            safe = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
            for name, value in {**own, **safe, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet: its page asks every two seconds."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve a data file as a small live dashboard.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, default=8050)
    parser.add_argument("--title", help="default: the file's name")
    parser.add_argument(
        "--sum", nargs="+", default=[], metavar="COLUMN", dest="sums", help="numbers that add up"
    )
    parser.add_argument(
        "--mean", nargs="+", default=[], metavar="COLUMN", dest="means", help="numbers that do not"
    )
    given = parser.parse_args()
    data = Data(given.file, given.title or given.file.stem, given.sums, given.means)
    try:
        data.get()
        running = server(data, given.port)
    except (Unreadable, csv.Error) as error:
        sys.stderr.write(f"{given.file} cannot be shown: {error}\n")
        return 1
    except (OSError, OverflowError) as error:
        what = f"port {given.port}" if not isinstance(error, FileNotFoundError) else str(given.file)
        sys.stderr.write(f"{what} cannot be used: {getattr(error, 'strerror', None) or error}\n")
        return 1
    print(f"http://127.0.0.1:{running.server_port}/ shows {given.file}", flush=True)
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        running.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
