"""docs/performance.md, made from what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.catalogue import PARTS

PLACE = Path(__file__).parents[1] / "docs" / "performance.md"
HEAD = """# What is claimed, measured

`make bench` (about ten minutes; `ONLY=name` for one part, `LONG=1` for what takes longer) measures every figure here
and writes this page. It needs no account and no network beyond the package registries. A value with × is a ratio
against the reference, measured in turn in the same run: a noisy machine troubles both alike. It is the median of at
least five rounds; the spread shows the smallest and the largest.

Measured on {machine}.
"""


def write(rows: Sequence[dict[str, Any]]) -> None:
    PLACE.write_text(text(rows), encoding="utf-8")


def text(rows: Sequence[dict[str, Any]]) -> str:
    """Every figure of the catalogue has its row, measured or not."""
    known = {row["name"]: row for row in rows}
    parts = [HEAD.format(machine=machine())]
    for part in PARTS:
        parts.append(
            f"## {part.title}\n`make bench ONLY={part.name}`\n\n| figure | value | goal | spread | reference |"
        )
        parts.append("|---|---|---|---|---|")
        parts += [row(known.get(name, {"name": name})) for name in (*part.figures, *part.long)]
        parts.append("")
    return "\n".join(parts)


def row(figure: dict[str, Any]) -> str:
    value = figure.get("value")
    shown = "–" if value is None else f"{number(value)} {figure['unit']}".strip()
    mark = {True: " ✓", False: " **missed**", None: ""}[figure.get("holds")]
    reference = figure.get("reference", "not measured yet").replace("|", "/")
    return f"| {figure['name']} | {shown} | {figure.get('goal', '')}{mark} | {figure.get('spread', '')} | {reference} |"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")


def machine() -> str:
    """Kind of processor and system, and whether anybody else used it; nothing that names a machine."""
    count, load = os.cpu_count() or 1, os.getloadavg()[1]
    kind = f"{count} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    busy = f", **busy with other work** (load {load:.0f}): absolute times are too long, and goals may be missed for it"
    return kind + (busy if load > 2 * count else "")
