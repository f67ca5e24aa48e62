"""A look into a store without opening it: no ORM, no migration, nothing written."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def unfinished(path: Path) -> bool:
    """Whether the SQLite store at `path` has runs to go on with; True too where that cannot be told."""
    if not path.is_file():
        return False
    query = "SELECT 1 FROM runs WHERE status IN ('queued', 'running', 'waiting') LIMIT 1"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchone() is not None
    except sqlite3.Error:
        return True
