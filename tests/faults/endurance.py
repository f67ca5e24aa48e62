"""One server, one worker, their kernels: wave after wave of runs in the same conversations, and nobody grows.

Only sandboxes, connections and the model fail. After each wave all is quiet, and what each process holds is looked at;
in the end the sandboxes have gone by themselves, and with their conversations everything that was kept for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from agent_kernel.account import Account
from tests.faults.driver import CELLS, HEARD_SECONDS, Stage, checked, disturbed, queued, staged, typed
from tests.faults.ears import Ears
from tests.faults.remains import Holding, holdings

WAVES = 4
"""After the first, in which all is imported and opened that will be."""
MEGABYTES, MEGABYTES_A_RUN = 12.0, 0.25
"""A process may have grown so much after all waves, and for each run of them."""
DESCRIPTORS, DESCRIPTORS_A_SANDBOX, THREADS = 6, 5, 6
"""So many may come and go."""
QUIET_SECONDS, IDLE_SECONDS = 30, 150


async def endure(
    folder: Path, *, runs: int, kills: int, patience: float = 300, **options: Any
) -> Counter[str]:
    """How often there was which fault. Raises AssertionError with what has grown, or is left; see `drive`."""
    async with staged(folder, runs=0, **options) as stage:
        cells = round(runs * CELLS)
        after: list[dict[int, Holding]] = []
        heard: list[Ears] = []
        for wave in range(WAVES + 1):
            before = dict(stage.runs)
            stage.model.runs, stage.model.killing = stage.model.runs + runs, True
            await queued(stage, runs - cells, wave)
            await asyncio.to_thread(typed, stage, cells, wave)
            new = [run for run in stage.runs if run not in before]
            async with Ears(stage.app, new, lambda: stage.server.url) as ears:
                await disturbed(stage, kills, patience, only=list(stage.faults))
                await ears.heard_all(HEARD_SECONDS)
            heard.append(ears)
            after.append(await quiet(stage))
        steady(after[0], after[-1], runs * WAVES)
        for ears in heard:
            await checked(stage, ears)
        await idle(stage)
        await forgotten(stage)
    return Counter(stage.killed)


async def quiet(stage: Stage) -> dict[int, Holding]:
    """What all but sandboxes hold, once it is twice the same: what was closed is gone by then."""
    known: dict[int, Holding] = {}
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        await asyncio.sleep(1.0)
        now = {pid: one for pid, one in holdings(stage.folder).items() if one.kind != "sandbox"}
        same = now.keys() == known.keys() and all(
            one.descriptors == known[pid].descriptors and one.threads == known[pid].threads
            for pid, one in now.items()
        )
        if same or time.monotonic() > deadline:
            return now
        known = now


def steady(first: dict[int, Holding], last: dict[int, Holding], runs: int) -> None:
    """Nobody ended, nobody came, nobody has grown. Sandboxes of conversations may have moved to another process."""
    assert first.keys() == last.keys(), f"not the same processes: {first} {last}"
    for pid, now in last.items():
        grown = now.more_than(first[pid])
        told = {"runs": runs, "process": now.kind, "megabytes": round(now.memory), "grown": dict(grown)}
        print(json.dumps(told), flush=True)
        sandboxes = max(0.0, grown.pop("children"))
        bounds = {
            "memory": MEGABYTES + MEGABYTES_A_RUN * runs,
            "descriptors": DESCRIPTORS + DESCRIPTORS_A_SANDBOX * sandboxes,
            "ports": 0,
            "threads": THREADS,
        }
        assert all(grown[name] <= bound for name, bound in bounds.items()), (
            f"process {pid} ({now.kind}) has grown in {runs} runs by {grown}, with {sandboxes} more children; "
            f"descriptors: {dict(now.descriptors - first[pid].descriptors)}"
        )


async def idle(stage: Stage) -> None:
    """Sandboxes that nobody asks anything of are stopped by those who started them, who live."""
    deadline = time.monotonic() + IDLE_SECONDS
    while left := {pid: one for pid, one in holdings(stage.folder).items() if one.kind == "sandbox"}:
        assert time.monotonic() < deadline, f"sandboxes that nobody uses: {left}"
        await asyncio.sleep(1.0)


async def forgotten(stage: Stage) -> None:
    """With the conversations goes what was kept for them."""
    account = Account(stage.app)
    for session in await stage.app.store.list_sessions("driver", 1_000):
        await account.delete_session(session.id)
    left = os.listdir(stage.app.settings.folder / "sandboxes")
    assert not left, f"kept for conversations that are deleted: {left}"
    assert not await stage.app.store.list_runs(limit=1), "runs of conversations that are deleted"
