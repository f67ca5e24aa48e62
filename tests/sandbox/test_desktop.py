"""The desktop: seen and used by the same tools in a local sandbox and at Daytona."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent_kernel.events import BrowserUpdate, Event, ToolResult
from agent_kernel.previews import PreviewWatch
from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.daytona_api import Access
from agent_kernel.sandbox.desktop import missing_packages
from agent_kernel.tools.desktop import DESKTOP_TOOLS
from agent_kernel.tools.images import pixels
from tests.sandbox.conftest import QUICK, REAL, Opener
from tests.tools.conftest import Desk, said

CLIENT = Path(__file__).with_name("x_client.py")


@pytest.fixture(autouse=True)
def its_programs_are_there() -> None:
    assert not missing_packages(), "These tests need them: bash tests/system.sh desktop"


@pytest.fixture(params=["bubblewrap", "daytona", *(["daytona-real"] if REAL else [])])
async def desk(request: pytest.FixtureRequest, workspace: Path, tmp_path: Path) -> Desk:
    """In whichever sandbox: `Desk.close` is the sandbox's own end here."""
    options: dict[str, object] = {"tier": "bubblewrap"}
    if request.param != "bubblewrap":
        service = Access(REAL) if request.param == "daytona-real" else request.getfixturevalue("access")
        options = {"provider": "daytona", "daytona": service, "patience": QUICK}
    (workspace / "x_client.py").write_bytes(CLIENT.read_bytes())
    sandbox = await open_sandbox(workspace=workspace, data_dir=tmp_path / "data", **options)  # type: ignore[arg-type]
    return desk_of(sandbox, workspace)


def desk_of(sandbox: Sandbox, workspace: Path) -> Desk:
    desk = Desk(sandbox, workspace)
    for tool in DESKTOP_TOOLS:
        desk.add(tool)
    return desk


async def shown_by(sandbox: Sandbox) -> BrowserUpdate:
    """What people are told of it."""
    told: asyncio.Queue[Event] = asyncio.Queue()
    watch = PreviewWatch(sandbox, told.put)
    watch.heard(ToolResult(id="a", content=[]), background=False)
    try:
        async with asyncio.timeout(60):
            update = await told.get()
    finally:
        await watch.close()
    assert isinstance(update, BrowserUpdate)
    return update


async def events_of(sandbox: Sandbox, *wanted: str) -> str:
    """What the program with a window was told, once all of `wanted` is in it."""
    tests = " && ".join(f"grep -qF '{line}' told" for line in wanted)
    await sandbox.exec(f"until {tests}; do sleep 0.05; done", timeout=60)
    return (await sandbox.read("told")).decode()


async def test_a_program_is_seen_clicked_typed_into_and_scrolled(desk: Desk) -> None:
    async with desk.sandbox:
        assert desk.sandbox.desktop_url == ""
        first = await desk.call("desktop_screenshot")
        assert not first.is_error, said(first)
        assert "The desktop was started" in said(first) and not first.foreign
        desktop = await desk.sandbox.desktop()
        assert f"DISPLAY={desktop.display}" in said(first)
        picture = base64.b64decode(first.content[1]["source"]["data"])
        assert pixels(picture) == desktop.size
        await desk.sandbox.exec(f"DISPLAY={desktop.display} exec python3 x_client.py told", background=True)
        assert "shown" in await events_of(desk.sandbox, "shown")
        await desk.text("desktop_click", x=500, y=310, count=2)
        await desk.text("desktop_click", x=600, y=410, button="right")
        await desk.text("desktop_type", text="Hi-2")
        await desk.text("desktop_key", keys="ctrl+s")
        await desk.text("desktop_scroll", x=550, y=360, direction="down", amount=2)
        await desk.text("desktop_click", x=400, y=210, drag_to={"x": 440, "y": 250})
        told = await events_of(desk.sandbox, "button 1 400 210", "button 5 550 360", "key s ctrl")
        assert [line for line in told.splitlines() if "0xff" not in line] == [
            "shown", "button 1 500 310", "button 1 500 310", "button 3 600 410", "key H", "key i", "key -", "key 2",
            "key s ctrl", "button 5 550 360", "button 5 550 360", "button 1 400 210",
        ]  # fmt: skip
        assert "is not on the screen" in await desk.error("desktop_click", x=5000, y=1)
        shown = await shown_by(desk.sandbox)
        assert (shown.kind, shown.url, shown.live) == ("desktop", desk.sandbox.desktop_url, True)
        assert "view_only=1" in shown.url and f":{shown.port}/" in shown.url
        await desk.sandbox.stop()
        assert desk.sandbox.desktop_url == ""


async def test_what_is_missing_is_named_with_how_to_get_it(workspace: Path, tmp_path: Path) -> None:
    """The sandbox's PATH leads to Python alone."""
    (workspace / "bin").mkdir()
    (workspace / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    path = {"PATH": "/workspace/bin"}
    async with await open_sandbox(workspace=workspace, data_dir=tmp_path / "d", env=path) as sandbox:
        words = await desk_of(sandbox, workspace).error("desktop_screenshot")
        assert "apt install xvfb xdotool scrot x11vnc openbox" in words


async def test_an_image_without_a_desktop_says_so(access: Access, workspace: Path, tmp_path: Path) -> None:
    bare = replace(access, snapshot="bare")
    sandbox = await open_sandbox(
        workspace=workspace, data_dir=tmp_path / "d", provider="daytona", daytona=bare, patience=QUICK
    )
    async with sandbox:
        words = await desk_of(sandbox, workspace).error("desktop_screenshot")
        assert "The sandbox's image has no desktop" in words


async def test_the_browser_of_a_remote_sandbox_is_driven_there(open_remote: Opener, workspace: Path) -> None:
    """By the same program; whom its pages reach is the service's own business."""
    (workspace / "shop.html").write_text(
        "<title>Shop</title><button onclick='document.title = 1'>Buy</button>"
    )
    sandbox = await open_remote()
    desk = Desk(sandbox, workspace)
    assert 'button "Buy"' in await desk.text("browser_navigate", url="shop.html")
    assert "Page: 1\n" in await desk.text("browser_click", selector="text=Buy")
    picture = await desk.call("browser_screenshot")
    assert picture.content[1]["source"]["media_type"] == "image/jpeg"
    await desk.close()
