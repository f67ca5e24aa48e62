"""Waiting for what rings no bell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds: far more than anything takes; what is awaited either comes or the test fails."""


async def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 (what is awaited rings no bell)
            await asyncio.sleep(0.01)
