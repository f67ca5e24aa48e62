"""Starts runs, kills whoever works on them at random, and looks at what is left.

`python -m tests.faults.driver [--runs 100] [--kills 30] [--database URL]` is the long form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_kernel.account import Account
from agent_kernel.app import App, open_app
from agent_kernel.dispatch import Dispatcher
from agent_kernel.events import FINAL_STATUSES, Error, ToolCall, ToolResult
from agent_kernel.history import INTERRUPTED
from agent_kernel.runs.records import RunRow
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse

CALLS = 3
WORKERS = 2


def answer(body: Any) -> Sequence[Any]:
    """The next step of whichever run asks, from its own messages: a restart changes nothing."""
    messages = body["messages"]
    name = next(block["text"] for block in messages[0]["content"] if block["type"] == "text").split()[-1]
    done = sum(
        block["type"] == "tool_result"
        for message in messages
        if message["role"] == "user"
        for block in message["content"]
    )
    if done >= CALLS:
        return [Text(f"{name} is done.")]
    command = f"echo {done} >> counts/{name}; sleep 0.05"
    return [ToolUse("bash", {"command": command}, id=f"call{done}")]


class Workers:
    """Worker processes that are started again when they are killed."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._log = log
        self._alive: list[asyncio.subprocess.Process] = []

    async def fill(self) -> None:
        while len(self._alive) < WORKERS:
            with self._log.open("ab") as log:
                self._alive.append(
                    await asyncio.create_subprocess_exec(
                        sys.executable, "-m", "agent_kernel", "worker",
                        env=self._environment, stdout=log, stderr=log, start_new_session=True,
                    )
                )  # fmt: skip

    async def kill_one(self) -> None:
        victim = self._alive.pop(random.randrange(len(self._alive)))
        os.killpg(victim.pid, signal.SIGKILL)
        await victim.wait()

    async def stop(self) -> None:
        for process in self._alive:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def drive(
    folder: Path, *, runs: int, kills: int, database: str = "", redis: Any = None, patience: float = 300
) -> None:
    """Raises AssertionError with what is wrong. `redis` has `url`, `kill()` and `start()`."""
    (folder / "work" / "counts").mkdir(parents=True)
    with ScriptedMessages(default=answer) as api:
        environment = {
            "AGENT_KERNEL_DATA_DIR": str(folder / "data"),
            "AGENT_KERNEL_DATABASE_URL": database,
            "AGENT_KERNEL_REDIS_URL": redis.url if redis else "",
            "AGENT_KERNEL_MODEL": "scripted",
            "AGENT_KERNEL_USER": "driver",
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "none",
        }
        settings = Settings(
            model="scripted", base_url=api.url, api_key="none", data_dir=str(folder / "data"),
            database_url=database, redis_url=redis.url if redis else "", user="driver",
        )  # fmt: skip
        workers = Workers(environment, folder / "workers.log")
        await workers.fill()
        try:
            async with await open_app(settings) as app:
                rows = await submitted(app, folder / "work", runs)
                await disturbed(app, rows, workers, kills, redis, patience)
                await checked(app, rows, folder / "work")
        finally:
            await workers.stop()


async def submitted(app: App, workspace: Path, number: int) -> list[RunRow]:
    """All queued by a process that does no work itself."""
    dispatcher = Dispatcher(app, works=False)
    await dispatcher.start()
    account = Account(app)
    found = []
    for index in range(number):
        session = await account.session(f"s{index}", workspace)
        prompt = f"Count as run{index:03}"
        found.append(await account.submit(session, prompt, app.settings, interactive=False, hosted=True))
    await dispatcher.close()
    return found


async def disturbed(
    app: App, rows: list[RunRow], workers: Workers, kills: int, redis: Any, patience: float
) -> None:
    """Kill and mend until all have ended."""
    left = kills
    async with asyncio.timeout(patience):
        while True:
            await asyncio.sleep(random.uniform(0.5, 2.0))
            ended = [(await app.store.get_run(row.id)).status in FINAL_STATUSES for row in rows]
            if all(ended):
                return
            if left and sum(ended) + 1 < len(rows):
                left -= 1
                if redis and not left % 3:
                    redis.kill()
                    await asyncio.sleep(0.3)
                    redis.start()
                else:
                    await workers.kill_one()
                    await workers.fill()


async def checked(app: App, rows: list[RunRow], workspace: Path) -> None:
    for index, row in enumerate(rows):
        events = await app.log.read(row.id)
        errors = [e.message for e in events if isinstance(e, Error)]
        told = f"run {index} {row.id}: {[e.type for e in events]} {errors}"
        assert (await app.store.get_run(row.id)).status == "completed", told
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), told
        results = Counter(event.id for event in events if isinstance(event, ToolResult))
        calls = [event.id for event in events if isinstance(event, ToolCall)]
        assert sorted(results) == sorted(calls), told
        assert set(results.values()) == {1}, told
        file = workspace / "counts" / f"run{index:03}"
        effects = Counter(file.read_text().split() if file.exists() else [])
        for event in events:
            if isinstance(event, ToolResult):
                times = effects[event.id.removeprefix("call")]
                interrupted = event.is_error and INTERRUPTED in str(event.content)
                assert times <= 1 if interrupted else times == 1, f"{told}: {event} {effects}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(
            drive(
                Path(folder), runs=options.runs, kills=options.kills, database=options.database, patience=1800
            )
        )
    print(json.dumps({"runs": options.runs, "kills": options.kills, "ok": True}))


if __name__ == "__main__":
    main()
