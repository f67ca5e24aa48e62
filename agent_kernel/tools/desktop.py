"""`desktop_…`: a screen in the sandbox with a mouse and a keyboard, which a person can watch and take over."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.sandbox.base import Desktop
from agent_kernel.sandbox.desktop import SIZE, missing_packages
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput, ToolRun
from agent_kernel.tools.images import image_block

SETTLE = 0.4
"""Seconds between an action and the picture of what came of it."""
MOST_TEXT = 4_000
LONGEST_WAIT = 10
STRANGERS = "the screen of the desktop"


async def screenshot(args: Json, context: ToolContext) -> ToolOutput:
    async def act(desktop: Desktop) -> str:
        await asyncio.sleep(min(args.get("wait", 0), LONGEST_WAIT))
        return ""

    return await _on_desktop(context, act, settle=0)


async def click(args: Json, context: ToolContext) -> ToolOutput:
    async def act(desktop: Desktop) -> str:
        x, y = _place(args, desktop)
        if "drag_to" in args:
            to_x, to_y = _place(args["drag_to"], desktop)
            await desktop.drag(x, y, to_x, to_y)
            return f"Dragged from {x}, {y} to {to_x}, {to_y}."
        button, count = args.get("button", "left"), args.get("count", 1)
        await desktop.click(x, y, button, count)
        how = "".join([f" ({button})" * (button != "left"), f", {count} times" * (count != 1)])
        return f"Clicked {x}, {y}{how}."

    return await _on_desktop(context, act)


async def type_text(args: Json, context: ToolContext) -> ToolOutput:
    async def act(desktop: Desktop) -> str:
        await desktop.type(args["text"])
        return f"Typed {len(args['text'])} characters."

    return await _on_desktop(context, act)


async def press(args: Json, context: ToolContext) -> ToolOutput:
    async def act(desktop: Desktop) -> str:
        await desktop.press(args["keys"])
        return f"Pressed {args['keys']}."

    return await _on_desktop(context, act)


async def scroll(args: Json, context: ToolContext) -> ToolOutput:
    async def act(desktop: Desktop) -> str:
        x, y = _place(args, desktop)
        await desktop.scroll(x, y, args["direction"], args.get("amount", 3))
        return f"Scrolled {args['direction']} at {x}, {y}."

    return await _on_desktop(context, act)


async def _on_desktop(
    context: ToolContext, act: Callable[[Desktop], Awaitable[str]], *, settle: float = SETTLE
) -> ToolOutput:
    """The action, and the screen after it."""
    note = await context.turn() if context.turn is not None else ""
    known = context.sandbox.desktop_url
    desktop = await context.sandbox.desktop()
    lines = [note] if note else []
    if not known:
        lines.append(
            f"The desktop was started. Programs appear on it with DISPLAY={desktop.display} "
            "(bash, background); the person sees it live."
        )
    if done := await act(desktop):
        lines.append(done)
    await asyncio.sleep(settle)
    image = image_block(base64.b64encode(await desktop.screenshot()).decode())
    if image is None:
        raise ToolError("The screen could not be shown as a picture.")
    lines.append(f"The screen ({desktop.size[0]} × {desktop.size[1]}):")
    return ToolOutput(content=[{"type": "text", "text": "\n".join(lines)}, image], foreign=_source(context))


def _source(context: ToolContext) -> str:
    """Programs that have reached the internet may show what strangers wrote."""
    return STRANGERS if context.sandbox.was_outside else ""


def _place(args: Json, desktop: Desktop) -> tuple[int, int]:
    x, y = int(args["x"]), int(args["y"])
    width, height = desktop.size
    if not (0 <= x < width and 0 <= y < height):
        raise ToolError(f"{x}, {y} is not on the screen: it is {width} × {height} pixels.")
    return x, y


# -- the tools -----------------------------------------------------------------------------------------------

_AT: Json = {
    "x": {"type": "integer", "minimum": 0, "description": "Pixels from the left."},
    "y": {"type": "integer", "minimum": 0, "description": "Pixels from the top."},
}


def _tool(
    name: str, run: ToolRun, description: str, summary: str, describe: Callable[[Json], str], required: list[str],
    **properties: Json,
) -> Tool:  # fmt: skip
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(
        name=name, description=description, input_schema=schema, access="sandbox", run=run, describe=describe,
        summary=summary,
    )  # fmt: skip


DESKTOP_TOOLS = (
    _tool(
        "desktop_screenshot", screenshot,
        f"Look at the sandbox's desktop ({SIZE[0]} × {SIZE[1]}), starting it when there is none. It is for programs "
        "with windows; for pages use the browser tools. The person watches it live and can take it over.",
        "Look at the desktop", lambda args: "Look at the desktop", [],
        wait={"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "description": "Seconds to wait before."},
    ),
    _tool(
        "desktop_click", click,
        "Click on the desktop, or drag; gives the screen afterwards.",
        "Click on the desktop", lambda args: f"Click {args.get('x')}, {args.get('y')}", ["x", "y"],
        **_AT,
        button={"enum": ["left", "right", "middle"]},
        count={"type": "integer", "minimum": 1, "maximum": 3, "description": "2 is a double click."},
        drag_to={
            "type": "object", "properties": _AT, "required": ["x", "y"], "additionalProperties": False,
            "description": "Hold the button and move there.",
        },
    ),
    _tool(
        "desktop_type", type_text,
        "Type text where the focus is (a line break is Enter); gives the screen afterwards.",
        "Type on the desktop", lambda args: f"Type {args.get('text')}", ["text"],
        text={"type": "string", "minLength": 1, "maxLength": MOST_TEXT},
    ),
    _tool(
        "desktop_key", press,
        "Press a key or a chord on the desktop (`Return`, `ctrl+s`, `alt+F4`); gives the screen afterwards.",
        "Press keys on the desktop", lambda args: f"Press {args.get('keys')}", ["keys"],
        keys={"type": "string", "minLength": 1, "maxLength": 60, "pattern": r"^[A-Za-z0-9_+\- ]+$|^.$"},
    ),
    _tool(
        "desktop_scroll", scroll,
        "Turn the mouse wheel at a place of the desktop; gives the screen afterwards.",
        "Scroll on the desktop", lambda args: f"Scroll {args.get('direction')}", ["x", "y", "direction"],
        **_AT,
        direction={"enum": ["up", "down", "left", "right"]},
        amount={"type": "integer", "minimum": 1, "maximum": 30, "description": "Notches (default 3)."},
    ),
)  # fmt: skip


def can_run(provider: str) -> bool:
    """Whether a sandbox on this machine would have a desktop."""
    return provider == "daytona" or not missing_packages()
