"""A real Jupyter server with the extension, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from tests.ports import free_port

TOKEN = "token-of-the-test"
PATIENCE = 90.0
"""Seconds for whatever a server does, on a machine that is busy with two other tests and whatever else."""


@dataclass
class Jupyter:
    """`get`, `post` and `stream` speak to `api/agent/`, with the person's token unless told otherwise."""

    url: str
    folder: Path
    home: Path
    process: subprocess.Popen[bytes]

    def request(self, method: str, path: str, *, token: str = TOKEN, **rest: Any) -> httpx2.Response:
        headers = {**({"Authorization": f"token {token}"} if token else {}), **rest.pop("headers", {})}
        address = path if path.startswith("http") else f"{self.url}/api/agent/{path}"
        return httpx2.request(method, address, headers=headers, timeout=PATIENCE, trust_env=False, **rest)

    def get(self, path: str, **rest: Any) -> httpx2.Response:
        return self.request("GET", path, **rest)

    def post(self, path: str, body: Any = None, **rest: Any) -> httpx2.Response:
        return self.request("POST", path, json={} if body is None else body, **rest)

    def session(self, name: str = "main", **rest: Any) -> str:
        response = self.post("sessions", {"name": name, "workspace": str(self.folder)}, **rest)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def run(self, prompt: str = "Go", session: str = "", **options: Any) -> str:
        body = {"session": session or self.session(), "prompt": prompt, **options}
        response = self.post("runs", body)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def ended(self, run: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The run once it is final."""
        deadline = time.monotonic() + seconds
        found: dict[str, Any] = {}
        while time.monotonic() < deadline:
            found = self.get(f"runs/{run}").json()
            if found["status"] in ("completed", "failed", "cancelled"):
                return found
            time.sleep(0.05)
        raise AssertionError(f"run {run} has not ended: {found}")

    def events(self, run: str) -> list[dict[str, Any]]:
        """All that is stored, page by page."""
        events: list[dict[str, Any]] = []
        while True:
            page = self.get(f"runs/{run}/events?after={len(events)}&limit=1000").json()
            events += page["events"]
            if len(events) >= page["head"]:
                return events

    def until(
        self, run: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE
    ) -> dict[str, Any]:
        """The first stored event that is wanted."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for event in self.events(run):
                if wanted(event):
                    return event
            time.sleep(0.05)
        raise AssertionError(f"not in {self.events(run)[-3:]}")


def waits_for(name: str, then: str = "true") -> dict[str, str]:
    """For `bash`: a command that goes on when the workspace has a file of that name."""
    return {"command": f"until [ -e {name} ]; do sleep 0.1; done; {then}"}


def eventually(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until it is so. Raises AssertionError when it has not become so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        time.sleep(0.05)


Start = Callable[..., AbstractContextManager[Jupyter]]


@pytest.fixture(scope="session")
def start() -> Start:
    """`with start(home, folder, api) as jupyter:` runs `jupyter server`."""
    return jupyter_server


@contextlib.contextmanager
def jupyter_server(
    home: Path,
    folder: Path,
    api: ScriptedMessages,
    *options: str,
    port: int = 0,
    base_url: str = "/",
    environ: Mapping[str, str] | None = None,
) -> Iterator[Jupyter]:
    for name in (home, folder):
        name.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AGENT_KERNEL_")},
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "AGENT_KERNEL_DATA_DIR": str(home / "agent-kernel"),
        "AGENT_KERNEL_MODEL": "scripted",
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "key-of-the-test",
        **(environ or {}),
    }
    command = [
        sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
        f"--ServerApp.base_url={base_url}", f"--IdentityProvider.token={TOKEN}", *options,
    ]  # fmt: skip
    log = home / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}{base_url.rstrip('/')}"
    try:
        wait_for(f"{url}/api/status", process, log)
        yield Jupyter(url, folder, home, process)
    finally:
        stop(process)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url, trust_env=False, timeout=PATIENCE).status_code in (200, 403):
                return
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


def stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def shared_api() -> Iterator[ScriptedMessages]:
    with ScriptedMessages() as server:
        yield server


@pytest.fixture(scope="module")
def jupyter(shared_api: ScriptedMessages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """One server for the tests of a module."""
    folder = tmp_path_factory.mktemp("jupyter")
    with jupyter_server(folder / "home", folder / "work", shared_api) as server:
        yield server
