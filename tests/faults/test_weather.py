"""The weather that `make soak` makes is real: it cuts, stalls, turns and fills."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.faults.weather import DISK_MEGABYTES, Clock, Disk
from tests.faults.wire import Wire


def echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(99):
                connection.sendall(data)


def test_a_wire_carries_stalls_and_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        wire = Wire(server.getsockname()[:2])
        with socket.create_connection(("127.0.0.1", wire.port), 60) as client:
            client.sendall(b"one")
            assert client.recv(9) == b"one"
            stalling = threading.Thread(target=wire.stall, args=(0.5,))
            since = time.monotonic()
            stalling.start()
            while wire.passes and stalling.is_alive():
                time.sleep(0.001)
            client.sendall(b"two")
            assert client.recv(9) == b"two"
            assert time.monotonic() - since >= 0.4
            wire.drop()
            assert client.recv(9) == b"", "cut without a word"
        wire.close()


def test_a_turned_clock_is_seen_by_who_was_started_with_it(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    (tmp_path / "clock").write_text("-3600")
    code = "import time; from agent_kernel.events import now_ms; print(time.time(), now_ms())"
    environment = {**os.environ, **clock.environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    seconds, milliseconds = map(float, done.stdout.split())
    assert abs(time.time() - 3600 - seconds) < 60
    assert abs(seconds * 1000 - milliseconds) < 60_000


def test_a_full_disk_is_full_and_then_is_not() -> None:
    try:
        disk = Disk()
    except OSError as error:
        pytest.skip(str(error))
    try:
        mine = disk.folder / "mine"
        hog = disk.take_all()
        assert hog.stat().st_size >= DISK_MEGABYTES << 20
        with pytest.raises(OSError) as caught:
            mine.write_bytes(b"x" * 4096)
        assert caught.value.errno == errno.ENOSPC
        hog.unlink()
        disk.fill(0.1)
        mine.write_bytes(b"x" * 4096)
    finally:
        disk.close()
