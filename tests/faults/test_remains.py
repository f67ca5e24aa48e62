"""What `make soak` says is left behind was planted here by hand: it is seen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.endurance import steady
from tests.faults.remains import files_left, free_again, holdings, listening, processes
from tests.ports import free_port

LEAKING = """
import os, socket, subprocess, sys, threading, time
kept = []
for what in sys.stdin:
    match what.strip():
        case "memory": kept.append(bytearray(os.urandom(40 << 20)))
        case "descriptors": kept += [open(os.devnull) for _ in range(20)]
        case "ports": kept.append(socket.create_server(("127.0.0.1", 0)))
        case "threads": kept += [threading.Thread(target=time.sleep, args=(99,), daemon=True).start() for _ in range(9)]
    print("done", flush=True)
"""


@pytest.fixture
def leaking(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LEAKING],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("what", ["memory", "descriptors", "ports", "threads"])
def test_who_grows_is_seen(leaking: subprocess.Popen[str], tmp_path: Path, what: str) -> None:
    def told(line: str) -> None:
        assert leaking.stdin and leaking.stdout
        leaking.stdin.write(f"{line}\n")
        leaking.stdin.flush()
        assert leaking.stdout.readline() == "done\n"

    told("nothing")
    before = holdings(tmp_path)
    told("nothing")
    steady(before, holdings(tmp_path), runs=10)
    told(what)
    with pytest.raises(AssertionError, match=f"process {leaking.pid} .* has grown"):
        steady(before, holdings(tmp_path), runs=10)


def test_a_port_that_is_still_listened_at_is_seen_whoever_else_may_have_it() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        ours = {name: number for name, number in listening().items() if number == port}
        assert len(ours) == 1
        copy = server.dup()  # as a child has it that was forked while it was open
        server.close()
        with copy, pytest.raises(AssertionError, match=rf"still listened at: \[{port}\]"):
            free_again(ours)
    with socket.create_server(("127.0.0.1", port)):
        free_again(ours)


def test_files_that_nobody_knows_are_seen(tmp_path: Path) -> None:
    data, scratch = tmp_path / "data", tmp_path / "tmp"
    blob = data / "blobs" / "ab" / ("ab" * 32)
    for folder in (blob.parent, scratch):
        folder.mkdir(parents=True)
    for name in ("runs.db", "runs.db-wal", "runs-jobs.lock"):
        (data / name).touch()
    blob.touch()
    files_left(data, scratch, killed=0)
    (scratch / "of-somebody").touch()
    files_left(data, scratch, killed=1)
    with pytest.raises(AssertionError, match=r"only 0 were killed: .*of-somebody"):
        files_left(data, scratch, killed=0)
    (scratch / "of-somebody").unlink()
    (blob.parent / "tmp1234").touch()
    with pytest.raises(AssertionError, match="tmp1234"):
        files_left(data, scratch, killed=0)
    (blob.parent / "tmp1234").rename(data / "strange")
    with pytest.raises(AssertionError, match=r"nobody knows: .*strange"):
        files_left(data, scratch, killed=9)


def test_a_process_that_was_left_is_seen_by_any_of_its_traces(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "WHERE": str(tmp_path / "data")}
    with (
        subprocess.Popen(["sleep", "99"], cwd=tmp_path) as one,
        subprocess.Popen(["sleep", "99"], cwd="/", env=environment) as other,
    ):
        deadline = time.monotonic() + 60
        while processes(tmp_path).keys() != {one.pid, other.pid}:
            assert time.monotonic() < deadline, processes(tmp_path)
        one.kill()
        other.kill()
    assert not processes(tmp_path)
