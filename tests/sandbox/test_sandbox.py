"""What the local tiers have beyond the contract (test_contract.py), and the attacks the walls must stand."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxDenied, SandboxError, SandboxLimit, SandboxNotFound
from agent_kernel.sandbox import local, open_sandbox, probe, supervisor
from agent_kernel.sandbox.base import Limits, Sandbox, Tier
from tests.sandbox.conftest import eventually

TIERS = [report.tier for report in probe() if report.available]
SECRET = "canary-7f3a9c"


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> Tier:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def sandbox(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    monkeypatch.setenv("HOST_SECRET", SECRET)
    workspace = tmp_path / "work"
    workspace.mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    opened = await open_sandbox(workspace=workspace, data_dir=tmp_path / "data", tier=tier)
    async with opened:
        yield opened


async def python(sandbox: Sandbox, code: str) -> str:
    """What the code prints, errors included."""
    result = await sandbox.exec(["python3", "-c", code], timeout=60)
    return result.stdout + result.stderr


def descendants(parent: int, name: str) -> list[int]:
    """Processes below `parent` whose last argument vector holds a program called `name` and start with Python."""
    found: list[int] = []
    for child in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
        argv = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if any(part.endswith(name.encode()) for part in argv[:4]) and b"python" in argv[0]:
            found.append(child)
        found += descendants(child, name)
    return found


def test_at_least_one_tier_runs_here() -> None:
    assert TIERS, probe()


# -- commands ------------------------------------------------------------------------------------------


async def test_it_starts_again_after_it_was_stopped_or_has_died(tmp_path: Path, sandbox: Sandbox) -> None:
    await sandbox.stop()
    assert (await sandbox.exec("echo again")).stdout == "again\n"
    (inside,) = descendants(os.getpid(), "supervisor.py")
    os.kill(inside, signal.SIGKILL)
    dying = await sandbox.exec("sleep 20")  # it may notice only with the answer that never comes
    assert dying.exit_code == -9 or dying.error
    assert (await sandbox.exec("echo back")).stdout == "back\n"


@pytest.mark.parametrize("command", ["sleep 600", "setsid sleep 600 >/dev/null 2>&1 & exit"])
async def test_what_was_left_running_keeps_it_in_use_until_that_has_ended(
    sandbox: Sandbox, command: str
) -> None:
    await sandbox.exec(command, background=True)
    await asyncio.sleep(0.5)
    before = time.monotonic()
    assert await sandbox.idle() == 0.0
    await sandbox.kill()
    async with asyncio.timeout(30):
        while not await sandbox.idle():  # noqa: ASYNC110 - what ends is another process
            await asyncio.sleep(0.05)
    assert await sandbox.idle() <= time.monotonic() - before, "it was in use until then"
    assert await sandbox.idle() > 0, "nothing is asked of it by that"


async def test_one_that_does_not_answer_is_taken_to_be_in_use(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LONGEST_ASKED", 0.2)
    await sandbox.exec("sleep 600", background=True)
    (inside,) = descendants(os.getpid(), "supervisor.py")
    os.kill(inside, signal.SIGSTOP)
    try:
        assert await sandbox.idle() == 0.0
    finally:
        os.kill(inside, signal.SIGCONT)


OTHER = """
import asyncio, sys
from pathlib import Path
from agent_kernel.sandbox import open_sandbox

