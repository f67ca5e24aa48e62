"""One file's change as a unified diff (a notebook's: of its cells), within bounds."""

from __future__ import annotations

import difflib
from typing import Literal

from agent_kernel.sandbox.base import FileChange
from agent_kernel.sandbox.cells import cell_rows

MOST_BYTES = 512 << 10
MOST_LINES = 10_000
MOST_WORK = 4_000_000
"""Lines of one side times lines of the other, beyond which comparing takes too long."""
MOST_LINE = 2_000


def file_change(
    path: str, old: bytes | None, new: bytes | None, *, existed: bool, exists: bool
) -> FileChange:
    """The change of `path`. None for a side whose content is not known."""
    action: Literal["create", "edit", "delete"] = (
        "create" if not existed else "delete" if not exists else "edit"
    )
    shown = path.encode("utf-8", "replace").decode()
    if old is None or new is None:
        return FileChange(shown, action, note="too large or unreadable: it cannot be shown or undone")
    if _binary(old) or _binary(new):
        return FileChange(shown, action, binary=True, note=f"binary, {len(old):,} → {len(new):,} bytes")
    if max(len(old), len(new)) > MOST_BYTES:
        return FileChange(shown, action, note=f"too large to compare: {len(old):,} → {len(new):,} bytes")
    body = None
    if shown.endswith(".ipynb"):
        body = cell_rows(old if existed else None, new if exists else None, _compared)
    if body is None:
        before, after = _lines(old), _lines(new)
        if (body := _compared(before, after)) is None:
            sizes = f"{len(before):,} → {len(after):,} lines"
            return FileChange(shown, action, note=f"too long to compare: {sizes}")
    names = [
        f"--- {f'a/{_header(shown)}' if existed else '/dev/null'}",
        f"+++ {f'b/{_header(shown)}' if exists else '/dev/null'}",
    ]
    return FileChange(
        shown,
        action,
        diff="".join(f"{line[:MOST_LINE]}\n" for line in (names + body if body else [])),
        added=sum(line.startswith("+") for line in body),
        removed=sum(line.startswith("-") for line in body),
        note="" if body else "only its mode or its last line end changed",
    )


def _compared(before: list[str], after: list[str]) -> list[str] | None:
    """A unified diff's rows below its two names; None when comparing takes too long."""
    if max(len(before), len(after)) > MOST_LINES or _only_what_differs(before, after) > MOST_WORK:
        return None
    return list(difflib.unified_diff(before, after, lineterm=""))[2:]


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _only_what_differs(before: list[str], after: list[str]) -> int:
    """The size of the comparison that is left once equal beginnings and ends are put aside."""
    start, most = 0, min(len(before), len(after))
    while start < most and before[start] == after[start]:
        start += 1
    end = 0
    while end < most - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return (len(before) - start - end) * (len(after) - start - end)


def _binary(data: bytes) -> bool:
    return b"\0" in data[:8192]


def _header(path: str) -> str:
    """A name with a line end must not begin a line of its own."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in path)
