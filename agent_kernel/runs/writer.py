"""One thread writes; whoever waits at the same moment shares one commit.

Appends are data, so that a whole batch costs three statements. When one of a batch cannot be stored, the
batch is taken back and each is tried alone: a failing one never takes its neighbours with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Engine,
    Insert,
    Select,
    Update,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from agent_kernel.errors import AgentKernelError, AlreadyAppended, OwnershipLost, RunNotFound, StoreError
from agent_kernel.events import FINAL_STATUSES, now_ms
from agent_kernel.runs.database import store_error
from agent_kernel.runs.models import EVENT, RUN, SESSION

MOST_JOBS = 500


@dataclass(frozen=True, slots=True)
class Append:
    """Rows for one run, without their numbers. `status` is (status, reason, timestamp) of the last one."""

    run_id: str
    rows: Sequence[dict[str, Any]]
    fence: int | None = None
    status: tuple[str, str, int] | None = None


Work = Append | Callable[[Connection], Any]


@dataclass(slots=True)
class _Job:
    work: Work
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = field(default=None)


class Writer:
    """The one writing connection. `await writer.do(work)` gives the work's result once it is committed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="agent-kernel-writer", daemon=True)
        self._closed = False
        self.commits = 0
        self._thread.start()

    async def do(self, work: Work) -> Any:
        """The result of `work`: for an Append the seq before its first event."""
        if self._closed:
            raise StoreError("The run store is closed.")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        return await job.future

    def close(self) -> None:
        """Write what waits, then end. Blocks."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: Connection | None = None
        while batch := self._batch():
            try:
                if connection is None:
                    connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._write(connection, batch)
            except SQLAlchemyError as error:
                for job in batch:
                    job.result, job.error = None, store_error(error, self._engine)
                if connection is not None:  # a server that went away: begin anew with the next batch
                    with contextlib.suppress(SQLAlchemyError):
                        connection.invalidate()
                        connection.close()
                    connection = None
            self._answer(batch)
        if connection is not None:
            connection.close()

    def _batch(self) -> list[_Job]:
        """What waits now, at least one job; empty at the end."""
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) >= MOST_JOBS:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        if job is None and batch:
            self._jobs.put(None)
        return batch

    def _write(self, connection: Connection, batch: list[_Job]) -> None:
        try:
            with _transaction(connection):
                _perform(connection, batch)
            self.commits += 1
            return
        except (AgentKernelError, IntegrityError) as error:
            if len(batch) == 1:
                batch[0].error = _plain(error)
                return
        for job in batch:
            self._write(connection, [job])

    @staticmethod
    def _answer(batch: list[_Job]) -> None:
        """Wake the waiting loops, each once."""
        for loop in {job.loop for job in batch}:
            own = [job for job in batch if job.loop is loop]
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile; nobody waits
                loop.call_soon_threadsafe(_resolve, own)


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


@contextlib.contextmanager
def _transaction(connection: Connection) -> Any:
    """SQLite takes the write lock at once, so that two processes never deadlock half-way."""
    immediate = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
    try:
        yield
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        with contextlib.suppress(SQLAlchemyError):
            connection.exec_driver_sql("ROLLBACK")
        raise


def _perform(connection: Connection, batch: list[_Job]) -> None:
    """In order; appends that stand together are stored together."""
    appends: list[_Job] = []
    for job in batch:
        if isinstance(job.work, Append):
            appends.append(job)
        else:
            _store(connection, appends)
            appends = []
            job.result = job.work(connection)
    _store(connection, appends)


_COLUMNS = select(RUN.c.id, RUN.c.head, RUN.c.fence, RUN.c.session_id, RUN.c.started_ms)
_HEAD = _COLUMNS.where(RUN.c.id == bindparam("b_id")).with_for_update()
_HEADS = _COLUMNS.where(RUN.c.id.in_(bindparam("ids", expanding=True))).order_by(RUN.c.id).with_for_update()
_INSERT = insert(EVENT)
_THE_RUN = update(RUN).where(RUN.c.id == bindparam("b_id"))
_STATUS = _THE_RUN.values(status=bindparam("b_status"), reason=bindparam("b_reason"))
_STARTED = _THE_RUN.values(started_ms=bindparam("b_at"))
_ENDED = _THE_RUN.values(ended_ms=bindparam("b_at"))
_TOUCHED = update(SESSION).where(SESSION.c.id == bindparam("b_id")).values(updated_ms=bindparam("b_at"))
_NEW_HEAD = _THE_RUN.values(head=bindparam("b_head"))


def _store(connection: Connection, jobs: list[_Job]) -> None:
    if not jobs:
        return
    appends = [job.work for job in jobs if isinstance(job.work, Append)]
    runs = _runs(connection, list({append.run_id for append in appends}))
    heads = {run_id: row.head for run_id, row in runs.items()}
    rows: list[dict[str, Any]] = []
    for job, append in zip(jobs, appends, strict=True):
        if append.run_id not in runs:
            raise RunNotFound(f"There is no run {append.run_id}.")
        if append.fence is not None and append.fence != runs[append.run_id].fence:
            raise OwnershipLost(f"Run {append.run_id} was taken over by another worker.")
        job.result = head = heads[append.run_id]
        rows += [{**row, "run_id": append.run_id, "seq": head + n} for n, row in enumerate(append.rows, 1)]
        heads[append.run_id] = head + len(append.rows)
    _execute_many(connection, _INSERT, rows)
    _execute_many(connection, _NEW_HEAD, [{"b_id": run, "b_head": head} for run, head in heads.items()])
    changed = {append.run_id: append.status for append in appends if append.status is not None}
    for run_id, (status, reason, at) in changed.items():
        _set_status(connection, runs[run_id], status, reason, at)


def _runs(connection: Connection, ids: list[str]) -> dict[str, Any]:
    """The runs' heads, fences and sessions, locked in a fixed order."""
    if len(ids) > 1:
        return {row.id: row for row in connection.execute(_HEADS, {"ids": ids})}
    return {row.id: row for row in _execute(connection, _HEAD, {"b_id": ids[0]})}


