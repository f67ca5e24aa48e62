#!/usr/bin/env python3
"""Says what is wrong with a notebook as JSON; with --run, after running it from the top in a fresh kernel.

usage: check_notebook.py NOTEBOOK.ipynb [--run] [--write] [--timeout 600]
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

MOST_LINES, MOST_SILENT, MOST_OUTPUT = 40, 6, 1 << 20
_PATH = re.compile(r"""["'](/(?:home|Users|root|tmp|mnt|var)/[^"'\s]+|[A-Za-z]:\\[^"']+|~/[^"'\s]+)["']""")
_SECRET = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"""|(?i:\b(?:password|passwd|secret|api_?key|token)\b\s*=\s*["'][^"'\s]{6,}["'])"""
)
Problems = Iterator[tuple[int, str]]
"""(number of the cell from 1, or 0 for the notebook; what is wrong)"""


def examine(notebook: Any) -> Problems:
    cells = notebook.cells
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.lstrip().startswith("# "):
        yield 0, "does not begin with a title (`# …`) that says what it is about"
    yield from _order(cells)
    silent, first_code = 0, True
    for number, cell in enumerate(cells, 1):
        if not cell.source.strip():
            yield number, "is empty"
        yield from ((number, text) for text in _text(cell.source))
        silent = silent + 1 if cell.cell_type == "code" else 0
        if silent == MOST_SILENT + 1:
            yield number, f"{silent} code cells without a word between them"
        if cell.cell_type == "code":
            yield from ((number, text) for text in [*_code(cell.source, first_code), *_outputs(cell)])
            first_code = False


def _order(cells: Any) -> Problems:
    counts = [
        (n, c.execution_count) for n, c in enumerate(cells, 1) if c.cell_type == "code" and c.source.strip()
    ]
    run = [(number, count) for number, count in counts if count]
    for (_, before), (number, after) in pairwise(run):
        if after < before:
            yield number, "was run out of order: its result may be of other code"
    if run and len(run) < len(counts):
        yield 0, f"{len(counts) - len(run)} code cells were not run, others were"


def _text(source: str) -> Iterator[str]:
    if match := _PATH.search(source):
        yield f"names a path of one machine: {match[1][:80]}"
    if _SECRET.search(source):
        yield "looks like a secret: read it from the environment"


def _code(source: str, first: bool) -> Iterator[str]:
    if source.count("\n") + 1 > MOST_LINES:
        yield f"has more than {MOST_LINES} lines"
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))
    if source.lstrip().startswith("%%"):
        return
    try:
        tree = ast.parse(plain)
    except (SyntaxError, ValueError) as error:
        yield f"is no Python: {getattr(error, 'msg', error)}"
        return
    if not first and any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
        yield "imports in the middle: move it to the first code cell"
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield f"imports everything from {node.module}: say which names"


def _outputs(cell: Any) -> Iterator[str]:
    size = len(json.dumps(cell.get("outputs", [])))
    if size > MOST_OUTPUT:
        yield f"the output has {size / 1e6:.1f} MB"
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            yield f"raises {output.ename}: {output.evalue[:200]}"


def run(notebook: Any, folder: Path, timeout: int) -> list[tuple[int, str]]:
    """Run all cells in a kernel of its own; what kept it from its end."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    try:
        client.execute()
    except CellExecutionError:
        return []  # the cell holds the error
    except CellTimeoutError:
        return [(_reached(notebook), f"took longer than {timeout} s")]
    except DeadKernelError:
        return [(_reached(notebook), "ended the kernel (out of memory?)")]
    return []


def _reached(notebook: Any) -> int:
    """The first cell that has no result."""
    codes = [n for n, c in enumerate(notebook.cells, 1) if c.cell_type == "code" and c.source.strip()]
    return next(
        (n for n in codes if notebook.cells[n - 1].execution_count is None), codes[-1] if codes else 0
    )


def check(path: Path, *, execute: bool, write: bool, timeout: int) -> dict[str, Any]:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    found = run(notebook, path.resolve().parent, timeout) if execute else []
    if execute and write:
        nbformat.write(notebook, path)
    if execute and any(c.cell_type == "code" and c.get("outputs") for c in notebook.cells):
        failed = any(output.output_type == "error" for c in notebook.cells for output in c.get("outputs", []))
    else:
        failed = False
    problems = [*found, *examine(notebook)]
    if failed or found:  # what stands behind a failed cell was not run: no news
        problems = [(number, text) for number, text in problems if "were not run" not in text]
    return {
        "notebook": str(path),
        "cells": len(notebook.cells),
        "ran": execute and not failed and not found,
        "problems": [{"cell": number, "problem": text} for number, text in problems],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Say what is wrong with a notebook.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--run", action="store_true", help="run it from the top in a fresh kernel first")
    parser.add_argument("--write", action="store_true", help="keep the outputs of that run")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell may take")
    given = parser.parse_args()
    try:
        found = check(given.notebook, execute=given.run, write=given.write, timeout=given.timeout)
    except ImportError as error:
        sys.stderr.write(f"{error.name} is needed: pip install nbformat nbclient ipykernel\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{given.notebook}: {error.strerror}\n")
        return 2
    except Exception as error:  # nbformat has many ways to say it
        sys.stderr.write(f"{given.notebook} is no notebook: {str(error).splitlines()[0][:200]}\n")
        return 2
    print(json.dumps(found, ensure_ascii=False))
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
