"""Routes for MCP servers: how they stand, on and off, a test, trust, and a person's login."""

from __future__ import annotations

import asyncio
import time
from html import escape
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError

from agent_kernel.errors import AgentKernelError, SettingsError
from jupyter_ext.door import BadRequest, Handler
from jupyter_ext.route import ROOT, Route

if TYPE_CHECKING:
    from agent_kernel.events import Json
    from agent_kernel.mcp.login import Login
    from agent_kernel.mcp.servers import McpServers

open_door = allow_unauthenticated
CALLBACK = "mcp/callback"
MOST_LOGINS = 8
_logins: dict[str, tuple[str, Login]] = {}
"""Logins under way by their state: whose, and which."""


class McpHandler(Handler):
    def only_persons(self) -> None:
        """What code in a notebook does by itself is no word of the person's about servers."""
        if self.kernel is not None:
            raise HTTPError(403, "This is for the person to do, in the panel or with agent-kernel mcp.")

    async def reachable(self) -> McpServers:
        """The servers of the session that the request names, for the person only."""
        from jupyter_ext.schemas import OfSession

        self.only_persons()
        return await (await self.account()).mcp(self.body(OfSession).session)


class ServersHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """MCP servers of a `session`, their tools, and what waits to be trusted."""
        session = self.get_query_argument("session", "")
        report = await (await self.account()).report_mcp(session)
        begun = {login.config.name for owner, login in _logins.values() if owner == self.owner}
        for server in report["servers"]:
            if server["name"] in begun:
                server["login"] = "waiting"
        self.reply(report)

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Add a server of one's own, from a template or as a file would name it; then as `GET`."""
        from agent_kernel.mcp.templates import TEMPLATES
        from jupyter_ext.schemas import NewServer

        self.only_persons()
        body = self.body(NewServer)
        if body.template is not None and body.template not in TEMPLATES:
            raise BadRequest(
                f"There is no template {body.template!r}.", hint=f"There are: {', '.join(TEMPLATES)}."
            )
        said = {**(TEMPLATES[body.template].said if body.template else {}), **body.said}
        account = await self.account()
        servers = account.app.places.mcp(await account.get_session(body.session))
        await asyncio.to_thread(servers.configuration.add, body.name, said)
        self.reply(await servers.report(), 201)


class TemplatesHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Servers many people want: `name`, what it `says`, what it `needs`."""
        from agent_kernel.mcp.templates import TEMPLATES

        self.reply(
            {"templates": [{"name": name, "says": t.says, "needs": t.needs} for name, t in TEMPLATES.items()]}
        )


class ServerHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def delete(self, name: str) -> None:
        """Remove a server of one's own, and forget the login there."""
        self.only_persons()
        account = await self.account()
        servers = account.app.places.mcp(await account.get_session(self.get_query_argument("session")))
        known = {server.name: server for server in (await servers.find()).servers}
        if name in known and known[name].source == "user":
            await servers.logout(name)
        await asyncio.to_thread(servers.configuration.remove, name)
        self.reply(await servers.report())


class RefreshHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """The session's next run chooses its tools anew."""
        from jupyter_ext.schemas import OfSession

        await (await self.account()).refresh_tools(self.body(OfSession).session)
        self.reply({})


class TrustHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Trust the workspace's `.mcp.json`, if it is still what the person saw."""
        from jupyter_ext.schemas import Trust

        self.only_persons()
        body = self.body(Trust)
        account = await self.account()
        servers = account.app.places.mcp(await account.get_session(body.session))
        await asyncio.to_thread(servers.configuration.trust, servers.workspace, body.hash)
        self.reply(await servers.report())


class SwitchHandler(McpHandler):
    on = True

    @open_door  # type: ignore[untyped-decorator]
    async def post(self, name: str) -> None:
        """Use the server, or leave it alone, from the next run on."""
        from jupyter_ext.schemas import OfSession

        self.only_persons()
        account = await self.account()
        servers = account.app.places.mcp(await account.get_session(self.body(OfSession).session))
        await asyncio.to_thread(servers.configuration.switch, name, self.on, servers.workspace)
        self.reply(await servers.report())


class OffHandler(SwitchHandler):
    on = False


class TestHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, name: str) -> None:
        """Connect to the server and list its tools; `problem` says why that failed."""
        servers = await self.reachable()
        await servers.forget(name)
        since, problem = time.monotonic(), ""
        try:
            await servers.connection(name).tools()
        except AgentKernelError as error:
            problem = error.message  # its hint is for the model
        report = await servers.report()
        line: Json = next((server for server in report["servers"] if server["name"] == name), {})
        took = round((time.monotonic() - since) * 1000)
        self.reply({**line, "ok": not problem, "problem": problem, "duration_ms": took})


class LoginHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, name: str) -> None:
        """Begin a login at the server: `url` is where the person's browser goes, empty when it is not needed."""
        servers = await self.reachable()
        if len(_logins) >= MOST_LOGINS:
            _, (_, oldest) = next(iter(_logins.items()))
            await oldest.close()
        where = f"{self.request.protocol}://{self.request.host}{self.base_url.rstrip('/')}{ROOT}/{CALLBACK}"
        login = await servers.login(name, where)
        address = await login.address()
        if address:
            state = await login.state()
            _logins[state] = (self.owner, login)
            login.on_end(lambda: _logins.pop(state, None))
        self.reply({"url": address})


class LogoutHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self, name: str) -> None:
        """Forget the login at the server; then as `GET mcp`."""
        servers = await self.reachable()
        await servers.logout(name)
        self.reply(await servers.report())


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 0 24px }}
main {{ max-width: 32em; overflow-wrap: anywhere }} h1 {{ font-size: 1.3em; margin: 0 0 .3em }} p {{ margin: 0 }}
</style><main><h1>{title}</h1><p>{text}</p></main></html>"""


class CallbackHandler(McpHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Where the person's browser comes back to after a login: a page that says what became of it."""
        state = self.get_query_argument("state", "")
        owner, login = _logins.get(state, ("", None))
        if login is None or owner != self.owner:
            self._say(400, "No login waits for this answer", "Begin it again in the panel.")
            return
        login.give({key: self.get_query_argument(key) for key in self.request.query_arguments})
        try:
            await login.done()
        except SettingsError as error:
            self._say(400, f"Not logged in at {login.config.name}", str(error))
        else:
            self._say(200, f"Logged in at {login.config.name}", "This tab can be closed.")

    def _say(self, status: int, title: str, text: str) -> None:
        """What servers say is text here, and nothing of it is loaded or run."""
        self.set_status(status)
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        said = PAGE.format(title=escape(title), text=escape(text))
        self.finish(said, set_content_type="text/html; charset=utf-8")


MCP_ROUTES: tuple[Any, ...] = (
    Route("mcp", ServersHandler, {"post": "NewServer"}, ("session",)),
    Route("mcp/templates", TemplatesHandler),
    Route("mcp/servers/{server}", ServerHandler, query=("session",)),
    Route("mcp/refresh", RefreshHandler, {"post": "OfSession"}),
    Route("mcp/trust", TrustHandler, {"post": "Trust"}),
    Route(CALLBACK, CallbackHandler, query=("code", "state")),
    Route("mcp/{server}/on", SwitchHandler, {"post": "OfSession"}),
    Route("mcp/{server}/off", OffHandler, {"post": "OfSession"}),
    Route("mcp/{server}/test", TestHandler, {"post": "OfSession"}),
    Route("mcp/{server}/login", LoginHandler, {"post": "OfSession"}),
    Route("mcp/{server}/logout", LogoutHandler, {"post": "OfSession"}),
)
