"""A Daytona of our own for the tests, and the sandboxes the contract is held to."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandbox import open_sandbox, probe
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.daytona_api import Access, Patience
from tests.sandbox.fake_daytona import KEY, FakeDaytona

REAL = os.environ.get("DAYTONA_API_KEY", "")
PROVIDERS = [
    *(report.tier for report in probe() if report.available),
    "daytona",
    *(["daytona-real"] if REAL else []),
]
QUICK = Patience(request=20, start=60, transfer=60, attempts=6, wait=0.02, silence=8, beat=0.5, lease=120)
Opener = Callable[..., Awaitable[Sandbox]]


async def eventually(holds: Callable[[], bool]) -> None:
    """Until it is so, however slow the machine is."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.05)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def daytona(tmp_path: Path) -> Iterator[FakeDaytona]:
    """The service, at the wire."""
    for program in ("bwrap", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"its containers need {program}")
    with FakeDaytona(tmp_path / "daytona") as service:
        yield service


@pytest.fixture
def access(daytona: FakeDaytona) -> Access:
    return Access(KEY, daytona.url, "us")


@pytest.fixture
async def open_remote(
    access: Access, workspace: Path, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Sandbox]]]:
    """Opens the same session's sandbox at the fake, as one process after another would."""
    opened: list[Sandbox] = []

    async def open_one(*, access: Access = access, **options: Any) -> Sandbox:
        given = {
            "workspace": workspace,
            "data_dir": tmp_path / "data",
            "id": "s-1",
            "patience": QUICK,
            **options,
        }
        opened.append(await open_sandbox(provider="daytona", daytona=access, **given))
        await opened[-1].start()
        return opened[-1]

    yield open_one
    for sandbox in opened:
        await sandbox.stop()


@pytest.fixture(params=PROVIDERS)
async def sandbox(request: pytest.FixtureRequest, workspace: Path, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Whatever the contract is held to: each local tier, Daytona at the wire, and the real one with a key."""
    if request.param.startswith("daytona"):
        real = request.param == "daytona-real"
        service: Access = Access(REAL) if real else request.getfixturevalue("access")
        options: dict[str, Any] = {
            "provider": "daytona",
            "daytona": service,
            "patience": None if real else QUICK,
        }
    else:
        options = {"tier": request.param}
    opened = await open_sandbox(workspace=workspace, data_dir=tmp_path / "data", **options)
    try:
        async with opened:
            yield opened
    finally:
        if request.param == "daytona-real":
            await opened.delete()
