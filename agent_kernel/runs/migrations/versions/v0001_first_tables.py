"""Sessions, runs and events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("notebook", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("host", sa.String(200)),
        sa.Column("sandbox_id", sa.String(200)),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("meta", sa.JSON, nullable=False),
        sa.UniqueConstraint("owner", "notebook", "name"),
    )
    op.create_index("ix_sessions_owner_updated", "sessions", ["owner", "updated_ms"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column(
            "session_id", sa.String(40), sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("parent_id", sa.String(40)),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("agent", sa.String(200)),
        sa.Column("agent_version", sa.String(80)),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger),
    )
    op.create_index("ix_runs_session", "runs", ["session_id", "created_ms"])
    op.create_index("ix_runs_owner", "runs", ["owner", "created_ms"])
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_table(
        "events",
        sa.Column("run_id", sa.String(40), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("call_id", sa.String(300)),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    once_per_call = sa.text("call_id IS NOT NULL")
    op.create_index(
        "ux_events_call",
        "events",
        ["run_id", "type", "call_id"],
        unique=True,
        sqlite_where=once_per_call,
        postgresql_where=once_per_call,
    )
