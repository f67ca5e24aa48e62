"""Ports for servers that are to be told where to listen."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

FIRST, LAST = 20_000, 32_000
"""Below what the system gives to connections, to sockets bound to port 0 and to kernels: one of them would otherwise
take the port between the moment it was found free and the server's start, and a test would talk to a stranger; or a
test's look at the port would be given it, meet itself, and keep the server from binding it."""
_next = itertools.count(os.getpid() * 37)
_reserved: list[socket.socket] = []
"""Names that this process has taken, one a port, until it ends."""


def free_port() -> int:
    """A port of 127.0.0.1 that no other test run on this machine is given while this process lives."""
    for _ in range(LAST - FIRST):
        port = FIRST + next(_next) % (LAST - FIRST)
        if _reserve(port) and _is_free(port):
            return port
    raise RuntimeError(f"No port between {FIRST} and {LAST} is free.")


def _reserve(port: int) -> bool:
    """Atomic, and undone by the system: an abstract socket's name. Where there are none, the check has to do."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0agent-kernel-port-{port}")
    except FileNotFoundError:  # not Linux
        name.close()
        return True
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
