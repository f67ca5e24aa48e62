"""Under a real JupyterHub: each user's server hosts that user's runs, behind the Hub's proxy and prefix."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tornado.websocket import websocket_connect

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.ports import free_port
from tests.server.conftest import PATIENCE, Jupyter, eventually, stop, wait_for, waits_for
from tests.server.test_kernels import Kernel

pytestmark = pytest.mark.slow
ADMIN = "admin-token-of-the-test"
CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/hub-prefix/"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.ConfigurableHTTPProxy.should_start = True
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/{{username}}"
c.Spawner.cmd = ["{python}", "-m", "jupyterhub.singleuser", "--allow-root"]
c.Spawner.environment = {environment!r}
c.Spawner.env_keep = ["PATH"]
c.Spawner.start_timeout = c.Spawner.http_timeout = {patience}
c.JupyterHub.services = [{{"name": "test", "api_token": "{admin}"}}]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"],
    "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"]}}]
"""


class Hub:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def api(self, method: str, path: str, **rest: Any) -> httpx2.Response:
        headers = {"Authorization": f"token {ADMIN}"}
        return httpx2.request(
            method, f"{self.url}/hub/api/{path}", headers=headers, timeout=PATIENCE, trust_env=False, **rest
        )

    def server(self, name: str, process: subprocess.Popen[bytes]) -> tuple[Jupyter, str]:
        """The user's running server as they reach it, and their token."""
        assert self.api("POST", f"users/{name}").status_code == 201
        assert self.api("POST", f"users/{name}/server").status_code in (201, 202)
        eventually(lambda: bool(self.api("GET", f"users/{name}").json().get("server")))
        token = str(self.api("POST", f"users/{name}/tokens", json={}).json()["token"])
        home = self.folder / name
        return Jupyter(f"{self.url}/user/{name}", home, home, process), token


@pytest.fixture
def hub(api: ScriptedMessages, tmp_path: Path) -> Iterator[tuple[Hub, subprocess.Popen[bytes]]]:
    port, hub_port, proxy_port = free_port(), free_port(), free_port()
    environment = {
        "AGENT_KERNEL_MODEL": "scripted",
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "key-of-the-test",
    }
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(
        CONFIG.format(
            port=port, hub_port=hub_port, proxy_port=proxy_port, folder=tmp_path, python=sys.executable,
            environment=environment, admin=ADMIN, patience=PATIENCE,
        )
    )  # fmt: skip
    log = tmp_path / "hub.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)], cwd=tmp_path, stdout=output, stderr=output,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}/hub-prefix"
    try:
        wait_for(f"{url}/hub/api/", process, log)
        yield Hub(url, tmp_path), process
    finally:
        stop(process)


def test_each_user_has_their_own_runs_and_cells_reach_them(
    hub: tuple[Hub, subprocess.Popen[bytes]], api: ScriptedMessages
) -> None:
    alice, hers = hub[0].server("alice", hub[1])
    bob, his = hub[0].server("bob", hub[1])
    assert alice.get("health", token=hers).status_code == 200
    assert bob.get("health", token=his).status_code == 200
    assert alice.get("runs", token=his).status_code in (403, 404)

    api.add([ToolUse("bash", {"command": "echo made > made.txt"})], [Text("Under the Hub.")])
    kernel = Kernel(alice, "hub.ipynb", token=hers, runtime=alice.home / ".local/share/jupyter/runtime")
    kernel.run("%load_ext agent_kernel")
    kernel.run("run = get_ipython().run_cell_magic('agent', '', 'Make it')")
    assert kernel.run("print(run.status, run.text)") == "completed Under the Hub.\n"
    assert kernel.run("import sys; print('sqlalchemy' in sys.modules)") == "False\n"
    run = kernel.run("print(run.id)").strip()
    assert alice.get(f"runs/{run}", token=hers).json()["owner"] == "alice"
    assert bob.get(f"runs/{run}", token=his).status_code == 404
    stream = alice.request("GET", f"runs/{run}/events", token=hers).json()["events"]
    assert stream[-1]["status"] == "completed"
    kernel.close()


def test_a_preview_is_reached_through_the_hubs_proxy_and_only_given_to_its_owner(
    hub: tuple[Hub, subprocess.Popen[bytes]], api: ScriptedMessages
) -> None:
    alice, hers = hub[0].server("alice", hub[1])
    (alice.folder / "work").mkdir()
    shutil.copy(Path(__file__).with_name("previewed.py"), alice.folder / "work" / "app.py")
    api.add(
        [ToolUse("bash", {"command": "exec python3 app.py 8123", "background": True})],
        [ToolUse("bash", waits_for("told"))],
        [Text("Served.")],
    )
    session = alice.post("sessions", {"workspace": "work"}, token=hers).json()["id"]
    run = alice.post("runs", {"session": session, "prompt": "Serve it"}, token=hers).json()["id"]

    def told() -> bool:
        events = alice.get(f"runs/{run}/events?limit=1000", token=hers).json()["events"]
        return any(event["type"] == "browser_update" for event in events)

    eventually(told)
    (alice.folder / "work" / "told").touch()
    assert alice.post(f"runs/{run}/previews/8123", token="").status_code == 403
    path = alice.post(f"runs/{run}/previews/8123", token=hers).json()["url"]
    assert path.startswith("/hub-prefix/user/alice/agent-kernel/preview/")
    address = alice.url.removesuffix("/hub-prefix/user/alice") + path
    page = httpx2.get(
        address, trust_env=False, timeout=PATIENCE, headers={"Cookie": "jupyterhub-session-id=x"}
    )
    assert page.status_code == 200 and "Hello" in page.text
    assert "cookie" not in httpx2.get(f"{address}headers", trust_env=False, timeout=PATIENCE).json()
    asyncio.run(_speak(address.replace("http", "ws", 1) + "ws"))


async def _speak(address: str) -> None:
    socket = await websocket_connect(address)
    assert await socket.read_message() == "None", "no origin was sent"
    await socket.write_message("through the proxy")
    assert await socket.read_message() == "through the proxy"
    socket.close()
