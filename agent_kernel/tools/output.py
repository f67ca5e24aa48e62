"""Text for the model: without control characters, and no longer than it can use."""

from __future__ import annotations

import re

# CSI, OSC and other escape sequences of terminals, and single-character ones.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)|\x1b[@-Z\\-_]", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")


def plain(text: str) -> str:
    """Terminal escapes and control characters removed; a carriage return overwrites its line, as on a terminal."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return _CONTROL.sub("�", text)


def cap(text: str, limit: int, where: str = "") -> tuple[str, int]:
    """Head and tail of `text` within `limit` characters, and how many bytes are left out."""
    if len(text) <= limit:
        return text, 0
    head, tail = text[: limit * 2 // 3], text[-(limit // 3) :]
    left_out = len(text[len(head) : -len(tail)].encode("utf-8", "replace"))
    whole = f"; the whole is in {where}" if where else ""
    return f"{head}\n\n… {left_out:,} bytes left out{whole} …\n\n{tail}", left_out
