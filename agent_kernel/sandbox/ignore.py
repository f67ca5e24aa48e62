"""What is not carried to a remote sandbox: what `.gitignore` and `.agentignore` say, as git reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAMES = (".gitignore", ".agentignore")
"""In this order: `.agentignore` can take back with `!pattern` what git need not have, but the agent does."""

MOST_TEXT, MOST_LINE, MOST_STARS = 64 << 10, 500, 4


class Ignored:
    """The rules of a workspace's ignore files, given as `path → text`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._known: dict[str, bool] = {}
        self._rules: dict[str, list[Any]] = {}
        if texts:
            from pathspec import GitIgnoreSpec

            for path in sorted(texts, key=lambda path: NAMES.index(path.rpartition("/")[2])):
                folder = path.rpartition("/")[0]
                spec = GitIgnoreSpec.from_lines(_usable(texts[path]))
                self._rules.setdefault(folder, []).append(spec)

    def same(self, texts: Mapping[str, str]) -> bool:
        return self._texts == dict(texts)

    def match(self, path: str) -> bool:
        """Whether the rules leave `path` out; those of the deepest folder have the last word."""
        if not self._rules:
            return False
        if path not in self._known:
            self._known[path] = self._match(path)
        return self._known[path]

    def _match(self, path: str) -> bool:
        parts, said = path.split("/"), False
        for depth in range(len(parts)):
            below = "/".join(parts[depth:])
            for spec in self._rules.get("/".join(parts[:depth]), ()):
                found = spec.check_file(below).include
                said = said if found is None else found
        return said


def _usable(text: str) -> Iterator[str]:
    """Lines that become a pattern. The agent can write these files: what would take for ever to match is left out."""
    from pathspec import GitIgnoreSpec

    for line in text[:MOST_TEXT].splitlines():
        if len(line) > MOST_LINE or len(re.findall(r"\*+", line)) > MOST_STARS:
            continue
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        yield line
