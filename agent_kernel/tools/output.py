"""Text for the model: without control characters, and no longer than it can use."""

from __future__ import annotations

import re

# CSI sequences; OSC, DCS and the like with what they hold, or only their start when they never end; others.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_](?:[^\x07\x1b\n]{0,4096}(?:\x1b\\|\x07))?|\x1b[@-Z\\-_]"
)
# With lone surrogates: they stand for undecodable bytes of file names and cannot be sent anywhere.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\ud800-\udfff]")
_IN_A_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def plain(text: str) -> str:
    """Terminal escapes and control characters removed; a carriage return overwrites its line, as on a terminal."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return _CONTROL.sub("�", text)


def line_of(text: str) -> str:
    """One line of a file, or a file name, as it is: nothing taken away, control characters made visible (as
    `␛`), so that it stays one line."""
    return _IN_A_LINE.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�"


def cap(text: str, limit: int, where: str = "", *, whole: bool = True) -> tuple[str, int]:
    """Head and tail of `text` within `limit` characters, and how many bytes are left out. `where` is the file
    that holds the whole, or (not `whole`) the part of it that was kept."""
    if len(text) <= limit:
        return text, 0
    head, tail = text[: limit * 2 // 3], text[-(limit // 3) :]
    left_out = len(text[len(head) : -len(tail)].encode("utf-8", "replace"))
    kept = "the whole" if whole else "what was kept of it"
    note = f"; {kept} is in {where}" if where else ""
    return f"{head}\n\n… {left_out:,} bytes left out{note} …\n\n{tail}", left_out
