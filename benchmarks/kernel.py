"""How soon the agent kernel answers its first cell, beside the ipykernel it is made of."""

from __future__ import annotations

import time

from jupyter_client.manager import AsyncKernelManager

from benchmarks.figure import Figure, Measure, ratio


def first_answer(kernel: str, cell: str) -> Measure:
    """Seconds from the launch to the first `execute_reply`."""

    async def measure() -> float:
        manager = AsyncKernelManager(kernel_name=kernel)
        since = time.perf_counter()
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            await client.execute(cell, reply=True, timeout=60)
            return time.perf_counter() - since
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    return measure


async def figures() -> list[Figure]:
    return [
        await ratio(
            "start of the agent kernel",
            first_answer("agent", "%%py 1"),
            first_answer("python3", "1"),
            reference="ipykernel",
            goal="≤ 1.1",
            rounds=11,
        )
    ]
