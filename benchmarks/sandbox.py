"""The local sandbox against a plain subprocess."""

from __future__ import annotations

import asyncio
import os
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


async def python() -> float:
    since = time.perf_counter()
    await outside([sys.executable, "-c", "pass"], 1)()
    return (time.perf_counter() - since) * 1e3


def inside(opened: Sandbox, command: list[str]) -> Measure:
    async def measure() -> float:
        since = time.perf_counter()
        for _ in range(TIMES):
            await opened.exec(command)
        return time.perf_counter() - since

    return measure


def outside(command: list[str], times: int = TIMES) -> Measure:
    async def measure() -> float:
        since = time.perf_counter()
        for _ in range(times):
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
        ),
        await ratio(
            "sandbox start + first exec",
            start,
            python,
            reference="starting the Python outside",
            goal="≤ 6",
        ),
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
        found += await files(opened)
    return found


async def files(opened: Sandbox) -> list[Figure]:
    """The sandbox's own reading and writing, beside plain files."""
    data = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.bin"

        async def write() -> float:
            since = time.perf_counter()
            for _ in range(TIMES):
                await opened.write("ours.bin", data)
            return time.perf_counter() - since

        async def read() -> float:
            since = time.perf_counter()
            for _ in range(TIMES):
                assert len(await opened.read("ours.bin")) == len(data)
            return time.perf_counter() - since

        async def plain_write() -> float:
            since = time.perf_counter()
            for _ in range(TIMES):
                await asyncio.to_thread(plain.write_bytes, data)
            return time.perf_counter() - since

        async def plain_read() -> float:
            since = time.perf_counter()
            for _ in range(TIMES):
                await asyncio.to_thread(plain.read_bytes)
            return time.perf_counter() - since

        reference = "the same on a plain file of the host, in a thread"
        return [
            await ratio("write of 1 MB", write, plain_write, reference=reference, goal=""),
            await ratio("read of 1 MB", read, plain_read, reference=reference, goal=""),
        ]
