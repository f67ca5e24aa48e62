"""The tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON}  # noqa: RUF012


class SessionTable(Base):
    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("owner", "notebook", "name"),
        Index("ix_sessions_owner_updated", "owner", "updated_ms"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200))
    notebook: Mapped[str] = mapped_column(Text, default="")
    """Empty for none: in SQL, two missing values would not be equal and a session could exist twice."""
    workspace: Mapped[str] = mapped_column(Text)
    host: Mapped[str | None] = mapped_column(String(200))
    sandbox_id: Mapped[str | None] = mapped_column(String(200))
    title: Mapped[str] = mapped_column(Text, default="")
    created_ms: Mapped[int]
    updated_ms: Mapped[int]
    meta: Mapped[dict[str, Any]]


class RunTable(Base):
    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_session", "session_id", "created_ms"),
        Index("ix_runs_owner", "owner", "created_ms"),
        Index("ix_runs_status", "status"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(String(40))
    owner: Mapped[str] = mapped_column(String(200))
    prompt: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(String(200))
    agent: Mapped[str | None] = mapped_column(String(200))
    agent_version: Mapped[str | None] = mapped_column(String(80))
    options: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text, default="")
    created_ms: Mapped[int]
    started_ms: Mapped[int | None]
    ended_ms: Mapped[int | None]
    head: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    fence: Mapped[int] = mapped_column(Integer, default=0)
    heartbeat_ms: Mapped[int | None]


class EventTable(Base):
    __tablename__ = "events"
    __table_args__ = (
        Index(
            "ux_events_call",
            "run_id",
            "type",
            "call_id",
            unique=True,
            sqlite_where=text("call_id IS NOT NULL"),
            postgresql_where=text("call_id IS NOT NULL"),
        ),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(40))
    call_id: Mapped[str | None] = mapped_column(String(300))
    """The `id` of events of which each call has one; NULL for the others, which the index leaves out."""
    turn: Mapped[int] = mapped_column(Integer)
    timestamp: Mapped[int]
    data: Mapped[str] = mapped_column(Text)


class TurnTable(Base):
    """What each turn used: the `context_update` events as columns, so that sums need not read the log."""

    __tablename__ = "turns"
    __table_args__ = (Index("ix_turns_timestamp", "timestamp"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    timestamp: Mapped[int]
    model: Mapped[str] = mapped_column(String(200))
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cache_read_tokens: Mapped[int]
    cache_write_tokens: Mapped[int]
    cost_usd: Mapped[float | None]


class ExecutorTable(Base):
    __tablename__ = "executors"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    beat_ms: Mapped[int]


class ScheduleTable(Base):
    __tablename__ = "schedules"
    __table_args__ = (UniqueConstraint("owner", "name"), Index("ix_schedules_next", "next_ms"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200))
    cron: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(80))
    prompt: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]]
    overlap: Mapped[str] = mapped_column(String(20))
    missed: Mapped[str] = mapped_column(String(20))
    paused: Mapped[bool]
    created_ms: Mapped[int]
    next_ms: Mapped[int | None]
    """When it is due; NULL while paused."""
    last_ms: Mapped[int | None]
    last_run_id: Mapped[str | None] = mapped_column(String(40))
    last_result: Mapped[str] = mapped_column(Text, default="")


RUN = cast("Table", RunTable.__table__)
EVENT = cast("Table", EventTable.__table__)
SESSION = cast("Table", SessionTable.__table__)
TURN = cast("Table", TurnTable.__table__)
EXECUTOR = cast("Table", ExecutorTable.__table__)
SCHEDULE = cast("Table", ScheduleTable.__table__)
