"""`python -m benchmarks [--only NAME] [--long] [--document]`: prints the table, writes `bench.json` and the page."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks import document
from benchmarks.catalogue import PARTS, Part, names
from benchmarks.figure import Figure, skipped

RESULTS = Path("bench.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", choices=[part.name for part in PARTS])
    parser.add_argument("--long", action="store_true", help="also what takes many minutes")
    parser.add_argument(
        "--document", action="store_true", help="only write docs/performance.md from bench.json"
    )
    options = parser.parse_args()
    if options.long:
        os.environ["AGENT_KERNEL_BENCH_MINUTES"] = "10"  # of which the panel's memory is watched
    if not options.document:
        measured(options.only, long=options.long)
    document.write(json.loads(RESULTS.read_text()))


def measured(only: str | None, *, long: bool) -> None:
    """Run the parts, and keep what `bench.json` knows of the others."""
    rows: dict[str, dict[str, Any]] = {}
    if RESULTS.exists():
        rows = {row["name"]: row for row in json.loads(RESULTS.read_text())}
    print(f"{'figure':<72} {'value':>12}     {'goal':<8} {'spread':<14} reference")
    for part in PARTS:
        if only in (None, part.name):
            since = time.monotonic()
            for figure in figures(part, long):
                assert figure.name in names(), f"{figure.name} is not in the catalogue"
                if figure.value is not None or rows.get(figure.name, {}).get("value") is None:
                    rows[figure.name] = figure.row()
                print(line(figure), flush=True)
            print(f"  ({part.name}: {time.monotonic() - since:.0f} s)", flush=True)
            kept = [rows[name] for name in names() if name in rows]
            RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def figures(part: Part, long: bool) -> list[Figure]:
    """What the part measured; what failed is a row that says so, and ends nothing."""
    module = importlib.import_module(f"benchmarks.{part.name}")
    wants_long = "long" in inspect.signature(module.figures).parameters
    try:
        found: list[Figure] = asyncio.run(module.figures(long=long) if wants_long else module.figures())
    except Exception as error:
        words = str(error).splitlines()
        found = [
            skipped(name, f"{type(error).__name__}: {words[0] if words else ''}") for name in part.figures
        ]
    missing = {*part.figures, *part.long} - {figure.name for figure in found}
    why = "it takes long; make bench LONG=1"
    return found + [skipped(name, why) for name in (*part.figures, *part.long) if name in missing]


def line(figure: Figure) -> str:
    mark = {True: "✓", False: "✗", None: " "}[figure.holds]
    value = "–" if figure.value is None else f"{figure.value:,.2f} {figure.unit}"
    return f"{figure.name:<72} {value:>12}  {mark}  {figure.goal:<8} {figure.spread:<14} {figure.reference}"


main()
