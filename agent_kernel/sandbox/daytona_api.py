"""Daytona's service: the one module that knows its SDK. Every request has a timeout; what may pass is tried again."""

from __future__ import annotations

import asyncio
import importlib
import posixpath
import random
import re
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent_kernel.errors import (
    SandboxDenied,
    SandboxError,
    SandboxNotFound,
    SandboxTimeout,
    SandboxUnavailable,
    SettingsError,
)

if TYPE_CHECKING:
    from daytona import AsyncDaytona, AsyncSandbox

T = TypeVar("T")
DEFAULT_URL = "https://app.daytona.io/api"
ARCHIVE_AFTER = 7 * 24 * 60
STOP_AFTER = 15
"""Minutes: an unused sandbox stops, a stopped one is archived."""
BUILD_TIMEOUT = 3600.0
RUNNING, GONE = "started", ("destroyed", "destroying")
STARTABLE = ("stopped", "archived", "paused")
ON_THE_WAY_DOWN = ("stopping", "archiving", "pausing")
MISSING = "The Daytona SDK is not installed."
INSTALL = 'Install it with: pip install "agent-kernel[daytona]"'


@dataclass(frozen=True, slots=True)
class Access:
    """Who we are at Daytona, and where. Comes from the host's settings alone."""

    api_key: str = field(default="", repr=False)
    api_url: str = DEFAULT_URL
    target: str = ""
    snapshot: str = ""
    volumes: tuple[str, ...] = ()
    """`name:/path` of what is mounted in new sandboxes."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. A job says something each `tick`; a stream that is silent for `silence` is opened anew.
    `lease` is how long what runs goes on without a word from its host, `preview` how long the address of a port
    is good for."""

    request: float = 60.0
    start: float = 180.0
    transfer: float = 600.0
    attempts: int = 6
    wait: float = 0.5
    silence: float = 20.0
    tick: float = 5.0
    beat: float = 30.0
    preview: float = 300.0
    lease: float = 120.0


class Busy(SandboxUnavailable):
    """The service turned the request away unread (429, 503); `after` is how long it asks us to wait."""

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message, hint="Daytona limits how often it is asked; try again in a minute.")
        self.after = after


