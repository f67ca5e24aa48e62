"""Sessions, runs and their events in a database. One writer with group commit, a few readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, literal, select, update

from agent_kernel.errors import OwnershipLost, RunBusy, RunNotFound, StoreError
from agent_kernel.events import ContextUpdate, Delta, Event, Status, now_ms, parse_event
from agent_kernel.runs.database import open_engine, said_plainly
from agent_kernel.runs.models import EVENT, RUN, SESSION, TURN
from agent_kernel.runs.records import UNFINISHED, RunRow, Session, Used, UsedOn, Worked, new_id
from agent_kernel.runs.writer import Append, Writer

T = TypeVar("T")
READERS = 3
PAGE = 500
PAGE_SIZE = 8_000_000
"""Characters of events that are handed on at once."""
DAY_MS = 24 * 60 * 60 * 1000
LEASE_MS = 15_000
CALL_EVENTS = frozenset({"tool_call", "tool_start", "tool_result", "approval_request", "approval_answer"})
_OWN = {"run_id", "seq"}  # columns already; not stored twice


async def open_store(where: str | Path) -> Store:
    """Open (and create or migrate) the store. Raises StoreError."""
    return Store(await asyncio.to_thread(open_engine, where))


class Store:
    """All methods are safe to call from any event loop of this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.writer = Writer(engine)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="agent-kernel-reader")

    async def close(self) -> None:
        await asyncio.to_thread(self.writer.close)
        self._readers.shutdown(wait=False)
        self._engine.dispose()

    async def read_rows(self, query: Callable[[Connection], T]) -> T:
        def run() -> T:
            with said_plainly(self._engine), self._engine.connect() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    # -- sessions --------------------------------------------------------------------------------------

    async def create_session(
        self,
        *,
        owner: str,
        name: str,
        workspace: str,
        notebook: str | None = None,
        host: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Session:
        """A new session; the existing one when another process made it at the same moment."""
        now = now_ms()
        session = Session(
            id=new_id("s"), owner=owner, name=name, workspace=workspace, notebook=notebook, host=host,
            created_ms=now, updated_ms=now, meta=dict(meta or {}),
        )  # fmt: skip

        def create(connection: Connection) -> Session:
            found = connection.execute(_session_query(owner, notebook, name)).mappings().first()
            if found is not None:
                return _session(found)
            connection.execute(insert(SESSION).values(**_columns(session, notebook=notebook or "")))
            return session

        created: Session = await self.writer.do(create)
        return created

    async def find_session(self, owner: str, notebook: str | None, name: str) -> Session | None:
        row = await self.read_rows(
            lambda c: c.execute(_session_query(owner, notebook, name)).mappings().first()
        )
        return _session(row) if row else None

    async def get_session(self, session_id: str, owner: str | None = None) -> Session:
        query = select(SESSION).where(SESSION.c.id == session_id)
        row = await self.read_rows(lambda c: c.execute(query).mappings().first())
        if row is None or owner not in (None, row["owner"]):
            raise RunNotFound(f"There is no session {session_id}.")
        return _session(row)

    async def list_sessions(self, owner: str, limit: int = 50, before: int | None = None) -> list[Session]:
        """Newest first; `before` is an `updated_ms`."""
        query = select(SESSION).where(SESSION.c.owner == owner).order_by(SESSION.c.updated_ms.desc())
        if before is not None:
            query = query.where(SESSION.c.updated_ms < before)
        return await self.read_rows(lambda c: [_session(r) for r in c.execute(query.limit(limit)).mappings()])

    async def unused_sessions(self, before: int, limit: int) -> list[Session]:
        """Sessions of everybody last used before `before` (ms), without a run that may go on."""
        busy = select(RUN.c.id).where(RUN.c.session_id == SESSION.c.id, RUN.c.status.in_(UNFINISHED))
        query = select(SESSION).where(SESSION.c.updated_ms < before, ~busy.exists())
        query = query.order_by(SESSION.c.updated_ms).limit(limit)
        return await self.read_rows(lambda c: [_session(row) for row in c.execute(query).mappings()])

    async def session_heads(self, session_id: str) -> dict[str, int]:
        """The seq of the last event of each of the session's runs."""
        return await self.read_rows(lambda c: _session_heads(c, session_id))

    async def nothing_new(self, session_id: str, heads: Mapping[str, int]) -> None:
        """Raises RunBusy when the session's runs are not at `heads`."""
        await self.read_rows(lambda c: _nothing_new(c, session_id, heads))

    async def delete_session(self, session_id: str, heads: Mapping[str, int]) -> None:
        """With its runs and their events. Raises RunBusy, and deletes nothing, when the runs are not at `heads`."""
        runs = select(RUN.c.id).where(RUN.c.session_id == session_id)
        queries = (
            delete(EVENT).where(EVENT.c.run_id.in_(runs)),
            delete(TURN).where(TURN.c.run_id.in_(runs)),
            delete(RUN).where(RUN.c.session_id == session_id),
            delete(SESSION).where(SESSION.c.id == session_id),
        )

        def work(connection: Connection) -> None:
            # Locked first, in the order in which an append does it: nothing can begin between the look and the end.
            connection.execute(runs.order_by(RUN.c.id).with_for_update())
            connection.execute(select(SESSION.c.id).where(SESSION.c.id == session_id).with_for_update())
            _nothing_new(connection, session_id, heads)
            for query in queries:
                connection.execute(query)

        await self.writer.do(work)

    async def update_session(self, session_id: str, **fields: Any) -> None:
        values = {"updated_ms": now_ms(), **fields}
        query = update(SESSION).where(SESSION.c.id == session_id).values(**values)
        await self.writer.do(lambda c: c.execute(query).rowcount)

    async def change_meta(self, session_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """`change` makes of the session's `meta` what it is to be; of two changes at a time neither is lost. Raises
        RunNotFound when the session was deleted meanwhile."""
        mine = SESSION.c.id == session_id

        def work(connection: Connection) -> None:
            meta = connection.execute(select(SESSION.c.meta).where(mine).with_for_update()).scalar()
            if meta is None:
                raise RunNotFound(f"There is no session {session_id!r}.")
            connection.execute(update(SESSION).where(mine).values(updated_ms=now_ms(), meta=change(meta)))

        await self.writer.do(work)

    # -- runs ------------------------------------------------------------------------------------------

    async def create_run(
        self,
        *,
        session_id: str,
        prompt: str,
        model: str,
        owner: str,
        options: Mapping[str, Any] | None = None,
        parent_id: str | None = None,
        agent: str | None = None,
        agent_version: str | None = None,
    ) -> RunRow:
        run = RunRow(
            id=new_id("r"),
            session_id=session_id,
            owner=owner,
            prompt=prompt,
            model=model,
            parent_id=parent_id,
            agent=agent,
            agent_version=agent_version,
            options=dict(options or {}),
            created_ms=now_ms(),
        )

        def create(connection: Connection) -> None:
            session = select(SESSION.c.id).where(SESSION.c.id == session_id)
            if connection.execute(session.with_for_update(read=True, key_share=True)).first() is None:
                raise RunNotFound(f"There is no session {session_id}.", hint="It was deleted; begin another.")
            connection.execute(insert(RUN).values(**_columns(run)))

        await self.writer.do(create)
        return run

    async def update_run(self, run_id: str, **fields: Any) -> None:
        query = update(RUN).where(RUN.c.id == run_id).values(**fields)
        await self.writer.do(lambda c: c.execute(query).rowcount)

    async def get_run(self, run_id: str, owner: str | None = None) -> RunRow:
        """By id or by its unique beginning. Raises RunNotFound."""
        runs = select(RUN) if owner is None else select(RUN).where(RUN.c.owner == owner)
        whole = runs.where(RUN.c.id == run_id)
        beginning = runs.where(RUN.c.id.startswith(run_id, autoescape=True)).limit(2)

        def find(connection: Connection) -> list[RowMapping]:
            # A beginning is looked for in every row there is: only for whoever gave no whole id.
            exact = list(connection.execute(whole).mappings())
            return exact or list(connection.execute(beginning).mappings())

        found = await self.read_rows(find) if run_id else []
        if len(found) != 1:
            what = "More than one run begins with" if found else "There is no run"
            raise RunNotFound(f"{what} {run_id!r}.", hint="See: agent-kernel runs list")
        return _run(found[0])

    async def list_runs(
        self,
        *,
        owner: str | None = None,
        session_id: str | None = None,
        root_only: bool = False,
        status: str | Collection[str] | None = None,
        limit: int | None = 50,
        before: int | None = None,
    ) -> list[RunRow]:
        """Newest first; `status` is one or several, `before` a `created_ms`."""
        query = select(RUN).order_by(RUN.c.created_ms.desc(), RUN.c.id.desc()).limit(limit)
        for column, value in ((RUN.c.owner, owner), (RUN.c.session_id, session_id)):
            if value is not None:
                query = query.where(column == value)
        if status is not None:
            query = query.where(RUN.c.status.in_([status] if isinstance(status, str) else status))
        if root_only:
            query = query.where(RUN.c.parent_id.is_(None))
        if before is not None:
            query = query.where(RUN.c.created_ms < before)
        return await self.read_rows(lambda c: [_run(row) for row in c.execute(query).mappings()])

    async def states(self, owner: str, newest: int) -> dict[str, tuple[str, str]]:
        """Status and reason of the owner's newest runs and of all that are unfinished, by id: two columns of what may
        be long rows, for whoever looks again and again."""
        found = select(RUN.c.id, RUN.c.status, RUN.c.reason).where(RUN.c.owner == owner)
        latest = found.order_by(RUN.c.created_ms.desc(), RUN.c.id.desc()).limit(newest)
        unfinished = found.where(RUN.c.status.in_(UNFINISHED))

        def read(connection: Connection) -> dict[str, tuple[str, str]]:
            rows = [*connection.execute(latest)]
            if len(rows) == newest:
                rows += connection.execute(unfinished)
            return {row.id: (row.status, row.reason) for row in rows}

        return await self.read_rows(read)

    # -- events ----------------------------------------------------------------------------------------

    async def append(self, run_id: str, events: Sequence[Event], fence: int | None = None) -> list[Event]:
        """Number and store events in one transaction; the numbered copies.

        Raises OwnershipLost when `fence` is no longer the run's, AlreadyAppended when one of them exists
        once per call and is there, RunNotFound, StoreError. Nothing is stored then.
        """
        if not events:
            return []
        for event in events:
            if isinstance(event, Delta) or event.seq:
                raise ValueError(f"{event.type} {event.seq} cannot be appended")
        rows = [_row(event) for event in events]
        head = await self.writer.do(Append(run_id, rows, fence, _status(events), _turns(events)))
        return [event.numbered(run_id, head + number) for number, event in enumerate(events, 1)]

    async def head(self, run_id: str) -> int:
        """The seq of the run's last event; 0 when it has none."""
        query = select(RUN.c.head).where(RUN.c.id == run_id)
        return await self.read_rows(lambda c: c.execute(query).scalar()) or 0

    async def heads(self, run_ids: Collection[str]) -> dict[str, int]:
        """The seq of the last event of each run there is."""
        query = select(RUN.c.id, RUN.c.head).where(RUN.c.id.in_(run_ids))
        return await self.read_rows(lambda c: {row.id: row.head for row in c.execute(query)})

    async def read(self, run_id: str, after: int = 0, limit: int | None = None) -> list[Event]:
        """Events with a seq greater than `after`, in order."""
        query = _events_after(run_id, after, limit)
        return await self.read_rows(lambda c: [_event(row) for row in c.execute(query)])

    async def read_json(self, run_id: str, after: int, limit: int) -> list[str]:
        """What `read` gives, as JSON and unparsed, for whoever hands it on: no more than PAGE_SIZE characters of it
        (but one event at least)."""
        query = _events_after(run_id, after, limit)

        def read(connection: Connection) -> list[str]:
            found: list[str] = []
            size = 0
            for row in connection.execute(query):
                size += len(row.data)
                if found and size > PAGE_SIZE:
                    break
                found.append(f'{row.data[:-1]},"run_id":{json.dumps(run_id)},"seq":{row.seq}}}')
            return found

        return await self.read_rows(read)

    async def read_call(self, run_id: str, call_id: str) -> list[Event]:
        """What `read` gives of one call, or one approval request: its events of the CALL_EVENTS."""
        if not _may_be_stored(call_id):
            return []
        query = _events(run_id).where(EVENT.c.type.in_(CALL_EVENTS), EVENT.c.call_id == call_id)
        return await self._read_few(query)

    async def read_open_calls(self, run_id: str) -> list[Event]:
        """What `read` gives of calls without a result: that they were made, and begun."""
        result = EVENT.alias()
        ended = select(literal(1)).where(
            result.c.run_id == run_id,
            result.c.type == "tool_result",
            result.c.call_id == EVENT.c.call_id,
        )
        query = _events(run_id).where(
            EVENT.c.type.in_(("tool_call", "tool_start")), EVENT.c.call_id.is_not(None), ~ended.exists()
        )
        return await self._read_few(query)

    async def _read_few(self, query: Any) -> list[Event]:
        """In order, of which the query says nothing: SQLite would walk the whole run for it, past the better index."""
        found = await self.read_rows(lambda c: [_event(row) for row in c.execute(query)])
        return sorted(found, key=lambda event: event.seq)

    async def read_session(self, session_id: str) -> list[Event]:
        """All events of the session's root runs, oldest run first."""
        query = (
            select(EVENT.c.run_id, EVENT.c.seq, EVENT.c.data)
            .join(RUN, RUN.c.id == EVENT.c.run_id)
            .where(RUN.c.session_id == session_id, RUN.c.parent_id.is_(None))
            .order_by(RUN.c.created_ms, RUN.c.id, EVENT.c.seq)
        )
        return await self.read_rows(lambda c: [_event(row) for row in c.execute(query)])

    async def spent(
        self, *, owner: str | None = None, session_id: str | None = None, since: int = 0, but: str = ""
    ) -> float:
        """USD of the turns since `since` (ms) of an owner's or a session's runs, without run `but`."""
        query = (
            select(func.sum(TURN.c.cost_usd))
            .join(RUN, RUN.c.id == TURN.c.run_id)
            .where(TURN.c.timestamp >= since, RUN.c.id != but)
        )
        for column, value in ((RUN.c.owner, owner), (RUN.c.session_id, session_id)):
            if value is not None:
                query = query.where(column == value)
        return await self.read_rows(lambda c: c.execute(query).scalar()) or 0.0

    async def used_by(self, run_ids: Sequence[str]) -> dict[str, Used]:
        """What each of the runs used; those without a turn are left out."""
        query = select(TURN.c.run_id, *_USED).where(TURN.c.run_id.in_(run_ids)).group_by(TURN.c.run_id)
        return await self.read_rows(
            lambda c: {row["run_id"]: _used(row) for row in c.execute(query).mappings()}
        )

    async def used_on(self, owner: str, since: int) -> list[UsedOn]:
        """What the owner's runs used since `since` (ms), by day and model, the newest day first."""
        day = (TURN.c.timestamp // literal(DAY_MS, literal_execute=True)).label("day")
        runs = func.count(TURN.c.run_id.distinct()).label("runs")
        query = (
            select(day, TURN.c.model, runs, *_USED)
            .join(RUN, RUN.c.id == TURN.c.run_id)
            .where(RUN.c.owner == owner, TURN.c.timestamp >= since)
            .group_by(day, TURN.c.model)
            .order_by(day.desc(), TURN.c.model)
        )
        rows = await self.read_rows(lambda c: list(c.execute(query).mappings()))
        return [UsedOn(_date(row["day"]), row["model"], row["runs"], _used(row)) for row in rows]

    async def worked_on(self, owner: str, since: int) -> list[Worked]:
        """The owner's runs started since `since` (ms), by day, model, agent and status, the newest day first."""
        theirs = (RUN.c.owner == owner, RUN.c.created_ms >= since)
        sums = [func.sum(TURN.c[name]).label(name) for name in _SUMMED]
        turns = (
            select(TURN.c.run_id, func.count().label("turns"), *sums)
            .where(TURN.c.run_id.in_(select(RUN.c.id).where(*theirs)))  # not everybody's of all time
            .group_by(TURN.c.run_id)
            .subquery()
        )
        day = (RUN.c.created_ms // literal(DAY_MS, literal_execute=True)).label("day")
        agent = func.coalesce(RUN.c.agent, literal("", literal_execute=True)).label("agent")
        took = func.sum(func.coalesce(RUN.c.ended_ms - RUN.c.started_ms, 0)).label("ms")
        used = [
            func.sum(turns.c[name] if name == "cost_usd" else func.coalesce(turns.c[name], 0)).label(name)
            for name in ("turns", *_SUMMED)
        ]
        query = (
            select(day, RUN.c.model, agent, RUN.c.status, func.count().label("runs"), took, *used)
            .join(turns, turns.c.run_id == RUN.c.id, isouter=True)
            .where(*theirs)
            .group_by(day, RUN.c.model, agent, RUN.c.status)
            .order_by(day.desc(), RUN.c.model, agent, RUN.c.status)
        )
        rows = await self.read_rows(lambda c: list(c.execute(query).mappings()))
        return [
            Worked(
                day=_date(row["day"]), model=row["model"], agent=row["agent"], status=row["status"],
                runs=row["runs"], seconds=(_plain(row["ms"]) or 0) / 1000,
                used=Used(**{name: _plain(row[name]) for name in ("turns", *_SUMMED)}),
            )
            for row in rows
        ]  # fmt: skip

    async def standing(self) -> dict[str, int]:
        """How many runs of everybody have each status, of those that may go on."""
        query = select(RUN.c.status, func.count()).where(RUN.c.status.in_(UNFINISHED)).group_by(RUN.c.status)
        return await self.read_rows(lambda c: {row[0]: row[1] for row in c.execute(query)})

    # -- who works on a run ------------------------------------------------------------------------------

    async def claim(
        self,
        run_id: str,
        worker: str,
        ttl_ms: int = LEASE_MS,
        *,
        dead: Callable[[str], bool] = lambda worker: False,
    ) -> int:
        """Become the run's owner; the new fencing number. Raises RunBusy while a live other one has it.

        A worker lives while its heartbeat is younger than `ttl_ms`, unless `dead(worker)` knows better.
        """

        def take(connection: Connection) -> int:
            query = select(RUN.c.worker, RUN.c.fence, RUN.c.heartbeat_ms).where(RUN.c.id == run_id)
            row = connection.execute(query.with_for_update()).first()
            if row is None:
                raise RunNotFound(f"There is no run {run_id}.")
            fresh = row.worker not in (None, worker) and now_ms() - (row.heartbeat_ms or 0) < ttl_ms
            if fresh and not dead(row.worker):
                raise RunBusy(
                    f"Run {run_id} is being worked on by {row.worker}.",
                    hint=f"If that process is gone, try again in {ttl_ms // 1000} seconds.",
                )
            values = {"worker": worker, "fence": row.fence + 1, "heartbeat_ms": now_ms()}
            connection.execute(update(RUN).where(RUN.c.id == run_id).values(**values))
            return int(row.fence) + 1

        fence: int = await self.writer.do(take)
        return fence

    async def heartbeat(self, run_id: str, worker: str, fence: int) -> None:
        """Say that the owner lives. Raises OwnershipLost."""
        mine = update(RUN).where(RUN.c.id == run_id, RUN.c.worker == worker, RUN.c.fence == fence)
        query = mine.values(heartbeat_ms=now_ms())
        if not await self.writer.do(lambda c: c.execute(query).rowcount):
            raise OwnershipLost(f"Run {run_id} was taken over by another worker.")

    async def release(self, run_id: str, fence: int) -> None:
        """Give the run up; a no-op when it is somebody else's by now."""
        mine = update(RUN).where(RUN.c.id == run_id, RUN.c.fence == fence)
        await self.writer.do(lambda c: c.execute(mine.values(worker=None, heartbeat_ms=None)).rowcount)


# -- rows and values ------------------------------------------------------------------------------------


def _session_query(owner: str, notebook: str | None, name: str) -> Any:
    return select(SESSION).where(
        SESSION.c.owner == owner, SESSION.c.notebook == (notebook or ""), SESSION.c.name == name
    )


def _session_heads(connection: Connection, session_id: str) -> dict[str, int]:
    query = select(RUN.c.id, RUN.c.head).where(RUN.c.session_id == session_id)
    return {row.id: row.head for row in connection.execute(query)}


def _nothing_new(connection: Connection, session_id: str, heads: Mapping[str, int]) -> None:
    if _session_heads(connection, session_id) != heads:
        raise RunBusy("Somebody has gone on with this session meanwhile.", hint="Look at it again first.")


def _events(run_id: str) -> Any:
    return select(EVENT.c.run_id, EVENT.c.seq, EVENT.c.data).where(EVENT.c.run_id == run_id)


def _events_after(run_id: str, after: int, limit: int | None) -> Any:
    return _events(run_id).where(EVENT.c.seq > after).order_by(EVENT.c.seq).limit(limit)


def _may_be_stored(call_id: str) -> bool:
    """What UTF-8 or PostgreSQL cannot hold is no call's id, and asking the database for it would be an error."""
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in call_id)


def _columns(record: Session | RunRow, **instead: Any) -> dict[str, Any]:
    return {**{name: getattr(record, name) for name in record.__slots__}, **instead}


def _session(row: RowMapping) -> Session:
    return Session(**{**row, "notebook": row["notebook"] or None})


def _run(row: RowMapping) -> RunRow:
    return RunRow(**row)


def _row(event: Event) -> tuple[Any, ...]:
    """The columns after `run_id` and `seq`."""
    call_id = getattr(event, "id", None) if event.type in CALL_EVENTS else None
    return event.type, call_id, event.turn, event.timestamp, _json(event)


def _json(event: Event) -> str:
    # `model_dump_json` without its Python layer: this runs for each event stored.
    return event.__pydantic_serializer__.to_json(event, exclude=_OWN).decode()


def _turns(events: Sequence[Event]) -> Sequence[tuple[int, tuple[Any, ...]]]:
    if ContextUpdate not in map(type, events):  # most appends, and there are many
        return ()
    return [
        (number, tuple(getattr(event, name) for name in _TURN))
        for number, event in enumerate(events)
        if isinstance(event, ContextUpdate)
    ]


_TURN = [column.name for column in TURN.c if column.name not in _OWN]
_SUMMED = [f.name for f in fields(Used) if f.name != "turns"]
_USED = (func.count().label("turns"), *(func.sum(TURN.c[name]).label(name) for name in _SUMMED))


def _used(row: RowMapping) -> Used:
    return Used(turns=row["turns"], **{name: _plain(row[name]) for name in _SUMMED})


def _plain(number: Any) -> Any:
    """PostgreSQL adds whole numbers up to a decimal."""
    return int(number) if isinstance(number, Decimal) else number


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=int(day))).isoformat()


def _status(events: Sequence[Event]) -> tuple[str, str, int] | None:
    for event in reversed(events):
        if isinstance(event, Status):
            return event.status, event.reason, event.timestamp
    return None


def _event(row: Any) -> Event:
    try:
        return parse_event({**json.loads(row.data), "run_id": row.run_id, "seq": row.seq})
    except ValueError as error:
        raise StoreError(f"Event {row.seq} of run {row.run_id} cannot be read: {error}") from error
