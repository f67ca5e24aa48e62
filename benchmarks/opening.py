"""How long a click on a long run takes until its end is drawn, in the panel of a real JupyterLab."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from agent_kernel.events import Message, Status
from agent_kernel.settings import Settings
from benchmarks import panel
from benchmarks.figure import Figure

SIZES, LONG = (1_000, 10_000), (100_000,)
EACH = 5


async def fill(data: Path, sizes: tuple[int, ...]) -> None:
    """EACH runs of each size, the largest the oldest."""
    from agent_kernel.runs.store import open_store

    data.mkdir(parents=True)
    store = await open_store(data / "runs.db")
    session = await store.create_session(owner=Settings().owner, name="bench", workspace=str(data))
    for number, size in enumerate(size for size in reversed(sizes) for _ in range(EACH)):
        run = await store.create_run(
            session_id=session.id, prompt=f"run {number}", model="m", owner=Settings().owner
        )
        middle = panel.story(number)[:-2]
        events = [event for _ in range(size // len(middle) + 1) for event in middle][: size - 2]
        for begin in range(0, len(events), 2_000):
            await store.append(
                run.id, [_unique(e, begin + at) for at, e in enumerate(events[begin : begin + 2_000])]
            )
        end = Message(role="assistant", text=f"End of run {number}.")
        await store.append(run.id, [end, Status(status="completed", reason="complete")])
    await store.close()


def _unique(event: Any, number: int) -> Any:
    """Calls are unique within a run."""
    changes = {
        name: f"{value}-{number // 8}" for name in ("id", "call_id") if (value := getattr(event, name, None))
    }
    return event.model_copy(update={**changes, "turn": number // 8}) if changes else event


def measure(sizes: tuple[int, ...]) -> dict[int, list[float]]:
    from tests.browser import lab
    from tests.browser.test_panel import show

    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch) / "work", Path(scratch) / "home"
        folder.mkdir()
        asyncio.run(fill(home / "data" / "agent-kernel", sizes))
        os.environ |= {"AGENT_KERNEL_MODEL": "scripted", "ANTHROPIC_API_KEY": "key-of-the-benchmark"}
        with lab.jupyter(folder, home) as server, lab.browser() as context:
            page = context.new_page()
            page.goto(f"{server.url}/lab?token={lab.TOKEN}")
            show(page)
            count = EACH * len(sizes)
            page.locator(".agk-run").nth(count - 1).wait_for(state="attached", timeout=120_000)
            found: dict[int, list[float]] = {}
            for index in range(count):  # the newest, and smallest, stand first
                number = count - 1 - index
                asked = {"index": index, "marker": f"End of run {number}."}
                found.setdefault(sizes[index // EACH], []).append(page.evaluate(panel.OPEN, asked))
            return found


async def figures(*, long: bool = False) -> list[Figure]:
    found = await asyncio.to_thread(measure, SIZES + LONG if long else SIZES)
    goals = {1_000: "≤ 500"}
    return [
        Figure(
            f"open a run of {size:,} events", statistics.median(times), "ms", "never seen before, to its drawn end",
            goals.get(size, ""), f"{min(times):.0f}–{max(times):.0f}",
        )
        for size, times in found.items()
    ]  # fmt: skip
