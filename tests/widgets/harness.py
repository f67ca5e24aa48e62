"""The built cell view on a page of its own, without Jupyter."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent_kernel.events import Event

ROOT = Path(__file__).parents[2]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The harness and the built view over HTTP; the address."""
    shutil.copy(ROOT / "widgets" / "harness" / "index.html", folder / "index.html")
    shutil.copy(ROOT / "agent_kernel" / "static" / "cell.js", folder / "cell.js")
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def open_view(context: Any, url: str, query: str = "") -> Any:
    page = context.new_page()
    page.goto(f"{url}/index.html{query}")
    page.wait_for_function("() => window.harness?.listened()")
    return page


def send(page: Any, events: Sequence[Event]) -> None:
    """As the kernel sends a batch; returns once it was drawn: React draws after the next frame, and is done when the
    page has time for less urgent things."""
    page.evaluate(
        """async events => {
          window.harness.send(events);
          await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
          await new Promise(done => requestIdleCallback(done));
        }""",
        [event.model_dump(mode="json") for event in events],
    )
