"""The front matter of a SKILL.md, read as people write it and not only as YAML wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.skills.problem import Problem, advice, warning

MOST_HEADER = 64 << 10
MOST_DEPTH = 4
TOO_DEEP = 40
"""Levels at which parsing ends: its time grows with their square."""
_KEY = re.compile(r"([A-Za-z][\w-]*)[ \t]*:(?:[ \t]+(.*))?$")
_INNER_KEY = re.compile(r"\s+([\w.-]+)[ \t]*:[ \t]+(.*)$")
_BLOCK = re.compile(r"[|>][+-]?\d?$")


@dataclass(frozen=True, slots=True)
class Header:
    """`fields` hold text, lists and mappings of text; `body` is what follows."""

    fields: Mapping[str, Any]
    body: str
    problems: tuple[Problem, ...] = ()


def parse(data: bytes) -> Header:
    """The parts of a SKILL.md. Never raises: what is wrong is in `problems`."""
    found: list[Problem] = []
    text = _text(data, found)
    lines = text.lstrip("\n").split("\n")
    if lines[0].rstrip() != "---":
        found.append(warning("it has no front matter (`---`, fields, `---` at its beginning)"))
        return Header({}, text.strip("\n"), tuple(found))
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        end = _loose_end(lines)
        found.append(warning("its front matter is not closed by a line `---`"))
        head, body = lines[1:end], lines[end:]
    else:
        head, body = lines[1:end], lines[end + 1 :]
    return Header(_fields("\n".join(head), found), "\n".join(body).strip("\n"), tuple(found))


def _text(data: bytes, found: list[Problem]) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        found.append(advice("it begins with a byte order mark"))
        data = data[3:]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        found.append(warning(f"it is not UTF-8 text (byte {error.start:,}); what cannot be read is replaced"))
        text = data.decode("utf-8", "replace")
    if "\r" in text:
        found.append(advice("its lines end in CR; LF is what every program reads"))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        found.append(warning("it holds NUL bytes, as if it were no text"))
        text = text.replace("\0", "")
    return text


def _loose_end(lines: list[str]) -> int:
    """Where fields that nobody closed end: at the first line that is neither a field nor indented."""
    for number, line in enumerate(lines[1:], 1):
        if not (_KEY.match(line) or line.startswith((" ", "\t", "- "))):
            return number
    return len(lines)


def _fields(text: str, found: list[Problem]) -> dict[str, Any]:
    if len(text) > MOST_HEADER:
        found.append(
            warning(f"its front matter has more than {MOST_HEADER:,} characters; the rest is left out")
        )
        return _by_line(text[:MOST_HEADER])
    try:
        fields, repeated = read_yaml(text, first_line=2)
        found += repeated
        return fields
    except ValueError as error:
        found.append(warning(f"its front matter is not valid YAML ({error}); it was read line by line"))
        return _by_line(text)


def read_yaml(text: str, first_line: int = 1) -> tuple[dict[str, Any], list[Problem]]:
    """The fields of a mapping, and which of them stand there twice. Raises ValueError.

    Every scalar stays the text that was written: `1.0`, `yes` and `2026-01-01` too.

    Built from the parser's events: PyYAML's own composer calls itself for each level, and text of strangers
    that is nested deep enough ends the whole process.
    """
    import yaml

    root: list[Any] = []
    found: list[Problem] = []
    open_: list[_Level] = [_Level(root)]
    anchors: dict[str, str] = {}
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
            if len(open_) > TOO_DEEP:
                raise ValueError("it is nested too deep")
            match event:
                case yaml.ScalarEvent():
                    if event.anchor:
                        anchors[event.anchor] = event.value
                    open_[-1].add(event.value)
                case yaml.AliasEvent():
                    open_[-1].add(anchors.get(event.anchor or "", ""))
                case yaml.MappingStartEvent():
                    open_.append(_Level({}))
                case yaml.SequenceStartEvent():
                    open_.append(_Level([]))
                case yaml.CollectionEndEvent():
                    level = open_.pop()
                    open_[-1].add(level.value if len(open_) < MOST_DEPTH else "")
                    if len(open_) == 1:
                        found += level.repeated()
    except yaml.YAMLError as error:
        raise ValueError(_said(error, first_line)) from None
    if not root or root == [""]:
        return {}, found
    if not isinstance(root[0], dict):
        raise ValueError("it is not a mapping of fields")
    return root[0], found


class _Level:
    """A list or a mapping being filled."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key: Any = None
        self.keys: list[str] = []

    def add(self, item: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(item)
        elif self.key is None:
            self.key = item if isinstance(item, str) else ""
            self.keys.append(self.key)
        else:
            self.value[self.key], self.key = item, None

    def repeated(self) -> list[Problem]:
        return [
            warning(f"{name[:40]} is there more than once; the last one counts")
            for name in dict.fromkeys(self.keys)
            if self.keys.count(name) > 1
        ]


def _said(error: Any, first_line: int) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + first_line}: " if mark else ""
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    # Recent releases of PyYAML bound the depth themselves, in words of their own.
    return line + ("it is nested too deep" if "nesting depth" in problem else problem)


def _by_line(text: str) -> dict[str, Any]:
    """`key: the rest of the line`, and what is indented below belongs to it."""
    fields: dict[str, Any] = {}
    gathered: list[str] = []
    inner: dict[str, str] = {}
    key = ""
    for line in [*text.split("\n"), "end:"]:
        match = _KEY.match(line)
        if match is None:
            nested = _INNER_KEY.match(line)
            if nested and not gathered:
                inner[nested[1]] = _unquoted(nested[2])
            elif line.strip() and not line.startswith("#"):
                gathered.append(line.strip().removeprefix("- "))
            continue
        if key:
            fields[key] = inner if inner and not gathered else _unquoted(" ".join(gathered))
        first = (match[2] or "").strip()
        key, inner = match[1], {}
        gathered = [first] if first and not _BLOCK.match(first) else []
    return fields


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
