"""The desktop of a local sandbox: started with the first use, gone with the sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from agent_kernel.errors import SandboxError, SandboxTimeout, SandboxUnavailable
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.driven import Driven

HERE = Path(__file__).parent
SIZE, PORT = (1280, 800), 6080
PATIENCE = 60.0
MISSING = "The desktop needs programs that are not installed: {packages}."
INSTALL = "Install them on the machine: apt install {packages}"


def missing_packages() -> list[str]:
    """Of this machine, whose programs its sandboxes see."""
    from agent_kernel.sandbox import desktop_server

    missing: list[str] = desktop_server.missing_packages()
    return missing


class LocalDesktop(Driven):
    """See `Desktop` in base.py."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox, "Desktop", (HERE / "desktop_server.py").read_text(encoding="utf-8"))
        self.size, self.display, self.url = SIZE, "", ""
        self.life = ""
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Raises SandboxUnavailable with what to install."""
        page = (HERE.parent / "static" / "desktop.html").read_text(encoding="utf-8")
        first = json.dumps({"size": SIZE, "port": PORT, "page": page})
        try:
            ready = await self.start(first.encode() + b"\n", within=PATIENCE)
        except SandboxUnavailable as error:
            if self.ended.startswith("MISSING "):
                packages = self.ended.removeprefix("MISSING ")
                raise SandboxUnavailable(
                    MISSING.format(packages=packages), hint=INSTALL.format(packages=packages)
                ) from error
            raise
        self.display, self.life = str(ready["display"]), self.sandbox.life
        self.url = f"http://localhost:{int(ready['port'])}/?view_only=1"

    @property
    def is_there(self) -> bool:
        return self.alive and self.life == self.sandbox.life

    async def screenshot(self) -> bytes:
        return base64.b64decode((await self._do("screenshot"))["image"])

    async def click(self, x: int, y: int, button: str = "left", count: int = 1) -> None:
        await self._do("click", x=x, y=y, button=button, count=count)

    async def drag(self, x: int, y: int, to_x: int, to_y: int) -> None:
        await self._do("drag", x=x, y=y, to_x=to_x, to_y=to_y)

    async def type(self, text: str) -> None:
        await self._do("type", text=text)

    async def press(self, keys: str) -> None:
        await self._do("key", keys=keys)

    async def scroll(self, x: int, y: int, direction: str, amount: int) -> None:
        await self._do("scroll", x=x, y=y, direction=direction, amount=amount)

    async def _do(self, do: str, **options: Any) -> dict[str, Any]:
        """Whoever asks may leave: the answer is waited for all the same, or the next one would take it for its own."""
        return await asyncio.shield(asyncio.ensure_future(self._request({"do": do, **options})))

    async def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            await self.send(request)
            try:
                async with asyncio.timeout(PATIENCE):
                    frame = await self.frames.get()
            except TimeoutError:
                await self.close()
                raise SandboxTimeout(f"The desktop did not answer within {PATIENCE:.0f} s.") from None
        if frame is None:
            raise SandboxUnavailable(
                f"The desktop has ended: {self.ended}", hint="The next call starts it anew."
            )
        if frame["kind"] == "error":
            raise SandboxError(str(frame["text"]))
        return frame
