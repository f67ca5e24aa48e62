"""Opening a database: SQLite by path, PostgreSQL by URL; its tables brought up to date.

What goes wrong in a database becomes a StoreError in one sentence. A file that is damaged or made by a
newer program is left exactly as it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    OperationalError,
    SQLAlchemyError,
)

from agent_kernel.errors import StoreError, Unstorable

HEAD = "0002"
"""The newest migration of this program; migrations are numbered upwards."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs",
     "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "ncpfs", "davfs", "fuse.davfs2"}
)  # fmt: skip
BUSY_MS = 30_000
KEEPALIVE = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""PostgreSQL that went away without a word (a cable, a firewall that forgot us) is missed after a minute; the system
would wait for a quarter of an hour, or for two hours where nothing was being sent."""


def open_engine(where: str | Path) -> Engine:
    """The engine for a SQLite file or a `postgresql://` URL, its tables as this program needs them."""
    url = str(where)
    if url.startswith(("postgres://", "postgresql")):
        engine = _postgresql(url)
    elif "://" in url and not url.startswith("sqlite:///"):
        kind = url.split(":", 1)[0]
        raise StoreError(f"A {kind} database cannot hold runs.", hint="Use SQLite or PostgreSQL.")
    else:
        engine = _sqlite(Path(url.removeprefix("sqlite:///")))
    with said_plainly(engine):
        upgrade(engine)
    return engine


def postgresql_url(url: str) -> URL:
    """The URL of a person for our driver; what it says of connections counts, the rest is ours. Raises StoreError."""
    try:
        given = make_url(f"postgresql+psycopg://{url.split('://', 1)[1]}")
    except (ArgumentError, ValueError):  # may quote the password
        raise StoreError(
            "The address of PostgreSQL is not a URL that can be used.",
            hint="AGENT_KERNEL_DATABASE_URL looks like postgresql://user:password@host:5432/name. Percent-encode "
            "special characters of the password.",
        ) from None
    return given.update_query_dict({key: value for key, value in KEEPALIVE.items() if key not in given.query})


def _postgresql(url: str) -> Engine:
    try:
        return create_engine(postgresql_url(url), pool_size=6, pool_pre_ping=True, paramstyle="format")
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs psycopg.", hint='Install it: pip install "agent-kernel[postgres]"'
        ) from error


def _sqlite(path: Path) -> Engine:
    kind = file_system(path)
    if is_network(kind):
        raise StoreError(
            f"{path} is on a network file system ({kind}), where SQLite loses data.",
            hint="Set AGENT_KERNEL_DATA_DIR to a local folder, or AGENT_KERNEL_DATABASE_URL to PostgreSQL.",
        )
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


@cache
def tell_time(ending: str) -> None:
    """Have SQLite files with this end of a name know `unixepoch('subsec')`, whoever opens them in this process.

    SQLite knows it from 3.42 on. Python brings none of its own: on Debian 12 or Ubuntu 22.04 even the newest Python
    stands on an older one, which says NULL.
    """
    if sqlite3.sqlite_version_info >= (3, 42):
        return

    @event.listens_for(Engine, "connect")
    def teach(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            (_, _, path), *_ = connection.execute("PRAGMA database_list")
            if path.endswith(ending):
                connection.create_function("unixepoch", 1, lambda _: time.time())


def _use_wal(cursor: Any) -> None:
    """The last one to close a database holds it for a moment in a way that `busy_timeout` does not cover."""
    for wait in (0.01, 0.05, 0.2, 1.0, 0.0):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not wait:
                raise
            time.sleep(wait)


def is_network(kind: str) -> bool:
    """Whether a file system of this kind lives on another machine."""
    return kind in NETWORK_FILE_SYSTEMS


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system `path` is on (`ext4`, `nfs4`); empty where it cannot be told."""
    target = str(path.resolve())
    best, kind = "", ""
    with contextlib.suppress(OSError):
        for line in mounts.read_text(errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            point = before.split(" ")[4].encode().decode("unicode_escape")
            inside = target == point or target.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, after.split(" ", 1)[0]
    return kind


# -- the tables ----------------------------------------------------------------------------------------


def upgrade(engine: Engine) -> None:
    """Create or migrate the tables. Several processes may try at once: one does it, the others wait."""
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with _alone(engine), engine.connect() as connection:
        version = _version(connection)
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise StoreError(
                f"The run store was made by a newer agent-kernel (tables {version}, ours {HEAD}).",
                hint="Upgrade agent-kernel: pip install --upgrade agent-kernel",
            )
        _migrate(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


@contextlib.contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """One process at a time: a lock file beside a SQLite file, an advisory lock in PostgreSQL."""
    if engine.dialect.name == "sqlite":
        import fcntl

        with Path(f"{engine.url.database}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    else:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(7268403)"))
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(7268403)"))


# -- what goes wrong -----------------------------------------------------------------------------------


UNSTORABLE = (DataError, UnicodeEncodeError, OverflowError)
"""What a value is to blame for, and not the database. The last two come from drivers as they are."""


@contextlib.contextmanager
def said_plainly(engine: Engine) -> Iterator[None]:
    """Turns the driver's errors into a StoreError."""
    try:
        yield
    except (SQLAlchemyError, OSError, *UNSTORABLE) as error:
        raise store_error(error, engine) from error


def store_error(error: Exception, engine: Engine) -> StoreError:
    """What a driver's error means, and what to do."""
    if isinstance(error, UnicodeEncodeError):
        return Unstorable(f"{error.object[:80]!r} is not valid Unicode: no run store can hold it.")
    # Its query can hold a password, too.
    where = engine.url.set(drivername="postgresql", query={}).render_as_string()
    if engine.dialect.name == "sqlite":
        where = str(engine.url.database)
    reason = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0].rstrip(".")
    low = reason.lower()
    if "full" in low or "no space" in low:
        return StoreError(
            f"There is no room left to store events in {where}.",
            hint="Free some disk space; what was stored before is safe.",
        )
    if "readonly" in low or "read-only" in low or "permission" in low or "unable to open" in low:
        return StoreError(
            f"The run store {where} cannot be opened or written ({reason}).",
            hint="Check the folder's permissions, or set AGENT_KERNEL_DATA_DIR.",
        )
    if "not a database" in low or "malformed" in low:
        return StoreError(
            f"The run store {where} is damaged ({reason}); it was left as it is.",
            hint="Move it away to begin a new one, or restore a copy.",
        )
    if "locked" in low:
        return StoreError(f"The run store {where} is busy ({reason}).", hint="Try again.")
    if isinstance(error, UNSTORABLE):
        return Unstorable(f"No run store can hold this: {reason}.")
    if isinstance(error, OperationalError | DatabaseError) or "connect" in low:
        return StoreError(f"The run store {where} failed: {reason}.", hint="Is the database running?")
    return StoreError(f"The run store {where} failed: {reason}.")
