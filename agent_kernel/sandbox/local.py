"""The local sandbox: a supervisor behind bubblewrap (or what stands in for it) on this machine."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from agent_kernel.errors import (
    SandboxDenied,
    SandboxError,
    SandboxLimit,
    SandboxNotFound,
    SandboxUnavailable,
)
from agent_kernel.sandbox import supervisor as wire
from agent_kernel.sandbox.base import (
    Command,
    Desktop,
    ExecResult,
    Exit,
    FileChange,
    FileInfo,
    Limits,
    NetworkPolicy,
    PortHandle,
    Restored,
    Stderr,
    Stdout,
    Tier,
)
from agent_kernel.sandbox.channel import Channel
from agent_kernel.sandbox.commands import collect, exit_of, what
from agent_kernel.sandbox.desktop import LocalDesktop
from agent_kernel.sandbox.egress import PROXY_PORT, EgressProxy
from agent_kernel.sandbox.environment import SESSION, environment, python_tree
from agent_kernel.sandbox.hold import alone, hold
from agent_kernel.sandbox.launch import Launcher
from agent_kernel.sandbox.snapshots import Snapshots

START_TIMEOUT = 20.0
READ_PIECE = 4 << 20
LONGEST_ASKED = 5.0
"""Seconds to wait for the supervisor to say what still runs: whoever looks for idle sandboxes has others to look at."""
AT_ONCE = 0.3
"""Seconds in which a command in the background is still seen to fail."""
RESERVE = 64 << 20
"""Free disk below which what runs is stopped."""


class LocalSandbox:
    """One workspace on this machine; see `Sandbox` in base.py. Open it with `open_sandbox`."""

    def __init__(
        self,
        *,
        sandbox_id: str,
        launcher: Launcher,
        workspace: Path,
        folder: Path,
        python: str | None,
        limits: Limits,
        network: NetworkPolicy,
        env: Mapping[str, str] | None,
    ) -> None:
        self.id = sandbox_id
        self.tier: Tier = launcher.tier
        self.workspace = workspace
        self.folder = folder
        self.workdir = launcher.workdir(workspace)
        self.session = SESSION if self.tier == "bubblewrap" else str(folder / "session")
        self._launcher = launcher
        self._python = python
        self._limits = limits
        self._env = dict(env or {})
        self._proxy = EgressProxy(network)
        self._snapshots = Snapshots(workspace, folder / "snapshots")
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs: dict[str, int] = {}
        self._starting = asyncio.Lock()
        self._life = ""
        self._used = time.monotonic()
        self._left_running = False
        self._held: int | None = None
        self._desktop: LocalDesktop | None = None
        self._drawing = asyncio.Lock()

    # -- its life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it, also again after it was stopped or has died; a no-op while it runs."""
        async with self._starting:
            if self._channel is not None and not self._channel.dead.is_set():
                return
            await self._stop()
            await self._start()

    async def _start(self) -> None:
        if not self.workspace.is_dir():
            raise SandboxNotFound(f"The workspace {self.workspace} is not a folder.")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds copies of private files
        self._held = await asyncio.to_thread(hold, self.folder)
        session = self.folder / "session"
        for name in ("python", "outputs", "cache"):
            (session / name).mkdir(parents=True, exist_ok=True)
        tree = await asyncio.to_thread(python_tree, self._python)
        ours, theirs = socket.socketpair()
        handed, handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        config = {
            "env": environment(tree, PROXY_PORT, self._env),
            "workdir": self.workdir,
            "rlimits": {
                "NPROC": self._limits.processes,
                "NOFILE": self._limits.open_files,
                "FSIZE": self._limits.file_size,
                "DATA": self._limits.memory,
                "CORE": 0,
            },
            "memory": self._limits.memory,
            "growth": self._limits.workspace_growth,
            "reserve": RESERVE,
            "frames": theirs.fileno(),
            "sockets": handing.fileno(),
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = self._launcher.launch(
                self.workspace, session, tree, self._limits, config, self._errors
            )
        finally:
            theirs.close()
            handing.close()
        self._channel = Channel(ours, handed)
        await self._wait_until_ready()
        self._life = secrets.token_hex(8)
        with suppress(ConnectionError):  # a tier without any network has no way out either
            await self._proxy.serve(await self._channel.hand_out(wire.LISTEN, PROXY_PORT))

    async def _wait_until_ready(self) -> None:
        assert self._channel is not None
        try:
            await self._channel.open(START_TIMEOUT)
        except (TimeoutError, SandboxUnavailable):
            await self._stop()
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            raise SandboxUnavailable(
                f"The {self.tier} sandbox did not start: {said[-1] if said else 'it gave no reason'}.",
                hint="See: agent-kernel doctor",
            ) from None

    async def stop(self) -> None:
        """End every process inside. Files stay; `start` begins anew."""
        async with self._starting:
            await self._stop()

    async def _stop(self) -> None:
        self._left_running = False
        desktop, self._desktop = self._desktop, None
        await self._proxy.stop()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        self._jobs.clear()
        if desktop is not None:
            await desktop.close()
        if self._process is not None:
            process, self._process = self._process, None
            try:
                await asyncio.to_thread(process.wait, 5)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        if self._held is not None:
            held, self._held = self._held, None
            os.close(held)

    async def idle(self) -> float:
        """What was left running in the background is in use, for all we know."""
        return 0.0 if await self._goes_on() else time.monotonic() - self._used

    async def _goes_on(self) -> bool:
        """Whether something that was left running still runs; where nobody answers, it does."""
        if not self._left_running or not self.life:
            return False
        assert self._channel is not None
        used = self._used
        try:
            async with asyncio.timeout(LONGEST_ASKED):
                goes_on = bool(json.loads(await self._channel.call(wire.LEFT, {})))
        except OSError:  # a timeout is one
            return True
        except SandboxUnavailable:  # it died meanwhile
            return False
        if goes_on:
            self._used = time.monotonic()  # it becomes idle when this ends
        elif self._used == used:  # nothing was begun while we asked
            self._left_running = False
        return goes_on

    async def unsaved(self) -> list[str]:
        """None: the workspace is the person's own folder."""
        return []

    async def leave(self) -> None:
        await self.stop()

    async def free(self) -> None:
        await self.stop()
        with alone(self.folder):
            for name in ("cache", "python"):
                await asyncio.to_thread(shutil.rmtree, self.folder / "session" / name, ignore_errors=True)

    async def delete(self) -> None:
        """Stop, and forget what it installed and its snapshots. The workspace stays."""
        await self.stop()
        with alone(self.folder):
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _open(self) -> Channel:
        """The way in; whoever needs it first starts the sandbox."""
        self._used = time.monotonic()
        if self._channel is None or self._channel.dead.is_set():
            await self.start()
        assert self._channel is not None
        return self._channel

    # -- commands --------------------------------------------------------------------------------------

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
        if background:
            return await self._start_in_background(command, cwd, env)
        return await collect(
            self.stream(command, cwd=cwd, env=env, timeout=timeout, stdin=stdin, max_output=max_output)
        )

    async def _start_in_background(
        self, command: Command, cwd: str | None, env: Mapping[str, str] | None
    ) -> ExecResult:
        """Leave it running; what fails at once is still seen."""
        channel = await self._open()
        self._left_running = True  # also what ends at once may leave others
        number = channel.begin({**what(command), "cwd": cwd, "env": dict(env or {}), "background": True,
                                "max_output": 65536})  # fmt: skip
        out = bytearray()
        try:
            async with asyncio.timeout(AT_ONCE), aclosing(channel.output(number)) as items:  # type: ignore[type-var]
                async for kind, payload in items:
                    if kind == wire.EXIT:
                        last = exit_of(payload)
                        return ExecResult(last.exit_code, out.decode("utf-8", "replace"), error=last.error)
                    out += payload
        except TimeoutError:
            pass  # it goes on
        return ExecResult(0, out.decode("utf-8", "replace"))

    async def stream(
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
        channel = await self._open()
        number = channel.begin(
            {
                **what(command),
                "cwd": cwd,
                "env": dict(env or {}),
                "timeout": timeout,
                "max_output": max_output,
                "stdin": stdin is not None or keep_stdin,
            }
        )
        if job is not None:
            self._jobs[job] = number
        if stdin is not None:
            for start in range(0, len(stdin), READ_PIECE):
                channel.tell(wire.STDIN, number, stdin[start : start + READ_PIECE])
            if not keep_stdin:
                channel.tell(wire.STDIN_END, number)
        ended = False
        try:
            async for kind, payload in channel.output(number):
                if kind == wire.EXIT:
                    ended = True
                    yield exit_of(payload)
                else:
                    yield Stdout(payload) if kind == wire.OUT else Stderr(payload)
        finally:
            if job is not None and self._jobs.get(job) == number:
                del self._jobs[job]
            if not ended:
                with suppress(SandboxUnavailable):
                    channel.tell(wire.KILL, 0, json.dumps({"job": number}).encode())

    async def send(self, job: str, data: bytes) -> None:
        (await self._open()).tell(wire.STDIN, self._number(job), data)

    async def interrupt(self, job: str) -> None:
        await self._signal(self._number(job), 2)

    async def _signal(self, number: int, signal: int) -> None:
        await (await self._open()).call(wire.SIGNAL, {"job": number, "signal": signal})

    async def kill(self, job: str | None = None) -> None:
        if job is None:
            await (await self._open()).call(wire.KILL, {})
        elif job in self._jobs:
            await (await self._open()).call(wire.KILL, {"job": self._jobs[job]})

    def _number(self, job: str) -> int:
        if job not in self._jobs:
            raise SandboxNotFound(f"No job {job!r} is running.")
        return self._jobs[job]

    # -- files -----------------------------------------------------------------------------------------

    async def _file(self, do: str, path: str, data: bytes = b"", **options: Any) -> bytes:
        if "\0" in path:
            raise SandboxDenied(f"{path!r} is not a path.")
        try:
            return await (await self._open()).file(do, path, data, **options)
        except OSError as error:
            raise file_error(error, path) from None

    async def read(
        self, path: str, offset: int = 0, limit: int | None = None, *, inside: bool = False
    ) -> bytes:
        data = bytearray()
        while limit is None or len(data) < limit:
            piece = READ_PIECE if limit is None else min(READ_PIECE, limit - len(data))
            got = await self._file("read", path, offset=offset + len(data), limit=piece, inside=inside)
            data += got
            if len(got) < piece:
                break
        return bytes(data)

    async def write(self, path: str, data: bytes) -> None:
        await self.put(path, io.BytesIO(data))

    async def put(self, path: str, source: IO[bytes]) -> None:
        async for piece, options in pieces(source, READ_PIECE):
            await self._file("write", path, piece, **options)

    async def stat(self, path: str, *, inside: bool = False) -> FileInfo:
        return FileInfo(**json.loads(await self._file("stat", path, inside=inside)))

    async def list_dir(self, path: str, *, inside: bool = False) -> list[FileInfo]:
        entries = [FileInfo(**entry) for entry in json.loads(await self._file("list", path, inside=inside))]
        return sorted(entries, key=lambda entry: entry.name)

    async def remove(self, path: str) -> None:
        await self._file("remove", path)

    async def move(self, source: str, target: str) -> None:
        await self._file("move", source, target=target)

    # -- snapshots: on the host, so that nothing inside can touch them -------------------------------------

    async def snapshot(self) -> str:
        return await asyncio.to_thread(self._snapshots.take)

    async def diff(
        self, before: str, after: str | None = None, paths: Sequence[str] | None = None
    ) -> list[FileChange]:
        return await asyncio.to_thread(self._snapshots.diff, before, after, paths)

    async def restore(
        self, snapshot: str, paths: Sequence[str] | None = None, *, unless_changed_since: str | None = None
    ) -> Restored:
        return await asyncio.to_thread(self._snapshots.restore, snapshot, paths, unless_changed_since)

    # -- network ---------------------------------------------------------------------------------------

    async def open_port(self, port: int) -> PortHandle:
        try:
            return PortHandle(socket=await (await self._open()).hand_out(wire.CONNECT, port))
        except ConnectionError as error:
            raise SandboxNotFound(f"Nothing listens on port {port} inside ({error}).") from None

    @property
    def life(self) -> str:
        return "" if self._channel is None or self._channel.dead.is_set() else self._life

    async def ports(self) -> list[int]:
        if self._channel is None or self._channel.dead.is_set():
            return []
        found: list[int] = json.loads(await self._channel.call(wire.PORTS, {}))
        return [port for port in found if port != PROXY_PORT]

    async def set_network(self, policy: NetworkPolicy) -> None:
        await self._proxy.change(policy)

    @property
    def was_outside(self) -> bool:
        return self._proxy.reached

    # -- desktop ---------------------------------------------------------------------------------------

    async def desktop(self) -> Desktop:
        if self.tier not in ("bubblewrap", "none"):
            raise SandboxUnavailable(
                f"A desktop needs a sandbox with a network of its own; this one ({self.tier}) has none.",
                hint="Install bubblewrap, or use --sandbox daytona.",
            )
        async with self._drawing:
            if self._desktop is None or not self._desktop.is_there:
                await self._open()
                desktop = LocalDesktop(self)
                try:
                    await desktop.open()
                except BaseException:
                    await asyncio.shield(desktop.close())
                    raise
                self._desktop = desktop
            return self._desktop

    @property
    def desktop_url(self) -> str:
        return self._desktop.url if self._desktop is not None and self._desktop.is_there else ""


async def pieces(source: IO[bytes], size: int) -> AsyncIterator[tuple[bytes, dict[str, Any]]]:
    """What a file is written with, one request after another; it is there with the last."""
    part, offset = secrets.token_hex(4), 0
    piece = await asyncio.to_thread(source.read, size)
    while True:
        following = await asyncio.to_thread(source.read, size) if piece else b""
        yield piece, {"part": part, "offset": offset, "last": not following}
        if not following:
            return
        offset, piece = offset + len(piece), following


def file_error(error: OSError, path: str) -> SandboxError:
    """What an operating-system error means for whoever asked."""
    reason = error.strerror or str(error)
    text = f"{path}: {reason}."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SandboxNotFound(text)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE):
        return SandboxLimit(text, hint="Free some space, or write less.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP):
        return SandboxDenied(text)
    return SandboxError(text)
