"""Server, worker, kernels and Redis are killed while they work: every run is done, and nothing was done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.driver import drive
from tests.runs.conftest import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


async def test_every_run_is_done_once(address: str, tmp_path: Path) -> None:
    """On SQLite one works and the other stands by; on PostgreSQL both work, with Redis between them."""
    if not address.startswith("postgres"):
        assert set(await drive(tmp_path, runs=8, kills=3)) == {"worker", "server", "kernel"}
        return
    redis = RedisServer()
    try:
        killed = await drive(tmp_path, runs=12, kills=4, database=address, redis=redis)
    finally:
        redis.kill()
    assert set(killed) == {"worker", "server", "kernel", "redis"}
