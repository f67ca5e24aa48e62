#!/usr/bin/env python3
"""Writes a first report of a data file: what is in it, what is odd about it, and charts.

usage: report.py FILE [--out report.md] [--table NAME]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from chart import chart
from profile_data import profile
from tables import Unreadable

MOST_CHARTS, MOST_COLUMNS = 4, 60


def cell(value: Any) -> str:
    """Text of the data in a Markdown table, which it cannot leave."""
    text = f"{value:,.4g}" if isinstance(value, float) else "" if value is None else str(value)
    text = "".join(c if c.isprintable() else " " for c in text[:60])
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#!$~" else c for c in text)


def findings(table: dict[str, Any]) -> list[str]:
    """What a reader should know before using the data, most of it with a figure."""
    rows, found = table["rows"], []
    if table["ragged"]:
        found.append(f"{table['ragged']:,} rows have more or fewer fields than the header.")
    if table["duplicates"]:
        least = "" if table["duplicates_is_exact"] else "At least "
        found.append(
            f"{least}{table['duplicates']:,} rows ({share(table['duplicates'], rows)}) repeat an earlier row."
        )
    for column in table["columns"]:
        name = f"**{cell(column['name'])}**"
        if column["type"] == "empty":
            found.append(f"{name} is empty.")
        elif column["missing"] > 0.05 * rows:
            found.append(
                f"{name} lacks {column['missing']:,} of {rows:,} values ({share(column['missing'], rows)})."
            )
        if column.get("numbers_among_text", 0) > 0.5 * (rows - column["missing"]):
            words = rows - column["missing"] - column["numbers_among_text"]
            found.append(f"{name} would be a number but for {words:,} values that are text.")
        if column["distinct"] == 1 and rows > 1 and not column["missing"]:
            found.append(f"{name} always has the same value.")
        odd = column.get("outliers", {})
        if odd.get("count"):
            found.append(
                f"{name}: {odd['count']:,} of {odd['of']:,} values lie outside "
                f"{cell(odd['below'])} to {cell(odd['above'])}; the largest is {cell(column['max'])}."
            )
    for pair in table["correlations"][:5]:
        found.append(
            f"**{cell(pair['a'])}** and **{cell(pair['b'])}** go together: "
            f"r = {pair['r']:.2f} in {pair['rows']:,} rows."
        )
    return found


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"


def overview(table: dict[str, Any]) -> list[str]:
    lines = [
        "| column | type | missing | distinct | least | mean | most |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for column in table["columns"][:MOST_COLUMNS]:
        least = "" if column["distinct_is_exact"] else "≥ "
        lines.append(
            f"| {cell(column['name'])} | {column['type']} | {column['missing']:,} | {least}{column['distinct']:,} "
            f"| {cell(column.get('min'))} | {cell(column.get('mean'))} | {cell(column.get('max'))} |"
        )
    if len(table["columns"]) > MOST_COLUMNS:
        lines.append(f"\n… and {len(table['columns']) - MOST_COLUMNS} more columns.")
    return lines


def choices(table: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """(kind, x, y) of the charts that say most: over time, by group, then how numbers are spread."""
    of = {kind: [c for c in table["columns"] if c["type"] == kind] for kind in ("number", "date", "text")}
    numbers = [c["name"] for c in of["number"] if c["distinct"] > 1]
    groups = [c["name"] for c in of["text"] if 1 < c["distinct"] <= 30]
    found: list[tuple[str, str | None, str]] = []
    if of["date"] and numbers:
        found.append(("line", of["date"][0]["name"], numbers[0]))
    if groups and numbers:
        found.append(("bar", groups[0], numbers[0]))
    return [*found, *(("histogram", None, name) for name in numbers)][:MOST_CHARTS]


def section(path: str, table: dict[str, Any], out: Path, made: list[str]) -> list[str]:
    """The lines on one table; the files of its charts are added to `made`."""
    name = table.get("name")
    lines = [f"## {cell(name)}\n"] if name else []
    lines += [
        f"{table['rows']:,} rows, {len(table['columns'])} columns.\n",
        *overview(table),
        "",
        "### What stands out\n",
    ]
    lines += [f"- {text}" for text in findings(table)] or ["- Nothing: no gaps, no repeats, no outliers."]
    lines += ["", "### Charts\n"]
    for number, (kind, x, y) in enumerate(choices(table), 1):
        part = f"-{slug(name)}" if name else ""
        file = out.with_name(f"{out.stem}{part}-{number}.png")
        try:
            drawn = chart(path, kind, x, y, "mean", str(file), name)
        except Unreadable as error:
            lines.append(f"No chart of {cell(y)}: {cell(error)}\n")
            continue
        made.append(str(file))
        lines.append(f"![{cell(drawn['title'])}]({file.name})\n")
    return lines


def slug(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)[:40]


def report(path: str, out: Path, only: str | None = None) -> list[str]:
    """Write the report and its charts; the files made."""
    found = profile(path, only=only)
    parts = found.get("tables", [found])
    if not parts:
        raise Unreadable("there is no such table" if only else "it has no tables")
    made = [str(out)]
    lines = [f"# {cell(Path(path).name)}\n"]
    for table in parts:
        lines += section(path, table, out, made)
    lines += [
        "### Not checked\n",
        "- Where the data comes from, what its columns mean, and whether its gaps are meant.",
    ]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Write a first report of a data file.")
    parser.add_argument("file")
    parser.add_argument("--out", default="report.md", type=Path)
    parser.add_argument("--table", help="of an Excel or SQLite file; otherwise all")
    given = parser.parse_args()
    try:
        files = report(given.file, given.out, given.table)
    except OSError as error:
        sys.stderr.write(f"{error.filename or given.file}: {error.strerror or error}\n")
        return 1
    except (csv.Error, Unreadable) as error:
        sys.stderr.write(f"{given.file}: {error}\n")
        return 1
    sys.stdout.write(json.dumps({"files": files}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
