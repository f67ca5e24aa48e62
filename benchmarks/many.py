"""A hundred and a thousand runs at once in one process: all are done, in order, and the loop stays awake."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from agent_kernel.settings import Settings
from benchmarks.figure import Figure, percentile
from benchmarks.loop import adding_app, scripted_api

CALLS = 3
TICK = 0.005


async def ticks(late: list[float]) -> None:
    """How much later than asked for the loop comes back, in ms."""
    while True:
        since = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append((time.perf_counter() - since - TICK) * 1e3)


async def together(count: int) -> tuple[int, list[float], float]:
    """How many completed with their events in order, the delays of the loop, and the seconds all took."""
    from agent_kernel.account import Account

    with scripted_api("--calls", str(CALLS)) as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(model="scripted", base_url=url, data_dir=f"{folder}/data")
        async with adding_app(settings) as app:
            account, late, since = Account(app), list[float](), time.perf_counter()
            ticking = asyncio.create_task(ticks(late))
            sessions = [await account.session(f"s{number}", Path(folder)) for number in range(count)]
            runs = [await account.submit(session, "go", settings, interactive=False) for session in sessions]
            await asyncio.gather(*[app.wait(run.id) for run in runs])
            took = time.perf_counter() - since
            ticking.cancel()
            good = [await is_whole(app, run.id) for run in runs]
            return sum(good), late, took


async def is_whole(app: object, run_id: str) -> bool:
    events = await app.log.read(run_id)  # type: ignore[attr-defined]
    in_order = [event.seq for event in events] == list(range(1, len(events) + 1))
    calls = json.dumps([event.type for event in events]).count('"tool_result"')
    return bool(in_order and calls == CALLS and events[-1].status == "completed")


async def figures() -> list[Figure]:
    found = []
    for count, rounds in ((100, 5), (1_000, 1)):
        done: list[int] = []
        late: list[float] = []
        took: list[float] = []
        for _ in range(rounds):
            whole, delays, seconds = await together(count)
            done.append(whole)
            late.append(percentile(delays, 0.95))
            took.append(seconds)
        speed = f"{statistics.median(took):.1f} s for all, {CALLS} calls each"
        name = f"{count:,} runs at once"
        spread = f"{min(late):.0f}–{max(late):.0f}" if rounds > 1 else "once"
        found += [
            Figure(f"{name}: completed, in order", min(done), "runs", speed, f"= {count}", f"{rounds}×"),
            Figure(
                f"{name}: delay of the loop, p95", statistics.median(late), "ms",
                f"a timer of {TICK * 1e3:g} ms in the same loop", "≤ 100", spread,
            ),
        ]  # fmt: skip
    return found
