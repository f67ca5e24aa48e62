"""Who takes from the queue, what starts by the clock, and what each turn cost."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
COUNTED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def upgrade() -> None:
    op.create_table(
        "executors",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("beat_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("cron", sa.String(200), nullable=False),
        sa.Column("timezone", sa.String(80), nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("overlap", sa.String(20), nullable=False),
        sa.Column("missed", sa.String(20), nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("next_ms", sa.BigInteger),
        sa.Column("last_ms", sa.BigInteger),
        sa.Column("last_run_id", sa.String(40)),
        sa.Column("last_result", sa.Text, nullable=False),
        sa.UniqueConstraint("owner", "name"),
    )
    op.create_index("ix_schedules_next", "schedules", ["next_ms"])
    turns = op.create_table(
        "turns",
        sa.Column("run_id", sa.String(40), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTED),
        sa.Column("cost_usd", sa.Float),
    )
    op.create_index("ix_turns_timestamp", "turns", ["timestamp"])
    query = sa.text("SELECT run_id, seq, timestamp, data FROM events WHERE type = 'context_update'")
    for row in op.get_bind().execute(query).mappings().all():
        said = json.loads(row["data"])
        counted = {name: said.get(name, 0) for name in COUNTED}
        values = {**row, **counted, "model": said["model"], "cost_usd": said.get("cost_usd")}
        values.pop("data")
        op.execute(turns.insert().values(**values))
