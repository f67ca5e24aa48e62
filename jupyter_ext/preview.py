"""The live preview: addresses nobody can guess, each for one port of one sandbox, and what is served under them.

There is no Jupyter identity on them: the address is the credential, and it dies with the sandbox. Where the page
itself comes from this machine (`localhost`), the app gets a host name of its own, so that addresses from the root
(`/assets/…`) work; anywhere else it lives below a path.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.utils import url_path_join
from tornado.httputil import HTTPHeaders, split_host_and_port
from tornado.iostream import IOStream, StreamClosedError
from tornado.routing import HostMatches, Rule
from tornado.web import HTTPError, RequestHandler, stream_request_body

from agent_kernel.errors import SandboxError
from jupyter_ext.door import RESOURCE, BadRequest, Handler
from jupyter_ext.relay import Relay, Upstream, upgrade

if TYPE_CHECKING:
    from agent_kernel.sandbox.base import Sandbox

ROOT = "/agent-kernel/preview"
HOST = r"preview-([0-9a-f]{32})\.localhost"
HERE = "/.well-known/agent-kernel-preview"
"""Answered on a host name of its own, so that a page can ask whether the browser finds that host."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
MOST_CONNECTIONS = 128
"""At once, of one preview."""
MOST_UPLOAD = 1 << 30
SOON_MS = 30_000
"""A provider's address is not used any more so long before its end."""


@dataclass(slots=True)
class Grant:
    """What an address stands for: one port of a sandbox, as long as that sandbox lives."""

    secret: str
    owner: str
    sandbox: Sandbox
    life: str
    upstream: Upstream

    @property
    def alive(self) -> bool:
        return self.sandbox.life == self.life

    async def reach(self) -> IOStream:
        """A connection to the app. Raises SandboxError or OSError."""
        way = self.upstream.way
        if way is None or way.expires_ms - time.time() * 1e3 < SOON_MS:
            way = await self.sandbox.open_port(self.upstream.port)
        return await self.upstream.connected(way)


