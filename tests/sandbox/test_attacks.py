"""Ways out of a sandbox, each with a live canary. Behind the walls none works; the control, the same code without
walls, must work, or not reaching the canary would mean nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_kernel.sandbox import open_sandbox, probe
from agent_kernel.sandbox.base import Sandbox

TIERS = [report.tier for report in probe() if report.available]
CANARY = "canary-of-the-attacks-5b1e"
LIBC = "import ctypes, os, socket, sys; libc = ctypes.CDLL(None, use_errno=True)\n"

ATTACKS = {
    "read a file of the host": "print(open('{outside}/secret').read())",
    "read it through a link": "os.symlink('{outside}/secret', 'l1'); print(open('l1').read())",
    "read it through a folder swapped for a link": "os.symlink('{outside}', 'l2'); print(open('l2/secret').read())",
    "read it through /proc/PID/root": "print(open('/proc/{victim}/root{outside}/secret').read())",
    "read another process's environment": "print(open('/proc/{victim}/environ').read())",
    "see another process's command": "print(open('/proc/{victim}/cmdline').read())",
    "write a file of the host": "open('{outside}/owned', 'w').close(); print('{canary}')",
    "change a mode of the host": (
        "os.chmod('{outside}/mode', 0o666); assert os.stat('{outside}/mode').st_mode & 0o777 == 0o666; "
        "print('{canary}')"
    ),
    "make a hard link to it": "os.link('{outside}/secret', 'hard'); print(open('hard').read())",
    "signal a process of the host": "os.kill({victim}, 0); print('{canary}')",
    "trace a process of the host": (
        "assert libc.ptrace(16, {victim}, 0, 0) == 0; os.waitpid({victim}, 0x40000000); "
        "libc.ptrace(17, {victim}, 0, 0); print('{canary}')"
    ),
    "read a process's memory": "open('/proc/{victim}/mem', 'rb').close(); print('{canary}')",
    "reach a port of the host": "s = socket.create_connection(('127.0.0.1', {port}), 20); print(s.recv(99).decode())",
    "reach it by UDP": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); "
        "s.connect(('127.0.0.1', {udp})); s.send(b'x'); print(s.recv(99).decode())"
    ),
    "reach a Unix socket of the host": (
        "s = socket.socket(socket.AF_UNIX); s.connect('{outside}/s'); print(s.recv(99).decode())"
    ),
    "reach an abstract socket": (
        "s = socket.socket(socket.AF_UNIX); s.connect('\\0{abstract}'); print(s.recv(99).decode())"
    ),
    "leave a set-uid file": (
        "open('s', 'w').close(); os.chmod('s', 0o4755); assert os.stat('s').st_mode & 0o4000; print('{canary}')"
    ),
    "memory that nobody counts": "os.memfd_create('x'); print('{canary}')",
}
AS_ROOT = {
    "a device": "os.mknod('dev', 0o20600, os.makedev(1, 3)); print('{canary}')",
    "another root": "os.mkdir('r'); os.chroot('r'); print('{canary}')",
    "a mount namespace": "assert libc.unshare(0x20000) == 0; print('{canary}')",
    "settings of the kernel": "open('/proc/sys/kernel/core_pattern', 'r+').close(); print('{canary}')",
    "another user": "os.setuid(12345); print('{canary}')",
}
"""What works without walls for root alone."""
ANYWHERE = {
    "a user namespace": "assert libc.unshare(0x10000000) == 0; print('{canary}')",
    "vsock": "socket.socket(40, socket.SOCK_STREAM); print('{canary}')",
    "io_uring": "assert libc.syscall(425, 1, ctypes.create_string_buffer(256)) >= 0; print('{canary}')",
    "bpf": "assert libc.syscall(321, 0, ctypes.create_string_buffer(128), 72) >= 0; print('{canary}')",
    "userfaultfd": "assert libc.syscall(323, 0) >= 0; print('{canary}')",
    "keyrings": "assert libc.syscall(250, 0, -3, 1, 0, 0) >= 0; print('{canary}')",
    "raw sockets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print('{canary}')",
}
"""What kernels may refuse to everybody: without walls it may work or not."""


@dataclass(frozen=True)
class Outside:
    """What there is to be reached."""

    folder: Path
    victim: int
    port: int
    udp: int
    abstract: str

    def code(self, attack: str) -> str:
        places = {
            "{outside}": str(self.folder), "{victim}": str(self.victim), "{port}": str(self.port),
            "{udp}": str(self.udp),            "{abstract}": self.abstract, "{canary}": CANARY,
        }  # fmt: skip
        for name, value in places.items():
            attack = attack.replace(name, value)
        return LIBC + attack


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret").write_text(CANARY)
    (folder / "mode").touch(0o600)
    abstract = f"agent-kernel-{os.getpid()}"
    servers = [
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_UNIX),
        socket.socket(socket.AF_UNIX),
    ]
    servers[1].bind(str(folder / "s"))
    servers[2].bind(f"\0{abstract}")
    for server in servers:
        server.listen()
        threading.Thread(target=_greet, args=(server,), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    threading.Thread(target=_echo, args=(udp,), daemon=True).start()
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)", CANARY]
    with subprocess.Popen(command, env={**os.environ, "TOKEN": CANARY}, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        victim.stdout.readline()
        yield Outside(folder, victim.pid, servers[0].getsockname()[1], udp.getsockname()[1], abstract)
        victim.kill()
    for server in [*servers, udp]:
        server.close()


def _greet(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(CANARY.encode())


def _echo(server: socket.socket) -> None:
    while True:
        try:
            _, sender = server.recvfrom(99)
            server.sendto(CANARY.encode(), sender)
        except OSError:
            return


async def reached(sandbox: Sandbox, outside: Outside, attacks: dict[str, str]) -> set[str]:
    """The attacks that got to their canary."""

    async def works(attack: str) -> bool:
        result = await sandbox.exec([sys.executable, "-c", outside.code(attack)], timeout=60)
        return CANARY in result.stdout

    found = [await works(attack) for attack in attacks.values()]  # one traces what another signals
    return {name for name, worked in zip(attacks, found, strict=True) if worked}


@pytest.mark.parametrize("tier", TIERS)
async def test_no_attack_gets_out(tier: str, outside: Outside, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    opened = await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / "data", tier=tier)  # type: ignore[arg-type]
    async with opened:
        assert (await opened.exec([sys.executable, "-c", LIBC + "print('alive')"])).stdout == "alive\n"
        got = await reached(opened, outside, ATTACKS | AS_ROOT | ANYWHERE)
    assert got == set()
    assert not (outside.folder / "owned").exists()


async def test_without_the_walls_every_attack_gets_there(outside: Outside, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    opened = await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / "data", allow_unsafe=True)
    wanted = ATTACKS | (AS_ROOT if os.geteuid() == 0 else {})
    async with opened:
        assert opened.tier == "none"
        assert await reached(opened, outside, wanted) == set(wanted)
    (outside.folder / "owned").unlink()
    (outside.folder / "mode").chmod(0o600)
