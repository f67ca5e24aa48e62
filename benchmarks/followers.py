"""Followers of a real server over HTTP: many of one run, one of many runs, and some that do not keep up."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from benchmarks.figure import Figure, percentile
from benchmarks.server import lab

FOLLOWERS, RUNS = 200, 200
SLOW = STALLED = 20
DELTAS = 400
FAST, USUAL = 0.002, 0.04
"""Seconds between deltas: faster than anybody can follow, and as a quick model writes."""
MANY = "--AgentKernelExtension.requests_per_second=100000"
"""All of these clients are one person's."""
STAMP = re.compile(rb'^data: .*"timestamp": ?([0-9]{13})')
PATIENCE = 180.0


@dataclass
class Follower:
    """A client of the stream that notes how old each event is when it arrives. Raw sockets: 200 cost little."""

    late: list[float] = field(default_factory=list)
    """Milliseconds, of what was written after this client had been told of what stood there before."""
    ended: int = 0
    arrived: int = 0
    since: float = float("inf")

    async def follow(self, url: str, query: str, until: int, pause: float = 0.0) -> None:
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 22)
        head = f"GET /api/agent/stream?{query} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: token bench\r\n\r\n"
        writer.write(head.encode())
        try:
            first = await reader.readline()
            assert b" 200 " in first, first
            while self.ended < until and (line := await reader.readline()):
                if found := STAMP.search(line):
                    self.take(float(found[1]), b'"completed"' in line and b'"status"' in line)
                    if pause:
                        await asyncio.sleep(pause)
        finally:
            writer.close()

    def take(self, stamp: float, ended: bool) -> None:
        now = time.time() * 1e3
        self.since = min(self.since, now)
        self.arrived += 1
        self.ended += ended
        if stamp >= self.since:
            self.late.append(now - stamp)


async def stalled(url: str, query: str) -> asyncio.StreamWriter:
    """Asks, and never reads."""
    where = urlsplit(url)
    _, writer = await asyncio.open_connection(where.hostname, where.port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(
        f"GET /api/agent/stream?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: token bench\r\n\r\n".encode()
    )
    return writer


async def figures() -> list[Figure]:
    with (
        ScriptedMessages(delay=USUAL) as api,
        tempfile.TemporaryDirectory() as folder,
        lab(Path(folder), MANY, extension=True, api=api.url) as (url, _),
    ):
        async with httpx2.AsyncClient(
            base_url=f"{url}/api/agent/",
            headers={"Authorization": "token bench"},
            timeout=60,
            trust_env=False,
        ) as client:
            return [
                *await of_one_run(url, api, client, folder),
                await with_stalled_ones(url, api, client, folder),
                await of_many_runs(url, api, client, folder),
            ]


async def start(client: httpx2.AsyncClient, folder: str, number: int) -> str:
    session = (
        await client.post("sessions", json={"workspace": folder, "name": f"s{number}", "new": True})
    ).json()
    run = (await client.post("runs", json={"session": session["id"], "prompt": "go"})).json()
    return str(run["id"])


async def of_one_run(
    url: str, api: ScriptedMessages, client: httpx2.AsyncClient, folder: str
) -> list[Figure]:
    speeds = []
    for number in range(5):
        everyone, seconds = await watched(url, api, client, folder, number, FAST)
        speeds.append(sum(one.arrived for one in everyone) / seconds)
    everyone, _ = await watched(url, api, client, folder, 5, USUAL)
    late = [value for one in everyone for value in one.late]
    name = f"{FOLLOWERS} followers of one run"
    said = f"{DELTAS} deltas, {1 / USUAL:.0f} a second"
    speed = f"{min(speeds):,.0f}–{max(speeds):,.0f}"
    return [
        Figure(
            f"{name}: events per second",
            percentile(speeds, 0.5),
            "/s",
            "clients and server on one machine",
            "",
            speed,
        ),
        Figure(f"{name}: log → client, p95", percentile(late, 0.95), "ms", said, "≤ 500", spread(late)),
    ]


async def watched(
    url: str, api: ScriptedMessages, client: httpx2.AsyncClient, folder: str, number: int, delay: float
) -> tuple[list[Follower], float]:
    """One run, followed by all from its beginning to its end, and the seconds that took."""
    api.delay = delay
    api.add([Text("word " * DELTAS, chunks=DELTAS)])
    run = await start(client, folder, number)
    everyone = [Follower() for _ in range(FOLLOWERS)]
    since = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(one.follow(url, f"run={run}:0", 1) for one in everyone))
    return everyone, time.perf_counter() - since


async def with_stalled_ones(
    url: str, api: ScriptedMessages, client: httpx2.AsyncClient, folder: str
) -> Figure:
    api.add([Text("word " * DELTAS, chunks=DELTAS)])
    run = await start(client, folder, 9)
    deaf = [await stalled(url, f"run={run}:0") for _ in range(STALLED)]
    slow = [asyncio.create_task(Follower().follow(url, f"run={run}:0", 1, 0.05)) for _ in range(SLOW)]
    others = [Follower() for _ in range(FOLLOWERS - SLOW - STALLED)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(one.follow(url, f"run={run}:0", 1) for one in others))
    for task in slow:
        task.cancel()
    for writer in deaf:
        writer.close()
    late = [value for one in others for value in one.late]
    return Figure(
        f"{FOLLOWERS} followers, {SLOW} slow and {STALLED} stalled: log → client of the others, p95",
        percentile(late, 0.95), "ms", "the same run", "≤ 500", spread(late),
    )  # fmt: skip


async def of_many_runs(url: str, api: ScriptedMessages, client: httpx2.AsyncClient, folder: str) -> Figure:
    api.add(*([Text("word " * 5, chunks=5)] for _ in range(RUNS)))
    runs = [await start(client, folder, 10 + number) for number in range(RUNS)]
    one = Follower()
    async with asyncio.timeout(PATIENCE):
        await one.follow(url, "&".join(f"run={run}:0" for run in runs), RUNS)
    return Figure(
        f"1 follower of {RUNS} runs: log → client, p95", percentile(one.late, 0.95), "ms",
        "5 of them are worked on at a time", "≤ 500", spread(one.late),
    )  # fmt: skip


def spread(late: list[float]) -> str:
    return f"median {percentile(late, 0.5):.0f}"
