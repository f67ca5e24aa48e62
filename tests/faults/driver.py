"""Starts runs, kills whoever works on them at random, and looks at what is left.

`python -m tests.faults.driver [--runs 100] [--kills 30] [--database URL] [--redis]` is the long form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent_kernel.account import Account
from agent_kernel.app import App, open_app
from agent_kernel.dispatch import Dispatcher
from agent_kernel.errors import StoreError
from agent_kernel.events import FINAL_STATUSES, Error, Event, Status, ToolCall, ToolResult, ToolStart
from agent_kernel.history import INTERRUPTED
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.faults.ears import Ears
from tests.faults.hands import Server, Worker
from tests.faults.remains import Holding, files_left, free_again, holdings, kind_of, modest, processes
from tests.runs.conftest import RedisServer

CALLS = 3
LINGER = 4
"""So many runs end only when nobody will be killed any more."""
MOST_CALLS = 300
BAD = 0.15
"""The share of bad answers, where there are any."""
CELLS = 0.4
"""The share of the runs that are started from cells."""
GONE_SECONDS = 90
HEARD_SECONDS = 120
IN_THE_KERNEL = """
import time
with open('counts/{name}', 'a') as file:
    print({number}, file=file)
time.sleep(0.3)
"""


@dataclass
class Model:
    """What the scripted model says: the next step of whichever run asks, from its own messages alone."""

    runs: int
    killing: bool = True
    done: set[str] = field(default_factory=set)
    bad: Callable[[Sequence[Any]], Any] | None = None
    """What makes some of the answers bad, while others are killed."""

    def answer(self, body: Any) -> Any:
        good = self._good(body)
        return self.bad(good) if self.bad and self.killing and random.random() < BAD else good

    def _good(self, body: Any) -> Sequence[Any]:
        name, results = _asked(body["messages"])
        if results >= CALLS and (self._may_end(name) or results >= MOST_CALLS):
            return [Text(f"{name} is done.")]
        call_id = f"{name}-call{results}"
        if name.startswith("cell") and results % 2:
            code = IN_THE_KERNEL.format(name=name, number=results)
            return [ToolUse("notebook_python", {"code": code}, id=call_id)]
        command = f"echo {results} >> counts/{name}; sleep 0.1"
        return [ToolUse("bash", {"command": command}, id=call_id)]

    def _may_end(self, name: str) -> bool:
        if not self.killing or len(self.done) < self.runs - LINGER:
            self.done.add(name)
        return name in self.done


def _asked(messages: Sequence[Any]) -> tuple[str, int]:
    """Who asked last in the conversation, and how many calls have had their results since."""
    name, results = "", 0
    for message in messages:
        for block in message["content"] if message["role"] == "user" else ():
            if block["type"] == "tool_result":
                results += 1
            elif named := re.findall(r"Count as ((?:run|cell)\d{3})", block.get("text", "")):
                name, results = named[-1], 0
    return name, results


Fault = Callable[["Stage"], Awaitable[None]]


@dataclass
class Stage:
    """All who take part, and the folder they work in."""

    folder: Path
    settings: Settings
    app: App
    model: Model
    worker: Worker
    server: Server
    redis: RedisServer | None
    faults: Mapping[str, Fault] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    """The file each run counts in, by the run's id."""
    killed: list[str] = field(default_factory=list)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    async def unfinished(self) -> set[str]:
        while True:
            try:
                rows = [await self.app.store.get_run(run) for run in self.runs]
                return {row.id for row in rows if row.status not in FINAL_STATUSES}
            except StoreError:  # it may just have been killed
                if not self.faults:
                    raise
                await asyncio.sleep(0.5)

    async def kill(self, victim: str) -> None:
        """With SIGKILL, and start it again."""
        self.killed.append(victim)
        if victim in self.faults:
            await self.faults[victim](self)
        elif victim == "redis" and self.redis is not None:
            self.redis.kill()
            await asyncio.sleep(0.3)
            self.redis.start()
        elif victim == "worker":
            await asyncio.to_thread(self.worker.kill)
            await asyncio.sleep(random.uniform(0, 1))
            await asyncio.to_thread(self.worker.start)
        elif victim == "server":
            await asyncio.to_thread(self.server.kill)
            await asyncio.sleep(random.uniform(0, 2))
            await asyncio.to_thread(self.server.start)
            for notebook in self.server.notebooks:
                await asyncio.to_thread(notebook.attend, await self.unfinished())
        else:
            notebook = random.choice(self.server.notebooks)
            notebook.kill()
            await asyncio.to_thread(notebook.come_back)
            await asyncio.to_thread(notebook.attend, await self.unfinished())


