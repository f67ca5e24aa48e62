"""Catches what code in the user's namespace prints and displays, as blocks for the model and for people.

Only the thread that runs the code is caught: views of runs go on writing from the loop's thread.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal, Self

from agent_kernel.events import Json, Output
from agent_kernel.shell.summary import capped
from agent_kernel.tools.base import ToolOutput

Kind = Literal["stdout", "stderr", "result", "display", "error"]
IMAGES = ("image/png", "image/jpeg")
TEXTS = ("text/html", "text/markdown", "text/latex", "text/plain")
MOST_BYTES = 8 << 20
"""Of all that is printed, or of one displayed form; the rest of what is printed is counted and left out."""
MOST_TEXT = 30_000
"""Characters that go to the model, of all outputs together; head and tail of each stay."""
LEAST_TEXT = 400
MOST_ITEMS = 40
MOST_FORM = 256 << 10
"""Characters of one rich form (a table's HTML) that people may see; larger ones are left out."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class _Stream:
    """Stands in for sys.stdout; text of other threads passes through to the real one."""

    def __init__(self, capture: Capture, kind: Kind, real: Any) -> None:
        self._capture, self._kind, self._real = capture, kind, real

    def write(self, text: str) -> int:
        if not self._capture.here():
            return int(self._real.write(text) or 0)
        self._capture.print(self._kind, text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Capture:
    """A context manager around a piece of the user's main thread. `emit` gets text as it is printed."""

    def __init__(self, ip: Any, emit: Callable[[str], None]) -> None:
        self.ip = ip
        self.emit = emit
        self.items: list[tuple[Kind, Any]] = []
        self.dropped = 0
        self._size = 0
        self._thread = threading.get_ident()

    def here(self) -> bool:
        return threading.get_ident() == self._thread

    def __enter__(self) -> Self:
        self._streams = sys.stdout, sys.stderr
        sys.stdout = _Stream(self, "stdout", sys.stdout)
        sys.stderr = _Stream(self, "stderr", sys.stderr)
        publisher = self.ip.display_pub
        self._publish = publisher.publish
        publisher.publish = self._published
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._streams
        del self.ip.display_pub.publish

    # -- what comes in ---------------------------------------------------------------------------------

    def print(self, kind: Kind, text: str) -> None:
        """Text that was printed; what follows on the same stream is one block with it."""
        if not text:
            return
        if self._size + len(text) > MOST_BYTES:
            self.dropped += len(text)
            return
        self._size += len(text)
        self.emit(text)
        if not self.items or self.items[-1][0] != kind:
            self.items.append((kind, []))
        self.items[-1][1].append(text)

    def _published(self, data: dict[str, Any], metadata: Any = None, **rest: Any) -> None:
        if not self.here():
            self._publish(data, metadata, **rest)
            return
        transient = rest.get("transient") or {}
        name = transient.get("display_id")
        if rest.get("update"):
            for item in self.items:
                if item[0] == "display" and name is not None and item[1][1] == name:
                    item[1][0].clear()
                    item[1][0].update(data)
            return
        self.items.append(("display", (dict(data), name)))

    def result(self, data: dict[str, Any]) -> None:
        """The value of the last expression, in all its forms."""
        self.items.append(("result", (data, None)))

    def error(self, text: str) -> None:
        self.items.append(("error", text))

    # -- what goes out ---------------------------------------------------------------------------------

    def output(self, *, is_error: bool = False) -> ToolOutput:
        """Everything caught, as the result of a tool call."""
        content: list[Json] = []
        outputs: list[Output] = []
        room, dropped = MOST_TEXT, self.dropped
        items = (
            self.items if len(self.items) <= MOST_ITEMS else [*self.items[: MOST_ITEMS - 1], self.items[-1]]
        )
        if left_out := len(self.items) - len(items):
            content.append(_text(f"({left_out} of {len(self.items)} outputs are left out.)"))
        for kind, value in items:
            block, data = _block(kind, value)
            if block["type"] == "text":
                whole = block["text"]
                block = _text(capped(whole, max(room, LEAST_TEXT)))
                room -= len(block["text"])
                dropped += max(
                    0, len(whole.encode("utf-8", "replace")) - len(block["text"].encode("utf-8", "replace"))
                )
            outputs.append(Output(block=len(content), kind=kind, data=data))
            content.append(block)
        if not content:
            content.append(_text("(no output)"))
        return ToolOutput(content=content, is_error=is_error, outputs=outputs, truncated_bytes=dropped)


def _block(kind: Kind, value: Any) -> tuple[Json, dict[str, str]]:
    """The block the model sees, and the forms people may see instead."""
    if kind == "error":
        return _text(value), {}
    if kind in ("stdout", "stderr"):
        return _text(plain("".join(value))), {}
    data = value[0]
    image = next((name for name in IMAGES if isinstance(data.get(name), str | bytes)), None)
    if image is not None:
        source = {"type": "base64", "media_type": image, "data": _base64(data[image])}
        return {"type": "image", "source": source}, {}
    forms = {name: str(data[name]) for name in TEXTS if name in data and len(str(data[name])) <= MOST_FORM}
    shown = forms.get("text/plain") or forms.get("text/markdown") or f"({', '.join(sorted(data))})"
    return _text(plain(shown)), forms


def _base64(data: str | bytes) -> str:
    if isinstance(data, str):
        return data.replace("\n", "")
    from base64 import b64encode

    return b64encode(data).decode("ascii")


def _text(text: str) -> Json:
    return {"type": "text", "text": text or " "}  # the Messages API refuses empty blocks


def plain(text: str) -> str:
    """Text without terminal escapes."""
    return _ESCAPES.sub("", text)
