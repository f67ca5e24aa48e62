"""Alembic migrations; `upgrade` brings a database to this program's tables."""
