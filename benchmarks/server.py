"""What the server extension costs JupyterLab, and how soon a run begins."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent_kernel.testing.messages_api import ScriptedMessages
from benchmarks.figure import Figure, median, ratio

SETTLED = 3.0
"""Seconds after the start at which memory is read."""


@contextmanager
def lab(folder: Path, *options: str, extension: bool, api: str = "") -> Iterator[tuple[str, int]]:
    """`jupyter lab`, answering; its address and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder),
        "JUPYTER_DATA_DIR": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "AGENT_KERNEL_MODEL": "scripted",
        "ANTHROPIC_BASE_URL": api,
    }
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--IdentityProvider.token=bench", f"--ServerApp.root_dir={folder}",
        f"--ServerApp.jpserver_extensions={{'jupyter_ext': {extension}}}", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{url}/api/status?token=bench", timeout=1):
                break
            time.sleep(0.01)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


async def started(*, extension: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        since = time.perf_counter()
        with lab(Path(folder), extension=extension):
            return time.perf_counter() - since


async def memory(*, extension: bool) -> float:
    """Resident megabytes of a server nobody has used yet."""
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), extension=extension) as (_, pid):
        time.sleep(SETTLED)  # noqa: ASYNC251 - nothing else happens here
        status = Path(f"/proc/{pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


async def figures() -> list[Figure]:
    return [
        await ratio(
            "JupyterLab's start",
            lambda: started(extension=True),
            lambda: started(extension=False),
            reference="without the extension",
            goal="≤ 1.1",
            rounds=5,
        ),
        await ratio(
            "JupyterLab's memory",
            lambda: memory(extension=True),
            lambda: memory(extension=False),
            reference="without the extension",
            goal="≤ 1.25",
            rounds=3,
        ),
        await first_event(),
    ]


async def first_event() -> Figure:
    """From the request for a run to the run's own first word, in a server that has nothing else to do."""
    import httpx2

    with (
        ScriptedMessages() as api,
        tempfile.TemporaryDirectory() as folder,
        lab(Path(folder), extension=True, api=api.url) as (url, _),
        httpx2.Client(
            base_url=f"{url}/api/agent/",
            headers={"Authorization": "token bench"},
            timeout=30,
            trust_env=False,
        ) as client,
    ):

        async def start() -> float:
            session = client.post("sessions", json={"workspace": folder, "new": True}).json()["id"]
            asked = time.time()
            run = client.post("runs", json={"session": session, "prompt": "go"}).json()["id"]
            return (_running(client, run) - asked) * 1e3

        return await median(
            "start of a run", start, unit="ms", reference="after the request", goal="≤ 50", rounds=15
        )


def _running(client: Any, run: str) -> float:
    """When the run said that it is running, in seconds since 1970."""
    for _ in range(500):
        events = client.get(f"runs/{run}/events").json()["events"]
        for event in events:
            if event["type"] == "status" and event["status"] == "running":
                return float(event["timestamp"]) / 1e3
        time.sleep(0.01)
    raise AssertionError(f"run {run} has not begun")
