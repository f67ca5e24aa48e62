"""The same 20 tool calls against the same scripted Messages API, by other agent loops in environments of their own."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_kernel.client import Agent
from agent_kernel.settings import Settings
from benchmarks.environments import environment
from benchmarks.figure import Figure, Measure, ratio, skipped
from benchmarks.loop import CALLS, adding_app, scripted_api

PROGRAMS = Path(__file__).parent / "peers"
RIVALS = {
    "pydantic-ai": ("pydantic_ai_loop.py", "add", "pydantic-ai-slim[anthropic]", (3, 11)),
    "openhands-sdk": ("openhands_loop.py", "add", "openhands-sdk", (3, 12)),
    "claude-agent-sdk": ("claude_agent_loop.py", "mcp__bench__add", "claude-agent-sdk", (3, 11)),
}
PATIENCE = 120.0


@asynccontextmanager
async def rival(python: Path, program: str, url: str, folder: str) -> AsyncIterator[Measure]:
    """Seconds of one run in a process that is warm; its imports are nobody's cost."""
    process = await asyncio.create_subprocess_exec(
        str(python), str(PROGRAMS / program), url, folder, cwd=folder, env={**os.environ, "HOME": folder},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def measure() -> float:
        stdin.write(b"run\n")
        line = await asyncio.wait_for(stdout.readline(), PATIENCE)
        told = json.loads(line or b'{"error": "it ended"}')
        if told.get("calls") != CALLS:
            raise RuntimeError(told.get("error") or f"{told.get('calls')} calls instead of {CALLS}")
        return float(told["seconds"])

    try:
        yield measure
    finally:
        process.kill()
        await process.wait()


async def figures() -> list[Figure]:
    found = []
    for name, (program, tool, requirement, least) in RIVALS.items():
        title = f"agent loop beside {name}"
        try:
            python = await asyncio.to_thread(environment, name, requirement, least=least)
            found.append(await beside(title, name, python, program, tool))
        except (RuntimeError, TimeoutError, ValueError) as error:
            found.append(skipped(title, str(error) or "it did not answer in time", "< 1"))
    return found


async def beside(title: str, name: str, python: Path, program: str, tool: str) -> Figure:
    from agent_kernel.account import Account

    with (
        scripted_api() as ours_api,
        scripted_api("--tool", tool) as their_api,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = Settings(model="scripted", base_url=ours_api, data_dir=f"{folder}/data")
        Path(folder, "work").mkdir()
        async with adding_app(settings) as app, rival(python, program, their_api, folder) as theirs:
            agent = Agent(workspace=f"{folder}/work", settings=settings, host=Account(app))

            async def ours() -> float:
                await agent.new_session()
                since = time.perf_counter()
                assert (await agent.run("go")).status == "completed"
                return time.perf_counter() - since

            reference = f"{name}, warm, the same script"
            return await ratio(title, ours, theirs, reference=reference, goal="< 1", rounds=7)
