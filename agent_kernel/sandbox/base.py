"""What every sandbox offers: the `Sandbox` protocol and the values it speaks in.

Paths are sandbox paths: absolute (`/workspace/a.csv`) or relative to `workdir`. Every file operation
acts inside the sandbox, so that a symlink the agent made never leads out of it.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Literal, Protocol, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

Tier: TypeAlias = Literal["bubblewrap", "landlock", "seatbelt", "daytona", "none"]
Command: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended. Undecodable bytes are replaced in `stdout` and `stderr`.

    `truncated` is the number of bytes left out of them (0: all is there); head and tail are kept.
    `exit_code` is negative for a signal. `error` says why the command could not be started at all.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    truncated: int = 0
    duration_ms: int = 0
    timed_out: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stdout:
    data: bytes


@dataclass(frozen=True, slots=True)
class Stderr:
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """The last item of a stream. `dropped` counts bytes beyond `max_output`; `tail` is their end."""

    exit_code: int
    duration_ms: int = 0
    timed_out: bool = False
    dropped: int = 0
    tail: bytes = b""
    error: str = ""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One entry of a folder. `kind` is of the entry itself; symlinks are not followed."""

    name: str
    kind: Literal["file", "dir", "symlink", "other"]
    size: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """One difference between two snapshots. `path` is relative to the workspace. `diff` is unified
    (of a notebook: of its cells); it is empty, and `note` says why, for binary files and files too large to compare."""

    path: str
    action: Literal["create", "edit", "delete"]
    diff: str = ""
    added: int = 0
    removed: int = 0
    binary: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What `restore` did: files put back, and files left alone because they were changed since."""

    paths: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortHandle:
    """A way to a port inside: a connected socket, or a url with the headers to send, good until `expires_ms`
    (milliseconds since 1970; 0: as long as the sandbox lives)."""

    socket: socket.socket | None = None
    url: str = ""
    expires_ms: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    def at(self, target: str) -> SplitResult:
        """Where a path of the app is, for a way by url, whose own query (a signature) stays."""
        parts = urlsplit(self.url)
        path, _, query = target.partition("?")
        query = "&".join(filter(None, (query, parts.query)))
        return parts._replace(path=parts.path.rstrip("/") + path, query=query)


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """A host is wanted: by a process of the sandbox, or (with `url`, the whole address, and `origin`, the one that led
    there) by a tool for the model."""

    host: str
    port: int
    url: str = ""
    origin: str = ""


NetworkDecision: TypeAlias = Callable[[NetworkRequest], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Egress. `allow` holds host patterns (`example.org`, `*.example.org`); `ask` is called for any other
    public host and decides; without `ask` those are refused. Private, link-local and metadata addresses
    are refused whatever the lists say, except pairs in `allow_private` (for tests and mirrors). `heard` is told of
    each connection that a process of the sandbox made. `lets` says whether `ask` would say yes without a person."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    allow_private: frozenset[tuple[str, int]] = frozenset()
    ask: NetworkDecision | None = None
    lets: Callable[[NetworkRequest], bool] | None = None
    heard: Callable[[NetworkRequest], None] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the sandbox may use. Sizes in bytes."""

    processes: int = 512
    memory: int = 8 << 30
    open_files: int = 4096
    file_size: int = 2 << 30
    tmp_size: int = 512 << 20
    workspace_growth: int = 10 << 30


class Desktop(Protocol):
    """A screen inside, with a mouse and a keyboard. Places are pixels from the top left corner; `url` is where people
    see it, as a preview of that port (`view_only=0` in it lets them act)."""

    size: tuple[int, int]
    display: str
    url: str

    async def screenshot(self) -> bytes:
        """A JPEG or PNG of all of it."""
        ...

    async def click(self, x: int, y: int, button: str = "left", count: int = 1) -> None: ...

    async def drag(self, x: int, y: int, to_x: int, to_y: int) -> None: ...

    async def type(self, text: str) -> None: ...

    async def press(self, keys: str) -> None:
        """One key or a chord: `Return`, `ctrl+s`."""
        ...

    async def scroll(self, x: int, y: int, direction: str, amount: int) -> None: ...


