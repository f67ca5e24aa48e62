"""The bubblewrap command: what of the host is visible, and how."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.sandbox import guards
from agent_kernel.sandbox.base import Limits
from agent_kernel.sandbox.environment import HOME, SESSION, WORKSPACE, PythonTree

INNER_UID = 1000
DROPPED_UID = 61_000
"""The user a root host becomes: one that owns nothing on the host."""
SUPERVISOR = "/run/agent-kernel/supervisor.py"
_ETC = (
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/ca-trust", "/etc/fonts",
    "/etc/localtime", "/etc/mime.types", "/etc/bash.bashrc", "/etc/profile", "/etc/terminfo", "/etc/matplotlibrc",
)  # fmt: skip
_OPT = ("/opt/google/chrome", "/opt/chromium.org/chromium")


@dataclass(frozen=True, slots=True)
class Binds:
    """Folders shown inside: workspace and session to write, those of Python to read; see guards.py for what in
    the workspace is not the agent's."""

    workspace: Path
    session: Path
    python: PythonTree

    def pairs(self) -> list[tuple[str, str, bool]]:
        """(source, place inside, writable), in the order of mounting."""
        trees = [(folder, folder, False) for folder in self.python.folders()]
        kept = guards.read_only(self.workspace, self.python.folders())
        browsers = Path("~/.cache/ms-playwright").expanduser()
        if browsers.is_dir():  # a person without root has Chromium from there
            trees.append((str(browsers), "/opt/ms-playwright", False))
        return [
            *trees,
            (str(self.workspace), WORKSPACE, True),
            *((str(path), self._inside(path), writable) for path, writable in kept),
            (str(self.session), SESSION, True),
        ]

    def covers(self) -> list[str]:
        """Options that put something empty over what is hidden."""
        argv: list[str] = []
        for path in guards.hidden(self.workspace, self.session.parent):
            place = self._inside(path)
            if path.is_dir():
                argv += ["--size", "4096", "--tmpfs", place, "--remount-ro", place]
            else:
                argv += ["--ro-bind", "/dev/null", place]
        return argv

    def _inside(self, path: Path) -> str:
        return f"{WORKSPACE}/{path.relative_to(self.workspace)}"


def command(
    binds: Binds,
    limits: Limits,
    descriptors: dict[str, int],
    config: dict[str, object],
    *,
    bwrap: str,
    drop_root: Path | None,
) -> list[str]:
    """The whole command line. `descriptors` holds `passwd`, `group`, `hosts`, `supervisor` and
    `seccomp`.

    With `drop_root` (an empty folder) the host is root: see rootdrop.py.
    """
    pairs = binds.pairs()
    sources = [source for source, _, _ in pairs]
    if drop_root is not None:
        sources = [str(drop_root / str(index)) for index in range(len(pairs))]
    argv = [bwrap, *_namespaces(), *_system(limits)]
    for source, (_, place, writable) in zip(sources, pairs, strict=True):
        argv += ["--bind" if writable else "--ro-bind", source, place]
    argv += [
        *binds.covers(),
        "--ro-bind-data", str(descriptors["passwd"]), "/etc/passwd",
        "--ro-bind-data", str(descriptors["group"]), "/etc/group",
        "--ro-bind-data", str(descriptors["hosts"]), "/etc/hosts",
        "--ro-bind-data", str(descriptors["supervisor"]), SUPERVISOR,
        "--chdir", WORKSPACE,
        "--seccomp", str(descriptors["seccomp"]),
        "--remount-ro", "/",
        "--", binds.python.executable, "-I", "-S", SUPERVISOR, json.dumps(config),
    ]  # fmt: skip
    if drop_root is None:
        return argv
    order = {
        "uid": DROPPED_UID,
        "root": str(drop_root),
        "binds": [[source, writable] for source, _, writable in pairs],
    }
    rootdrop = str(Path(__file__).with_name("rootdrop.py"))
    return [sys.executable, "-I", "-S", rootdrop, json.dumps(order), "--", *argv]


def _namespaces() -> list[str]:
    return [
        "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net",
        "--unshare-cgroup-try", "--disable-userns", "--uid", str(INNER_UID), "--gid", str(INNER_UID),
        "--hostname", "sandbox", "--as-pid-1", "--new-session", "--cap-drop", "ALL", "--clearenv",
    ]  # fmt: skip


def _system(limits: Limits) -> list[str]:
    """`/usr` and a few files of `/etc` to read; everything that can be written has a size."""
    argv = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = f"/{name}"
        if os.path.islink(path):
            argv += ["--symlink", os.readlink(path).lstrip("/"), path]
        elif os.path.isdir(path):
            argv += ["--ro-bind", path, path]
    for path in (*_ETC, *_OPT):
        argv += ["--ro-bind-try", path, path]
    return [
        *argv,
        "--proc", "/proc",
        "--dev", "/dev",
        "--size", str(256 << 20), "--tmpfs", "/dev/shm",
        "--size", str(limits.tmp_size), "--tmpfs", "/tmp",
        "--size", str(16 << 20), "--tmpfs", "/run",
        "--dir", "/home",
        "--size", str(256 << 20), "--tmpfs", HOME,
    ]  # fmt: skip


def passwd() -> bytes:
    return f"agent:x:{INNER_UID}:{INNER_UID}::{HOME}:/bin/bash\n".encode()


def hosts() -> bytes:
    """Development servers ask what `localhost` is; the host's own file may name what is nobody's business."""
    return b"127.0.0.1 localhost\n::1 localhost\n"


def group() -> bytes:
    return f"agent:x:{INNER_UID}:\n".encode()
