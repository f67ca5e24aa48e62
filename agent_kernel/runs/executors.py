"""Heartbeats of the workers, by the database's clock: those of several machines may differ."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, text, update

from agent_kernel.events import now_ms
from agent_kernel.runs.database import open_engine, said_plainly
from agent_kernel.runs.models import EXECUTOR

FORGET_MS = 24 * 3600 * 1000


class Executors:
    """Blocks; its connection is its own, so that a busy store never makes a worker look dead."""

    def __init__(self, where: str) -> None:
        self._engine = open_engine(where)

    def beat(self, executor: str) -> dict[str, int]:
        """Say that one lives; the age of each one's last sign of life, in milliseconds."""
        with said_plainly(self._engine), self._engine.begin() as connection:
            now = self._now(connection)
            mine = update(EXECUTOR).where(EXECUTOR.c.id == executor).values(beat_ms=now)
            if not connection.execute(mine).rowcount:
                connection.execute(insert(EXECUTOR).values(id=executor, beat_ms=now))
            connection.execute(delete(EXECUTOR).where(EXECUTOR.c.beat_ms < now - FORGET_MS))
            return {row.id: now - row.beat_ms for row in connection.execute(select(EXECUTOR))}

    def forget(self, executor: str) -> None:
        with said_plainly(self._engine), self._engine.begin() as connection:
            connection.execute(delete(EXECUTOR).where(EXECUTOR.c.id == executor))

    def close(self) -> None:
        self._engine.dispose()

    def _now(self, connection: Connection) -> int:
        if self._engine.dialect.name == "sqlite":
            return now_ms()
        return int(
            connection.execute(text("SELECT extract(epoch FROM clock_timestamp()) * 1000")).scalar_one()
        )
