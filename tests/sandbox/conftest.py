"""A Daytona of our own for the tests, and the sandboxes the contract is held to."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
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


HOLDS = "exec 9>>lock; flock 9; touch held"
"""In a shell: it and its children hold a lock from now on, until the last of them has died."""
HELD = "until [ -e held ]; do sleep 0.02; done"


async def nobody_holds_it(sandbox: Sandbox) -> None:
    """Until the lock is free, however slow the machine is; what goes on running would never let go of it."""
    assert (await sandbox.exec("flock lock true", timeout=60)).exit_code == 0


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


@dataclass(frozen=True)
class Opening:
    """How a sandbox of one kind is opened, and what can befall it."""

    provider: str
    options: dict[str, Any]
    service: FakeDaytona | None = None

    async def open(self, **options: Any) -> Sandbox:
        return await open_sandbox(**{**self.options, **options})

    def vanish(self, sandbox: Sandbox) -> None:
        """It is gone from one moment to the next, with all that runs in it."""
        if self.service is not None:
            self.service.vanish()
        else:
            for pid in family(sandbox):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stall(self, sandbox: Sandbox) -> Callable[[], None]:
        """Nothing is heard of it any more until what is returned is called."""
        if self.service is not None:
            self.service.stall()
            return self.service.go_on
        stopped = family(sandbox)

        def signalled(number: int) -> None:
            for pid in stopped:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, number)

        signalled(signal.SIGSTOP)
        return lambda: signalled(signal.SIGCONT)


def family(sandbox: Any) -> list[int]:
    """The supervisor of a local sandbox and all below it, itself first."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, ValueError):
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    found = [int(sandbox._process.pid)]
    for pid in found:  # it grows while we look
        found += [child for child, parent in parents.items() if parent == pid]
    return found


@pytest.fixture(params=PROVIDERS)
def opening(request: pytest.FixtureRequest, workspace: Path, tmp_path: Path) -> Opening:
    """Whatever the contract is held to: each local tier, Daytona at the wire, and the real one with a key."""
    options: dict[str, Any] = {
        "workspace": workspace,
        "data_dir": tmp_path / "data",
        "id": f"s-{os.urandom(4).hex()}",
    }
    if request.param == "daytona-real":
        return Opening(request.param, {**options, "provider": "daytona", "daytona": Access(REAL)})
    if request.param == "daytona":
        access = request.getfixturevalue("access")
        there = {"provider": "daytona", "daytona": access, "patience": QUICK}
        return Opening(request.param, {**options, **there}, request.getfixturevalue("daytona"))
    return Opening(request.param, {**options, "tier": request.param})


@pytest.fixture
async def sandbox(opening: Opening) -> AsyncIterator[Sandbox]:
    opened = await opening.open()
    try:
        async with opened:
            yield opened
    finally:
        if opening.provider == "daytona-real":
            await opened.delete()
