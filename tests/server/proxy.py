"""A plain TCP proxy that can be cut, and mended; and that can fall asleep, so that nobody hears anything at all."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Forwards a port of its own to `target` on this machine."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refused = 0
        """Connections that came while it was cut."""
        self._open: set[socket.socket] = set()
        self._whole = threading.Event()
        self._whole.set()
        self._awake = threading.Event()
        self._awake.set()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.wake()
        self.cut()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._whole.clear()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._whole.set()

    def sleep(self) -> None:
        """Forward nothing more, and say so to nobody: neither an end nor a reset of any connection gets through."""
        self._awake.clear()

    def wake(self) -> None:
        """Go on where it was."""
        self._awake.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                self._awake.wait()
                if not self._whole.is_set():
                    self.refused += 1
                    inner.close()
                    continue
                try:
                    outer = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    inner.close()
                    continue
                for one, other in ((inner, outer), (outer, inner)):
                    self._open.add(one)
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._awake.wait()
                other.sendall(data)
        self._awake.wait()
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.close()
        self._open.discard(one)
