"""The Daytona sandbox: the workspace, and what runs on it, on a machine of Daytona's."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import secrets
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from agent_kernel.errors import SandboxDenied, SandboxError, SandboxNotFound, SandboxUnavailable
from agent_kernel.sandbox import outpost
from agent_kernel.sandbox import supervisor as wire
from agent_kernel.sandbox.base import (
    Command,
    Desktop,
    ExecResult,
    Exit,
    FileChange,
    FileInfo,
    NetworkPolicy,
    PortHandle,
    Restored,
    Stderr,
    Stdout,
    Tier,
)
from agent_kernel.sandbox.commands import collect, exit_of, what
from agent_kernel.sandbox.daytona_api import (
    ON_THE_WAY_DOWN,
    RUNNING,
    Access,
    Busy,
    Patience,
    Service,
    state_of,
)
from agent_kernel.sandbox.daytona_desktop import PORT as DESKTOP_PORT
from agent_kernel.sandbox.daytona_desktop import DaytonaDesktop
from agent_kernel.sandbox.daytona_jobs import Begun, Jobs
from agent_kernel.sandbox.environment import SESSION, WORKSPACE, python_tree
from agent_kernel.sandbox.local import file_error, pieces
from agent_kernel.sandbox.snapshots import Snapshots
from agent_kernel.sandbox.sync import MOST_FILE, MOST_PIECE, Sync

if TYPE_CHECKING:
    from daytona import AsyncSandbox

T = TypeVar("T")
HERE = Path(__file__).parent
LABEL = "agent-kernel.session"
LABEL_APP = {"app": "agent-kernel"}
WRITABLE = [WORKSPACE, SESSION, "/tmp", "/home", "/root"]  # noqa: S108 - places inside
MOST_ANSWER = MOST_FILE + MOST_PIECE + (64 << 20)
MOST_PIECE_READ = 16 << 20
RENEW = 0.4
"""With less than this share of its time left, the address of a port is made anew."""
DIRECT = {"X-Daytona-Skip-Preview-Warning": "true"}
"""Without it the service answers a browser with a page of its own first."""
IDLE = 1800
"""Seconds without a call after which nobody keeps the sandbox awake."""
AT_ONCE = 0.4
FOLDERS = (
    f"for d in {WORKSPACE} {SESSION}; do "
    '[ -d "$d" ] || mkdir -p "$d" 2>/dev/null || sudo -n mkdir -p "$d"; '
    '[ -w "$d" ] || sudo -n chown "$(id -u):$(id -g)" "$d"; '
    '[ -d "$d" ] && [ -w "$d" ] || echo "MISSING $d"; done; command -v python3 >/dev/null || echo "MISSING python3"'
)


class Lost(SandboxUnavailable):
    """The sandbox is not there any more, or does not run; the next call finds it again or makes a new one."""


class DaytonaSandbox:
    """One workspace at Daytona; see `Sandbox` in base.py. Open it with `open_sandbox`.

    `told(id)` hears the service's id of the sandbox when it is attached to. Without `create` it must be there.
    """

    def __init__(
        self,
        *,
        sandbox_id: str,
        service: Service,
        workspace: Path,
        folder: Path,
        network: NetworkPolicy,
        env: Mapping[str, str] | None,
        create: bool = True,
        told: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.id = sandbox_id
        self.tier: Tier = "daytona"
        self.workdir = WORKSPACE
        self.session = SESSION
        self.workspace = workspace
        self.folder = folder
        self._service = service
        self._env = {**environment(), **(env or {})}
        self._create = create
        self._told = told
        self._network, self._set_network = _network(network), False
        self._snapshots = Snapshots(workspace, folder / "snapshots")
        # what was agreed on holds for this folder on this machine; the data folder may be shared
        state = folder / f"sync-{_short(f'{_host()} {workspace}'.encode())}.json"
        self._sync = Sync(workspace, self._snapshots, state, folder, python_tree().folders())
        self._owner = f"{_host()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._place = f"{outpost.BASE}/{_version()}"
        self._remote: AsyncSandbox | None = None
        self._desktop: DaytonaDesktop | None = None
        self._made = False
        self._jobs: Jobs | None = None
        self._names: dict[str, Begun] = {}
        self._ports: dict[int, tuple[str, float, float]] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._stale = True
        self._used = 0.0
        self._heart: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def name(self) -> str:
        """What it is called at Daytona: the same for everybody who works on the session."""
        return f"agent-kernel-{self.id}"

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
        """Find or make it, start it where it stopped, and carry the workspace there; a no-op while it runs."""
        await self._ready()

    async def _ready(self) -> Jobs:
        """Attached to, and as new as the person's folder was when the run began."""
        for attempt in range(3):
            jobs = await self._attach()
            self._used = time.monotonic()
            if not self._stale:
                return jobs
            try:
                await self._carry_once()
            except Lost:
                if attempt == 2:
                    raise
            else:
                self._stale = False
                return jobs
        raise AssertionError("the last attempt returns or raises")

    async def _attach(self) -> Jobs:
        async with self._starting:
            if self._jobs is not None:
                return self._jobs
            if not self.workspace.is_dir():
                raise SandboxNotFound(f"The workspace {self.workspace} is not a folder.")
            await asyncio.to_thread(self.folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            remote = await self._find()
            await self._service.ready(remote)
            await self._hello(remote)
            if not self._set_network:
                await self._apply_network(remote)
            self._remote, self._stale = remote, True
            self._jobs = Jobs(self._service, remote, self._owner, self._place)
            self._heart = asyncio.create_task(self._beat())
            if self._told is not None:
                await self._told(str(remote.id))
            return self._jobs

    async def _find(self) -> AsyncSandbox:
        remote = await self._service.find(self.name)
        self._made = remote is None
        if remote is None and not self._create:
            raise SandboxNotFound(
                f"Daytona has no sandbox {self.name} any more, and the session's folder is on another host.",
                hint="Start a run of the session there.",
            )
        if remote is None:
            labels = {LABEL: self.id, **LABEL_APP}
            remote = await self._service.create(self.name, labels, network=self._network)
            self._set_network = True
        if remote.labels.get(LABEL) != self.id:
            raise SandboxDenied(
                f"Daytona has a sandbox {self.name} that is not of this session.",
                hint="Rename or delete that one.",
            )
        return remote

    async def _hello(self, remote: AsyncSandbox) -> None:
        """Our programs are there, and what a dead host of this session left running is ended."""
        hello = outpost.pack({"do": "hello", "owner": self._owner})
        if self._made:
            await self._install(remote)
        try:
            said, _ = await self._patiently(remote, hello)
        except (SandboxNotFound, SandboxUnavailable):
            raise
        except SandboxError:  # they are not there, or are others
            await self._install(remote)
            said, _ = await self._patiently(remote, hello)
        dead = [owner for owner, age in said["owners"].items() if self._is_dead(owner, age)]
        if dead:
            await self._patiently(remote, outpost.pack({"do": "kill", "owners": dead}))

    async def _install(self, remote: AsyncSandbox) -> None:
        _, said = await self._service.retry(lambda: self._service.execute(remote, FOLDERS))
        missing = [line.partition(" ")[2] for line in said.splitlines() if line.startswith("MISSING ")]
        if missing:
            raise SandboxUnavailable(
                f"The sandbox's image lacks {' and '.join(missing)}, or does not let its user write there.",
                hint="Set daytona_snapshot to an image with python3, /workspace and /session: see docs/daytona.md.",
            )
        for module in ("supervisor.py", "outpost.py"):
            data = (HERE / module).read_bytes()
            path = f"{self._place}/{module}"
            await self._service.retry(lambda path=path, data=data: self._service.upload(remote, path, data))  # type: ignore[misc]

    def _is_dead(self, owner: str, age: float) -> bool:
        """Who was not heard of for long, or was a process of this machine that is no more."""
        if age > self._service.patience.lease:
            return True
        host, pid, _ = owner.split(".") if owner.count(".") == 2 else ("", "", "")
        if host != _host() or not pid.isdigit():
            return False
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False

    async def _lose(self) -> None:
        """Forget the way in; what ran is over."""
        heart, self._heart = self._heart, None
        self._remote, self._jobs, self._stale = None, None, True
        self._desktop = None
        self._set_network = False
        self._ports.clear()
        if heart is not None and heart is not asyncio.current_task():
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)

    async def stop(self) -> None:
        """End every process inside, bring home what they changed, and stop it. Files stay; `start` begins anew."""
        await asyncio.gather(*self._finishing, return_exceptions=True)
        remote = self._remote
        try:
            if remote is not None:
                with suppress(SandboxError, OSError):
                    await self.kill()
                    await self._carry_once()
                with suppress(SandboxError):
                    await self._service.stop(remote)
        finally:
            async with self._starting:
                await self._lose()
            await self._service.close()

    async def idle(self) -> float:
        busy = self._ports or (self._jobs is not None and self._jobs.active)
        return 0.0 if busy else time.monotonic() - self._used

    async def unsaved(self) -> list[str]:
        """What is too large or not allowed to be carried, once everything else is at home."""
        if await self._service.find(self.name) is None:
            return []
        self._stale = True
        await self._carry()
        return self._sync.only_there()

    async def leave(self) -> None:
        async with self._starting:
            await self._lose()
        await self._service.close()

    async def free(self) -> None:
        """Stopped, and its disk in the service's storage: it costs next to nothing, and starts more slowly."""
        await self.stop()
        remote = await self._service.find(self.name)
        if remote is not None:
            await self._service.archive(remote)
        await self._service.close()

    async def delete(self) -> None:
        """Delete it at Daytona, whoever made it, and forget its snapshots. The workspace stays."""
        async with self._starting:
            await self._lose()
            remote = await self._service.find(self.name)
            if remote is not None and remote.labels.get(LABEL) == self.id:
                await self._service.delete(remote)
        await self._service.close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _beat(self) -> None:
        """While it is in use: jobs hear that their host lives, the service does not stop it, addresses stay good."""
        while True:
            await asyncio.sleep(self._service.patience.beat)
            remote, jobs = self._remote, self._jobs
            if remote is None or jobs is None:
                return
            with suppress(SandboxError, OSError):
                if jobs.active:
                    await self.ask("beat", owner=self._owner)
                await self._renew(remote)
                if jobs.active or self._ports or time.monotonic() - self._used < IDLE:
                    await self._service.touch(remote)

    # -- asking ----------------------------------------------------------------------------------------

    async def ask(self, do: str, blob: bytes = b"", **head: Any) -> tuple[dict[str, Any], bytes]:
        """One request to `outpost.py`. Raises OSError as it met it over there, Lost when nobody is there."""
        if (remote := self._remote) is None:
            raise Lost("The sandbox is not running.")
        packed = outpost.pack({"do": do, **head}, blob)
        try:
            return await self._patiently(remote, packed, check=True)
        except SandboxNotFound:
            await self._lose()
            raise Lost(
                "The sandbox has gone: it was deleted at Daytona.", hint="The next call makes a new one."
            ) from None

    async def _patiently(
        self, remote: AsyncSandbox, packed: bytes, *, check: bool = False
    ) -> tuple[dict[str, Any], bytes]:
        """Ask again while what went wrong may pass; with `check`, not one that stopped meanwhile."""
        attempt = 0
        while True:
            try:
                return await self._once(remote, packed)
            except SandboxUnavailable as error:
                attempt += 1
                if check and not isinstance(error, Busy):
                    state = await self._service.state(remote)
                    if state != RUNNING:
                        await self._lose()
                        raise Lost(
                            f"The sandbox is {state}.", hint="The next call starts it again."
                        ) from error
                if attempt >= self._service.patience.attempts:
                    raise
                await self._service.pause(attempt, error)

    async def _once(self, remote: AsyncSandbox, packed: bytes) -> tuple[dict[str, Any], bytes]:
        import base64

        if len(packed) > outpost.INLINE:
            path = f"{outpost.BASE}/in/{secrets.token_hex(8)}"
            await self._service.upload(remote, path, packed)
            text = f"@{path}"
        else:
            text = base64.b64encode(packed).decode()
        line = f"{outpost.started(self._place, 'call')} <<'AGENT_KERNEL'\n{text}\nAGENT_KERNEL"
        code, said = await self._service.execute(remote, line)
        answer = next((row for row in reversed(said.splitlines()) if row.startswith(outpost.ANSWER)), None)
        if answer is None:
            told = said.strip().splitlines()
            raise SandboxError(
                f"The sandbox did not answer (exit code {code}): {told[-1][:300] if told else ''}"
            )
        found = answer[len(outpost.ANSWER) :]
        try:
            if found.startswith("@"):
                data = await self._service.download(remote, found[1:], MOST_ANSWER)
            else:
                data = base64.b64decode(found, validate=True)
            head, blob = outpost.unpack(data)
        except (ValueError, KeyError, IndexError) as error:
            raise SandboxError(f"The sandbox's answer is not understood: {error}") from error
        if "errno" in head:
            raise OSError(head["errno"], head["error"], head.get("path"))
        return head, blob

    async def _again(self, do: Callable[[Jobs], Awaitable[T]]) -> T:
        """Do it; once more when the sandbox was lost before it could be done."""
        try:
            return await do(await self._ready())
        except Lost:
            return await do(await self._ready())

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
        request = self._request(command, cwd, env, None, 65536, stdin=False, keep=False)
        request["exec"]["background"] = True
        jobs = await self._ready()
        begun = await jobs.begin(request, b"", background=True)
        jobs.active.discard(begun.name)
        out, last = bytearray(), Exit(0)
        patience = asyncio.timeout(self._service.patience.request)
        with suppress(TimeoutError):
            async with patience, aclosing(jobs.lines(begun)) as lines:  # type: ignore[type-var]
                async for line in lines:
                    if line.kind == wire.READY:
                        patience.reschedule(asyncio.get_running_loop().time() + AT_ONCE)
                    elif line.kind == wire.EXIT:
                        last = _exit(line.payload)
                    else:
                        out += line.payload
        return ExecResult(last.exit_code, out.decode("utf-8", "replace"), error=last.error)

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
        given = stdin is not None or keep_stdin
        request = self._request(command, cwd, env, timeout, max_output, stdin=given, keep=keep_stdin)
        jobs = await self._ready()
        try:
            begun = await jobs.begin(request, stdin or b"")
        except (SandboxNotFound, SandboxUnavailable):
            if await self._is_there():
                raise
            jobs = await self._ready()
            begun = await jobs.begin(request, stdin or b"")
        if job is not None:
            self._names[job] = begun
        ended = False
        try:
            async with aclosing(jobs.lines(begun)) as lines:  # type: ignore[type-var]
                async for line in lines:
                    if line.kind == wire.EXIT:
                        ended = line.number > 0
                        yield _exit(line.payload)
                    elif line.kind != wire.READY:
                        yield Stdout(line.payload) if line.kind == wire.OUT else Stderr(line.payload)
        finally:
            if job is not None and self._names.get(job) is begun:
                del self._names[job]
            finishing = asyncio.create_task(self._finish(jobs, begun, ended=ended))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
            await asyncio.shield(finishing)

    def _request(
        self,
        command: Command,
        cwd: str | None,
        env: Mapping[str, str] | None,
        timeout: float | None,
        max_output: int,
        *,
        stdin: bool,
        keep: bool,
    ) -> dict[str, Any]:
        run = {**what(command), "cwd": cwd, "env": dict(env or {}), "timeout": timeout, "max_output": max_output,
               "stdin": stdin}  # fmt: skip
        return {
            "exec": run, "env": self._env, "workdir": self.workdir, "keep_stdin": keep,
            "lease": self._service.patience.lease, "tick": self._service.patience.tick,
        }  # fmt: skip

    async def _finish(self, jobs: Jobs, begun: Begun, *, ended: bool) -> None:
        jobs.active.discard(begun.name)
        with suppress(SandboxError, OSError):  # TimeoutError is one: the lease ends what cannot be reached
            async with asyncio.timeout(self._service.patience.request):
                if not ended:
                    await self.ask("kill", job=begun.name)
                if self._jobs is jobs:
                    await jobs.end(begun, clean=ended)

    async def _is_there(self) -> bool:
        """Whether the sandbox still runs; one that does not is let go."""
        if self._remote is not None and await self._service.state(self._remote) == RUNNING:
            return True
        await self._lose()
        return False

    async def send(self, job: str, data: bytes) -> None:
        await self._word(job, data, word="stdin")

    async def interrupt(self, job: str) -> None:
        await self._word(job, b"", word="signal", signal=2)

    async def _word(self, job: str, data: bytes, **head: Any) -> None:
        if job not in self._names:
            raise SandboxNotFound(f"No job {job!r} is running.")
        with suppress(OSError):  # it has just ended: whoever follows it hears that
            await self.ask("control", data, job=self._names[job].name, id=secrets.token_hex(8), **head)

    async def kill(self, job: str | None = None) -> None:
        if self._remote is None:
            return  # nothing of ours can run; what others left is ended when it is attached to
        if job is None:
            await self.ask("kill")
        elif job in self._names:
            await self.ask("kill", job=self._names[job].name)

    # -- files -----------------------------------------------------------------------------------------

    async def _file(self, act: str, path: str, blob: bytes = b"", **head: Any) -> tuple[Any, bytes]:
        if "\0" in path:
            raise SandboxDenied(f"{path!r} is not a path.")
        place = {"workdir": self.workdir, "writable": WRITABLE}
        try:
            said, data = await self._again(
                lambda _: self.ask("file", blob, act=act, path=path, **place, **head)
            )
        except OSError as error:
            raise file_error(error, path) from None
        return said.get("answer"), data

    async def read(
        self, path: str, offset: int = 0, limit: int | None = None, *, inside: bool = False
    ) -> bytes:
        data = bytearray()
        while limit is None or len(data) < limit:
            piece = MOST_PIECE_READ if limit is None else min(MOST_PIECE_READ, limit - len(data))
            _, got = await self._file("read", path, offset=offset + len(data), limit=piece, inside=inside)
            data += got
            if len(got) < piece:
                break
        return bytes(data)

    async def write(self, path: str, data: bytes) -> None:
        await self.put(path, io.BytesIO(data))

    async def put(self, path: str, source: IO[bytes]) -> None:
        async for piece, options in pieces(source, MOST_PIECE):
            await self._file("write", path, piece, **options)

    async def stat(self, path: str, *, inside: bool = False) -> FileInfo:
        return FileInfo(**(await self._file("stat", path, inside=inside))[0])

    async def list_dir(self, path: str, *, inside: bool = False) -> list[FileInfo]:
        found, _ = await self._file("list", path, inside=inside)
        return sorted((FileInfo(**entry) for entry in found), key=lambda entry: entry.name)

    async def remove(self, path: str) -> None:
        await self._file("remove", path)

    async def move(self, source: str, target: str) -> None:
        await self._file("move", source, target=target)

    # -- snapshots: of the person's folder, once both sides are the same -----------------------------------

    async def _carry_once(self) -> None:
        try:
            await self._sync.run(self, self.workdir)
        except OSError as error:
            raise SandboxError(f"Changes cannot be carried over: {error}.") from error

    async def _carry(self) -> None:
        await self._again(lambda _: self._carry_once())

    async def snapshot(self) -> str:
        await self._carry()  # it has looked, and knows what it has written
        return await asyncio.to_thread(lambda: self._snapshots.take(as_looked=True))

    async def diff(
        self, before: str, after: str | None = None, paths: Sequence[str] | None = None
    ) -> list[FileChange]:
        """With a line for each file that was not simply carried over, and why."""
        if after is None:
            await self._carry()
        changes = {c.path: c for c in await asyncio.to_thread(self._snapshots.diff, before, after, paths)}
        if paths is not None:
            return [changes[path] for path in sorted(changes)]
        notes, self._sync.notes = self._sync.notes, []
        for note in notes:
            known = changes.get(note.path) or FileChange(note.path, note.action)
            changes[note.path] = replace(known, note="; ".join(filter(None, (known.note, note.text))))
        return [changes[path] for path in sorted(changes)]

    async def restore(
        self, snapshot: str, paths: Sequence[str] | None = None, *, unless_changed_since: str | None = None
    ) -> Restored:
        await self._carry()
        restored = await asyncio.to_thread(self._snapshots.restore, snapshot, paths, unless_changed_since)
        await self._carry()
        return restored

    # -- network ---------------------------------------------------------------------------------------

    async def open_port(self, port: int) -> PortHandle:
        """An address that leads there, kept good while somebody goes on asking for it before it ends."""
        try:
            await self.ask("port", port=port)
        except OSError as error:
            raise SandboxNotFound(f"Nothing listens on port {port} inside ({error.strerror}).") from None
        except Lost as error:  # a page that was left open does not start it again
            raise SandboxNotFound(f"Nothing listens on port {port}: {error.message}") from None
        assert self._remote is not None
        url, until, _ = self._ports.get(port, ("", 0.0, 0.0))
        now, lasts = time.monotonic(), self._service.patience.preview
        if until - now < lasts * RENEW:
            url, until = await self._service.preview(self._remote, port, int(lasts)), now + int(lasts)
        self._ports[port] = (url, until, now)
        left = until - time.monotonic()
        return PortHandle(url=url, expires_ms=int((time.time() + left) * 1e3), headers=DIRECT)

    @property
    def life(self) -> str:
        return "" if self._remote is None else str(self._remote.id)

    async def ports(self) -> list[int]:
        if self._remote is None:
            return []
        try:
            found = {int(port) for port in (await self.ask("ports"))[0]["ports"]}
        except (Lost, KeyError, TypeError, ValueError):
            return []
        return sorted(found | ({DESKTOP_PORT} if self._desktop is not None else set()))

    async def desktop(self) -> Desktop:
        """The service's own; it is found again by whoever attaches anew."""
        await self._ready()
        async with self._starting:
            if self._desktop is None:
                assert self._remote is not None
                desktop = DaytonaDesktop(self._service, self._remote)
                await desktop.open()
                self._desktop = desktop
            return self._desktop

    @property
    def desktop_url(self) -> str:
        return self._desktop.url if self._desktop is not None else ""

    @property
    def was_outside(self) -> bool:
        """Nobody tells whom the sandbox has reached; so whoever could, may have."""
        return not self._network.get("network_block_all", False)

    async def _renew(self, remote: AsyncSandbox) -> None:
        now, lasts = time.monotonic(), self._service.patience.preview
        for port, (_, until, asked) in list(self._ports.items()):
            if now - asked > lasts:
                del self._ports[port]  # nobody looks any more: it does not keep the sandbox awake
            elif until - now < lasts * RENEW:
                url = await self._service.preview(remote, port, int(lasts))
                self._ports[port] = (url, now + int(lasts), asked)

    async def set_network(self, policy: NetworkPolicy) -> None:
        """A run begins or has ended. Daytona allows by name and asks nobody: what `policy` would ask is refused."""
        self._stale = True  # the person may have changed files since the last one
        if (wanted := _network(policy)) != self._network:
            self._network, self._set_network = wanted, False
            if self._remote is not None:
                await self._apply_network(self._remote)

    async def _apply_network(self, remote: AsyncSandbox) -> None:
        await self._service.set_network(remote, self._network)
        self._set_network = True


