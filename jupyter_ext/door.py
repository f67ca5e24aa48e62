"""The door: who asks, whether they may, and what is said when they may not.

A person comes with Jupyter's own identity and permission, a kernel with the token this server gave it.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from tornado.web import HTTPError

from agent_kernel import errors
from agent_kernel.errors import AgentKernelError
from agent_kernel.settings import TOKEN_HEADER as HEADER
from jupyter_ext.kernels import Pass
from jupyter_ext.people import owner_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agent_kernel.account import Account

T = TypeVar("T", bound="BaseModel")
RESOURCE = "agent_kernel"
STATUS: tuple[tuple[type[AgentKernelError], int], ...] = (
    (errors.RunNotFound, 404),
    (errors.AlreadyAppended, 409),
    (errors.RunBusy, 409),
    (errors.RunError, 409),
    (errors.SettingsError, 400),
    (errors.JobsError, 400),
    (errors.SkillError, 404),
    (errors.Unstorable, 400),
    (errors.StoreError, 503),
    (errors.ServerUnreachable, 503),
    (errors.SandboxNotFound, 404),
    (errors.SandboxDenied, 403),
    (errors.SandboxLimit, 413),
    (errors.SandboxError, 502),
)
NAMES = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
         413: "TooLarge", 429: "TooManyRequests"}  # fmt: skip


class BadRequest(AgentKernelError):
    """A request that does not say what it should."""


class Handler(APIHandler):  # type: ignore[misc]
    """Base of all routes. Subclasses mark their methods `allow_unauthenticated`: the check is here."""

    auth_resource = RESOURCE
    kernel: str | None = None
    owner: str = ""
    notebook: str | None = None

    @property
    def extension(self) -> Any:
        return self.settings[RESOURCE]

    def check_xsrf_cookie(self) -> None:
        """A browser cannot be made to send our header across sites; everything else needs the XSRF token."""
        if self._pass() is None:
            super().check_xsrf_cookie()

    def _pass(self) -> tuple[str, Pass] | None:
        header = self.request.headers.get(HEADER, "")
        return self.extension.kernels.check(header) if header else None

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.headers.get(HEADER):
            self._admit_kernel()
        else:
            await self._admit_person()
        if not self.extension.buckets[f"{self.owner}:{self.notebook}"].take():
            self.set_header("Retry-After", "1")
            raise HTTPError(429, "Too many requests.")
        if len(self.request.body or b"") > self.extension.most_body_bytes:
            raise HTTPError(413, f"The body is larger than {self.extension.most_body_bytes} bytes.")

    def _admit_kernel(self) -> None:
        found = self._pass()
        if found is None:
            raise HTTPError(403, "This kernel's token is not known here.")
        self.kernel = found[0]
        self.owner, self.notebook = found[1].owner, found[1].notebook

    async def _admit_person(self) -> None:
        if not self.current_user:
            raise HTTPError(403, "Log in to this Jupyter server first.")
        action = "read" if self.request.method in ("GET", "HEAD") else "write"
        allowed = self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)
        if not await ensure_async(allowed):
            raise HTTPError(403, f"You are not allowed to {action} runs here.")
        self.owner = owner_of(self.current_user, self.identity_provider)

    async def account(self) -> Account:
        """What this person, or this kernel, can do."""
        app = await self.extension.app()
        from agent_kernel.account import Account

        return Account(app, self.owner, self.notebook)

    async def workspace(self, path: str) -> Path:
        """A folder by its path, below the server's own where it is not absolute. Raises BadRequest."""
        found = Path(path)
        if not found.is_absolute():
            found = Path(self.settings["server_root_dir"]).expanduser() / found
        if not await asyncio.to_thread(os.path.isdir, found):  # False also for a name no folder can have
            raise BadRequest(f"The workspace {path} is not a folder here.")
        return found.resolve()

    async def place_of(self, path: str) -> Path:
        """Where a file is on this machine, by Jupyter's own path."""
        root = Path(self.settings["server_root_dir"]).expanduser()
        return await asyncio.to_thread((root / path.lstrip("/")).resolve)

    def body(self, kind: type[T]) -> T:
        """The request's body, checked. Raises BadRequest with what is wrong."""
        from pydantic import ValidationError

        try:
            return kind.model_validate_json(self.request.body or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the body"
            raise BadRequest(
                f"{where}: {first['msg']}.", hint=f"Known are: {', '.join(kind.model_fields)}."
            ) from None

    def number(self, name: str, default: int, most: int) -> int:
        """A query argument between 0 and `most`."""
        text = self.get_query_argument(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > most:
            raise BadRequest(f"{name} = {text[:40]!r} is not a number from 0 to {most}.")
        return int(text)

    def reply(self, data: Any, status: int = 200) -> None:
        self.send(json.dumps(data), status)

    def send(self, text: str, status: int = 200) -> None:
        """Answer with what is JSON already."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(text)

    def write_error(self, status_code: int, **info: Any) -> None:
        """Every error in one shape: `{"error": {"type", "message", "hint"}}`."""
        error = info.get("exc_info", (None, None, None))[1]
        kind, message, hint = (
            NAMES.get(status_code, "ServerError"),
            "Something failed here.",
            "See the server's log.",
        )
        if isinstance(error, AgentKernelError):
            kind, message, hint = type(error).__name__, error.message, error.hint
            status_code = status_of(error)
        elif isinstance(error, HTTPError):
            message, hint = error.log_message or self._reason, ""
        self.set_status(status_code)
        self.reply({"error": {"type": kind, "message": message, "hint": hint}}, status_code)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """What a person did wrong is their news, not the log's."""
        if not isinstance(error, AgentKernelError):
            super().log_exception(kind, error, trace)


def status_of(error: AgentKernelError) -> int:
    """The HTTP status that says the same."""
    if isinstance(error, BadRequest):
        return 400
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)