@asynccontextmanager
async def staged(
    folder: Path,
    *,
    runs: int,
    database: str = "",
    redis: RedisServer | None = None,
    faults: Mapping[str, Fault] | None = None,
    bad: Callable[[Sequence[Any]], Any] | None = None,
    data: Path | None = None,
    environ: Mapping[str, str] | None = None,
    redis_port: int = 0,
) -> AsyncIterator[Stage]:
    """A worker, and a server with two notebooks, at work in the folder. When they have ended nothing of them is left.

    Raises AssertionError with what is.
    """
    work, data, scratch = folder / "work", data or folder / "data", folder / "tmp"
    (work / "counts").mkdir(parents=True)
    scratch.mkdir()
    held: list[Holding] = []
    model = Model(runs, bad=bad)
    with ScriptedMessages(default=model.answer) as api:
        url = redis.url if redis else ""
        if redis and redis_port:  # by way of a wire that can be cut
            url = url.replace(str(redis.port), str(redis_port))
        environment = {
            **(environ or {}),
            "TMPDIR": str(scratch),
            "AGENT_KERNEL_DATA_DIR": str(data),
            "AGENT_KERNEL_DATABASE_URL": database,
            "AGENT_KERNEL_REDIS_URL": url,
            "AGENT_KERNEL_MODEL": "scripted",
            "AGENT_KERNEL_USER": "driver",
            "AGENT_KERNEL_MAX_TURNS": str(2 * MOST_CALLS),
            "AGENT_KERNEL_MAX_ATTEMPTS": "20",
            "AGENT_KERNEL_IDLE_MINUTES": "1",
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "key-of-the-test",
        }
        settings = Settings(
            model="scripted", base_url=api.url, api_key="key-of-the-test", data_dir=str(data),
            database_url=database, redis_url=url, user="driver", max_turns=2 * MOST_CALLS,
        )  # fmt: skip
        worker = Worker(environment, folder / "worker.log")
        server = Server(folder / "home", work, api, environment)
        try:
            worker.start()
            await asyncio.to_thread(server.start)
            async with await open_app(settings) as app:
                stage = Stage(folder, settings, app, model, worker, server, redis, faults or {})
                yield stage
                held = list(holdings(folder).values())
                modest(held)
        finally:
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(worker.stop)
    await nothing_left(folder)
    free_again({socket: port for one in held for socket, port in one.ports.items()})
    files_left(data, scratch, killed=len(stage.killed))


async def drive(
    folder: Path, *, runs: int, kills: int, patience: float = 300, **options: Any
) -> Counter[str]:
    """Who was killed how often. Raises AssertionError with what is wrong. `options` are those of `staged`.

    With `faults`, those happen too, by their names; a run may then fail, but it ends.
    """
    async with staged(folder, runs=runs, **options) as stage:
        cells = round(runs * CELLS)
        await queued(stage, runs - cells)
        await asyncio.to_thread(typed, stage, cells)
        seen = {kind_of(told) for told in processes(folder).values()}
        assert seen >= {"server", "worker", "kernel"}, f"it sees only {seen}"
        async with Ears(stage.app, stage.runs, lambda: stage.server.url) as ears:
            await disturbed(stage, kills, patience)
            await ears.heard_all(HEARD_SECONDS)
    async with await open_app(stage.settings) as app:
        await checked(replace(stage, app=app), ears)
    return Counter(stage.killed)


async def queued(stage: Stage, number: int, wave: int = 0) -> None:
    """Runs that a process submits which does no work itself; those of a later wave go on in the same conversations."""
    dispatcher = Dispatcher(stage.app, works=False)
    await dispatcher.start()
    account = Account(stage.app)
    for index in range(number):
        name = f"run{wave * number + index:03}"
        session = await account.session(f"run{index:03}", stage.work)
        run = await account.submit(
            session, f"Count as {name}", stage.app.settings, interactive=False, hosted=True
        )
        stage.runs[run.id] = name
    await dispatcher.close()


