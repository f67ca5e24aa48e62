"""One thread writes; whoever waits at the same moment shares one commit.

What one turn of an event loop asks for is handed over together, so that threads change seldom; a lone small
append to SQLite does not change threads at all.
Appends are data, so that a whole batch costs three statements. When one of a batch cannot be stored, the
batch is taken back and each is tried alone: a failing one never takes its neighbours with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
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
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from agent_kernel.errors import AgentKernelError, AlreadyAppended, OwnershipLost, RunNotFound, StoreError
from agent_kernel.events import FINAL_STATUSES, now_ms
from agent_kernel.runs.database import UNSTORABLE, store_error
from agent_kernel.runs.models import EVENT, RUN, SESSION, TURN

MOST_JOBS = 500
IDLE = 1.0
"""Seconds after which a connection is asked whether it still leads anywhere before something is written to it."""
MOST_AT_ONCE = 64 * 1024
"""Characters of an append that the caller's own thread may store."""


@dataclass(slots=True)
class Append:
    """Rows for one run: the columns of an event after `run_id` and `seq`, in their order. `status` is
    (status, reason, timestamp) of the last one, `turns` what each turn used: the number of its row and the
    columns of a turn after `seq`."""

    run_id: str
    rows: Sequence[tuple[Any, ...]]
    fence: int | None = None
    status: tuple[str, str, int] | None = None
    turns: Sequence[tuple[int, tuple[Any, ...]]] = ()


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
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        self._under_way = _Count()
        self._shortcut = _Shortcut(engine) if engine.dialect.name == "sqlite" else None
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
        if loop in self._gathered:
            self._gathered[loop].append(job)
        else:
            self._gathered[loop] = [job]
            loop.call_soon(self._hand_over, loop)
        return await job.future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = self._gathered.pop(loop, None)
        if not jobs:
            return
        alone = len(jobs) == 1 and not self._under_way.number
        if alone and self._shortcut is not None and self._shortcut.take(jobs[0]):
            self.commits += 1
            _resolve(jobs)
            return
        self._under_way.add(len(jobs))
        self._jobs.put(jobs)

    def close(self) -> None:
        """Write what waits, then end. Blocks."""
        self._closed = True
        for loop in list(self._gathered):
            self._hand_over(loop)
        self._jobs.put(None)
        self._thread.join()
        if self._shortcut is not None:
            self._shortcut.close()

    def _run(self) -> None:
        connection: Connection | None = None
        used = 0.0
        while batch := self._batch():
            if connection is not None and time.monotonic() - used > IDLE and not _answers(connection):
                connection = None
            try:
                if connection is None:
                    connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._write(connection, batch)
            except SQLAlchemyError as error:
                for job in batch:
                    job.result, job.error = None, store_error(error, self._engine)
                if connection is not None:  # a server that went away: begin anew with the next batch
                    _discard(connection)
                    connection = None
            used = time.monotonic()
            self._under_way.add(-len(batch))
            self._answer(batch)
        if connection is not None:
            connection.close()

    def _batch(self) -> list[_Job]:
        """What waits now, at least one job; empty at the end."""
        jobs = self._jobs.get()
        batch: list[_Job] = []
        while jobs is not None:
            batch += jobs
            if len(batch) >= MOST_JOBS:
                break
            try:
                jobs = self._jobs.get_nowait()
            except queue.Empty:
                break
        if jobs is None and batch:
            self._jobs.put(None)
        return batch

    def _write(self, connection: Connection, batch: list[_Job]) -> None:
        try:
            _commit(connection, batch)
            self.commits += 1
            return
        except (AgentKernelError, IntegrityError, *UNSTORABLE) as error:
            if len(batch) == 1:
                batch[0].error = self._plain(error)
                return
        for job in batch:
            self._write(connection, [job])

    def _plain(self, error: Exception) -> AgentKernelError:
        if isinstance(error, AgentKernelError):
            return error
        if isinstance(error, UNSTORABLE):
            return store_error(error, self._engine)
        return AlreadyAppended("This call has such an event already; the first one counts.")

    @staticmethod
    def _answer(batch: list[_Job]) -> None:
        """Wake the waiting loops, each once."""
        for loop in {job.loop for job in batch}:
            own = [job for job in batch if job.loop is loop]
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile; nobody waits
                loop.call_soon_threadsafe(_resolve, own)


class _Count:
    """A number that threads change."""

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        with self._lock:
            self.number += number


