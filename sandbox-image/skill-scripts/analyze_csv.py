#!/usr/bin/env python3
"""What is in a CSV file: its columns, what is missing, and figures. Standard library only; one pass, any size.

analyze_csv.py FILE [--delimiter ,] [--json]
"""

import argparse
import csv
import json
import math
import sys
from collections import Counter
from datetime import datetime

MOST_DISTINCT, MOST_SHOWN = 10_000, 5
MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}


class Column:
    """One column's figures, kept up to date row by row (the mean and deviation by Welford's method)."""

    def __init__(self, name):
        self.name, self.count, self.missing = name, 0, 0
        self.numbers, self.dates = 0, 0
        self.mean, self.spread, self.low, self.high = 0.0, 0.0, math.inf, -math.inf
        self.values, self.crowded = Counter(), False

    def add(self, text):
        text = (text or "").strip()
        self.count += 1
        if text.lower() in MISSING:
            self.missing += 1
            return
        if text in self.values or len(self.values) < MOST_DISTINCT:
            self.values[text] += 1
        else:
            self.crowded = True
        number = as_number(text)
        if number is not None:
            self.numbers += 1
            away = number - self.mean
            self.mean += away / self.numbers
            self.spread += away * (number - self.mean)
            self.low, self.high = min(self.low, number), max(self.high, number)
        elif is_date(text):
            self.dates += 1

    def report(self):
        there = self.count - self.missing
        kind = "number" if self.numbers == there else "date" if self.dates == there else "text"
        if not there:
            kind = "empty"
        elif kind == "text" and 0.9 * there <= self.numbers:
            kind = "number, with exceptions"
        found = {"column": self.name, "kind": kind, "missing": self.missing,
                 "distinct": f">{MOST_DISTINCT}" if self.crowded else len(self.values)}  # fmt: skip
        if kind.startswith("number"):
            deviation = math.sqrt(self.spread / (self.numbers - 1)) if self.numbers > 1 else 0.0
            found |= {
                "min": self.low,
                "mean": round(self.mean, 6),
                "max": self.high,
                "deviation": round(deviation, 6),
            }
        elif kind == "date":
            found |= {"first": min(self.values), "last": max(self.values)}
        if kind != "number" and not self.crowded:
            found["most often"] = dict(self.values.most_common(MOST_SHOWN))
        return found


def as_number(text):
    try:
        number = float(text.replace(",", "") if "." in text else text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def is_date(text):
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def analyze(path, delimiter=None):
    """The report as a dictionary. Raises ValueError when there is no header."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        head = file.read(64 << 10)
        file.seek(0)
        if delimiter is None:
            try:
                delimiter = csv.Sniffer().sniff(head, ",;\t|").delimiter
            except csv.Error:
                delimiter = ","
        rows = csv.reader(file, delimiter=delimiter)
        names = next(rows, None)
        if not names:
            raise ValueError(f"{path} is empty: a first line with the names of the columns is needed")
        columns, count, ragged, seen, doubles = [Column(name) for name in names], 0, 0, set(), 0
        for row in rows:
            if not row:
                continue
            count += 1
            ragged += len(row) != len(columns)
            if count <= 1_000_000:
                mark = hash(tuple(row))
                doubles += mark in seen
                seen.add(mark)
            for index, column in enumerate(columns):
                column.add(row[index] if index < len(row) else "")
    return {
        "file": str(path), "delimiter": delimiter, "rows": count, "columns": [column.report() for column in columns],
        "rows of another length": ragged, "repeated rows": doubles,
    }  # fmt: skip


def as_markdown(report):
    lines = [f"# {report['file']}", "", f"{report['rows']:,} rows, {len(report['columns'])} columns."]
    for name in ("rows of another length", "repeated rows"):
        if report[name]:
            lines.append(f"{report[name]:,} {name}.")
    lines += ["", "| column | kind | missing | distinct | about |", "|---|---|---|---|---|"]
    for column in report["columns"]:
        about = {k: v for k, v in column.items() if k not in ("column", "kind", "missing", "distinct")}
        said = "; ".join(f"{k} {v}" for k, v in about.items()).replace("|", "\\|")
        lines.append(
            f"| {column['column']} | {column['kind']} | {column['missing']} | {column['distinct']} | {said} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--delimiter", help="found by itself when left out")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        report = analyze(args.file, args.delimiter)
    except (OSError, ValueError, csv.Error) as error:
        sys.exit(f"analyze_csv: {error}")
    print(json.dumps(report, indent=1) if args.json else as_markdown(report))


if __name__ == "__main__":
    main()
