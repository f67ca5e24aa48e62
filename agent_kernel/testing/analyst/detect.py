"""Finding the file that is meant, and its dialect."""

from __future__ import annotations

import codecs
import csv
import os
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from agent_kernel.testing.analyst.records import number

TABLES = (".csv", ".tsv")


def tables(most: int = 200) -> list[str]:
    """CSV files below the working folder, nearest first."""
    found = []
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(n for n in folders if not n.startswith((".", "_")) and n != "node_modules")
        found += [Path(folder, n).as_posix() for n in names if n.lower().endswith(TABLES)]
        if len(found) > most or folder.count(os.sep) > 4:
            folders.clear()
    return sorted(found, key=lambda path: (path.count("/"), path.lower()))[:most]


def find(wanted: list[str], prompt: str) -> str | None:
    """The file among `wanted` that exists, else one whose name the prompt contains."""
    for path in wanted:
        for candidate in (path, Path(path).name):
            if Path(candidate).is_file():
                return candidate
    known = sorted(tables(), key=lambda path: -len(path))
    named = [path for path in known if Path(path).name.lower() in prompt.lower()]
    if named or wanted:
        return named[0] if named else None
    return min(known, key=lambda path: (path.count("/"), path.lower()), default=None)


def encoding_of(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def dialect(path: str) -> dict[str, Any]:
    """How to read the file: encoding, delimiter, quoting, header and column names."""
    encoding = encoding_of(path)
    with open(path, encoding=encoding, errors="replace", newline="") as file:
        lines = [line.replace("\0", "") for line in islice(file, 100)]
    best = max(",;\t|", key=lambda delimiter: _fit(lines, delimiter))
    first = next((row for row in csv.reader(lines, delimiter=best) if row), [])
    header = any(number(cell) is None for cell in first)
    names: list[str] = []
    for place, cell in enumerate(first, 1):
        name = (cell.strip() if header else "") or f"column {place}"
        names.append(name if name not in names else f"{name} ({place})")
    return {"path": path, "encoding": encoding, "delimiter": best, "quoting": csv.QUOTE_MINIMAL,
            "header": header and bool(first), "columns": names}  # fmt: skip


def _fit(lines: list[str], delimiter: str) -> tuple[bool, float, int]:
    try:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
    except csv.Error:
        return False, 0.0, 0
    if not widths:
        return False, 0.0, 0
    width, rows = widths.most_common(1)[0]
    return width > 1, rows / widths.total(), width