class Service:
    """Sandboxes at Daytona, by name. `close` ends the connection; the sandboxes stay."""

    def __init__(self, access: Access, patience: Patience | None = None) -> None:
        self.access = access
        self.patience = patience or Patience()
        self._client: AsyncDaytona | None = None
        self._sdk: Any = None
        self._opening = asyncio.Lock()

    async def _open(self) -> AsyncDaytona:
        async with self._opening:
            if self._client is None:
                if not self.access.api_key:
                    raise SandboxUnavailable(
                        "There is no key for Daytona.", hint="Set DAYTONA_API_KEY, or use --sandbox local."
                    )
                self._sdk = await asyncio.to_thread(_import_sdk)
                self._client = _connect(self._sdk, self.access)
            return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # it is only left
                async with asyncio.timeout(10):
                    await client.close()

    # -- sandboxes -------------------------------------------------------------------------------------

    async def find(self, name: str) -> AsyncSandbox | None:
        """By name or id; None when there is none."""
        client = await self._open()
        try:
            found = await self.retry(lambda: client.get(name, request_timeout=self.patience.request))
        except SandboxNotFound:
            return None
        return None if state_of(found) in GONE else found

    async def create(self, name: str, labels: dict[str, str], *, network: dict[str, Any]) -> AsyncSandbox:
        """A new one, started. When somebody made it meanwhile, theirs."""
        client = await self._open()
        volumes = [await self._volume(client, *mount) for mount in map(mounted, self.access.volumes)]
        params = self._sdk.CreateSandboxFromSnapshotParams(
            name=name,
            labels=labels,
            snapshot=self.access.snapshot or None,
            auto_stop_interval=STOP_AFTER,
            auto_archive_interval=ARCHIVE_AFTER,
            **({"volumes": volumes} if volumes else {}),
            **network,
        )

        async def create() -> AsyncSandbox:
            try:
                return await client.create(params, timeout=self.patience.start)
            except (self._sdk.DaytonaConflictError, self._sdk.DaytonaBadRequestError):
                # the name is taken: by another process of ours, or by an attempt whose answer was lost
                if (found := await self.find(name)) is None:
                    raise
                return found

        return await self.retry(create, within=self.patience.start + 10)

    async def _volume(self, client: AsyncDaytona, name: str, path: str) -> Any:
        """Where a volume is mounted; it is made where there is none, and waited for."""
        for _ in range(self.patience.attempts * 5):
            found = await self.retry(lambda: client.volume.get(name, create=True))
            state = str(getattr(found.state, "value", found.state))
            if state == "ready":
                return self._sdk.VolumeMount(volume_id=found.id, mount_path=path)
            if state in ("error", "deleted", "deleting"):
                break
            await asyncio.sleep(1)
        raise SandboxUnavailable(f"Daytona's volume {name} cannot be used: it is {state}.")

    async def ready(self, remote: AsyncSandbox) -> AsyncSandbox:
        """Until it runs: started again where it stopped or was archived."""

        async def start() -> None:
            await remote.refresh_data(request_timeout=self.patience.request)
            while (state := state_of(remote)) in ON_THE_WAY_DOWN:
                await asyncio.sleep(1)
                await remote.refresh_data(request_timeout=self.patience.request)
            if state in GONE:
                raise SandboxNotFound(f"The sandbox {remote.name} was deleted.")
            if state in STARTABLE:
                await remote.start(timeout=self.patience.start)
            elif state == "error" and remote.recoverable:
                await remote.recover(timeout=self.patience.start)
            elif state != RUNNING:
                await remote.wait_for_sandbox_start(timeout=self.patience.start)

        await self.retry(start, within=self.patience.start + 10)
        return remote

    async def state(self, remote: AsyncSandbox, *, once: bool = False) -> str:
        """`started`, `stopped`, …; `destroyed` for one that has gone. `once`: without trying again."""
        try:
            ask = self.once if once else self.retry
            await ask(lambda: remote.refresh_data(request_timeout=self.patience.request))
        except SandboxNotFound:
            return "destroyed"
        return state_of(remote)

    async def stop(self, remote: AsyncSandbox) -> None:
        with suppress(SandboxNotFound):
            await self.retry(lambda: remote.stop(timeout=self.patience.request))

    async def archive(self, remote: AsyncSandbox) -> None:
        with suppress(SandboxNotFound):
            if await self.state(remote) != "archived":
                await self.retry(lambda: remote.archive(request_timeout=self.patience.request))

    async def delete(self, remote: AsyncSandbox) -> None:
        with suppress(SandboxNotFound):
            await self.retry(lambda: remote.delete(timeout=self.patience.request))

    async def count(self, labels: dict[str, str]) -> int:
        """How many sandboxes carry these labels; also shows that key and address are right."""
        return len(await self.labelled(labels))

    async def labelled(self, labels: dict[str, str]) -> list[AsyncSandbox]:
        """Those that carry these labels."""
        client = await self._open()

        async def listed() -> list[AsyncSandbox]:
            query = self._sdk.ListSandboxesQuery(labels=labels)
            return [found async for found in client.list(query, request_timeout=self.patience.request)]

        return await self.retry(listed)

    # -- snapshots -------------------------------------------------------------------------------------

    async def make_snapshot(
        self,
        name: str,
        image: str,
        *,
        dockerfile: str,
        size: tuple[int, int, int],
        told: Callable[[str], None],
    ) -> bool:
        """Of an image in a registry, or of `dockerfile`; False when there is one of that name. `size` is in cores,
        GiB of memory and of disk; `told` hears how the building goes."""
        client = await self._open()
        try:
            await self.retry(lambda: client.snapshot.get(name))
        except SandboxNotFound:
            pass
        else:
            return False
        cpu, memory, disk = size
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            file.write_text(dockerfile, encoding="utf-8")
            params = self._sdk.CreateSnapshotParams(
                name=name,
                image=image or self._sdk.Image.from_dockerfile(file),
                resources=self._sdk.Resources(cpu=cpu, memory=memory, disk=disk),
            )
            await self.once(lambda: client.snapshot.create(params, on_logs=told), within=BUILD_TIMEOUT)
        return True

    # -- one sandbox -------------------------------------------------------------------------------------

    async def execute(
        self, remote: AsyncSandbox, command: str, within: float | None = None
    ) -> tuple[int, str]:
        """(exit code, what it printed) of a shell line; tried once."""
        seconds = int(within or self.patience.request)
        done = await self.once(lambda: remote.process.exec(command, timeout=seconds), within=seconds + 10)
        return int(done.exit_code), str(done.result)

    async def upload(self, remote: AsyncSandbox, path: str, data: bytes) -> None:
        seconds = int(self.patience.transfer)
        await self.once(lambda: remote.fs.upload_file(data, path, timeout=seconds), within=seconds + 5)

    async def download(self, remote: AsyncSandbox, path: str, most: int) -> bytes:
        """Raises SandboxError when more than `most` bytes come."""

        async def download() -> bytes:
            data = bytearray()
            async for piece in await remote.fs.download_file_stream(
                path, timeout=int(self.patience.transfer)
            ):
                data += piece
                if len(data) > most:
                    raise SandboxError(f"The sandbox sent more than the {most:,} bytes it had announced.")
            return bytes(data)

        return await self.retry(download, within=self.patience.transfer + 5)

    async def open_session(self, remote: AsyncSandbox, name: str) -> None:
        async def create() -> None:
            with suppress(self._sdk.DaytonaConflictError):  # our first attempt got through
                await remote.process.create_session(name, request_timeout=self.patience.request)

        await self.retry(create)

    async def close_session(self, remote: AsyncSandbox, name: str) -> None:
        with suppress(SandboxError):
            await self.once(
                lambda: remote.process.delete_session(name, request_timeout=self.patience.request)
            )

    async def begin(self, remote: AsyncSandbox, session: str, command: str) -> str:
        """Start a command in a session; its id. Tried once."""
        request = self._sdk.SessionExecuteRequest(command=command, run_async=True)
        timeout = int(self.patience.request)
        begun = await self.once(
            lambda: remote.process.execute_session_command(session, request, timeout=timeout)
        )
        return str(begun.cmd_id)

    async def commands(self, remote: AsyncSandbox, session: str) -> list[tuple[str, str, int | None]]:
        """(id, line, exit code or None) of what a session was given."""
        found = await self.retry(
            lambda: remote.process.get_session(session, request_timeout=self.patience.request)
        )
        return [(command.id, command.command, command.exit_code) for command in found.commands or []]

    async def follow(
        self, remote: AsyncSandbox, session: str, command: str, heard: Callable[[str], Awaitable[None]]
    ) -> None:
        """The command's log from its beginning, until it ends or the connection does."""

        async def ignore(text: str) -> None:
            pass

        follow = remote.process.get_session_command_logs_async
        await self.once(lambda: follow(session, command, heard, ignore), within=None)

    async def touch(self, remote: AsyncSandbox) -> None:
        """It is in use: do not stop it yet."""
        await self.once(lambda: remote.refresh_activity(request_timeout=self.patience.request))

    async def preview(self, remote: AsyncSandbox, port: int, seconds: int) -> str:
        """An address that leads to the port for so long."""
        signed = await self.retry(
            lambda: remote.create_signed_preview_url(port, seconds, request_timeout=self.patience.request)
        )
        return str(signed.url)

    async def set_network(self, remote: AsyncSandbox, network: dict[str, Any]) -> None:
        await self.retry(
            lambda: remote.update_network_settings(**network, request_timeout=self.patience.request)
        )

    # -- trying ----------------------------------------------------------------------------------------

    async def once(self, do: Callable[[], Awaitable[T]], within: float | None = 0) -> T:
        """The answer, or one of our own errors. `within` 0: as long as a request may take; None: no bound."""
        try:
            async with asyncio.timeout(self.patience.request + 1 if within == 0 else within):
                return await do()
        except SandboxError:
            raise
        except Exception as error:
            if (told := self._told(error)) is None:
                raise
            raise told from error

    async def retry(self, do: Callable[[], Awaitable[T]], within: float | None = 0) -> T:
        """The same, tried again while what went wrong may pass."""
        attempt = 0
        while True:
            try:
                return await self.once(do, within)
            except SandboxUnavailable as error:
                attempt += 1
                if attempt >= self.patience.attempts or not error.retryable:
                    raise
                await self.pause(attempt, error)

    async def pause(self, attempt: int, error: SandboxError) -> None:
        """Twice as long each time, not all at once, and as long as the service asks for."""
        wait = self.patience.wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
        await asyncio.sleep(max(wait, min(error.after, 60.0) if isinstance(error, Busy) else 0.0))

    def _told(self, error: Exception) -> SandboxError | None:
        """What an error of the SDK, of the network or of time means for whoever asked; None: it is our own."""
        network = isinstance(error, (TimeoutError, OSError)) or _module(error).startswith(
            ("aiohttp", "httpx")
        )
        if not network and not isinstance(error, self._sdk.DaytonaError):
            return None
        said = _sentence(getattr(error, "message", "") or str(error) or type(error).__name__)
        status = getattr(error, "status_code", None)
        if status == 404 or status == 410:
            return SandboxNotFound(f"Daytona does not know it: {said}.")
        if status in (401, 403):
            return SandboxDenied(
                f"Daytona refuses the key or what was asked: {said}.",
                hint="Check DAYTONA_API_KEY and what your organisation allows.",
            )
        if status in (429, 503):
            return Busy(f"Daytona is busy: {said}.", after=_retry_after(getattr(error, "headers", {})))
        if status == 408:
            return SandboxTimeout(f"Daytona stopped waiting: {said}.")
        if network or (status or 500) >= 500:
            return SandboxUnavailable(f"Daytona did not answer: {said}.", hint="Is the network there?")
        return SandboxError(f"Daytona could not do it: {said}.")


