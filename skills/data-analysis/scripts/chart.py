#!/usr/bin/env python3
"""Draws one chart of a data file with matplotlib and prints what is in it as JSON.

usage: chart.py FILE --y COLUMN [--x COLUMN] [--kind line|bar|histogram|scatter|box] [--how mean] [--out chart.png]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from profile_data import as_text, is_date, number
from tables import Table, Unreadable, pick

COLOURS = ("#2f6fde", "#d9622b", "#1f9d73", "#8a5cc2")
INK, FAINT = "#333a45", "#e3e6ea"
MOST_BARS, MOST_POINTS = 25, 20_000
HOW: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "sum": sum,
    "count": len,
}
KINDS = ("line", "bar", "histogram", "scatter", "box")


def read(table: Table, x: str | None, y: str) -> tuple[list[str], list[float]]:
    """Labels and numbers of the rows that have a number in `y`. Raises Unreadable for unknown columns."""
    for name in (x, y):
        if name is not None and name not in table.columns:
            raise Unreadable(f"there is no column {name!r}; there is: {', '.join(table.columns)}")
    at_y, at_x = table.columns.index(y), table.columns.index(x) if x else -1
    labels, values = [], []
    for row in table.rows:
        value = number(as_text(row[at_y])) if at_y < len(row) else None
        if value is not None:
            values.append(value)
            labels.append(as_text(row[at_x]) if 0 <= at_x < len(row) else "")
    if not values:
        raise Unreadable(f"the column {y!r} has no numbers")
    return labels, values


def grouped(labels: list[str], values: list[float], how: str) -> dict[str, float]:
    """One number for each label, in the labels' order of appearance."""
    groups: dict[str, list[float]] = {}
    for label, value in zip(labels, values, strict=True):
        groups.setdefault(label, []).append(value)
    return {label: float(HOW[how](group)) for label, group in groups.items()}


def draw(axes: Any, kind: str, labels: list[str], values: list[float], how: str) -> dict[str, Any]:
    """Draw, and tell what was drawn."""
    if kind == "histogram":
        counts, edges, _ = axes.hist(values, bins="auto", color=COLOURS[0], edgecolor="white", linewidth=0.5)
        return {
            "values": len(values),
            "bins": len(counts),
            "fullest": [float(edges[counts.argmax()]), int(counts.max())],
        }
    if kind == "scatter":
        numbers = [number(label) for label in labels]
        pairs = [(a, b) for a, b in zip(numbers, values, strict=True) if a is not None][:MOST_POINTS]
        if not pairs:
            raise Unreadable("a scatter plot needs numbers in both columns")
        axes.scatter(*zip(*pairs, strict=True), s=14, alpha=0.5, color=COLOURS[0], linewidths=0)
        return {"points": len(pairs)}
    if kind == "box":
        names = list(dict.fromkeys(labels))[:MOST_BARS]
        groups = [[v for label, v in zip(labels, values, strict=True) if label == name] for name in names]
        axes.boxplot(groups, medianprops={"color": COLOURS[1]})
        axes.set_xticks(range(1, len(names) + 1), [plain(name) for name in names])
        return {"groups": dict(zip(names, map(statistics.median, groups), strict=True))}
    points = grouped(labels, values, how)
    return line(axes, points) if kind == "line" else bars(axes, points)


def line(axes: Any, points: dict[str, float]) -> dict[str, Any]:
    numeric = [number(label) for label in points]
    if None not in numeric:
        items = sorted(zip(numeric, points.values(), strict=True), key=lambda pair: pair[0] or 0.0)
        axes.plot([a for a, _ in items], [b for _, b in items], color=COLOURS[0], linewidth=2)
        return {"points": len(items), "first": items[0], "last": items[-1]}
    ordered = sorted(points.items())
    if all(is_date(label) for label in points):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        times = [datetime.fromisoformat(label).replace(tzinfo=None) for label, _ in ordered]
        axes.plot(times, [value for _, value in ordered], color=COLOURS[0], linewidth=2)
        locator = AutoDateLocator(minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.plot(range(len(ordered)), [value for _, value in ordered], color=COLOURS[0], linewidth=2)
        step = max(1, -(-len(ordered) // 8))
        names = [plain(label, 12) for label, _ in ordered[::step]]
        axes.set_xticks(range(0, len(ordered), step), names)
    return {"points": len(ordered), "first": ordered[0], "last": ordered[-1]}


def bars(axes: Any, points: dict[str, float]) -> dict[str, Any]:
    ordered = sorted(points.items(), key=lambda item: -item[1])
    shown = ordered[:MOST_BARS]
    places = range(len(shown))
    drawn = axes.barh(
        places, [value for _, value in shown], color=COLOURS[0], height=0.68 if len(shown) > 6 else 0.5
    )
    axes.bar_label(drawn, fmt="{:,.4g}", padding=4, color=INK, fontsize=9)
    axes.margins(x=0.08)
    axes.set_yticks(places, [plain(label) for label, _ in shown])
    axes.invert_yaxis()
    return {
        "bars": len(shown),
        "left_out": len(ordered) - len(shown),
        "highest": shown[0],
        "lowest": shown[-1],
    }


def plain(text: str, most: int = 24) -> str:
    """A label without formulas, not too long."""
    text = " ".join(text.split()) or "(none)"
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def chart(
    path: str, kind: str, x: str | None, y: str, how: str, out: str, table: str | None = None
) -> dict[str, Any]:
    """Save the chart as `out`; what is in it. Raises Unreadable, OSError."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise Unreadable("charts need matplotlib: pip install matplotlib") from None
    labels, values = read(pick(path, table), x, y)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    try:
        drawn = draw(axes, kind, labels, values, how)
        told = (
            plain(y, 60)
            if kind in ("histogram", "scatter", "box") or how == "count"
            else f"{plain(y, 50)} ({how})"
        )
        title = told if not x else f"{told} by {plain(x, 40)}"
        axes.set_title(title, loc="left", color=INK, fontsize=13)
        name_axes(axes, kind, x, told)
        figure.savefig(out, dpi=150)
    finally:
        plt.close(figure)
    return {"file": out, "kind": kind, "title": title.replace(r"\$", "$"), "rows": len(values), **drawn}


def name_axes(axes: Any, kind: str, x: str | None, told: str) -> None:
    across, up = (told, plain(x or "", 60)) if kind == "bar" else (plain(x or "", 60), told)
    if kind == "histogram":
        across, up = told, "rows"
    axes.set_xlabel(across if across != "(none)" else "", color=INK)
    axes.set_ylabel(up if up != "(none)" else "", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(axis="x" if kind == "bar" else "y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw one chart of a data file.")
    parser.add_argument("file")
    parser.add_argument("--y", required=True, help="the column with the numbers")
    parser.add_argument("--x", help="the column to go by: times, groups or numbers")
    parser.add_argument("--kind", choices=KINDS, help="default: histogram without --x, else bar")
    parser.add_argument(
        "--how", choices=tuple(HOW), default="mean", help="one number of several with the same x"
    )
    parser.add_argument("--table", help="of an Excel or SQLite file")
    parser.add_argument("--out", default="chart.png")
    given = parser.parse_args()
    kind = given.kind or ("bar" if given.x else "histogram")
    try:
        found = chart(given.file, kind, given.x, given.y, given.how, given.out, given.table)
    except OSError as error:
        sys.stderr.write(f"{error.filename or given.file}: {error.strerror or error}\n")
        return 1
    except (csv.Error, Unreadable, ValueError) as error:
        sys.stderr.write(f"{given.file}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
