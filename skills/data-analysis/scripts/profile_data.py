#!/usr/bin/env python3
"""Profiles a data file in one pass, in bounded memory, and prints JSON.

usage: profile_data.py FILE [--delimiter D] [--table NAME]

CSV, TSV, JSON, JSON lines, SQLite; Excel with openpyxl, Parquet with pyarrow.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import statistics
import sys
from array import array
from datetime import date, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from tables import SEVERAL, Table, Unreadable, format_of, tables

MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}
MOST_DISTINCT = 10_000
MOST_ROWS_COMPARED = 200_000
LONG = 200
SAMPLE_ROWS, SAMPLE_CELLS = 10_000, 1_000_000
PAIR_ROWS, PAIR_COLUMNS, WEAK, MOST_PAIRS = 2_000, 30, 0.3, 20


class Column:
    """Figures of one column, gathered value by value in bounded memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values = self.missing = self.numbers = self.dates = self.booleans = 0
        self.mean = self.squares = 0.0
        self.low: float | None = None
        self.high: float | None = None
        self.first = self.last = ""
        self.seen: set[str | int] = set()

    def add(self, value: Any) -> float:
        """The value as a number, or NaN."""
        text = as_text(value)
        if text.lower() in MISSING:
            self.missing += 1
            return math.nan
        self.values += 1
        if len(self.seen) <= MOST_DISTINCT:
            self.seen.add(text if len(text) <= LONG else hash(text))
        if isinstance(value, bool):
            self.booleans += 1
        elif (found := number(text)) is not None:
            self._number(found)
            return found
        elif self.dates == self.values - 1 and is_date(text):
            self._date(text)
        return math.nan

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

    def report(self, sample: list[float]) -> dict[str, Any]:
        """`sample` holds numbers of this column from rows picked by chance (all of them where there are few)."""
        found: dict[str, Any] = {
            "name": self.name,
            "type": self.kind,
            "missing": self.missing,
            "distinct": min(len(self.seen), MOST_DISTINCT),
            "distinct_is_exact": len(self.seen) <= MOST_DISTINCT,
        }
        if self.kind == "number":
            spread = math.sqrt(self.squares / (self.numbers - 1)) if self.numbers > 1 else None
            found |= {"min": self.low, "max": self.high, "mean": self.mean, "std": finite(spread)}
            found |= outliers(sample)
        elif self.kind == "date":
            found |= {"min": self.first, "max": self.last}
        elif self.numbers:
            found["numbers_among_text"] = self.numbers
        return found

    @property
    def kind(self) -> str:
        if not self.values:
            return "empty"
        for count, name in ((self.numbers, "number"), (self.dates, "date"), (self.booleans, "boolean")):
            if count == self.values:
                return name
        return "text"


class Rows:
    """What is known of whole rows: how many, which repeat, and a sample picked by chance (always the same)."""

    def __init__(self, columns: int) -> None:
        self.count = self.ragged = self.duplicates = 0
        self.seen: set[int] = set()
        self.sample: list[array[float]] = []
        self._most = max(10, min(SAMPLE_ROWS, SAMPLE_CELLS // max(columns, 1)))
        self._chance = random.Random(0)

    def add(self, row: list[Any], numbers: array[float]) -> None:
        self.count += 1
        mark = hash(tuple(map(as_text, row)))
        if mark in self.seen:
            self.duplicates += 1
        elif len(self.seen) < MOST_ROWS_COMPARED:
            self.seen.add(mark)
        if len(self.sample) < self._most:
            self.sample.append(numbers)
        elif (place := self._chance.randrange(self.count)) < self._most:
            self.sample[place] = numbers

    def numbers(self, place: int) -> list[float]:
        return [row[place] for row in self.sample if not math.isnan(row[place])]


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(value)


def number(text: str) -> float | None:
    """None for what is no finite number, also for `1_000`, which only Python reads as one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def is_date(text: str) -> bool:
    """A day, or a day and a time, in the order in which they sort: 2024-01-31."""
    if len(text) < 10 or text[4] != "-" or text[7] != "-":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def outliers(sample: list[float]) -> dict[str, Any]:
    """Quartiles, and how many lie more than 1.5 times their distance beyond them."""
    if len(sample) < 4:
        return {}
    first, middle, third = statistics.quantiles(sample, n=4, method="inclusive")
    low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    count = sum(value < low or value > high for value in sample)
    if not all(map(math.isfinite, (low, high))):
        return {}
    return {
        "quartiles": [first, middle, third],
        "outliers": {"below": low, "above": high, "count": count, "of": len(sample)},
    }


def correlations(columns: list[Column], rows: Rows) -> list[dict[str, Any]]:
    """Pairs of numeric columns that move together (Pearson), strongest first."""
    numeric = [place for place, column in enumerate(columns) if column.kind == "number"][:PAIR_COLUMNS]
    sample = rows.sample[:PAIR_ROWS]
    found: list[dict[str, Any]] = []
    for number_, a in enumerate(numeric):
        for b in numeric[number_ + 1 :]:
            pairs = [(row[a], row[b]) for row in sample if not (math.isnan(row[a]) or math.isnan(row[b]))]
            try:
                r = statistics.correlation(*zip(*pairs, strict=True)) if len(pairs) > 2 else 0.0
            except (statistics.StatisticsError, OverflowError):  # one of them never changes
                continue
            if abs(r) >= WEAK:
                found.append(
                    {"a": columns[a].name, "b": columns[b].name, "r": round(r, 4), "rows": len(pairs)}
                )
    return sorted(found, key=lambda pair: -abs(pair["r"]))[:MOST_PAIRS]


def profile_table(table: Table) -> dict[str, Any]:
    columns = [Column(name) for name in table.columns]
    rows = Rows(len(columns))
    for row in table.rows:
        rows.ragged += len(row) != len(columns)
        values = (row[place] if place < len(row) else None for place in range(len(columns)))
        rows.add(row, array("d", [column.add(value) for column, value in zip(columns, values, strict=True)]))
    return {
        "rows": rows.count,
        "ragged": rows.ragged,
        "duplicates": rows.duplicates,
        "duplicates_is_exact": len(rows.seen) < MOST_ROWS_COMPARED,
        "sampled": len(rows.sample),
        "columns": [column.report(rows.numbers(place)) for place, column in enumerate(columns)],
        "correlations": correlations(columns, rows),
    }


def profile(path: str, delimiter: str | None = None, only: str | None = None) -> dict[str, Any]:
    """Figures of the file at `path`; of each table under `tables` where it may hold several.

    Raises OSError, Unreadable, and csv.Error where one field has more than 1 GB.
    """
    kind = format_of(path)
    found = [
        {"name": table.name, **profile_table(table)}
        for table in tables(path, delimiter)
        if only in (None, table.name)
    ]
    if kind in SEVERAL:
        return {"path": path, "format": kind, "tables": found}
    table = found[0] if found else {}
    return {"path": path, "format": kind, **{key: value for key, value in table.items() if key != "name"}}


def main() -> int:
    parser = argparse.ArgumentParser(description="Profile a data file as JSON.")
    parser.add_argument("file")
    parser.add_argument("--delimiter", help="of a CSV file; otherwise it is found")
    parser.add_argument("--table", help="of an Excel or SQLite file; otherwise all")
    given = parser.parse_args()
    try:
        found = profile(given.file, given.delimiter, given.table)
    except OSError as error:
        sys.stderr.write(f"{given.file} cannot be read: {error.strerror}\n")
        return 1
    except (csv.Error, Unreadable, TypeError) as error:
        sys.stderr.write(f"{given.file} is not a table: {error}\n")
        return 1
    sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
