"""`allowed-tools` of a skill: while it is in use, only what it lists runs without asking. It never widens."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.events import Event, ToolCall, ToolResult

TOOL = "skill"
"""The name of the tool that brings a skill into use."""
_ENTRY = re.compile(r"([^\s,()]+)(?:\(([^)]*)\))?")
_SEVERAL = re.compile(r"[;&|<>`$()\n\\{}]")
"""What could make one command line do more than its first word says."""
_NAMES = {
    "bash": "bash", "shell": "bash", "python": "python", "read": "read_file", "write": "write_file",
    "edit": "edit_file", "multiedit": "edit_file", "glob": "list_files", "ls": "list_files",
    "grep": "search_files", "search": "search_files", "todowrite": "todo", "skill": TOOL,
    "read_file": "read_file", "write_file": "write_file", "edit_file": "edit_file", "list_files": "list_files",
    "search_files": "search_files", "todo": "todo", "notebook_python": "notebook_python",
}  # fmt: skip
"""Our tools by the names that skills use for them."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """(tool, pattern) pairs; an empty pattern is every use of the tool. `unknown` are no tools of ours."""

    entries: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """`Bash(git:*) Read`, also with commas."""
        entries, unknown = [], []
        for name, pattern in _ENTRY.findall(text):
            tool = _NAMES.get(name.lower())
            if tool is None:
                unknown.append(name)
            else:
                entries.append((tool, "" if pattern.strip() == "*" else pattern.strip()))
        return cls(tuple(dict.fromkeys(entries)), tuple(dict.fromkeys(unknown)))

    def covers(self, tool: str, args: Mapping[str, Any]) -> bool:
        """Whether a call is one of those listed."""
        return any(tool == name and _fits(pattern, tool, args) for name, pattern in self.entries)


def used(events: Iterable[Event]) -> list[str]:
    """The skills that the model has brought into use, by the names it called them."""
    asked: dict[str, str] = {}
    names: dict[str, None] = {}
    for event in events:
        if isinstance(event, ToolCall) and event.tool == TOOL:
            asked[event.id] = str(event.args.get("name", ""))
        elif isinstance(event, ToolResult) and event.id in asked and not event.is_error:
            names[asked[event.id]] = None
    return list(names)


def _fits(pattern: str, tool: str, args: Mapping[str, Any]) -> bool:
    if not pattern:
        return True
    if tool == "bash":
        return _fits_command(pattern, str(args.get("command", "")).strip())
    path = posixpath.normpath(str(args.get("path", "")))
    inside = not path.startswith(("..", "/"))
    return inside and fnmatch.fnmatchcase(path, pattern.removeprefix("./"))


def _fits_command(pattern: str, command: str) -> bool:
    """`git:*` and `git *` are the program with any arguments; a line of several commands fits nothing."""
    if _SEVERAL.search(command):
        return False
    start = pattern.removesuffix(":*") if pattern.endswith(":*") else pattern.removesuffix(" *")
    if start != pattern and not re.search(r"[*?\[]", start):
        return command == start or command.startswith(start + " ")
    return fnmatch.fnmatchcase(command, pattern)
