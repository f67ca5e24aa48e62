"""Where the queue lives: PostgreSQL beside the runs, or a SQLite file of its own that one process owns."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import IO

from agent_kernel.errors import JobsError
from agent_kernel.runs.database import postgresql_url

ENDING = "-jobs.db"
"""Of the file's name, after that of the run store."""


class Place:
    """The queue's database, found from where the run store is (a path or a URL)."""

    def __init__(self, where: str | Path) -> None:
        text = str(where)
        self.shared = text.startswith(("postgres://", "postgresql"))
        """Whether many workers can take from it: PostgreSQL keeps limits over processes, SQLite does not."""
        if self.shared:
            self.url = postgresql_url(text).set(drivername="postgresql").render_as_string(hide_password=False)
            return
        # Its own file: the queue polls, and must never make an event wait for its turn to write.
        runs = Path(text.removeprefix("sqlite:///"))
        self.path = runs.with_name(f"{runs.stem}{ENDING}")
        self.url = f"sqlite:///{self.path}"
        self._lock: IO[str] | None = None

    def prepare(self) -> None:
        """A SQLite file must be in WAL mode before the engine opens it, or its readers block its writers."""
        if self.shared:
            return
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            raise JobsError(
                f"The job queue {self.path} cannot be opened: {error}.",
                hint="Check the folder's permissions; a damaged one can be moved away, the runs are elsewhere.",
            ) from error

    def take(self) -> bool:
        """Become the process that runs what is queued; False while another one is. Ends with the process."""
        if self.shared:
            return True
        import fcntl

        lock = self.path.with_suffix(".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._lock = lock
        return True

    def leave(self) -> None:
        if not self.shared and self._lock is not None:
            self._lock.close()
            self._lock = None