STATES = {RUNNING: "running", "paused": "stopped", **dict.fromkeys(ON_THE_WAY_DOWN, "stopped")}


async def states(access: Access) -> dict[str, str]:
    """`session → state` of our sandboxes there; asked once, and not for long."""
    service = Service(access, Patience(request=10, attempts=2))
    try:
        found = await service.labelled(LABEL_APP)
        return {
            box.labels[LABEL]: STATES.get(state_of(box), state_of(box))
            for box in found
            if LABEL in box.labels
        }
    finally:
        await service.close()


def environment() -> dict[str, str]:
    """What processes inside find, besides the image's PATH; nothing of the host's own environment is in it."""
    return {
        "HOME": f"{SESSION}/home",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": f"{SESSION}/python",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_TARGET": f"{SESSION}/python",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_CACHE_DIR": f"{SESSION}/cache/pip",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": f"{SESSION}/cache/matplotlib",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _network(policy: NetworkPolicy) -> dict[str, Any]:
    """In Daytona's words: nothing, some names, or everything."""
    if not policy.allow:
        return {"network_block_all": True}
    if "*" in policy.allow:
        return {"network_block_all": False}
    return {"network_block_all": False, "domain_allow_list": ",".join(policy.allow)}


def _host() -> str:
    return _short(socket.gethostname().encode())


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _version() -> str:
    """Changes when our programs do, so that each host finds those it knows."""
    return _short(b"".join((HERE / name).read_bytes() for name in ("outpost.py", "supervisor.py")))


def _exit(payload: bytes) -> Exit:
    """The supervisor's word, unless what runs there has put another in its place."""
    try:
        return exit_of(payload)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Exit(-9, error="The command's end could not be understood.")