async def main():
    box = await open_sandbox(workspace=Path(sys.argv[1]), data_dir=Path(sys.argv[2]), id=sys.argv[3], tier=sys.argv[4])
    await box.start()
    print("open", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_what_another_program_has_open_is_not_emptied(tmp_path: Path, sandbox: Sandbox) -> None:
    at = [str(tmp_path / "work"), str(tmp_path / "data"), sandbox.id, sandbox.tier]
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", OTHER, *at], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        try:
            assert await asyncio.to_thread(other.stdout.readline) == "open\n"
            for empty in (sandbox.free, sandbox.delete):
                with pytest.raises(SandboxError, match="Another program has the sandbox"):
                    await empty()
            assert (await sandbox.exec("echo both")).stdout == "both\n", "to work side by side is fine"
        finally:
            other.kill()
    await sandbox.free()
    await sandbox.delete()
    assert (await sandbox.exec("echo new")).stdout == "new\n"


# -- ports ---------------------------------------------------------------------------------------------

BUSY = """
import os, socket
kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
listener = socket.create_server(("127.0.0.1", 0))
print(os.fstat(listener.fileno()).st_ino, flush=True)
while True:
    for fd in kept:
        os.close(fd)
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
"""


def test_a_socket_is_seen_while_its_process_closes_other_files() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None
        try:
            inode = busy.stdout.readline().strip()
            seen = [inode in supervisor.sockets_of(busy.pid) for _ in range(1_000)]  # type: ignore[no-untyped-call]
            assert all(seen)
        finally:
            busy.kill()


FEW_PORTS = """
import contextlib, socket
from agent_kernel.sandbox import outpost, supervisor
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("40000 40015")
found = []
for _ in range(100):
    with contextlib.suppress(OSError):
        found.append(supervisor.connected(40_000))
    with contextlib.suppress(OSError):
        found.append(outpost.port({"port": 40_000}, b""))
with socket.create_server(("127.0.0.1", 40_000)):
    found += [supervisor.connected(40_000).getpeername(), outpost.port({"port": 40_000}, b"")]
print(found)
"""


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="needs a network of its own")
def test_a_connection_to_a_port_where_nobody_listens_does_not_meet_itself() -> None:
    """The system gives connections ports of their own, and now and then the very one that is asked for."""
    alone = [
        "bwrap",
        "--unshare-user",
        "--unshare-net",
        "--uid",
        "0",
        "--gid",
        "0",
        "--cap-add",
        "CAP_NET_ADMIN",
    ]
    program = ["--dev-bind", "/", "/", "--proc", "/proc", sys.executable, "-c", FEW_PORTS]
    done = subprocess.run([*alone, *program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[('127.0.0.1', 40000), {}]\n", done.stderr


# -- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/cron.d/x", "../outside.txt", "/root/x", "/proc/self/mem", "link/x"])
async def test_writes_stay_in_the_places_made_for_writing(
    sandbox: Sandbox, tmp_path: Path, path: str
) -> None:
    (tmp_path / "work" / "link").symlink_to(tmp_path)
    with pytest.raises(SandboxError):
        await sandbox.write(path, b"x")
    assert not (tmp_path / "outside.txt").exists()
    assert not (tmp_path / "x").exists()


async def test_reads_do_not_follow_links_out(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "work" / "link").symlink_to(tmp_path / "secret.txt")
    with pytest.raises((SandboxDenied, SandboxNotFound)):
        await sandbox.read("link")


async def test_a_full_disk_is_a_limit_with_the_name_of_the_file(tier: Tier, tmp_path: Path) -> None:
    limits = Limits(tmp_size=8 << 20, file_size=8 << 20)
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "d", tier=tier, limits=limits)
    async with opened:
        with pytest.raises(SandboxLimit, match=r"big\.bin"):
            await opened.write("/tmp/big.bin" if tier == "bubblewrap" else "big.bin", bytes(40 << 20))
        left = await opened.exec("ls -A /tmp" if tier == "bubblewrap" else "ls -A")
        assert "big" not in left.stdout, "no half file stays (Python's own folder may be seen there)"


# -- attacks -------------------------------------------------------------------------------------------


async def test_secrets_of_the_host_are_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    tries = (
        f"cat {tmp_path}/secret.txt; env; cat /etc/shadow; cat /proc/*/environ; cat /root/.ssh/*; "
        f"cat {Path.home()}/.bash_history; find / -name secret.txt -exec cat {{}} +"
    )
    result = await sandbox.exec(tries, timeout=30)
    assert SECRET not in result.stdout + result.stderr
    assert "root:" not in result.stdout


async def test_nothing_outside_can_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "secret.txt"
    await sandbox.exec(
        f"echo owned > {target}; rm -rf {tmp_path}/secret.txt; echo x > /usr/bin/owned; touch /etc/owned"
    )
    assert target.read_text() == SECRET
    assert not Path("/usr/bin/owned").exists()
    assert not Path("/etc/owned").exists()


async def test_the_host_cannot_be_signalled_or_traced(sandbox: Sandbox) -> None:
    said = await python(
        sandbox,
        f"import os, ctypes\ntry:\n os.kill({os.getpid()}, 0); print('SIGNALLED')\nexcept OSError as e: print(e)\n"
        f"print('traced' if ctypes.CDLL(None).ptrace(16, {os.getpid()}, 0, 0) == 0 else 'no trace')",
    )
    assert "SIGNALLED" not in said
    assert "no trace" in said


async def test_unix_sockets_of_the_host_cannot_be_reached(sandbox: Sandbox, tmp_path: Path) -> None:
    """Docker, D-Bus and the rest: who reaches one of those is outside."""
    server = await asyncio.start_unix_server(lambda r, w: w.write(b"REACHED"), str(tmp_path / "s"))
    said = await python(
        sandbox,
        f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(tmp_path / 's')!r}); print(s.recv(9))",
    )
    server.close()
    assert "REACHED" not in said
    assert "Error" in said


