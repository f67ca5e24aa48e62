"""Which programs have a local sandbox open: each shares a lock in its folder; whoever empties it must have it alone.

The system lets go of the lock when a program ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_kernel.errors import SandboxError

LOCK = "lock"


def hold(folder: Path) -> int:
    """Wait until nobody empties the folder, and keep it from being emptied until the descriptor is closed."""
    while True:
        held = _lock(folder)
        fcntl.flock(held, fcntl.LOCK_SH)
        if os.fstat(held).st_nlink:
            return held
        os.close(held)  # it was deleted while we waited for it
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else has the sandbox open, nor opens it meanwhile. Raises SandboxError where somebody has."""
    if not folder.is_dir():
        yield
        return
    held = _lock(folder)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SandboxError(
                f"Another program has the sandbox {folder.name} open.",
                hint="Stop it there (in the Jupyter server: the panel's workspaces), then try again.",
            ) from None
        yield
    finally:
        os.close(held)


def _lock(folder: Path) -> int:
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
