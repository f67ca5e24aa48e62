"""The extension as Jupyter sees it: settings in, routes out, and a clean end."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Int

from agent_kernel.errors import AgentKernelError, ServerUnreachable
from jupyter_ext.kernels import Kernels
from jupyter_ext.preview import Previews, put_first
from jupyter_ext.rate import Bucket

if TYPE_CHECKING:
    from agent_kernel.app import App

NAME = "agent_kernel"
WARM_UP = 3.0
"""Seconds after the start of a kernel until the App is opened."""
LOOK_BACK, LOOK_AGAIN = 1.0, 10.0
"""Seconds after the server's start until unfinished runs are looked for, and between attempts when that fails."""


class AgentKernelExtension(ExtensionApp):  # type: ignore[misc]
    """Hosts agent-kernel's runs in this Jupyter server."""

    name = NAME
    load_other_extensions = True

    heartbeat = Float(15.0, help="Seconds between signs of life on a quiet event stream.").tag(config=True)
    stall_timeout = Float(20.0, help="Seconds after which a client that does not read is dropped.").tag(
        config=True
    )
    requests_per_second = Int(50, help="Requests a user may make in the long run.").tag(config=True)
    most_upload_bytes = Int(1 << 30, help="The largest file that can be uploaded into a workspace.").tag(
        config=True
    )
    most_body_bytes = Int(2 << 20, help="The largest request body taken.").tag(config=True)

    def initialize_settings(self) -> None:
        self.kernels = Kernels()
        self.kernels.watch(self.serverapp, self._warm_up)
        self._warming: asyncio.TimerHandle | None = None
        self.buckets: defaultdict[str, Bucket] = defaultdict(lambda: Bucket(self.requests_per_second))
        self.previews = Previews()
        self._opening = asyncio.Lock()
        self._app: App | None = None
        self._ended = False
        self.settings[NAME] = self

    def initialize_handlers(self) -> None:
        from jupyter_ext.routes import handlers

        self.handlers.extend(handlers())
        put_first(self.serverapp.web_app)

    async def app(self) -> App:
        """The one App of this server, opened when it is first needed. Raises ServerUnreachable once the server ends.

        What it imports (the ORM above all) takes most of a second: not on the loop, and not before.
        """
        async with self._opening:
            if self._ended:  # pages and kernels ask on while it waits for its kernels
                raise ServerUnreachable(
                    "This Jupyter server is ending.", hint="Its runs go on when it is back."
                )
            if self._app is None:
                self._app, self._closing = await (await asyncio.to_thread(_opener))(self.kernels.lives)
                self._metrics = _metrics(self._app)
        self._app.redactor.keep_only("kernels", self.kernels.tokens)
        return self._app

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Go on with what was unfinished when this server last ended; else open nothing yet."""
        self._opener = asyncio.create_task(self._look_back())

    async def _look_back(self) -> None:
        await asyncio.sleep(LOOK_BACK)
        if await asyncio.to_thread(_unfinished):
            while not await self._try_to_open():  # noqa: ASYNC110 - the database may come back later than this server
                await asyncio.sleep(LOOK_AGAIN)

    def _warm_up(self) -> None:
        """Open the App in a moment, when the kernel that was just asked for has had its turn."""
        if self._app is not None:
            self._app.redactor.keep_only("kernels", self.kernels.tokens)
        elif self._warming is None:
            self._warming = asyncio.get_running_loop().call_later(WARM_UP, self._open_soon)

    def _open_soon(self) -> None:
        self._opened_soon = asyncio.create_task(self._try_to_open())

    async def _try_to_open(self) -> bool:
        try:
            await self.app()
        except AgentKernelError as error:  # whoever asks for a run is told
            self.log.warning("agent-kernel: %s", error)
            return False
        return True

    def current_activity(self) -> dict[str, Any] | None:
        """What keeps a server from being culled: runs that are worked on."""
        working = self._app.working if self._app is not None else 0
        return {"runs": working} if working else None

    async def stop_extension(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
        self._opener.cancel()
        async with self._opening:
            self._ended = True
            if self._app is not None:
                await self._metrics.stop()
                await self._closing.aclose()
                self._app = None


def _unfinished() -> bool:
    from agent_kernel.runs.glance import unfinished
    from agent_kernel.settings import load_settings

    settings = load_settings()
    return bool(settings.database_url) or unfinished(settings.folder / "runs.db")


def _metrics(app: App) -> Any:
    from jupyter_ext.metrics import Metrics

    metrics = Metrics(app)
    metrics.start()
    return metrics


def _opener() -> Any:
    """Everything that is slow to import, imported; how to open the App."""
    gc.freeze()
    import anthropic  # noqa: F401 - the first run should not wait for it
    import jsonschema  # noqa: F401

    from agent_kernel.app import open_app
    from agent_kernel.dispatch import Dispatcher
    from agent_kernel.settings import load_settings
    from agent_kernel.telemetry.logs import configure_logs
    from agent_kernel.tools.notebook.far_pages import reachable
    from agent_kernel.tools.notebook.pages import Pages

    # What is imported stays. To look through it for garbage (400,000 objects) stops the whole server for 0.3 s, and
    # happens again and again.
    gc.freeze()
    settings = load_settings()
    configure_logs(settings)

    async def opened(lives: Callable[[str], bool]) -> tuple[App, AsyncExitStack]:
        app = await open_app(settings)
        app.pages = Pages()
        closing = AsyncExitStack()
        try:
            await closing.enter_async_context(app)
            await closing.enter_async_context(reachable(app.pages, settings.folder))
            dispatcher = Dispatcher(app, lives=lives)
            await dispatcher.start()
            closing.push_async_callback(dispatcher.close)
        except BaseException:
            await closing.aclose()
            raise
        return app, closing

    return opened
