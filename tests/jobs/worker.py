"""A worker process: `worker.py ADDRESS FOLDER SECONDS`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from agent_kernel.jobs.engine import Engine
from agent_kernel.jobs.limits import Limits


async def main(address: str, folder: Path, seconds: float) -> None:
    async def drive(run_id: str) -> None:
        with (folder / f"{run_id}.begun").open("a") as file:
            file.write(f"{os.getpid()}\n")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            (folder / f"{run_id}.cancelled").touch()
            raise
        with (folder / f"{run_id}.done").open("a") as file:
            file.write(f"{os.getpid()}\n")

    engine = Engine(drive, address, limits=Limits(per_owner=5, starts_per_second=1000))
    await engine.start()
    print("works" if engine.works else "enqueues", flush=True)
    was = engine.works
    while True:
        await asyncio.sleep(0.1)
        if engine.works and not was:
            was = True
            print("works", flush=True)


asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
