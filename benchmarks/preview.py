"""How much later the first byte of a previewed app comes than from the app itself."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx2

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from benchmarks.figure import Figure, median
from benchmarks.server import lab

PORT = 8450
SERVE = f"exec python3 -m http.server {PORT} --bind 127.0.0.1"
TIMED = """
import http.client, time
def first():
    since = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("GET", "/page.html")
    connection.getresponse().read(1)
    return (time.perf_counter() - since) * 1e3
times = sorted(first() for _ in range(41))
print(times[20])
""".replace("PORT", str(PORT))


async def figures() -> list[Figure]:
    with (
        ScriptedMessages() as api,
        tempfile.TemporaryDirectory() as folder,
        lab(Path(folder), extension=True, api=api.url) as (url, _),
        httpx2.Client(
            base_url=url, headers={"Authorization": "token bench"}, timeout=60, trust_env=False
        ) as client,
    ):
        (Path(folder) / "page.html").write_text("<h1>Hello</h1>" * 100)
        (Path(folder) / "timed.py").write_text(TIMED)
        api.add([ToolUse("bash", {"command": SERVE, "background": True})],
                [ToolUse("bash", {"command": "sleep 1; python3 timed.py"})], [Text("Served.")])  # fmt: skip
        session = client.post("/api/agent/sessions", json={"workspace": folder}).json()["id"]
        run = client.post("/api/agent/runs", json={"session": session, "prompt": "go"}).json()["id"]
        direct = _direct(client, run)
        address = client.post(f"/api/agent/runs/{run}/previews/{PORT}").json()["url"]

        async def over() -> float:
            since = time.perf_counter()
            with client.stream("GET", f"{address}page.html") as answer:
                next(answer.iter_raw())
            return (time.perf_counter() - since) * 1e3 - direct

        return [
            await median(
                "first byte of a preview",
                over,
                unit="ms",
                reference=f"over the app itself, inside ({direct:.1f} ms)",
                goal="≤ 50",
                rounds=41,
            )
        ]


def _direct(client: httpx2.Client, run: str) -> float:
    """Milliseconds that a request takes in the sandbox, once the run has ended."""
    while client.get(f"/api/agent/runs/{run}").json()["status"] not in ("completed", "failed"):
        time.sleep(0.1)
    events = client.get(f"/api/agent/runs/{run}/events?limit=1000").json()["events"]
    results = [event for event in events if event["type"] == "tool_result"]
    return float(results[-1]["content"][0]["text"])
