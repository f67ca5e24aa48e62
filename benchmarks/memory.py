"""What one more run at once costs in memory, in a process of its own for each number of runs."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from agent_kernel.events import Status
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from benchmarks.figure import Figure

COUNTS = (1, 50, 200)
ROUNDS = 5
TURNS = 3
SETTLED = 0.5


def resident() -> float:
    """Megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def answer(body: object) -> list[object]:
    """A few calls, then an answer that never ends: all runs are alive at once."""
    results = json.dumps(body).count('"tool_result"')
    return [ToolUse("add", {"a": 1, "b": results})] if results < TURNS else [Text("Wait."), Stall()]


async def growth(url: str) -> dict[int, float]:
    """Megabytes a run, while so many of them wait for the model."""
    from agent_kernel.account import Account
    from benchmarks.loop import adding_app

    found: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(model="scripted", base_url=url, data_dir=f"{folder}/data")
        async with adding_app(settings) as app:
            account = Account(app)

            async def start(number: int) -> str:
                session = await account.session(f"s{number}", Path(folder))
                return (await account.submit(session, "go", settings, interactive=False)).id

            async def waits(run_id: str) -> None:
                async for event in app.log.follow(run_id):
                    if isinstance(event, Status) and event.turn > TURNS:
                        return  # the last request is on its way; its answer never ends

            async def settled() -> float:
                await asyncio.sleep(SETTLED)
                gc.collect()
                return resident()

            await waits(await start(-1))
            before, running = await settled(), 0  # what is imported and opened once is not a run's
            for count in COUNTS:
                runs = [await start(number) for number in range(running, count)]
                await asyncio.gather(*map(waits, runs))
                running = count
                found[count] = (await settled() - before) / count
    return found


def main() -> None:
    print(json.dumps(list(asyncio.run(growth(sys.argv[1])).values())))


async def figures() -> list[Figure]:
    grown: list[list[float]] = []
    with ScriptedMessages(default=answer) as api:  # type: ignore[arg-type]
        for _ in range(ROUNDS):
            command = [sys.executable, "-m", "benchmarks.memory", api.url]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=True
            )
            grown.append(json.loads(done.stdout.splitlines()[-1]))
    reference = "growth of a process that had one run already"
    return [
        Figure(
            f"memory of a run, {count} at once", statistics.median(values), "MB", reference, "< 1.5",
            f"{min(values):.2f}–{max(values):.2f}",
        )
        for count, values in zip(COUNTS, zip(*grown, strict=True), strict=True)
    ]  # fmt: skip


if __name__ == "__main__":
    main()
