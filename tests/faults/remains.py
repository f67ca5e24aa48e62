"""What those who work hold while they live, and what is left of them: memory, descriptors, ports, threads, files."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_MEGABYTES = {"server": 330, "worker": 300, "kernel": 220, "sandbox": 120}
"""Private resident memory of one process after a round; about half as much again as it was found to be."""
LISTENS = {"server": 2, "worker": 0, "kernel": 7, "sandbox": 0}
"""So many TCP ports a process may listen on; a server: for people, and for other programs of this machine that ask its
pages."""
KINDS = {
    "sandbox": ("supervisor", "bwrap", "rootdrop"),
    "kernel": ("ipykernel",),
    "server": ("jupyter-server", "jupyter server"),
    "worker": ("agent_kernel worker",),
}
"""By words of their commands."""
SERVER = re.compile(r"pages/\d+-[0-9a-f]{8}\.json")
"""Where a server is reached by other programs, until it ends or the next one finds it was killed."""
KEPT = re.compile(
    r"runs(-jobs)?\.(db(-wal|-shm|\.lock)?|lock)|blobs/[0-9a-f]{2}/[0-9a-f]{64}|sandboxes/s-[^/]+/.*|secrets(/.*)?"
)
"""What is to lie in a data folder."""
NOT_OURS = {"node-compile-cache"}
HALF = re.compile(r"(^|/)(tmp[^/]*|[^/]*\.(tmp|part|partial)[^/]*|[0-9a-f]{64}[^/]*\.[0-9a-f]{8})$")
"""What is still being written has such a name, everywhere."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one process. `memory` in MiB, private and resident."""

    kind: str
    memory: float
    descriptors: Counter[str]
    """By what they lead to."""
    ports: Mapping[str, int]
    """Where it listens, by the socket: another program may be given the number as soon as it is free."""
    threads: int
    children: int

    def more_than(self, earlier: Holding) -> dict[str, float]:
        """What has grown."""
        return {
            "memory": round(self.memory - earlier.memory, 1),
            "descriptors": self.descriptors.total() - earlier.descriptors.total(),
            "ports": len(self.ports) - len(earlier.ports),
            "threads": self.threads - earlier.threads,
            "children": self.children - earlier.children,
        }


def processes(folder: Path) -> dict[int, str]:
    """Processes that have to do with the folder: by command line, environment, working directory or mounts."""
    wanted, found = os.fsencode(folder), {}
    for process in Path("/proc").glob("[0-9]*"):
        command = _told(process / "cmdline")
        told = [command, *(_told(process / name) for name in ("environ", "cwd", "mountinfo"))]
        if any(wanted in part for part in told) and int(process.name) != os.getpid():
            found[int(process.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")[:300]
    return found


def kind_of(command: str) -> str:
    return next((kind for kind, words in KINDS.items() if any(word in command for word in words)), "other")


def holdings(folder: Path) -> dict[int, Holding]:
    """Of all who work for the folder now."""
    sockets = listening()
    found = {}
    for pid, command in processes(folder).items():
        with contextlib.suppress(OSError, KeyError):  # it has ended meanwhile, or is about to
            found[pid] = _holding(pid, kind_of(command), sockets)
    return found


def _holding(pid: int, kind: str, sockets: Mapping[str, int]) -> Holding:
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    links = []
    for descriptor in (proc / "fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(descriptor))
    children = (proc / "task" / str(pid) / "children").read_text().split()
    return Holding(
        kind,
        int(status["RssAnon"].split()[0]) / 1024,
        Counter(re.sub(r"\[?\d+\]?", "", link) for link in links),
        {link: sockets[link] for link in links if link in sockets},
        int(status["Threads"]),
        len(children),
    )


def listening() -> dict[str, int]:
    """The port of each socket that listens, by what a descriptor of it leads to."""
    found = {}
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                part = line.split()
                if part[3] == "0A":
                    found[f"socket:[{part[9]}]"] = int(part[1].rpartition(":")[2], 16)
    return found


def modest(held: Iterable[Holding]) -> None:
    """Nobody has grown without bound, or listens where nobody asked for it."""
    for one in held:
        if one.kind != "other":
            assert one.memory < MOST_MEGABYTES[one.kind], f"grown: {one}"
            assert len(one.ports) <= LISTENS[one.kind], f"listens: {one}"


def free_again(ports: Mapping[str, int]) -> None:
    """Nobody listens at these sockets any more, whoever they were handed on to."""
    now = listening()
    still = sorted(port for socket, port in ports.items() if socket in now)
    assert not still, f"still listened at: {still}"


def files_left(data: Path, scratch: Path, *, killed: int) -> None:
    """In the data folder only what is to be there, in the scratch folder nothing, and nothing mounted.

    Whoever is killed may leave the one file that was just being written; more is a leak.
    """
    names = [str(path.relative_to(data)) for path in data.rglob("*") if not path.is_dir()]
    half = [name for name in names if HALF.search(name)]
    half += [path.name for path in scratch.iterdir() if path.name not in NOT_OURS]
    servers = [name for name in names if SERVER.fullmatch(name)]
    assert len(servers) <= min(1, killed), f"those of servers before the last are removed: {servers}"
    strange = [name for name in names if not KEPT.fullmatch(name) and name not in (*half, *servers)]
    assert not strange, f"files that nobody knows: {strange[:20]}"
    assert len(half) <= killed, f"half written, though only {killed} were killed: {half[:20]}"
    mounted = [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if str(data) in line and f" {data.parent} " not in line
    ]  # fmt: skip
    assert not mounted, mounted


def _told(path: Path) -> bytes:
    """Nothing where we may not look, or where nobody is any more."""
    try:
        return os.fsencode(os.readlink(path)) if path.name == "cwd" else path.read_bytes()
    except OSError:
        return b""
