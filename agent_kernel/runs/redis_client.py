"""The connection to Redis, and its errors as sentences.

No text of the library or the server is passed on: a server can echo the password in what it answers.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from agent_kernel.errors import StoreError

URL_HINT = "AGENT_KERNEL_REDIS_URL looks like redis://user:password@host:6379/0 (or rediss://, unix://)."
CONNECT_SECONDS = 5.0


def open_client(url: str, patience: float) -> tuple[Any, str]:
    """A client that has not connected yet, and its address without credentials.

    An answer may take `patience` seconds. Nothing is tried twice: a pipeline sent again would double deltas.
    """
    try:
        from redis.asyncio import ConnectionPool, Redis
        from redis.asyncio.connection import parse_url
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise StoreError(
            "A Redis bus needs the package redis.", hint='Install it: pip install "agent-kernel[redis]"'
        ) from error
    try:
        parts = urlsplit(url)
        if parts.scheme != "unix" and "@" in url and "@" not in parts.netloc:
            raise ValueError  # a `/`, `?` or `#` cut the password in two: its rest would pass for a host
        settings: dict[str, Any] = {"socket_connect_timeout": CONNECT_SECONDS, **parse_url(url)}
    except ValueError:
        raise StoreError(
            "The address of Redis is not a URL that can be used.",
            hint=f"{URL_HINT} Percent-encode special characters of the password.",
        ) from None
    # Not for the URL to say: what is read relies on them.
    ours = {
        "decode_responses": False,
        "protocol": 2,
        "socket_timeout": patience,
        "retry": Retry(NoBackoff(), 0),
    }
    where = settings.get("path") or f"{settings.get('host') or 'localhost'}:{settings.get('port') or 6379}"
    pool = ConnectionPool(**(settings | ours))
    return Redis.from_pool(pool), str(where)


def problem(error: BaseException) -> str:
    """What is wrong with Redis, as the rest of a sentence that begins with its address."""
    from redis import exceptions

    match error:
        case exceptions.AuthenticationError():
            return "does not accept the user name and password it was given"
        case exceptions.NoPermissionError():
            return "does not let this user read and write agent-kernel:*"
        case exceptions.BusyLoadingError():
            return "is still loading its data"
        case exceptions.TimeoutError() | TimeoutError():
            return "does not answer"
        case exceptions.ConnectionError() | OSError():
            return f"cannot be reached{_reason(error)}"
        case _:
            return f"cannot be used ({type(error).__name__})"


def _reason(error: BaseException | None) -> str:
    """The operating system's words, where it is behind the error."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return f" ({error.strerror})"
        error = error.__cause__ or error.__context__
    return ""


def is_wrong_type(error: BaseException) -> bool:
    """The key holds something that is no stream: a matter of one run, not of Redis."""
    return str(error).startswith("WRONGTYPE")
