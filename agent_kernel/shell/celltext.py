"""What a cell of the agent kernel is by its text: a prompt, unless it says that it is for Python or IPython."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["prompt", "python", "ipython"]
Known: TypeAlias = Callable[[str], bool]
"""Whether a name means something in the person's namespace."""

_PYTHON = re.compile(r"\s*%%(?:python|py)(?:[ \t]+|[ \t]*\n|$)")
_ESCAPED = re.compile(r"\s*(?:%{1,2}[A-Za-z_]|[!?])")
_HELP = re.compile(r"\s*(?:%{0,2}([\w*]+)[\w*.]*)\?{1,2}\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_INDENT = re.compile(r"(?:[ \t]*\n)*([ \t]*)\S")


@dataclass(frozen=True, slots=True)
class CellText:
    """`body` is the cell without a leading `%%python`; it begins `offset` characters into the cell."""

    kind: Kind
    body: str
    offset: int = 0


def read(cell: str, known: Known) -> CellText:
    """How `cell` is meant. A question of several words, or about nothing that exists, is a prompt."""
    if not cell.strip():
        return CellText("ipython", cell)
    if match := _PYTHON.match(cell):
        return CellText("python", cell[match.end() :], match.end())
    return CellText("ipython" if _ESCAPED.match(cell) or _asks_for_help(cell, known) else "prompt", cell)


def rewritten(lines: Sequence[str], known: Known) -> list[str]:
    """The cell as IPython is to run it; lines keep their numbers, so that tracebacks name the right ones."""
    cell = read("".join(lines), known)
    if cell.kind == "prompt":
        return [f"get_ipython().run_cell_magic('agent', '', {cell.body!r})\n"]
    if cell.kind == "ipython":
        return list(lines)
    body = cell.body.splitlines(keepends=True)
    if cell.body.lstrip().startswith("%%"):  # a cell magic must come first
        return body
    spent = len(lines) - len(body)
    indent = match[1] if (match := _INDENT.match(cell.body)) else ""
    return [*[f"{indent}# %%python\n"] * spent, *body]


def _asks_for_help(cell: str, known: Known) -> bool:
    """`name?`, `name.attribute??`, `%magic?` and `*pattern*?`, as IPython understands them."""
    match = _HELP.fullmatch(cell)
    if match is None:
        return False
    return not _NAME.fullmatch(match[1]) or known(match[1])
