"""`agent-kernel doctor`: what works on this machine."""

from __future__ import annotations

import asyncio
import json
import sys

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """What works on this machine, every setting, and where it came from."""
    from agent_kernel.doctor import examine, render

    report = asyncio.run(examine())
    print(json.dumps(report, indent=2) if as_json else render(report))
    sys.exit(0 if report["ok"] else 1)