def _execute(
    connection: Connection, statement: Select[Any] | Update, values: dict[str, Any]
) -> CursorResult[Any]:
    text, order = _compiled(statement, connection.dialect)
    return connection.exec_driver_sql(text, tuple(values[name] for name in order) if order else values)


def _execute_many(connection: Connection, statement: Insert | Update, rows: list[dict[str, Any]]) -> None:
    """One statement for many rows of plain strings and numbers, past SQLAlchemy's work on each value:
    that work would take longer than the database."""
    text, order = _compiled(statement, connection.dialect)
    parameters = [tuple(row[name] for name in order) for row in rows] if order else rows
    connection.exec_driver_sql(text, parameters)


@cache
def _compiled(statement: Insert | Update | Select[Any], dialect: Dialect) -> tuple[str, Sequence[str]]:
    """The SQL text, and the order of its parameters where they have no names."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), (compiled.positiontup or ()) if compiled.positional else ()


def _set_status(connection: Connection, run: Any, status: str, reason: str, at: int) -> None:
    _execute(connection, _STATUS, {"b_id": run.id, "b_status": status, "b_reason": reason})
    first = status == "running" and run.started_ms is None
    if first:
        _execute(connection, _STARTED, {"b_id": run.id, "b_at": at})
    if status in FINAL_STATUSES:
        _execute(connection, _ENDED, {"b_id": run.id, "b_at": at})
    if first or status != "running":  # every step would be too often for a list sorted by it
        _execute(connection, _TOUCHED, {"b_id": run.session_id, "b_at": now_ms()})


def _plain(error: Exception) -> AgentKernelError:
    if isinstance(error, AgentKernelError):
        return error
    return AlreadyAppended("This call has such an event already; the first one counts.")
