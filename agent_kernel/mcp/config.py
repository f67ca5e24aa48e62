"""Which MCP servers there are: the person's own file, and the workspace's `.mcp.json` once it is trusted.

The person's file lies in the data folder, one for each owner of runs. `.mcp.json` comes with a folder from anywhere:
it is trusted by its content, word for word, and even then it may name servers but no secret, no permission and no
program outside the sandbox.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from agent_kernel.errors import SettingsError
from agent_kernel.events import Json
from agent_kernel.vault import Vault, write_private

K = TypeVar("K")
WORKSPACE_FILE = ".mcp.json"
MOST_BYTES = 256 << 10
MOST_SERVERS = 64
LONGEST_TIMEOUT = 600.0
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
GRANTS = ("client_credentials", "cross_app_access")
_GRANTS = {"grant", "issuer", "private_key", "scope", "idp"}
_IDP = {"token_endpoint", "client_id", "client_secret", "id_token"}
_PERSONS = {"trusted", "allow", "client_id", "client_secret", *_GRANTS}
"""What only the person's own file may say."""
_KEYS = {"type", "command", "args", "env", "url", "headers", "timeout", "start_timeout", *_PERSONS}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server. `command` (stdio) or `url` (streamable HTTP); times in seconds.

    `on_host`: it runs as the person, outside the sandbox. `allow` names tools that run without asking as long as
    the server says that they only read (`*`: all of them). `client_id` is what the person registered at a server
    that lets nobody register by program.

    `grant` lets runs log in by themselves, with `client_id` and a secret that goes to the server at `issuer` only:
    `client_credentials` with `client_secret` or `private_key` (PEM), `cross_app_access` with what the identity
    provider `idp` (`token_endpoint`, `client_id`, `client_secret`, `id_token`) says of the person.
    """

    name: str
    source: Literal["user", "workspace"] = "user"
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_host: bool = False
    allow: tuple[str, ...] = ()
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    grant: str = ""
    issuer: str = ""
    private_key: str = field(default="", repr=False)
    scope: str = ""
    idp: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 60.0
    start_timeout: float = 20.0

    @property
    def kind(self) -> str:
        """`http`, `sandbox` or `host`: where it runs."""
        return "http" if self.url else "host" if self.on_host else "sandbox"

    @property
    def where(self) -> str:
        """What a person reads: its command line or its address, without what its variables hold."""
        return self.url or " ".join([self.command, *self.args])

    @property
    def secrets(self) -> dict[str, str]:
        """What `grant` logs in with, its variables not filled in yet."""
        said = {
            "client_secret": self.client_secret,
            "private_key": self.private_key,
            "id_token": self.idp.get("id_token", ""),
            "idp_secret": self.idp.get("client_secret", ""),
        }
        return {key: value for key, value in said.items() if value}

    @property
    def asks_for_login(self) -> bool:
        """Whether a person may have to log in there: it has an address, and nothing else that would let us in."""
        known = any(name.lower() == "authorization" for name in self.headers)
        return bool(self.url) and not self.grant and not known

    def allows(self, tool: str) -> bool:
        return "*" in self.allow or tool in self.allow


@dataclass(frozen=True, slots=True)
class Found:
    """The servers of a workspace for a person, and what is wrong. `untrusted` is the hash of a `.mcp.json` that
    nobody has trusted yet, `waiting` the servers it names."""

    servers: tuple[ServerConfig, ...] = ()
    off: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    untrusted: str = ""
    waiting: tuple[ServerConfig, ...] = ()

    @property
    def on(self) -> dict[str, ServerConfig]:
        return {server.name: server for server in self.servers if server.name not in self.off}


class Configuration:
    """The MCP file of `owner` in the data `folder`. Every change reads it anew, under a lock."""

    def __init__(self, folder: Path, owner: str) -> None:
        slug = (
            re.sub(r"[^A-Za-z0-9]+", "-", owner)[:32] + "-" + hashlib.sha256(owner.encode()).hexdigest()[:8]
        )
        self.folder = folder / "mcp" / slug
        self.path = self.folder / "servers.json"
        self._vault = Vault(self.folder / "secrets")

    def find(self, workspace: Path | None = None) -> Found:
        """The person's servers, and those of the workspace. Raises SettingsError for the person's own file only:
        a broken file of a workspace is a problem, not an end."""
        kept = self._read()
        servers = {name: server(name, said, "user") for name, said in kept["mcpServers"].items()}
        problems: list[str] = []
        untrusted, waiting = "", []
        if workspace is not None:
            path = workspace / WORKSPACE_FILE
            try:
                data = read_workspace_file(path)
                named, problems = _workspace_servers(path, data) if data else ({}, [])
            except SettingsError as error:
                data, named, problems = b"", {}, [str(error)]
            digest = hashlib.sha256(data).hexdigest() if data else ""
            if named and kept["trusted"].get(str(workspace)) != digest:
                untrusted, waiting, named = digest, list(named.values()), {}
            for name, found in named.items():
                if name in servers:
                    problems.append(
                        f"{path}: you have a server named {name!r} of your own; that one is used."
                    )
                servers.setdefault(name, found)
        return Found(
            tuple(servers[name] for name in sorted(servers)),
            frozenset(kept["off"]),
            tuple(problems),
            untrusted,
            tuple(waiting),
        )

    def add(self, name: str, said: Json) -> ServerConfig:
        """Keep a server under `name`. Raises SettingsError when it cannot be one, or is there already."""
        added = server(name, said, "user")
        with self._changing() as kept:
            if name in kept["mcpServers"]:
                raise SettingsError(
                    f"There is a server {name!r} already.",
                    hint=f"Remove it first: agent-kernel mcp remove {name}",
                )
            if len(kept["mcpServers"]) >= MOST_SERVERS:
                raise SettingsError(f"There are {MOST_SERVERS} servers already.", hint="Remove one.")
            kept["mcpServers"][name] = said
        return added

    def remove(self, name: str) -> None:
        with self._changing() as kept:
            if name not in kept["mcpServers"]:
                raise unknown(name, kept["mcpServers"])
            del kept["mcpServers"][name]
            kept["off"] = [other for other in kept["off"] if other != name]

    def switch(self, name: str, on: bool, workspace: Path | None = None) -> None:
        """Use a server, or leave it alone, from the next run on."""
        names = [server.name for server in self.find(workspace).servers]
        if name not in names:
            raise unknown(name, names)
        with self._changing() as kept:
            others = [other for other in kept["off"] if other != name]
            kept["off"] = others if on else [*others, name]

    def trust(self, workspace: Path, digest: str = "") -> tuple[ServerConfig, ...]:
        """Trust the workspace's `.mcp.json` as it is; with `digest`, only if that is still what the person saw."""
        data = read_workspace_file(workspace / WORKSPACE_FILE)
        if not data:
            raise SettingsError(f"There is no {WORKSPACE_FILE} in {workspace}.")
        actual = hashlib.sha256(data).hexdigest()
        if digest not in ("", actual):
            raise SettingsError(
                f"{workspace / WORKSPACE_FILE} has changed since you saw it.", hint="Look again."
            )
        named, _ = _workspace_servers(workspace / WORKSPACE_FILE, data)
        with self._changing() as kept:
            kept["trusted"][str(workspace)] = actual
        return tuple(named.values())

    def distrust(self, workspace: Path) -> None:
        with self._changing() as kept:
            kept["trusted"].pop(str(workspace), None)

    async def secrets(self) -> dict[str, str]:
        """Variables that the person keeps here, encrypted, instead of in the environment."""
        return dict(await self._vault.get("variables") or {})

    async def keep_secret(self, name: str, value: str) -> None:
        """Raises SettingsError for what cannot be a variable's name."""
        if not _VARIABLE.fullmatch(f"${{{name}}}"):
            raise SettingsError(f"{name[:60]!r} cannot be a variable's name.", hint="Like GITHUB_TOKEN.")
        await self._vault.put("variables", {**await self.secrets(), name: value})

    async def forget_secret(self, name: str) -> None:
        kept = await self.secrets()
        if name not in kept:
            raise SettingsError(
                f"There is no secret {name[:60]!r} kept.",
                hint=f"There are: {', '.join(sorted(kept)) or 'none'}.",
            )
        del kept[name]
        await self._vault.put("variables", kept)

    # -- the file --------------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        kept: dict[str, Any] = {"mcpServers": {}, "off": [], "trusted": {}}
        try:
            said = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return kept
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self.path} cannot be read: {error}.", hint="Mend the file, or move it away."
            ) from None
        for name, default in kept.items():
            value = said.get(name, default) if isinstance(said, dict) else None
            if type(value) is not type(default):
                raise SettingsError(f"{self.path}: {name} is not what it should be.", hint="Mend the file.")
            kept[name] = value
        return kept

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The file's content to change; written whole or not at all, one writer after the other."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                kept = self._read()
                yield kept
                write_private(self.path, json.dumps(kept, indent=2).encode())
        except OSError as error:
            raise SettingsError(
                f"{self.path} cannot be written: {error.strerror}.", hint="Is the disk full, or not yours?"
            ) from error


