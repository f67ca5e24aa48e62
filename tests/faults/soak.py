"""`make soak`: round after round of runs in bad weather, for 20 minutes or as long as is asked for.

Each round starts afresh, with one of several set-ups, and ends with everything looked at: no event lost or doubled
(in the log, and as those who listened heard it), each call one result, nothing done twice, every run ended; no process,
port, descriptor or file left, no memory run away with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.driver import Fault, Stage, drive
from tests.faults.endurance import WAVES, endure
from tests.faults.weather import Clock, Disk, Postgres, bad_answer, closing_all, kill_sandbox
from tests.faults.wire import Wire
from tests.runs.conftest import RedisServer

RUNS, KILLS = 10, 8
SETUPS = ("sqlite", "postgresql", "clock", "disk", "network", "endurance")
FROZEN = 14.0
"""Seconds: others take a worker for dead after 10."""


def later(call: Callable[..., object], *arguments: object) -> Fault:
    async def fault(stage: Stage) -> None:
        await asyncio.to_thread(call, *arguments)

    return fault


async def cut(stage: Stage) -> None:
    """The connections of kernels and pages to the server end, or nothing passes on them."""
    wire = stage.server.wire
    await asyncio.to_thread(*random.choice(((wire.drop,), (wire.stall, 3.0))))


async def freeze(stage: Stage) -> None:
    """The worker stops for longer than others wait for it, and then goes on as if nothing had been."""
    await asyncio.to_thread(stage.worker.freeze, FROZEN)


async def turn(setup: str, folder: Path) -> Counter[str]:
    """One round. Raises AssertionError with what is wrong."""
    long = setup == "endurance"
    shared = setup in ("postgresql", "network") or (long and random.random() < 0.5)
    postgres = Postgres() if shared else None
    server = RedisServer() if shared else None
    disk = Disk() if setup == "disk" else None
    clock = Clock(folder / "clock") if setup == "clock" else None
    wire = Wire(("127.0.0.1", server.port)) if setup in ("network", "endurance") and server else None
    faults: dict[str, Fault] = {"sandbox": later(kill_sandbox, folder), "connections": cut}
    if postgres is not None and setup == "postgresql":
        faults |= {"postgresql": later(postgres.kill), "frozen worker": freeze}
    if postgres is not None and wire is not None:
        faults |= {
            "dropped": later(postgres.wire.drop), "stalled": later(postgres.wire.stall, 3.0),
            "redis dropped": later(wire.drop), "redis stalled": later(wire.stall, 3.0),
        }  # fmt: skip
    if disk is not None:
        faults["full disk"] = later(disk.fill, 2.0)
    if clock is not None:
        faults["turned clock"] = later(clock.turn)
    try:
        with closing_all(wire, disk, postgres):
            return await (endure if long else drive)(
                folder, runs=RUNS, kills=KILLS // 2 if long else KILLS, patience=900, faults=faults, bad=bad_answer,
                redis=server, redis_port=wire.port if wire else 0,
                database=postgres.new_database() if postgres else "",
                data=disk.folder / "data" if disk else None,
                environ=clock.environment if clock else None,
            )  # fmt: skip
    finally:
        if server is not None:
            server.kill()


def tell(folder: Path) -> None:
    """The last of the logs of those who took part."""
    for log in (folder / "home" / "server.log", folder / "worker.log"):
        if log.exists():
            print(f"── {log.name}\n{log.read_text(errors='replace')[-6000:]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", choices=SETUPS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(json.dumps({"seed": options.seed}), flush=True)
    since, rounds, runs, total = time.monotonic(), 0, 0, Counter[str]()
    while time.monotonic() - since < 60 * options.minutes:
        setup = options.only or SETUPS[rounds % len(SETUPS)]
        random.seed(options.seed + rounds)
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                killed = asyncio.run(turn(setup, Path(folder)))
            except OSError as error:
                if "mounted" not in str(error):
                    raise
                print(json.dumps({"setup": setup, "skipped": str(error)}), flush=True)
                rounds += 1
                continue
            except BaseException:
                print(json.dumps({"round": rounds + 1, "setup": setup, "failed": True}), flush=True)
                tell(Path(folder))
                raise
        total += killed
        rounds += 1
        runs += RUNS * (1 + WAVES if setup == "endurance" else 1)
        told = {"round": rounds, "setup": setup, "faults": killed, "seconds": round(time.monotonic() - begun)}
        print(json.dumps(told), flush=True)
    print(json.dumps({"ok": True, "rounds": rounds, "runs": runs, "faults": total}), flush=True)


if __name__ == "__main__":
    main()
