"""The tiers of the local sandbox: which can run here, and how its supervisor is started in each."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from agent_kernel.sandbox import bubblewrap, landlock, seatbelt, seccomp
from agent_kernel.sandbox.base import Limits, Tier
from agent_kernel.sandbox.environment import HOME, SESSION, WORKSPACE, PythonTree

HERE = Path(__file__).parent
PROBE_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class TierReport:
    """Whether a tier can run here; `reason` says why not, and what would help."""

    tier: Tier
    available: bool
    reason: str = ""


class Launcher(Protocol):
    tier: Tier

    def workdir(self, workspace: Path) -> str: ...

    def launch(
        self,
        workspace: Path,
        session: Path,
        tree: PythonTree,
        limits: Limits,
        config: dict[str, Any],
        errors: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Start the supervisor. `config["frames"]` and `config["sockets"]` are descriptors to hand on."""
        ...


class BubblewrapLauncher:
    """Namespaces, a read-only system, a system-call filter. As root it gives root up first."""

    tier: Tier = "bubblewrap"

    def workdir(self, workspace: Path) -> str:
        return WORKSPACE

    def launch(
        self,
        workspace: Path,
        session: Path,
        tree: PythonTree,
        limits: Limits,
        config: dict[str, Any],
        errors: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        config = {**config, "writable": [WORKSPACE, SESSION, HOME, "/tmp", "/dev/shm"]}  # noqa: S108
        binds = bubblewrap.Binds(workspace, session, tree)
        given = {
            "passwd": bubblewrap.passwd(),
            "group": bubblewrap.group(),
            "hosts": bubblewrap.hosts(),
            "supervisor": (HERE / "supervisor.py").read_bytes(),
            "seccomp": seccomp.program(),
        }
        with _memory_files(given) as descriptors:
            command = bubblewrap.command(
                binds, limits, descriptors, config, bwrap=_bwrap(), drop_root=_root_folder()
            )
            return _start(command, config, errors, tuple(descriptors.values()))


class ProgramLauncher:
    """A program that restricts itself and then becomes the supervisor (Landlock), or one around it."""

    def __init__(self, tier: Tier) -> None:
        self.tier: Tier = tier

    def workdir(self, workspace: Path) -> str:
        return str(workspace)

    def launch(
        self,
        workspace: Path,
        session: Path,
        tree: PythonTree,
        limits: Limits,
        config: dict[str, Any],
        errors: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Paths inside are the host's own here: what the environment says of `/session` is rewritten."""
        scratch = session / "tmp"
        scratch.mkdir(exist_ok=True)
        renamed = {
            name: value.replace(SESSION, str(session)) if name != "HOME" else str(scratch)
            for name, value in config["env"].items()
        }
        renamed["TMPDIR"] = str(scratch)
        writable = [str(workspace), str(session)]
        config = {**config, "env": renamed, "writable": writable}
        supervisor = [tree.executable, "-I", "-S", str(HERE / "supervisor.py"), json.dumps(config)]
        if self.tier == "landlock":
            order = landlock.order(tree, writable, str(HERE))
            command = [
                tree.executable,
                "-I",
                "-S",
                str(HERE / "landlock.py"),
                json.dumps(order),
                "--",
                *supervisor,
            ]
        elif self.tier == "seatbelt":
            command = [
                "/usr/bin/sandbox-exec",
                "-p",
                seatbelt.profile(writable, [*tree.folders(), str(HERE)]),
                *supervisor,
            ]
        else:
            command = supervisor
        return _start(command, config, errors)


def _start(
    command: list[str], config: dict[str, Any], errors: IO[bytes], more: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"},
        cwd="/",
        pass_fds=(config["frames"], config["sockets"], *more),
        start_new_session=True,
    )


@contextmanager
def _memory_files(given: dict[str, bytes]) -> Iterator[dict[str, int]]:
    descriptors: dict[str, int] = {}
    try:
        for name, data in given.items():
            descriptors[name] = os.memfd_create(name)
            os.write(descriptors[name], data)
            os.lseek(descriptors[name], 0, os.SEEK_SET)
        yield descriptors
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _root_folder() -> Path | None:
    """Where rootdrop may mount, seen by nobody else; None when this process is not root."""
    if os.geteuid() != 0:
        return None
    return next(Path(path) for path in ("/mnt", "/media", "/srv", "/opt") if os.path.isdir(path))


def _bwrap() -> str:
    return shutil.which("bwrap") or "/usr/bin/bwrap"


# -- what can run here ---------------------------------------------------------------------------------


@cache
def probe() -> tuple[TierReport, ...]:
    """The tiers of this machine, best first. Tried for real, once per process."""
    if sys.platform == "darwin":
        return (seatbelt_report(),)
    if sys.platform != "linux":
        reason = f"{platform.system()} has no sandbox here; use Linux, macOS, or WSL 2 on Windows."
        return (TierReport("bubblewrap", False, reason),)
    return (_bubblewrap_report(), landlock_report())


def _bubblewrap_report() -> TierReport:
    if not seccomp.supported():
        return TierReport("bubblewrap", False, f"no system-call filter for {platform.machine()}")
    if shutil.which("bwrap") is None:
        return TierReport("bubblewrap", False, "bubblewrap is not installed: apt install bubblewrap")
    with tempfile.TemporaryDirectory() as folder:
        problem = _tried(BubblewrapLauncher(), Path(folder).resolve())
    if "ermission" in problem or "not permitted" in problem:
        problem += " (user namespaces are refused here; in a container they must be allowed)"
    return TierReport("bubblewrap", not problem, problem)


def landlock_report() -> TierReport:
    version = landlock.abi()
    if version < landlock.OLDEST or not seccomp.supported():
        return TierReport("landlock", False, "this kernel has no usable Landlock (Linux 6.2 or newer has)")
    with tempfile.TemporaryDirectory() as folder:
        problem = _tried(ProgramLauncher("landlock"), Path(folder))
    known = f"ABI {version}; no network, weaker than bubblewrap"
    if version < 6:
        known += "; it can signal your other processes"
    return TierReport("landlock", not problem, problem or known)


def seatbelt_report() -> TierReport:
    there = Path("/usr/bin/sandbox-exec").exists()
    return TierReport("seatbelt", there, "" if there else "sandbox-exec is missing")


def _tried(launcher: Launcher, folder: Path) -> str:
    """Empty when a supervisor really starts; else what it said."""
    import socket

    from agent_kernel.sandbox.environment import python_tree
    from agent_kernel.sandbox.supervisor import HEADER

    session = folder / "session"
    session.mkdir()
    ours, theirs = socket.socketpair()
    handed, handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    config = {"env": {}, "workdir": launcher.workdir(folder), "rlimits": {}, "memory": 1 << 40, "growth": 1 << 50,
              "reserve": 0, "frames": theirs.fileno(), "sockets": handing.fileno()}  # fmt: skip
    with ours, handed, tempfile.TemporaryFile() as errors:
        try:
            process = launcher.launch(folder, session, python_tree(), Limits(), config, errors)
        except OSError as error:
            return str(error)
        finally:
            theirs.close()
            handing.close()
        ours.settimeout(PROBE_TIMEOUT)
        try:
            ready = len(ours.recv(HEADER.size)) == HEADER.size
        except OSError:
            ready = False
        ours.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").strip().splitlines()
        return "" if ready else (said[-1] if said else "it did not start")


def launcher_for(tier: Tier) -> Launcher:
    return BubblewrapLauncher() if tier == "bubblewrap" else ProgramLauncher(tier)
