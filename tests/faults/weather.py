"""What can go wrong around those who work: connections, the database, the disk, the clock, the model."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from agent_kernel.testing.script import Drop, Eof, HttpError, SseError, Stall, Text, ToolUse
from tests.faults.remains import processes
from tests.faults.wire import Wire
from tests.postgresql import started

CLOCK = Path(__file__).parent / "clock"
"""On the Python path of those whose clock is turned."""
FARTHEST = 3_600
DISK_MEGABYTES = 192


class Postgres:
    """A PostgreSQL of our own that can be killed; `wire` is the way to it."""

    def __init__(self) -> None:
        self.folder = Path("/tmp") / f"agent-kernel-pg-{uuid4().hex[:8]}"
        self._server: Any = started(self.folder)
        place = self._server.get_postmaster_info().socket_dir
        self.wire = Wire(f"{place}/.s.PGSQL.5432")
        self.url = f"postgresql://postgres@127.0.0.1:{self.wire.port}/postgres"

    def new_database(self) -> str:
        name = f"soak_{uuid4().hex[:8]}"
        self._server.psql(f"CREATE DATABASE {name};")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def kill(self) -> None:
        """The postmaster, with SIGKILL; then it starts again and mends itself."""
        file = self.folder / "postmaster.pid"
        os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
        time.sleep(0.5)
        for lock in (file, *self.folder.glob(".s.PGSQL.*.lock")):
            lock.unlink(missing_ok=True)  # where nobody reaps the dead, they would pass for alive
        for _ in range(20):
            try:
                self._server.ensure_postgres_running()
                return
            except Exception:  # its children are still going
                time.sleep(0.5)
        raise RuntimeError("PostgreSQL does not start again.")

    def close(self) -> None:
        self.wire.close()
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


class Disk:
    """A small disk to keep data on, which can be filled. Raises OSError where none can be mounted."""

    def __init__(self) -> None:
        self.folder = Path("/tmp") / f"agent-kernel-disk-{uuid4().hex[:8]}"
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=700", "none", str(self.folder)]
        if subprocess.run(command, capture_output=True).returncode:
            self.folder.rmdir()
            raise OSError("no disk can be mounted here")

    def fill(self, seconds: float) -> None:
        """To the last byte, for so long."""
        hog = self.take_all()
        time.sleep(seconds)
        hog.unlink()

    def take_all(self) -> Path:
        """The file that fills it."""
        hog = self.folder / "hog"
        try:
            with hog.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        return hog

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class Clock:
    """The time of day of all who were started with `environment`, turned back and forth as a machine's is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_text("0")
        path = os.pathsep.join(filter(None, [str(CLOCK), os.environ.get("PYTHONPATH", "")]))
        self.environment = {"FAULTY_CLOCK": str(file), "PYTHONPATH": path}

    def turn(self) -> None:
        self._file.write_text(str(random.randint(-FARTHEST, FARTHEST)))


def kill_sandbox(folder: Path) -> bool:
    """One of those that work for the runs in the folder, at its head; False when there is none."""
    heads = [
        pid for pid, told in processes(folder).items() if "supervisor" in told or told.startswith("bwrap")
    ]
    if not heads:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(heads), signal.SIGKILL)
    return True


def bad_answer(good: Sequence[Any]) -> Sequence[Any] | HttpError:
    """Something a model's endpoint may send instead of an answer, or in the middle of one."""
    cut = [
        ToolUse(item.name, item.input, id=item.id, raw='{"command": "echo 0 >> cou')
        if isinstance(item, ToolUse)
        else item
        for item in good
    ]
    malformed = [
        ToolUse(item.name, item.input, id=item.id, raw='{"command": nonsense}')
        if isinstance(item, ToolUse)
        else item
        for item in good
    ]
    chances: list[Sequence[Any] | HttpError] = [
        HttpError(429, "rate_limit_error", headers={"retry-after": "1"}),
        HttpError(500, "api_error"),
        HttpError(529, "overloaded_error"),
        [Text("half an ans"), SseError()],
        [Text("half an ans"), Drop()],
        [Text("half an ans"), Eof()],
        [Text("half an "), Stall(2.0), *good],
        cut,
        malformed,
    ]
    return random.choice(chances)


@contextlib.contextmanager
def closing_all(*things: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for thing in things:
            if thing is not None:
                thing.close()