def unknown(name: str, names: Any) -> SettingsError:
    known = ", ".join(sorted(names)) or "none"
    return SettingsError(f"There is no MCP server {name!r}.", hint=f"There are: {known}.")


def read_workspace_file(path: Path) -> bytes:
    """The bytes of `.mcp.json`; empty when there is none. A link is not followed: it may lead anywhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > MOST_BYTES:
        raise SettingsError(
            f"{path} is larger than {MOST_BYTES >> 10} KiB.", hint="It names a few servers only."
        )
    return data


def _workspace_servers(path: Path, data: bytes) -> tuple[dict[str, ServerConfig], list[str]]:
    """What the file names, and what of it cannot be used."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise SettingsError(f"{path} is not valid JSON.", hint="Mend or remove it.") from None
    entries = said.get("mcpServers") if isinstance(said, dict) else None
    if not isinstance(entries, dict):
        raise SettingsError(f"{path} has no object mcpServers.", hint="Mend or remove it.")
    servers: dict[str, ServerConfig] = {}
    problems: list[str] = []
    for name, entry in list(entries.items())[:MOST_SERVERS]:
        try:
            servers[name] = server(name, entry, "workspace")
        except SettingsError as error:
            problems.append(f"{path}: {error}")
    return servers, problems


# -- one server ----------------------------------------------------------------------------------------


