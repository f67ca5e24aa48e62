"""The desktop of a Daytona sandbox: the service's own, by its computer-use API."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from agent_kernel.errors import SandboxNotFound, SandboxUnavailable

if TYPE_CHECKING:
    from daytona import AsyncSandbox

    from agent_kernel.sandbox.daytona_api import Service

T = TypeVar("T")
PORT = 6080
URL = f"http://localhost:{PORT}/vnc.html?autoconnect=true&resize=scale&view_only=1"
MOST_DELAY = 8
"""Milliseconds between two typed characters."""
BARE = "The sandbox's image has no desktop."
IMAGE = "Use one that has Xvfb, a window manager, x11vnc and noVNC: see docs/browser.md."


class DaytonaDesktop:
    """See `Desktop` in base.py. Nothing that acts is tried twice: a click whose answer was lost may have happened."""

    def __init__(self, service: Service, remote: AsyncSandbox) -> None:
        self._service, self._remote = service, remote
        self._seconds = service.patience.request
        self._does = remote.computer_use
        self.size, self.display, self.url = (0, 0), ":1", URL

    async def open(self) -> None:
        """Raises SandboxUnavailable where the image has none."""
        try:
            await self._service.retry(lambda: self._does.start(request_timeout=self._seconds))
        except SandboxNotFound as error:
            raise SandboxUnavailable(BARE, hint=IMAGE) from error
        about = await self._service.retry(lambda: self._does.display.get_info(request_timeout=self._seconds))
        screens = about.displays or []
        first = next((screen for screen in screens if screen.is_active), screens[0] if screens else None)
        if first is None or not first.width or not first.height:
            raise SandboxUnavailable(BARE, hint=IMAGE)
        self.size = (int(first.width), int(first.height))

    async def screenshot(self) -> bytes:
        from daytona import ScreenshotOptions

        options = ScreenshotOptions(fmt="jpeg", quality=80, show_cursor=True)
        take = self._does.screenshot.take_compressed
        taken = await self._service.retry(lambda: take(options, request_timeout=self._seconds))
        return base64.b64decode(taken.screenshot or "")

    async def click(self, x: int, y: int, button: str = "left", count: int = 1) -> None:
        await self._once(lambda: self._does.mouse.click(x, y, button, clicks=count))

    async def drag(self, x: int, y: int, to_x: int, to_y: int) -> None:
        await self._once(lambda: self._does.mouse.drag(x, y, to_x, to_y))

    async def type(self, text: str) -> None:
        await self._once(lambda: self._does.keyboard.type(text, MOST_DELAY))

    async def press(self, keys: str) -> None:
        await self._once(lambda: self._does.keyboard.hotkey(keys))

    async def scroll(self, x: int, y: int, direction: str, amount: int) -> None:
        await self._once(lambda: self._does.mouse.scroll(x, y, direction, amount))

    async def _once(self, do: Callable[[], Awaitable[T]]) -> T:
        return await self._service.once(do)
