#!/usr/bin/env python3
"""Writes the tables of HTML pages as CSV files and prints what they hold as JSON, one object a page.

usage: extract.py FILE … [--out DIR] [--links] [--base URL]
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

MOST_SPAN, MOST_LINKS, SHOWN = 1_000, 2_000, 3
SILENT = ("script", "style", "noscript", "template")


@dataclass
class Cell:
    text: str = ""
    across: int = 1
    down: int = 1
    head: bool = False


@dataclass
class Table:
    caption: str = ""
    rows: list[list[Cell]] = field(default_factory=list)

    def grid(self) -> list[list[str]]:
        """Rows of equal length; what spans several places stands in each of them."""
        rows: list[list[str]] = []
        hanging: dict[int, tuple[int, str]] = {}
        for row in self.rows:
            line: list[str] = []
            cells = list(row)
            while cells or len(line) in hanging:
                if len(line) in hanging:
                    left, text = hanging.pop(place := len(line))
                    if left > 1:
                        hanging[place] = (left - 1, text)
                    line.append(text)
                    continue
                cell = cells.pop(0)
                text = " ".join(cell.text.split())
                for _ in range(cell.across):
                    if cell.down > 1:
                        hanging[len(line)] = (cell.down - 1, text)
                    line.append(text)
            rows.append(line)
        width = max(map(len, rows), default=0)
        return [row + [""] * (width - len(row)) for row in rows]


class Tables(HTMLParser):
    """All tables of a page, nested ones on their own, and its links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[Table] = []
        self.links: list[dict[str, str]] = []
        self._open: list[Table] = []
        self._cells: list[Cell | None] = []
        self._caption = False
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._silent += tag in SILENT
        if tag == "a" and values.get("href") and len(self.links) < MOST_LINKS:
            self.links.append({"text": "", "href": values["href"]})
        if tag == "table":
            self._open.append(Table())
            self._cells.append(None)
            self.tables.append(self._open[-1])
        elif not self._open:
            return
        elif tag == "caption":
            self._caption = True
        elif tag == "tr":
            self._open[-1].rows.append([])
        elif tag in ("td", "th"):
            if not self._open[-1].rows:
                self._open[-1].rows.append([])
            cell = Cell("", _span(values.get("colspan")), _span(values.get("rowspan")), tag == "th")
            self._open[-1].rows[-1].append(cell)
            self._cells[-1] = cell
        elif tag in ("br", "p", "li") and (current := self._cells[-1]):
            current.text += " "

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in SILENT))
        if tag == "table" and self._open:
            self._open.pop()
            self._cells.pop()
        elif tag in ("td", "th") and self._cells:
            self._cells[-1] = None
        elif tag == "caption":
            self._caption = False

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self.links:
            self.links[-1]["text"] += data if len(self.links[-1]["text"]) < 200 else ""
        if self._caption and self._open:
            self._open[-1].caption += data
        elif self._cells and (cell := self._cells[-1]):
            cell.text += data

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.handle_starttag(tag, attrs)


class LinkTexts(Tables):
    """As `Tables`; the text of a link ends with the link."""

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        if tag == "a" and self.links:
            self.links[-1]["text"] = " ".join(self.links[-1]["text"].split())[:200]
            self.links.append({"text": "", "href": ""})


def _span(text: str | None) -> int:
    return min(max(int(text), 1), MOST_SPAN) if text and re.fullmatch(r"\d{1,6}", text) else 1


def extract(path: Path, out: Path, *, links: bool, base: str) -> dict[str, Any]:
    """Write the tables of one page; what they hold."""
    page = LinkTexts()
    page.feed(path.read_bytes().decode("utf-8", "replace"))
    page.close()
    found: list[dict[str, Any]] = []
    for table in page.tables:
        grid = [row for row in table.grid() if any(row)]
        if len(grid) < 2:
            continue  # for layout, or empty
        target = out / f"{path.stem}-{len(found) + 1}.csv"
        with target.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(grid)
        found.append(
            {
                "csv": str(target),
                "caption": " ".join(table.caption.split())[:200],
                "rows": len(grid) - 1,
                "columns": grid[0],
                "first": grid[1 : 1 + SHOWN],
            }
        )
    told: dict[str, Any] = {"file": str(path), "tables": found}
    if links:
        told["links"] = [
            {"text": link["text"], "href": urljoin(base, link["href"])} for link in page.links if link["href"]
        ]
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables of HTML pages as CSV.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the CSV files")
    parser.add_argument("--links", action="store_true", help="list links, too")
    parser.add_argument("--base", default="", help="address of the page, for its links")
    given = parser.parse_args()
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        for path in given.files:
            print(
                json.dumps(extract(path, given.out, links=given.links, base=given.base), ensure_ascii=False)
            )
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
