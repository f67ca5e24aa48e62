"""The MCP servers of one session: how each is reached, and which of their tools the model has from the start.

The tools of a session's prefix are chosen once, when its first run starts, and kept beside the session: what servers
declare later, and servers that were not there, are found with `tool_search`. So the prefix stays the same to the
byte, whatever servers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SettingsError
from agent_kernel.events import Json
from agent_kernel.mcp.config import (
    WORKSPACE_FILE,
    Configuration,
    Found,
    ServerConfig,
    expanded,
)
from agent_kernel.mcp.connection import Connection, ServerFailed
from agent_kernel.mcp.declared import Declared
from agent_kernel.mcp.wire import InSandbox, OnHost, Program
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.vault import Vault, write_private

if TYPE_CHECKING:
    from agent_kernel.mcp.login import Login, Storage

HOW_TO_TRUST = "agent-kernel mcp trust"
PREFIX_TOKENS = 8_000
"""What servers' tools may take of each request."""
CHARACTERS_PER_TOKEN = 3
"""A careful guess: JSON of schemas takes more tokens than prose."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a session's prefix holds of its servers: `direct` tools, and for `tool_search` the names of all
    `servers` with the number of tools each had."""

    direct: tuple[Declared, ...] = ()
    servers: Mapping[str, int] = field(default_factory=dict)


