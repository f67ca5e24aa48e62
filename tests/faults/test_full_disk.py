"""A disk that is full for a while: nothing half written stays on it, and a run ends once there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_kernel.client import Agent
from agent_kernel.errors import SandboxError, StoreError
from agent_kernel.events import FINAL_STATUSES, ToolStart
from agent_kernel.runs.blobs import Blobs
from agent_kernel.sandbox.snapshots import Snapshots
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.faults.weather import Disk

PATIENCE = 60


@pytest.fixture
def disk() -> Iterator[Disk]:
    try:
        made = Disk()
    except OSError as error:
        pytest.skip(str(error))
    yield made
    made.close()


async def test_nothing_half_written_stays(disk: Disk, workspace: Path) -> None:
    (workspace / "data.bin").write_bytes(b"x" * (1 << 20))
    blobs, snapshots = disk.folder / "blobs", disk.folder / "snapshots"
    disk.take_all()
    with pytest.raises(StoreError, match="Is the disk full"):
        await Blobs(blobs).put(b"y" * (1 << 20))
    with pytest.raises(SandboxError, match="Is the disk full"):
        Snapshots(workspace, snapshots).take()
    left = [path for folder in (blobs, snapshots) for path in folder.rglob("*") if path.is_file()]
    assert not left


async def test_a_run_ends_once_there_is_room(
    disk: Disk, new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages
) -> None:
    """Nobody but this process could go on with it: its end must not get lost, or who waits for it waits for ever."""
    api.add([ToolUse("bash", {"command": "touch begun; sleep 1; yes | head -c 60000"})], [Text("Done.")])
    agent = new_agent(settings=settings.with_overrides("test", data_dir=str(disk.folder / "data")))
    run = await agent.start("Go")
    async with asyncio.timeout(PATIENCE):
        async for event in run.follow(deltas=False):
            if isinstance(event, ToolStart):
                await asyncio.to_thread(disk.fill, 4.0)
        await run.wait()
    assert run.status in FINAL_STATUSES