async def test_modes_and_owners_of_files_outside_stay(sandbox: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "secret.txt"
    target.chmod(0o600)
    await python(sandbox, f"import os; os.chmod({str(target)!r}, 0o666)")
    await sandbox.exec(f"chmod 666 {target}; chgrp $(id -g) {target}; setfattr -n user.x -v y {target}")
    assert target.stat().st_mode & 0o777 == 0o600


async def test_there_is_no_network(sandbox: Sandbox) -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    said = await python(
        sandbox,
        "import socket\n"
        f"for host, port in (('127.0.0.1', {port}), ('169.254.169.254', 80), ('1.1.1.1', 53)):\n"
        "    try:\n        socket.create_connection((host, port), 2); print('REACHED', host)\n"
        "    except OSError as error: print(error)\n"
        "try:\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 53))\n"
        "except OSError as error: print(error)\n",
    )
    server.close()
    assert "REACHED" not in said


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("vsock", "import socket; socket.socket(40, socket.SOCK_STREAM)"),
        ("raw", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
        (
            "namespace",
            "import ctypes, os; r = ctypes.CDLL(None, use_errno=True).unshare(0x10000000); assert r == 0",
        ),
        ("mount", "import ctypes; assert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0"),
        (
            "io_uring",
            "import ctypes; assert ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(256)) >= 0",
        ),
        ("bpf", "import ctypes; assert ctypes.CDLL(None).syscall(321, 0, 0, 0) >= 0"),
        ("memfd", "import os; os.memfd_create('uncounted')"),
        ("chroot", "import os; os.chroot('.')"),
        (
            "setuid",
            "import os; open('s', 'w').close(); os.chmod('s', 0o4755); assert os.stat('s').st_mode & 0o4000",
        ),
        ("device", "import os; os.mknod('d', 0o60600, os.makedev(8, 0))"),
    ],
)
async def test_the_kernel_refuses(sandbox: Sandbox, what: str, code: str) -> None:
    result = await sandbox.exec(["python3", "-c", code + "; print('WORKED')"], timeout=60)
    assert "WORKED" not in result.stdout, what
    assert result.exit_code != 0


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="needs a PID namespace of its own")
async def test_too_many_processes_end_in_an_error_and_not_in_a_dead_host(tmp_path: Path) -> None:
    limits = Limits(processes=60)
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "d", tier="bubblewrap", limits=limits)
    async with opened:
        result = await opened.exec("for i in $(seq 300); do sleep 5 & done; echo started", timeout=8)
        assert "Resource temporarily unavailable" in result.stderr
        assert (await opened.exec("echo alive", timeout=15)).stdout == "alive\n"


