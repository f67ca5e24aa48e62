#!/usr/bin/env python3
"""Makes a notebook of a script with `# %%` cells, and such a script of a notebook.

usage: assemble.py SOURCE.py --out NOTEBOOK.ipynb
       assemble.py NOTEBOOK.ipynb --out SOURCE.py
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

_MARK = re.compile(r"# %%[ \t]*(\[markdown\]|\[md\]|\[raw\])?[ \t]*(.*)$")


class Unusable(Exception):
    """A source that cannot be used; the text says why."""


def cells_of(text: str) -> list[tuple[str, str]]:
    """(kind, source) of each cell; what stands before the first mark is code."""
    found: list[tuple[str, list[str]]] = [("code", [])]
    for line in text.splitlines():
        if match := _MARK.match(line):
            kind = {"[markdown]": "markdown", "[md]": "markdown", "[raw]": "raw"}.get(match[1] or "", "code")
            found.append((kind, [f"# {match[2]}"] if kind == "code" and match[2] else []))
        else:
            found[-1][1].append(line)
    return [(kind, source) for kind, lines in found if (source := _source(kind, lines))]


def _source(kind: str, lines: list[str]) -> str:
    text = "\n".join(lines).strip("\n")
    if kind == "code":
        return text
    if (block := re.fullmatch(r'\s*"""(.*)"""\s*', text, re.DOTALL)) is not None:
        return block[1].strip("\n")
    return "\n".join(re.sub(r"^# ?", "", line) for line in text.split("\n")).strip("\n")


def notebook_of(text: str) -> Any:
    """A valid notebook without outputs; the same text gives the same notebook."""
    parts = cells_of(text)
    if not parts:
        raise Unusable("it has no cells")
    from nbformat import v4

    makers = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    cells = []
    for number, (kind, source) in enumerate(parts):
        mark = hashlib.sha256(f"{number}\0{source}".encode()).hexdigest()[:8]
        cells.append(makers[kind](source, id=mark))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def script_of(notebook: Any) -> str:
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            parts.append(f"# %%\n{cell.source}")
        else:
            lines = "\n".join(f"# {line}".rstrip() for line in cell.source.split("\n"))
            parts.append(f"# %% [{cell.cell_type}]\n{lines}")
    return "\n\n".join(parts) + "\n"


def convert(source: Path, target: Path) -> int:
    """Write `target`; the number of cells. Raises Unusable, OSError."""
    if target.resolve() == source.resolve():
        raise Unusable("it would be overwritten: give another name")
    import nbformat

    if source.suffix == ".ipynb":
        try:
            notebook = nbformat.read(source, as_version=4)
        except OSError:
            raise
        except Exception as error:  # nbformat has many ways to say it
            raise Unusable(f"it is no notebook: {str(error).splitlines()[0][:200]}") from None
        target.write_text(script_of(notebook), encoding="utf-8")
        return len(notebook.cells)
    try:
        notebook = notebook_of(source.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise Unusable("it is not UTF-8 text") from None
    nbformat.validate(notebook)
    nbformat.write(notebook, target)
    return len(notebook.cells)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a notebook of a script, or a script of a notebook.")
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    try:
        count = convert(given.source, given.out)
    except ImportError:
        sys.stderr.write("nbformat is needed: pip install nbformat\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    except Unusable as error:
        sys.stderr.write(f"{given.source}: {error}\n")
        return 1
    print(f"{given.out}: {count} cells")
    return 0


if __name__ == "__main__":
    sys.exit(main())
