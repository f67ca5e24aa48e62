"""Workers and Redis are killed while they work: every run is done, and nothing was done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.driver import drive
from tests.runs.conftest import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


async def test_every_run_is_done_once(address: str, tmp_path: Path) -> None:
    """On SQLite one worker works and the other stands by; on PostgreSQL both work, with Redis between them."""
    if not address.startswith("postgres"):
        await drive(tmp_path, runs=10, kills=4)
        return
    redis = RedisServer()
    try:
        await drive(tmp_path, runs=16, kills=6, database=address, redis=redis)
    finally:
        redis.kill()
