"""The session's browser: started with the first call that needs it, gone with the sandbox."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_kernel.errors import SandboxError, SandboxUnavailable, ToolError
from agent_kernel.events import Json
from agent_kernel.sandbox.base import NetworkPolicy, NetworkRequest, Sandbox
from agent_kernel.sandbox.driven import Driven
from agent_kernel.sandbox.egress import Gate, Refused, matches
from agent_kernel.tools.base import ToolContext
from agent_kernel.tools.browser.relay import find_program

HERE = Path(__file__).parent
SIZE = (1280, 800)
TIERS = ("bubblewrap", "daytona", "none")
STOP_TIMEOUT = 5.0
MISSING = "There is no Chromium in the sandbox."
INSTALL = "Install it on the machine (apt install chromium); at Daytona, use an image that has it (docs/browser.md)."


def can_run(provider: str) -> bool:
    """Whether a sandbox on this machine would have a browser to start."""
    if provider == "daytona":
        return True  # its image says
    return find_program() is not None and (provider == "none" or shutil.which("bwrap") is not None)


def source() -> str:
    """The driver with what it imports of ours in front: over there is nothing of this package."""
    relay, driver = ((HERE / name).read_text(encoding="utf-8") for name in ("relay.py", "driver.py"))
    return relay + "".join(
        line for line in driver.splitlines(True) if not line.startswith("from agent_kernel")
    )


class Failed(ToolError):
    """What the browser could not do, with the state it is in."""

    def __init__(self, text: str, state: Json) -> None:
        super().__init__(text)
        self.state = state


class BrowserSession(Driven):
    """One running browser. `request` raises Failed with words for the model."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox, "Browser", source())
        self.life = ""
        self._people = 0

    async def open(self) -> None:
        first = {
            "size": SIZE,
            "script": (HERE / "page.js").read_text(encoding="utf-8").rstrip().rstrip(";"),
            "downloads": f"{self.sandbox.workdir}/downloads",
        }
        try:
            await self.start(json.dumps(first).encode() + b"\n", within=60)
        except SandboxUnavailable as error:
            if "no Chromium" in self.ended:
                raise ToolError(MISSING, hint=INSTALL) from error
            raise
        self.life = self.sandbox.life

    @property
    def is_there(self) -> bool:
        return self.alive and self.life == self.sandbox.life

    async def request(self, door: Door, within: float, do: str, **options: Any) -> Json:
        """The answer to one request; meanwhile the browser may ask who may be reached."""
        await self.send({"do": do, **options})
        asking: set[asyncio.Task[None]] = set()
        over = False
        try:
            async with asyncio.timeout(within) as patience:
                while True:
                    frame = await self.frames.get()
                    if frame is None:
                        over = True
                        raise ToolError(
                            f"The browser ended ({self.ended}).", hint="The next call starts a new one."
                        )
                    if frame["kind"] == "ask":
                        asking.add(asyncio.create_task(self._answer(door, frame, patience, within)))
                        continue
                    over = True
                    if frame["kind"] == "error":
                        raise Failed(frame["text"], frame)
                    return frame
        except TimeoutError:
            raise ToolError(f"The browser took longer than {within:g} s and was stopped.") from None
        finally:
            for task in asking:
                task.cancel()
            if not over:
                await asyncio.shield(self._stop())

    async def _answer(self, door: Door, frame: Json, patience: asyncio.Timeout, within: float) -> None:
        """People take their time; it is not the browser's."""
        quiet = bool(frame["quiet"])
        if not quiet:
            self._people += 1
            patience.reschedule(None)
        request = NetworkRequest(str(frame["host"]), int(frame["port"]), url=str(frame["url"]))
        try:
            why = await door.refusal(request, quiet=quiet)
        finally:
            self._people -= not quiet
        if not quiet and not self._people:
            patience.reschedule(asyncio.get_running_loop().time() + within)
        await self.send({"key": frame["key"], "allow": not why, "why": why})

    async def _stop(self) -> None:
        """Whoever asked has left: the browser stays, what it was at does not."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.send({"do": "stop"})
                while (frame := await self.frames.get()) is not None and frame["kind"] not in (
                    "done",
                    "error",
                ):
                    pass
        except (TimeoutError, SandboxError):
            await self.close()


@dataclass(slots=True)
class Door:
    """Who may be reached during one call. The sandbox's own way out decides again, with each connection."""

    tier: str
    policy: NetworkPolicy
    granted: set[str] = field(default_factory=set)

    async def refusal(self, request: NetworkRequest, *, quiet: bool = False) -> str:
        """Empty when it may; else why not. `quiet`: nobody is bothered, as for what a page loads from elsewhere."""
        if self.tier == "daytona":
            return ""  # its own wall decides, and asks nobody
        if quiet:
            known = matches(request.host, self.policy.allow) or request.host in self.granted
            known = known or (request.host, request.port) in self.policy.allow_private
            return (
                "" if known or (self.policy.lets is not None and self.policy.lets(request)) else "not asked"
            )
        try:
            await Gate(self.policy).address(request)
        except Refused as error:
            return str(error)
        except (socket.gaierror, OSError, UnicodeError):
            return f"There is no host {request.host!r}."
        self.granted.add(request.host)
        return ""


async def session_of(context: ToolContext, *, start: bool) -> tuple[BrowserSession, bool]:
    """The running browser (True when an earlier one is gone). Without `start` it must have been started."""
    if context.sandbox.tier not in TIERS:
        raise ToolError(
            f"A browser needs a sandbox with a network of its own; this one ({context.sandbox.tier}) has none.",
            hint="Install bubblewrap, or use --sandbox daytona.",
        )
    found: BrowserSession | None = context.state.get("browser")
    if found is not None and found.is_there:
        return found, False
    if found is not None:
        context.state.pop("browser", None)
        await found.close()
    if not start:
        raise ToolError(
            "The browser was started anew and has no page." if found else "No page is open.",
            hint="Use browser_navigate first.",
        )
    session = BrowserSession(context.sandbox)
    try:
        await session.open()
    except BaseException:
        await asyncio.shield(session.close())
        raise
    context.state["browser"] = session
    return session, found is not None


def lock_of(context: ToolContext) -> asyncio.Lock:
    lock: asyncio.Lock = context.state.setdefault("browser-lock", asyncio.Lock())
    return lock