class McpServers:
    """`workspace` is a folder of this host; `sandbox` is the session's, where programs run.

    `hide` hears every value that must not reach an event.
    """

    def __init__(
        self,
        configuration: Configuration,
        workspace: Path,
        *,
        hide: Callable[[list[str]], None],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.configuration = configuration
        self.workspace = workspace
        self.sandbox: Sandbox | None = None
        self._hide = hide
        self._environ = os.environ if environ is None else environ
        self._secrets: Mapping[str, str] = {}
        self._vault = Vault(configuration.folder / "logins")
        self._connections: dict[str, Connection] = {}
        self._warming: set[asyncio.Task[Any]] = set()

    # -- which there are -------------------------------------------------------------------------------

    async def find(self) -> Found:
        """What is configured now; connections to what was changed, switched off or removed are closed."""
        self._secrets = await self.configuration.secrets()
        found = await asyncio.to_thread(self.configuration.find, self.workspace)
        for name, connection in list(self._connections.items()):
            if found.on.get(name) != connection.config:
                del self._connections[name]
                await connection.close()
        for name, config in found.on.items():
            if name not in self._connections:
                self._connections[name] = Connection(config, self._way_to(config))
        return found

    def connection(self, name: str) -> Connection:
        """Raises ServerFailed with the names there are."""
        if name not in self._connections:
            known = ", ".join(sorted(self._connections)) or "none"
            raise ServerFailed(f"There is no MCP server {name!r} switched on.", hint=f"There are: {known}.")
        return self._connections[name]

    def known(self, server: str, tool: str) -> Declared | None:
        """A tool as its server last declared it; `tool` is the server's name for it or ours."""
        connection = self._connections.get(server)
        tools = connection.known if connection else []
        return next((one for one in tools if tool in (one.tool, one.name)), None)

    async def listed(self, only: str = "") -> tuple[list[Declared], dict[str, str]]:
        """All tools of all servers, connected side by side, and why some servers are not there."""
        connections = [c for name, c in sorted(self._connections.items()) if only in ("", name)]
        answers = await asyncio.gather(*(c.tools() for c in connections), return_exceptions=True)
        tools: list[Declared] = []
        failed: dict[str, str] = {}
        for connection, answer in zip(connections, answers, strict=True):
            if isinstance(answer, Exception):
                failed[connection.config.name] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                tools += answer
        return tools, failed

    async def report(self) -> Json:
        """What a person sees: each server, how it stands, and what waits for their trust."""
        found = await self.find()
        return {
            "servers": [
                {**self._line(config, config.name not in found.off), "login": await self._login_state(config)}
                for config in found.servers
            ],
            "problems": list(found.problems),
            "untrusted": found.untrusted,
            "waiting": [{"name": one.name, "kind": one.kind, "where": one.where} for one in found.waiting],
        }

    async def _login_state(self, config: ServerConfig) -> str:
        """`none` where a person cannot log in, `needed`, `kept`, or `possible`."""
        if not config.asks_for_login:
            return "none"
        connection = self._connections.get(config.name)
        if connection is not None and connection.wants_login:
            return "needed"
        return "kept" if await self._vault.has(f"tokens {self._place(config)}") else "possible"

    def _line(self, config: ServerConfig, on: bool) -> Json:
        connection = self._connections.get(config.name)
        return {
            "name": config.name,
            "source": config.source,
            "kind": config.kind,
            "where": config.where,
            "on": on,
            "state": connection.state if connection else "off",
            "problem": connection.problem if connection else "",
            "tools": [
                {"name": tool.tool, "read_only": tool.read_only, "asks": not asks_nobody(config, tool)}
                for tool in (connection.known if connection else [])
            ],
        }

    # -- what the prefix holds ---------------------------------------------------------------------------

    async def chosen(self, kept: Path) -> tuple[Chosen, list[str]]:
        """The session's choice, from the file `kept`, or made now from the servers that are there; and what a
        person should hear of those that are not."""
        found = await self.find()
        choice = await asyncio.to_thread(_read_choice, kept)
        if choice is not None:
            self._warm_up()
            return choice, []
        tools, failed = await self.listed() if found.on else ([], {})
        choice = choose(tools, found.on)
        await asyncio.to_thread(_write_choice, kept, choice)
        notes = [*failed.values(), *found.problems]
        if found.waiting:
            names = ", ".join(one.name for one in found.waiting)
            notes.append(
                f"{WORKSPACE_FILE} names servers that you have not trusted: {names}. See: {HOW_TO_TRUST}"
            )
        return choice, notes

    def relist(self) -> None:
        """Ask every server for its tools again when they are next needed."""
        for connection in self._connections.values():
            connection.relist()

    def _warm_up(self) -> None:
        """Connect while the model thinks."""
        for connection in self._connections.values():
            if connection.state == "idle":
                task = asyncio.create_task(_quietly(connection))
                self._warming.add(task)
                task.add_done_callback(self._warming.discard)

    # -- how they are reached ----------------------------------------------------------------------------

    def _way_to(self, config: ServerConfig, auth: Any = None) -> Callable[[], Any]:
        def http() -> Any:
            from mcp.client.streamable_http import streamable_http_client

            from agent_kernel.mcp.http import open_client
            from agent_kernel.mcp.wire import MOST_MESSAGE

            headers = self._filled(config, config.headers)
            url = self._filled(config, {"url": config.url})["url"]
            login = auth
            if config.grant:
                from agent_kernel.mcp.oauth import programs_login

                secrets = self._filled(config, config.secrets)
                self._hide(list(secrets.values()))
                login = programs_login(replace(config, url=url), secrets, self._hide, self._open_named)
            elif login is None and config.asks_for_login:
                from agent_kernel.mcp.login import KeptLogin

                login = KeptLogin(replace(config, url=url), self._storage(config))
            client = open_client(
                url, headers, private=config.source == "user", auth=login, named=(config.issuer,)
            )
            return _Closing(
                client, streamable_http_client(url, http_client=client, max_sse_event_size=MOST_MESSAGE)
            )

        def program() -> Any:
            env = self._filled(config, config.env)
            argv = list(self._filled(config, dict(enumerate([config.command, *config.args]))).values())
            if config.on_host:
                return Program(OnHost(argv, env, self.workspace))
            if self.sandbox is None:
                raise SettingsError(f"{config.name} runs in the sandbox, and there is none yet.")
            return Program(InSandbox(self.sandbox, argv, env))

        return http if config.url else program

    @staticmethod
    def _open_named(url: str) -> Any:
        """A client for an address that the person's own configuration names."""
        from agent_kernel.mcp.http import open_client

        return open_client(url, {}, private=True)

    def _storage(self, config: ServerConfig, *, anew: bool = False) -> Storage:
        from agent_kernel.mcp.login import Storage

        secret = self._filled(config, {"secret": config.client_secret})["secret"]
        self._hide([secret] if secret else [])
        place = self._place(config)
        return Storage(self._vault, place, self._hide, (config.client_id, secret), anew=anew)

    def _place(self, config: ServerConfig) -> str:
        """What a login is kept under: a workspace that names a server does not get the person's own login there."""
        return config.url if config.source == "user" else f"{config.url} {self.workspace}"

    def _filled(self, config: ServerConfig, values: Mapping[Any, str]) -> dict[Any, str]:
        filled, secrets = expanded(config, values, {**self._secrets, **self._environ})
        self._hide([*secrets, *(filled[key] for key in values if filled[key] != values[key])])
        return filled

    async def login(self, name: str, redirect_uri: str) -> Login:
        """Begin a login; see `Login`. Raises SettingsError for a server that has none."""
        from agent_kernel.mcp.login import LONGEST_LOGIN, Login

        config = (await self.find()).on.get(name)
        if config is None or not config.url:
            raise SettingsError(f"{name!r} is no server one logs in at.", hint="Only those with a url are.")
        if not config.asks_for_login:
            raise SettingsError(
                f"Runs log in at {name} by themselves.", hint="Test it to see whether they can."
            )
        url = self._filled(config, {"url": config.url})["url"]
        login = Login(replace(config, url=url), redirect_uri)

        async def connect(auth: Any) -> None:
            patient = replace(config, start_timeout=LONGEST_LOGIN)
            connection = Connection(patient, self._way_to(config, auth))
            try:
                await connection.tools()
            finally:
                await connection.close()
            await self.forget(name)

        login.begin(connect, self._storage(config, anew=True))
        return login

    async def logout(self, name: str) -> None:
        config = {server.name: server for server in (await self.find()).servers}.get(name)
        if config is None:
            raise SettingsError(f"There is no MCP server {name!r}.")
        from agent_kernel.mcp.login import Storage

        await Storage(self._vault, self._place(config), self._hide).forget()
        await self.forget(name)

    async def forget(self, name: str) -> None:
        """The next use connects anew, at once."""
        if connection := self._connections.pop(name, None):
            await connection.close()
        await self.find()

    async def close(self) -> None:
        for task in list(self._warming):
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        await asyncio.gather(*(c.close() for c in self._connections.values()), return_exceptions=True)


def asks_nobody(config: ServerConfig, tool: Declared) -> bool:
    """The server says that the tool only reads, and the person believes it."""
    return tool.read_only and config.allows(tool.tool)


def choose(tools: Iterable[Declared], servers: Iterable[str]) -> Chosen:
    """Whole servers, the smallest first, as long as their tools fit into the prefix."""
    by_server: dict[str, list[Declared]] = {name: [] for name in sorted(servers)}
    for tool in tools:
        by_server[tool.server].append(tool)
    room = PREFIX_TOKENS * CHARACTERS_PER_TOKEN
    taken: set[str] = set()
    for name, its in sorted(by_server.items(), key=lambda item: (sum(t.size for t in item[1]), item[0])):
        size = sum(tool.size for tool in its)
        if its and size <= room and all(tool.fits for tool in its):
            room -= size
            taken.add(name)
    direct = tuple(tool for name, its in by_server.items() if name in taken for tool in its)
    return Chosen(direct, {name: len(its) for name, its in by_server.items()})


def _read_choice(path: Path) -> Chosen | None:
    try:
        said = json.loads(path.read_bytes())
        return Chosen(tuple(Declared(**tool) for tool in said["direct"]), said["servers"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_choice(path: Path, choice: Chosen) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = {"direct": [asdict(tool) for tool in choice.direct], "servers": dict(choice.servers)}
        write_private(path, json.dumps(said).encode())
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}.", hint="Is the disk full?"
        ) from error


async def _quietly(connection: Connection) -> None:
    with contextlib.suppress(ServerFailed):
        await connection.tools()


class _Closing:
    """A transport that closes its HTTP client when it ends."""

    def __init__(self, client: Any, transport: Any) -> None:
        self._client = client
        self._transport = transport

    async def __aenter__(self) -> Any:
        return await self._transport.__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        try:
            return await self._transport.__aexit__(*error)
        finally:
            await self._client.aclose()
