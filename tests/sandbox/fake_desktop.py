"""The computer-use part of the Daytona at the wire: a real screen in the sandbox's container, used by real programs."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.sandbox.fake_daytona import Container

DISPLAY, SIZE = ":1", (1024, 768)
BUTTONS = {"left": "1", "middle": "2", "right": "3"}
WHEEL = {"up": "4", "down": "5", "left": "6", "right": "7"}


def routes(of: Callable[[web.Request], Container], box: str) -> list[web.RouteDef]:
    """`of` finds the container a request is for; `box` is where toolboxes begin."""

    async def run(request: web.Request, *argv: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *of(request).entering(), "env", f"DISPLAY={DISPLAY}", *argv, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, said = await process.communicate()
        if process.returncode:
            raise web.HTTPBadRequest(text=said.decode())
        return out

    async def start(request: web.Request) -> web.Response:
        container = of(request)
        if container.fields["snapshot"] == "bare":
            return web.json_response(
                {"statusCode": 404, "message": "computer use is not available"}, status=404
            )
        screen = "{}x{}x24".format(*SIZE)
        if not container.path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").exists():
            await asyncio.create_subprocess_exec(
                *container.entering(), "Xvfb", DISPLAY, "-screen", "0", screen, "-nolisten", "tcp", "-noreset",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            async with asyncio.timeout(60):
                while not container.path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").exists():  # noqa: ASYNC110 - a program's
                    await asyncio.sleep(0.02)
        return web.json_response({"message": "started", "status": {}})

    async def display(request: web.Request) -> web.Response:
        width, height = SIZE
        return web.json_response(
            {"displays": [{"id": 0, "x": 0, "y": 0, "width": width, "height": height, "isActive": True}]}
        )

    async def screenshot(request: web.Request) -> web.Response:
        assert request.query["format"] == "jpeg"
        await run(request, "scrot", "--overwrite", "--quality", request.query["quality"], "/tmp/shot.jpg")
        data = of(request).path("/tmp/shot.jpg").read_bytes()
        return web.json_response({"screenshot": base64.b64encode(data).decode(), "sizeBytes": len(data)})

    async def click(request: web.Request) -> web.Response:
        body = await request.json()
        count = str(body.get("clicks") or (2 if body.get("double") else 1))
        await run(request, "xdotool", "mousemove", str(body["x"]), str(body["y"]), "click", "--repeat", count,
                  BUTTONS[body.get("button") or "left"])  # fmt: skip
        return web.json_response({"x": body["x"], "y": body["y"]})

    async def drag(request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        await run(request, "xdotool", "mousemove", str(body["startX"]), str(body["startY"]), "mousedown", "1",
                  "mousemove", str(body["endX"]), str(body["endY"]), "mouseup", "1")  # fmt: skip
        return web.json_response({"x": body["endX"], "y": body["endY"]})

    async def scroll(request: web.Request) -> web.Response:
        body = await request.json()
        await run(request, "xdotool", "mousemove", str(body["x"]), str(body["y"]), "click", "--repeat",
                  str(body.get("amount", 1)), WHEEL[body["direction"]])  # fmt: skip
        return web.json_response({"success": True})

    async def write(request: web.Request) -> web.Response:
        await run(request, "xdotool", "type", "--delay", "5", "--", (await request.json())["text"])
        return web.json_response({})

    async def hotkey(request: web.Request) -> web.Response:
        await run(request, "xdotool", "key", "--", (await request.json())["keys"])
        return web.json_response({})

    place = f"{box}/computeruse"
    return [
        web.post(f"{place}/start", start),
        web.get(f"{place}/display/info", display),
        web.get(f"{place}/screenshot/compressed", screenshot),
        web.post(f"{place}/mouse/click", click),
        web.post(f"{place}/mouse/drag", drag),
        web.post(f"{place}/mouse/scroll", scroll),
        web.post(f"{place}/keyboard/type", write),
        web.post(f"{place}/keyboard/hotkey", hotkey),
    ]