def server(name: str, said: Any, source: Literal["user", "workspace"]) -> ServerConfig:
    """`said` as it stands in a file, checked. Raises SettingsError with the server's name and the bad value."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise SettingsError(
            f"{str(name)[:60]!r} cannot be a server's name.",
            hint="Letters, digits and single hyphens, at most 32.",
        )
    if not isinstance(said, dict):
        raise SettingsError(f"Server {name}: it is not an object.")
    if strange := sorted(set(said) - _KEYS):
        raise SettingsError(
            f"Server {name}: unknown {', '.join(map(repr, strange))}.",
            hint=f"Known are: {', '.join(sorted(_KEYS))}.",
        )
    read = _Reader(name, said)
    config = ServerConfig(
        name=name,
        source=source,
        command=read.text("command"),
        args=read.texts("args"),
        env=read.table("env"),
        url=read.text("url"),
        headers=read.table("headers"),
        on_host=read.text("trusted") == "host",
        allow=read.texts("allow"),
        client_id=read.text("client_id"),
        client_secret=read.text("client_secret"),
        grant=read.text("grant"),
        issuer=read.text("issuer"),
        private_key=read.text("private_key"),
        scope=read.text("scope"),
        idp=read.table("idp"),
        timeout=read.seconds("timeout", 60.0),
        start_timeout=read.seconds("start_timeout", 20.0),
    )
    _check(config, said)
    return config


def _check(config: ServerConfig, said: Json) -> None:
    name = config.name
    if bool(config.command) == bool(config.url):
        raise SettingsError(f"Server {name}: say `command` or `url`, one of the two.")
    if said.get("type", "stdio" if config.command else "http") not in (
        ("stdio",) if config.command else ("http", "streamable-http")
    ):
        raise SettingsError(
            f"Server {name}: type {said['type']!r} does not fit.",
            hint="stdio with a command, http with a url.",
        )
    if said.get("trusted") not in (None, "host", "sandbox"):
        raise SettingsError(f"Server {name}: trusted = {said['trusted']!r} is neither sandbox nor host.")
    if config.url:
        parts = urlsplit(config.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise SettingsError(
                f"Server {name}: {config.url[:200]!r} is not an http(s) address without a password.",
                hint="Credentials go into `headers`.",
            )
    _check_grant(config, said)
    values = [*config.args, *config.env.values(), *config.headers.values(), config.command, config.url]
    if config.source == "workspace":
        if said_by := sorted(_PERSONS & set(said)):
            raise SettingsError(
                f"Server {name}: {', '.join(said_by)} cannot be said by a workspace.",
                hint="Add the server yourself: agent-kernel mcp add",
            )
        if any(_VARIABLE.search(value) for value in values):
            raise SettingsError(
                f"Server {name}: a workspace cannot use variables of your environment.",
                hint="Add the server yourself: agent-kernel mcp add",
            )
    elif config.kind == "sandbox" and any(_VARIABLE.search(value) for value in values):
        raise SettingsError(
            f"Server {name}: a variable of your environment would enter the sandbox, where the agent could read it.",
            hint='Let the server run outside it ("trusted": "host"), if you trust its program.',
        )


def _check_grant(config: ServerConfig, said: Json) -> None:
    """Everything a program needs to log in is there, and goes over the network encrypted."""
    name, grant = config.name, config.grant
    if not grant:
        if strange := sorted(_GRANTS & set(said)):
            raise SettingsError(
                f"Server {name}: {', '.join(strange)} belongs to a `grant`.",
                hint=f"One of {', '.join(GRANTS)}.",
            )
        return
    if grant not in GRANTS:
        raise SettingsError(
            f"Server {name}: there is no grant {grant[:60]!r}.",
            hint=f"One of {', '.join(GRANTS)}; none for a login in your browser.",
        )
    needed = {"url": config.url, "client_id": config.client_id, "issuer": config.issuer}
    if grant == "cross_app_access":
        needed["client_secret"] = config.client_secret
        needed |= {
            f"idp.{key}": config.idp.get(key, "") for key in ("token_endpoint", "client_id", "id_token")
        }
    elif bool(config.client_secret) == bool(config.private_key):
        raise SettingsError(f"Server {name}: say `client_secret` or `private_key`, one of the two.")
    if missing := [key for key, value in needed.items() if not value]:
        raise SettingsError(f"Server {name}: {grant} needs {', '.join(missing)} too.")
    for key, value in config.secrets.items():
        if not _VARIABLE.fullmatch(value):
            raise SettingsError(
                f"Server {name}: {key} stands there in the clear.",
                hint="Say it as ${NAME}, of your environment or kept with: agent-kernel mcp secret NAME",
            )
    known = _IDP if grant == "cross_app_access" else set()
    if strange := sorted(set(config.idp) - known):
        raise SettingsError(
            f"Server {name}: idp.{strange[0][:60]} is nothing {grant} knows.",
            hint=f"idp of cross_app_access has {', '.join(sorted(_IDP))}.",
        )
    for key, address in (("issuer", config.issuer), ("idp.token_endpoint", config.idp.get("token_endpoint"))):
        parts = urlsplit(address or "")
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if address and (
            (parts.scheme != "https" and not (parts.scheme == "http" and local)) or not parts.hostname
        ):
            raise SettingsError(
                f"Server {name}: {key} {address[:200]!r} is no https address.",
                hint="Your secret goes there: http is for this machine only.",
            )


@dataclass(slots=True)
class _Reader:
    name: str
    said: Json

    def _wrong(self, key: str, kind: str) -> SettingsError:
        return SettingsError(f"Server {self.name}: {key} is not {kind}.")

    def text(self, key: str) -> str:
        value = self.said.get(key, "")
        if not isinstance(value, str) or not _plain(value):
            raise self._wrong(key, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.said.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and _plain(item) for item in value):
            raise self._wrong(key, "a list of texts")
        return tuple(value)

    def table(self, key: str) -> dict[str, str]:
        value = self.said.get(key, {})
        if not isinstance(value, dict) or not all(
            isinstance(v, str) and _plain(k + v) for k, v in value.items()
        ):
            raise self._wrong(key, "an object of texts")
        return dict(value)

    def seconds(self, key: str, default: float) -> float:
        value = self.said.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIMEOUT:
            raise self._wrong(key, f"a number of seconds up to {LONGEST_TIMEOUT:g}")
        return float(value)


def _plain(text: str) -> bool:
    return not any(ord(char) < 0x20 or 0xD800 <= ord(char) <= 0xDFFF for char in text)


def expanded(
    config: ServerConfig, values: Mapping[K, str], environ: Mapping[str, str]
) -> tuple[dict[K, str], set[str]]:
    """`values` with `${NAME}` and `${NAME:-default}` filled in from `environ`, and what was filled in: secrets.

    Raises SettingsError that names a variable which is not set.
    """
    secrets: set[str] = set()

    def fill(found: re.Match[str]) -> str:
        value = environ.get(found[1], found[2])
        if value is None:
            raise SettingsError(
                f"Server {config.name}: there is no variable {found[1]} in the environment.",
                hint=f"Set it before Jupyter (or this command) starts, or: agent-kernel mcp secret {found[1]}",
            )
        if found[1] in environ:
            secrets.add(value)
        return value

    return {key: _VARIABLE.sub(fill, value) for key, value in values.items()}, secrets