def mounted(text: str) -> tuple[str, str]:
    """(volume, path) of `name:/path`. Raises SettingsError."""
    name, _, path = text.partition(":")
    ours = ("/workspace", "/session", "/tmp", "/proc", "/dev", "/sys")  # noqa: S108 - places inside
    if (
        not re.fullmatch(r"[\w.-]{1,100}", name)
        or posixpath.normpath(path) != path
        or not path.startswith("/")
    ):
        raise SettingsError(
            f"daytona_volumes: {text!r} is not NAME:/PATH.", hint="Such as sales:/data/sales."
        )
    if path == "/" or any(path == place or path.startswith(place + "/") for place in ours):
        raise SettingsError(
            f"daytona_volumes: nothing can be mounted at {path}.", hint="Such as /data/sales."
        )
    return name, path


def state_of(remote: AsyncSandbox) -> str:
    state = remote.state
    return str(getattr(state, "value", state) or "unknown").lower()


def _import_sdk() -> Any:
    """It takes a second, so it is only imported when somebody wants a sandbox of Daytona's."""
    try:
        return importlib.import_module("daytona")
    except ImportError as error:
        raise SandboxUnavailable(MISSING, hint=INSTALL) from error


def _connect(sdk: Any, access: Access) -> AsyncDaytona:
    """The SDK reads `.env` and `.env.local` of the current folder, which an agent may have written, even when it
    is given all it needs: whether to trace, how to connect. So it finds nothing there."""
    module: Any = importlib.import_module("daytona._async.daytona")
    reader = module.DaytonaEnvReader

    class NoFiles(reader):  # type: ignore[misc, valid-type]
        @staticmethod
        def _load(path: str) -> dict[str, str]:
            return {}

    config = sdk.DaytonaConfig(
        api_key=access.api_key, api_url=access.api_url or DEFAULT_URL, target=access.target or None
    )
    module.DaytonaEnvReader = NoFiles
    try:
        client: AsyncDaytona = sdk.AsyncDaytona(config)
    finally:
        module.DaytonaEnvReader = reader
    return client


def _module(error: Exception) -> str:
    return type(error).__module__


def _sentence(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")


def _retry_after(headers: Any) -> float:
    for name, value in dict(headers or {}).items():
        if str(name).lower() == "retry-after":
            with suppress(ValueError):
                return float(value)
    return 0.0