def typed(stage: Stage, number: int, wave: int = 0) -> None:
    """Runs that are started from cells."""
    for index in range(number):
        name = f"cell{wave * number + index:03}"
        notebook = stage.server.notebooks[index % len(stage.server.notebooks)]
        stage.runs[notebook.submit(f"Count as {name}", session=f"cell{index:03}")] = name


def victims(kinds: Sequence[str]) -> Iterator[str]:
    """Everybody has their turn, in an order that nobody knows."""
    while True:
        yield from random.sample(kinds, len(kinds))


async def disturbed(stage: Stage, kills: int, patience: float, only: Sequence[str] = ()) -> None:
    """Kill and mend (`only` those, else everybody), then wait until all have ended."""
    everybody = ["worker", "server", "kernel", *["redis"] * (stage.redis is not None), *stage.faults]
    who = victims(only or everybody)
    try:
        async with asyncio.timeout(patience):
            for _ in range(kills):
                await asyncio.sleep(random.uniform(0.5, 2.0))
                await stage.kill(next(who))
            stage.model.killing = False
            while await stage.unfinished():  # noqa: ASYNC110 (the processes that work ring in each other's)
                await asyncio.sleep(0.2)
    except TimeoutError:
        told = [await history(stage.app, run, stage.runs[run]) for run in await stage.unfinished()]
        raise AssertionError(
            f"killed {stage.killed}, and these have not ended:\n" + "\n".join(told)
        ) from None


async def history(app: App, run_id: str, name: str) -> str:
    """What a failure has to tell of a run."""
    row = await app.store.get_run(run_id)
    events = await app.log.read(run_id)
    line = " ".join(said(event) for event in events[-40:])
    return f"{name} {run_id} {row.status} ({row.reason}) of {row.worker}, head {row.head}: {line}"


def said(event: Event) -> str:
    match event:
        case ToolCall() | ToolStart() | ToolResult():
            return f"{event.type}:{event.id}"
        case Status():
            return f"{event.status}:{event.reason}"
        case Error():
            return f"error:{event.message}"
    return event.type


async def nothing_left(folder: Path) -> None:
    """No worker, server, kernel, sandbox: whoever was killed took theirs along."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := processes(folder):
        assert time.monotonic() < deadline, f"still running: {left}"
        await asyncio.sleep(0.2)


async def checked(stage: Stage, ears: Ears) -> None:
    """Each run ended, its log has no gap, was heard as it is, and has one result a call; nothing was done twice."""
    app, may_fail = stage.app, bool(stage.faults)
    for run_id in ears.runs:
        name = stage.runs[run_id]
        events = await app.log.read(run_id)
        told = await history(app, run_id, name)
        status = (await app.store.get_run(run_id)).status
        assert status == "completed" or (may_fail and status == "failed"), told
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), told
        ears.agree(run_id, events)
        results = Counter(event.id for event in events if isinstance(event, ToolResult))
        calls = [event.id for event in events if isinstance(event, ToolCall)]
        assert sorted(results) == sorted(calls), told
        assert set(results.values()) <= {1}, told
        file = stage.work / "counts" / name
        effects = Counter(file.read_text().split() if file.exists() else [])
        for event in events:
            if isinstance(event, ToolResult):
                times = effects.pop(event.id.rpartition("call")[2], 0)
                interrupted = event.is_error and (may_fail or INTERRUPTED in str(event.content))
                assert times <= 1 if interrupted else times == 1, f"{told}: {event} {times}"
        assert not effects, f"{told}: done without a call: {effects}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--database", default="")
    parser.add_argument("--redis", action="store_true", help="with a Redis between the processes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    random.seed(options.seed)
    redis = RedisServer() if options.redis else None
    since = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            killed = asyncio.run(
                drive(
                    Path(folder), runs=options.runs, kills=options.kills, database=options.database,
                    redis=redis, patience=1800,
                )
            )  # fmt: skip
    finally:
        if redis is not None:
            redis.kill()
    seconds = round(time.monotonic() - since)
    print(json.dumps({"ok": True, "runs": options.runs, "killed": killed, "seconds": seconds}))


if __name__ == "__main__":
    main()
