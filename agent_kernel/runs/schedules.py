"""The rows of schedules. Which of several workers starts a due one is settled by who moves its `next_ms` on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from agent_kernel.errors import JobsError
from agent_kernel.runs.models import SCHEDULE
from agent_kernel.runs.records import Schedule
from agent_kernel.runs.store import Store


async def add_schedule(store: Store, schedule: Schedule) -> None:
    """Raises JobsError when the owner has one of this name."""

    def add(connection: Connection) -> None:
        same = select(SCHEDULE.c.id).where(
            SCHEDULE.c.owner == schedule.owner, SCHEDULE.c.name == schedule.name
        )
        if connection.execute(same).first() is not None:
            raise JobsError(
                f"There is a schedule {schedule.name!r} already.",
                hint="Delete it first, or choose another name.",
            )
        values = {name: getattr(schedule, name) for name in schedule.__slots__}
        connection.execute(insert(SCHEDULE).values(**{**values, "options": dict(schedule.options)}))

    await store.writer.do(add)


async def find_schedule(store: Store, owner: str, key: str) -> Schedule:
    """By name or id. Raises JobsError."""
    query = select(SCHEDULE).where(
        SCHEDULE.c.owner == owner, or_(SCHEDULE.c.id == key, SCHEDULE.c.name == key)
    )
    row = await store.read_rows(lambda c: c.execute(query).mappings().first())
    if row is None:
        raise JobsError(f"There is no schedule {key!r}.", hint="List the schedules to see their names.")
    return _schedule(row)


async def list_schedules(store: Store, owner: str) -> list[Schedule]:
    """By name."""
    query = select(SCHEDULE).where(SCHEDULE.c.owner == owner).order_by(SCHEDULE.c.name)
    return await store.read_rows(lambda c: [_schedule(row) for row in c.execute(query).mappings()])


async def due_schedules(store: Store, now: int) -> list[Schedule]:
    """Of all owners, the longest overdue first."""
    query = select(SCHEDULE).where(SCHEDULE.c.next_ms <= now).order_by(SCHEDULE.c.next_ms)
    return await store.read_rows(lambda c: [_schedule(row) for row in c.execute(query).mappings()])


async def move_on(store: Store, schedule: Schedule, **values: Any) -> bool:
    """Change it unless somebody else has moved it on, or deleted it, since it was read."""
    query = update(SCHEDULE).where(SCHEDULE.c.id == schedule.id, SCHEDULE.c.next_ms == schedule.next_ms)
    return bool(await store.writer.do(lambda c: c.execute(query.values(**values)).rowcount))


async def change_schedule(store: Store, schedule_id: str, **values: Any) -> None:
    query = update(SCHEDULE).where(SCHEDULE.c.id == schedule_id).values(**values)
    await store.writer.do(lambda c: c.execute(query).rowcount)


async def delete_schedule(store: Store, schedule_id: str) -> None:
    query = delete(SCHEDULE).where(SCHEDULE.c.id == schedule_id)
    await store.writer.do(lambda c: c.execute(query).rowcount)


def _schedule(row: RowMapping) -> Schedule:
    return Schedule(**row)
