"""A notebook's file: what of it was not changed is written back byte by byte, whoever wrote it and however.

A notebook that is parsed and dumped again changes all over (indentation, escapes, the form of numbers), and
people's diffs with it. So each cell keeps its own piece of the file's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.errors import ToolError
from agent_kernel.events import Json

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Span:
    """A value and where in the text it stands."""

    value: Any
    start: int
    end: int


@dataclass(slots=True)
class Document:
    """`notebook` as it was read from `text`; `render` gives the text of what `apply` has made of it."""

    text: str
    notebook: Json
    cells: list[Span]
    array: Span
    first: int
    _raw: dict[int, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._raw = {id(span.value): span for span in self.cells}

    def render(self, notebook: Json) -> str:
        cells = notebook["cells"]
        if not cells:
            return f"{self.text[: self.array.start]}[]{self.text[self.array.end :]}"
        lead, gap, tail = self._spaces()
        body = gap.join(self._cell(cell, lead) for cell in cells)
        return f"{self.text[: self.array.start]}[{lead}{body}{tail}]{self.text[self.array.end :]}"

    def _spaces(self) -> tuple[str, str, str]:
        """What stands before the first cell, between two, and behind the last."""
        if not self.cells:
            indent = _SPACE.match(self.text, self.first + 1)[0]  # type: ignore[index]
            newline, unit = indent[: indent.rfind("\n") + 1], indent[indent.rfind("\n") + 1 :]
            return (f"{newline}{unit * 2}", f",{newline}{unit * 2}", indent) if newline else ("", ", ", "")
        lead = self.text[self.array.start + 1 : self.cells[0].start]
        tail = self.text[self.cells[-1].end : self.array.end - 1]
        if len(self.cells) > 1:
            return lead, self.text[self.cells[0].end : self.cells[1].start], tail
        return lead, f",{lead or ' '}", tail

    def _cell(self, cell: Json, lead: str) -> str:
        if (span := self._raw.get(id(cell))) is not None:
            return self.text[span.start : span.end]
        for span in self.cells:
            if span.value.get("metadata") is cell.get("metadata") and set(span.value) == set(cell):
                return self._changed(span, cell, lead)
        return self._dumped(cell, lead)

    def _changed(self, span: Span, cell: Json, lead: str) -> str:
        """The cell's own text with the values put in that are others now."""
        inner = f"{lead}{self._unit(lead)}" if "\n" in lead else lead
        parts, at = [], span.start
        for key, part in _Reader(self.text, span.start).members():
            if cell[key] is not span.value[key]:
                parts += [self.text[at : part.start], self._dumped(cell[key], inner)]
                at = part.end
        return "".join([*parts, self.text[at : span.end]])

    def _dumped(self, value: Any, lead: str) -> str:
        """New text in the style of the file; `lead` is the line break and indentation it stands behind."""
        escaped = self.text.isascii() and "\\u" in self.text
        if "\n" not in lead:
            return json.dumps(value, ensure_ascii=escaped)
        text = json.dumps(value, ensure_ascii=escaped, indent=self._unit(lead))
        return text.replace("\n", lead)

    def _unit(self, lead: str) -> str:
        """One step of indentation, told by how far the root's members are in."""
        indent = _SPACE.match(self.text, self.first + 1)[0]  # type: ignore[index]
        return indent[indent.rfind("\n") + 1 :] if "\n" in indent else " "


def parse(text: str, path: str) -> Document:
    """Raises ToolError for what is not a notebook of format 4."""
    try:
        return _parsed(text, path)
    except (ValueError, IndexError, RecursionError) as error:
        raise ToolError(f"{path} is not a notebook: it is not valid JSON ({error}).") from None


def _parsed(text: str, path: str) -> Document:
    reader = _Reader(text, 1 if text.startswith("\ufeff") else 0)
    reader.space()
    first = reader.at
    notebook: Json = {}
    cells: list[Span] | None = None
    array = Span(None, 0, 0)
    for key, span in reader.members(array="cells"):
        if key in notebook:
            raise ToolError(f"{path} is not a notebook: it has {key!r} twice.")
        notebook[key] = span.value
        if key == "cells" and isinstance(span.value, list):
            array, cells = span, span.value
            notebook[key] = [cell.value for cell in cells]
    reader.space()
    if reader.at != len(text):
        raise ToolError(f"{path} is not a notebook: something follows its end.")
    _check(notebook, cells, path)
    assert cells is not None
    return Document(text, notebook, cells, array, first)


def _check(notebook: Json, cells: list[Span] | None, path: str) -> None:
    """What everything here relies on; nbformat looks at the rest before anything is written."""
    major, minor = notebook.get("nbformat"), notebook.get("nbformat_minor")
    if not isinstance(major, int) or not isinstance(minor, int):
        raise ToolError(f"{path} is not a notebook: it does not say which format it has.")
    if major != 4:
        raise ToolError(
            f"{path} has notebook format {major}; only 4 can be read here.",
            hint="Open and save it in Jupyter, which brings it up to date.",
        )
    whole = cells is not None and all(
        isinstance(cell.value, dict)
        and cell.value.get("cell_type") in ("code", "markdown", "raw")
        and _is_text(cell.value.get("source"))
        for cell in cells
    )
    if not whole:
        raise ToolError(f"{path} is not a valid notebook: it has no list of cells with a source each.")


def _is_text(source: Any) -> bool:
    return isinstance(source, str) or (
        isinstance(source, list) and all(isinstance(line, str) for line in source)
    )


class _Reader:
    """Walks through JSON text and tells where things are. Raises ValueError, IndexError."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def space(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]

    def expect(self, *chars: str) -> str:
        self.space()
        if (found := self.text[self.at]) not in chars:
            raise ValueError(f"{' or '.join(chars)} expected at character {self.at}")
        self.at += 1
        return found

    def value(self) -> Span:
        self.space()
        start = self.at
        value, self.at = _DECODER.raw_decode(self.text, start)
        return Span(value, start, self.at)

    def members(self, array: str = "") -> Iterator[tuple[str, Span]]:
        """Of an object; the value of the one called `array` is a list of its items' spans."""
        self.expect("{")
        self.space()
        if self.text[self.at] == "}":
            self.at += 1
            return
        while True:
            key = self.value().value
            if not isinstance(key, str):
                raise ValueError(f"a name expected before character {self.at}")
            self.expect(":")
            self.space()
            if key == array and self.text[self.at] == "[":
                start = self.at
                yield key, Span(list(self.items()), start, self.at)
            else:
                yield key, self.value()
            if self.expect(",", "}") == "}":
                return

    def items(self) -> Iterator[Span]:
        """Of an array."""
        self.expect("[")
        self.space()
        if self.text[self.at] == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.expect(",", "]") == "]":
                return
