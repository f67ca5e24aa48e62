"""The local sandbox against a plain subprocess."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from benchmarks.figure import Figure, Measure, median, ratio

TIMES = 20


@asynccontextmanager
async def sandbox() -> AsyncIterator[Sandbox]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        workspace.mkdir()
        opened = await open_sandbox(workspace=workspace, data_dir=Path(folder) / "data")
        async with opened:
            yield opened


async def start() -> float:
    since = time.perf_counter()
    async with sandbox() as opened:
        await opened.exec(["true"])
        return (time.perf_counter() - since) * 1e3


def inside(opened: Sandbox, command: list[str]) -> Measure:
    async def measure() -> float:
        since = time.perf_counter()
        for _ in range(TIMES):
            await opened.exec(command)
        return time.perf_counter() - since

    return measure


def outside(command: list[str]) -> Measure:
    async def measure() -> float:
        since = time.perf_counter()
        for _ in range(TIMES):
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            await process.communicate()
        return time.perf_counter() - since

    return measure


async def figures() -> list[Figure]:
    found = [
        await median(
            "sandbox start + first exec",
            start,
            unit="ms",
            reference="a plain subprocess: 1–2 ms",
            goal="≤ 100",
        )
    ]
    async with sandbox() as opened:
        for command in (["true"], [sys.executable, "-c", "pass"]):
            found.append(
                await ratio(
                    f"exec {Path(command[0]).name}",
                    inside(opened, command),
                    outside(command),
                    reference="asyncio subprocess on the host",
                    goal="≤ 1.5",
                )
            )
    return found
