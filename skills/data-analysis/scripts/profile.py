#!/usr/bin/env python3
"""Profiles a CSV or TSV file in one pass and prints JSON. Standard library only.

usage: profile.py FILE [--delimiter D]
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from datetime import datetime
from typing import Any

MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}
MOST_DISTINCT = 10_000
LONG = 200


class Column:
    """Figures of one column, gathered value by value in bounded memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values = self.missing = self.numbers = self.dates = 0
        self.mean = self.squares = 0.0
        self.low: float | None = None
        self.high: float | None = None
        self.first = self.last = ""
        self.seen: set[str | int] = set()

    def add(self, text: str) -> None:
        text = text.strip()
        if text.lower() in MISSING:
            self.missing += 1
            return
        self.values += 1
        if len(self.seen) <= MOST_DISTINCT:
            self.seen.add(text if len(text) <= LONG else hash(text))
        if (value := number(text)) is not None:
            self._number(value)
        elif self.dates == self.values - 1 and is_date(text):
            self._date(text)

    def _number(self, value: float) -> None:
        """Mean and spread as they go (Welford), so that large values lose no digits."""
        self.numbers += 1
        step = value - self.mean
        self.mean += step / self.numbers
        self.squares += step * (value - self.mean)
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)

    def _date(self, text: str) -> None:
        self.dates += 1
        self.first = min(self.first or text, text)
        self.last = max(self.last, text)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name,
            "type": self._type(),
            "missing": self.missing,
            "distinct": min(len(self.seen), MOST_DISTINCT),
            "distinct_is_exact": len(self.seen) <= MOST_DISTINCT,
        }
        if found["type"] == "number":
            spread = math.sqrt(self.squares / (self.numbers - 1)) if self.numbers > 1 else None
            found |= {"min": self.low, "max": self.high, "mean": self.mean, "std": spread}
        elif found["type"] == "date":
            found |= {"min": self.first, "max": self.last}
        elif self.numbers:
            found["numbers_among_text"] = self.numbers
        return found

    def _type(self) -> str:
        if not self.values:
            return "empty"
        if self.numbers == self.values:
            return "number"
        return "date" if self.dates == self.values else "text"


def number(text: str) -> float | None:
    """None for what is no finite number, also for `1_000`, which only Python reads as one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def is_date(text: str) -> bool:
    """A day, or a day and a time, in the order in which they sort: 2024-01-31."""
    if len(text) < 10 or text[4] != "-" or text[7] != "-":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def profile(path: str, delimiter: str | None = None) -> dict[str, Any]:
    """Figures of the file at `path`. Raises OSError, and csv.Error where one field has more than 1 GB."""
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
    except csv.Error as error:
        sys.stderr.write(f"{given.file} is not a table: {error}\n")
        return 1
    sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