class Previews:
    """The addresses that were given out."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self.open: Counter[str] = Counter()

    def give(
        self, owner: str, sandbox: Sandbox, port: int, root: str, ancestor: str, *, on_host: bool
    ) -> Grant:
        """The address of this owner, port and life of the sandbox; made when there is none.

        `root` is the path in front of all previews; with `on_host` the app has the root of a host to itself.
        """
        self._grants = {secret: grant for secret, grant in self._grants.items() if grant.alive}
        for grant in self._grants.values():
            known = (grant.owner, grant.sandbox, grant.upstream.port, grant.upstream.ancestor)
            if known == (owner, sandbox, port, ancestor) and (grant.upstream.prefix == "/") == on_host:
                return grant
        secret = secrets.token_hex(16)
        prefix = "/" if on_host else url_path_join(root, secret) + "/"
        grant = Grant(secret, owner, sandbox, sandbox.life, Upstream(port, prefix, ancestor))
        self._grants[secret] = grant
        return grant

    def find(self, secret: str) -> Grant | None:
        grant = self._grants.get(secret)
        return grant if grant is not None and grant.alive else None


class PreviewHandler(Handler):
    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def post(self, run_id: str, port: str) -> None:
        """The address of what listens on a port of the run's sandbox: `url`. `host_url`, where there is one, lets
        addresses from the root work; try it first. Where `expires_ms` is not 0, ask again before: the address stays
        the same, and the sandbox awake."""
        if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
            raise BadRequest(f"port = {port[:40]!r} is not a number from 1 to 65535.")
        account = await self.account()
        sandbox = await account.previewed(run_id, int(port))
        handle = await sandbox.open_port(int(port))
        if handle.socket is not None:
            handle.socket.close()
        give = self.extension.previews.give
        root = url_path_join(self.base_url, ROOT)
        grant = give(self.owner, sandbox, int(port), root, "'self'", on_host=False)
        host_url = ""
        name, number = split_host_and_port(self.request.host)
        if self.request.protocol == "http" and name in LOOPBACK:
            page = f"http://{self.request.host}"
            own = give(self.owner, sandbox, int(port), root, page, on_host=True)
            host_url = f"http://preview-{own.secret}.localhost{f':{number}' if number else ''}/"
        said = {"url": grant.upstream.prefix, "host_url": host_url, "expires_ms": handle.expires_ms}
        self.reply(said, 201)


@stream_request_body
class AppHandler(RequestHandler):  # type: ignore[misc]
    """Everything below a preview's address."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    _relay: Relay | None = None
    _grant: Grant | None = None
    _counted = False

    def _log(self) -> None:
        """Not in the server's log: the path holds the secret."""

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        if not isinstance(error, HTTPError):
            self.settings[RESOURCE].log.error("agent-kernel: a preview failed", exc_info=(kind, error, trace))

    def compute_etag(self) -> None:
        """The app's own business."""

    def check_xsrf_cookie(self) -> None:
        """There is no cookie to abuse: the address is all there is."""

    async def prepare(self) -> None:
        secret, rest = self._where()
        previews: Previews = self.settings[RESOURCE].previews
        grant = previews.find(secret)
        if grant is None:
            raise HTTPError(404, "This preview has ended.")
        if rest == HERE and grant.upstream.prefix == "/":
            self._walled(grant)
            self.set_header("Access-Control-Allow-Origin", "*")
            self.set_status(204)
            await self.finish()
            return
        if self._preflight():
            self._allow(grant)
            await self.finish()
            return
        if previews.open[secret] >= MOST_CONNECTIONS:
            raise HTTPError(503, "Too many connections to this preview.")
        previews.open[secret] += 1
        self._grant, self._counted = grant, True
        await self._carry(grant, rest)

    def _where(self) -> tuple[str, str]:
        """The secret, and what the app is asked for."""
        target = self.request.uri
        if not target.startswith("/"):
            raise HTTPError(400, "That is not a path.")
        if found := re.fullmatch(HOST, self.request.host_name):
            return found[1], target
        secret, _, rest = target.partition(f"{ROOT}/")[2].partition("/")
        return secret, f"/{rest}"

    async def _carry(self, grant: Grant, target: str) -> None:
        try:
            stream = await grant.reach()
        except (SandboxError, OSError, StreamClosedError, TimeoutError):
            raise HTTPError(502, f"Nothing answers on port {grant.upstream.port} any more.") from None
        if (
            "upgrade" in self.request.headers.get("Connection", "").lower()
            and "Upgrade" in self.request.headers
        ):
            client = self.detach()
            try:
                await upgrade(grant.upstream, stream, self.request, target, client)
            finally:
                self._let_go()
            return
        self.request.connection.set_max_body_size(MOST_UPLOAD)
        self._relay = Relay(grant.upstream, stream, self)
        try:
            await self._relay.begin(self.request, target)
        except (StreamClosedError, ValueError):
            raise HTTPError(502, f"Port {grant.upstream.port} hung up.") from None

    async def data_received(self, chunk: bytes) -> None:
        if self._relay is not None:
            await self._relay.send(chunk)

    async def _answer(self, *_: str) -> None:
        """What the app says, as it says it."""
        assert self._relay is not None
        whole = await self._relay.answer()
        if not self._relay.answered:
            raise HTTPError(502, "The app did not answer.")
        if whole:
            await self.finish()
        else:  # a body cut off must not look like a whole one
            self.request.connection.stream.close()

    get = head = post = put = patch = delete = options = allow_unauthenticated(_answer)

    # -- the reply -------------------------------------------------------------------------------------------

    def begin(self, code: int, headers: HTTPHeaders) -> None:
        assert self._grant is not None
        self.set_status(code)
        self._headers = self._grant.upstream.response_headers(headers, self.request.headers.get("Origin"))

    async def send(self, chunk: bytes) -> None:
        self.write(chunk)
        await self.flush()

    def _walled(self, grant: Grant) -> None:
        self._headers = grant.upstream.walls(self.request.headers.get("Origin"))

    def _preflight(self) -> bool:
        return self.request.method == "OPTIONS" and "Access-Control-Request-Method" in self.request.headers

    def _allow(self, grant: Grant) -> None:
        """The app thinks that its own page asks; only the browser thinks otherwise."""
        self._walled(grant)
        self.set_status(204)
        asked = self.request.headers
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.SUPPORTED_METHODS))
        self.set_header("Access-Control-Allow-Headers", asked.get("Access-Control-Request-Headers", ""))
        self.set_header("Access-Control-Max-Age", "600")

    def write_error(self, status_code: int, **info: Any) -> None:
        """A page for the frame: one sentence, nothing of the request in it."""
        error = info.get("exc_info", (None, None, None))[1]
        said = (
            error.log_message
            if isinstance(error, HTTPError) and error.log_message
            else "Something failed here."
        )
        self._headers = Upstream(0, "/").walls(None)
        if self._grant is not None:
            self._walled(self._grant)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{said}\n")

    def on_connection_close(self) -> None:
        super().on_connection_close()  # wakes what waits for the body
        self._let_go()  # where the body broke off, nothing is answered, and nothing finishes

    def on_finish(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        """Once, however often it is called: the person may leave while the answer is on its way."""
        if self._relay is not None:
            self._relay.close()
        if self._grant is not None and self._counted:
            self.settings[RESOURCE].previews.open[self._grant.secret] -= 1
            self._counted = False


def handlers() -> list[tuple[str, type[RequestHandler]]]:
    """For Tornado; Jupyter puts the base URL before them."""
    return [(rf"{ROOT}/[^/]+/.*", AppHandler)]


def put_first(web_app: Any) -> None:
    """Host names of previews, asked before Jupyter's own routes: on them nothing of Jupyter may be served."""
    web_app.add_handlers(HOST, [(r".*", AppHandler)])
    rules: list[Rule] = web_app.default_router.rules
    ours = [rule for rule in rules if isinstance(rule.matcher, HostMatches)]
    ours = [rule for rule in ours if rule.matcher.host_pattern.pattern.startswith(HOST)]
    rules[:] = [*ours, *(rule for rule in rules if rule not in ours)]