class _Shortcut:
    """Stores a small append that nothing else waits with on the caller's own thread.

    SQLite takes it in a tenth of a millisecond, less than it takes to wake another thread and be woken.
    Whenever somebody else is writing, in any process, or anything is wrong, it leaves the append to the
    writing thread at once; checkpoints, which wait for the disk, are that thread's too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def take(self, job: _Job) -> bool:
        """True when the job is done, False when the writing thread is to do it."""
        if not isinstance(job.work, Append) or sum(len(row[-1]) for row in job.work.rows) > MOST_AT_ONCE:
            return False
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._connection is None:
                self._connection = self._opened()
            _commit(self._connection, [job])
        except (SQLAlchemyError, AgentKernelError, *UNSTORABLE):
            return False
        finally:
            self._lock.release()
        return True

    def _opened(self) -> Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")
        return connection

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.invalidate()  # its settings are not for others
                self._connection.close()
                self._connection = None


def _answers(connection: Connection) -> bool:
    """Whether a connection that nobody used for a while still leads anywhere: a server that was started anew, or a
    network, cuts it without a word, and whoever writes next would be told that the database is gone."""
    try:
        connection.exec_driver_sql("SELECT 1")
    except SQLAlchemyError:
        _discard(connection)
        return False
    return True


def _discard(connection: Connection) -> None:
    with contextlib.suppress(SQLAlchemyError):
        connection.invalidate()
        connection.close()


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
    failures: Any = connection.dialect.loaded_dbapi.Error
    try:
        cursor = connection.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
        yield
        cursor.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(SQLAlchemyError):
            connection.exec_driver_sql("ROLLBACK")
        if isinstance(error, failures):
            raise DBAPIError.instance(None, None, error, failures) from error
        raise


def _commit(connection: Connection, batch: list[_Job]) -> None:
    with _transaction(connection):
        _perform(connection, batch)


def _perform(connection: Connection, batch: list[_Job]) -> None:
    """In order; appends that stand together are stored together."""
    driver = _Driver(connection)
    appends: list[_Job] = []
    for job in batch:
        if isinstance(job.work, Append):
            appends.append(job)
        else:
            _store(driver, appends)
            appends = []
            job.result = job.work(connection)
    _store(driver, appends)


_COLUMNS = select(RUN.c.id, RUN.c.head, RUN.c.fence, RUN.c.session_id, RUN.c.started_ms)
_HEAD = _COLUMNS.where(RUN.c.id == bindparam("b_id")).with_for_update()
_HEADS = _COLUMNS.where(RUN.c.id.in_(bindparam("ids", expanding=True))).order_by(RUN.c.id).with_for_update()
_INSERT = insert(EVENT)
_INSERT_TURN = insert(TURN)
_THE_RUN = update(RUN).where(RUN.c.id == bindparam("b_id"))
_STATUS = _THE_RUN.values(status=bindparam("b_status"), reason=bindparam("b_reason"))
_STARTED = _THE_RUN.values(started_ms=bindparam("b_at"))
_ENDED = _THE_RUN.values(ended_ms=bindparam("b_at"))
_TOUCHED = update(SESSION).where(SESSION.c.id == bindparam("b_id")).values(updated_ms=bindparam("b_at"))
_NEW_HEAD = _THE_RUN.values(head=bindparam("b_head"))


def _store(driver: _Driver, jobs: list[_Job]) -> None:
    if not jobs:
        return
    appends = [job.work for job in jobs if isinstance(job.work, Append)]
    runs = _runs(driver, list({append.run_id for append in appends}))
    heads = {run_id: row.head for run_id, row in runs.items()}
    rows: list[tuple[Any, ...]] = []
    turns: list[tuple[Any, ...]] = []
    for job, append in zip(jobs, appends, strict=True):
        if append.run_id not in runs:
            raise RunNotFound(f"There is no run {append.run_id}.")
        if append.fence is not None and append.fence != runs[append.run_id].fence:
            raise OwnershipLost(f"Run {append.run_id} was taken over by another worker.")
        job.result = head = heads[append.run_id]
        rows += [(append.run_id, seq, *row) for seq, row in enumerate(append.rows, head + 1)]
        if append.turns:
            turns += [(append.run_id, head + 1 + number, *turn) for number, turn in append.turns]
        heads[append.run_id] = head + len(append.rows)
    driver.execute_many(_INSERT, rows)
    if turns:
        driver.execute_many(_INSERT_TURN, turns)
    driver.execute_many(_NEW_HEAD, [(head, run) for run, head in heads.items()])
    changed = {append.run_id: append.status for append in appends if append.status is not None}
    for run_id, (status, reason, at) in changed.items():
        _set_status(driver, runs[run_id], status, reason, at)


def _runs(driver: _Driver, ids: list[str]) -> dict[str, _Head]:
    """The runs' heads, fences and sessions, locked in a fixed order."""
    if len(ids) > 1:
        return {row.id: _Head(*row) for row in driver.connection.execute(_HEADS, {"ids": ids})}
    return {row[0]: _Head(*row) for row in driver.execute(_HEAD, {"b_id": ids[0]})}


class _Head(NamedTuple):
    id: str
    head: int
    fence: int
    session_id: str
    started_ms: int | None


class _Driver:
    """Executes compiled statements on the driver's own cursor.

    The rows are plain strings and numbers; SQLAlchemy's work on each statement and each value would take
    longer than the database.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._cursor: Any = connection.connection.cursor()

    def execute(self, statement: Select[Any] | Update, values: dict[str, Any]) -> list[Any]:
        text, order = _compiled(statement, self.connection.dialect)
        self._cursor.execute(text, [values[name] for name in order])
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def execute_many(self, statement: Insert | Update, rows: list[tuple[Any, ...]]) -> None:
        """Each row holds the values in the order in which the statement names them."""
        self._cursor.executemany(_compiled(statement, self.connection.dialect)[0], rows)


@cache
def _compiled(statement: Insert | Update | Select[Any], dialect: Dialect) -> tuple[str, Sequence[str]]:
    """The SQL text, and the order of its parameters (engines are made to number them, see database.py)."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), compiled.positiontup or ()


def _set_status(driver: _Driver, run: _Head, status: str, reason: str, at: int) -> None:
    driver.execute(_STATUS, {"b_id": run.id, "b_status": status, "b_reason": reason})
    first = status == "running" and run.started_ms is None
    if first:
        driver.execute(_STARTED, {"b_id": run.id, "b_at": at})
    if status in FINAL_STATUSES:
        driver.execute(_ENDED, {"b_id": run.id, "b_at": at})
    if first or status != "running":  # every step would be too often for a list sorted by it
        driver.execute(_TOUCHED, {"b_id": run.session_id, "b_at": now_ms()})