class Sandbox(Protocol):
    """Where tools act. An async context manager; leaving it stops every process inside."""

    id: str
    tier: Tier
    workdir: str
    session: str
    """A folder inside that outlives the sandbox but not the session; `outputs` in it holds whole outputs."""

    async def exec(
        self,
        command: Command,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stdin: bytes | None = None,
        max_output: int = 1 << 20,
        background: bool = False,
    ) -> ExecResult:
        """Run a shell line (str) or an argv (list) to its end, or start it (`background`, which returns
        at once and leaves it running). Never raises for what the command does."""
        ...

    def stream(
        self,
        command: Command,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stdin: bytes | None = None,
        max_output: int = 1 << 20,
        job: str | None = None,
        keep_stdin: bool = False,
    ) -> AsyncIterator[Stdout | Stderr | Exit]:
        """The output as it comes; the last item is `Exit`. Closing the iterator kills the command.
        `job` names it for `kill` and `send`; `keep_stdin` leaves stdin open for `send`."""
        ...

    async def send(self, job: str, data: bytes) -> None:
        """Write to the stdin of a running job started with `keep_stdin`."""
        ...

    async def interrupt(self, job: str) -> None:
        """SIGINT to a running job's process group."""
        ...

    async def kill(self, job: str | None = None) -> None:
        """End a job and everything it started; None: every process in the sandbox."""
        ...

    async def read(
        self, path: str, offset: int = 0, limit: int | None = None, *, inside: bool = False
    ) -> bytes:
        """A part of a file. With `inside`, here and below, one that a symlink has outside the workspace is refused."""
        ...

    async def write(self, path: str, data: bytes) -> None:
        """Write the whole file at once (atomically), making its folders."""
        ...

    async def put(self, path: str, source: IO[bytes]) -> None:
        """The same, from a file of the host's that need not fit into memory."""
        ...

    async def stat(self, path: str, *, inside: bool = False) -> FileInfo: ...

    async def list_dir(self, path: str, *, inside: bool = False) -> list[FileInfo]: ...

    async def remove(self, path: str) -> None: ...

    async def move(self, source: str, target: str) -> None: ...

    async def snapshot(self) -> str:
        """Remember the workspace's files as they are; cheap when little has changed. Returns an id."""
        ...

    async def diff(
        self, before: str, after: str | None = None, paths: Sequence[str] | None = None
    ) -> list[FileChange]:
        """What changed between two snapshots (None: now), sorted by path. `paths` limits it."""
        ...

    async def restore(
        self, snapshot: str, paths: Sequence[str] | None = None, *, unless_changed_since: str | None = None
    ) -> Restored:
        """Put files back. `paths` limits it; a file that differs from `unless_changed_since` is left
        alone and reported in `skipped`."""
        ...

    async def open_port(self, port: int) -> PortHandle:
        """A way to what listens on `port` inside. Raises SandboxNotFound when nothing does."""
        ...

    async def ports(self) -> list[int]:
        """TCP ports that processes inside listen on, in order; none while it is stopped."""
        ...

    async def desktop(self) -> Desktop:
        """The desktop; whoever asks first starts it. Raises SandboxUnavailable with what it needs."""
        ...

    @property
    def desktop_url(self) -> str:
        """`Desktop.url` of one that runs; empty while there is none."""
        ...

    @property
    def was_outside(self) -> bool:
        """Whether something inside may have reached the internet since it was opened."""
        ...

    async def idle(self) -> float:
        """Seconds since somebody last asked something of it, or something that was left running was last seen to."""
        ...

    async def unsaved(self) -> list[str]:
        """Files of the workspace that are only there, and would be lost with it, once all that can be has been brought
        home. Raises SandboxError when that cannot be told."""
        ...

    async def leave(self) -> None:
        """Let go of it: a remote one goes on running, a local one ends."""
        ...

    async def free(self) -> None:
        """Stop it, and let go of what can be made again: caches and installed packages; at Daytona, archive it."""
        ...

    @property
    def life(self) -> str:
        """Names the time between one start and the end after it; empty while it is stopped."""
        ...

    async def set_network(self, policy: NetworkPolicy) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def delete(self) -> None:
        """Stop, and forget the sandbox's own files and snapshots (never the workspace)."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
