"""Profiling a CSV in one pass: types, missing values and statistics of each column."""

from __future__ import annotations

import csv
import json
import math
import statistics
from array import array
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from agent_kernel.testing.analyst.detect import dialect, find, tables
from agent_kernel.testing.analyst.records import DATES, MISSING, date, number, records

MOST_VALUES = 1_000_000
MOST_DISTINCT = 10_000


class Column:
    """Figures of one column, gathered value by value."""

    def __init__(self, name: str, sample: list[str], comma: bool) -> None:
        self.name, self.comma, self.form = name, comma, ""
        said = [text for text in sample if text.lower() not in MISSING]
        self.kind = self._kind(said)
        self.missing = self.odd = self.count = 0
        self.values, self.total, self.squares = array("d"), 0.0, 0.0
        self.low: Any = None
        self.high: Any = None
        self.words: Counter[str] = Counter()

    def _kind(self, said: list[str]) -> str:
        enough = 0.9 * len(said)
        if not said:
            return "empty"
        if sum(number(text, self.comma) is not None for text in said) >= enough:
            return "number"
        for form in DATES:
            if sum(date(text, form) is not None for text in said) >= enough:
                self.form = form
                return "date"
        return "text"

    def add(self, text: str) -> None:
        if text.lower() in MISSING:
            self.missing += 1
            return
        value: Any = text
        if self.kind == "number":
            value = number(text, self.comma)
        elif self.kind == "date":
            value = date(text, self.form)
        if value is None:
            self.odd += 1
            return
        self.count += 1
        if self.kind == "number":
            self.total += value
            self.squares += value * value
            if len(self.values) < MOST_VALUES:
                self.values.append(value)
        if self.kind in ("number", "date"):
            self.low = value if self.low is None or value < self.low else self.low
            self.high = value if self.high is None or value > self.high else self.high
        if len(self.words) < MOST_DISTINCT or text in self.words:
            self.words[text] += 1

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name[:80], "type": self.kind, "missing": self.missing}
        found |= {"odd": self.odd, "distinct": len(self.words)}
        if self.kind == "number" and self.count:
            mean = self.total / self.count
            spread = math.sqrt(max(0.0, self.squares / self.count - mean * mean))
            found |= {"min": self.low, "max": self.high, "mean": mean, "std": spread}
            found["median"] = statistics.median(self.values)
        elif self.kind == "date" and self.count:
            found |= {"min": str(self.low), "max": str(self.high), "form": self.form}
        elif self.count:
            found["top"] = [[word[:60], times] for word, times in self.words.most_common(5)]
            found["each"] = self._each()
            alike = {" ".join(word.casefold().split()) for word in self.words}
            found["spellings"] = len(self.words) - len(alike)
        return found

    def _each(self) -> int:
        """How many rows each value has, where all have the same number of more than one; else 0."""
        times = set(self.words.values())
        return (
            times.pop() if len(times) == 1 and 1 < len(self.words) < MOST_DISTINCT and max(times) > 1 else 0
        )


def profile(wanted: list[str], prompt: str) -> dict[str, Any]:
    """All figures of the file that is meant, or what is there instead."""
    path = find(wanted, prompt)
    if path is None:
        return {"error": "not found", "wanted": wanted, "files": tables(20)}
    try:
        source = dialect(path)
        try:
            found = measured(source)
        except csv.Error:  # a quote that never closes: read quotes as ordinary characters
            source["quoting"] = csv.QUOTE_NONE
            found = measured(source)
    except OSError as error:
        return {"error": f"{type(error).__name__}: {error.strerror}", "wanted": [path], "files": tables(20)}
    return {"source": source, **found, **names(path), "files": tables(20), "bytes": Path(path).stat().st_size}


def measured(source: dict[str, Any]) -> dict[str, Any]:
    comma = source["delimiter"] != "," and _decimal_comma(source)
    width = len(source["columns"])
    sample = list(islice(records(source), 1000))
    cells = [[row[place].strip() for row in sample if place < len(row)] for place in range(width)]
    columns = [Column(name, cell, comma) for name, cell in zip(source["columns"], cells, strict=True)]
    rows = ragged = repeated = 0
    seen: set[int] = set()
    for row in records(source):
        rows += 1
        ragged += len(row) != width
        if rows <= MOST_VALUES:  # of longer files, the first million
            repeated += (mark := hash(tuple(row))) in seen
            seen.add(mark)
        for place, column in enumerate(columns):
            column.add(row[place].strip() if place < len(row) else "")
    return {"rows": rows, "width": width, "ragged": ragged, "repeated": repeated, "comma": comma,
            "columns": [column.figures() for column in columns[:60]]}  # fmt: skip


def _decimal_comma(source: dict[str, Any]) -> bool:
    cells = [cell.strip() for row in islice(records(source), 200) for cell in row]
    return sum(number(c) is None and number(c, True) is not None and "," in c for c in cells) > 0


def names(path: str) -> dict[str, str]:
    """Names for the chart and the report that overwrite nothing but an earlier demo's."""
    stem = Path(path).stem
    for turn in range(1, 100):
        base = stem if turn == 1 else f"{stem}_{turn}"
        report, charts = Path(f"{base}_report.md"), [Path(f"{base}_chart{end}") for end in (".png", ".svg")]
        if not report.exists():
            if not any(chart.exists() for chart in charts):
                break
        elif "offline demo, no AI" in report.read_text(encoding="utf-8", errors="replace")[:500]:
            break
    return {"report": report.name, "chart": f"{base}_chart"}


def line(found: dict[str, Any]) -> str:
    """The result as one line for whoever reads it."""
    return "PROFILE " + json.dumps(found)


def as_csv(path: str) -> str:
    """A DataFrame that was handed over, as a CSV beside it."""
    if not path.endswith(".parquet"):
        return path
    import pandas as pd

    target = Path(path).with_suffix(".csv")
    pd.read_parquet(path).to_csv(target, index=False)
    return target.as_posix()


def figures(found: dict[str, Any]) -> Any:
    """The columns as a table to compute with."""
    import pandas as pd

    keys = ("name", "type", "missing", "distinct", "min", "median", "mean", "max")
    rows = pd.DataFrame([{key: column.get(key) for key in keys} for column in found["columns"]])
    return rows.assign(**{key: pd.to_numeric(rows[key], errors="coerce") for key in keys[4:]})


def table(found: dict[str, Any]) -> Any:
    """The columns as a table to look at; None without pandas."""
    try:
        import pandas as pd
    except ImportError:
        return None
    shown = ("name", "type", "missing", "distinct", "min", "median", "mean", "max")
    rows = [{key: column.get(key, "") for key in shown} for column in found.get("columns", [])]
    return pd.DataFrame(rows).set_index("name") if rows else None
