"""Rows of CSV, TSV, JSON, JSON lines, Excel, Parquet and SQLite files, one at a time where the format allows.

Excel needs openpyxl and Parquet pyarrow; the others only the standard library.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

MOST_JSON = 256 << 20
SEVERAL = ("excel", "sqlite")
"""Formats that may hold several tables."""


class Unreadable(Exception):
    """A file that is no table, or needs a package that is not there; the text says which."""


@dataclass
class Table:
    """`rows` can be gone through once; a CSV file's may be longer or shorter than `columns`."""

    name: str
    columns: list[str]
    rows: Iterable[list[Any]]


def format_of(path: str) -> str:
    """By the first bytes, and by the name where they do not tell."""
    with open(path, "rb") as file:
        head = file.read(64)
    ending = Path(path).suffix.lower()
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04") or ending in (".xlsx", ".xlsm"):
        return "excel"
    if ending in (".jsonl", ".ndjson"):
        return "jsonl"
    if ending == ".json" or (ending != ".csv" and head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"[")):
        return "json"
    return "csv"


def tables(path: str, delimiter: str | None = None) -> Iterator[Table]:
    """The tables of a file. Raises Unreadable, OSError, csv.Error."""
    readers = {
        "sqlite": _sqlite,
        "parquet": _parquet,
        "excel": _excel,
        "jsonl": _json_lines,
        "json": _json,
    }
    kind = format_of(path)
    if kind == "csv":
        yield from _csv(path, delimiter)
    else:
        yield from readers[kind](path)


def pick(path: str, name: str | None = None) -> Table:
    """One table: the first, or that of this name. Raises Unreadable."""
    source, names = tables(path), []
    for table in source:
        if name in (None, table.name):
            return Table(table.name, table.columns, _holding(source, table.rows))
        names.append(table.name)
    raise Unreadable(f"{path} has no table {name!r}; it has: {', '.join(names) or 'none'}")


def _holding(source: Iterator[Table], rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """The file stays open as long as somebody reads its rows."""
    yield from rows
    del source


def _csv(path: str, delimiter: str | None) -> Iterator[Table]:
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        if delimiter is None:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t|", key=first.count)
        rows = csv.reader((line.replace("\0", "") for line in file), delimiter=delimiter)
        yield Table(Path(path).stem, next(rows, []), (row for row in rows if row))


def _json(path: str) -> Iterator[Table]:
    if Path(path).stat().st_size > MOST_JSON:
        raise Unreadable(
            f"{path} is larger than {MOST_JSON >> 20} MB; make it JSON lines first (jq -c '.[]')"
        )
    try:
        data = json.loads(Path(path).read_bytes().decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path} is not JSON: {error}") from None
    if isinstance(data, dict):
        lists = {name: value for name, value in data.items() if isinstance(value, list)}
        if lists and len(lists) == len(data) and not any(isinstance(v[0], dict) for v in lists.values() if v):
            yield Table(Path(path).stem, list(lists), _zipped(list(lists.values())))
            return
        data = next((value for value in lists.values() if value and isinstance(value[0], dict)), [data])
    if not isinstance(data, list):
        raise Unreadable(f"{path} holds a single value, not a table")
    yield _records(Path(path).stem, data)


def _json_lines(path: str) -> Iterator[Table]:
    def lines() -> Iterator[Any]:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except (ValueError, RecursionError) as error:
                        raise Unreadable(f"{path}, line {number}, is not JSON: {error}") from None

    yield _records(Path(path).stem, lines())


def _records(name: str, items: Iterable[Any]) -> Table:
    """Objects as rows; the columns are those of the first thousand."""
    rest = iter(items)
    first = [item if isinstance(item, dict) else {"value": item} for item in islice(rest, 1000)]
    columns = list(dict.fromkeys(str(key) for item in first for key in item))

    def rows() -> Iterator[list[Any]]:
        for item in first:
            yield [item.get(column) for column in columns]
        for item in rest:
            item = item if isinstance(item, dict) else {"value": item}
            yield [item.get(column) for column in columns]

    return Table(name, columns, rows())


def _zipped(columns: list[list[Any]]) -> Iterator[list[Any]]:
    for number in range(max(map(len, columns), default=0)):
        yield [column[number] if number < len(column) else None for column in columns]


def _sqlite(path: str) -> Iterator[Table]:
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            for (name,) in database.execute(query).fetchall():
                quoted = str(name).replace('"', '""')
                cursor = database.execute(f'SELECT * FROM "{quoted}"')
                yield Table(
                    str(name), [str(field[0]) for field in cursor.description], (list(r) for r in cursor)
                )
    except sqlite3.Error as error:
        raise Unreadable(f"{path} is no SQLite database that can be read: {error}") from None


def _parquet(path: str) -> Iterator[Table]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise Unreadable("Parquet needs pyarrow: pip install pyarrow") from None
    try:
        file = parquet.ParquetFile(path)
        batches = (batch.to_pydict() for batch in file.iter_batches(10_000))
        rows = (list(row) for batch in batches for row in zip(*batch.values(), strict=True))
        yield Table(Path(path).stem, [str(name) for name in file.schema_arrow.names], rows)
    except ArrowException as error:
        raise Unreadable(f"{path} is no Parquet file that can be read: {error}") from None


def _excel(path: str) -> Iterator[Table]:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise Unreadable("Excel needs openpyxl: pip install openpyxl") from None
    from zipfile import BadZipFile

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, BadZipFile, KeyError, ValueError) as error:
        raise Unreadable(f"{path} is no Excel file that can be read: {error}") from None
    with closing(book):
        for sheet in book.worksheets:
            rows = (
                [*row] for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row)
            )
            head = next(rows, [])
            columns = [f"column {n}" if cell is None else str(cell) for n, cell in enumerate(head, 1)]
            yield Table(sheet.title, columns, rows)
