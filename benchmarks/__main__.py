"""`python -m benchmarks [--only NAME] [--minutes M]`: prints the table and writes `bench.json`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
from pathlib import Path

from benchmarks.figure import Figure

PARTS = ("loop", "log", "session", "sandbox", "sync", "load", "kernel", "server", "preview", "dom", "panel")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--minutes", type=float, default=0.5, help="how long the panel's memory is watched")
    asked = parser.parse_args()
    only = asked.only
    os.environ["AGENT_KERNEL_BENCH_MINUTES"] = str(asked.minutes)
    figures: list[Figure] = []
    print(f"{'figure':<42} {'value':>10}      {'goal':<8} {'spread':<14} reference")
    for part in [only] if only else PARTS:
        for figure in asyncio.run(importlib.import_module(f"benchmarks.{part}").figures()):
            figures.append(figure)
            print(line(figure), flush=True)
    Path("bench.json").write_text(json.dumps([figure.row() for figure in figures], indent=1))


def line(figure: Figure) -> str:
    mark = {True: "✓", False: "✗", None: " "}[figure.holds]
    value = f"{figure.value:.2f} {figure.unit}"
    return f"{figure.name:<42} {value:>10}  {mark}   {figure.goal:<8} {figure.spread:<14} {figure.reference}"


main()
