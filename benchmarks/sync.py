"""Carrying a workspace to a remote sandbox and back, against a Daytona on loopback."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.daytona_api import Access
from benchmarks.figure import Figure, Measure, median, ratio
from tests.sandbox.fake_daytona import KEY, FakeDaytona

FILES = 10_000


@asynccontextmanager
async def sandbox() -> AsyncIterator[tuple[Sandbox, Path, Path]]:
    """An open one, and where its workspace lies here and there."""
    with tempfile.TemporaryDirectory() as place, FakeDaytona(Path(place) / "daytona") as daytona:
        workspace = Path(place) / "workspace"
        for number in range(FILES):
            file = workspace / f"{number % 100}" / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n" * 100)
        opened = await open_sandbox(
            workspace=workspace,
            data_dir=Path(place) / "data",
            provider="daytona",
            daytona=Access(KEY, daytona.url, "us"),
        )
        yield opened, workspace, daytona.root
        await opened.stop()


async def figures() -> list[Figure]:
    async with sandbox() as (opened, here, root):
        since = time.perf_counter()
        await opened.snapshot()
        first = (time.perf_counter() - since) * 1e3
        (there,) = root.glob("*/workspace")

        async def one_changed(folder: Path) -> float:
            (folder / "7" / "7.txt").write_text(f"{time.time()}")
            since = time.perf_counter()
            await opened.snapshot()
            return (time.perf_counter() - since) * 1e3

        return [
            Figure(
                f"first sync of {FILES:,} files", first, "ms", "the start of the sandbox is in it", "", "once"
            ),
            await beside_all_anew("up", lambda: one_changed(here), first),
            await beside_all_anew("down", lambda: one_changed(there), first),
            await ratio(
                f"sync of one changed file among {FILES:,}",
                lambda: one_changed(here),
                lambda: started(opened),
                reference="a command over there that starts Python",
                goal="≤ 6",
            ),
        ]


async def beside_all_anew(way: str, measure: Measure, first: float) -> Figure:
    name = f"sync of one changed file among {FILES:,}, {way}"
    found = await median(name, measure, unit="ms", reference="", goal="≤ 300")
    return replace(found, reference=f"the first of all ({first:,.0f} ms)")


async def started(opened: Sandbox) -> float:
    """Milliseconds of what any question to the other side takes at least."""
    since = time.perf_counter()
    await opened.exec(["python3", "-c", "pass"])
    return (time.perf_counter() - since) * 1e3
