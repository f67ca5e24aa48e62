"""Reading a CSV whose dialect is known: records, numbers and dates."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "?", "#n/a"}
DATES = ("iso", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y-%m", "%b %Y", "%d %b %Y",
         "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%B %d, %Y")  # fmt: skip
csv.field_size_limit(10_000_000)


def records(source: dict[str, Any]) -> Iterator[list[str]]:
    """The rows below the header, blank lines skipped."""
    with open(source["path"], encoding=source["encoding"], errors="replace", newline="") as file:
        lines = (line.replace("\0", "") for line in file)
        rows = (
            row for row in csv.reader(lines, delimiter=source["delimiter"], quoting=source["quoting"]) if row
        )
        if source["header"]:
            next(rows, None)
        yield from rows


def number(text: str, comma: bool = False) -> float | None:
    """`1,234.5`, `$12`, `7 %` and, with `comma`, `1.234,5`."""
    try:
        value = float(text) if not comma else float(text.replace(".", "").replace(",", "."))
    except ValueError:
        clean = re.sub(r"[\s$€£¥%_]", "", text)
        clean = clean.replace(".", "").replace(",", ".") if comma else re.sub(r",(?=\d{3})", "", clean)
        try:
            value = float(clean)
        except ValueError:
            return None
    return value if abs(value) < float("inf") else None


def date(text: str, form: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)
    except ValueError:
        return None
    return found.replace(tzinfo=None)
