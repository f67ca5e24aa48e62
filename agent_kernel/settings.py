"""Settings: each value, and where it came from.

Later layers win: defaults, Jupyter configuration (`c.AgentKernel.model = …` in
`jupyter_server_config.py` or `.json`), environment (`AGENT_KERNEL_MODEL`; the model's own
`ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`, `ANTHROPIC_BASE_URL`, and `DAYTONA_…`), then what a magic, a call or a
command line says. `agent-kernel.toml` in the workspace is text of strangers: it may only tighten.
"""

from __future__ import annotations

import getpass
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from agent_kernel.errors import SettingsError

DEFAULT_MODEL = "claude-sonnet-5-5"
DEMO_MODEL = "demo"
WORKSPACE_FILE = "agent-kernel.toml"
Permission = Literal["plan", "ask", "accept-edits", "bypass"]
PERMISSIONS: tuple[str, ...] = get_args(Permission)
SANDBOXES = ("local", "daytona", "none")
LOG_FORMATS = ("text", "json")
OFFERS = ("auto", "on", "off")
SEARCHES = ("auto", "provider", "searxng", "brave", "tavily", "off")


@dataclass(frozen=True)
class Settings:
    """All settings of one App. Money in USD, times in seconds."""

    model: str = DEFAULT_MODEL
    api_key: str = field(default="", repr=False)
    auth_token: str = field(default="", repr=False)
    base_url: str = ""
    legacy_auth: bool = False
    max_tokens: int = 16_000
    request_timeout: float = 600.0
    max_attempts: int = 6
    context_window: int = 0
    compact_at: float = 0.8
    agent: str = ""
    permission: str = "accept-edits"
    budget: float = 0.0
    budget_tokens: int = 0
    budget_seconds: int = 0
    budget_session: float = 0.0
    budget_day: float = 0.0
    max_turns: int = 100
    sandbox: str = "local"
    daytona_api_key: str = field(default="", repr=False)
    daytona_api_url: str = "https://app.daytona.io/api"
    daytona_target: str = ""
    daytona_snapshot: str = ""
    daytona_volumes: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    search: str = "auto"
    search_url: str = ""
    search_key: str = field(default="", repr=False)
    browser: str = "auto"
    desktop: str = "auto"
    data_dir: str = ""
    database_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    blobs_url: str = field(default="", repr=False)
    retention_days: int = 0
    idle_minutes: int = 240
    archive_days: int = 30
    delete_sandbox_days: int = 0
    python: str = ""
    user: str = ""
    demo_delay: float = 0.02
    log_format: str = "text"
    otlp_url: str = ""
    otlp_headers: str = field(default="", repr=False)
    trace_content: bool = False
    langfuse_url: str = "https://cloud.langfuse.com"
    langfuse_public_key: str = ""
    langfuse_secret_key: str = field(default="", repr=False)
    sentry_dsn: str = field(default="", repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Where the embedded store, snapshots and sandboxes live."""
        return Path(self.data_dir) if self.data_dir else default_data_dir()

    @property
    def owner(self) -> str:
        return self.user or local_user()

    def secrets(self) -> list[str]:
        """Values that must never reach an event, a log line or a notebook."""
        urls = (self.database_url, self.redis_url, self.blobs_url)
        return [
            value
            for value in (
                self.api_key,
                self.auth_token,
                self.search_key,
                self.daytona_api_key,
                self.langfuse_secret_key,
                self.sentry_dsn,
                *(part.partition("=")[2].strip() for part in self.otlp_headers.split(",")),
                *(found for url in urls for found in _credentials(url)),
            )
            if value
        ]

    def with_overrides(self, source: str, **values: Any) -> Settings:
        """These settings with what `source` says on top; None means nothing was said. Raises SettingsError."""
        _known(values, source)
        said = {name: _checked(name, value, source) for name, value in values.items() if value is not None}
        return replace(self, **said, sources={**self.sources, **dict.fromkeys(said, source)})

    def is_said(self, name: str) -> bool:
        """Whether somebody chose this for the work at hand, rather than for all work in a configuration."""
        return self.sources.get(name, "").partition(" ")[0] in _SAID


RUN_SETTINGS = ("agent", "permission", "budget", "max_turns", "sandbox")
"""What each run has of its own, besides its model."""
_SAID = frozenset({"Agent", "MCP", "run", "resume", "fork", "request", "schedule", "command", "/model"})
"""The first words of such sources."""
SERVER_VARIABLE = "AGENT_KERNEL_SERVER_URL"
KERNEL_VARIABLE = "AGENT_KERNEL_KERNEL_ID"
TOKEN_VARIABLE = "AGENT_KERNEL_TOKEN"  # noqa: S105 - the variable's name
"""What a Jupyter server with the extension puts into the environment of its kernels."""
TOKEN_HEADER = "X-Agent-Kernel"  # noqa: S105
SECRET_SETTINGS = frozenset(
    {
        "api_key", "auth_token", "search_key", "daytona_api_key", "database_url", "redis_url", "blobs_url",
        "otlp_headers", "langfuse_secret_key", "sentry_dsn",
    }
)  # fmt: skip
_POSITIVE = ("max_tokens", "max_attempts", "request_timeout")
_DATABASES = ("postgres://", "postgresql://", "postgresql+", "sqlite:///")
_ADDRESSES = ("base_url", "search_url", "daytona_api_url", "otlp_url", "langfuse_url")
_FIELDS = {f.name: f for f in fields(Settings) if f.name != "sources"}
_TYPES: dict[str, type] = {name: type(f.default) for name, f in _FIELDS.items()}
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_ENVIRONMENT = {
    "ANTHROPIC_API_KEY": "api_key",
    "ANTHROPIC_AUTH_TOKEN": "auth_token",
    "ANTHROPIC_BASE_URL": "base_url",
    "DAYTONA_API_KEY": "daytona_api_key",
    "DAYTONA_API_URL": "daytona_api_url",
    "DAYTONA_TARGET": "daytona_target",
}


def default_data_dir() -> Path:
    """`<jupyter data dir>/agent-kernel`."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "agent-kernel"


def resolved(workspace: str | Path) -> Path:
    """Where a path that a person gave leads. Raises SettingsError."""
    try:
        return Path(workspace).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, nobody's home, no current folder
        raise SettingsError(
            f"The workspace {workspace} is not a folder: {getattr(error, 'strerror', None) or error}.",
            hint="Make it, or name another.",
        ) from error


def local_user() -> str:
    """The person at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid-{os.getuid()}"


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    workspace: Path | None = None,
    config_files: list[Path] | None = None,
) -> Settings:
    """The settings of this process. Raises SettingsError with the value and the place it came from."""
    environ = os.environ if environ is None else environ
    settings = Settings()
    for path in jupyter_config_files() if config_files is None else config_files:
        values = _jupyter_config(path)
        _known(values, f"{path} (AgentKernel)")
        settings = settings.with_overrides(str(path), **values)
    for variable, name in _ENVIRONMENT.items():
        if environ.get(variable):
            settings = settings.with_overrides(variable, **{name: environ[variable]})
    for name in _FIELDS:
        variable = f"AGENT_KERNEL_{name.upper()}"
        if environ.get(variable):
            settings = settings.with_overrides(variable, **{name: environ[variable]})
    return tightened(settings, workspace) if workspace else settings


def jupyter_config_files() -> list[Path]:
    """Jupyter's server configuration, lowest priority first."""
    from jupyter_core.paths import jupyter_config_path

    names = ("jupyter_server_config.py", "jupyter_server_config.json")
    folders = [Path(folder) for folder in reversed(jupyter_config_path())]
    return [folder / name for folder in folders for name in names if (folder / name).is_file()]


def _jupyter_config(path: Path) -> dict[str, Any]:
    from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

    loader = JSONFileConfigLoader if path.suffix == ".json" else PyFileConfigLoader
    try:
        config = loader(path.name, str(path.parent)).load_config()
    except Exception as error:  # a configuration file is a program: it may raise anything
        raise SettingsError(
            f"{path} cannot be read: {error}.", hint="Mend the file, or move it away."
        ) from error
    return dict(config.get("AgentKernel", {}))


def tightened(settings: Settings, workspace: Path) -> Settings:
    """`settings` narrowed by the workspace's own file. What would widen them is not taken over."""
    path = workspace / WORKSPACE_FILE
    values = _workspace_file(path)
    _known(values, str(path))
    said: dict[str, Any] = {name: _checked(name, value, str(path)) for name, value in values.items()}
    limits = {name: said.get(name) for name in ("permission", "budget", "max_turns")}
    return settings.with_overrides(str(path), **stricter(settings, **limits))


def stricter(
    settings: Settings, *, permission: str | None, budget: float | None, max_turns: int | None
) -> dict[str, Any]:
    """Those of the three that are tighter than in `settings`; no bound (0, None) is not."""
    kept: dict[str, Any] = {}
    if permission and PERMISSIONS.index(permission) < PERMISSIONS.index(settings.permission):
        kept["permission"] = permission
    if budget and (not settings.budget or budget < settings.budget):
        kept["budget"] = budget
    if max_turns and (not settings.max_turns or max_turns < settings.max_turns):
        kept["max_turns"] = max_turns
    return kept


def _workspace_file(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.is_symlink():
            return {}
        if path.stat().st_size > 64 << 10:
            raise SettingsError(f"{path} is larger than 64 KiB.", hint="It holds a few settings only.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint="Mend or remove it.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text.", hint="Mend or remove it.") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error


def _credentials(url: str) -> list[str]:
    """`user:password@` and `password=…` of a URL: with its neighbours, so that a password that is a common word stays
    one."""
    return [login or asked for login, asked in re.findall(r"^[^/]*//(.*:.*@)|[?&](password=[^&#]+)", url)]


def _known(values: Mapping[str, Any], source: str) -> None:
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise SettingsError(
            f"{source}: unknown setting {', '.join(unknown)}.", hint=f"Known are: {', '.join(_FIELDS)}."
        )


def _checked(name: str, value: Any, source: str) -> Any:
    """`value` as the setting's type, or a SettingsError that names both."""
    kind = _TYPES[name]
    try:
        value = _converted(kind, value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(
            f"{source}: {name} = {_shown(name, value)} is not a {kind.__name__}.",
            hint=f"The default is {_FIELDS[name].default!r}.",
        ) from None
    choices = {
        "permission": PERMISSIONS, "sandbox": SANDBOXES, "search": SEARCHES, "log_format": LOG_FORMATS,
        "browser": OFFERS, "desktop": OFFERS,
    }.get(name)  # fmt: skip
    if choices and value not in choices:
        raise SettingsError(f"{source}: {name} = {value!r} is not one of {', '.join(choices)}.")
    if kind in (int, float) and value < 0:
        raise SettingsError(f"{source}: {name} = {value!r} is negative.")
    if name in _POSITIVE and not value:
        raise SettingsError(
            f"{source}: {name} = {value!r} leaves the model no answer; it must be more than 0."
        )
    if name in _ADDRESSES and value and not value.startswith(("http://", "https://")):
        raise SettingsError(f"{source}: {name} = {value!r} is not an http(s) address.")
    if name == "database_url" and value and not value.startswith(_DATABASES):
        raise SettingsError(
            f"{source}: {name} = {_shown(name, value)} is not the address of a database.",
            hint="It looks like postgresql://user:password@host:5432/name; leave it empty for SQLite.",
        )
    return value


def _converted(kind: type, value: Any) -> Any:
    if kind is bool and isinstance(value, str):
        if value.lower() not in _BOOLEANS:
            raise ValueError(value)
        return _BOOLEANS[value.lower()]
    if kind is tuple:
        items = value.split(",") if isinstance(value, str) else list(value)
        return tuple(str(item).strip() for item in items if str(item).strip())
    if kind is str and not isinstance(value, str | Path):
        raise TypeError(value)
    if kind in (int, float) and isinstance(value, bool):
        raise TypeError(value)
    if kind is float and math.isnan(float(value)):  # less than nothing, and more: a bound that never holds
        raise ValueError(value)
    return kind(value)


def _shown(name: str, value: Any) -> str:
    return "(hidden)" if name in SECRET_SETTINGS else repr(value)
