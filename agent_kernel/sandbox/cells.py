"""A notebook's change, told cell by cell: what people wrote, not the JSON it is kept in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

MOST_CELLS = 2_000
MOST_NAME = 64
MOST_WORK = 4_000_000
"""Lines before times lines after, of all cells that changed."""
KINDS = ("code", "markdown", "raw")
BESIDE = ("outputs", "metadata", "attachments")
"""Parts of a cell that are said to have changed, and not shown."""
Compared = Callable[[list[str], list[str]], list[str] | None]


@dataclass(frozen=True, slots=True)
class _Cell:
    name: str
    """Its id; empty where the format has none."""
    at: int
    kind: str
    lines: list[str]
    beside: dict[str, str]

    @property
    def text(self) -> tuple[str, ...]:
        return (self.kind, *self.lines)

    def __str__(self) -> str:
        return f"{self.kind} cell {self.name or self.at + 1}"


def cell_rows(old: bytes | None, new: bytes | None, compared: Compared) -> list[str] | None:
    """Rows of a diff from `old` to `new` (None: there is no such file), each changed cell below a heading such as
    `@@ edited: code cell c1 @@`. `compared` gives a unified diff's rows for the lines before and after, None where
    that is too much work. None when a side is no notebook, or when its cells tell nothing of the change."""
    before, after = _read(old), _read(new)
    if before is None or after is None:
        return None
    changes = list(_changes(*before, *after))
    if sum(len(left) * len(right) for _, left, right in changes) > MOST_WORK:
        return None
    rows: list[str] = []
    for heading, left, right in changes:
        body = compared(left, right)
        if body is None:
            return None
        rows += [f"@@ {heading} @@", *body[1:]]  # its first hunk stands below the heading already
    return rows or None


def _read(data: bytes | None) -> tuple[list[_Cell], list[str]] | None:
    """The cells, and the lines of all that is not in them."""
    if data is None:
        return [], []
    try:
        found = json.loads(data)
        cells = [_cell(at, cell) for at, cell in enumerate(found.pop("cells"))]
        rest = json.dumps(found, indent=1, sort_keys=True)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # no notebook, whatever its name
    return (cells, _lines(rest)) if len(cells) <= MOST_CELLS else None


def _cell(at: int, cell: dict[str, Any]) -> _Cell:
    source, kind, name = cell["source"], cell["cell_type"], cell.get("id", "")
    return _Cell(
        name=_printable(name) if isinstance(name, str) else "",
        at=at,
        kind=kind if kind in KINDS else "unknown",
        lines=_lines(source if isinstance(source, str) else "".join(source)),
        beside={part: json.dumps(cell.get(part), sort_keys=True) for part in BESIDE},
    )


def _lines(text: str) -> list[str]:
    """Text of a JSON string may hold what no store and no wire takes."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return clean.removesuffix("\n").split("\n") if clean else []


def _printable(name: str) -> str:
    return "".join(char for char in name if char.isprintable())[:MOST_NAME]


def _changes(
    before: list[_Cell], old_rest: list[str], after: list[_Cell], new_rest: list[str]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Headings, with the lines below them before and after."""
    for old, new, moved in _pairs(before, after):
        if old is None or new is None:
            there = old or new
            yield f"{'inserted' if old is None else 'deleted'}: {there}", *_sides(old, new)
            continue
        done = ["moved"] if moved else []
        done += ["edited"] if old.text != new.text else []
        done += [f"{part} changed" for part in BESIDE if old.beside[part] != new.beside[part]]
        if done:
            yield f"{', '.join(done)}: {new}", *_sides(old, new)
    if old_rest and new_rest and old_rest != new_rest:
        yield "metadata of the notebook", old_rest, new_rest


def _sides(old: _Cell | None, new: _Cell | None) -> tuple[list[str], list[str]]:
    return old.lines if old else [], new.lines if new else []


def _pairs(before: list[_Cell], after: list[_Cell]) -> Iterator[tuple[_Cell | None, _Cell | None, bool]]:
    """Each cell with what it was; whether it stands elsewhere. By ids where there are some, else by what they say."""
    old_ids, new_ids = ({cell.name: cell for cell in side} for side in (before, after))
    named = (
        len(old_ids) == len(before) and len(new_ids) == len(after) and bool(old_ids.keys() & new_ids.keys())
    )
    left, right = ([cell.name if named else cell.text for cell in side] for side in (before, after))
    for tag, i, i_end, j, j_end in SequenceMatcher(None, left, right).get_opcodes():
        olds, news = before[i:i_end], after[j:j_end]
        if tag == "equal":
            yield from ((old, new, False) for old, new in zip(olds, news, strict=True))
        elif named:
            yield from ((old, None, False) for old in olds if old.name not in new_ids)
            yield from ((old_ids.get(new.name), new, new.name in old_ids) for new in news)
        else:
            same = min(len(olds), len(news))
            yield from zip(olds[:same], news[:same], [False] * same, strict=True)
            yield from ((old, None, False) for old in olds[same:])
            yield from ((None, new, False) for new in news[same:])