async def test_memory_is_bounded(tier: Tier, tmp_path: Path) -> None:
    limits = Limits(memory=300 << 20)
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "d", tier=tier, limits=limits)
    async with opened:
        result = await opened.exec(["python3", "-c", "x = bytearray(2 << 30); print('GOT IT')"], timeout=60)
        assert "GOT IT" not in result.stdout
        assert "MemoryError" in result.stderr


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="Landlock cannot count the memory of all processes")
@pytest.mark.parametrize(
    "use",
    [
        "import time; x = bytearray(90 << 20); time.sleep(600)",
        "import ctypes as c; l = c.CDLL(None); l.shmat.restype = c.c_void_p; i = l.shmget(0, 90 << 20, 0o1600); "
        "c.memset(l.shmat(i, None, 0), 1, 90 << 20)",
    ],
    ids=["processes left behind", "segments that outlive their process"],
)
async def test_memory_is_bounded_for_all_together_also_when_no_command_runs(tmp_path: Path, use: str) -> None:
    limits = Limits(memory=200 << 20)
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "d", tier="bubblewrap", limits=limits)
    async with opened:
        script = f"touch begun; for i in 1 2 3; do python3 -c '{use}' & done; wait; sleep 6543"
        await opened.exec(f"setsid sh -c {shlex.quote(script)} >/dev/null 2>&1 &", background=True)
        await eventually((tmp_path / "begun").exists)
        async with asyncio.timeout(60):
            while (await opened.exec("pgrep -f '[6]543'")).exit_code != 1:  # noqa: ASYNC110 - 1: there is none
                await asyncio.sleep(0.1)
        gone = "until [ $(wc -l < /proc/sysvipc/shm) = 1 ]; do sleep 0.05; done"  # its heading is left
        assert (await opened.exec(gone, timeout=60)).exit_code == 0


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="needs a limit that is looked at")
async def test_what_fills_the_disk_is_stopped_and_says_why(tmp_path: Path) -> None:
    limits = Limits(workspace_growth=50 << 20)
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "d", tier="bubblewrap", limits=limits)
    async with opened:
        result = await opened.exec("head -c 300000000 /dev/zero > big; sleep 90", timeout=60)
        assert "were written to disk" in result.error
        assert not result.timed_out


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="Landlock cannot take back a part of a folder")
async def test_what_would_run_outside_later_can_only_be_read(tmp_path: Path) -> None:
    """A repository's hooks and settings run with the person's next `git status`; their .venv in their kernel."""
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / ".git" / "config").write_text("[core]\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)  # noqa: ASYNC221
    python = str(tmp_path / ".venv" / "bin" / "python")
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "d", tier="bubblewrap", python=python)
    async with opened:
        attack = (
            "echo evil >> .git/config; echo evil > .git/hooks/pre-commit; rm -rf .git/config; mv .git moved; "
            "for d in .venv/lib/python3*/site-packages; do echo 'import evil' > $d/evil.pth; done; mv .venv moved; "
            "touch .git/index; python3 -c 'import sys; print(sys.prefix)'"
        )
        assert (await opened.exec(attack)).stdout == f"{tmp_path}/.venv\n"
    assert (tmp_path / ".git" / "config").read_text() == "[core]\n"
    assert not list((tmp_path / ".git" / "hooks").iterdir())
    assert (tmp_path / ".git" / "index").exists()
    assert not list((tmp_path / ".venv").rglob("evil.pth"))


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="Landlock cannot take back a part of a folder")
async def test_the_platforms_files_and_a_homes_dot_files_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id").write_text(SECRET)
    (tmp_path / ".netrc").write_text(SECRET)
    (tmp_path / "notes.txt").write_text("seen\n")
    opened = await open_sandbox(workspace=tmp_path, data_dir=tmp_path / "store", tier="bubblewrap")
    async with opened:
        said = await opened.exec("cat notes.txt; ls -A .ssh store; cat .ssh/id .netrc; touch store/x .ssh/x")
        assert "seen" in said.stdout
        assert SECRET not in said.stdout
        assert opened.id not in said.stdout
    assert not (tmp_path / "store" / "x").exists()
    assert (tmp_path / ".netrc").read_text() == SECRET


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="Landlock cannot take back a part of a folder")
@pytest.mark.parametrize("data", [".local/share/jupyter/agent-kernel", "agent-data"])
async def test_a_home_that_holds_the_data_folder_is_a_workspace_and_the_runs_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / data
    (folder / "sandboxes").mkdir(parents=True)
    (folder / "runs.db").write_text(SECRET)
    opened = await open_sandbox(workspace=tmp_path, data_dir=folder / "sandboxes", tier="bubblewrap")
    async with opened:
        said = await opened.exec(f"cat {data}/runs.db; echo x > {data}/runs.db; echo works > made.txt")
        assert SECRET not in said.stdout
    assert (folder / "runs.db").read_text() == SECRET
    assert (tmp_path / "made.txt").read_text() == "works\n"


@pytest.mark.skipif("bubblewrap" not in TIERS, reason="about what bubblewrap shows")
async def test_a_link_in_the_place_of_a_repository_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config").write_text(SECRET)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".git").symlink_to(tmp_path / "out")
    opened = await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / "d", tier="bubblewrap")
    async with opened:
        assert SECRET not in (await opened.exec("cat .git/config; find . -name config | xargs cat")).stdout


# -- without walls ---------------------------------------------------------------------------------------


async def test_the_same_attack_works_without_the_walls(tmp_path: Path) -> None:
    """The control: these canaries can be reached, so not reaching them means something."""
    (tmp_path / "work").mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    opened = await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / "d", allow_unsafe=True)
    async with opened:
        assert opened.tier == "none"
        assert SECRET in (await opened.exec(f"cat {tmp_path}/secret.txt")).stdout


async def test_one_without_walls_ends_nothing_of_another(tmp_path: Path) -> None:
    """Both see all processes of this machine, and count their jobs alike."""
    (tmp_path / "work").mkdir()
    first, second = [
        await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / name, allow_unsafe=True)
        for name in ("one", "two")
    ]
    async with first, second:
        spared = asyncio.create_task(
            first.exec("touch begun; until [ -e ended ]; do sleep 0.1; done; echo spared")
        )
        while not (tmp_path / "work" / "begun").exists():  # noqa: ASYNC110 - a program's
            await asyncio.sleep(0.05)
        assert (await second.exec("sleep 60", timeout=0.3)).timed_out
        (tmp_path / "work" / "ended").touch()
        assert (await spared).stdout == "spared\n"
