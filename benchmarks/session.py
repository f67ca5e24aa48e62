"""How long a session with 200 skills and 20 MCP servers of 30 tools takes to its first request, beyond what the servers
themselves take to be connected and to list their tools."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from mcp import Client

from agent_kernel.client import Agent
from agent_kernel.mcp.config import Configuration
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from benchmarks.figure import Figure
from tests.mcp.conftest import listening
from tests.test_scale import SERVERS, SKILLS, write_skills

ROUNDS = 5
THIRTY = Path(__file__).parent.parent / "tests" / "mcp" / "thirty.py"


async def theirs(address: str) -> float:
    """The least code that connects to all of them side by side and lists their tools."""

    async def one(number: int) -> int:
        async with Client(f"{address}/s{number:02}/mcp") as client:
            return len((await client.list_tools()).tools)

    since = time.perf_counter()
    counts = await asyncio.gather(*(one(number) for number in range(SERVERS)))
    assert counts == [30] * SERVERS, counts
    return time.perf_counter() - since


async def ours(address: str, workspace: Path) -> float:
    """From the prompt of a session that is new, in a program that is warm, to the request."""
    with tempfile.TemporaryDirectory() as data, ScriptedMessages() as api:
        settings = Settings(
            model="scripted", base_url=api.url, api_key="k", data_dir=data, demo_delay=0, permission="bypass"
        )
        configuration = Configuration(settings.folder, settings.owner)
        for number in range(SERVERS):
            configuration.add(f"s{number:02}", {"url": f"{address}/s{number:02}/mcp"})
        async with Agent(workspace=workspace, settings=settings) as agent:
            api.add([Text("Here.")])
            since = time.perf_counter()
            run = await agent.start("Hello")
            await asyncio.to_thread(api.wait_for_requests, 1)
            taken = time.perf_counter() - since
            await run.wait()
            assert run.status == "completed", run.events[-1]
            assert len(api.bodies[0]["tools"]) > 12, "the servers' tools are not in it"
            return taken


async def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as workspace:
        before, os.environ["HOME"] = os.environ.get("HOME", ""), home
        write_skills(Path(home), SKILLS)
        try:
            with listening(THIRTY, str(SERVERS)) as address:
                base = address.removesuffix("/mcp")
                await ours(base, Path(workspace))
                beyond = [await ours(base, Path(workspace)) - await theirs(base) for _ in range(ROUNDS)]
        finally:
            os.environ["HOME"] = before
    name = f"session start, {SKILLS} skills, {SERVERS} servers"
    spread = f"{min(beyond):.2f}–{max(beyond):.2f}"
    reference = "beyond connecting to the servers by the SDK"
    return [Figure(name, statistics.median(beyond), "s", reference, "≤ 1", spread)]
