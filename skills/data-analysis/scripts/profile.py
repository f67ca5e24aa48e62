#!/usr/bin/env python3
"""Profiles a CSV or TSV file in one pass and prints JSON. Standard library only.

usage: profile.py FILE [--delimiter D]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from typing import Any

MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}
MOST_DISTINCT = 10_000


class Column:
    def __init__(self, name: str) -> None:
        self.name = name
        self.values = self.missing = self.numbers = 0
        self.total = 0.0
        self.low: float | None = None
        self.high: float | None = None
        self.seen: set[str] = set()

    def add(self, text: str) -> None:
        if text.strip().lower() in MISSING:
            self.missing += 1
            return
        self.values += 1
        if len(self.seen) < MOST_DISTINCT:
            self.seen.add(text)
        try:
            value = float(text)
        except ValueError:
            return
        self.numbers += 1
        self.total += value
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)

    def report(self) -> dict[str, Any]:
        numeric = self.values > 0 and self.numbers == self.values
        found: dict[str, Any] = {
            "name": self.name,
            "type": "empty" if not self.values else "number" if numeric else "text",
            "missing": self.missing,
            "distinct": len(self.seen),
            "distinct_is_exact": len(self.seen) < MOST_DISTINCT,
        }
        if numeric:
            found |= {"min": self.low, "max": self.high, "mean": self.total / self.numbers}
        return found


def profile(path: str, delimiter: str | None = None) -> dict[str, Any]:
    """Figures of the file at `path`. Raises OSError."""
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        if delimiter is None:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t|", key=first.count)
        rows = csv.reader((line.replace("\0", "") for line in file), delimiter=delimiter)
        columns = [Column(name) for name in next(rows, [])]
        count = ragged = 0
        for row in rows:
            if not row:
                continue
            count += 1
            ragged += len(row) != len(columns)
            for place, column in enumerate(columns):
                column.add(row[place] if place < len(row) else "")
    return {"path": path, "rows": count, "ragged": ragged, "columns": [column.report() for column in columns]}


def main() -> int:
    parser = argparse.ArgumentParser(description="Profile a CSV or TSV file as JSON.")
    parser.add_argument("file")
    parser.add_argument("--delimiter")
    given = parser.parse_args()
    try:
        found = profile(given.file, given.delimiter)
    except OSError as error:
        sys.stderr.write(f"{given.file} cannot be read: {error.strerror}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
