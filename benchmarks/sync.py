"""Carrying a workspace to a remote sandbox and back, against a Daytona on loopback."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.daytona_api import Access
from benchmarks.figure import Figure, median
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
            await median(
                f"sync of one changed file among {FILES:,}, up",
                lambda: one_changed(here),
                unit="ms",
                reference=f"the first of all ({first:,.0f} ms)",
                goal="≤ 1000",
            ),
            await median(
                f"sync of one changed file among {FILES:,}, down",
                lambda: one_changed(there),
                unit="ms",
                reference=f"the first of all ({first:,.0f} ms)",
                goal="≤ 1000",
            ),
        ]
