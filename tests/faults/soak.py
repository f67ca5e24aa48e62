"""`make soak`: round after round of runs in bad weather, for 20 minutes or as long as is asked for.

Each round starts afresh, with one of several set-ups, and ends with everything looked at: no event lost or doubled,
each call one result, nothing done twice, every run ended, no process left, no memory run away with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.driver import Fault, drive
from tests.faults.weather import Clock, Disk, Postgres, Wire, bad_answer, closing_all, kill_sandbox
from tests.runs.conftest import RedisServer

RUNS, KILLS = 10, 8
MOST_MEGABYTES = 700
"""Resident memory of any one process after a round."""
SETUPS = ("sqlite", "postgresql", "clock", "disk", "network")


def later(call: object, *arguments: object) -> Fault:
    async def fault() -> None:
        await asyncio.to_thread(call, *arguments)  # type: ignore[arg-type]

    return fault


async def turn(setup: str, folder: Path) -> Counter[str]:
    """One round. Raises AssertionError with what is wrong."""
    postgres = Postgres() if setup in ("postgresql", "network") else None
    server = RedisServer() if setup in ("postgresql", "network") else None
    disk = Disk() if setup == "disk" else None
    clock = Clock(folder / "clock") if setup == "clock" else None
    wire = Wire(("127.0.0.1", server.port)) if setup == "network" and server else None
    faults: dict[str, Fault] = {"sandbox": later(kill_sandbox, folder)}
    if postgres is not None and setup == "postgresql":
        faults["postgresql"] = later(postgres.kill)
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
            return await drive(
                folder, runs=RUNS, kills=KILLS, patience=900, faults=faults, bad=bad_answer, redis=server,
                redis_port=wire.port if wire else 0,
                database=postgres.new_database() if postgres else "",
                data=disk.folder / "data" if disk else None,
                environ=clock.environment if clock else None, watch=small,
            )  # fmt: skip
    finally:
        if server is not None:
            server.kill()


def small(pids: Sequence[int]) -> None:
    """No process has grown without bound."""
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("VmRSS"):
                assert int(line.split()[1]) < MOST_MEGABYTES << 10, f"process {pid}: {line}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", choices=SETUPS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(json.dumps({"seed": options.seed}), flush=True)
    since, rounds, total = time.monotonic(), 0, Counter[str]()
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
        total += killed
        rounds += 1
        told = {"round": rounds, "setup": setup, "faults": killed, "seconds": round(time.monotonic() - begun)}
        print(json.dumps(told), flush=True)
    print(json.dumps({"ok": True, "rounds": rounds, "runs": rounds * RUNS, "faults": total}), flush=True)


if __name__ == "__main__":
    main()
