"""A connection that can be cut, or stalled, or led nowhere."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Wire:
    """A TCP address that leads to another socket, until its connections are dropped or stalled."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._calm = threading.Event()
        self._calm.set()
        self._away = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """All connections end at once, without a word."""
        for pair in list(self._pairs):
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    @property
    def passes(self) -> bool:
        """Whether it is not stalled."""
        return self._calm.is_set()

    def stall(self, seconds: float) -> None:
        """Nothing passes for so long; new connections are taken, and wait too."""
        self._calm.clear()
        time.sleep(seconds)
        self._calm.set()

    def away(self, seconds: float) -> None:
        """For so long nobody is there: connections end, and new ones too."""
        self._away = True
        self.drop()
        time.sleep(seconds)
        self._away = False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # closed alone, it would still be accepted from
        self._server.close()
        self._calm.set()
        self.drop()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
        far = socket.socket(family)
        try:
            if self._away:
                raise ConnectionRefusedError
            far.connect(self._target)
        except OSError:
            near.close()
            far.close()
            return
        pair = (near, far)
        self._pairs.add(pair)
        back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
        back.start()
        self._carry(near, far)
        back.join()
        self._pairs.discard(pair)
        near.close()
        far.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._calm.wait()
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
