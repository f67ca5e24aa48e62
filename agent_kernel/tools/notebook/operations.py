"""Changes to a notebook as data, so that a file and a document open in JupyterLab are changed by the same rules.

`apply(notebook, operation)` is pure: it gives a new notebook, in which whatever was not touched is the same object,
or raises a refusal. `tests/data/notebook_operations.json` holds what any implementation of it must do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agent_kernel.errors import ToolError
from agent_kernel.events import Json

CellType: TypeAlias = Literal["code", "markdown", "raw"]


class Stale(ToolError):
    """The cell is not as its author has seen it; nothing was changed. `source` is what it says now."""

    def __init__(self, cell: str, expected: str, source: str) -> None:
        self.cell, self.expected, self.source = cell, expected, source
        super().__init__(
            f"Cell {cell!r} was changed since you read it (hash {digest(source)}, not {expected})."
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """One change. `cell` names the cell (of an insertion: the new one), `expected` is the digest of the source
    its author has seen, `after` the cell it is put behind: "" puts it first, None last."""

    op: Literal["insert", "edit", "move", "delete"]
    cell: str
    expected: str = ""
    source: str = ""
    cell_type: CellType = "code"
    after: str | None = None


def apply(notebook: Json, operation: Operation) -> Json:
    """The notebook after the operation. Raises ToolError, for a changed cell Stale."""
    cells, names = notebook["cells"], cell_names(notebook)
    if operation.op == "insert":
        if operation.cell in names:
            raise ToolError(f"There is a cell {operation.cell!r} already.")
        new = _new_cell(operation, with_id=has_ids(notebook))
        return _with(notebook, _placed(cells, names, new, operation.after))
    at = _found(names, operation.cell)
    cell = cells[at]
    if digest(source_of(cell)) != operation.expected:
        raise Stale(operation.cell, operation.expected, source_of(cell))
    rest, rest_names = [*cells[:at], *cells[at + 1 :]], [*names[:at], *names[at + 1 :]]
    if operation.op == "delete":
        return _with(notebook, rest)
    if operation.op == "move":
        if operation.after == operation.cell:
            raise ToolError(f"Cell {operation.cell!r} cannot be moved behind itself.")
        return _with(notebook, _placed(rest, rest_names, cell, operation.after))
    if source_of(cell) == operation.source:
        raise ToolError(f"Cell {operation.cell!r} says exactly this already; nothing would change.")
    changed = {**cell, "source": _like(cell["source"], operation.source)}
    return _with(notebook, [*cells[:at], changed, *cells[at + 1 :]])


def cell_names(notebook: Json) -> list[str]:
    """What each cell is called: its id, or `#3` for the third cell where ids are missing or not unique."""
    ids = [cell.get("id") for cell in notebook["cells"]]
    times = Counter(found for found in ids if isinstance(found, str))
    return [
        found if isinstance(found, str) and found and times[found] == 1 else f"#{number}"
        for number, found in enumerate(ids, 1)
    ]


def has_ids(notebook: Json) -> bool:
    """Whether cells have ids in this notebook's version of the format."""
    return (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)


def source_of(cell: Json) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def digest(source: str) -> str:
    """Eight hexadecimal digits that stand for a cell's source."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _found(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise ToolError(f"There is no cell {name!r}.", hint="Read the notebook again to see its cells.")
    return names.index(name)


def _placed(cells: list[Json], names: Sequence[str], cell: Json, after: str | None) -> list[Json]:
    at = len(cells) if after is None else _found(names, after) + 1 if after else 0
    return [*cells[:at], cell, *cells[at:]]


def _with(notebook: Json, cells: list[Json]) -> Json:
    return {**notebook, "cells": cells}


def _new_cell(operation: Operation, *, with_id: bool) -> Json:
    """As Jupyter writes it; never with outputs, so that nothing arrives that a person would have to trust."""
    cell: Json = {"cell_type": operation.cell_type}
    if operation.cell_type == "code":
        cell["execution_count"] = None
    if with_id:
        cell["id"] = operation.cell
    cell["metadata"] = {}
    if operation.cell_type == "code":
        cell["outputs"] = []
    cell["source"] = operation.source.splitlines(keepends=True)
    return cell


def _like(earlier: Any, source: str) -> Any:
    """In the form the notebook had: one string, or a list of lines."""
    return source if isinstance(earlier, str) else source.splitlines(keepends=True)
