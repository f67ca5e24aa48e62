"""Live previews of servers at Daytona: the same addresses, with the service's own behind them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.ports import free_port
from tests.sandbox.fake_daytona import KEY, FakeDaytona
from tests.server.conftest import PATIENCE, Jupyter, jupyter_server

APP = Path(__file__).with_name("previewed.py")


@pytest.fixture(scope="module")
def daytona(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeDaytona]:
    for program in ("bwrap", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"its containers need {program}")
    with FakeDaytona(tmp_path_factory.mktemp("daytona")) as service:
        yield service


@pytest.fixture(scope="module")
def jupyter(
    shared_api: ScriptedMessages, daytona: FakeDaytona, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("jupyter")
    there = {"AGENT_KERNEL_SANDBOX": "daytona", "DAYTONA_API_KEY": KEY, "DAYTONA_API_URL": daytona.url}
    with jupyter_server(folder / "home", folder / "work", shared_api, environ=there) as server:
        yield server


async def test_what_listens_at_daytona_is_told_and_reached_through_its_signed_address(
    jupyter: Jupyter, shared_api: ScriptedMessages, daytona: FakeDaytona
) -> None:
    shutil.copy(APP, jupyter.folder / "app.py")
    port = free_port()  # the fake's containers share this machine's network
    serve = {"command": f"echo http://localhost:{port}/; exec python3 app.py {port}", "background": True}
    listens = {"command": f"until (echo > /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done"}
    shared_api.add([ToolUse("bash", serve)], [ToolUse("bash", listens)], [Text("Served.")])
    run = jupyter.run("Serve it", jupyter.session("daytona"))
    assert jupyter.ended(run, 120)["status"] == "completed", jupyter.events(run)[-2:]
    (told,) = [event for event in jupyter.events(run) if event["type"] == "browser_update"]
    assert (told["url"], told["port"], told["title"]) == (f"http://localhost:{port}/", port, "The app")

    said = jupyter.post(f"runs/{run}/previews/{port}").json()
    left = said["expires_ms"] / 1e3 - time.time()
    assert 60 < left <= 300, "the page asks again before that"
    assert said["url"].startswith("/agent-kernel/preview/") and said["host_url"].startswith("http://preview-")
    address = f"http://{urlsplit(jupyter.url).netloc}{said['url']}"
    ask = httpx2.Client(base_url=address, timeout=PATIENCE, trust_env=False)
    page = ask.get("")
    assert "<h1 id=h>Hello</h1>" in page.text, "not the page the service shows to browsers first"
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "seconds=" not in page.text and not any(token in str(page.headers) for token in daytona.signed)
    assert ask.get("module.js?v=1").text == "document.title = 'module ran'"
    body = b"x" * 300_000
    assert ask.put("echo", content=body).json()["size"] == len(body)
    seen = json.loads(ask.get("login", headers={"Cookie": "_xsrf=of-jupyter"}, follow_redirects=True).text)
    assert (seen["cookie"], "x-daytona-skip-preview-warning" in seen) == ("user=ann", False)
    socket = await websocket_connect(HTTPRequest(address.replace("http", "ws", 1) + "ws"))
    assert await socket.read_message() == "None"
    await socket.write_message("hi")
    assert await socket.read_message() == "hi"
    socket.close()
    assert len(set(daytona.previewed)) == 1, "one signed address serves them all"

    daytona.stop()
    ask.headers["Connection"] = "close"  # one that is kept may be closed at the very moment it is used again
    assert ask.get("").status_code == 502
    assert ask.get("").status_code in (404, 502)
    assert ask.get("").text == "This preview has ended.\n"
    assert daytona.only.state == "stopped", "a page that was left open does not start it again"
